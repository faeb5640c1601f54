//! Named after the attacks they make.

use super::*;
use crate::commit::{CommitSig, Flag};
use crate::testing::chain::{Chain, Draft, GENESIS_TIME, OTHER_KINDS, Voters};
use hufu_adapters_light_client::{DynLightClient, Erased, StoredHead, TrustedBlock};
use serde_json::{Value, json};

const TRUSTING: u64 = 1_000;

fn anchor(chain: &Chain) -> Value {
    let first = chain.steps[0].signed_header.header.hash();
    json!({
        "family": "cometbft", "chain_id": chain.chain_id, "height": 1, "hash": first,
        "trusting_period": TRUSTING, "keys": ["ed25519", "secp256k1", "sm2"],
    })
}

fn client(anchor: &Value) -> Erased<CometbftLightClient> {
    Erased::new(CometbftLightClient::new(Anchor::parse(anchor).unwrap()))
}

fn step(light: &LightStep) -> Step {
    Step { height: Height::new(light.height()), bytes: light.write() }
}

fn steps(chain: &Chain) -> Vec<Step> {
    chain.steps.iter().map(step).collect()
}

fn now() -> Timestamp {
    Timestamp::from_seconds(GENESIS_TIME.unsigned_abs() + 500).unwrap()
}

fn voters() -> Voters {
    Voters::new(0..4, 10)
}

fn chain(blocks: usize) -> Chain {
    let mut chain = Chain::new("land-1", voters());
    chain.mine(blocks);
    chain
}

fn go(client: &Erased<CometbftLightClient>, head: &StoredHead, steps: &[Step]) -> (StoredHead, Vec<TrustedBlock>) {
    match client.advance(head, steps, now(), &mut Budget::for_update()) {
        Outcome::Accept(advanced) => (advanced.head, advanced.blocks),
        no => panic!("expected steps to be accepted, got {no:?}"),
    }
}

fn refused(client: &Erased<CometbftLightClient>, head: &StoredHead, steps: &[Step]) -> &'static str {
    match client.advance(head, steps, now(), &mut Budget::for_update()) {
        Outcome::Accept(_) => "accepted",
        Outcome::NotYet(shortfall) => shortfall.reason(),
        Outcome::Reject(rejection) => rejection.reason(),
    }
}

/// What a ledger of three blocks says to a fourth step made from the next draft.
fn fourth(change: impl Fn(&mut Draft), tamper: impl Fn(&mut LightStep)) -> &'static str {
    let chain = chain(3);
    let client = client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain));
    let mut draft = chain.draft();
    change(&mut draft);
    let mut light = draft.step();
    tamper(&mut light);
    refused(&client, &head, &[step(&light)])
}

fn heights(blocks: &[TrustedBlock]) -> Vec<u64> {
    blocks.iter().map(|block| block.height().get()).collect()
}

#[test]
fn blocks_are_trusted_with_the_header_above_them() {
    let chain = chain(5);
    let client = client(&anchor(&chain));
    let (head, blocks) = go(&client, &client.anchor(), &steps(&chain));
    assert_eq!(heights(&blocks), [1, 2, 3, 4]);
    let facts = client.describe(&head).accepted().unwrap();
    assert_eq!((facts.wants, facts.last.map(|(height, _)| height)), (Height::new(6), Some(Height::new(4))));
    assert_eq!(facts.validators.len(), 4);
    assert_eq!(fourth(|_| {}, |_| {}), "accepted");
}

#[test]
fn same_signature_under_two_addresses() {
    // Three of ten each would not be more than two thirds of 40 without the fourth: one signs for two.
    let twice = fourth(
        |draft| draft.votes = vec![0, 1],
        |light| {
            let copied = light.signed_header.commit.signatures[0].clone();
            light.signed_header.commit.signatures[2] = copied;
        },
    );
    assert_eq!(twice, "double-vote");
    let renamed = fourth(
        |draft| draft.votes = vec![0, 1],
        |light| {
            let entries = &mut light.signed_header.commit.signatures;
            let address = light.validators.as_ref().unwrap().addresses()[2];
            entries[2] = CommitSig { address: Some(address), ..entries[0].clone() };
        },
    );
    assert_eq!(renamed, "signature-invalid");
}

