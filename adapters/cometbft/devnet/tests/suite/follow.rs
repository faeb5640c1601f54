//! The light client follows the devnet by what its nodes answer over HTTP, and proves what they show. The two share no code.

use hufu_adapters_light_client::{Advance, BlockFacts, Budget, LightClient, Outcome, Selector, Standing, Step, Wanted};
use hufu_cometbft_devnet::{Devnet, DevnetConfig};
use hufu_cometbft_light_client::block_state::BlockState;
use hufu_cometbft_light_client::client::Head;
use hufu_cometbft_light_client::evidence::transactions::{Executed, Transactions};
use hufu_cometbft_light_client::hash::sha256;
use hufu_cometbft_light_client::ics23::{Proof, Tree};
use hufu_cometbft_light_client::results::TxResult;
use hufu_cometbft_light_client::rpc::light;
use hufu_cometbft_light_client::{Anchor, CometbftLightClient, Evidence, LightStep, merkle};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};

use crate::support::client::result;
use crate::support::recorded::{bytes, decimal, hex_bytes};
use crate::support::{devnet, mine};

/// Some time after the last block of any test here.
fn now() -> Timestamp {
    Timestamp::from_seconds(1_767_225_600 + 3_600).unwrap()
}

pub(crate) fn client(devnet: &Devnet) -> CometbftLightClient {
    CometbftLightClient::new(Anchor::parse(&devnet.anchor()).unwrap())
}

/// What a source would make of one node's answers.
pub(crate) async fn light_step(url: &str, height: u64) -> LightStep {
    let commit = result(url, &format!("commit?height={height}")).await;
    let mut pages = Vec::new();
    loop {
        let page = pages.len() + 1;
        pages.push(result(url, &format!("validators?height={height}&page={page}&per_page=100")).await);
        let told: usize = pages.iter().map(|page: &Value| page["validators"].as_array().unwrap().len()).sum();
        if told >= decimal(&pages[0]["total"]) {
            return light::step(&commit, &pages, None).unwrap();
        }
    }
}

pub(crate) async fn step(url: &str, height: u64) -> Step {
    Step { height: Height::new(height), bytes: light_step(url, height).await.write() }
}

pub(crate) async fn steps(url: &str, heights: std::ops::RangeInclusive<u64>) -> Vec<Step> {
    let mut all = Vec::new();
    for height in heights {
        all.push(step(url, height).await);
    }
    all
}

/// From the anchor over these heights.
pub(crate) async fn follow(devnet: &Devnet, url: &str, to: u64) -> Advance<Head> {
    let client = client(devnet);
    let steps = steps(url, 1..=to).await;
    match client.advance(&client.anchor(), &steps, now(), &mut Budget::for_update()) {
        Outcome::Accept(advance) => advance,
        no => panic!("expected the ledger to be followed, got {no:?}"),
    }
}

/// Why a step on top of a head is refused, or `accepted`.
pub(crate) fn verdict(devnet: &Devnet, head: &Head, step: Step) -> &'static str {
    match client(devnet).advance(head, &[step], now(), &mut Budget::for_update()) {
        Outcome::Accept(_) => "accepted",
        Outcome::NotYet(shortfall) => shortfall.reason(),
        Outcome::Reject(rejection) => rejection.reason(),
    }
}

#[tokio::test]
async fn the_light_client_follows_changing_validators_absent_ones_and_nil_votes() {
    let devnet = Devnet::start(DevnetConfig { validators: 7, power: 10, ..DevnetConfig::default() }).await.unwrap();
    mine(&devnet, 2);
    devnet.set_power(1, 17).unwrap();
    devnet.set_power(7, 4).unwrap();
    mine(&devnet, 4);
    devnet.stop_validator(2).unwrap();
    devnet.vote_nil(3).unwrap();
    mine(&devnet, 4);
    devnet.start_validator(2).unwrap();
    devnet.set_power(0, 0).unwrap();
    mine(&devnet, 5);
    let followed = follow(&devnet, &devnet.url(), devnet.height()).await;
    let heights: Vec<u64> = followed.blocks.iter().map(|block| block.height.get()).collect();
    assert_eq!(heights, (1..devnet.height()).collect::<Vec<_>>());
    for block in &followed.blocks {
        assert_eq!(Some(*block.hash.as_bytes()), devnet.block_hash(block.height.get()));
    }
    assert_eq!(client(&devnet).describe(&followed.head).validators.len(), 7);
}

#[tokio::test]
async fn a_set_of_several_pages_is_followed() {
    let devnet = Devnet::start(DevnetConfig { validators: 120, ..DevnetConfig::default() }).await.unwrap();
    mine(&devnet, 2);
    assert_eq!(follow(&devnet, &devnet.url(), 3).await.blocks.len(), 2);
}

fn state(block: &BlockFacts) -> BlockState {
    BlockState::read(&block.state).unwrap()
}

