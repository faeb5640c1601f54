//! Who controls the code that made a record: pinned by a lane's definition, proven at a block and at the one before.

use hufu_evm_devnet::registry;
use hufu_gateway_server::backend::Backend as _;
use hufu_schemas_core::RecordId;
use hufu_schemas_core::page::Page;
use hufu_schemas_core::statement::{Leaf, Statement};
use serde_json::Value;

use crate::ledger::{Ledger, certificate};
use crate::support::{Office, Stage, ids, mapping_of, receiving_policy, until};

/// CALLER, SELFDESTRUCT.
const MORTAL: &[u8] = &[0x33, 0xff];
/// PUSH0, DELEGATECALL: as much of a proxy as a scan looks for.
const PROXY: &[u8] = &[0x5f, 0xf4];
/// Where a proxy of EIP-1967 keeps the address of its implementation.
const IMPLEMENTATION_SLOT: &str = "360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc";
const BEHIND: [u8; 20] = [0xbe; 20];
const MOVED: [u8; 20] = [0xba; 20];

fn hash_of(code: &[u8]) -> String {
    hufu_evm_light_client::keccak256(code).to_string()
}

fn pinned(code: &[u8]) -> String {
    format!("\n  code: \"{}\"", hash_of(code))
}

fn pinned_proxy() -> String {
    let address = hex::encode(BEHIND);
    let behind = hash_of(&registry::runtime_code());
    format!("{}\n  implementation: {{slot: eip-1967, address: \"0x{address}\", code: \"{behind}\"}}", pinned(PROXY))
}

fn word(address: [u8; 20]) -> [u8; 32] {
    let mut word = [0; 32];
    word[12..].copy_from_slice(&address);
    word
}

fn slot() -> [u8; 32] {
    hex::decode(IMPLEMENTATION_SLOT).unwrap().try_into().unwrap()
}

/// A register whose address is a proxy from the next block on.
fn become_a_proxy(ledger: &Ledger) {
    ledger.devnet.set_code(ledger.contract, PROXY);
    ledger.devnet.set_code(BEHIND, &registry::runtime_code());
    ledger.devnet.set_storage(ledger.contract, slot(), word(BEHIND));
    ledger.mine();
}

/// An office that publishes by a mapping whose source says `more`, and one that takes its lane in.
async fn set(ledger: Ledger, more: &str) -> Stage {
    let mapping = mapping_of(&ledger, more);
    let origin = Office::publishing_by("notary.example", &ledger, vec![("own", ledger.devnet.url())], &mapping).await;
    let lane = origin.lane();
    let receiver = Office::receiving("tax.example", &ledger, &lane, &origin.definitions()).await;
    Stage { ledger, origin, receiver, lane }
}

/// The policy, with its last lane refusing code that somebody can change.
fn strict(policy: &str) -> String {
    format!("{}\nleast_control = \"fixed\"\n", policy.trim_end())
}

/// Height and reason of each event that was not passed on.
async fn skipped(stage: &Stage) -> Vec<(u64, String)> {
    let Some(page) = stage.page_from(0, None, 64).await else { return Vec::new() };
    let leaves = page.opened.iter().map(|leaf| Statement::parse(leaf.statement.as_bytes()).unwrap().leaf().clone());
    let of = |leaf| match leaf {
        Leaf::Skipped(it) => Some((it.position.height.get(), it.reason)),
        _ => None,
    };
    leaves.filter_map(of).collect()
}

async fn has_skipped(stage: &Stage, count: usize) -> Vec<(u64, String)> {
    until(&format!("{count} skipped events"), || async {
        let skipped = skipped(stage).await;
        (skipped.len() == count).then_some(skipped)
    })
    .await
}

fn changed(heights: &[u64]) -> Vec<(u64, String)> {
    heights.iter().map(|height| (*height, "code-changed".to_owned())).collect()
}

fn controls(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["control"].as_str().unwrap()).collect()
}