#[test]
fn swapped_addresses() {
    let swapped = fourth(
        |_| {},
        |light| {
            let entries = &mut light.signed_header.commit.signatures;
            (entries[0].address, entries[1].address) = (entries[1].address, entries[0].address);
        },
    );
    assert_eq!(swapped, "commit-address");
    let stranger =
        fourth(|_| {}, |light| light.signed_header.commit.signatures[0].address = Some(crate::Address::new([9; 20])));
    assert_eq!(stranger, "commit-address");
    let whole = fourth(|_| {}, |light| light.signed_header.commit.signatures.swap(0, 1));
    assert_eq!(whole, "commit-address");
}

#[test]
fn an_address_beyond_the_quorum_that_is_wrong() {
    // The first three make the quorum; nodes since January 2026 look at the fourth all the same.
    let last =
        fourth(|_| {}, |light| light.signed_header.commit.signatures[3].address = Some(crate::Address::new([9; 20])));
    assert_eq!(last, "commit-address");
}

#[test]
fn nil_votes_are_not_counted() {
    let nil = |draft: &mut Draft| (draft.votes, draft.nil) = (vec![0, 1], vec![2, 3]);
    assert_eq!(fourth(nil, |_| {}), "signers-below-quorum");
    let relabelled = fourth(nil, |light| light.signed_header.commit.signatures[2].flag = Flag::Commit);
    assert_eq!(relabelled, "signature-invalid");
}

#[test]
fn exactly_two_thirds_is_not_enough() {
    let mut chain = Chain::new("land-1", Voters::new(0..3, 10));
    chain.mine(1);
    let client = client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain));
    let mut draft = chain.draft();
    draft.votes = vec![0, 1];
    assert_eq!(refused(&client, &head, &[step(&draft.step())]), "signers-below-quorum");
    // One unit more than two thirds is.
    let mut chain = Chain::new("land-1", Voters::with([(0, 11), (1, 10), (2, 10)]));
    chain.mine(1);
    let client = self::client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain));
    let mut draft = chain.draft();
    draft.votes = vec![0, 1];
    assert_eq!(refused(&client, &head, &[step(&draft.step())]), "accepted");
}

#[test]
fn powers_that_overflow_together() {
    let chain = chain(3);
    let client = client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain));
    let text = String::from_utf8(chain.draft().step().write()).unwrap();
    for power in
        [u64::MAX.to_string(), i64::MAX.to_string(), "1152921504606846976".to_owned(), "0".to_owned(), "-1".to_owned()]
    {
        let bytes = text.replace("\"voting_power\":\"10\"", &format!("\"voting_power\":\"{power}\"")).into_bytes();
        assert_eq!(refused(&client, &head, &[Step { height: Height::new(4), bytes }]), "step-malformed", "{power}");
    }
}

#[test]
fn an_empty_commit_or_one_of_another_length() {
    assert_eq!(fourth(|draft| draft.votes.clear(), |_| {}), "signers-below-quorum");
    assert_eq!(fourth(|_| {}, |light| light.signed_header.commit.signatures.clear()), "commit-count");
    let more = |light: &mut LightStep| {
        let entry = light.signed_header.commit.signatures[0].clone();
        light.signed_header.commit.signatures.push(entry);
    };
    assert_eq!(fourth(|_| {}, more), "commit-count");
}

#[test]
fn commit_entries_shaped_as_no_node_writes_them() {
    let entry =
        |change: fn(&mut CommitSig)| fourth(|_| {}, |light| change(&mut light.signed_header.commit.signatures[3]));
    assert_eq!(entry(|it| it.flag = Flag::Absent), "commit-entry");
    assert_eq!(entry(|it| it.address = None), "commit-entry");
    assert_eq!(entry(|it| it.signature.truncate(63)), "commit-entry");
    assert_eq!(entry(|it| it.signature.clear()), "commit-entry");
}

#[test]
fn one_signature_of_the_quorum_is_wrong() {
    for index in 0..3 {
        let wrong = fourth(|_| {}, |light| light.signed_header.commit.signatures[index].signature[9] ^= 1);
        assert_eq!(wrong, "signature-invalid");
        let moved =
            fourth(|_| {}, |light| light.signed_header.commit.signatures[index].timestamp = Time::new(5, 5).unwrap());
        assert_eq!(moved, "signature-invalid");
    }
}

