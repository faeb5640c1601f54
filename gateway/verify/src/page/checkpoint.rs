//! What a page says before any of its leaves is looked at: its checkpoint, and that the leaves lead to it.

use hufu_schemas_core::checkpoint::{Checkpoint, SignedCheckpoint};
use hufu_schemas_core::merkle::verify_consistency;
use hufu_schemas_core::page::Page;

use super::{CLOCK_DRIFT_SECONDS, Clock, PageRejection};
use crate::admission::{LaneState, Misconduct};
use crate::policy::{LanePolicy, TrustPolicy};

/// Everything about a page's checkpoint that needs no leaf.
pub(super) fn admit_checkpoint<'a>(
    page: &Page,
    state: &LaneState,
    policy: &'a TrustPolicy,
    clock: Clock,
) -> Result<(&'a LanePolicy, Checkpoint), PageRejection> {
    let (policy, checkpoint) = admit_note(&page.checkpoint, state, policy, clock)?;
    if page.from != state.edge.size() {
        return Err(PageRejection::Gap { expected: state.edge.size(), got: page.from });
    }
    if checkpoint.size < page.to() {
        let (expected, got) = (format!("a checkpoint of at least {} leaves", page.to()), checkpoint.size.to_string());
        return Err(PageRejection::CheckpointOrder { reason: "checkpoint-smaller-than-page", expected, got });
    }
    Ok((policy, checkpoint))
}

/// Everything about a checkpoint that needs neither page nor leaf.
pub(super) fn admit_note<'a>(
    note: &str,
    state: &LaneState,
    policy: &'a TrustPolicy,
    clock: Clock,
) -> Result<(&'a LanePolicy, Checkpoint), PageRejection> {
    let lane = &state.lane;
    let trusted = policy.lane(lane).zip(policy.peer(lane.gateway()));
    let (policy, peer) = trusted.ok_or_else(|| PageRejection::LaneNotTrusted(lane.clone()))?;
    if let Some(reason) = &state.frozen {
        return Err(PageRejection::Frozen { lane: lane.clone(), reason: reason.clone() });
    }
    if clock.is_behind() {
        return Err(PageRejection::ClockBehind { now: clock.now, high_water: clock.high_water });
    }
    let checkpoint = SignedCheckpoint::parse(note)?.verify(lane, &peer.log_keys)?;
    let order = |reason, expected: String, got: String| PageRejection::CheckpointOrder { reason, expected, got };
    if checkpoint.time > clock.now.plus(CLOCK_DRIFT_SECONDS) {
        let expected = format!("a time until {} of this clock", clock.now.plus(CLOCK_DRIFT_SECONDS));
        return Err(order("checkpoint-ahead-of-clock", expected, checkpoint.time.to_string()));
    }
    contradiction(state, &checkpoint, note)?;
    if let Some((seen, _)) = &state.seen {
        if checkpoint.size < seen.size {
            let expected = format!("at least the {} leaves seen before", seen.size);
            return Err(order("checkpoint-older-than-seen", expected, checkpoint.size.to_string()));
        }
        if checkpoint.time < seen.time {
            let expected = format!("a time from {} on, as seen before", seen.time);
            return Err(order("checkpoint-time-back", expected, checkpoint.time.to_string()));
        }
    }
    Ok((policy, checkpoint))
}

/// Two signed checkpoints of one size with two roots, or one that contradicts the verified leaves of another.
pub(super) fn contradiction(state: &LaneState, checkpoint: &Checkpoint, note: &str) -> Result<(), PageRejection> {
    let Some((seen, first)) = &state.seen else { return Ok(()) };
    let known = if checkpoint.size == seen.size {
        seen.root
    } else if checkpoint.size == state.edge.size() {
        state.edge.root()
    } else {
        return Ok(());
    };
    if known == checkpoint.root {
        return Ok(());
    }
    let detail = format!("size {}: root {known} before, root {} now", checkpoint.size, checkpoint.root);
    Err(equivocation(state, first, note, detail))
}

/// Two notes under one key: both are kept.
fn equivocation(state: &LaneState, first: &str, second: &str, detail: String) -> PageRejection {
    PageRejection::Misconduct(Box::new(Misconduct {
        lane: state.lane.clone(),
        reason: "equivocation",
        detail,
        sequence: None,
        signed: first.into(),
        against: second.into(),
    }))
}

/// The leaves must lead from the receiver's own edge to the signed root, through the checkpoint seen before.
pub(super) fn close(page: &Page, state: &LaneState, checkpoint: &Checkpoint) -> Result<(), PageRejection> {
    let mut edge = state.edge.clone();
    let mut root_at_seen = None;
    for entry in &page.entries {
        edge.append(entry.leaf_hash());
        if state.seen.as_ref().is_some_and(|(seen, _)| seen.size == edge.size()) {
            root_at_seen = Some(edge.root());
        }
    }
    verify_consistency(edge.size(), checkpoint.size, &edge.root(), &checkpoint.root, &page.join)
        .map_err(PageRejection::Join)?;
    let Some((seen, first)) = &state.seen else { return Ok(()) };
    if let Some(root) = root_at_seen.filter(|root| *root != seen.root) {
        // The new checkpoint commits to these leaves, the one seen before to others: both are signed.
        let detail = format!("size {}: root {} before, the new one commits to {root}", seen.size, seen.root);
        return Err(equivocation(state, first, &page.checkpoint, detail));
    }
    if seen.size > edge.size() {
        let empty = Vec::new();
        let claimed = page.seen.as_ref().filter(|proof| proof.size == seen.size);
        let proof = claimed.map_or(&empty, |proof| &proof.proof);
        verify_consistency(seen.size, checkpoint.size, &seen.root, &checkpoint.root, proof)
            .map_err(|fault| PageRejection::Inconsistent { size: seen.size, fault })?;
    }
    Ok(())
}
