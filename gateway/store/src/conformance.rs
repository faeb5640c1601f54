//! What every back end must do. Each function takes a place where databases can be made and opened; a back end's test
//! module lists them (`sqlite/tests.rs`).

use std::collections::HashMap;
use std::future::Future;

use hufu_adapters_light_client::{ClientVersion, Control, Finality, Step, StoredHead, TrustedBlock};
use hufu_gateway_verify::admission::{KeptEvidence, LaneDefinition, LaneState, Misconduct};
use hufu_gateway_verify::{Assurance, Completeness};
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::lane::{Entry, KeyTag, TagKey};
use hufu_schemas_core::merkle::{
    Edge, NodeId, consistency_proof, inclusion_proof, nodes_needed, verify_consistency, verify_inclusion,
};
use hufu_schemas_core::page::DocumentKind;
use hufu_schemas_core::statement::{Definition, VersionedName};
use hufu_schemas_core::{
    BlockHash, Digest, Height, LaneId, LedgerId, Position, Record, RecordId, RecordKey, SchemaRef, Timestamp,
};
use serde_json::json;

use crate::step::{AdmitStep, DocumentStep, Fate, HeldStep, LeafStep, RecordStep, ReleaseStep};
use crate::{Act, LeafKind, LedgerAdvance, RecordQuery, Role, Store, StoreError, StoredRecord, Undone};

/// Where a back end's databases live while a test runs.
pub(crate) trait Place {
    /// A new database.
    fn create(&self) -> impl Future<Output = Store> + Send;
    /// The same database once more.
    fn open(&self) -> impl Future<Output = Store> + Send;
}

/// Every function of this module that is a test: `$test` is applied to each name.
macro_rules! conformance {
    ($test:ident) => {
        $test! {
            heads_move_by_compare_and_swap
            two_advances_race_and_one_wins
            a_new_tail_replaces_the_old_one_and_never_what_is_final
            a_tail_that_is_built_on_stays
            steps_are_given_without_a_gap_or_not_at_all
            a_second_block_of_a_trusted_height_is_refused_with_its_whole_step
            a_reorganisation_makes_room_and_keeps_what_it_undid
            what_a_reorganisation_took_back_is_told_in_order_and_stands_in_nobodys_way
            decision_9_a_frozen_ledger_moves_only_after_an_operator_acts
            decision_10_an_operator_reanchors_and_the_left_branch_is_forgotten
            everything_of_an_admission_is_read_back
            proofs_are_made_from_stored_nodes
            two_admissions_race_and_one_wins
            an_admission_that_does_not_close_writes_nothing
            a_lane_keeps_its_role
            decision_4_one_event_by_two_lanes_is_one_record
            an_item_ground_onto_another_ones_place_suppresses_nothing
            decision_7_a_held_leaf_does_not_block_a_later_revocation
            a_held_leaf_is_released_once
            held_evidence_gives_way_and_proved_evidence_stays
            a_signed_checkpoint_binds_for_ever
            a_checkpoint_judged_on_a_state_that_moved_is_a_conflict
            a_frozen_lane_refuses_everything
            decision_9_a_clock_set_back_stops_admission
            decision_14_changes_are_told_after_the_commit_and_only_then
            decision_14_a_dropped_caller_leaves_no_half_step
            readers_see_whole_steps_while_the_writer_writes
            records_are_found_by_what_they_are
            pages_of_records_are_bounded_and_lose_none
            a_closed_store_says_so
        }
    };
}
pub(crate) use conformance;

// What the tests are made of.

pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(1_795_254_389).unwrap()
}

pub(crate) fn lane_id(slug: &str) -> LaneId {
    LaneId::parse(&format!("land.example/{slug}/1")).unwrap()
}

fn ledger_id(tag: u8) -> LedgerId {
    LedgerId::of_genesis("sim", &[tag; 32]).unwrap()
}

fn act(why: &str) -> Act {
    Act { who: "operator".into(), at: now(), why: why.into() }
}

fn head(height: u64) -> StoredHead {
    StoredHead {
        client: ClientVersion { name: "sim".into(), version: 1 },
        bytes: json!({ "height": height }).to_string(),
    }
}

fn block(ledger: &LedgerId, height: u64, fork: u8) -> TrustedBlock {
    let hash = Digest::of(&[height.to_be_bytes().as_slice(), &[fork]].concat());
    let value = json!({
        "ledger": ledger, "client": { "name": "sim", "version": 1 },
        "facts": { "height": height, "hash": hash, "time": now(), "finality": "bft-final", "state": "00ff" },
    });
    TrustedBlock::from_stored(&serde_json::to_vec(&value).unwrap()).unwrap()
}

fn step(height: u64, mark: u8) -> Step {
    Step { height: Height::new(height), bytes: vec![mark; 3] }
}

/// From one head to another, with steps of one mark; blocks and final height up to the new head.
fn advance(from: Option<u64>, to: u64, steps: std::ops::RangeInclusive<u64>, mark: u8) -> LedgerAdvance {
    let ledger = ledger_id(1);
    LedgerAdvance {
        expected: from.map(|from| head(from).digest()),
        head: head(to),
        blocks: (from.map_or(1, |from| from + 1)..=to).map(|height| block(&ledger, height, 0)).collect(),
        steps: steps.map(|height| step(height, mark)).collect(),
        final_to: (to > 0).then(|| Height::new(to)),
        undone: None,
        ledger,
    }
}

/// Writes one lane as its gateway would.
#[derive(Clone)]
pub(crate) struct Pen {
    pub(crate) state: LaneState,
    height: u64,
}

impl Pen {
    pub(crate) fn new(slug: &str) -> Self {
        Self { state: LaneState::new(lane_id(slug)), height: 0 }
    }

    fn size(&self) -> u64 {
        self.state.edge.size()
    }

    /// The next admission, of leaves with these fates; the pen moves on.
    pub(crate) fn admit(&mut self, fates: Vec<(LeafKind, Fate)>) -> AdmitStep {
        let before = self.size();
        let mut leaves = Vec::new();
        for (kind, fate) in fates {
            let index = self.size();
            let statement =
                (kind != LeafKind::Sealed).then(|| json!({ "leaf": index, "lane": self.state.lane }).to_string());
            let digest = Digest::of(statement.as_deref().unwrap_or("sealed").as_bytes());
            let entry = Entry::new(KeyTag::NONE, digest);
            self.state.edge.append(entry.leaf_hash());
            if let Fate::Record(record) = &fate {
                self.state.last = Some((record.position, record.item));
            }
            leaves.push(LeafStep { index, entry, statement, kind, fate });
        }
        AdmitStep { before, after: self.state.clone(), leaves, documents: vec![], evidence: vec![] }
    }

    /// A record for leaf `ahead` of the next admission.
    pub(crate) fn record(&mut self, ahead: u64) -> RecordStep {
        self.height += 1;
        record(&self.state.lane, self.size() + ahead, self.height, "e-certificate", &format!("K{}", self.height))
    }

    /// The next admission: `count` records.
    pub(crate) fn records(&mut self, count: u64) -> AdmitStep {
        let fates = (0..count).map(|ahead| believed(self.record(ahead))).collect();
        self.admit(fates)
    }
}