#[test]
fn commit_for_another_block_height_or_round() {
    assert_eq!(fourth(|_| {}, |light| light.signed_header.header.app_hash = vec![9]), "commit-for-another-block");
    assert_eq!(fourth(|_| {}, |light| light.signed_header.commit.block_id.hash = None), "commit-for-another-block");
    assert_eq!(fourth(|_| {}, |light| light.signed_header.commit.height = 3), "commit-height");
    assert_eq!(fourth(|_| {}, |light| light.signed_header.commit.round = 1), "signature-invalid");
    assert_eq!(fourth(|_| {}, |light| light.signed_header.commit.block_id.parts.total = 2), "signature-invalid");
}

#[test]
fn zero_height_and_heights_beyond_63_bits() {
    for height in [0, 1 << 63, u64::MAX] {
        let chain = chain(1);
        let client = client(&anchor(&chain));
        let mut draft = chain.draft();
        draft.header.height = height;
        let mut light = draft.step();
        light.signed_header.commit.height = height;
        let light_step = step(&light);
        let (head, _) = go(&client, &client.anchor(), &steps(&chain));
        let reason = refused(&client, &head, &[Step { height: Height::new(2), ..light_step }]);
        assert_eq!(reason, "height-unexpected");
        let rules = Anchor::parse(&anchor(&chain)).unwrap().rules;
        let fault = rules.check_block(&light.signed_header, light.validators.as_ref().unwrap()).unwrap_err();
        assert_eq!(fault.reason(), "height-unexpected");
    }
}

#[test]
fn time_going_back() {
    for seconds in [GENESIS_TIME, GENESIS_TIME + 15] {
        let back = fourth(|draft| draft.header.time = Time::new(seconds, 7).unwrap(), |_| {});
        assert_eq!(back, "time-not-rising");
    }
    assert_eq!(fourth(|draft| draft.header.time = Time::new(-1, 0).unwrap(), |_| {}), "time-not-rising");
}

#[test]
fn chain_id_of_another_network() {
    assert_eq!(fourth(|draft| draft.header.chain_id = "land-2".to_owned(), |_| {}), "chain-id");
    // Signed for another network, shown as ours.
    let shown = fourth(
        |draft| draft.header.chain_id = "land-2".to_owned(),
        |light| {
            light.signed_header.header.chain_id = "land-1".to_owned();
            light.signed_header.commit.block_id.hash = Some(light.signed_header.header.hash());
        },
    );
    assert_eq!(shown, "signature-invalid");
}

#[test]
fn same_chain_id_with_another_genesis() {
    let ours = chain(3);
    let mut other = Chain::new("land-1", voters());
    other.app_hash = vec![1; 8];
    other.mine(4);
    let client = client(&anchor(&ours));
    // The anchor names one genesis; and even with the same keys later blocks hang on their own.
    assert_eq!(refused(&client, &client.anchor(), &steps(&other)), "anchor-hash");
    let (head, _) = go(&client, &client.anchor(), &steps(&ours));
    assert_eq!(refused(&client, &head, &steps(&other)[3..]), "hash-chain");
    let ids = [&ours, &other].map(|chain| Anchor::parse(&anchor(chain)).unwrap().ledger().clone());
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn validators_of_ones_own_making() {
    let own = |draft: &mut Draft| {
        draft.voters = Voters::new(50..54, 10);
        draft.header.validators_hash = draft.voters.set().hash();
    };
    assert_eq!(fourth(own, |_| {}), "validators-unexpected");
    assert_eq!(fourth(own, |light| light.validators = Some(voters().set())), "validators-hash");
    let next = |light: &mut LightStep| light.next_validators = Some(Voters::new(50..54, 10).set());
    assert_eq!(fourth(|_| {}, next), "next-validators-hash");
}

#[test]
fn an_unknown_block_protocol() {
    for version in [0, 10, 12] {
        assert_eq!(fourth(|draft| draft.header.version.block = version, |_| {}), "block-version");
    }
}

#[test]
fn validators_may_be_left_out_where_they_are_known() {
    assert_eq!(fourth(|_| {}, |light| (light.validators, light.next_validators) = (None, None)), "accepted");
    let mut chain = chain(2);
    chain.change(Voters::new(2..6, 10));
    chain.mine(1);
    chain.steps[2].next_validators = None;
    chain.steps[3].validators = None;
    let client = client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain)[..3]);
    assert_eq!(refused(&client, &head, &steps(&chain)[3..]), "validators-missing");
}

