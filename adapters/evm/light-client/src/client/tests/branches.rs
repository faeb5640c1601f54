//! Ledgers whose blocks are buried and never final: what is trusted, what is waited out, what undoes.

use super::*;
use crate::testing::{CliqueDraft, HeaderDraft};
use hufu_adapters_light_client::Advanced;

/// A Clique branch on top of `parent`: one block by each of `signers`, in order.
pub(super) fn branch(keys: &[Key], parent: Hash32, from: u64, signers: &[usize], gas: u8) -> Vec<Step> {
    let mut parent_hash = parent;
    (from..)
        .zip(signers)
        .map(|(number, signer)| {
            let mut draft = CliqueDraft::new(&keys[*signer]);
            let in_turn = number % keys.len() as u64 == *signer as u64;
            draft.header = HeaderDraft {
                parent_hash,
                number,
                difficulty: if in_turn { 2 } else { 1 },
                timestamp: GENESIS_TIME + number,
                gas_used: vec![gas],
                ..HeaderDraft::default()
            };
            parent_hash = draft.block().unwrap().hash();
            step(number, draft.encode())
        })
        .collect()
}

fn clique_ledger() -> (Vec<Key>, Step, Hash32, Erased<EvmLightClient>) {
    let keys = keys(3);
    let mut genesis = CliqueDraft::new(&keys[0]);
    genesis.header.number = 0;
    genesis.header.timestamp = 0;
    genesis.listed = keys.iter().map(Key::address).collect();
    let hash = genesis.block().unwrap().hash();
    let client = client(json!({ "family": "evm", "consensus": "clique", "height": 0, "hash": hash }));
    (keys, step(0, genesis.encode()), hash, client)
}

/// An unsealed chain on top of `parent`, told from others by `gas`.
fn chain(parent: Hash32, from: u64, blocks: u64, gas: u8) -> Vec<Step> {
    let mut parent_hash = parent;
    (from..from + blocks)
        .map(|number| {
            let timestamp = GENESIS_TIME + number;
            let header = HeaderDraft { parent_hash, number, timestamp, gas_used: vec![gas], ..HeaderDraft::default() };
            parent_hash = crate::keccak256(&header.encode());
            step(number, header.encode())
        })
        .collect()
}

fn hash_of(step: &Step) -> Hash32 {
    crate::keccak256(&step.bytes)
}

/// An unsealed ledger with two confirmations: client, genesis, its hash.
fn unsealed_ledger(limit: u64) -> (Erased<EvmLightClient>, Step, Hash32) {
    let genesis = chain(Hash32::ZERO, 0, 1, 1).remove(0);
    let hash = hash_of(&genesis);
    let client = client(json!({
        "family": "evm", "consensus": "unsealed", "height": 0, "hash": hash, "confirmations": 2,
        "reorganisation_limit": limit,
    }));
    (client, genesis, hash)
}

fn shortfall(client: &dyn DynLightClient, head: &StoredHead, steps: &[Step]) -> Shortfall {
    match outcome(client, head, steps) {
        Outcome::NotYet(shortfall) => shortfall,
        other => panic!("expected a shortfall, got {other:?}"),
    }
}

fn outcome(client: &dyn DynLightClient, head: &StoredHead, steps: &[Step]) -> Outcome<Advanced> {
    client.advance(head, steps, now(), &mut Budget::for_update())
}

/// The whole of two runs of steps, the second in place of the first from its first height on.
fn spliced(shared: &[Step], branch: &[Step]) -> Vec<Step> {
    let until = branch[0].height;
    shared.iter().filter(|step| step.height < until).chain(branch).cloned().collect()
}

#[test]
fn a_reorganisation_above_the_confirmation_depth_is_waited_out() {
    let (keys, genesis, hash, client) = clique_ledger();
    let (head, blocks) = go(&client, &client.anchor(), &[genesis]);
    assert_eq!(blocks.len(), 1);
    let one = branch(&keys, hash, 1, &[1, 2, 0, 1], 1);
    assert_eq!(refused(&client, &head, &one[..2]), "confirmations-wanted");
    let (head, blocks) = go(&client, &head, &one);
    assert_eq!(blocks.len(), 2, "two distinct signers on top of block 2");
    assert!(blocks.iter().all(|block| block.finality() == Finality::Probabilistic));
    // Another branch above the trusted height does no harm.
    let trusted = clique::Block::read(Header::parse(&one[1].bytes).unwrap()).unwrap().hash();
    let other = branch(&keys, trusted, 3, &[1, 0, 2, 1], 2);
    let (_, blocks) = go(&client, &head, &other);
    assert_eq!(blocks[0].height(), Height::new(3));
}

