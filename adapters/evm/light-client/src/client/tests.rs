//! What the client accepts and refuses, over ledgers made by hand.

use super::*;
use crate::address::Address;
use crate::anchor::Anchor;
use crate::bft::{Ballot, Kind};
use crate::bloom::Bloom;
use crate::header::Header;
use crate::keccak::Hash32;
use crate::receipt::write_evidence;
use crate::rlp;
use crate::selector::LogSelector;
use crate::testing::{BftDraft, Key, keys};
use crate::trie::ordered_root;
use hufu_adapters_light_client::{DynLightClient, Erased, Selector, StoredHead, TrustedBlock};
use hufu_adapters_light_client::{ItemRef, Shortfall};
use serde_json::json;

mod branches;
mod outage;
mod skips;

const GENESIS_TIME: u64 = 1_700_000_000;

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

fn now() -> Timestamp {
    time(GENESIS_TIME + 100)
}

fn step(height: u64, bytes: Vec<u8>) -> Step {
    Step { height: Height::new(height), bytes }
}

/// A BFT ledger of a few keys that grows block by block.
struct Ledger {
    kind: Kind,
    keys: Vec<Key>,
    steps: Vec<Step>,
    tip: Hash32,
}

impl Ledger {
    fn new(count: u8, genesis_gas: u8) -> Self {
        Self::of(Kind::Qbft, count, genesis_gas)
    }

    fn of(kind: Kind, count: u8, genesis_gas: u8) -> Self {
        let keys = keys(count);
        let mut genesis = BftDraft::new(kind, &keys, &[]);
        genesis.header.number = 0;
        genesis.header.parent_hash = Hash32::ZERO;
        genesis.header.timestamp = GENESIS_TIME;
        genesis.header.gas_used = vec![genesis_gas];
        let tip = genesis.block().unwrap().hash();
        Self { kind, keys, steps: vec![step(0, genesis.encode())], tip }
    }

    fn draft(&self) -> BftDraft {
        let height = self.steps.len() as u64;
        let mut draft = BftDraft::new(self.kind, &self.keys, &self.keys);
        draft.header.number = height;
        draft.header.parent_hash = self.tip;
        draft.header.timestamp = GENESIS_TIME + height;
        draft
    }

    fn push(&mut self, draft: &BftDraft) {
        self.tip = draft.block().unwrap().hash();
        self.steps.push(step(self.steps.len() as u64, draft.encode()));
    }

    fn grown(mut self, blocks: usize) -> Self {
        for _ in 0..blocks {
            let draft = self.draft();
            self.push(&draft);
        }
        self
    }

    fn client(&self) -> Erased<EvmLightClient> {
        client(json!({ "family": "evm", "consensus": self.kind.as_str(), "height": 0, "hash": self.hash(0) }))
    }

    fn hash(&self, height: usize) -> Hash32 {
        self.kind.read(Header::parse(&self.steps[height].bytes).unwrap()).unwrap().hash()
    }
}

fn client(anchor: serde_json::Value) -> Erased<EvmLightClient> {
    Erased::new(EvmLightClient::new(Anchor::parse(&anchor).unwrap()))
}

fn go(client: &dyn DynLightClient, head: &StoredHead, steps: &[Step]) -> (StoredHead, Vec<TrustedBlock>) {
    match client.advance(head, steps, now(), &mut Budget::for_update()) {
        Outcome::Accept(advanced) => (advanced.head, advanced.blocks),
        other => panic!("expected the steps to be accepted, got {other:?}"),
    }
}

fn refused(client: &dyn DynLightClient, head: &StoredHead, steps: &[Step]) -> &'static str {
    match client.advance(head, steps, now(), &mut Budget::for_update()) {
        Outcome::Accept(advanced) => panic!("expected a refusal, got {} blocks", advanced.blocks.len()),
        Outcome::NotYet(shortfall) => shortfall.reason(),
        Outcome::Reject(rejection) => rejection.reason(),
    }
}

#[test]
fn follows_a_ledger_whatever_the_slices() {
    for kind in Kind::ALL {
        let ledger = Ledger::of(kind, 4, 1).grown(9);
        let client = ledger.client();
        let (at_once, blocks) = go(&client, &client.anchor(), &ledger.steps);
        assert_eq!(blocks.len(), 10);
        assert!(blocks.iter().all(|block| block.finality() == Finality::BftFinal));
        let mut head = client.anchor();
        for start in (0..10).step_by(3) {
            // Overlapping slices: what is known already is passed over.
            let from = start.max(1) - 1;
            head = go(&client, &head, &ledger.steps[from..(start + 3).min(10)]).0;
        }
        assert_eq!(head, at_once);
        assert_eq!(go(&client, &head, &ledger.steps).1.len(), 0);
    }
}