#[test]
fn validators_that_change_step_by_step() {
    let mut chain = chain(1);
    for first in 1..6 {
        chain.change(Voters::new(first..first + 4, 10 + first));
    }
    chain.mine(2);
    let client = client(&anchor(&chain));
    let (_, blocks) = go(&client, &client.anchor(), &steps(&chain));
    assert_eq!(blocks.len(), 7);
}

#[test]
fn an_expired_head_and_a_block_ahead_of_the_clock() {
    let chain = chain(3);
    let client = client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain)[..2]);
    let at = |seconds: i64| {
        let now = Timestamp::from_seconds((GENESIS_TIME + seconds).unsigned_abs()).unwrap();
        match client.advance(&head, &steps(&chain)[2..], now, &mut Budget::for_update()) {
            Outcome::Accept(_) => "accepted",
            Outcome::NotYet(shortfall) => shortfall.reason(),
            Outcome::Reject(rejection) => rejection.reason(),
        }
    };
    // Block 2 is of second 10, block 3 of second 15, and a bit; clocks may drift by 10.
    assert_eq!(at(5), "ahead-of-clock");
    assert_eq!(at(6), "accepted");
    assert_eq!(at(1_010), "accepted");
    assert_eq!(at(1_011), "head-expired");
}

/// A chain of 10 blocks whose validators change after block 5 as told, and the last as a step with all headers below.
fn far(next: Voters) -> (Chain, LightStep) {
    let mut chain = chain(4);
    chain.change(next);
    chain.mine(5);
    let mut far = chain.steps[9].clone();
    far.headers = chain.steps[..9].iter().rev().map(|step| step.signed_header.header.clone()).collect();
    (chain, far)
}

#[test]
fn heights_are_skipped_by_one_commit_and_the_headers_in_between() {
    // Two of the four stay.
    let (chain, far) = far(Voters::new(2..6, 10));
    let client = client(&anchor(&chain));
    let (head, blocks) = go(&client, &client.anchor(), &[step(&chain.steps[0]), step(&far)]);
    assert_eq!(heights(&blocks), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let (one_by_one, same) = go(&client, &client.anchor(), &steps(&chain));
    assert_eq!(blocks, same);
    assert_eq!(head, one_by_one);
}

#[test]
fn too_little_of_the_trusted_set_signed_a_far_header() {
    // One of the four stays: a quarter, by the powers that we trust, whatever it has there.
    let (chain, far) = far(Voters::with([(3, 1_000), (4, 1), (5, 1)]));
    let client = client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain)[..1]);
    assert_eq!(refused(&client, &head, &[step(&far)]), "headers-wanted");
    // A nearer one leads there: bisection.
    let mut near = chain.steps[4].clone();
    near.headers = far.headers[5..].to_vec();
    let (head, blocks) = go(&client, &head, &[step(&near)]);
    assert_eq!(heights(&blocks), [1, 2, 3, 4]);
    let (_, blocks) = go(&client, &head, &[step(&far)]);
    assert_eq!(heights(&blocks), [5, 6, 7, 8, 9]);
}

#[test]
fn exactly_the_trust_level_is_not_enough() {
    let mut chain = Chain::new("land-1", Voters::new(0..3, 10));
    chain.mine(1);
    chain.change(Voters::new(2..5, 10));
    chain.mine(2);
    let mut far = chain.steps[3].clone();
    far.headers = chain.steps[..3].iter().rev().map(|step| step.signed_header.header.clone()).collect();
    let client = client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain)[..1]);
    assert_eq!(refused(&client, &head, &[step(&far)]), "headers-wanted");
}