/// Record number `height` of ledger 1.
fn record(lane: &LaneId, sequence: u64, height: u64, kind: &str, key: &str) -> RecordStep {
    let key = format!("{kind}:91350100M000100Y43:{key}");
    let schema =
        SchemaRef { id: format!("https://schemas.hufu.example/records/{kind}/1.0"), content_id: Digest::of(b"x") };
    let envelope = json!({ "recordKey": key, "type": kind, "schema": schema, "height": height.to_string() });
    let record = Record::seal(envelope.as_object().unwrap().clone(), json!({ "n": height })).unwrap();
    RecordStep {
        id: record.id(),
        key: record.key().clone(),
        json: record.to_json().to_string(),
        quality: "[]".into(),
        native_digest: Digest::of(&[7; 40]),
        native: vec![7; 40],
        lane: lane.clone(),
        sequence,
        ledger: ledger_id(1),
        position: Position { height: Height::new(height), transaction: 0, event: 0 },
        item: 0,
        block_hash: BlockHash::from_bytes(*Digest::of(&height.to_be_bytes()).as_bytes()),
        block_time: Timestamp::from_seconds(1_000 + height).unwrap(),
        finality: Finality::BftFinal,
        assurance: Assurance::Proven,
        control: Control::Fixed,
        completeness: Completeness::Ledger,
        policy: Digest::of(b"policy"),
        observed_at: now(),
    }
}

pub(crate) fn believed(record: RecordStep) -> (LeafKind, Fate) {
    (LeafKind::Record, Fate::Record(Box::new(record)))
}

pub(crate) fn held(reason: &str) -> (LeafKind, Fate) {
    let record = Some(json!({ "poison": true }).to_string());
    (LeafKind::Record, Fate::Held(HeldStep { reason: reason.into(), detail: "expected a, got b".into(), record }))
}

fn sealed() -> (LeafKind, Fate) {
    (LeafKind::Sealed, Fate::Told)
}

fn definition() -> Definition {
    Definition {
        ledger: ledger_id(1),
        from_height: Height::new(1),
        selector: json!({ "contract": "0xabc" }),
        decoder: VersionedName { name: "sim".into(), version: 1 },
        mapping: Digest::of(b"mapping"),
        schemas: vec![],
        tag_key: TagKey::from_bytes([9; 32]),
    }
}

async fn admit(store: &Store, step: AdmitStep) -> Result<crate::Admitted, StoreError> {
    store.admit_step(Role::Inbox, step, now()).await
}

fn release(lane: &LaneId, index: u64, fate: Fate) -> ReleaseStep {
    ReleaseStep { lane: lane.clone(), index, fate, evidence: vec![], at: now() }
}

async fn all_records(store: &Store) -> Vec<StoredRecord> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let some = store.records_after(from, 0).await.unwrap();
        let Some(last) = some.last() else { return all };
        from = last.offset;
        all.extend(some);
    }
}

/// Whatever happened, these hold: the leaves rebuild the edge, each believed record leaf has its record with content, and
/// each of the others is held or told.
pub(crate) async fn audit(store: &Store) {
    for state in [store.lanes(Role::Inbox).await.unwrap(), store.lanes(Role::Origin).await.unwrap()].concat() {
        let mut edge = Edge::empty();
        while edge.size() < state.edge.size() {
            let leaves = store.leaves(&state.lane, edge.size(), 4_096).await.unwrap();
            assert!(!leaves.is_empty(), "{} ends at leaf {}", state.lane, edge.size());
            for leaf in leaves {
                assert_eq!(leaf.index, edge.size());
                edge.append(leaf.entry.leaf_hash());
                if let Some(offset) = leaf.record {
                    store.record_at(offset).await.unwrap().unwrap().record().unwrap();
                }
            }
        }
        assert_eq!(edge, state.edge, "{}", state.lane);
        assert!(store.leaves(&state.lane, edge.size(), 1).await.unwrap().is_empty(), "leaves past the edge");
    }
    for record in all_records(store).await {
        let leaf = store.leaves(&record.lane, record.sequence, 1).await.unwrap();
        assert_eq!(leaf.first().and_then(|leaf| leaf.record), Some(record.offset));
    }
    for held in store.held(None, 0, 500).await.unwrap() {
        let leaf = store.leaves(&held.lane, held.index, 1).await.unwrap();
        assert_eq!(leaf.first().map(|leaf| leaf.record), Some(None));
    }
}

// Ledgers.

pub(crate) async fn heads_move_by_compare_and_swap(place: impl Place) {
    let store = place.create().await;
    let ledger = ledger_id(1);
    assert_eq!(store.head(&ledger).await.unwrap(), None);
    assert_eq!(store.advance(advance(Some(0), 3, 1..=3, 0)).await.unwrap_err().reason(), "store-conflict");
    store.advance(advance(None, 3, 1..=5, 0)).await.unwrap();
    let row = store.head(&ledger).await.unwrap().unwrap();
    assert_eq!((row.head, row.final_to, row.frozen), (head(3), Some(Height::new(3)), None));
    assert_eq!(store.advance(advance(None, 4, 4..=4, 0)).await.unwrap_err().reason(), "store-conflict");
    assert_eq!(store.advance(advance(Some(2), 4, 4..=4, 0)).await.unwrap_err().reason(), "store-conflict");
    store.advance(advance(Some(3), 4, 4..=5, 0)).await.unwrap();
    assert_eq!(store.trusted_blocks(&ledger, Height::new(2), 10).await.unwrap().len(), 3);
    assert_eq!(store.trusted_block(&ledger, Height::new(4)).await.unwrap(), Some(block(&ledger, 4, 0)));
    assert_eq!(store.trusted_block(&ledger, Height::new(5)).await.unwrap(), None);
    assert_eq!(store.ledgers().await.unwrap(), [ledger]);
}

pub(crate) async fn two_advances_race_and_one_wins(place: impl Place) {
    let store = place.create().await;
    store.advance(advance(None, 1, 1..=1, 0)).await.unwrap();
    let (a, b) =
        tokio::join!(store.advance(advance(Some(1), 2, 2..=2, 1)), store.advance(advance(Some(1), 2, 2..=2, 2)));
    assert_eq!([&a, &b].iter().filter(|it| it.is_ok()).count(), 1, "{a:?} {b:?}");
    assert!([a, b].into_iter().filter_map(Result::err).all(|error| error.is_transient()));
}