#[test]
fn two_signers_in_turn_do_not_confirm_for_three() {
    let (keys, genesis, hash, _) = clique_ledger();
    let strict = client(json!({
        "family": "evm", "consensus": "clique", "height": 0, "hash": hash, "confirmations": 3,
    }));
    let (head, _) = go(&strict, &strict.anchor(), &[genesis]);
    let alternating = branch(&keys, hash, 1, &[1, 2, 1, 2, 1, 2, 1], 1);
    assert_eq!(refused(&strict, &head, &alternating), "confirmations-wanted");
}

#[test]
fn a_second_confirmed_branch_of_clique_freezes_nothing() {
    let (keys, genesis, hash, client) = clique_ledger();
    let (head, _) = go(&client, &client.anchor(), &[genesis]);
    let (_, blocks) = go(&client, &head, &branch(&keys, hash, 1, &[1, 2, 0], 1));
    let other = branch(&keys, hash, 1, &[2, 0, 1], 2);
    let run = other.iter().flat_map(|step| step.bytes.clone()).collect();
    for rival in [other[0].clone(), step(1, run)] {
        assert_eq!(client.conflict(&blocks[0], &rival, &mut Budget::for_update()), None);
    }
}

#[test]
fn a_heavier_confirmed_branch_of_clique_undoes_what_it_leaves() {
    let (keys, genesis, hash, client) = clique_ledger();
    // Blocks of whoever is in turn weigh two.
    let first = branch(&keys, hash, 1, &[1, 2, 1, 2, 0], 1);
    let (head, _) = go(&client, &client.anchor(), &[&[genesis], &first[..]].concat());
    let last = client.describe(&head).accepted().unwrap().last.unwrap().0;
    assert_eq!(last, Height::new(3), "weights: two, two, one");
    // It leaves after block 1: its first block alone does not link, so it is asked for from where it can be judged.
    let heavy = branch(&keys, hash_of(&first[0]), 2, &[2, 0, 1, 2, 0], 2);
    let beyond = shortfall(&client, &head, &heavy[2..]);
    assert_eq!(beyond, Shortfall::Headers { from: Height::new(1) });
    let too_few = shortfall(&client, &head, &spliced(&first, &heavy[..3]));
    let (from, have, need) = (Height::new(2), 2, 3);
    assert_eq!(too_few, Shortfall::Branch { from, have, need }, "confirmed: block 2 alone");
    let advanced = outcome(&client, &head, &spliced(&first, &heavy)).accepted().unwrap();
    assert_eq!(advanced.undone_from, Some(Height::new(2)));
    let heights: Vec<u64> = advanced.blocks.iter().map(|block| block.height().get()).collect();
    assert_eq!(heights, [2, 3, 4]);
    assert_eq!(advanced.facts.last, Some((Height::new(4), advanced.blocks[2].hash())));
    // The branch that was left is worse now: it does not come back, and it does not stop anything.
    let back = shortfall(&client, &advanced.head, &first);
    assert!(matches!(back, Shortfall::Branch { .. }), "{back}");
    let (_, more) = go(&client, &advanced.head, &branch(&keys, hash_of(&heavy[2]), 5, &[2, 0, 1, 2], 2));
    assert_eq!(more[0].height(), Height::new(5));
}

#[test]
fn an_unsealed_ledger_is_never_proven() {
    let (client, genesis, hash) = unsealed_ledger(8);
    let steps = [&[genesis], &chain(hash, 1, 5, 1)[..]].concat();
    let (head, blocks) = go(&client, &client.anchor(), &steps);
    assert_eq!(blocks.len(), 4, "two blocks on top are asked for");
    assert!(blocks.iter().all(|block| block.finality() == Finality::Unsealed));
    let facts = client.describe(&head).accepted().unwrap();
    assert_eq!((facts.validators, facts.confirmations), (Vec::new(), 2));
    assert_eq!(client.firm(&head), Some(Height::new(0)));
    assert_eq!(refused(&client, &head, &chain(hash_of(&steps[3]), 4, 2, 9)), "confirmations-wanted");
}

#[test]
fn blocks_of_one_time_follow_each_other_where_nobody_seals_and_an_earlier_one_does_not() {
    let (client, genesis, hash) = unsealed_ledger(8);
    let at = |parent_hash, number, timestamp| HeaderDraft { parent_hash, number, timestamp, ..HeaderDraft::default() };
    let one = at(hash, 1, GENESIS_TIME).encode();
    let two = |timestamp| step(2, at(crate::keccak256(&one), 2, timestamp).encode());
    let (head, _) = go(&client, &client.anchor(), &[genesis]);
    let steps = |timestamp| [step(1, one.clone()), two(timestamp)];
    assert_eq!(refused(&client, &head, &steps(GENESIS_TIME)), "confirmations-wanted");
    assert_eq!(refused(&client, &head, &steps(GENESIS_TIME - 1)), "time-not-rising");
}