#[test]
fn far_header_signed_by_a_third_of_ours_and_too_few_of_its_own() {
    let (chain, mut far) = far(Voters::new(2..6, 10));
    let ours = voters().set();
    for entry in &mut far.signed_header.commit.signatures {
        if entry.address.is_some_and(|address| !ours.addresses().contains(&address)) {
            *entry = CommitSig { flag: Flag::Absent, address: None, timestamp: Time::ZERO, signature: Vec::new() };
        }
    }
    let client = client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain)[..1]);
    assert_eq!(refused(&client, &head, &[step(&far)]), "signers-below-quorum");
}

#[test]
fn headers_in_between_that_are_not_linked() {
    let (chain, far) = far(voters());
    let client = client(&anchor(&chain));
    let (head, _) = go(&client, &client.anchor(), &steps(&chain)[..1]);
    let with = |change: &dyn Fn(&mut LightStep)| {
        let mut bad = far.clone();
        change(&mut bad);
        refused(&client, &head, &[step(&bad)])
    };
    assert_eq!(with(&|_| {}), "accepted");
    assert_eq!(with(&|far| far.headers[3].app_hash = vec![7]), "hash-chain");
    assert_eq!(with(&|far| drop(far.headers.remove(3))), "hash-chain");
    assert_eq!(with(&|far| far.headers.reverse()), "hash-chain");
    assert_eq!(with(&|far| far.headers[0] = far.headers[1].clone()), "hash-chain");
    // Without them the heights between are unknown, and wanted.
    assert_eq!(with(&|far| far.headers.truncate(7)), "headers-wanted");
    assert_eq!(with(&|far| far.headers.clear()), "headers-wanted");
    // What lies below the head is passed over.
    assert_eq!(with(&|far| far.headers[8].app_hash = vec![7]), "accepted");
}

#[test]
fn a_far_header_whose_history_is_not_ours() {
    let ours = chain(3);
    let mut other = Chain::new("land-1", voters());
    other.app_hash = vec![1; 8];
    other.mine(10);
    let mut far = other.steps[9].clone();
    far.headers = other.steps[..9].iter().rev().map(|step| step.signed_header.header.clone()).collect();
    let client = client(&anchor(&ours));
    let (head, _) = go(&client, &client.anchor(), &steps(&ours));
    assert_eq!(refused(&client, &head, &[step(&far)]), "hash-chain");
}

#[test]
fn an_anchor_that_lets_heights_be_passed_over() {
    let (chain, mut far) = far(voters());
    far.headers.truncate(2);
    let mut anchor = anchor(&chain);
    anchor["skipping"] = json!(true);
    let client = client(&anchor);
    let (head, blocks) = go(&client, &client.anchor(), &[step(&chain.steps[0]), step(&far)]);
    assert_eq!(heights(&blocks), [8, 9]);
    assert_eq!(client.describe(&head).accepted().unwrap().wants, Height::new(11));
}

#[test]
fn secp256k1_and_sm2_validators() {
    let kinds = [0..4, OTHER_KINDS..OTHER_KINDS + 4, 2 * OTHER_KINDS..2 * OTHER_KINDS + 4];
    for kind in kinds {
        let mut chain = Chain::new("wenchang-1", Voters::new(kind, 10));
        chain.mine(3);
        let client = client(&anchor(&chain));
        let (head, blocks) = go(&client, &client.anchor(), &steps(&chain));
        assert_eq!(blocks.len(), 2);
        let mut bad = chain.draft().step();
        bad.signed_header.commit.signatures[1].signature[40] ^= 1;
        assert_eq!(refused(&client, &head, &[step(&bad)]), "signature-invalid");
    }
    let mut mixed = Chain::new("wenchang-1", Voters::new([0, OTHER_KINDS, 2 * OTHER_KINDS], 10));
    mixed.mine(3);
    let client = client(&anchor(&mixed));
    assert_eq!(go(&client, &client.anchor(), &steps(&mixed)).1.len(), 2);
}

#[test]
fn keys_of_a_kind_that_the_anchor_does_not_allow() {
    let mut chain = Chain::new("wenchang-1", Voters::new(2 * OTHER_KINDS..2 * OTHER_KINDS + 4, 10));
    chain.mine(2);
    let mut anchor = anchor(&chain);
    anchor["keys"] = json!(["ed25519"]);
    let client = client(&anchor);
    assert_eq!(refused(&client, &client.anchor(), &steps(&chain)), "key-kind");
}