pub(crate) async fn a_new_tail_replaces_the_old_one_and_never_what_is_final(place: impl Place) {
    let store = place.create().await;
    store.advance(advance(None, 3, 1..=7, 1)).await.unwrap();
    // A fork of the tail, delivered with an overlap over final steps that nobody judged again.
    store.advance(advance(Some(3), 4, 2..=6, 2)).await.unwrap();
    let steps = store.steps(&ledger_id(1), Height::new(1), 100).await.unwrap();
    let marks: Vec<(u64, u8)> = steps.iter().map(|step| (step.height.get(), step.bytes[0])).collect();
    assert_eq!(marks, [(1, 1), (2, 1), (3, 1), (4, 2), (5, 2), (6, 2)]);
    // Without steps the tail stays.
    store.advance(LedgerAdvance { steps: vec![], ..advance(Some(4), 4, 1..=1, 0) }).await.unwrap();
    assert_eq!(store.steps(&ledger_id(1), Height::new(1), 100).await.unwrap(), steps);
    let unsorted = LedgerAdvance { steps: vec![step(6, 3), step(5, 3)], ..advance(Some(4), 4, 1..=1, 0) };
    assert_eq!(store.advance(unsorted).await.unwrap_err().reason(), "store-refused");
    assert_eq!(store.steps(&ledger_id(1), Height::new(1), 100).await.unwrap(), steps);
}

/// A ledger whose blocks trail its head by one goes on above a step that is not final yet.
pub(crate) async fn a_tail_that_is_built_on_stays(place: impl Place) {
    let store = place.create().await;
    for (from, to) in [(None, 1), (Some(1), 2), (Some(2), 3)] {
        let steps = if to == 1 { 1..=2 } else { to + 1..=to + 1 };
        store.advance(advance(from, to, steps, u8::try_from(to).unwrap())).await.unwrap();
    }
    let steps = store.steps(&ledger_id(1), Height::new(1), 100).await.unwrap();
    let marks: Vec<(u64, u8)> = steps.iter().map(|step| (step.height.get(), step.bytes[0])).collect();
    assert_eq!(marks, [(1, 1), (2, 1), (3, 2), (4, 3)]);
}

pub(crate) async fn steps_are_given_without_a_gap_or_not_at_all(place: impl Place) {
    let store = place.create().await;
    let heights = [10, 11, 13, 14].map(|height| step(height, 0)).to_vec();
    let first = LedgerAdvance { steps: heights, blocks: vec![], ..advance(None, 14, 1..=1, 0) };
    store.advance(first).await.unwrap();
    let heights = async |from: u64, limit| -> Vec<u64> {
        let steps = store.steps(&ledger_id(1), Height::new(from), limit).await.unwrap();
        steps.iter().map(|step| step.height.get()).collect()
    };
    assert_eq!(heights(10, 9).await, [10, 11]);
    assert_eq!(heights(10, 1).await, [10]);
    assert_eq!(heights(9, 9).await, [0u64; 0]);
    assert_eq!(heights(12, 9).await, [0u64; 0]);
    assert_eq!(heights(13, 9).await, [13, 14]);
    assert_eq!(heights(u64::MAX, 9).await, [0u64; 0]);
}

pub(crate) async fn a_second_block_of_a_trusted_height_is_refused_with_its_whole_step(place: impl Place) {
    let store = place.create().await;
    let ledger = ledger_id(1);
    store.advance(advance(None, 3, 1..=3, 0)).await.unwrap();
    let forked =
        LedgerAdvance { blocks: vec![block(&ledger, 4, 0), block(&ledger, 3, 9)], ..advance(Some(3), 4, 4..=4, 0) };
    assert_eq!(store.advance(forked).await.unwrap_err().reason(), "store-refused");
    assert_eq!(store.head(&ledger).await.unwrap().unwrap().head, head(3));
    assert_eq!(store.trusted_block(&ledger, Height::new(4)).await.unwrap(), None);
    let stray = LedgerAdvance { blocks: vec![block(&ledger_id(2), 4, 0)], ..advance(Some(3), 4, 4..=4, 0) };
    assert_eq!(store.advance(stray).await.unwrap_err().reason(), "store-refused");
    // The same block once more is no harm.
    let again = LedgerAdvance { blocks: vec![block(&ledger, 3, 0)], ..advance(Some(3), 4, 4..=4, 0) };
    store.advance(again).await.unwrap();
}

pub(crate) async fn a_reorganisation_makes_room_and_keeps_what_it_undid(place: impl Place) {
    let store = place.create().await;
    let ledger = ledger_id(1);
    store.advance(advance(None, 5, 1..=7, 1)).await.unwrap();
    assert_eq!(store.last_undone(&ledger).await.unwrap(), 0);
    let other = |height| block(&ledger, height, 9);
    let undone = |from| Some(Undone { from: Height::new(from), act: act("a better branch") });
    let branch = LedgerAdvance {
        blocks: vec![other(4), other(5), other(6)],
        undone: undone(4),
        ..advance(Some(5), 6, 4..=8, 2)
    };
    // Nothing above the trusted blocks is undone, and nothing without saying so.
    let beyond = LedgerAdvance { undone: undone(6), ..branch.clone() };
    assert_eq!(store.advance(beyond).await.unwrap_err().reason(), "store-refused");
    let silent = LedgerAdvance { undone: None, ..branch.clone() };
    assert_eq!(store.advance(silent).await.unwrap_err().reason(), "store-refused");
    store.advance(branch).await.unwrap();
    let trusted = store.trusted_blocks(&ledger, Height::new(3), 10).await.unwrap();
    assert_eq!(trusted, [block(&ledger, 3, 0), other(4), other(5), other(6)]);
    let steps = store.steps(&ledger, Height::new(1), 20).await.unwrap();
    assert_eq!(steps.iter().map(|step| step.bytes[0]).collect::<Vec<_>>(), [1, 1, 1, 2, 2, 2, 2, 2]);
    assert_eq!(store.head(&ledger).await.unwrap().unwrap().final_to, Some(Height::new(6)));
    let gone = store.undone_blocks(&ledger, 0, 10).await.unwrap();
    assert_eq!(gone.iter().map(|(_, it)| it.clone()).collect::<Vec<_>>(), [block(&ledger, 4, 0), block(&ledger, 5, 0)]);
    assert_eq!(store.last_undone(&ledger).await.unwrap(), gone[1].0);
    assert!(store.was_undone(&ledger, Height::new(5), &gone[1].1.hash()).await.unwrap());
    assert!(!store.was_undone(&ledger, Height::new(5), &other(5).hash()).await.unwrap());
    let log = store.operator_log(0, 10).await.unwrap();
    assert_eq!((log.len(), log[0].what.as_str(), log[0].subject.as_str()), (1, "reorganise-ledger", ledger.as_str()));
    // A branch may be shorter than what it undoes.
    let shorter =
        LedgerAdvance { blocks: vec![block(&ledger, 5, 7)], undone: undone(5), ..advance(Some(6), 5, 5..=5, 3) };
    store.advance(shorter).await.unwrap();
    assert_eq!(store.head(&ledger).await.unwrap().unwrap().final_to, Some(Height::new(5)));
    assert_eq!(store.trusted_block(&ledger, Height::new(6)).await.unwrap(), None);
}

