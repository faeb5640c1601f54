//! Recordings of real CometBFT networks of both lines, which stand in the project (schemas/vectors/cometbft): every height
//! is followed, and what its blocks did is proven.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken fact should stop a test; its helpers stand outside test functions, where clippy.toml does not reach"
)]

use hufu_adapters_light_client::{Advance, BlockFacts, Budget, LightClient as _, Outcome, Selector, Step, Wanted};
use hufu_cometbft_light_client::block_state::BlockState;
use hufu_cometbft_light_client::evidence::state::Change;
use hufu_cometbft_light_client::evidence::transactions::Transactions;
use hufu_cometbft_light_client::rpc::{evidence, light};
use hufu_cometbft_light_client::{Anchor, CometbftLightClient, Evidence};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};
use std::path::PathBuf;

const LINES: [&str; 2] = ["real-0.38", "real-1.0"];

struct Recording {
    folder: PathBuf,
    case: Value,
    client: CometbftLightClient,
}

impl Recording {
    fn of(line: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../schemas/vectors/cometbft").join(line);
        let case = read(&folder, "case");
        let signed = &read(&folder, "001.commit")["result"]["signed_header"];
        let anchor = json!({
            "family": "cometbft", "chain_id": signed["header"]["chain_id"], "height": 1,
            "hash": signed["commit"]["block_id"]["hash"], "trusting_period": 1_209_600,
        });
        Self { folder, case, client: CometbftLightClient::new(Anchor::parse(&anchor).unwrap()) }
    }

    fn read(&self, name: &str) -> Value {
        read(&self.folder, name)
    }

    fn last(&self) -> u64 {
        self.case["last"].as_u64().unwrap()
    }

    fn step(&self, folder: &str, height: u64) -> Step {
        let (commit, set) = (format!("{folder}{height:03}.commit"), format!("{folder}{height:03}.validators"));
        let light = light::step(&self.read(&commit), &[self.read(&set)], None).unwrap();
        Step { height: Height::new(height), bytes: light.write() }
    }

    /// A second after the last header.
    fn now(&self) -> Timestamp {
        let last = light::header(&self.read(&format!("{:03}.commit", self.last()))).unwrap();
        Timestamp::from_seconds(u64::try_from(last.time.seconds()).unwrap() + 1).unwrap()
    }

    /// Blocks 1 to the last but one, whose results and state stand in the header above.
    fn followed(&self) -> Vec<BlockFacts> {
        let steps: Vec<Step> = (1..=self.last()).map(|height| self.step("", height)).collect();
        let told = self.client.advance(&self.client.anchor(), &steps, self.now(), &mut Budget::for_update());
        let Advance { head, blocks } = accepted(told);
        let facts = self.client.describe(&head);
        assert_eq!((facts.wants.get(), blocks.len() as u64), (self.last() + 1, self.last() - 1));
        blocks
    }

    /// Native items of one block, as JSON.
    fn proven(&self, block: &BlockFacts, selector: Value, evidence: &Evidence) -> Vec<Value> {
        let selector = Selector::new(selector);
        let wanted = Wanted::Matching(&selector);
        let told = self.client.prove(block, wanted, Some(&evidence.write()), &mut Budget::for_evidence());
        accepted(told).iter().map(|item| serde_json::from_slice(&item.native).unwrap()).collect()
    }
}

fn read(folder: &std::path::Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(format!("{name}.json"))).unwrap()).unwrap()
}

fn accepted<T: std::fmt::Debug>(outcome: Outcome<T>) -> T {
    match outcome {
        Outcome::Accept(value) => value,
        no => panic!("expected it to be accepted, got {no:?}"),
    }
}

fn at(blocks: &[BlockFacts], height: u64) -> &BlockFacts {
    blocks.iter().find(|block| block.height.get() == height).unwrap()
}

#[test]
fn every_height_is_followed_while_power_changes_a_validator_stops_and_one_goes() {
    for recording in LINES.map(Recording::of) {
        assert!(recording.followed().windows(2).all(|pair| pair[0].height < pair[1].height));
        let set = |height: u64| {
            let light = hufu_cometbft_light_client::LightStep::parse(&recording.step("", height).bytes).unwrap();
            light.validators.unwrap().validators().iter().map(|it| it.power).collect::<Vec<_>>()
        };
        let of = |name: &str| recording.case[name].as_u64().unwrap();
        // What a block asks for is in force two blocks later.
        assert_eq!((set(of("power_changed_at") + 1), set(of("power_changed_at") + 2)), (vec![1; 4], vec![3, 1, 1, 1]));
        assert_eq!((set(of("removed_at") + 1), set(of("removed_at") + 2)), (vec![3, 1, 1, 1], vec![3, 1, 1]));
        // Without the removal seen, the next set is not the one that signs.
        let mut stale = recording.step("", of("removed_at") + 2);
        let older = format!("{:03}.validators", of("removed_at") + 1);
        let commit = recording.read(&format!("{:03}.commit", stale.height.get()));
        stale.bytes = light::step(&commit, &[recording.read(&older)], None).unwrap().write();
        let mut steps: Vec<Step> = (1..stale.height.get()).map(|height| recording.step("", height)).collect();
        steps.push(stale);
        let client = &recording.client;
        let told = client.advance(&client.anchor(), &steps, recording.now(), &mut Budget::for_update());
        assert!(matches!(told, Outcome::Reject(_)), "{told:?}");
    }
}

