//! Skipping headers: what is believed, what waits, and the attacks of docs/evm.md, those that succeed included.

use super::*;
use crate::client::{MAX_SKIP_SECONDS, SKIP_AFTER_SECONDS};
use proptest::prelude::*;

/// After an outage: the first block is old enough to skip from.
fn now() -> Timestamp {
    time(GENESIS_TIME + SKIP_AFTER_SECONDS + 100)
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

/// The kinds that may skip.
const KINDS: [Kind; 2] = [Kind::Qbft, Kind::Ibft2];

fn skipping(ledger: &Ledger, share: serde_json::Value) -> Erased<EvmLightClient> {
    client(json!({
        "family": "evm", "consensus": ledger.kind.as_str(), "height": 0, "hash": ledger.hash(0), "skipping": share,
    }))
}

/// A client that trusts the first block on genesis, where skips may begin.
fn started(ledger: &Ledger, share: serde_json::Value) -> (Erased<EvmLightClient>, StoredHead) {
    let client = skipping(ledger, share);
    let (head, _) = go(&client, &client.anchor(), &ledger.steps[..2]);
    (client, head)
}

/// A block of height 50 that lists `listed` and is sealed by `signers`.
fn far(kind: Kind, listed: &[Key], signers: &[Key]) -> BftDraft {
    let mut listed = listed.to_vec();
    listed.sort_by_key(Key::address);
    let mut draft = BftDraft::new(kind, &listed, signers);
    draft.header.number = 50;
    draft.header.timestamp = GENESIS_TIME + 60;
    draft
}

fn strangers(count: u8) -> Vec<Key> {
    (200..200 + count).map(Key::number).collect()
}

fn answer(client: &Erased<EvmLightClient>, head: &StoredHead, draft: &BftDraft) -> Result<StoredHead, &'static str> {
    let step = step(draft.header.number, draft.encode());
    match client.advance(head, &[step], now(), &mut Budget::for_update()) {
        Outcome::Accept(advanced) => Ok(advanced.head),
        Outcome::NotYet(shortfall) => Err(shortfall.reason()),
        Outcome::Reject(rejection) => Err(rejection.reason()),
    }
}

#[test]
fn a_courier_who_brings_the_newest_header_first_buries_no_block_of_a_head_that_keeps_up() {
    for kind in KINDS {
        let ledger = Ledger::of(kind, 4, 1).grown(30);
        let (client, head) = started(&ledger, json!(true));
        let newest = &ledger.steps[30..];
        let at = |now| match client.advance(&head, newest, time(now), &mut Budget::for_update()) {
            Outcome::Accept(_) => "skipped",
            Outcome::NotYet(shortfall) => shortfall.reason(),
            Outcome::Reject(rejection) => rejection.reason(),
        };
        // The first block carries the second after genesis.
        assert_eq!(at(GENESIS_TIME + SKIP_AFTER_SECONDS), "headers-wanted", "{kind:?}");
        assert_eq!(at(GENESIS_TIME + 1 + SKIP_AFTER_SECONDS), "skipped", "{kind:?}");
    }
}

#[test]
fn a_higher_header_waits_unless_the_operator_said_otherwise() {
    for kind in KINDS {
        let ledger = Ledger::of(kind, 4, 1).grown(30);
        let (strict, head) = started(&ledger, json!(false));
        assert_eq!(refused(&strict, &head, &ledger.steps[20..21]), "headers-wanted");
        for share in [json!(true), json!("two-thirds")] {
            let (client, head) = started(&ledger, share);
            let (head, blocks) = go(&client, &head, &ledger.steps[20..21]);
            assert_eq!(blocks.len(), 1, "blocks that were skipped over are not trusted");
            assert_eq!((blocks[0].height().get(), blocks[0].finality()), (20, Finality::BftFinal));
            let (head, blocks) = go(&client, &head, &ledger.steps[21..]);
            assert_eq!(blocks.len(), 10, "and then header by header again");
            assert_eq!(client.describe(&head).accepted().unwrap().wants, Height::new(31));
        }
    }
}

#[test]
fn several_skips_in_one_delivery() {
    let ledger = Ledger::new(4, 1).grown(30);
    let (client, head) = started(&ledger, json!(true));
    let some: Vec<Step> = [5, 6, 7, 20, 21, 30].map(|height| ledger.steps[height].clone()).to_vec();
    let (_, blocks) = go(&client, &head, &some);
    let heights: Vec<u64> = blocks.iter().map(|block| block.height().get()).collect();
    assert_eq!(heights, [5, 6, 7, 20, 21, 30]);
}