pub(crate) async fn what_a_reorganisation_took_back_is_told_in_order_and_stands_in_nobodys_way(place: impl Place) {
    let store = place.create().await;
    let (mut pen, mut second) = (Pen::new("a"), Pen::new("b"));
    let records: Vec<RecordStep> = (0..2).map(|ahead| pen.record(ahead)).collect();
    let fates = records.iter().cloned().map(believed).chain([held("block-differs")]).collect();
    admit(&store, pen.admit(fates)).await.unwrap();
    // Another lane brings the first event too.
    let same = RecordStep { lane: second.state.lane.clone(), sequence: 0, ..records[0].clone() };
    assert_eq!(admit(&store, second.admit(vec![believed(same)])).await.unwrap().duplicates, 1);
    // Both are taken back, and the held leaf; the first event comes again in another block, under another record id.
    let again = RecordStep {
        sequence: pen.size() + 3,
        block_hash: BlockHash::from_bytes([8; 32]),
        ..record(&pen.state.lane, 0, 7, "e-certificate", "K1")
    };
    let again = RecordStep { position: records[0].position, ..again };
    let back = |named| (LeafKind::Retract, Fate::Retract(named, "reorganised"));
    let admitted = admit(&store, pen.admit(vec![back(2), back(1), back(0), believed(again)])).await.unwrap();
    assert_eq!((admitted.retracted, admitted.records, admitted.duplicates), (2, 1, 0));
    assert!(store.held(None, 0, 10).await.unwrap().is_empty());

    let all = all_records(&store).await;
    let taken_back = store.retractions_after(0, 10).await.unwrap();
    let offset = |it: &StoredRecord| it.retracted.as_ref().map(|retracted| retracted.offset);
    assert_eq!(all.iter().map(|it| it.offset).collect::<Vec<_>>(), [1, 2, 6], "an offset went to the duplicate");
    assert_eq!(taken_back.iter().map(|it| (it.offset, offset(it))).collect::<Vec<_>>(), [(2, Some(4)), (1, Some(5))]);
    assert_eq!((store.last_offset().await.unwrap(), store.stats().await.unwrap().last_offset), (6, 6));
    assert_eq!(taken_back[0].retracted.as_ref().map(|it| (it.at, it.reason.as_str())), Some((now(), "reorganised")));
    assert!(store.retractions_after(5, 10).await.unwrap().is_empty());
    // What holds of a key is the record that stands.
    assert_eq!(store.by_key(&records[0].key).await.unwrap().unwrap().offset, 6);
    assert_eq!(store.by_key(&records[1].key).await.unwrap(), None);
    assert!(store.record(&records[1].id).await.unwrap().unwrap().retracted.is_some());
    // The other lane takes it back too: it was told once.
    assert_eq!(admit(&store, second.admit(vec![back(0)])).await.unwrap().retracted, 0);
    // The ledger returns to the first branch: the very same record holds again.
    let returned = RecordStep { sequence: pen.size(), ..records[1].clone() };
    assert_eq!(admit(&store, pen.admit(vec![believed(returned)])).await.unwrap().records, 1);
    assert_eq!(store.record(&records[1].id).await.unwrap().unwrap().retracted, None);
    audit(&store).await;
}

pub(crate) async fn decision_9_a_frozen_ledger_moves_only_after_an_operator_acts(place: impl Place) {
    let store = place.create().await;
    let ledger = ledger_id(1);
    assert_eq!(store.freeze_ledger(&ledger, json!({}), act("x")).await.unwrap_err().reason(), "store-refused");
    store.advance(advance(None, 3, 1..=3, 0)).await.unwrap();
    let artefacts = json!({ "first": "aa", "second": "bb" });
    store.freeze_ledger(&ledger, artefacts.clone(), act("two headers of height 3")).await.unwrap();
    let refused = store.advance(advance(Some(3), 4, 4..=4, 0)).await.unwrap_err();
    assert_eq!(refused, StoreError::Frozen { subject: ledger.to_string(), why: "two headers of height 3".into() });
    store.close().await;
    let store = place.open().await;
    assert!(store.head(&ledger).await.unwrap().unwrap().frozen.is_some());
    store.thaw_ledger(&ledger, act("the vendor explained")).await.unwrap();
    store.advance(advance(Some(3), 4, 4..=4, 0)).await.unwrap();
    let log = store.operator_log(0, 10).await.unwrap();
    let whats: Vec<&str> = log.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(whats, ["freeze-ledger", "thaw-ledger"]);
    assert_eq!((&log[0].artefacts, &log[0].act), (&Some(artefacts), &act("two headers of height 3")));
    assert_eq!(store.operator_log(log[0].id, 10).await.unwrap(), log[1..]);
}

pub(crate) async fn decision_10_an_operator_reanchors_and_the_left_branch_is_forgotten(place: impl Place) {
    let store = place.create().await;
    let ledger = ledger_id(1);
    store.advance(advance(None, 5, 1..=8, 1)).await.unwrap();
    store.reanchor_ledger(&ledger, Height::new(4), head(0), act("fork at 4")).await.unwrap();
    let row = store.head(&ledger).await.unwrap().unwrap();
    assert_eq!((row.head, row.final_to), (head(0), Some(Height::new(3))));
    let known: Vec<u64> =
        store.trusted_blocks(&ledger, Height::new(0), 9).await.unwrap().iter().map(|b| b.height().get()).collect();
    assert_eq!(known, [1, 2, 3]);
    assert_eq!(store.steps(&ledger, Height::new(1), 9).await.unwrap().len(), 3);
    let other = LedgerAdvance { blocks: vec![block(&ledger, 4, 7)], ..advance(Some(0), 4, 4..=6, 2) };
    store.advance(other).await.unwrap();
    let marks: Vec<u8> = store.steps(&ledger, Height::new(1), 9).await.unwrap().iter().map(|s| s.bytes[0]).collect();
    assert_eq!(marks, [1, 1, 1, 2, 2, 2]);
    assert_eq!(store.operator_log(0, 9).await.unwrap()[0].what, "reanchor-ledger");
}

// Lanes.