#[test]
fn an_anchor_that_names_another_kind() {
    for kind in Kind::ALL {
        let ledger = Ledger::of(kind, 4, 1).grown(1);
        for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
            let client = client(json!({
                "family": "evm", "consensus": other.as_str(), "height": 0, "hash": ledger.hash(0),
            }));
            let seen = client.advance(&client.anchor(), &ledger.steps, now(), &mut Budget::for_update());
            assert!(matches!(seen, Outcome::Reject(_)), "{kind:?} as {other:?}");
        }
    }
}

#[test]
fn a_head_stored_before_other_kinds_were_built() {
    let rules = Rules::Bft(bft::State::of(vec![Key::number(1).address()]));
    let mut stored = serde_json::to_value(&rules).unwrap();
    stored["qbft"] = stored["bft"].take();
    stored.as_object_mut().unwrap().remove("bft");
    assert_eq!(serde_json::from_value::<Rules>(stored).unwrap(), rules);
}

#[test]
fn wrong_chain() {
    let ours = Ledger::new(4, 1);
    let theirs = Ledger::new(3, 1).grown(1);
    let client = ours.client();
    assert_eq!(refused(&client, &client.anchor(), &theirs.steps), "anchor-hash");
}

#[test]
fn same_chain_id_with_another_genesis() {
    let ours = Ledger::new(4, 1);
    let theirs = Ledger::new(4, 2).grown(1);
    let client = ours.client();
    assert_ne!(client.ledger(), theirs.client().ledger());
    let (head, _) = go(&client, &client.anchor(), &ours.steps);
    assert_eq!(refused(&client, &head, &theirs.steps[1..]), "parent-hash");
}

#[test]
fn a_gap_a_step_of_another_height_and_steps_that_fall() {
    let ledger = Ledger::new(4, 1).grown(3);
    let client = ledger.client();
    let (head, _) = go(&client, &client.anchor(), &ledger.steps[..1]);
    assert_eq!(refused(&client, &head, &ledger.steps[2..]), "headers-wanted");
    assert_eq!(refused(&client, &head, &[]), "headers-wanted");
    let renamed = step(1, ledger.steps[2].bytes.clone());
    assert_eq!(refused(&client, &head, &[renamed]), "height-unexpected");
    let falling = [ledger.steps[2].clone(), ledger.steps[1].clone()];
    assert_eq!(refused(&client, &head, &falling), "height-unexpected");
    let with_gap = [ledger.steps[1].clone(), ledger.steps[3].clone()];
    assert_eq!(go(&client, &head, &with_gap).1.len(), 1);
}

#[test]
fn a_header_that_does_not_follow() {
    let mut ledger = Ledger::new(4, 1).grown(1);
    let client = ledger.client();
    let (head, _) = go(&client, &client.anchor(), &ledger.steps);
    let mut same_time = ledger.draft();
    same_time.header.timestamp -= 1;
    assert_eq!(refused(&client, &head, &[step(2, same_time.encode())]), "time-not-rising");
    let mut gas = ledger.draft();
    gas.header.gas_used = vec![0x7f, 0, 0, 0];
    assert_eq!(refused(&client, &head, &[step(2, gas.encode())]), "gas-above-limit");
    let mut trailing = ledger.draft().encode();
    trailing.push(0);
    assert_eq!(refused(&client, &head, &[step(2, trailing)]), "rlp-trailing-bytes");
    let good = ledger.draft();
    ledger.push(&good);
    go(&client, &head, &ledger.steps);
}

#[test]
fn a_block_ahead_of_the_clock_waits_and_those_before_it_do_not() {
    let mut ledger = Ledger::new(4, 1).grown(1);
    let mut ahead = ledger.draft();
    ahead.header.timestamp = now().seconds() + DRIFT_SECONDS + 1;
    ledger.push(&ahead);
    let client = ledger.client();
    let (head, blocks) = go(&client, &client.anchor(), &ledger.steps);
    assert_eq!(blocks.len(), 2);
    assert_eq!(refused(&client, &head, &ledger.steps[2..]), "ahead-of-clock");
}