#[test]
fn a_longer_branch_undoes_on_an_unsealed_ledger_and_a_shorter_one_waits() {
    let (client, genesis, hash) = unsealed_ledger(8);
    let first = chain(hash, 1, 9, 1);
    let (head, _) = go(&client, &client.anchor(), &[&[genesis], &first[..]].concat());
    assert_eq!(client.describe(&head).accepted().unwrap().wants, Height::new(8));
    let branch = chain(hash_of(&first[3]), 5, 9, 2);
    let short = shortfall(&client, &head, &spliced(&first, &branch[..5]));
    assert_eq!(short, Shortfall::Branch { from: Height::new(5), have: 3, need: 3 });
    let advanced = outcome(&client, &head, &spliced(&first, &branch)).accepted().unwrap();
    assert_eq!(advanced.undone_from, Some(Height::new(5)));
    assert_eq!(advanced.blocks.len(), 7);
    assert_eq!(advanced.facts.wants, Height::new(12));
    let whole = go(
        &client,
        &client.anchor(),
        &spliced(&[&[step(0, chain(Hash32::ZERO, 0, 1, 1).remove(0).bytes)], &first[..]].concat(), &branch),
    )
    .0;
    assert_eq!(client.describe(&whole), client.describe(&advanced.head));
}

#[test]
fn a_branch_from_below_the_window_stops_the_ledger() {
    let (client, genesis, hash) = unsealed_ledger(3);
    let first = chain(hash, 1, 20, 1);
    let (mut head, _) = go(&client, &client.anchor(), &[genesis]);
    for end in 3..=20 {
        head = match outcome(&client, &head, &first[..end]) {
            Outcome::Accept(advanced) => advanced.head,
            _ => client.advance(&head, &first[end - 3..end], now(), &mut Budget::for_update()).accepted().unwrap().head,
        };
    }
    // Trusted up to 18; a block of 15 and below stays whatever comes.
    assert_eq!(client.firm(&head), Some(Height::new(15)));
    let deep = chain(hash_of(&first[13]), 15, 20, 2);
    let Shortfall::Headers { from } = shortfall(&client, &head, &deep[4..]) else {
        panic!("a branch is asked for from where it can be judged");
    };
    assert!(from <= Height::new(16));
    let brought: Vec<Step> = spliced(&first, &deep).into_iter().filter(|step| step.height >= from).collect();
    assert_eq!(refused(&client, &head, &brought), "reorganisation-too-deep");
    let within = chain(hash_of(&first[14]), 16, 20, 2);
    let brought: Vec<Step> = spliced(&first, &within).into_iter().filter(|step| step.height >= from).collect();
    let advanced = outcome(&client, &head, &brought).accepted().unwrap();
    assert_eq!(advanced.undone_from, Some(Height::new(16)));
}

#[test]
fn a_ledger_that_may_never_go_back_by_its_anchor() {
    let (client, genesis, hash) = unsealed_ledger(0);
    let first = chain(hash, 1, 6, 1);
    let (head, _) = go(&client, &client.anchor(), &[&[genesis], &first[..]].concat());
    assert_eq!(client.firm(&head), Some(Height::new(4)));
    let branch = chain(hash_of(&first[2]), 4, 9, 2);
    assert_eq!(refused(&client, &head, &spliced(&first, &branch)), "reorganisation-too-deep");
}

#[test]
fn a_bft_ledger_never_goes_back() {
    for kind in Kind::ALL {
        let mut ledger = Ledger::of(kind, 4, 1).grown(3);
        let fork = (ledger.tip, ledger.steps.clone());
        ledger = ledger.grown(2);
        let client = ledger.client();
        let (head, _) = go(&client, &client.anchor(), &ledger.steps);
        assert_eq!(client.firm(&head), Some(Height::new(5)));
        let mut other = Ledger { kind, keys: ledger.keys.clone(), steps: fork.1, tip: fork.0 };
        for _ in 0..6 {
            let mut draft = other.draft();
            draft.header.gas_used = vec![2];
            other.push(&draft);
        }
        assert_eq!(refused(&client, &head, &other.steps), "parent-hash", "a longer branch, sealed by everybody");
        assert_eq!(refused(&client, &head, &other.steps[6..]), "parent-hash");
    }
}