pub(crate) async fn everything_of_an_admission_is_read_back(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    let lane = pen.state.lane.clone();
    assert_eq!(store.lane(&lane).await.unwrap(), None);
    pen.state.definitions.push(LaneDefinition { sequence: 0, definition: definition() });
    pen.state.covered = Some(Height::new(9));
    let (first, second) = (pen.record(1), pen.record(4));
    let fates = vec![
        (LeafKind::Definition, Fate::Told),
        believed(first.clone()),
        held("mapping-unknown"),
        sealed(),
        believed(second.clone()),
        (LeafKind::Covered, Fate::Told),
        (LeafKind::Skipped, Fate::Told),
    ];
    let mut step = pen.admit(fates);
    let root = step.after.edge.root();
    let checkpoint = Checkpoint { lane: lane.clone(), size: 7, root, time: now() };
    step.after.seen = Some((checkpoint, "note".into()));
    step.documents.push(DocumentStep {
        kind: DocumentKind::Mapping,
        digest: Digest::of(b"m"),
        json: "{\"a\":1}".into(),
    });
    let kept =
        KeptEvidence { ledger: ledger_id(1), height: Height::new(1), hash: first.block_hash, bytes: vec![1, 2, 3] };
    step.evidence.push(kept);
    let after = step.after.clone();
    let leaves = step.leaves.clone();
    let admitted = admit(&store, step).await.unwrap();
    assert_eq!((admitted.from, admitted.to, admitted.records), (0, 7, 2));
    assert_eq!((admitted.held, admitted.sealed, admitted.skipped, admitted.duplicates), (1, 1, 1, 0));
    store.close().await;

    let store = place.open().await;
    assert_eq!(store.lane(&lane).await.unwrap(), Some(after.clone()));
    assert_eq!(store.lanes(Role::Inbox).await.unwrap(), [after]);
    assert_eq!(store.lanes(Role::Origin).await.unwrap(), []);
    let stored = store.leaves(&lane, 0, 100).await.unwrap();
    for (stored, leaf) in stored.iter().zip(&leaves) {
        assert_eq!((stored.index, stored.entry, stored.kind), (leaf.index, leaf.entry, leaf.kind));
        assert_eq!(stored.statement, leaf.statement);
    }
    assert_eq!(stored.len(), 7);
    let offsets: Vec<_> = stored.iter().filter_map(|leaf| leaf.record).collect();
    assert_eq!(offsets, admitted.offsets);
    assert_eq!(store.entries(&lane, 5, 100).await.unwrap(), [leaves[5].entry, leaves[6].entry]);
    let back = store.record(&first.id).await.unwrap().unwrap();
    assert_eq!((back.offset, back.record().unwrap().id(), &back.lane), (admitted.offsets[0], first.id, &lane));
    assert_eq!((back.position, back.item, back.block_hash), (first.position, 0, first.block_hash));
    assert_eq!((back.assurance, back.finality), (Assurance::Proven, Finality::BftFinal));
    assert_eq!(back.control, Control::Fixed);
    assert_eq!((back.native, back.sequence, back.admitted_at), (first.native, 1, now()));
    assert_eq!(store.by_key(&second.key).await.unwrap().unwrap().id, second.id);
    assert_eq!(store.record(&RecordId::from_digest(Digest::of(b"no"))).await.unwrap(), None);
    let evidence = store.evidence(&lane, Height::new(1), &first.block_hash).await.unwrap();
    assert_eq!(evidence, Some(vec![1, 2, 3]));
    assert_eq!(store.document(DocumentKind::Mapping, &Digest::of(b"m")).await.unwrap(), Some(json!({"a": 1})));
    assert_eq!(store.document(DocumentKind::Schema, &Digest::of(b"m")).await.unwrap(), None);
    let held = store.held(Some(&lane), 0, 10).await.unwrap();
    assert_eq!((held[0].index, held[0].reason.as_str(), held[0].tries), (2, "mapping-unknown", 1));
    assert_eq!(held[0].entry, leaves[2].entry);
    assert_eq!(store.held_counts().await.unwrap()[0].count, 1);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.leaves, stats.lanes, stats.held, stats.last_offset), (7, 1, 1, admitted.offsets[1]));
    audit(&store).await;
}

pub(crate) async fn proofs_are_made_from_stored_nodes(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    let lane = pen.state.lane.clone();
    let mut roots = Vec::new();
    for count in [1u64, 255, 1, 300, 5, 467] {
        let step = pen.admit((0..count).map(|_| sealed()).collect());
        roots.push((step.after.edge.size(), step.after.edge.root()));
        admit(&store, step).await.unwrap();
    }
    let (size, root) = roots[roots.len() - 1];
    let entries = store.entries(&lane, 0, 4_096).await.unwrap();
    for index in [0, 1, 127, 128, 255, 256, 511, 512, 767, 768, size - 2, size - 1] {
        let ids = nodes_needed(|nodes| inclusion_proof(nodes, index, size));
        let nodes: HashMap<NodeId, Digest> = store.nodes(&lane, &ids).await.unwrap();
        let proof = inclusion_proof(&|id| nodes.get(&id).copied(), index, size).unwrap();
        let leaf = entries[usize::try_from(index).unwrap()].leaf_hash();
        assert_eq!(verify_inclusion(index, size, leaf, &proof, &root), Ok(()), "leaf {index}");
    }
    for (old, old_root) in &roots {
        let ids = nodes_needed(|nodes| consistency_proof(nodes, *old, size));
        let nodes = store.nodes(&lane, &ids).await.unwrap();
        let proof = consistency_proof(&|id| nodes.get(&id).copied(), *old, size).unwrap();
        assert_eq!(verify_consistency(*old, size, old_root, &root, &proof), Ok(()), "from {old}");
    }
    let beyond =
        [(0, size), (3, size / 8), (9, 4), (63, 1), (5, u64::MAX)].map(|(level, index)| NodeId { level, index });
    assert_eq!(store.nodes(&lane, &beyond).await.unwrap(), HashMap::new());
    assert_eq!(store.nodes(&lane, &[beyond[0]; 5_000]).await.unwrap_err().reason(), "store-refused");
}

pub(crate) async fn two_admissions_race_and_one_wins(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    admit(&store, pen.records(3)).await.unwrap();
    let (one, two) = (pen.clone().records(2), pen.clone().records(5));
    let (a, b) = tokio::join!(admit(&store, one), admit(&store, two));
    let won: Vec<_> = [&a, &b].into_iter().filter_map(|it| it.as_ref().ok()).collect();
    assert_eq!(won.len(), 1, "{a:?} {b:?}");
    let lost = [&a, &b].into_iter().find_map(|it| it.as_ref().err()).unwrap();
    assert_eq!(*lost, StoreError::conflict("lane size", 3, won[0].to));
    assert_eq!(all_records(&store).await.len() as u64, won[0].to);
    audit(&store).await;
}

pub(crate) async fn an_admission_that_does_not_close_writes_nothing(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    admit(&store, pen.records(3)).await.unwrap();
    let good = pen.clone().records(4);
    let refused = async |change: fn(&mut AdmitStep)| {
        let mut bad = good.clone();
        change(&mut bad);
        admit(&store, bad).await.unwrap_err().reason()
    };
    assert_eq!(refused(|step| drop(step.leaves.pop())).await, "store-refused", "a dropped leaf");
    assert_eq!(refused(|step| step.leaves.swap(1, 2)).await, "store-refused", "reordered leaves");
    assert_eq!(refused(|step| step.leaves[1] = step.leaves[0].clone()).await, "store-refused", "a repeated leaf");
    let other = |step: &mut AdmitStep| step.leaves[3].entry = Entry::new(KeyTag::NONE, Digest::of(b"edited"));
    assert_eq!(refused(other).await, "store-refused", "an edited leaf");
    let moved = |step: &mut AdmitStep| {
        if let Fate::Record(record) = &mut step.leaves[0].fate {
            record.sequence += 1;
        }
    };
    assert_eq!(refused(moved).await, "store-refused", "another leaf's record");
    assert_eq!(refused(|step| step.before = 2).await, "store-conflict", "another state");
    let gap = AdmitStep { before: 9, ..Pen::new("unknown").records(1) };
    assert_eq!(admit(&store, gap).await.unwrap_err().reason(), "store-conflict", "a lane that begins in the middle");
    assert_eq!(all_records(&store).await.len(), 3);
    audit(&store).await;
    admit(&store, good).await.unwrap();
    assert_eq!(all_records(&store).await.len(), 7);
}

