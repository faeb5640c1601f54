//! The conformance suites of the light client and of the decoder on a QBFT ledger of the devnet.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests state facts too")]

use hufu_adapters_light_client::{Budget, Decoder, DynLightClient, Family, ItemRef, Proven, Selector, Step};
use hufu_adapters_testkit::conformance::{self, DecoderCase, LightClientCase};
use hufu_evm_devnet::{Devnet, DevnetConfig, Misbehave};
use hufu_evm_light_client::receipt::write_evidence;
use hufu_evm_light_client::{Address, EvmFamily, Hash32, LogSelector, keccak256};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};

const REGISTRY: [u8; 20] = [7; 20];
const MARKET: [u8; 20] = [8; 20];
const OFFICE: [u8; 20] = [10; 20];
const EVENT: &str = "Granted(string,string)";
const TIP: u64 = 6;

async fn devnet(seed: u8) -> Devnet {
    let config = DevnetConfig { block_time: None, seed: [seed; 32], ..DevnetConfig::default() };
    let devnet = Devnet::start(config).await.unwrap();
    for height in 1..=TIP {
        let speakers: &[[u8; 20]] = match height {
            2 => &[REGISTRY, MARKET, REGISTRY, OFFICE],
            3 => &[REGISTRY],
            _ => &[],
        };
        for (number, contract) in speakers.iter().enumerate() {
            devnet.emit_event(*contract, EVENT, &[&format!("{height}-{number}"), "ok"]).unwrap();
        }
        devnet.mine().unwrap();
    }
    devnet
}

fn steps(devnet: &Devnet) -> Vec<Step> {
    let step = |height| Step { height: Height::new(height), bytes: devnet.header_rlp(height).unwrap() };
    (0..=TIP).map(step).collect()
}

fn evidence(devnet: &Devnet, height: u64) -> Vec<u8> {
    write_evidence(devnet.receipts_rlp(height).unwrap())
}

fn client(devnet: &Devnet) -> Box<dyn DynLightClient> {
    let hash = Hash32::new(devnet.genesis_hash());
    EvmFamily.client(&json!({ "family": "evm", "consensus": "qbft", "height": 0, "hash": hash })).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_seconds(DevnetConfig::default().genesis_time + 3_600).unwrap()
}

fn selector(contract: [u8; 20]) -> Selector {
    LogSelector::new(Address::new(contract), vec![keccak256(EVENT.as_bytes())]).unwrap().to_selector()
}

fn proven(devnet: &Devnet, selector: &Selector) -> Vec<Proven> {
    let client = client(devnet);
    let advanced = client.advance(&client.anchor(), &steps(devnet), now(), &mut Budget::for_update());
    let block = advanced.accepted().unwrap().blocks.remove(2);
    let outcome = client.matching(&block, selector, Some(&evidence(devnet, 2)), &mut Budget::for_evidence());
    outcome.accepted().unwrap()
}

#[tokio::test]
async fn the_qbft_light_client_keeps_its_promises() {
    let (land, notary) = (devnet(1).await, devnet(2).await);
    let rival = land.add_node().await.unwrap();
    rival.misbehave(Misbehave::Fork { from: 4, events: Vec::new() }).unwrap();
    let item = |transaction| ItemRef { transaction, event: 0 };
    let case = LightClientCase {
        client: client(&land),
        steps: steps(&land),
        now: now(),
        other_ledger: steps(&notary),
        selector: selector(REGISTRY),
        other_selector: selector([9; 20]),
        unreadable_selector: Selector::new(json!({ "contract": "0x07" })),
        height: Height::new(2),
        items: vec![item(0), item(2)],
        stranger: Some(item(1)),
        evidence: evidence(&land, 2),
        other_evidence: evidence(&land, 3),
        quiet: Some(Height::new(1)),
        rival: rival.header_rlp(4).map(|bytes| Step { height: Height::new(4), bytes }),
    };
    conformance::light_client(&case).require_complete();
}

#[tokio::test]
async fn the_abi_decoder_keeps_its_promises() {
    let land = devnet(1).await;
    let inputs = json!([{ "name": "id", "type": "string" }, { "name": "state", "type": "string" }]);
    let source = json!({
        "family": "evm",
        "contract": Address::new(REGISTRY),
        "event": "Granted",
        "abi": [{ "type": "event", "name": "Granted", "inputs": inputs }],
    });
    let decoder: Box<dyn Decoder> = EvmFamily.decoder(&source).unwrap();
    let items = read(&land, decoder.as_ref());
    let said: Vec<String> = items.iter().map(|(_, values)| json!(values).to_string()).collect();
    assert!(said.len() == 2 && said[0].contains("2-0") && said[1].contains("2-2"), "{said:?}");
    let case = DecoderCase { decoder, items, strangers: proven(&land, &selector(MARKET)) };
    conformance::decoder(&case).require_complete();
}

/// What a decoder reads in block 2, by its own selector.
fn read(devnet: &Devnet, decoder: &dyn Decoder) -> Vec<(Proven, Vec<Value>)> {
    let items = proven(devnet, decoder.selector()).into_iter();
    let read = items.map(|item| {
        let decoded = decoder.decode(&item).unwrap();
        (item, decoded.into_iter().map(|event| event.value).collect())
    });
    read.collect()
}

#[tokio::test]
async fn a_decoder_of_two_contracts_keeps_its_promises() {
    let land = devnet(1).await;
    let event = |name: &str| {
        let inputs = json!([{ "name": "id", "type": "string" }, { "name": "state", "type": "string" }]);
        json!({ "type": "event", "name": name, "inputs": inputs })
    };
    let source = json!({ "family": "evm", "abi": [event("Granted"), event("Struck")], "contracts": [
        { "contract": Address::new(MARKET), "event": "Granted" },
        { "contract": Address::new(REGISTRY) },
    ]});
    let decoder: Box<dyn Decoder> = EvmFamily.decoder(&source).unwrap();
    let items = read(&land, decoder.as_ref());
    let said: Vec<_> = items.iter().map(|(_, values)| (&values[0]["contract"], &values[0]["args"]["id"])).collect();
    let address = |contract| json!(Address::new(contract));
    let (registry, market) = (address(REGISTRY), address(MARKET));
    assert_eq!(said, [(&registry, &json!("2-0")), (&market, &json!("2-1")), (&registry, &json!("2-2"))]);
    let case = DecoderCase { decoder, items, strangers: proven(&land, &selector(OFFICE)) };
    conformance::decoder(&case).require_complete();
}