#[test]
fn an_expired_head_is_not_extended() {
    let ledger = Ledger::new(4, 1).grown(2);
    let client = ledger.client();
    let (head, _) = go(&client, &client.anchor(), &ledger.steps[..2]);
    let facts = client.describe(&head).accepted().unwrap();
    let until = facts.trusted_until.unwrap();
    assert_eq!(until.seconds(), GENESIS_TIME + 1 + crate::anchor::DEFAULT_TRUSTED_FOR);
    let late = client.advance(&head, &ledger.steps, until.plus(1), &mut Budget::for_update());
    assert!(matches!(late, Outcome::NotYet(Shortfall::Expired { .. })));
    let in_time = client.advance(&head, &ledger.steps, until, &mut Budget::for_update());
    assert_eq!(in_time.accepted().unwrap().blocks.len(), 1);
}

#[test]
fn an_anchor_above_genesis_follows_on_and_names_its_ledger() {
    let ledger = Ledger::new(4, 1).grown(5);
    let hash = |height: usize| ledger.hash(height);
    let mut anchor = json!({
        "family": "evm", "consensus": "qbft", "height": 3, "hash": hash(3), "genesis": hash(0),
    });
    let later = client(anchor.clone());
    assert_eq!(later.ledger(), ledger.client().ledger());
    let (head, blocks) = go(&later, &later.anchor(), &ledger.steps[3..]);
    assert_eq!((blocks.len(), later.describe(&head).accepted().unwrap().wants), (3, Height::new(6)));
    anchor["validators"] = json!([Key::number(77).address()]);
    let other = client(anchor);
    assert_eq!(refused(&other, &other.anchor(), &ledger.steps[3..]), "anchor-validators");
}

#[test]
fn a_set_that_changed_by_votes_from_before_the_anchor_is_refused() {
    let mut ledger = Ledger::new(3, 1);
    let newcomer = Key::number(60);
    for _ in 0..2 {
        let mut vote = ledger.draft();
        // Two of three vote: the second vote passes.
        vote.header.coinbase = ledger.keys[ledger.steps.len() - 1].address();
        vote.vote = Some(Ballot { candidate: newcomer.address(), add: true });
        ledger.push(&vote);
    }
    ledger.keys.push(newcomer);
    ledger.keys.sort_by_key(Key::address);
    let next = ledger.draft();
    ledger.push(&next);

    let client_at_genesis = ledger.client();
    assert_eq!(go(&client_at_genesis, &client_at_genesis.anchor(), &ledger.steps).1.len(), 4);

    let hash = |height: usize| ledger.hash(height);
    let mut anchor = json!({
        "family": "evm", "consensus": "qbft", "height": 2, "hash": hash(2), "genesis": hash(0),
    });
    let blind = client(anchor.clone());
    assert_eq!(refused(&blind, &blind.anchor(), &ledger.steps[2..]), "validators-unexpected");
    let seen: Vec<Address> = ledger.keys.iter().map(Key::address).collect();
    anchor["validators"] = json!(seen);
    let told = client(anchor);
    assert_eq!(go(&told, &told.anchor(), &ledger.steps[2..]).1.len(), 2);
}

fn raw_receipt(contract: Address, topics: &[Hash32]) -> Vec<u8> {
    let mut logs = Vec::new();
    for topic in topics {
        let mut list = Vec::new();
        rlp::write_string(topic.as_bytes(), &mut list);
        let mut items = Vec::new();
        rlp::write_string(contract.as_bytes(), &mut items);
        rlp::write_list(&list, &mut items);
        rlp::write_string(&[], &mut items);
        rlp::write_list(&items, &mut logs);
    }
    let mut items = Vec::new();
    rlp::write_u64(1, &mut items);
    rlp::write_u64(21_000, &mut items);
    rlp::write_string(&[0; 256], &mut items);
    rlp::write_list(&logs, &mut items);
    let mut out = Vec::new();
    rlp::write_list(&items, &mut out);
    out
}

struct Block {
    client: Erased<EvmLightClient>,
    block: TrustedBlock,
    receipts: Vec<Vec<u8>>,
}

const CONTRACT: Address = Address::new([0xc0; 20]);
const OURS: Hash32 = Hash32::new([1; 32]);
const OTHER: Hash32 = Hash32::new([2; 32]);

fn selector(contract: Address) -> Selector {
    LogSelector::new(contract, vec![OURS]).unwrap().to_selector()
}

