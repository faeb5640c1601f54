//! A real Clique network before the light client: what it sealed is followed from its genesis, and every event that was
//! emitted is proved, decoded and compared with what the caller meant.

use std::time::Duration;

use hufu_adapters_light_client::{
    Advanced, Budget, Decoder, DynLightClient, Family, Finality, Outcome, Proven, Step, TrustedBlock,
};
use hufu_evm_light_client::EvmFamily;
use hufu_evm_light_client::receipt::write_evidence;
use hufu_schemas_core::{Height, Timestamp};
use serde_json::json;
use tokio::time::{Instant, timeout};

use crate::geth::{CHAIN_ID, CliqueNetwork, Emitted, RawHeader};
use crate::guard;
use crate::registry::{self, Call};
use crate::wait::until;

/// Organisations of the samples.
const HOLDER: &str = "91350100M000100Y43";
const ISSUER: &str = "11430000006122244L";
/// More blocks on top than three signers need to confirm one.
const DEEP: u64 = 4;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn clique_network_seals_and_serves() {
    let Some(real) = guard::enter("clique::clique_network_seals_and_serves").await else { return };
    let network = CliqueNetwork::start(&real, 3).await;
    let contract = network.deploy_registry().await;

    let mut emitted = network
        .emit_all(vec![
            Call::certificate(&certificate("001", "01")),
            Call::property_right(&property_right("0001", "confirm")),
            Call::certificate(&certificate("002", "01")),
            Call::certificate(&certificate("003", "01")),
            Call::property_right(&property_right("0002", "confirm")),
            Call::certificate(&certificate("001", "03")),
        ])
        .await;
    emitted.push(network.change_certificate(&certificate("004", "01")).await);
    emitted.push(network.change_property_right(&property_right("0001", "transfer")).await);
    let emitted = all_buried(&network, &emitted).await;
    for event in &emitted {
        let receipt = &event.receipt;
        println!("clique: {} in block {} transaction {}", event.call.event, receipt.block, receipt.index);
    }

    for node in 0..network.urls().len() {
        let view = View::take(&network, &contract, node, last_block(&emitted)).await;
        assert_eq!(view.advanced.facts.validators, network.signers());
        view.require_one_chain();
        view.require_all_proven(&emitted).await;
        view.require_forgeries_refused(&emitted).await;
    }
}

#[tokio::test]
async fn a_killed_signer_comes_back_and_no_event_is_lost() {
    let Some(real) = guard::enter("clique::a_killed_signer_comes_back_and_no_event_is_lost").await else { return };
    let network = CliqueNetwork::start(&real, 3).await;
    let contract = network.deploy_registry().await;

    let emit = async {
        let mut emitted = Vec::new();
        for number in 0..12 {
            let unit = format!("{number:04}");
            emitted.push(network.change_property_right(&property_right(&unit, "confirm")).await);
        }
        emitted
    };
    let disturb = async {
        network.wait_for_height(network.height().await + 2).await;
        network.kill(1).await;
        let went_on = timeout(Duration::from_secs(15), network.wait_for_height(network.height().await + 3)).await;
        println!("clique: two of three signers {}", if went_on.is_ok() { "went on" } else { "wait for the third" });
        network.restart(1).await;
    };
    let (emitted, ()) = tokio::join!(emit, disturb);

    let back = network.height().await;
    require_seals_after(&network, 1, back).await;
    let emitted = all_buried(&network, &emitted).await;
    let killed = View::take(&network, &contract, 1, last_block(&emitted)).await;
    killed.require_all_proven(&emitted).await;
    let other = View::take(&network, &contract, 0, last_block(&emitted)).await;
    other.require_all_proven(&emitted).await;
}

/// What the light client makes of one node's chain.
struct View<'a> {
    network: &'a CliqueNetwork,
    node: usize,
    headers: Vec<RawHeader>,
    client: Box<dyn DynLightClient>,
    decoder: Box<dyn Decoder>,
    advanced: Advanced,
}

