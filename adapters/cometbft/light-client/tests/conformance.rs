//! The conformance suites of the light client and of the decoder, on a chain made by hand.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests state facts too")]

#[path = "../src/testing/chain.rs"]
mod chain;

use chain::{Chain, GENESIS_TIME, Voters};
use hufu_adapters_light_client::{Budget, Decoder, DynLightClient, Family, ItemRef, Proven, Selector, Standing, Step};
use hufu_adapters_testkit::conformance::{self, DecoderCase, LightClientCase};
use hufu_cometbft_light_client::evidence::transactions::{Executed, Transactions};
use hufu_cometbft_light_client::results::TxResult;
use hufu_cometbft_light_client::selector::Lane;
use hufu_cometbft_light_client::{CometbftFamily, Evidence, LightStep};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};

const GRANT: &str = "/land.v1.MsgGrant";
const SELL: &str = "/land.v1.MsgSell";

/// `TxRaw` with one message, whose value is given as JSON (as CosmWasm's contracts have it).
fn tx(type_url: &str, value: &str) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let any = [field(1, type_url.as_bytes()), field(2, value.as_bytes())].concat();
    field(1, &field(1, &any))
}

fn executed(type_url: &str, value: &str) -> Executed {
    let result = TxResult { code: 0, data: b"ok".to_vec(), gas_wanted: 2, gas_used: 1 };
    Executed { tx: tx(type_url, value), result, events: Vec::new() }
}

fn transactions(height: u64) -> Vec<Executed> {
    match height {
        2 => {
            vec![executed(GRANT, "{\"id\":\"1\"}"), executed(SELL, "{\"id\":\"2\"}"), executed(GRANT, "{\"id\":\"3\"}")]
        }
        3 => vec![executed(GRANT, "{\"id\":\"4\"}")],
        _ => Vec::new(),
    }
}

fn chain(chain_id: &str, first: u64) -> Chain {
    let mut chain = Chain::new(chain_id, Voters::new(first..first + 4, 10));
    for height in 1..=6 {
        match transactions(height) {
            none if none.is_empty() => chain.mine(1),
            all => chain.execute(&all),
        }
    }
    chain
}

fn evidence(height: u64) -> Vec<u8> {
    Evidence::Transactions(Transactions::Whole(transactions(height))).write()
}

fn step(light: &LightStep) -> Step {
    Step { height: Height::new(light.height()), bytes: light.write() }
}

fn steps(chain: &Chain) -> Vec<Step> {
    chain.steps.iter().map(step).collect()
}

fn client(chain: &Chain) -> Box<dyn DynLightClient> {
    let hash = chain.steps[0].signed_header.header.hash();
    let anchor = json!({
        "family": "cometbft", "chain_id": chain.chain_id, "height": 1, "hash": hash, "trusting_period": 86_400,
    });
    CometbftFamily.client(&anchor).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_seconds(GENESIS_TIME.unsigned_abs() + 3_600).unwrap()
}

fn selector(name: &str) -> Selector {
    Lane::Transactions { messages: Some(vec![name.to_owned()]) }.to_selector()
}

fn proven(name: &str) -> Vec<Proven> {
    let land = chain("land-1", 0);
    let client = client(&land);
    let advanced = client.advance(&client.anchor(), &steps(&land), now(), &mut Budget::for_update());
    let block = advanced.accepted().unwrap().blocks.remove(1);
    let found = client.matching(&block, &selector(name), Some(&evidence(2)), &mut Budget::for_evidence());
    found.accepted().unwrap()
}

#[test]
fn the_cometbft_light_client_keeps_its_promises() {
    let (land, notary) = (chain("land-1", 0), chain("notary-1", 50));
    let mut draft = {
        let mut fork = chain("land-1", 0);
        fork.steps.truncate(3);
        fork.draft()
    };
    draft.header.app_hash = vec![7; 8];
    let item = |transaction| ItemRef { transaction, event: 0 };
    let case = LightClientCase {
        client: client(&land),
        steps: steps(&land),
        now: now(),
        other_ledger: steps(&notary),
        selector: selector(GRANT),
        other_selector: selector("/land.v1.MsgOther"),
        unreadable_selector: Selector::new(json!({ "kind": "transactions", "messages": [] })),
        height: Height::new(2),
        items: vec![item(0), item(2)],
        stranger: Some(item(1)),
        evidence: evidence(2),
        other_evidence: evidence(3),
        quiet: Some(Height::new(1)),
        rival: Some(step(&draft.step())),
    };
    conformance::light_client(&case).require_complete();
}

#[test]
fn the_decoder_keeps_its_promises() {
    let source = json!({ "family": "cometbft", "kind": "transactions", "messages": [GRANT], "format": "json" });
    let decoder: Box<dyn Decoder> = CometbftFamily.decoder(&source).unwrap();
    let items: Vec<(Proven, Vec<Value>)> = proven(GRANT)
        .into_iter()
        .map(|item| {
            let decoded = decoder.decode(&item).unwrap();
            (item, decoded.into_iter().map(|event| event.value).collect())
        })
        .collect();
    assert!(items.iter().all(|(item, _)| item.standing() == Standing::Proven));
    assert_eq!((&items[0].1[0]["body"]["id"], &items[1].1[0]["body"]["id"]), (&json!("1"), &json!("3")));
    let case = DecoderCase { decoder, items, strangers: proven(SELL) };
    conformance::decoder(&case).require_complete();
}
