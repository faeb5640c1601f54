//! What happens while nobody looks: keys of validators who have left, and batches that are made to cost.

use super::*;
use crate::anchor::Consensus;
use crate::testing::CliqueDraft;

/// The first blocks of a ledger of this kind, by keys that are retired later, and an anchor that names it.
fn beginnings(kind: Consensus) -> (Vec<Step>, serde_json::Value) {
    let steps = match kind {
        Consensus::Bft(kind) => Ledger::of(kind, 4, 1).grown(60).steps,
        _ => {
            let keys = keys(3);
            let mut genesis = CliqueDraft::new(&keys[0]);
            genesis.header.number = 0;
            genesis.header.timestamp = 0;
            genesis.listed = keys.iter().map(Key::address).collect();
            let hash = genesis.block().unwrap().hash();
            let signers: Vec<usize> = (1..=60).map(|number| number % 3).collect();
            [vec![step(0, genesis.encode())], branches::branch(&keys, hash, 1, &signers, 1)].concat()
        }
    };
    let header = Header::parse(&steps[0].bytes).unwrap();
    let hash = match kind {
        Consensus::Bft(kind) => kind.read(header).unwrap().hash(),
        _ => clique::Block::read(header).unwrap().hash(),
    };
    (steps, json!({ "family": "evm", "consensus": kind.as_str(), "height": 0, "hash": hash }))
}

#[test]
fn retired_validators_that_rewrite_history_one_header_at_a_time() {
    for kind in Consensus::ALL {
        let (steps, anchor) = beginnings(kind);
        let client = client(anchor);
        // The gateway saw the ledger up to here, and then nothing: an outage.
        let (head, _) = go(&client, &client.anchor(), &steps[..20]);
        let facts = client.describe(&head).accepted().unwrap();
        let (until, next) = (facts.trusted_until.unwrap(), &steps[usize::try_from(facts.wants.get()).unwrap()..]);
        // All keys of that time are sold meanwhile, so each header of the other history is perfectly sealed. It is sent
        // one header at a time, in small slices, and at once.
        for slice in [1, 7, 41] {
            for (number, steps) in next.chunks(slice).enumerate() {
                let reason = refused_at(&client, &head, steps, until.plus(1));
                // What is above the next header cannot be judged at all.
                assert_eq!(reason, if number == 0 { "head-expired" } else { "headers-wanted" }, "{kind:?}");
            }
        }
        let in_time = client.advance(&head, next, until, &mut Budget::for_update());
        assert!(!in_time.accepted().unwrap().blocks.is_empty(), "{kind:?}: in time it is the ledger's own history");
    }
}

fn refused_at(client: &Erased<EvmLightClient>, head: &StoredHead, steps: &[Step], now: Timestamp) -> &'static str {
    match client.advance(head, steps, now, &mut Budget::for_update()) {
        Outcome::NotYet(shortfall) => shortfall.reason(),
        other => panic!("expected to wait for an operator, got {other:?}"),
    }
}

fn remembered(client: &EvmLightClient) -> usize {
    client.signers.count()
}

fn advance(client: &EvmLightClient, steps: &[Step]) -> Result<usize, &'static str> {
    match client.advance(&client.anchor(), steps, now(), &mut Budget::for_update()) {
        Outcome::Accept(advanced) => Ok(advanced.blocks.len()),
        Outcome::NotYet(shortfall) => Err(shortfall.reason()),
        Outcome::Reject(rejection) => Err(rejection.reason()),
    }
}

/// A ledger of `good` blocks and then, up to 100, of blocks on top that are sealed by half the validators twice.
fn turns_bad(good: usize) -> Ledger {
    let mut ledger = Ledger::new(4, 1).grown(good);
    while ledger.steps.len() <= 100 {
        let mut draft = ledger.draft();
        draft.signers = [&ledger.keys[..2], &ledger.keys[..2]].concat();
        draft.header.timestamp += 1;
        ledger.push(&draft);
    }
    ledger
}

#[test]
fn a_hostile_batch_buys_no_more_work_than_the_good_headers_before_it_were_worth() {
    for good in [0, 1, 2, 10, 31, 62, 63, 64] {
        let ledger = turns_bad(good);
        let client = EvmLightClient::new(
            Anchor::parse(&json!({ "family": "evm", "consensus": "qbft", "height": 0, "hash": ledger.hash(0) }))
                .unwrap(),
        );
        assert_eq!(advance(&client, &ledger.steps), Err("signer-repeated"));
        // Good blocks have four seals, bad ones two that differ.
        let headers_of_work = good + 1 + good.max(1);
        assert!(remembered(&client) <= 4 * headers_of_work, "{good}: {}", remembered(&client));
        assert_eq!(advance(&client, &ledger.steps[..=good]), Ok(good + 1));
    }
}

#[test]
fn a_bad_header_is_found_wherever_it_stands_and_whatever_was_read_ahead() {
    for bad in [1, 2, 3, 4, 7, 8, 20, 99] {
        let mut ledger = Ledger::new(4, 1).grown(bad - 1);
        let mut draft = ledger.draft();
        draft.signers.truncate(2);
        ledger.push(&draft);
        let ledger = ledger.grown(100 - bad);
        let client = ledger.client();
        match client.advance(&client.anchor(), &ledger.steps, now(), &mut Budget::for_update()) {
            Outcome::Reject(no) => {
                assert_eq!((no.reason(), no.height()), ("below-quorum", Some(Height::new(bad as u64))));
            }
            other => panic!("{bad}: {other:?}"),
        }
    }
}

#[test]
fn what_a_batch_may_cost_is_the_same_however_it_is_read() {
    let ledger = Ledger::new(4, 1).grown(40);
    let client = ledger.client();
    for (budget, due) in [(4 * 40, "accepted"), (4 * 40 - 1, "budget-exhausted"), (0, "budget-exhausted")] {
        let got = match client.advance(&client.anchor(), &ledger.steps, now(), &mut Budget::new(budget, 1 << 30)) {
            Outcome::Accept(_) => "accepted",
            Outcome::NotYet(shortfall) => shortfall.reason(),
            Outcome::Reject(no) => no.reason(),
        };
        assert_eq!(got, due, "{budget}");
        // What is remembered from the time before costs as much as it did then.
    }
}

#[test]
fn a_set_that_changes_in_the_middle_of_a_batch() {
    let newcomer = Key::number(60);
    for kind in Kind::ALL {
        let mut ledger = Ledger::of(kind, 3, 1).grown(20);
        for proposer in 0..2 {
            let mut vote = ledger.draft();
            vote.propose_as(&ledger.keys[proposer]);
            vote.vote = Some(Ballot { candidate: newcomer.address(), add: true });
            ledger.push(&vote);
        }
        ledger.keys.push(newcomer.clone());
        ledger.keys.sort_by_key(Key::address);
        let ledger = ledger.grown(40);
        let client = ledger.client();
        let (head, blocks) = go(&client, &client.anchor(), &ledger.steps);
        assert_eq!((blocks.len(), client.describe(&head).accepted().unwrap().validators.len()), (63, 4));
    }
}