impl<'a> View<'a> {
    /// Follows the chain from genesis until the block at `due` is trusted.
    async fn take(network: &'a CliqueNetwork, contract: &str, node: usize, due: u64) -> Self {
        let client = client(network.genesis_hash());
        let source = json!({ "family": "evm", "contract": contract, "abi": registry::abi() });
        let decoder = EvmFamily.decoder(&source).unwrap();
        let (headers, advanced) = until(&format!("block {due} to be confirmed on node {node}"), PATIENCE, async || {
            let headers = network.raw_headers(node).await;
            let advanced = match follow(client.as_ref(), &headers) {
                Outcome::Accept(advanced) => advanced,
                Outcome::NotYet(shortfall) => return Err(shortfall.to_string()),
                Outcome::Reject(no) => panic!("the light client refuses a real chain: {no}"),
            };
            match advanced.blocks.last().map_or(0, |block| block.height().get()) {
                height if height >= due => Ok((headers, advanced)),
                height => Err(format!("trusted up to {height} of {}", headers.len() - 1)),
            }
        })
        .await;
        Self { network, node, headers, client, decoder, advanced }
    }

    fn require_one_chain(&self) {
        for (height, block) in self.advanced.blocks.iter().enumerate() {
            let header = &self.headers[height];
            assert_eq!(block.height().get(), header.height, "a block is missing");
            assert_eq!(format!("0x{}", block.hash()), header.hash, "the hash of block {height}");
            assert_eq!(block.finality(), Finality::Probabilistic);
        }
        let (trusted, seen) = (self.advanced.blocks.len(), self.headers.len());
        assert!(trusted < seen, "the last block cannot be confirmed: nobody has signed on top of it");
        let confirmations = self.advanced.facts.confirmations;
        println!("clique: node {}: {trusted} of {seen} blocks trusted ({confirmations} confirmations)", self.node);
    }

    /// The events of all trusted blocks are exactly those emitted, once each, in order, with the arguments meant.
    async fn require_all_proven(&self, emitted: &[Emitted]) {
        let mut seen = Vec::new();
        for block in &self.advanced.blocks {
            let receipts = self.network.raw_receipts(self.node, &format!("0x{}", block.hash())).await;
            let items = self.matching(block, &receipts).accepted().expect("real receipts rebuild their root");
            seen.extend(items.iter().map(|item| self.describe(item)));
        }
        let due: Vec<_> = emitted
            .iter()
            .map(|event| {
                let named = registry::argument_names(&event.call.event).into_iter().zip(&event.call.args);
                let args: serde_json::Map<_, _> = named.map(|(name, arg)| (name, json!(arg))).collect();
                let receipt = &event.receipt;
                json!({ "event": event.call.event, "args": args, "block": receipt.block, "transaction": receipt.index })
            })
            .collect();
        assert_eq!(seen, due);
        println!("clique: node {}: {} events proven and equal to those emitted", self.node, seen.len());
    }

    fn describe(&self, item: &Proven) -> serde_json::Value {
        assert_eq!(item.finality(), Finality::Probabilistic);
        let decoded = self.decoder.decode(item).unwrap();
        assert_eq!(decoded.len(), 1, "one log is one event");
        let (position, decoded) = (item.position(), &decoded[0]);
        json!({
            "event": decoded.event,
            "args": decoded.value["args"],
            "block": position.height.get(),
            "transaction": position.transaction,
        })
    }