pub(crate) async fn a_lane_keeps_its_role(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    store.admit_step(Role::Origin, pen.records(1), now()).await.unwrap();
    assert_eq!(admit(&store, pen.records(1)).await.unwrap_err().reason(), "store-refused");
}

pub(crate) async fn decision_4_one_event_by_two_lanes_is_one_record(place: impl Place) {
    let store = place.create().await;
    let (mut one, mut two) = (Pen::new("rights"), Pen::new("rights-again"));
    admit(&store, one.records(40)).await.unwrap();
    let second = admit(&store, two.records(50)).await.unwrap();
    assert_eq!((second.records, second.duplicates, second.differing), (10, 40, 0));
    let records = all_records(&store).await;
    assert_eq!(records.len(), 50);
    let leaves = store.leaves(&two.state.lane, 0, 100).await.unwrap();
    let links: Vec<_> = leaves.iter().filter_map(|leaf| leaf.record).collect();
    assert_eq!(links, records.iter().map(|record| record.offset).collect::<Vec<_>>());
    // The same event as another record: still one event, the first one stands, and it is said.
    let mut three = Pen::new("another-mapping");
    let other = record(&three.state.lane, 0, 7, "property-right", "other");
    let third = admit(&store, three.admit(vec![believed(other)])).await.unwrap();
    assert_eq!((third.records, third.duplicates, third.differing), (0, 1, 1));
    assert_eq!(all_records(&store).await, records);
}

/// Two storage slots may be given one place: whoever writes a contract can look for such a slot, and its lane may come first.
pub(crate) async fn an_item_ground_onto_another_ones_place_suppresses_nothing(place: impl Place) {
    let store = place.create().await;
    let (mut attacker, mut department, mut again) = (Pen::new("ground"), Pen::new("seats"), Pen::new("seats-again"));
    let (lane, native) = (attacker.state.lane.clone(), vec![9; 40]);
    let native_digest = Digest::of(&native);
    let ground = RecordStep { native, native_digest, ..record(&lane, 0, 5, "property-right", "ground") };
    admit(&store, attacker.admit(vec![believed(ground.clone())])).await.unwrap();
    let change = record(&department.state.lane, 0, 5, "property-right", "seat");
    assert_eq!((change.position, change.block_hash), (ground.position, ground.block_hash));
    let admitted = admit(&store, department.admit(vec![believed(change.clone())])).await.unwrap();
    assert_eq!((admitted.records, admitted.duplicates, admitted.differing), (1, 0, 0), "two items are two events");
    // The department's change, brought by a third lane, is its own and not the attacker's.
    let same = RecordStep { lane: again.state.lane.clone(), ..change.clone() };
    let admitted = admit(&store, again.admit(vec![believed(same)])).await.unwrap();
    assert_eq!((admitted.records, admitted.duplicates, admitted.differing), (0, 1, 0));
    assert_eq!(store.leaves(&again.state.lane, 0, 1).await.unwrap()[0].record, Some(2));
    assert_eq!(store.by_key(&change.key).await.unwrap().unwrap().offset, 2);
    assert_eq!(store.by_key(&ground.key).await.unwrap().unwrap().offset, 1);
    audit(&store).await;
}

pub(crate) async fn decision_7_a_held_leaf_does_not_block_a_later_revocation(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("certificates");
    let lane = pen.state.lane.clone();
    let issued = record(&lane, 0, 1, "e-certificate", "A-1");
    let revoked = record(&lane, 1, 2, "e-certificate", "A-1");
    let admitted = admit(&store, pen.admit(vec![held("record-schema"), believed(revoked.clone())])).await.unwrap();
    assert_eq!((admitted.held, admitted.records), (1, 1));
    assert_eq!(store.by_key(&revoked.key).await.unwrap().unwrap().id, revoked.id);
    // The issue is released after the revocation arrived; the revocation is still what stands.
    let offset = store.release_step(release(&lane, 0, Fate::Record(Box::new(issued.clone())))).await.unwrap();
    assert!(offset > Some(admitted.offsets[0]));
    assert_eq!(store.by_key(&revoked.key).await.unwrap().unwrap().id, revoked.id);
    assert_eq!(store.record(&issued.id).await.unwrap().map(|it| it.offset), offset);
    audit(&store).await;
}