#[test]
fn retired_validators_below_a_third_and_one_forge_a_later_header() {
    for kind in KINDS {
        let ledger = Ledger::of(kind, 4, 1).grown(1);
        let (client, head) = started(&ledger, json!(true));
        let stolen = &ledger.keys[..1];
        // A set of their own, with the one key that they hold of the trusted set in it.
        let theirs = [stolen, &strangers(3)].concat();
        assert_eq!(answer(&client, &head, &far(kind, &theirs, &theirs)).unwrap_err(), "headers-wanted");
        // The trusted set listed as well, but it did not sign.
        let padded = [&ledger.keys[..], &strangers(8)].concat();
        let signers = [stolen, &strangers(8)].concat();
        assert_eq!(answer(&client, &head, &far(kind, &padded, &signers)).unwrap_err(), "headers-wanted");
        // One seal in two spellings is one validator.
        let mut twice = far(kind, &[&ledger.keys[..2], &strangers(1)].concat(), stolen);
        twice.high_s_twin_of = Some(stolen[0].clone());
        assert_eq!(answer(&client, &head, &twice).unwrap_err(), "signer-repeated");
    }
}

#[test]
fn more_than_a_third_of_stolen_keys_forge_and_the_stricter_share_asks_for_a_quorum_of_them() {
    let ledger = Ledger::new(4, 1).grown(1);
    let stolen = &ledger.keys[..2];
    let theirs = [stolen, &strangers(2)].concat();
    let forged = far(Kind::Qbft, &theirs, &theirs);
    // What the operator accepted by `true`: f of the trusted set may be faulty, and here f + 1 are.
    let (third, head) = started(&ledger, json!(true));
    assert!(answer(&third, &head, &forged).is_ok());
    let (two_thirds, head) = started(&ledger, json!("two-thirds"));
    assert_eq!(answer(&two_thirds, &head, &forged).unwrap_err(), "headers-wanted");
    // Three could forge the next header as well: there skipping gives nothing away.
    let three = [&ledger.keys[..3], &strangers(1)].concat();
    assert!(answer(&two_thirds, &head, &far(Kind::Qbft, &three, &three)).is_ok());
    let mut next = ledger.draft();
    next.signers = ledger.keys[..3].to_vec();
    let (strict, head) = started(&ledger, json!(false));
    assert!(answer(&strict, &head, &next).is_ok());
}

#[test]
fn sets_of_fewer_than_four_vouch_by_their_whole_quorum() {
    for count in 1..=3u8 {
        let ledger = Ledger::new(count, 1).grown(1);
        let (client, head) = started(&ledger, json!(true));
        let quorum = (2 * usize::from(count)).div_ceil(3);
        let enough = [&ledger.keys[..quorum], &strangers(1)].concat();
        assert!(answer(&client, &head, &far(Kind::Qbft, &enough, &enough)).is_ok(), "{count}");
        let few = [&ledger.keys[..quorum - 1], &strangers(1)].concat();
        assert_eq!(answer(&client, &head, &far(Kind::Qbft, &few, &few)).unwrap_err(), "headers-wanted", "{count}");
    }
}

#[test]
fn a_set_that_was_replaced_altogether_is_reached_by_headers_between() {
    let ledger = Ledger::new(4, 1).grown(1);
    let (client, head) = started(&ledger, json!(true));
    let after = far(Kind::Qbft, &strangers(4), &strangers(4));
    assert_eq!(answer(&client, &head, &after).unwrap_err(), "headers-wanted");
    let mut between = far(Kind::Qbft, &[&ledger.keys[2..], &strangers(2)].concat(), &[]);
    between.signers = [&ledger.keys[2..], &strangers(2)].concat();
    (between.header.number, between.header.timestamp) = (30, GENESIS_TIME + 40);
    let head = answer(&client, &head, &between).unwrap();
    assert!(answer(&client, &head, &after).is_ok());
}

