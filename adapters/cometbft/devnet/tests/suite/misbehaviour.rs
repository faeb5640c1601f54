//! Each misbehaviour, seen from outside: what the node answers, and what the light client says to it.

use hufu_adapters_light_client::{Budget, LightClient, Outcome};
use hufu_cometbft_devnet::{Devnet, DevnetConfig, DevnetError, Misbehave, NodeHandle};
use serde_json::{Value, json};

use crate::follow::{client, follow, light_step, proven, step, verdict};
use crate::support::client::{get, result};
use crate::support::{devnet, mine};

/// A ledger of five blocks with a second node that does this.
async fn with(fault: Misbehave) -> (Devnet, NodeHandle) {
    let devnet = devnet().await;
    mine(&devnet, 1);
    devnet.put("a", "1").unwrap();
    devnet.put("b", "2").unwrap();
    mine(&devnet, 3);
    let node = devnet.add_node().await.unwrap();
    node.misbehave(fault).unwrap();
    (devnet, node)
}

/// What the light client, at height 3, says to the node's header of height 4.
async fn fourth(devnet: &Devnet, node: &NodeHandle) -> &'static str {
    let head = follow(devnet, &devnet.url(), 3).await.head;
    verdict(devnet, &head, step(&node.url(), 4).await)
}

#[tokio::test]
async fn an_honest_node() {
    let (devnet, node) = with(Misbehave::WithoutProofs).await;
    node.behave();
    assert_eq!(fourth(&devnet, &node).await, "accepted");
    assert_eq!(result(&node.url(), "block?height=4").await, result(&devnet.url(), "block?height=4").await);
}

#[tokio::test]
async fn a_commit_one_vote_short() {
    let (devnet, node) = with(Misbehave::CommitBelowQuorum { from: 4 }).await;
    let votes = |answer: &Value| {
        let entries = answer["signed_header"]["commit"]["signatures"].as_array().unwrap();
        entries.iter().filter(|entry| entry["block_id_flag"] == 2).count()
    };
    assert_eq!(votes(&result(&node.url(), "commit?height=3").await), 4);
    assert_eq!(votes(&result(&node.url(), "commit?height=4").await), 2, "three of four are a quorum");
    assert_eq!(fourth(&devnet, &node).await, "signers-below-quorum");
}

#[tokio::test]
async fn a_forged_signature() {
    let (devnet, node) = with(Misbehave::ForgedSignature { from: 4 }).await;
    assert_eq!(fourth(&devnet, &node).await, "signature-invalid");
}

#[tokio::test]
async fn the_same_validators_sign_two_blocks_of_one_height() {
    let (devnet, node) = with(Misbehave::DoubleSign { height: 4, txs: vec!["put a=forged".to_owned()] }).await;
    assert_ne!(light_step(&node.url(), 4).await, light_step(&devnet.url(), 4).await);
    assert_eq!(light_step(&node.url(), 5).await, light_step(&devnet.url(), 5).await);
    // Who sees it first believes it; who has the other sees two headers signed by all.
    assert_eq!(fourth(&devnet, &node).await, "accepted");
    let block = follow(&devnet, &devnet.url(), 5).await.blocks[3].clone();
    let other = step(&node.url(), 4).await;
    let seen = client(&devnet).conflict(&block, &other, &mut Budget::for_update()).expect("misbehaviour");
    assert_eq!((seen.height.get(), seen.signers.len()), (4, 4));
    let same = step(&devnet.url(), 4).await;
    assert!(client(&devnet).conflict(&block, &same, &mut Budget::for_update()).is_none());
}

#[tokio::test]
async fn a_fork_that_grows_with_the_ledger() {
    let (devnet, node) = with(Misbehave::Fork { from: 3, txs: Vec::new() }).await;
    mine(&devnet, 2);
    assert_eq!(node.height(), devnet.height());
    assert_eq!(light_step(&node.url(), 2).await, light_step(&devnet.url(), 2).await);
    for height in 3..=7 {
        assert_ne!(light_step(&node.url(), height).await, light_step(&devnet.url(), height).await, "{height}");
    }
    // It is a whole ledger that can be followed.
    assert_eq!(follow(&devnet, &node.url(), 7).await.blocks.len(), 6);
    assert_eq!(result(&node.url(), "block?height=3").await["block"]["data"]["txs"].as_array().unwrap().len(), 1);
    let block = follow(&devnet, &devnet.url(), 6).await.blocks[4].clone();
    let other = step(&node.url(), 5).await;
    assert!(client(&devnet).conflict(&block, &other, &mut Budget::for_update()).is_some());
}

