//! What a courier alters is refused, by name, and moves nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hufu_evm_devnet::Misbehave;
use hufu_gateway_server::backend::Backend as _;
use hufu_gateway_server::http::ProblemCode;
use hufu_gateway_server::identity::Identity;
use hufu_schemas_core::RecordId;
use hufu_schemas_core::page::Page;
use serde_json::{Value, json};

use crate::stage::PATIENCE;
use crate::support::{HOLDER, Stage, courier, ids, receiving_policy, sorted, until};

/// The page with one digit of the holder changed in a receipt.
fn with_forged_receipt(page: &Page) -> Page {
    let mut forged = page.clone();
    let evidence = &mut forged.blocks[0].evidence;
    let at = evidence.windows(HOLDER.len()).position(|window| window == HOLDER.as_bytes()).unwrap();
    evidence[at + 9] ^= 1;
    forged
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_header_moves_nothing() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    let update = stage.next_update().await.unwrap();
    let steps = update["steps"].as_array().unwrap();
    let (last, height) = (steps.len() - 1, steps.last().unwrap()["height"].as_u64().unwrap());
    let want = stage.receiver.want(&stage.ledger.id).await;
    for fault in [
        Misbehave::SealsBelowQuorum { from: height },
        Misbehave::SealRepeated { from: height },
        Misbehave::SealOfAnOutsider { from: height },
        Misbehave::SealsOfAnotherRound { from: height },
    ] {
        let liar = stage.ledger.devnet.add_node().await.unwrap();
        liar.misbehave(fault.clone()).unwrap();
        let mut forged = update.clone();
        forged["steps"][last]["bytes"] = json!(BASE64.encode(liar.header_rlp(height).unwrap()));
        let problem = stage.receiver.post_updates(&stage.ledger.id, &forged).await.unwrap_err();
        assert!(matches!(problem.code, ProblemCode::Refused(_)), "{fault:?}: {problem:?}");
        assert_eq!(stage.receiver.want(&stage.ledger.id).await, want, "{fault:?}");
        let counted = format!("hufu_rejections_total{{reason=\"{}\",where=\"ledger\"}}", problem.code.as_str());
        assert!(stage.receiver.metrics().contains(&counted), "{counted}");
    }
    let moved = stage.receiver.post_updates(&stage.ledger.id, &update).await.unwrap();
    assert_eq!(moved.wants.get(), height + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_out_of_order_or_beyond_a_gap_move_nothing() {
    let stage = Stage::set().await;
    stage.publish(1..4).await;
    let want = stage.receiver.want(&stage.ledger.id).await;
    let update = stage.next_update().await.unwrap();
    let mut reordered = update.clone();
    reordered["steps"].as_array_mut().unwrap().reverse();
    stage.receiver.post_updates(&stage.ledger.id, &reordered).await.unwrap_err();
    let mut renamed = update.clone();
    renamed["ledger"] = json!("evm:00000000000000000000000000000000");
    stage.receiver.post_updates(&stage.ledger.id, &renamed).await.unwrap_err();
    assert_eq!(stage.receiver.want(&stage.ledger.id).await, want);
    let mut gap = update.clone();
    gap["steps"].as_array_mut().unwrap().remove(2);
    let stands = stage.receiver.post_updates(&stage.ledger.id, &gap).await.unwrap();
    assert_eq!(stands.wants.get(), 2, "what leads up to the gap is true; nothing beyond it is believed");
    let mut beyond = update.clone();
    beyond["steps"].as_array_mut().unwrap().drain(..3);
    let stands = stage.receiver.post_updates(&stage.ledger.id, &beyond).await.unwrap();
    assert_eq!(stands.wants.get(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_evidence_is_refused_then_held_after_strikes_then_released_by_good_evidence() {
    let stage = Stage::set().await;
    let published = stage.publish(1..4).await;
    stage.carry_updates().await;
    let good = stage.next_page(64).await.unwrap();
    let forged = with_forged_receipt(&good);
    let mut refusals = 0;
    let receipt = loop {
        match stage.receiver.post_page(&stage.lane, &forged).await {
            Ok(receipt) => break receipt,
            Err(problem) => {
                assert!(matches!(problem.code, ProblemCode::Refused(_)), "{problem:?}");
                assert_eq!(stage.receiver.inbox(&stage.lane).await.size, 0, "a refused page moves nothing");
                refusals += 1;
                assert!(refusals < 10, "an origin that sends bad evidence must not block its own lane for ever");
                if refusals == 5 {
                    // However often within these minutes: another courier may still come.
                    stage.receiver.clock.advance(PATIENCE);
                }
            }
        }
    };
    assert_eq!(refusals, 5);
    assert_eq!((receipt.held, receipt.admitted), (1, 2), "{receipt:?}");
    assert_eq!(stage.receiver.held(&stage.lane).await, ["bad-evidence"]);
    let held = receipt.faults[0].sequence;
    assert_eq!(stage.receiver.inbox(&stage.lane).await.evidence, Some(held), "the courier is told where to go on from");
    assert_eq!(ids(&stage.believed().await), ids(&published[1..]));
    // Forged evidence again releases nothing.
    stage.receiver.post_page(&stage.lane, &forged).await.ok();
    assert_eq!(stage.believed().await.len(), 2);
    let better = stage.page_from(held, Some(receipt.size), 64).await.unwrap();
    let released = stage.receiver.post_page(&stage.lane, &better).await.unwrap();
    assert_eq!(released.admitted, 1, "{released:?}");
    assert!(stage.receiver.held(&stage.lane).await.is_empty());
    assert_eq!(stage.receiver.inbox(&stage.lane).await.evidence, None);
    assert_eq!(sorted(ids(&stage.believed().await)), sorted(ids(&published)), "nothing lost, nothing doubled");
    // What was kept for the leaf is the good evidence now, not what the liar brought first.
    let id = RecordId::parse(&ids(&published)[0]).unwrap();
    let file = stage.receiver.gateway().evidence(&id).await.unwrap();
    let verdict = stage.audit(&file).unwrap();
    assert_eq!(verdict.reason, None, "{:?}", verdict.steps);
}

#[tokio::test(flavor = "multi_thread")]
async fn better_evidence_of_a_leaf_whose_definition_is_not_accepted_leaves_it_to_the_operator() {
    let stage = Stage::set().await;
    let accepted = stage.receiver.policy_text();
    stage.receiver.adopt(&receiving_policy(&stage.ledger, &stage.lane, &[])).await;
    let published = stage.publish(1..3).await;
    stage.carry_updates().await;
    let good = stage.next_page(64).await.unwrap();
    stage.strike_out(&with_forged_receipt(&good)).await;
    let reasons = ["bad-evidence".to_owned(), "definition-not-accepted".to_owned()];
    assert_eq!(sorted(stage.receiver.held(&stage.lane).await), reasons);
    stage.receiver.post_page(&stage.lane, &good).await.unwrap();
    assert_eq!(stage.receiver.held(&stage.lane).await, ["definition-not-accepted"; 2]);
    assert_eq!(stage.receiver.inbox(&stage.lane).await.evidence, None);
    assert!(stage.believed().await.is_empty());
    stage.receiver.adopt(&accepted).await;
    until("both to be believed", || async { (stage.believed().await.len() == 2).then_some(()) }).await;
    assert_eq!(sorted(ids(&stage.believed().await)), sorted(ids(&published)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_that_lacks_evidence_is_asked_for_behind_any_number_of_others() {
    let stage = Stage::set().await;
    stage.receiver.adopt(&receiving_policy(&stage.ledger, &stage.lane, &[])).await;
    for number in 1..231 {
        stage.ledger.certify(number);
    }
    stage.ledger.mine();
    stage.origin.has_published(230).await;
    while stage.next_update().await.is_some() {
        stage.carry_updates().await;
    }
    while let Some(page) = stage.next_page(64).await {
        stage.receiver.post_page(&stage.lane, &page).await.unwrap();
    }
    stage.ledger.certify(231);
    stage.ledger.mine();
    stage.origin.has_published(231).await;
    stage.carry_updates().await;
    let good = stage.next_page(64).await.unwrap();
    let receipt = stage.strike_out(&with_forged_receipt(&good)).await;
    assert_eq!(receipt.held, 1);
    assert_eq!(stage.receiver.inbox(&stage.lane).await.evidence, Some(receipt.faults[0].sequence));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_couriers_strikes_are_not_anothers() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry_updates().await;
    let good = stage.next_page(64).await.unwrap();
    let forged = Bytes::from(with_forged_receipt(&good).to_bytes());
    let receiver = stage.receiver.gateway();
    let other = Identity::parse("urn:hufu:relayer:city-2").unwrap();
    for _ in 0..3 {
        receiver.post_page(&courier(), &stage.lane, forged.clone()).await.unwrap_err();
    }
    receiver.post_page(&other, &stage.lane, forged).await.unwrap_err();
    let receipt = stage.receiver.post_page(&stage.lane, &good).await.unwrap();
    assert_eq!((receipt.admitted, receipt.held), (2, 0), "an honest page is believed whatever came before it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_swapped_or_altered_leaf_does_not_close() {
    let stage = Stage::set().await;
    stage.publish(1..4).await;
    stage.carry_updates().await;
    let good = stage.next_page(64).await.unwrap();
    let mut dropped = good.clone();
    dropped.entries.remove(1);
    dropped.opened.remove(1);
    for leaf in &mut dropped.opened[1..] {
        leaf.index -= 1;
    }
    let mut swapped = good.clone();
    swapped.entries.swap(1, 3);
    let statements = [swapped.opened[1].statement.clone(), swapped.opened[3].statement.clone()];
    [swapped.opened[3].statement, swapped.opened[1].statement] = statements;
    let mut altered = good.clone();
    altered.opened[1].statement = altered.opened[1].statement.replacen("2026", "2027", 1);
    assert_ne!(altered, good);
    let mut foreign = good.clone();
    foreign.lane = hufu_schemas_core::LaneId::parse("notary.example/certificates/2").unwrap();
    let mut sealed = good.clone();
    sealed.opened.remove(1);
    let pages = [
        (dropped, "join-does-not-close"),
        (swapped, "join-does-not-close"),
        (altered, "statement-differs"),
        (foreign, "page-of-another-lane"),
        (sealed, "leaf-sealed"),
    ];
    for (page, reason) in pages {
        let problem = stage.receiver.post_page(&stage.lane, &page).await.unwrap_err();
        assert_eq!(problem.code, ProblemCode::Refused(reason), "{problem:?}");
    }
    assert_eq!(stage.receiver.inbox(&stage.lane).await.size, 0);
    stage.receiver.post_page(&stage.lane, &good).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaf_of_another_content_under_a_known_index_is_a_rewritten_log() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry().await;
    let mut page = stage.page_from(0, None, 64).await.unwrap();
    page.entries.swap(0, 1);
    let problem = stage.receiver.post_page(&stage.lane, &page).await.unwrap_err();
    assert_eq!((problem.code, problem.sequence), (ProblemCode::Refused("leaf-differs"), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_anchor_in_a_message_changes_nothing() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    let want = stage.receiver.want(&stage.ledger.id).await;
    let anchor = json!({"family": "evm", "consensus": "qbft", "chain_id": 1, "height": 0, "hash": format!("0x{}", "00".repeat(32))});
    let mut update = stage.next_update().await.unwrap();
    update["anchor"] = anchor.clone();
    let problem = stage.receiver.post_updates(&stage.ledger.id, &update).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::Refused("update-malformed"));
    assert_eq!(stage.receiver.want(&stage.ledger.id).await, want);
    let mut page: Value = serde_json::from_slice(&stage.next_page(64).await.unwrap().to_bytes()).unwrap();
    page["anchor"] = anchor;
    let bytes = Bytes::from(page.to_string());
    let problem = stage.receiver.gateway().post_page(&courier(), &stage.lane, bytes).await.unwrap_err();
    assert!(matches!(problem.code, ProblemCode::Refused(_)), "{problem:?}");
    let ledgers = stage.receiver.gateway().ledgers().await.unwrap();
    assert_eq!(ledgers["ledgers"].as_array().unwrap().len(), 1);
    assert_eq!(ledgers["ledgers"][0]["head"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_are_refused() {
    let stage = Stage::set().await;
    for bytes in [&b""[..], b"null", b"[]", b"{}", b"{\"page\":1}", &[0xff; 64], &[b'['; 4096]] {
        let (page, update) = (Bytes::copy_from_slice(bytes), Bytes::copy_from_slice(bytes));
        let receiver = stage.receiver.gateway();
        let problem = receiver.post_page(&courier(), &stage.lane, page).await.unwrap_err();
        assert!(matches!(problem.code, ProblemCode::Refused(_)), "{problem:?}");
        let problem = receiver.post_updates(&courier(), &stage.ledger.id, update.clone()).await.unwrap_err();
        assert!(matches!(problem.code, ProblemCode::Refused(_)), "{problem:?}");
        let problem = receiver.post_checkpoint(&courier(), &stage.lane, update).await.unwrap_err();
        assert!(matches!(problem.code, ProblemCode::Refused(_) | ProblemCode::MalformedRequest), "{problem:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_too_many_steps_is_refused_before_it_is_judged() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    let mut update = stage.next_update().await.unwrap();
    let step = update["steps"][0].clone();
    update["steps"] = Value::Array(vec![step; 100_000]);
    let problem = stage.receiver.post_updates(&stage.ledger.id, &update).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::Refused("update-malformed"));
}