#[test]
fn a_header_that_is_not_sealed_by_its_own_quorum_is_refused_whoever_vouches() {
    for kind in KINDS {
        let ledger = Ledger::of(kind, 4, 1).grown(1);
        let (client, head) = started(&ledger, json!(true));
        let mut outsider = ledger.keys.clone();
        outsider[3] = Key::number(99);
        for (signers, reason) in [(&ledger.keys[..2], "below-quorum"), (&outsider, "signer-not-a-member")] {
            assert_eq!(answer(&client, &head, &far(kind, &ledger.keys, signers)).unwrap_err(), reason);
        }
        let mut gas = far(kind, &ledger.keys, &ledger.keys);
        gas.header.gas_used = vec![0x7f, 0, 0, 0];
        assert_eq!(answer(&client, &head, &gas).unwrap_err(), "gas-above-limit");
    }
}

#[test]
fn a_skip_has_an_end_in_time_and_no_more_blocks_than_seconds() {
    let ledger = Ledger::new(4, 1).grown(1);
    let (mut anchor, late) = (
        json!({
            "family": "evm", "consensus": "qbft", "height": 0, "hash": ledger.hash(0), "skipping": true,
            "trusted_for": 100 * 86_400,
        }),
        GENESIS_TIME + 1 + MAX_SKIP_SECONDS,
    );
    let patient = client(anchor.clone());
    let (head, _) = go(&patient, &patient.anchor(), &ledger.steps);
    let at = |timestamp: u64, now: u64| {
        let mut draft = far(Kind::Qbft, &ledger.keys, &ledger.keys);
        draft.header.timestamp = timestamp;
        let steps = [step(50, draft.encode())];
        match patient.advance(&head, &steps, time(now), &mut Budget::for_update()) {
            Outcome::Accept(_) => "accepted",
            Outcome::NotYet(shortfall) => shortfall.reason(),
            Outcome::Reject(rejection) => rejection.reason(),
        }
    };
    assert_eq!(at(late, late), "accepted");
    assert_eq!(at(late + 1, late + 1), "headers-wanted");
    assert_eq!(at(GENESIS_TIME + 50, late), "accepted");
    assert_eq!(at(GENESIS_TIME + 49, late), "time-not-rising");
    assert_eq!(at(late, late - DRIFT_SECONDS - 1), "ahead-of-clock");
    assert_eq!(at(late, GENESIS_TIME + 1 + 100 * 86_400 + 1), "head-expired");
    // From genesis nothing is skipped: its time says nothing of its age.
    anchor["trusted_for"] = json!(14 * 86_400);
    let fresh = client(anchor);
    let (head, _) = go(&fresh, &fresh.anchor(), &ledger.steps[..1]);
    let far = far(Kind::Qbft, &ledger.keys, &ledger.keys);
    assert_eq!(answer(&fresh, &head, &far).unwrap_err(), "headers-wanted");
}

#[test]
fn a_ledger_of_the_same_keys_is_why_they_must_seal_one_ledger_alone() {
    let ours = Ledger::new(4, 1).grown(1);
    let theirs = Ledger::new(4, 2).grown(40);
    let (strict, head) = started(&ours, json!(false));
    assert_eq!(refused(&strict, &head, &theirs.steps[2..]), "parent-hash");
    // No link says which ledger a header is of. By `skipping` the operator stated that there is one.
    let (skips, head) = started(&ours, json!(true));
    assert_eq!(go(&skips, &head, &theirs.steps[30..31]).1.len(), 1);
}

#[test]
fn a_proposer_that_lists_validators_of_its_own_is_why_nodes_must_check_the_list() {
    let ledger = Ledger::new(4, 1).grown(1);
    // One faulty validator proposes a list with two strangers in it, and its honest fellows seal without looking.
    let listed = [&ledger.keys[..], &strangers(2)].concat();
    let mut lie = far(Kind::Qbft, &listed, &ledger.keys);
    (lie.header.number, lie.header.timestamp) = (2, GENESIS_TIME + 2);
    lie.header.parent_hash = ledger.tip;
    let (strict, head) = started(&ledger, json!(false));
    assert_eq!(answer(&strict, &head, &lie).unwrap_err(), "validators-unexpected", "followed, it is seen");
    let (skips, head) = started(&ledger, json!(true));
    let head = answer(&skips, &head, &lie).unwrap();
    // With its strangers it is now more than a third of what is trusted.
    let theirs = [&ledger.keys[..1], &strangers(2)].concat();
    assert!(answer(&skips, &head, &far(Kind::Qbft, &theirs, &theirs)).is_ok());
}