/// The state from which it parts is run again from the first block.
#[tokio::test]
async fn a_fork_from_a_height_whose_state_is_no_longer_kept() {
    let devnet = Devnet::start(DevnetConfig { states: 1, power: 10, ..DevnetConfig::default() }).await.unwrap();
    for number in 0..6 {
        devnet.put("a", &number.to_string()).unwrap();
        mine(&devnet, 1);
    }
    let node = devnet.add_node().await.unwrap();
    node.misbehave(Misbehave::Fork { from: 3, txs: vec!["delete b".to_owned()] }).unwrap();
    assert_eq!(follow(&devnet, &node.url(), 7).await.blocks.len(), 6);
    let app_hash = |url: String, height: u64| async move {
        result(&url, &format!("header?height={height}")).await["header"]["app_hash"].take()
    };
    // The branch took away what was not there: its state stays that of block 2.
    assert_eq!(app_hash(node.url(), 7).await, app_hash(devnet.url(), 3).await);
    assert_ne!(app_hash(devnet.url(), 7).await, app_hash(devnet.url(), 3).await);
}

#[tokio::test]
async fn retired_validators_sign_on() {
    let devnet = devnet().await;
    for (validator, power) in [(0, 0), (1, 0), (4, 10), (5, 10)] {
        devnet.set_power(validator, power).unwrap();
    }
    mine(&devnet, 5);
    let node = devnet.add_node().await.unwrap();
    node.misbehave(Misbehave::RetiredValidators { from: 5, of: 1, txs: vec!["put a=forged".to_owned()] }).unwrap();
    let head = follow(&devnet, &devnet.url(), 4).await.head;
    assert_eq!(verdict(&devnet, &head, step(&node.url(), 5).await), "validators-unexpected");
    assert_eq!(verdict(&devnet, &head, step(&devnet.url(), 5).await), "accepted");
}

#[tokio::test]
async fn an_old_validator_set_in_place_of_the_new_one() {
    let devnet = devnet().await;
    devnet.set_power(0, 11).unwrap();
    mine(&devnet, 4);
    let node = devnet.add_node().await.unwrap();
    node.misbehave(Misbehave::OldValidators { from: 4, of: 3 }).unwrap();
    let head = follow(&devnet, &devnet.url(), 3).await.head;
    assert_eq!(verdict(&devnet, &head, step(&node.url(), 4).await), "validators-hash");
}

#[tokio::test]
async fn altered_results_and_a_transaction_left_out() {
    for fault in [Misbehave::AlteredResults { from: 3 }, Misbehave::OmittedTransactions { from: 3 }] {
        let (devnet, node) = with(fault).await;
        let block = follow(&devnet, &devnet.url(), 5).await.blocks[2].clone();
        assert_eq!(proven(&devnet, &block, &devnet.url()).await.accepted().unwrap(), [0, 1]);
        assert!(matches!(proven(&devnet, &block, &node.url()).await, Outcome::Reject(_)));
    }
}

#[tokio::test]
async fn an_altered_value_and_the_answers_of_another_application() {
    let other = devnet().await;
    other.put("a", "stolen").unwrap();
    mine(&other, 4);
    let query = "abci_query?path=%22/store/notices/key%22&data=%22a%22&prove=true";
    let (devnet, node) = with(Misbehave::AlteredState).await;
    let (honest, altered) = (result(&devnet.url(), query).await, result(&node.url(), query).await);
    assert_ne!(honest["response"]["value"], altered["response"]["value"]);
    assert_eq!(honest["response"]["proofOps"], altered["response"]["proofOps"]);
    let (_devnet, node) = with(Misbehave::OtherApplication(other.clone())).await;
    assert_eq!(result(&node.url(), query).await, result(&other.url(), query).await);
    let (devnet, node) = with(Misbehave::WithoutProofs).await;
    assert_eq!(result(&node.url(), query).await["response"]["proofOps"], Value::Null);
    let hash = devnet.block(3).unwrap().txs[0].clone();
    let hash = hex::encode(hufu_cometbft_devnet::merkle::sha256(&[&hash]));
    assert_eq!(result(&node.url(), &format!("tx?hash=0x{hash}&prove=true")).await.get("proof"), None);
}

