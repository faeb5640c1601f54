//! Witnesses: what they hold at a trusted height is handed on, and the light client freezes where two blocks are signed.

use hufu_adapters_light_client::Budget;
use hufu_adapters_source::Source as _;
use hufu_cometbft_devnet::{Devnet, Misbehave};

use crate::support::{at, benched, client, devnet, mine, node, source, transactions, trusted};

/// Whether what a witness that does this says of a height is misbehaviour, and how the witness stands then.
async fn judged(devnet: &Devnet, fault: Misbehave, height: u64) -> (bool, Option<&'static str>) {
    let witness = devnet.add_node().await.unwrap();
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("primary", &devnet.url()), node("witness", &witness.url())]);
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    let block = blocks.iter().find(|block| block.height() == at(height)).unwrap();
    let client = client(&anchor);
    let conflict = |steps: &[hufu_adapters_light_client::Step]| {
        steps.iter().find_map(|step| client.conflict(block, step, &mut Budget::for_update()))
    };
    let honest = source.others(at(height)).await.unwrap();
    assert_eq!((honest.len(), conflict(&honest)), (1, None), "the same block is no conflict");
    witness.misbehave(fault).unwrap();
    let told = source.others(at(height)).await.unwrap();
    (conflict(&told).is_some(), benched(&source, "witness"))
}

#[tokio::test]
async fn a_second_signed_block_is_handed_to_the_light_client() {
    let devnet = devnet(8).await;
    let twice = Misbehave::DoubleSign { height: 5, txs: vec!["put a=1".to_owned()] };
    assert_eq!(judged(&devnet, twice, 5).await, (true, Some("forked")));
}

#[tokio::test]
async fn another_signed_history_is_handed_to_the_light_client() {
    let devnet = devnet(8).await;
    let fork = Misbehave::Fork { from: 4, txs: vec!["put a=1".to_owned()] };
    assert_eq!(judged(&devnet, fork, 6).await, (true, Some("forked")));
}

/// The rival names other validators: it carries ours beside them, so that it can be judged by both.
#[tokio::test]
async fn a_history_of_other_validators_is_judged_by_ours_too() {
    let devnet = devnet(3).await;
    devnet.set_power(4, 1).unwrap();
    mine(&devnet, 9);
    let retired = Misbehave::RetiredValidators { from: 8, of: 2, txs: vec!["put a=1".to_owned()] };
    assert_eq!(judged(&devnet, retired, 9).await, (true, Some("forked")));
}

#[tokio::test]
async fn a_rival_without_enough_votes_only_benches() {
    let devnet = devnet(8).await;
    let witness = devnet.add_node().await.unwrap();
    witness.misbehave(Misbehave::Fork { from: 4, txs: Vec::new() }).unwrap();
    witness.misbehave(Misbehave::CommitBelowQuorum { from: 4 }).unwrap();
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("primary", &devnet.url()), node("witness", &witness.url())]);
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    let told = source.others(at(6)).await.unwrap();
    let client = client(&anchor);
    assert!(told.iter().all(|step| client.conflict(&blocks[5], step, &mut Budget::for_update()).is_none()));
    assert_eq!(benched(&source, "witness"), Some("forked"));
}

#[tokio::test]
async fn a_node_that_went_over_to_another_signed_history_is_heard_though_it_served_last() {
    let devnet = devnet(8).await;
    let anchor = devnet.anchor();
    let source = source(&anchor, vec![node("only", &devnet.url())]);
    let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
    source.evidence(&blocks, &transactions()).await.unwrap();
    assert!(source.others(at(6)).await.unwrap().is_empty(), "nobody else to ask");
    devnet.first_node().misbehave(Misbehave::Fork { from: 4, txs: vec!["put a=1".to_owned()] }).unwrap();
    source.steps(at(6), 9).await.unwrap_err();
    assert_eq!(benched(&source, "only"), Some("forked"));
    let told = source.others(at(6)).await.unwrap();
    assert!(client(&anchor).conflict(&blocks[5], &told[0], &mut Budget::for_update()).is_some());
}