#[test]
fn keys_that_are_there_absent_and_deleted() {
    for recording in LINES.map(Recording::of) {
        let blocks = recording.followed();
        for (name, key) in recording.case["keys"].as_object().unwrap() {
            let asked = evidence::queried(&recording.read(&format!("key.{name}"))).unwrap();
            assert_eq!(
                (Some(asked.height), asked.key.as_slice()),
                (key["height"].as_u64(), key["key"].as_str().unwrap().as_bytes())
            );
            // One end of the block was recorded: the other is taken for a ledger's that had no state yet.
            let mut block = at(&blocks, asked.height).clone();
            let state = BlockState { app_hash_before: Vec::new(), ..BlockState::read(&block.state).unwrap() };
            block.state = state.write();
            let hex: String = asked.key.iter().map(|byte| format!("{byte:02x}")).collect();
            let lane = json!({ "kind": "state", "store": "notices", "keys": [hex] });
            let evidence = Evidence::State(vec![Change { before: None, after: asked.proof.clone() }]);
            let found = recording.proven(&block, lane.clone(), &evidence);
            let due = recording.read(&format!("key.{name}"))["result"]["response"]["value"].clone();
            assert_eq!(found.first().map_or(&Value::Null, |item| &item["value"]), &due, "{name}");
            assert_eq!(found.len(), usize::from(name == "present"), "{name}");
            // Nor does it close under the state of another block.
            let other = at(&blocks, 2);
            let selector = Selector::new(lane);
            let bytes = Evidence::State(vec![Change { before: Some(asked.proof.clone()), after: asked.proof }]).write();
            let mut other = other.clone();
            other.state =
                BlockState { app_hash_before: vec![1; 32], ..BlockState::read(&other.state).unwrap() }.write();
            let told =
                recording.client.prove(&other, Wanted::Matching(&selector), Some(&bytes), &mut Budget::for_evidence());
            assert!(matches!(told, Outcome::Reject(_)), "{name}: {told:?}");
        }
    }
}

#[test]
fn transactions_with_their_results_and_one_that_failed_with_code_7() {
    for recording in LINES.map(Recording::of) {
        let blocks = recording.followed();
        for (name, tx) in recording.case["transactions"].as_object().unwrap() {
            let height = tx["height"].as_u64().unwrap();
            let part = |kind: &str| recording.read(&format!("{height:03}.{kind}"));
            let all = evidence::executed(&part("block"), &part("block_results")).unwrap();
            let this = all.iter().find(|it| it.tx == tx["tx"].as_str().unwrap().as_bytes()).unwrap();
            assert_eq!(this.result.code, if name == "fail" { 7 } else { 0 });
            let (all, good) = (all.clone(), all.iter().filter(|it| it.result.is_success()).count());
            let lane = json!({ "kind": "transactions" });
            let whole = |all| Evidence::Transactions(Transactions::Whole(all));
            let found = recording.proven(at(&blocks, height), lane.clone(), &whole(all.clone()));
            assert_eq!(found.len(), good);
            // The failure shown as good leads to other results than the header above names.
            let mut forged = all;
            forged.iter_mut().for_each(|it| it.result.code ^= 7);
            let (selector, bytes) = (Selector::new(lane), whole(forged).write());
            let wanted = Wanted::Matching(&selector);
            let told = recording.client.prove(at(&blocks, height), wanted, Some(&bytes), &mut Budget::for_evidence());
            assert!(matches!(&told, Outcome::Reject(no) if no.reason() == "results-hash"), "{told:?}");
        }
    }
}

#[test]
fn a_second_network_of_the_same_keys_is_misbehaviour() {
    for recording in LINES.map(Recording::of) {
        let blocks = recording.followed();
        let judged = |folder: &str, height: u64| {
            let other = recording.step(folder, height);
            recording.client.conflict(at(&blocks, height), &other, &mut Budget::for_update())
        };
        assert!((1..=4).all(|height| judged("", height).is_none()), "its own headers");
        assert!(judged("fork/", 1).is_none(), "both begin with one block");
        for height in 2..=4 {
            let found = judged("fork/", height).unwrap();
            assert_eq!((found.height.get(), found.trusted), (height, at(&blocks, height).hash));
            assert!(found.other != found.trusted && found.signers.len() >= 3);
        }
    }
}
