//! The ledger that the devnet makes: determinism, validators, votes, rounds, and the queue.

use std::time::Duration;

use hufu_cometbft_devnet::chain::{is_quorum, median_time};
use hufu_cometbft_devnet::commit::Flag;
use hufu_cometbft_devnet::{Devnet, DevnetConfig, DevnetError};

use crate::support::{devnet, mine};

fn flags(devnet: &Devnet, height: u64) -> Vec<Flag> {
    devnet.block(height).unwrap().commit.signatures.iter().map(|entry| entry.flag).collect()
}

/// Place of a known validator in the set of a height.
fn place(devnet: &Devnet, height: u64, validator: usize) -> Option<usize> {
    let key = devnet.known_validators()[validator];
    devnet.block(height).unwrap().validators.validators().iter().position(|it| it.public_key == key)
}

#[tokio::test]
async fn equal_configurations_make_equal_ledgers() {
    let (one, two) = (devnet().await, devnet().await);
    for devnet in [&one, &two] {
        devnet.put("a", "1").unwrap();
        mine(devnet, 3);
    }
    assert_eq!(one.genesis_hash(), two.genesis_hash());
    assert_eq!(one.block_hash(4), two.block_hash(4));
    let other = Devnet::start(DevnetConfig { seed: [8; 32], power: 10, ..DevnetConfig::default() }).await.unwrap();
    assert_ne!(one.genesis_hash(), other.genesis_hash());
}

#[tokio::test]
async fn headers_link_and_times_are_medians_that_rise() {
    let devnet = devnet().await;
    mine(&devnet, 2);
    devnet.mine_at(Duration::from_secs(1_800_000_000)).unwrap();
    mine(&devnet, 2);
    for height in 2..=devnet.height() {
        let (below, block) = (devnet.block(height - 1).unwrap(), devnet.block(height).unwrap());
        assert_eq!(block.header.last_block_id, below.id);
        assert_eq!(block.header.last_commit_hash, below.commit.hash());
        assert_eq!(block.header.time, median_time(&below.commit, &below.validators));
        assert_eq!(block.header.app_hash, below.app_hash);
        assert!(block.header.time > below.header.time);
    }
    assert_eq!(devnet.block(5).unwrap().header.time.as_secs(), 1_800_000_000, "four votes in a second");
    // A clock that goes back does not take the ledger with it.
    devnet.mine_at(Duration::from_secs(1)).unwrap();
    mine(&devnet, 1);
    assert!(devnet.block(8).unwrap().header.time > devnet.block(7).unwrap().header.time);
}

#[tokio::test]
async fn a_new_power_is_in_force_two_blocks_later() {
    let devnet = devnet().await;
    devnet.set_power(1, 35).unwrap();
    devnet.set_power(4, 5).unwrap();
    mine(&devnet, 3);
    let power = |height: u64, validator: usize| {
        let at = place(&devnet, height, validator)?;
        Some(devnet.block(height).unwrap().validators.validators()[at].power)
    };
    assert_eq!((power(2, 1), power(3, 1), power(4, 1)), (Some(10), Some(10), Some(35)));
    assert_eq!((power(3, 4), power(4, 4)), (None, Some(5)));
    // The block that holds the transaction says it of the next but one.
    assert_ne!(
        devnet.block(3).unwrap().header.next_validators_hash,
        devnet.block(2).unwrap().header.next_validators_hash
    );
    devnet.set_power(1, 0).unwrap();
    mine(&devnet, 3);
    assert_eq!((power(6, 1), power(7, 1)), (Some(35), None));
    assert_eq!(devnet.validators().len(), 4);
}

#[tokio::test]
async fn stopped_validators_are_absent_and_others_vote_nil() {
    let devnet = Devnet::start(DevnetConfig { validators: 7, ..DevnetConfig::default() }).await.unwrap();
    devnet.stop_validator(2).unwrap();
    devnet.vote_nil(5).unwrap();
    mine(&devnet, 1);
    let (stopped, nil) = (place(&devnet, 2, 2).unwrap(), place(&devnet, 2, 5).unwrap());
    let told = flags(&devnet, 2);
    assert_eq!((told[stopped], told[nil]), (Flag::Absent, Flag::Nil));
    assert_eq!(told.iter().filter(|flag| **flag == Flag::Commit).count(), 5);
    devnet.start_validator(2).unwrap();
    devnet.start_validator(5).unwrap();
    mine(&devnet, 1);
    assert_eq!(flags(&devnet, 3), [Flag::Commit; 7]);
}