fn conflict(chain: &Chain, height: usize, rival: &LightStep) -> Option<Misbehaviour> {
    let client = client(&anchor(chain));
    let (_, blocks) = go(&client, &client.anchor(), &steps(chain));
    client.conflict(&blocks[height - 1], &step(rival), &mut Budget::for_update())
}

#[test]
fn two_blocks_of_one_height_signed_by_one_set_are_misbehaviour() {
    let mut chain = chain(3);
    let mut rival = chain.draft();
    rival.header.app_hash = vec![7; 8];
    rival.votes = vec![0, 1, 2];
    let mut few = rival.clone();
    few.votes = vec![0, 1];
    let mut elsewhere = rival.clone();
    elsewhere.header.chain_id = "land-2".to_owned();
    chain.mine(2);
    let found = conflict(&chain, 4, &rival.step()).unwrap();
    assert_eq!((found.height, found.signers.len()), (Height::new(4), 3));
    assert_eq!(conflict(&chain, 4, &few.step()), None, "a rival below quorum is only talk");
    assert_eq!(conflict(&chain, 4, &elsewhere.step()), None, "another network");
    assert_eq!(conflict(&chain, 4, &chain.steps[3]), None, "the block itself");
    assert_eq!(conflict(&chain, 3, &rival.step()), None, "another height");
}

#[test]
fn a_header_with_invented_validators_signed_by_a_third_of_ours_is_misbehaviour() {
    let mut chain = chain(3);
    let mut rival = chain.draft();
    // Two of our four, and two that were made up.
    rival.voters = Voters::new(2..6, 10);
    rival.header.validators_hash = rival.voters.set().hash();
    let mut light = rival.step();
    chain.mine(2);
    assert_eq!(conflict(&chain, 4, &light), None, "without our set nothing is shown");
    light.trusted_validators = Some(voters().set());
    assert!(conflict(&chain, 4, &light).is_some());
    let mut stranger = chain.draft();
    stranger.header.height = 4;
    stranger.voters = Voters::new(3..7, 10);
    stranger.header.validators_hash = stranger.voters.set().hash();
    let mut light = stranger.step();
    light.trusted_validators = Some(voters().set());
    assert_eq!(conflict(&chain, 4, &light), None, "a quarter of ours");
}

#[test]
fn a_step_that_is_too_long_or_is_no_json() {
    let chain = chain(1);
    let client = client(&anchor(&chain));
    let bytes = |bytes: Vec<u8>| refused(&client, &client.anchor(), &[Step { height: Height::new(1), bytes }]);
    assert_eq!(bytes(Vec::new()), "step-malformed");
    assert_eq!(bytes(b"[".repeat(100_000)), "step-malformed");
    assert_eq!(bytes(vec![b' '; crate::step::MAX_STEP_BYTES + 1]), "too-large");
    let good = chain.steps[0].write();
    let twice = [b"{\"validators\":[],", &good[1..]].concat();
    assert_eq!(bytes(twice), "step-malformed");
    let mut headers = chain.steps[0].clone();
    headers.headers = vec![headers.signed_header.header.clone(); crate::step::MAX_HEADERS + 1];
    assert_eq!(bytes(headers.write()), "too-large");
}

#[test]
fn a_rival_without_its_validators_is_only_talk() {
    let mut chain = chain(3);
    let mut rival = chain.draft();
    rival.header.app_hash = vec![7; 8];
    let mut light = rival.step();
    light.validators = None;
    chain.mine(2);
    assert_eq!(conflict(&chain, 4, &light), None);
}

#[test]
fn a_head_on_a_block_that_the_ledger_left_believes_nothing_of_it() {
    // Four validators sign two blocks of height 4; the ledger goes on from the other one.
    let mut ours = chain(3);
    let mut fork = chain(3);
    let mut rival = fork.draft();
    rival.header.app_hash = vec![7; 8];
    fork.push(&rival);
    fork.mine(1);
    ours.mine(1);
    let client = client(&anchor(&ours));
    let (head, blocks) = go(&client, &client.anchor(), &steps(&ours));
    assert_eq!(heights(&blocks), [1, 2, 3]);
    assert_eq!(refused(&client, &head, &steps(&fork)[4..]), "hash-chain");
}
