//! A lane that follows storage slots in place of events.

use hufu_gateway_server::backend::Backend as _;
use hufu_schemas_core::statement::{Leaf, Statement};
use hufu_schemas_core::{LaneId, RecordId};
use serde_json::{Value, json};

use crate::ledger::{Ledger, certificate};
use crate::support::{Office, Stage, ids, policy_of, until};

const RULE: &str = r#"
target: {type: e-certificate, schema: "1.0"}
tables:
  event: {"1": resume, "2": suspend}
  state: {"1": active, "2": suspended}
rules:
  - when: [{path: /event, equals: StatusChanged}]
    set:
      /key: {path: /args/key, do: [{cert-id-split: key}]}
      /event: {path: /args/new, table: event}
      /issuer/kind: {const: authorised-institution}
      /issuer/uscc: {const: "11430000006122244L"}
      /issuer/name: {const: 示例市公证处}
      /jurisdiction/code: {const: "430000"}
      /subjects/0/role: {const: holder}
      /subjects/0/kind: {const: org}
      /subjects/0/scheme: {const: cn-uscc}
      /subjects/0/ref: {const: 91350100M000100Y43}
      /occurredAt: {path: /time}
      /status/state: {path: /args/new, table: state}
      /status/since: {path: /time}
      /sharing/class: {const: conditional}
      /sharing/basis: {const: 示例市政务数据共享目录}
      /sharing/openToPublic: {const: false}
      /sensitivity/grade: {const: general}
      /sensitivity/level: {const: 3}
      /sensitivity/personalInfo: {const: none}
      /sensitivity/minor: {const: false}
      /body/certificateId: {path: /args/key}
      /body/classCode: {const: 11100000000013338W011}
      /body/className: {const: 营业执照}
      /body/name: {const: 示例科技有限公司}
      /body/issuedOn: {const: "2026-11-21"}
    unmapped: drop
"#;

/// Where the contract keeps its mapping of statuses.
const BASE: u8 = 5;

fn mapping(ledger: &Ledger, keys: &[String]) -> String {
    let contract = hex::encode(ledger.contract);
    format!(
        "mapping: \"1\"\nid: hufu.test.status\nversion: 1.0.0\nsource:\n  family: evm\n  contract: \"0x{contract}\"\n  \
         storage: {{name: StatusChanged, slot: {BASE}, key: string, keys: {}, value: uint8}}{RULE}",
        json!(keys),
    )
}

fn key(number: u32) -> String {
    certificate(number, "01", "01")[0].clone()
}

/// Writes a status; the other bytes of its word hold something else.
fn put(ledger: &Ledger, number: u32, status: u8, beside: u8) {
    let mut base = [0; 32];
    base[31] = BASE;
    let slot = hufu_evm_light_client::keccak256(&[key(number).as_bytes(), &base].concat());
    let mut word = [0; 32];
    (word[30], word[31]) = (beside, status);
    ledger.devnet.set_storage(ledger.contract, *slot.as_bytes(), word);
}

async fn set(keys: std::ops::Range<u32>) -> Stage {
    let ledger = Ledger::start().await;
    let keys: Vec<String> = keys.map(key).collect();
    let nodes = vec![("own", ledger.devnet.url())];
    let origin = Office::publishing_by("notary.example", &ledger, nodes, &mapping(&ledger, &keys)).await;
    let lane = origin.lane();
    let receiver = Office::receiving("tax.example", &ledger, &lane, &origin.definitions()).await;
    Stage { ledger, origin, receiver, lane }
}

fn told(records: &[Value]) -> Vec<(u64, String, String)> {
    let text = |record: &Value, pointer: &str| record.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    let one = |record: &Value| {
        let height = text(record, "/record/provenance/height").parse().unwrap();
        (height, text(record, "/record/body/certificateId"), text(record, "/record/status/state"))
    };
    let mut told: Vec<_> = records.iter().map(one).collect();
    told.sort();
    told
}