    /// The same real bytes with one thing changed.
    async fn require_forgeries_refused(&self, emitted: &[Emitted]) {
        let last = last_block(emitted);
        let block = self.advanced.blocks.iter().find(|block| block.height().get() == last).unwrap();
        let receipts = self.network.raw_receipts(self.node, &format!("0x{}", block.hash())).await;
        let mut altered = receipts.clone();
        *altered.last_mut().unwrap().last_mut().unwrap() ^= 1;
        let mut withheld = receipts.clone();
        withheld.pop();
        let mut doubled = receipts.clone();
        doubled.push(receipts[0].clone());
        for forged in [altered, withheld, doubled] {
            assert_eq!(rejection(self.matching(block, &forged)), "receipts-root");
        }

        let other_genesis = format!("0x{}", "11".repeat(32));
        assert_eq!(rejection(follow(client(&other_genesis).as_ref(), &self.headers)), "anchor-hash");
        let mut resealed = self.headers.clone();
        // The last byte of a header is the base fee's; what was sealed is another header then.
        *resealed[2].bytes.last_mut().unwrap() ^= 1;
        let refused = rejection(follow(self.client.as_ref(), &resealed));
        println!("clique: node {}: a header altered after sealing is refused: {refused}", self.node);
    }

    fn matching(&self, block: &TrustedBlock, receipts: &[Vec<u8>]) -> Outcome<Vec<Proven>> {
        let evidence = write_evidence(receipts);
        self.client.matching(block, self.decoder.selector(), Some(&evidence), &mut Budget::for_evidence())
    }
}

fn client(genesis_hash: &str) -> Box<dyn DynLightClient> {
    let anchor = json!({
        "family": "evm", "consensus": "clique", "chain_id": CHAIN_ID, "height": 0, "hash": genesis_hash,
    });
    EvmFamily.client(&anchor).unwrap()
}

fn follow(client: &dyn DynLightClient, headers: &[RawHeader]) -> Outcome<Advanced> {
    let steps: Vec<Step> =
        headers.iter().map(|header| Step { height: Height::new(header.height), bytes: header.bytes.clone() }).collect();
    client.advance(&client.anchor(), &steps, now(), &mut Budget::for_update())
}

#[expect(clippy::disallowed_methods, reason = "real nodes seal by the real clock")]
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Timestamp::from_seconds(since.as_secs()).unwrap()
}

fn rejection<T: std::fmt::Debug>(outcome: Outcome<T>) -> &'static str {
    match outcome {
        Outcome::Reject(rejection) => rejection.reason(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Where the events stand once no reorganisation is to be expected, which may be other blocks than at first.
async fn all_buried(network: &CliqueNetwork, emitted: &[Emitted]) -> Vec<Emitted> {
    let mut buried = Vec::new();
    for event in emitted {
        buried.push(network.buried(event, DEEP).await);
    }
    buried
}

fn last_block(emitted: &[Emitted]) -> u64 {
    emitted.iter().map(|event| event.receipt.block).max().unwrap()
}

/// Waits for a block above `height` that this node's signer sealed and that every node has.
async fn require_seals_after(network: &CliqueNetwork, node: usize, height: u64) {
    let signer = &network.signers()[node];
    let began = Instant::now();
    let sealed = until(&format!("a block of signer {node} above {height}"), PATIENCE, async || {
        let headers = network.raw_headers(0).await;
        for header in headers.iter().filter(|header| header.height > height) {
            if network.sealer(0, &header.hash).await == *signer {
                return Ok(header.height);
            }
        }
        Err(format!("none up to {}", headers.len() - 1))
    })
    .await;
    println!("clique: signer {node} sealed block {sealed} ({:.1?} after its return)", began.elapsed());
}

fn certificate<'a>(number: &'a str, state: &'a str) -> [&'a str; 10] {
    [
        number,
        "01",
        "11100000000013338W011",
        "营业执照",
        "湘(2023)第0000403号",
        "示例科技有限公司 〇",
        HOLDER,
        ISSUER,
        "20230403",
        state,
    ]
}

fn property_right<'a>(unit: &'a str, operation: &'a str) -> [&'a str; 8] {
    [unit, operation, "state-land-use", "桂(2023)南宁市不动产权第0000001号", HOLDER, ISSUER, "20230501", "128.50"]
}
