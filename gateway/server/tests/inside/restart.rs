//! A power cut at any moment: nothing is lost, nothing doubled.

use bytes::Bytes;
use hufu_gateway_server::backend::Backend as _;

use crate::support::{Office, Stage, courier, ids};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    Block,
    Publication,
    Updates,
    Page,
    PageAgain,
}

const MOMENTS: [After; 5] = [After::Block, After::Publication, After::Updates, After::Page, After::PageAgain];

fn origin(stage: &mut Stage) -> &mut Office {
    &mut stage.origin
}

fn receiver(stage: &mut Stage) -> &mut Office {
    &mut stage.receiver
}

/// Takes one record the whole way; whoever `victim` picks is cut after the step `moment`.
async fn one_record(stage: &mut Stage, number: u32, moment: After, victim: fn(&mut Stage) -> &mut Office) {
    let before = stage.origin.records(&stage.lane).await.len();
    for step in MOMENTS {
        match step {
            After::Block => {
                stage.ledger.certify(number);
                stage.ledger.mine();
            }
            After::Publication => drop(stage.origin.has_published(before + 1).await),
            After::Updates => stage.carry_updates().await,
            After::Page => {
                let page = stage.next_page(64).await.unwrap();
                stage.receiver.post_page(&stage.lane, &page).await.unwrap();
            }
            After::PageAgain => {
                let whole = stage.page_from(0, None, 64).await.unwrap();
                stage.receiver.post_page(&stage.lane, &whole).await.unwrap();
            }
        }
        if step == moment {
            victim(stage).cut_and_open().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_between_any_two_steps_loses_and_doubles_nothing() {
    let mut stage = Stage::set().await;
    let mut number = 0;
    for victim in [origin, receiver] {
        for moment in MOMENTS {
            number += 1;
            one_record(&mut stage, number, moment, victim).await;
        }
    }
    let published = stage.origin.has_published(10).await;
    stage.carry().await;
    let believed = stage.believed().await;
    assert_eq!(ids(&believed), ids(&published));
    let numbers: Vec<_> = believed.iter().map(|record| record["record"]["body"]["number"].clone()).collect();
    let expected: Vec<_> = (1..11).map(|number| format!("湘(2026)第{number:07}号")).collect();
    assert_eq!(numbers, expected);
    assert!(stage.receiver.held(&stage.lane).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_in_the_middle_of_a_delivery_leaves_no_half_step() {
    let mut stage = Stage::set().await;
    let published = stage.publish(1..9).await;
    stage.carry_updates().await;
    // More and more of the work gets done before the cut; wherever it falls, the next courier goes on from there.
    for yields in 0..24 {
        let Some(page) = stage.next_page(1).await else { break };
        let (lane, bytes) = (stage.lane.clone(), Bytes::from(page.to_bytes()));
        let delivery =
            stage.receiver.spawn_inside(|gateway| async move { gateway.post_page(&courier(), &lane, bytes).await });
        for _ in 0..yields * yields {
            tokio::task::yield_now().await;
        }
        stage.receiver.cut_and_open().await;
        drop(delivery);
        let info = stage.receiver.lane_info(&stage.lane).await;
        let records = stage.believed().await;
        assert!(info.is_some() || records.is_empty(), "records of a lane without leaves");
    }
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_origin_cut_again_and_again_while_it_reads_writes_one_history() {
    let mut stage = Stage::set().await;
    for number in 1..13 {
        stage.ledger.certify(number);
        stage.ledger.mine();
        if number % 3 == 0 {
            stage.origin.cut_and_open().await;
        }
    }
    let published = stage.origin.has_published(12).await;
    stage.carry().await;
    assert_eq!(ids(&stage.believed().await), ids(&published));
    let heights: Vec<u64> = published.iter().map(|record| record["height"].as_u64().unwrap()).collect();
    assert!(heights.is_sorted_by(|one, next| one < next), "{heights:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_what_was_frozen_frozen() {
    let mut stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.carry().await;
    stage.receiver.gateway().freeze_lane(&stage.lane, "looks odd", "operator").await.unwrap();
    stage.receiver.cut_and_open().await;
    assert!(stage.receiver.inbox(&stage.lane).await.frozen);
    stage.receiver.gateway().observe().await;
    let line = format!("hufu_lane_frozen{{lane=\"{}\"}} 1", stage.lane);
    assert!(stage.receiver.metrics().contains(&line), "{line}");
}
