//! Validators that were voted out and still hold their keys.

use crate::ledger::{GENESIS_TIME, Ledger, Sealing, accept, now, refused};
use crate::testing::Key;
use hufu_adapters_light_client::{Budget, Outcome, Step};
use hufu_evm_light_client::anchor::DEFAULT_TRUSTED_FOR;
use hufu_schemas_core::{Height, Timestamp};
use std::slice::from_ref;

/// A ledger whose four validators were all replaced; the same ledger as it was before; and how high that was.
fn replaced(kind: Sealing) -> (Ledger, Ledger) {
    let before = Ledger::new(kind, 4).grown(7);
    let mut after = before.clone();
    for newcomer in 1..=4u8 {
        let leaver = before.keys[usize::from(newcomer) - 1].clone();
        after.vote(&Key::number(100 + newcomer), true);
        // A majority of those who stay.
        after = after.grown(2);
        after.vote(&leaver, false);
        after = after.grown(2);
    }
    assert!(before.keys.iter().all(|old| after.keys.iter().all(|key| key.address() != old.address())));
    (before, after.grown(9))
}

#[test]
fn retired_validators_seal_the_next_block() {
    for kind in Sealing::ALL {
        let (before, after) = replaced(kind);
        after.head();
        let mut forged = after.clone();
        forged.keys.clone_from(&before.keys);
        let reason = after.refuses(forged.draft().encode());
        let due = if kind == Sealing::Clique { "author-not-a-validator" } else { "validators-unexpected" };
        assert_eq!(reason, due, "{kind:?}");
    }
}

#[test]
fn retired_validators_that_rewrite_history_one_header_at_a_time() {
    for kind in Sealing::ALL {
        let (before, after) = replaced(kind);
        let client = after.client();
        let head = after.head();
        let known = client.describe(&head).accepted().unwrap().last;
        // The same validators go on from where they were, as if nobody had voted them out.
        let mut forged = before.clone();
        let mut draft = forged.draft();
        draft.header().gas_used = vec![0x07];
        forged.push(&draft);
        let forged = forged.grown(after.steps.len() - before.steps.len() + 3);
        assert_ne!(forged.steps[before.steps.len()], after.steps[before.steps.len()]);
        let mut at = head;
        for step in &forged.steps[before.steps.len()..] {
            match client.advance(&at, from_ref(step), now(), &mut Budget::for_update()) {
                // A height that was known is passed over: what stands there stays.
                Outcome::Accept(advanced) => {
                    assert!(advanced.blocks.is_empty(), "{kind:?} {}", step.height);
                    at = advanced.head;
                }
                Outcome::NotYet(_) => {}
                Outcome::Reject(no) => {
                    let due = ["parent-hash", "validators-unexpected", "author-not-a-validator", "height-unexpected"];
                    assert!(due.contains(&no.reason()), "{kind:?} {}: {no}", step.height);
                }
            }
            assert_eq!(client.describe(&at).accepted().unwrap().last, known, "{kind:?} {}", step.height);
        }
        // And the ledger's own next block is still the next one.
        let next = after.clone().grown(4);
        accept(client.as_ref(), &at, &next.steps);
    }
}

#[test]
fn retired_validators_that_rewrite_history_at_once() {
    for kind in Sealing::ALL {
        let (before, after) = replaced(kind);
        // On Clique the heavier of two branches holds, as on the network itself: down to 64 blocks, and no further.
        let after = after.grown(if kind == Sealing::Clique { 80 } else { 0 });
        let (client, head) = (after.client(), after.head());
        let mut forged = before.clone();
        let mut draft = forged.draft();
        draft.header().gas_used = vec![0x07];
        forged.push(&draft);
        let forged = forged.grown(after.steps.len() - before.steps.len() + 20);
        let refused = refused(client.as_ref(), &head, &forged.steps);
        let due = if kind == Sealing::Clique { "reorganisation-too-deep" } else { "parent-hash" };
        assert_eq!(refused, due, "{kind:?}");
    }
}

#[test]
fn retired_validators_meet_a_head_that_slept_through_their_retirement() {
    for kind in Sealing::ALL {
        let (before, _) = replaced(kind);
        let client = before.client();
        let head = before.head();
        let last = client.describe(&head).accepted().unwrap();
        let from = last.wants.get();
        let forged = before.clone().grown(6);
        let steps: Vec<Step> = forged.steps.iter().filter(|step| step.height >= Height::new(from)).cloned().collect();
        // In time they are validators, as far as anybody at this height can know.
        assert_eq!(last.trusted_until.map(|until| until > now()), Some(true), "{kind:?}");
        // Past the time that the head may be extended, their headers are not looked at, one by one or all at once, and
        // whatever time they claim.
        let late = Timestamp::from_seconds(GENESIS_TIME + DEFAULT_TRUSTED_FOR + 1_000_000).unwrap();
        let mut fresh = before.clone();
        let mut draft = fresh.draft();
        draft.header().timestamp = late.seconds();
        fresh.push(&draft);
        let fresh: Vec<Step> = fresh.steps.iter().filter(|step| step.height >= Height::new(from)).cloned().collect();
        for steps in [&steps[..], &steps[..1], &fresh] {
            let Outcome::NotYet(no) = client.advance(&head, steps, late, &mut Budget::for_update()) else {
                panic!("{kind:?}: expected an expired head");
            };
            assert_eq!(no.reason(), "head-expired", "{kind:?}");
        }
        assert_eq!(refused(client.as_ref(), &head, &[]), "headers-wanted");
    }
}