fn status(height: u64, number: u32, state: &str) -> (u64, String, String) {
    (height, key(number), state.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_changed_is_a_record() {
    let stage = set(1..4).await;
    put(&stage.ledger, 1, 1, 0);
    stage.ledger.mine();
    put(&stage.ledger, 1, 2, 0);
    put(&stage.ledger, 2, 1, 7);
    stage.ledger.mine();
    let published = stage.origin.has_published(3).await;
    stage.carry().await;
    let believed = stage.believed().await;
    assert_eq!(ids(&believed), ids(&published));
    let expected = [status(2, 1, "active"), status(3, 1, "suspended"), status(3, 2, "active")];
    let mut expected = expected.to_vec();
    expected.sort();
    assert_eq!(told(&believed), expected);
    for record in &believed {
        assert_eq!((&record["assurance"], &record["control"]), (&json!("proven"), &json!("issuer-controlled")));
        assert_eq!(record["completeness"], json!("ledger"), "no change of a covered block can be left out");
        let place = record["record"]["provenance"]["txIndex"].as_u64().unwrap();
        assert!(place >= 65_536, "after every transaction of its block: {place}");
    }
    let id = RecordId::parse(&ids(&believed)[0]).unwrap();
    let verdict = stage.audit(&stage.receiver.gateway().evidence(&id).await.unwrap()).unwrap();
    assert_eq!(verdict.reason, None, "{:?}", verdict.steps);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_did_not_change_is_no_item() {
    let stage = set(1..3).await;
    put(&stage.ledger, 1, 1, 0);
    stage.ledger.mine();
    stage.origin.has_published(1).await;
    // The same value again, the bytes beside it, a key that nobody follows, an event, and there and back within a block.
    put(&stage.ledger, 1, 1, 0);
    stage.ledger.mine();
    put(&stage.ledger, 1, 1, 9);
    stage.ledger.mine();
    put(&stage.ledger, 3, 1, 0);
    stage.ledger.mine();
    stage.ledger.certify(4);
    stage.ledger.mine();
    put(&stage.ledger, 1, 2, 9);
    put(&stage.ledger, 1, 1, 9);
    stage.ledger.mine();
    // What comes after all of them shows that they were read.
    put(&stage.ledger, 1, 2, 9);
    stage.ledger.mine();
    let published = stage.origin.has_published(2).await;
    assert_eq!(told(&published), [status(2, 1, "active"), status(8, 1, "suspended")]);
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
    let page = stage.page_from(0, None, 64).await.unwrap();
    let leaves = page.opened.iter().map(|leaf| Statement::parse(leaf.statement.as_bytes()).unwrap().leaf().clone());
    let matches: u64 = leaves.map(|leaf| if let Leaf::Covered(it) = leaf { it.matches } else { 0 }).sum();
    assert_eq!(matches, 2, "what did not change matched nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_over_events_and_over_slots_do_not_take_each_others_evidence() {
    let stage = set(1..3).await;
    let office = Office::publishing("mirror.example", &stage.ledger).await;
    let keyed = [(&stage.lane, &stage.origin.definitions()[..]), (&office.lane(), &office.definitions()[..])];
    stage.receiver.adopt(&policy_of(&stage.ledger, &keyed)).await;
    // An event and a change in one block.
    put(&stage.ledger, 1, 1, 0);
    stage.ledger.certify(2);
    stage.ledger.mine();
    stage.origin.has_published(1).await;
    office.has_published(1).await;
    stage.carry().await;
    let events = Stage { origin: office, lane: keyed[1].0.clone(), ..stage };
    events.carry().await;
    let records = [
        events.receiver.records(&LaneId::parse("notary.example/certificates/1").unwrap()).await,
        events.believed().await,
    ];
    assert_eq!(records.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
    for record in records.iter().flatten() {
        let id = RecordId::parse(record["recordId"].as_str().unwrap()).unwrap();
        let verdict = events.audit(&events.receiver.gateway().evidence(&id).await.unwrap()).unwrap();
        assert_eq!(verdict.reason, None, "{:?}", verdict.steps);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_cannot_take_a_slots_proof_away() {
    let stage = set(1..3).await;
    put(&stage.ledger, 1, 1, 0);
    stage.ledger.mine();
    stage.origin.has_published(1).await;
    stage.carry_updates().await;
    let good = stage.next_page(64).await.unwrap();
    let mut forged = good.clone();
    for block in &mut forged.blocks {
        let (mut before, mut after) = hufu_evm_light_client::slots::evidence::read(&block.evidence).unwrap();
        before.slots.clear();
        after.slots.clear();
        block.evidence = hufu_evm_light_client::slots::evidence::write(&before, &after);
    }
    let problem = stage.receiver.post_page(&stage.lane, &forged).await.unwrap_err();
    assert_eq!(problem.code.as_str(), "item-missing", "{problem:?}");
    let mut bare = good.clone();
    bare.blocks.clear();
    let problem = stage.receiver.post_page(&stage.lane, &bare).await.unwrap_err();
    assert_eq!(problem.code.as_str(), "evidence-missing", "{problem:?}");
    stage.receiver.post_page(&stage.lane, &good).await.unwrap();
    assert_eq!(stage.believed().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_over_slots_begins_above_the_anchor() {
    let ledger = Ledger::start().await;
    put(&ledger, 1, 1, 0);
    ledger.mine();
    let nodes = vec![("own", ledger.devnet.url())];
    let mut office = Office::publishing_by("notary.example", &ledger, nodes, &mapping(&ledger, &[key(1)])).await;
    office.has_published(1).await;
    // The same lane from the anchor itself on, as another epoch.
    let config = std::fs::read_to_string(office.file("gateway.toml")).unwrap();
    office
        .write("gateway.toml", &config.replace("epoch = 1", "epoch = 2").replace("from_height = 1", "from_height = 0"));
    office.cut_and_open().await;
    let refused = "hufu_rejections_total{reason=\"parent-state-unknown\",where=\"ledger\"}";
    until("the lane to be refused", || async { office.metrics().contains(refused).then_some(()) }).await;
    assert_eq!(office.records(&office.lane()).await.len(), 1, "the lane of before stands");
}