pub(crate) async fn a_held_leaf_is_released_once(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("certificates");
    let lane = pen.state.lane.clone();
    admit(&store, pen.admit(vec![held("a"), held("a"), held("b")])).await.unwrap();
    let counts: Vec<_> = store.held_counts().await.unwrap().into_iter().map(|it| (it.reason, it.count)).collect();
    assert_eq!(counts, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    let (_, again) = held("c");
    assert_eq!(store.release_step(release(&lane, 1, again.clone())).await.unwrap(), None);
    let list = store.held(Some(&lane), 0, 10).await.unwrap();
    assert_eq!((list[1].reason.as_str(), list[1].tries), ("c", 2));
    assert_eq!(store.held(Some(&lane), list[0].id, 1).await.unwrap(), list[1..2]);
    assert_eq!(store.held(Some(&lane_id("other")), 0, 10).await.unwrap(), []);

    let wrong = Fate::Record(Box::new(record(&lane, 2, 1, "x", "k")));
    assert_eq!(store.release_step(release(&lane, 1, wrong)).await.unwrap_err().reason(), "store-refused");
    let good = Fate::Record(Box::new(record(&lane, 1, 1, "x", "k")));
    assert!(store.release_step(release(&lane, 1, good.clone())).await.unwrap().is_some());
    assert_eq!(store.release_step(release(&lane, 1, good)).await.unwrap_err().reason(), "store-conflict");
    assert_eq!(store.release_step(release(&lane, 1, again)).await.unwrap_err().reason(), "store-conflict");
    assert_eq!(store.held(None, 0, 10).await.unwrap().len(), 2);
    audit(&store).await;
}

pub(crate) async fn held_evidence_gives_way_and_proved_evidence_stays(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    let lane = pen.state.lane.clone();
    let good = record(&lane, 1, 5, "x", "k");
    let kept = |bytes: &[u8]| KeptEvidence {
        ledger: ledger_id(1),
        height: Height::new(5),
        hash: good.block_hash,
        bytes: bytes.to_vec(),
    };
    let read = async || store.evidence(&lane, Height::new(5), &good.block_hash).await.unwrap().unwrap();
    let mut poisoned = pen.admit(vec![held("bad-proof")]);
    poisoned.evidence.push(kept(b"poison"));
    admit(&store, poisoned).await.unwrap();
    assert_eq!(read().await, b"poison");
    let mut proven = pen.admit(vec![believed(good.clone())]);
    proven.evidence.push(kept(b"good"));
    admit(&store, proven).await.unwrap();
    assert_eq!(read().await, b"good");
    let mut again = pen.admit(vec![held("bad-proof")]);
    again.evidence.push(kept(b"poison"));
    admit(&store, again).await.unwrap();
    assert_eq!(read().await, b"good");
    // Another lane's definition may ask something else of the same block.
    let mut other = Pen::new("slots");
    let mut proofs = other.admit(vec![held("bad-proof")]);
    proofs.evidence.push(kept(b"proofs"));
    admit(&store, proofs).await.unwrap();
    let theirs = store.evidence(&other.state.lane, Height::new(5), &good.block_hash).await.unwrap();
    assert_eq!((read().await, theirs), (b"good".to_vec(), Some(b"proofs".to_vec())));
    let between = store.evidence_between(&other.state.lane, Height::new(0), Height::new(9)).await.unwrap();
    assert_eq!(between, [(Height::new(5), good.block_hash, b"proofs".to_vec())]);
}

pub(crate) async fn a_signed_checkpoint_binds_for_ever(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    let lane = pen.state.lane.clone();
    let sign = |pen: &Pen, later: u64| Checkpoint {
        lane: pen.state.lane.clone(),
        size: pen.state.edge.size(),
        root: pen.state.edge.root(),
        time: now().plus(later),
    };
    let early = sign(&pen, 0);
    assert_eq!(store.put_checkpoint(early, "n".into()).await.unwrap_err().reason(), "store-refused", "unknown lane");
    store.admit_step(Role::Origin, pen.records(3), now()).await.unwrap();
    let three = sign(&pen, 0);
    store.put_checkpoint(three.clone(), "three".into()).await.unwrap();
    assert_eq!(store.lane(&lane).await.unwrap().unwrap().seen, Some((three.clone(), "three".into())));
    store.close().await;

    let store = place.open().await;
    let rewritten = Checkpoint { root: Digest::of(b"rewritten"), ..three.clone() };
    let refused = store.put_checkpoint(rewritten, "n".into()).await.unwrap_err();
    assert_eq!(refused.reason(), "store-refused", "{refused}");
    let smaller = Checkpoint { size: 2, ..three.clone() };
    assert_eq!(store.put_checkpoint(smaller, "n".into()).await.unwrap_err().reason(), "store-refused");
    let larger = Checkpoint { size: 4, ..three.clone() };
    assert_eq!(store.put_checkpoint(larger, "n".into()).await.unwrap_err().reason(), "store-conflict");
    store.put_checkpoint(sign(&pen, 60), "heartbeat".into()).await.unwrap();
    store.admit_step(Role::Origin, pen.records(2), now()).await.unwrap();
    let outdated = Checkpoint { time: now().plus(60), ..three.clone() };
    let outdated = store.put_checkpoint(outdated, "n".into()).await.unwrap_err();
    assert_eq!(outdated.reason(), "store-conflict", "an admission went between");
    let earlier = store.put_checkpoint(sign(&pen, 59), "n".into()).await.unwrap_err();
    assert_eq!(earlier.reason(), "store-refused", "a lane's time never goes back");
    let other_root = Checkpoint { root: Digest::of(b"other"), ..sign(&pen, 60) };
    assert_eq!(store.put_checkpoint(other_root, "n".into()).await.unwrap_err().reason(), "store-refused");
    store.put_checkpoint(sign(&pen, 60), "five".into()).await.unwrap();

    let mut inbox = Pen::new("foreign");
    admit(&store, inbox.records(1)).await.unwrap();
    let foreign = sign(&inbox, 0);
    assert_eq!(store.put_checkpoint(foreign, "n".into()).await.unwrap_err().reason(), "store-refused");
}

pub(crate) async fn a_checkpoint_judged_on_a_state_that_moved_is_a_conflict(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    admit(&store, pen.records(2)).await.unwrap();
    let lane = pen.state.lane.clone();
    let seen = async |size: u64, root: &[u8], later: u64| {
        let mut step = pen.clone().admit(vec![]);
        let checkpoint = Checkpoint { lane: lane.clone(), size, root: Digest::of(root), time: now().plus(later) };
        step.after.seen = Some((checkpoint, format!("{size} at {later}")));
        admit(&store, step).await.map(drop).map_err(|error| error.reason())
    };
    assert_eq!(seen(10, b"ten", 0).await, Ok(()));
    assert_eq!(seen(9, b"nine", 0).await, Err("store-conflict"));
    assert_eq!(seen(10, b"another ten", 0).await, Err("store-conflict"));
    assert_eq!(seen(2, b"not the root of the two leaves", 0).await, Err("store-refused"));
    assert_eq!(seen(10, b"ten", 5).await, Ok(()));
    assert_eq!(seen(10, b"ten", 3).await, Ok(()));
    assert_eq!(store.lane(&lane).await.unwrap().unwrap().seen.unwrap().1, "10 at 5");
}

pub(crate) async fn a_frozen_lane_refuses_everything(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    let lane = pen.state.lane.clone();
    assert_eq!(store.freeze_lane(&lane, None, act("x")).await.unwrap_err().reason(), "store-refused");
    let first = pen.admit(vec![held("a")]);
    store.admit_step(Role::Origin, first, now()).await.unwrap();
    let two = Misconduct {
        lane: lane.clone(),
        reason: "equivocation",
        detail: "two roots".into(),
        sequence: None,
        signed: "a".into(),
        against: "b".into(),
    };
    store.freeze_lane(&lane, Some(two.clone()), act("equivocation")).await.unwrap();
    assert_eq!(store.lane(&lane).await.unwrap().unwrap().frozen.as_deref(), Some("equivocation"));
    let frozen = |error: StoreError| assert_eq!(error.reason(), "store-frozen");
    frozen(store.admit_step(Role::Origin, pen.clone().records(1), now()).await.unwrap_err());
    frozen(store.release_step(release(&lane, 0, held("b").1)).await.unwrap_err());
    let checkpoint = Checkpoint { lane: lane.clone(), size: 1, root: pen.state.edge.root(), time: now() };
    frozen(store.put_checkpoint(checkpoint, "n".into()).await.unwrap_err());
    // Other lanes go on.
    admit(&store, Pen::new("other").records(1)).await.unwrap();
    store.thaw_lane(&lane, act("settled")).await.unwrap();
    store.admit_step(Role::Origin, pen.records(1), now()).await.unwrap();
    store.log_act("retry", lane.to_string(), act("after the thaw")).await.unwrap();
    let log = store.operator_log(0, 9).await.unwrap();
    let whats: Vec<&str> = log.iter().map(|row| row.what.as_str()).collect();
    assert_eq!(whats, ["freeze-lane", "thaw-lane", "retry"]);
    assert_eq!(log[0].artefacts.as_ref().unwrap()["second"], "b");
    // A lane whose first page is misconduct is known from then on, and stands still.
    let strange = Pen::new("strange");
    let two = Misconduct { lane: strange.state.lane.clone(), ..two };
    store.freeze_lane(&strange.state.lane, Some(two), act("omitted-event")).await.unwrap();
    frozen(store.admit_step(Role::Inbox, strange.clone().records(1), now()).await.unwrap_err());
}

pub(crate) async fn decision_9_a_clock_set_back_stops_admission(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    admit(&store, pen.records(1)).await.unwrap();
    assert_eq!(store.high_water().await.unwrap(), now());
    let later = now().plus(3_600);
    store.raise_high_water(later).await.unwrap();
    store.raise_high_water(now()).await.unwrap();
    store.close().await;
    let store = place.open().await;
    assert_eq!(store.high_water().await.unwrap(), later);
    let step = pen.records(1);
    assert_eq!(admit(&store, step.clone()).await.unwrap_err().reason(), "store-refused");
    let (lane, _) = (pen.state.lane.clone(), ());
    assert_eq!(store.release_step(release(&lane, 0, held("x").1)).await.unwrap_err().reason(), "store-refused");
    store.admit_step(Role::Inbox, step, later).await.unwrap();
}

pub(crate) async fn decision_14_changes_are_told_after_the_commit_and_only_then(place: impl Place) {
    let store = place.create().await;
    let mut changes = store.changes();
    changes.borrow_and_update();
    let mut pen = Pen::new("rights");
    admit(&store, AdmitStep { before: 9, ..pen.clone().records(1) }).await.unwrap_err();
    assert!(!changes.has_changed().unwrap());
    let step = pen.records(2);
    let (admitted, told) = tokio::join!(admit(&store, step), async {
        changes.changed().await.unwrap();
        store.records_after(0, 10).await.unwrap().len()
    });
    assert_eq!((admitted.unwrap().records, told), (2, 2));
}

pub(crate) async fn decision_14_a_dropped_caller_leaves_no_half_step(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    for round in 0..40u64 {
        let step = pen.clone().records(5);
        let task = tokio::spawn({
            let store = store.clone();
            async move { admit(&store, step).await }
        });
        // Drop it at different moments of its life.
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        task.abort();
        drop(task.await);
        // The writer answers in order: after this write the dropped step ran or never will.
        store.raise_high_water(now()).await.unwrap();
        let size = store.lane(&pen.state.lane).await.unwrap().map_or(0, |state| state.edge.size());
        if size > pen.state.edge.size() {
            pen.records(5);
        }
        assert_eq!(size, pen.state.edge.size());
    }
    assert!(all_records(&store).await.len() as u64 == pen.state.edge.size());
    audit(&store).await;
}

pub(crate) async fn readers_see_whole_steps_while_the_writer_writes(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    admit(&store, pen.records(1)).await.unwrap();
    let lane = pen.state.lane.clone();
    let reading: Vec<_> = (0..3)
        .map(|_| {
            let (store, lane) = (store.clone(), lane.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while last < 601 {
                    let state = store.lane(&lane).await.unwrap().unwrap();
                    let size = state.edge.size();
                    assert!(size >= last && size % 3 == 1, "{size} after {last}");
                    let entries = store.entries(&lane, 0, u32::try_from(size).unwrap()).await.unwrap();
                    let mut edge = Edge::empty();
                    entries.iter().for_each(|entry| drop(edge.append(entry.leaf_hash())));
                    assert_eq!(edge, state.edge);
                    last = size;
                }
            })
        })
        .collect();
    for _ in 0..200 {
        admit(&store, pen.records(3)).await.unwrap();
    }
    for reader in reading {
        reader.await.unwrap();
    }
}