/// A trusted block with three receipts: two logs of ours, one of another event, one of another contract.
fn block_with_logs() -> Block {
    let mut ledger = Ledger::new(4, 1);
    let receipts = vec![
        raw_receipt(CONTRACT, &[OTHER, OURS]),
        raw_receipt(Address::new([9; 20]), &[OURS]),
        raw_receipt(CONTRACT, &[OURS]),
    ];
    let mut bloom = Bloom::empty();
    [&CONTRACT.as_bytes()[..], &[9; 20], OURS.as_bytes(), OTHER.as_bytes()].iter().for_each(|x| bloom.insert(x));
    let mut draft = ledger.draft();
    draft.header.bloom = *bloom.as_bytes();
    draft.header.receipts_root = ordered_root(&receipts.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
    ledger.push(&draft);
    let client = ledger.client();
    let (_, blocks) = go(&client, &client.anchor(), &ledger.steps);
    Block { client, block: blocks[1].clone(), receipts }
}

#[test]
fn every_matching_log_of_a_block_is_found() {
    let Block { client, block, receipts } = block_with_logs();
    let evidence = write_evidence(&receipts);
    let found = client.matching(&block, &selector(CONTRACT), Some(&evidence), &mut Budget::for_evidence());
    let places: Vec<_> =
        found.accepted().unwrap().iter().map(|item| (item.position().transaction, item.position().event)).collect();
    assert_eq!(places, [(0, 1), (2, 0)]);
}

#[test]
fn receipts_that_do_not_rebuild_the_root() {
    let Block { client, block, receipts } = block_with_logs();
    for wrong in [&receipts[..2], &[receipts[1].clone(), receipts[0].clone(), receipts[2].clone()], &[]] {
        let found =
            client.matching(&block, &selector(CONTRACT), Some(&write_evidence(wrong)), &mut Budget::for_evidence());
        assert!(matches!(found, Outcome::Reject(no) if no.reason() == "receipts-root"));
    }
}

#[test]
fn wrong_contract() {
    let Block { client, block, receipts } = block_with_logs();
    let evidence = write_evidence(&receipts);
    let item = ItemRef { transaction: 1, event: 0 };
    let found = client.prove(&block, &selector(CONTRACT), &[item], Some(&evidence), &mut Budget::for_evidence());
    assert!(matches!(found, Outcome::Reject(no) if no.reason() == "item-not-selected"));
    let beyond = ItemRef { transaction: 2, event: 1 };
    let found = client.prove(&block, &selector(CONTRACT), &[beyond], Some(&evidence), &mut Budget::for_evidence());
    assert!(matches!(found, Outcome::Reject(no) if no.reason() == "item-missing"));
    let good = ItemRef { transaction: 2, event: 0 };
    let found = client.prove(&block, &selector(CONTRACT), &[good], Some(&evidence), &mut Budget::for_evidence());
    assert_eq!(found.accepted().unwrap().len(), 1);
}

#[test]
fn evidence_may_be_absent_only_where_the_block_excludes_the_selector() {
    let Block { client, block, .. } = block_with_logs();
    let absent = selector(Address::new([0x77; 20]));
    let found = client.matching(&block, &absent, None, &mut Budget::for_evidence());
    assert!(found.accepted().unwrap().is_empty());
    let wanted = client.matching(&block, &selector(CONTRACT), None, &mut Budget::for_evidence());
    assert!(matches!(wanted, Outcome::NotYet(Shortfall::Evidence { .. })));
}

#[test]
fn two_blocks_sealed_by_one_set_on_one_parent_are_misbehaviour() {
    for kind in Kind::ALL {
        let mut ledger = Ledger::of(kind, 4, 1);
        let mut rival = ledger.draft();
        rival.header.timestamp += 1;
        let mut elsewhere = rival.clone();
        elsewhere.header.parent_hash = Hash32::new([5; 32]);
        let mut few = rival.clone();
        few.signers.truncate(2);
        let honest = ledger.draft();
        ledger.push(&honest);
        let client = ledger.client();
        let (_, blocks) = go(&client, &client.anchor(), &ledger.steps);
        let conflict =
            |draft: &BftDraft| client.conflict(&blocks[1], &step(1, draft.encode()), &mut Budget::for_update());
        assert_eq!(conflict(&rival).unwrap().signers.len(), 4);
        let mut other_seals = honest;
        other_seals.signers.remove(0);
        assert_eq!(conflict(&other_seals), None, "the same block with other seals");
        assert_eq!(conflict(&few), None, "a rival below quorum is only talk");
        assert_eq!(conflict(&elsewhere), None, "another ledger of the same keys");
    }
}