#[tokio::test]
async fn another_network_of_the_same_name() {
    let other = Devnet::start(DevnetConfig { seed: [1; 32], power: 10, ..DevnetConfig::default() }).await.unwrap();
    mine(&other, 4);
    let (devnet, node) = with(Misbehave::OtherNetwork(other.clone())).await;
    assert_eq!(result(&node.url(), "genesis").await["genesis"]["chain_id"], devnet.chain_id());
    assert_eq!(verdict(&devnet, &client(&devnet).anchor(), step(&node.url(), 1).await), "anchor-hash");
    assert_eq!(fourth(&devnet, &node).await, "hash-chain");
}

#[tokio::test]
async fn a_node_that_lags_stalls_or_keeps_little() {
    let (devnet, node) = with(Misbehave::Lagging { by: 2 }).await;
    assert_eq!(result(&node.url(), "status").await["sync_info"]["latest_block_height"], "3");
    mine(&devnet, 1);
    assert_eq!(node.height(), 4);
    node.behave();
    node.misbehave(Misbehave::Stalled { at: 4 }).unwrap();
    mine(&devnet, 3);
    assert_eq!(node.height(), 4);
    node.behave();
    node.misbehave(Misbehave::Pruned { base: 5 }).unwrap();
    assert_eq!(get(&node.url(), "commit?height=4").await.unwrap().status, 500);
    assert_eq!(get(&node.url(), "commit?height=5").await.unwrap().status, 200);
}

#[tokio::test]
async fn faults_of_transport() {
    let (_devnet, node) = with(Misbehave::Html).await;
    let raw = get(&node.url(), "status").await.unwrap();
    assert!(raw.status == 200 && raw.body.starts_with("<html>"));
    node.behave();
    node.misbehave(Misbehave::Status(502)).unwrap();
    assert_eq!(get(&node.url(), "status").await.unwrap().status, 502);
    node.behave();
    let whole = get(&node.url(), "block?height=2").await.unwrap();
    node.misbehave(Misbehave::Truncated).unwrap();
    let cut = get(&node.url(), "block?height=2").await.unwrap();
    assert!(whole.body.starts_with(&cut.body) && serde_json::from_str::<Value>(&cut.body).is_err());
    node.behave();
    node.misbehave(Misbehave::Oversized { padding: 100_000 }).unwrap();
    node.misbehave(Misbehave::SlowDrip { bytes: 50_000, every: std::time::Duration::from_millis(1) }).unwrap();
    let long = get(&node.url(), "block?height=2").await.unwrap();
    assert!(long.body.len() > 100_000 && long.json() == whole.json());
    node.behave();
    node.misbehave(Misbehave::WithoutMethods(vec!["block_results".to_owned()])).unwrap();
    assert_eq!(get(&node.url(), "block_results?height=2").await.unwrap().status, 404);
    assert_eq!(node.ask("block_results", &json!({ "height": "2" }))["error"]["code"], -32601);
    node.stop();
    let gone = async {
        while get(&node.url(), "health").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), gone).await.expect("the port closed within the deadline");
    node.start().await.unwrap();
    assert_eq!(get(&node.url(), "health").await.unwrap().status, 200);
}

#[tokio::test]
async fn blocks_that_cannot_be_signed_again() {
    let (devnet, node) = with(Misbehave::WithoutProofs).await;
    for height in [0, 1, 6] {
        let refused = node.misbehave(Misbehave::Fork { from: height, txs: Vec::new() });
        assert!(matches!(refused, Err(DevnetError::Height { low: 2, high: 5, .. })), "{height}");
    }
    let unread = node.misbehave(Misbehave::Fork { from: 3, txs: vec!["nonsense".to_owned()] });
    assert!(matches!(unread, Err(DevnetError::Transaction(_))));
    assert_eq!(devnet.height(), 5);
}