// Records.

pub(crate) async fn records_are_found_by_what_they_are(place: impl Place) {
    let store = place.create().await;
    let (mut one, mut two) = (Pen::new("rights"), Pen::new("certificates"));
    let (a, b) = (one.state.lane.clone(), two.state.lane.clone());
    let attested = RecordStep { assurance: Assurance::Attested, ..record(&a, 1, 2, "x", "1") };
    let elsewhere = RecordStep { ledger: ledger_id(2), ..record(&b, 1, 1, "x", "2") };
    admit(&store, one.admit(vec![believed(record(&a, 0, 1, "x", "1")), believed(attested)])).await.unwrap();
    admit(&store, two.admit(vec![believed(record(&b, 0, 3, "y", "1")), believed(elsewhere)])).await.unwrap();
    let find = async |query: RecordQuery| -> Vec<i64> {
        let page = store.records(&query).await.unwrap();
        assert_eq!(page.next, None);
        page.records.iter().map(|record| record.offset).collect()
    };
    let any = RecordQuery::default;
    assert_eq!(find(any()).await, [1, 2, 3, 4]);
    assert_eq!(find(RecordQuery { record_type: Some("x".into()), ..any() }).await, [1, 2, 4]);
    assert_eq!(find(RecordQuery { record_type: Some("x".into()), lane: Some(a.clone()), ..any() }).await, [1, 2]);
    assert_eq!(find(RecordQuery { lane: Some(b), ..any() }).await, [3, 4]);
    assert_eq!(find(RecordQuery { ledger: Some(ledger_id(2)), ..any() }).await, [4]);
    assert_eq!(find(RecordQuery { least: Some(Assurance::Anchored), ..any() }).await, [1, 3, 4]);
    assert_eq!(find(RecordQuery { since: Some(2), ..any() }).await, [3, 4]);
    let key = RecordKey::parse("x:91350100M000100Y43:1").unwrap();
    assert_eq!(find(RecordQuery { key: Some(key.clone()), ..any() }).await, [1, 2]);
    assert_eq!(find(RecordQuery { key: Some(key), since: Some(1), ..any() }).await, [2]);
    assert_eq!(find(RecordQuery { record_type: Some("z".into()), ..any() }).await, [0i64; 0]);
}

pub(crate) async fn pages_of_records_are_bounded_and_lose_none(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    admit(&store, pen.records(1_100)).await.unwrap();
    let page = store.records(&RecordQuery { limit: 100_000, ..RecordQuery::default() }).await.unwrap();
    assert_eq!(page.records.len(), 500);
    for query in
        [RecordQuery::default(), RecordQuery { record_type: Some("e-certificate".into()), ..RecordQuery::default() }]
    {
        let (mut all, mut since) = (Vec::new(), Some(0));
        while since.is_some() {
            let page = store.records(&RecordQuery { since, limit: 300, ..query.clone() }).await.unwrap();
            assert!(page.records.len() <= 300);
            all.extend(page.records.into_iter().map(|record| record.offset));
            since = page.next;
        }
        assert_eq!(all, (1..=1_100).collect::<Vec<_>>());
    }
    assert_eq!(all_records(&store).await.len(), 1_100);
    // Large records make short answers, never an answer without bound.
    let big = |pen: &mut Pen, ahead| RecordStep { native: vec![1; 3 << 20], ..pen.record(ahead) };
    let fates = (0..6).map(|ahead| believed(big(&mut pen, ahead))).collect();
    admit(&store, pen.admit(fates)).await.unwrap();
    let page = store.records(&RecordQuery { since: Some(1_100), ..RecordQuery::default() }).await.unwrap();
    assert!((1..6).contains(&page.records.len()), "{}", page.records.len());
    assert_eq!(page.next, page.records.last().map(|record| record.offset));
    assert_eq!(all_records(&store).await.len(), 1_106);
}

pub(crate) async fn a_closed_store_says_so(place: impl Place) {
    let store = place.create().await;
    let mut pen = Pen::new("rights");
    admit(&store, pen.records(1)).await.unwrap();
    store.close().await;
    assert_eq!(admit(&store, pen.records(1)).await.unwrap_err(), StoreError::Closed);
    assert_eq!(store.lane(&pen.state.lane).await.unwrap_err(), StoreError::Closed);
    assert_eq!(store.health(), Err(StoreError::Closed));
    store.close().await;
}