/// A key's value, or nothing, as a node proves it under a root.
async fn shown(url: &str, key: impl AsRef<[u8]>, height: u64, app_hash: &[u8]) -> Option<Vec<u8>> {
    let path = format!(
        "abci_query?path=%22/store/notices/key%22&data=0x{}&prove=true&height={height}",
        hex::encode(key.as_ref())
    );
    let answer = result(url, &path).await["response"].take();
    let budget = &mut Budget::for_evidence();
    let op = |at: usize| bytes(&answer["proofOps"]["ops"][at]["data"]);
    let outer = Proof::parse(Tree::Simple, &op(1), budget).unwrap();
    let root = outer.value_at(app_hash, b"notices").unwrap();
    let inner = Proof::parse(Tree::Simple, &op(0), budget).unwrap();
    if answer["value"].is_null() {
        inner.nothing_at(root, key.as_ref()).unwrap();
        return None;
    }
    let value = inner.value_at(root, key.as_ref()).unwrap();
    assert_eq!(value, bytes(&answer["value"]));
    Some(value.to_vec())
}

#[tokio::test]
async fn keys_and_their_absence_are_proven_at_each_height() {
    let devnet = devnet().await;
    let keys: Vec<String> = (0..13).map(|number| format!("notice/{number:02}")).collect();
    for key in &keys {
        devnet.put(key, &format!("value of {key}")).unwrap();
    }
    mine(&devnet, 1);
    devnet.delete("notice/05").unwrap();
    devnet.put("notice/06", "other").unwrap();
    mine(&devnet, 2);
    let followed = follow(&devnet, &devnet.url(), devnet.height()).await;
    let root = |height: usize| state(&followed.blocks[height - 1]).app_hash;
    let url = devnet.url();
    for key in &keys {
        assert_eq!(shown(&url, key, 1, &root(1)).await, None);
        assert_eq!(shown(&url, key, 2, &root(2)).await, Some(format!("value of {key}").into_bytes()));
    }
    assert_eq!(shown(&url, "notice/05", 3, &root(3)).await, None);
    assert_eq!(shown(&url, "notice/06", 3, &root(3)).await, Some(b"other".to_vec()));
    for absent in ["a", "z", "notice/", "notice/055", "notice/12x"] {
        assert_eq!(shown(&url, absent, 3, &root(3)).await, None, "{absent}");
    }
    assert_eq!(shown(&url, b"notice/\xff", 3, &root(3)).await, None, "a key that is no text");
}

fn executed(block: &Value, results: &Value) -> Vec<Executed> {
    let txs = block["block"]["data"]["txs"].as_array().unwrap();
    let results = results["txs_results"].as_array().unwrap();
    let one = |(tx, result): (&Value, &Value)| Executed {
        tx: bytes(tx),
        result: TxResult {
            code: result["code"].as_u64().unwrap().try_into().unwrap(),
            data: bytes(&result["data"]),
            gas_wanted: decimal(&result["gas_wanted"]),
            gas_used: decimal(&result["gas_used"]),
        },
        events: Vec::new(),
    };
    txs.iter().zip(results).map(one).collect()
}

/// All transactions of a block that did what they asked for, with whole evidence from one node.
pub(crate) async fn proven(devnet: &Devnet, block: &BlockFacts, url: &str) -> Outcome<Vec<u32>> {
    let height = block.height;
    let (shown, results) = (
        result(url, &format!("block?height={height}")).await,
        result(url, &format!("block_results?height={height}")).await,
    );
    let evidence = Evidence::Transactions(Transactions::Whole(executed(&shown, &results))).write();
    let selector = Selector::new(json!({ "kind": "transactions" }));
    let wanted = Wanted::Matching(&selector);
    client(devnet).prove(block, wanted, Some(&evidence), &mut Budget::for_evidence()).map(|items| {
        assert!(items.iter().all(|item| item.standing == Standing::Proven));
        items.iter().map(|item| item.position.transaction).collect()
    })
}

#[tokio::test]
async fn transactions_and_their_results_are_proven() {
    let devnet = devnet().await;
    let sent = ["put a=1", "fail 7", "put b=2", "delete a", "fail 8"].map(|tx| devnet.send(tx).unwrap());
    devnet.submit(b"nonsense");
    mine(&devnet, 2);
    let (url, followed) = (devnet.url(), follow(&devnet, &devnet.url(), 3).await);
    let block = &followed.blocks[1];
    // Those that failed are in the block, and are no items.
    assert_eq!(proven(&devnet, block, &url).await.accepted().unwrap(), [0, 2, 3]);
    for (index, hash) in sent.iter().enumerate() {
        let told = result(&url, &format!("tx?hash=0x{}&prove=true", hex::encode(hash))).await;
        let proof: merkle::Proof = serde_json::from_value(told["proof"]["proof"].clone()).unwrap();
        assert_eq!(told["index"], index);
        proof.verify(sha256(&bytes(&told["tx"])).as_bytes(), state(block).data_hash.unwrap()).unwrap();
        assert_eq!(hex_bytes(&told["proof"]["root_hash"]), state(block).data_hash.unwrap().as_bytes());
    }
}