#[tokio::test]
async fn without_a_quorum_there_is_no_block_and_nothing_is_lost() {
    let devnet = devnet().await;
    devnet.put("a", "1").unwrap();
    devnet.stop_validator(0).unwrap();
    devnet.vote_nil(1).unwrap();
    let Err(DevnetError::NoQuorum { total: 40, voting: 20 }) = devnet.mine() else {
        panic!("a block of half the power")
    };
    assert_eq!(devnet.height(), 1);
    devnet.start_validator(1).unwrap();
    mine(&devnet, 1);
    assert_eq!(devnet.block(2).unwrap().txs, [b"put a=1".to_vec()]);
    assert!(is_quorum(27, 40) && !is_quorum(26, 39) && !is_quorum(i64::MAX / 3 * 2, i64::MAX));
}

#[tokio::test]
async fn a_stopped_proposer_costs_a_round() {
    let devnet = devnet().await;
    devnet.stop_validator(0).unwrap();
    mine(&devnet, 8);
    let stopped = devnet.address(0).unwrap();
    let blocks: Vec<_> = (2..=9).map(|height| devnet.block(height).unwrap()).collect();
    assert!(blocks.iter().all(|block| block.header.proposer_address != stopped));
    assert!(blocks.iter().any(|block| block.commit.round == 1));
    assert!(blocks.iter().any(|block| block.commit.round == 0));
    // Each of the others has its turn.
    let proposers: std::collections::BTreeSet<_> =
        blocks.iter().map(|block| block.header.proposer_address.clone()).collect();
    assert_eq!(proposers.len(), 3);
}

#[tokio::test]
async fn two_stopped_proposers_in_a_row_cost_two_rounds() {
    let devnet = Devnet::start(DevnetConfig { validators: 7, ..DevnetConfig::default() }).await.unwrap();
    let set = devnet.block(1).unwrap().validators.advanced();
    let turn = |round: u32| set.advanced_by(round).proposer().unwrap().public_key;
    let known = devnet.known_validators();
    for round in 0..2 {
        devnet.stop_validator(known.iter().position(|key| *key == turn(round)).unwrap()).unwrap();
    }
    mine(&devnet, 1);
    let block = devnet.block(2).unwrap();
    assert_eq!(block.commit.round, 2);
    assert_eq!(block.header.proposer_address, hufu_cometbft_devnet::keys::address(&turn(2)));
}

#[tokio::test]
async fn changes_at_which_a_real_network_halts() {
    for changes in [vec![(5, 0)], vec![(0, 5), (0, 6)], vec![(0, 0), (1, 0), (2, 0), (3, 0)]] {
        let devnet = devnet().await;
        for (validator, power) in &changes {
            devnet.set_power(*validator, *power).unwrap();
        }
        assert!(matches!(devnet.mine(), Err(DevnetError::Halted(_))), "{changes:?}");
        assert_eq!(devnet.height(), 1);
    }
}

#[tokio::test]
async fn what_the_application_cannot_read_is_not_queued() {
    let devnet = devnet().await;
    for refused in [devnet.put("", "1"), devnet.put("a", ""), devnet.put("a=b", "1"), devnet.send("nonsense")] {
        assert!(matches!(refused, Err(DevnetError::Transaction(_))));
    }
    assert!(matches!(devnet.set_power(99, 1), Err(DevnetError::Index { count: 20, got: 99 })));
    // A proposer that does not ask gets it into a block, where it fails.
    devnet.submit(b"nonsense");
    mine(&devnet, 1);
    let block = devnet.block(2).unwrap();
    assert_eq!((block.txs.len(), block.results[0].code), (1, 2));
}

#[tokio::test]
async fn configurations_out_of_range() {
    let wrong = [
        DevnetConfig { validators: 0, ..DevnetConfig::default() },
        DevnetConfig { validators: 301, ..DevnetConfig::default() },
        DevnetConfig { power: 0, ..DevnetConfig::default() },
        DevnetConfig { states: 0, ..DevnetConfig::default() },
        DevnetConfig { chain_id: "x".repeat(51), ..DevnetConfig::default() },
        DevnetConfig { chain_id: String::new(), ..DevnetConfig::default() },
        DevnetConfig { block_time: Some(Duration::ZERO), ..DevnetConfig::default() },
    ];
    for config in wrong {
        assert!(matches!(Devnet::start(config.clone()).await, Err(DevnetError::Config { .. })), "{config:?}");
    }
}

#[tokio::test]
async fn a_timer_makes_blocks_by_the_clock() {
    let config = DevnetConfig { block_time: Some(Duration::from_millis(20)), ..DevnetConfig::default() };
    let devnet = Devnet::start(config).await.unwrap();
    devnet.put("a", "1").unwrap();
    let waiting = async {
        while devnet.height() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("five blocks within the deadline");
    let block = devnet.block(5).unwrap();
    assert!(block.header.time.as_secs() > 1_767_225_600 + 60, "the clock, not the time of the genesis file");
    let query = serde_json::json!({ "path": "/store/notices/key", "data": hex::encode("a") });
    assert_eq!(devnet.first_node().ask("abci_query", &query)["result"]["response"]["value"], "MQ==");
}