#[test]
fn two_blocks_on_one_parent_are_misbehaviour_after_a_skip_too() {
    let ledger = Ledger::new(4, 1).grown(1);
    let (client, head) = started(&ledger, json!(true));
    let honest = far(Kind::Qbft, &ledger.keys, &ledger.keys);
    let (_, blocks) = go(&client, &head, &[step(50, honest.encode())]);
    let mut rival = honest;
    rival.header.timestamp += 1;
    let found = client.conflict(&blocks[0], &step(50, rival.encode()), &mut Budget::for_update());
    assert_eq!(found.unwrap().signers.len(), 4);
}

#[test]
fn votes_from_before_a_skip_change_the_set_as_they_do_for_who_saw_them() {
    for kind in KINDS {
        let (mut ledger, newcomer) = (Ledger::of(kind, 4, 1).grown(1), Key::number(60));
        for proposer in 0..3 {
            let mut vote = ledger.draft();
            vote.propose_as(&ledger.keys[proposer]);
            vote.vote = Some(Ballot { candidate: newcomer.address(), add: true });
            ledger.push(&vote);
        }
        ledger.keys.push(newcomer);
        ledger.keys.sort_by_key(Key::address);
        let next = ledger.draft();
        ledger.push(&next);
        let (client, head) = started(&ledger, json!(true));
        // Skipped to the third vote, having seen neither of the others.
        let (head, _) = go(&client, &head, &ledger.steps[4..5]);
        let (head, blocks) = go(&client, &head, &ledger.steps[5..]);
        assert_eq!((blocks.len(), client.describe(&head).accepted().unwrap().validators.len()), (1, 5));
    }
}

/// A ledger on which validators come and go by votes, and what each block's follower holds.
fn changing(kind: Kind, count: u8, changes: &[(bool, u8)]) -> Ledger {
    let mut ledger = Ledger::of(kind, count, 1).grown(1);
    for (number, (add, who)) in (60u8..).zip(changes) {
        let leaves = usize::from(*who) % ledger.keys.len();
        let key = if *add { Key::number(number) } else { ledger.keys[leaves].clone() };
        if !*add && ledger.keys.len() < 3 {
            continue;
        }
        for proposer in 0..=ledger.keys.len() / 2 {
            let mut vote = ledger.draft();
            vote.propose_as(&ledger.keys[proposer]);
            vote.vote = Some(Ballot { candidate: key.address(), add: *add });
            ledger.push(&vote);
        }
        match add {
            true => ledger.keys.push(key),
            false => ledger.keys.retain(|other| other.address() != key.address()),
        }
        ledger.keys.sort_by_key(Key::address);
        ledger = ledger.grown(usize::from(who % 3));
    }
    ledger.grown(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn skipping_and_following_end_with_the_same_validators(
        kind in 0usize..2,
        count in 1u8..7,
        changes in proptest::collection::vec((any::<bool>(), any::<u8>()), 1..6),
        leaps in proptest::collection::vec(1usize..12, 1..12),
        strict in any::<bool>(),
    ) {
        let ledger = changing(KINDS[kind], count, &changes);
        let follows = ledger.client();
        let (followed, _) = go(&follows, &follows.anchor(), &ledger.steps);
        let (skips, mut head) = started(&ledger, if strict { json!("two-thirds") } else { json!(true) });
        let (mut at, mut leaps) = (1, leaps.into_iter().cycle());
        while at + 1 < ledger.steps.len() {
            let mut next = (at + leaps.next().unwrap()).min(ledger.steps.len() - 1);
            // Where too few vouch, a nearer header is asked for: half the way, and at last the next one.
            loop {
                match skips.advance(&head, &ledger.steps[next..=next], now(), &mut Budget::for_update()) {
                    Outcome::Accept(advanced) => { head = advanced.head; break }
                    Outcome::NotYet(Shortfall::Headers { from }) => {
                        prop_assert_eq!(from.get(), at as u64 + 1);
                        prop_assert!(next > at + 1, "the next header is never too far");
                        next = at + (next - at) / 2;
                    }
                    other => prop_assert!(false, "block {}: {:?}", next, other),
                }
            }
            at = next;
        }
        let (skipped, followed) = (skips.describe(&head), follows.describe(&followed));
        let (skipped, followed) = (skipped.accepted().unwrap(), followed.accepted().unwrap());
        prop_assert_eq!(&skipped.last, &followed.last);
        prop_assert_eq!(&skipped.validators, &followed.validators);
    }
}