/// What an auditor says of the first record that the receiver believes.
async fn audited(stage: &Stage) -> (Option<&'static str>, String) {
    let id = RecordId::parse(&ids(&stage.believed().await)[0]).unwrap();
    let verdict = stage.audit(&stage.receiver.gateway().evidence(&id).await.unwrap()).unwrap();
    let control = verdict.record.as_ref().map(|record| record.basis().control.as_str().to_owned());
    (verdict.reason, control.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_nobody_can_change_is_said_to_be_fixed() {
    let stage = set(Ledger::start().await, &pinned(&registry::runtime_code())).await;
    stage.receiver.adopt(&strict(&stage.receiver.policy_text())).await;
    let published = stage.publish(1..4).await;
    stage.carry().await;
    let believed = stage.believed().await;
    assert_eq!(ids(&believed), ids(&published));
    assert_eq!(controls(&published), ["fixed"; 3]);
    assert_eq!(controls(&believed), ["fixed"; 3]);
    assert_eq!(audited(&stage).await, (None, "fixed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_refuses_issuer_controlled_code_holds() {
    let stage = set(Ledger::start().await, "").await;
    let lenient = stage.receiver.policy_text();
    stage.receiver.adopt(&strict(&lenient)).await;
    let published = stage.publish(1..3).await;
    stage.carry().await;
    assert_eq!(stage.receiver.held(&stage.lane).await, ["issuer-controlled"; 2]);
    assert!(stage.believed().await.is_empty());
    stage.receiver.adopt(&lenient).await;
    until("the held leaves to be believed", || async { (stage.believed().await.len() == 2).then_some(()) }).await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
    assert_eq!(controls(&stage.believed().await), ["issuer-controlled"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_can_destroy_itself() {
    let ledger = Ledger::start().await;
    ledger.devnet.set_code(ledger.contract, MORTAL);
    ledger.mine();
    let stage = set(ledger, &pinned(MORTAL)).await;
    stage.publish(1..3).await;
    stage.carry().await;
    assert_eq!(controls(&stage.believed().await), ["issuer-controlled"; 2]);
    stage.ledger.certify(3);
    stage.ledger.devnet.destroy(stage.ledger.contract);
    stage.ledger.mine();
    assert_eq!(has_skipped(&stage, 1).await, changed(&[5]), "it spoke and was gone with the block");
}

#[tokio::test(flavor = "multi_thread")]
async fn code_hash_changed() {
    let stage = set(Ledger::start().await, &pinned(&registry::runtime_code())).await;
    let before = stage.publish(1..2).await;
    stage.ledger.devnet.set_code(stage.ledger.contract, MORTAL);
    stage.ledger.certify(2);
    stage.ledger.mine();
    stage.ledger.certify(3);
    stage.ledger.mine();
    // Back again: the block that it came back in began with other code.
    stage.ledger.devnet.set_code(stage.ledger.contract, &registry::runtime_code());
    stage.ledger.certify(4);
    stage.ledger.mine();
    assert_eq!(has_skipped(&stage, 3).await, changed(&[3, 4, 5]), "said, never silent, and never a record");
    let after = stage.publish(5..6).await;
    assert_eq!(ids(&after)[..1], ids(&before));
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&after));
    assert_eq!(controls(&stage.believed().await), ["fixed"; 2]);
    assert!(stage.receiver.held(&stage.lane).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_emit_downgrade_within_one_block_is_issuer_controlled() {
    let ledger = Ledger::start().await;
    become_a_proxy(&ledger);
    let stage = set(ledger, &pinned_proxy()).await;
    stage.publish(1..2).await;
    // All in one block: what stands at its two ends is what is pinned.
    stage.ledger.devnet.set_storage(stage.ledger.contract, slot(), word(MOVED));
    stage.ledger.certify(2);
    stage.ledger.devnet.set_storage(stage.ledger.contract, slot(), word(BEHIND));
    stage.ledger.mine();
    assert_eq!(stage.origin.has_published(2).await.len(), 2);
    stage.carry().await;
    let believed = stage.believed().await;
    assert_eq!(controls(&believed), ["issuer-controlled"; 2], "no proof of two blocks sees what was between");
    assert_eq!(audited(&stage).await, (None, "issuer-controlled".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_whose_implementation_moved() {
    let ledger = Ledger::start().await;
    become_a_proxy(&ledger);
    let stage = set(ledger, &pinned_proxy()).await;
    stage.publish(1..2).await;
    stage.ledger.devnet.set_code(MOVED, &registry::runtime_code());
    stage.ledger.devnet.set_storage(stage.ledger.contract, slot(), word(MOVED));
    stage.ledger.certify(2);
    stage.ledger.mine();
    assert_eq!(has_skipped(&stage, 1).await, changed(&[4]), "the same code at another address");
    stage.ledger.devnet.set_storage(stage.ledger.contract, slot(), word(BEHIND));
    stage.ledger.mine();
    stage.ledger.devnet.set_code(BEHIND, MORTAL);
    stage.ledger.certify(3);
    stage.ledger.mine();
    assert_eq!(has_skipped(&stage, 2).await, changed(&[4, 6]), "other code at the same address");
    stage.carry().await;
    assert_eq!(stage.believed().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn re_pinning_is_a_definition_from_a_height_on() {
    let mut stage = set(Ledger::start().await, &pinned(&registry::runtime_code())).await;
    let before = stage.publish(1..2).await;
    stage.carry().await;
    stage.ledger.devnet.set_code(stage.ledger.contract, MORTAL);
    stage.ledger.mine();
    stage.ledger.certify(2);
    stage.ledger.mine();
    assert_eq!(has_skipped(&stage, 1).await, changed(&[4]));
    // The origin's operator pins what stands there now.
    stage.origin.write("lane.yaml", &mapping_of(&stage.ledger, &pinned(MORTAL)));
    stage.origin.cut_and_open().await;
    let published = stage.publish(3..4).await;
    let definitions = stage.origin.lane_info(&stage.lane).await.unwrap().definitions;
    assert_eq!(definitions.len(), 2);
    stage.carry().await;
    assert_eq!(stage.receiver.held(&stage.lane).await, ["definition-not-accepted"], "nobody re-pins for the receiver");
    assert_eq!(ids(&stage.believed().await), ids(&before));
    stage.receiver.adopt(&receiving_policy(&stage.ledger, &stage.lane, &definitions)).await;
    until("the held leaf to be believed", || async { (stage.believed().await.len() == 2).then_some(()) }).await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
    assert_eq!(controls(&stage.believed().await), ["fixed", "issuer-controlled"]);
    assert_eq!(skipped(&stage).await, changed(&[4]), "what was skipped before stays so");
}

/// The page without the code: what shows that nobody can change it.
fn without_code(page: &Page, code: &[u8]) -> Page {
    let mut stripped = page.clone();
    for block in &mut stripped.blocks {
        let (receipts, mut proofs) = hufu_evm_light_client::control::split(&block.evidence).unwrap();
        assert!(proofs.iter().all(|proof| proof.code == code));
        proofs.iter_mut().for_each(|proof| proof.code = &[]);
        block.evidence = hufu_evm_light_client::control::join(receipts, &proofs);
    }
    stripped
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_cannot_take_the_proofs_of_pinned_code_away() {
    let code = registry::runtime_code();
    let stage = set(Ledger::start().await, &pinned(&code)).await;
    stage.publish(1..2).await;
    stage.carry_updates().await;
    let good = stage.next_page(64).await.unwrap();
    let mut bare = good.clone();
    for block in &mut bare.blocks {
        block.evidence = hufu_evm_light_client::control::split(&block.evidence).unwrap().0.to_vec();
    }
    for forged in [bare, without_code(&good, &code)] {
        let problem = stage.receiver.post_page(&stage.lane, &forged).await.unwrap_err();
        assert_eq!(problem.code.as_str(), "evidence-missing", "{problem:?}");
        assert_eq!(stage.receiver.inbox(&stage.lane).await.size, 0);
    }
    stage.receiver.post_page(&stage.lane, &good).await.unwrap();
    assert_eq!(controls(&stage.believed().await), ["fixed"], "never less for want of a proof");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_pinned_or_not_is_the_same_record() {
    let pinned_stage = set(Ledger::start().await, &pinned(&registry::runtime_code())).await;
    let free = Office::publishing("mirror.example", &pinned_stage.ledger).await;
    let one = pinned_stage.publish(1..3).await;
    let other = free.has_published(2).await;
    // The mapping that was used is named in a record, so the ids differ; what was said does not.
    let said = |records: &[Value]| records.iter().map(|record| record["record"]["body"].clone()).collect::<Vec<_>>();
    assert_eq!(said(&one), said(&other));
    assert_eq!(controls(&other), ["issuer-controlled"; 2]);
    assert_eq!(certificate(1, "01", "01")[4], one[0]["record"]["body"]["number"]);
}
