//! Heads of ledgers: moved by verified updates only, whether they come from this gateway's own source or from a peer.

use std::sync::Arc;
use std::time::Duration;

use hufu_adapters_light_client::{
    Budget, DynLightClient, HeadFacts, Misbehaviour, Outcome, Rejection, Shortfall, Step, StoredHead,
};
use hufu_adapters_source::{Source, SourceError};
use hufu_gateway_store::{Act, LedgerAdvance, Store, StoreError, Undone};
use hufu_schemas_core::{Height, LedgerId, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::gateway::Gateway;
use crate::rivals::{self, Searches};

/// Headers asked of a source at a time: a header is about 1 KiB, so half a megabyte.
const STEPS_AT_A_TIME: usize = 512;
/// Who freezes when no operator does, in the operator log.
pub(crate) const BY_ITSELF: &str = "gateway";
/// Rounds that a node may serve without any progress while another one claims to be further; then the next one is asked.
const ROUNDS_WITHOUT_PROGRESS: u32 = 3;
/// What a node is told to have done that showed nothing better than what is trusted: it is asked after the others.
const BRANCH_NOT_BETTER: &str = "branch-not-better";

/// What an update did to a ledger's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Advance {
    /// The head moved to these facts.
    Moved(HeadFacts),
    /// The ledger left the branch that was trusted from this height on; the head stands on another one now.
    Reorganised(Height, HeadFacts),
    /// Nothing new: the head stands.
    Stands(HeadFacts),
    /// More is needed.
    NotYet(Shortfall),
    /// Refused for good.
    Refused(Rejection),
    /// Two verified headers of one height: the ledger is now frozen.
    Frozen(Misbehaviour),
}

/// Why an update could not be judged at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdvanceError {
    #[error("ledger {ledger} is frozen: {reason}")]
    Frozen { ledger: LedgerId, reason: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A ledger's head as this gateway keeps it, or its anchor before any header was seen.
pub(crate) async fn head(
    store: &Store,
    client: &dyn DynLightClient,
) -> Result<(StoredHead, bool, Option<String>), StoreError> {
    match store.head(client.ledger()).await? {
        Some(row) => Ok((row.head, true, row.frozen)),
        None => Ok((client.anchor(), false, None)),
    }
}

/// Judges steps on top of a ledger's head and stores what became trusted, by compare-and-swap.
pub(crate) async fn advance(
    gateway: &Gateway,
    client: &Arc<dyn DynLightClient>,
    steps: Vec<Step>,
) -> Result<Advance, AdvanceError> {
    let store = &gateway.store;
    let ledger = client.ledger().clone();
    let (head, stored, frozen) = head(store, client.as_ref()).await?;
    if let Some(reason) = frozen {
        return Err(AdvanceError::Frozen { ledger, reason });
    }
    if let Some(misbehaviour) = rivals::find_among(gateway, client, &head, &steps).await? {
        return Ok(Advance::Frozen(misbehaviour));
    }
    let now = gateway.clock.now();
    let (judge, given, steps) = (Arc::clone(client), head.clone(), Arc::new(steps));
    let judged_steps = Arc::clone(&steps);
    let outcome =
        gateway.verify_pool.run(move || judge.advance(&given, &judged_steps, now, &mut Budget::for_update())).await;
    let advanced = match outcome {
        Outcome::Accept(advanced) => advanced,
        Outcome::NotYet(shortfall) => return Ok(Advance::NotYet(shortfall)),
        Outcome::Reject(rejection) => return Ok(Advance::Refused(rejection)),
    };
    let last = advanced.facts.last.map(|(height, _)| height);
    let facts_before = client.describe(&head).accepted();
    let before = facts_before.as_ref().and_then(|facts| facts.last).map(|(height, _)| height);
    // What lies below was passed over unread: another's bytes in place of a header that was verified.
    let wanted = facts_before.as_ref().map(|facts| facts.wants);
    let is_new = |step: &&Step| match advanced.undone_from {
        Some(from) => step.height >= from,
        None => wanted.is_none_or(|wanted| step.height >= wanted),
    };
    let new_steps: Vec<Step> = steps.iter().filter(is_new).cloned().collect();
    if new_steps.is_empty() && head == advanced.head {
        return Ok(Advance::Stands(advanced.facts));
    }
    let moved = advanced.head != head;
    let last_block = advanced.blocks.last().cloned();
    let change = LedgerAdvance {
        ledger: ledger.clone(),
        expected: stored.then(|| head.digest()),
        head: advanced.head,
        blocks: advanced.blocks,
        steps: new_steps,
        final_to: last,
        undone: advanced.undone_from.map(|from| Undone { from, act: reorganised(from, before, now) }),
    };
    match store.advance(change).await {
        Ok(()) => {}
        // Another delivery of the same headers was quicker: its work stands.
        Err(StoreError::Conflict { .. }) => return Ok(Advance::Stands(advanced.facts)),
        Err(fault) => return Err(fault.into()),
    }
    gateway.metrics.ledger_head(&ledger, &advanced.facts, last_block.as_ref());
    if let Some(from) = advanced.undone_from {
        let (was, is) = (before.map_or(0, Height::get), last.map_or(0, Height::get));
        gateway.metrics.reorganised(&ledger);
        warn!(%ledger, %from, was, is, "the ledger reorganised below its confirmation depth: trusted blocks are undone, and records on them are taken back");
        return Ok(Advance::Reorganised(from, advanced.facts));
    }
    Ok(if moved { Advance::Moved(advanced.facts) } else { Advance::Stands(advanced.facts) })
}

fn reorganised(from: Height, last: Option<Height>, at: Timestamp) -> Act {
    let to = last.map_or(0, Height::get);
    let why = format!("a better branch: trusted blocks {from} to {to} are undone");
    Act { who: BY_ITSELF.to_owned(), at, why }
}

/// Follows a ledger that this gateway reads itself, until told to stop.
pub(crate) async fn follow(
    gateway: Arc<Gateway>,
    ledger: LedgerId,
    source: Arc<dyn Source>,
    poll: Duration,
    stop: CancellationToken,
) {
    info!(%ledger, "following");
    let mut pause = Pause::new(poll);
    let mut following = Following::default();
    while !stop.is_cancelled() {
        let round = follow_once(&gateway, &ledger, source.as_ref(), &mut following).await;
        gateway.metrics.source_nodes_are(&ledger, &source.describe());
        gateway.metrics.source_pace(&ledger, source.progress());
        let failed = match round {
            Ok(true) => {
                pause.reset();
                continue;
            }
            Ok(false) => false,
            Err(words) => {
                warn!(%ledger, "{words}");
                pause.longer();
                true
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause.now()) => {}
            // After a fault the pause is waited out: a hint must not turn it into haste.
            () = source.hint(), if !failed => {}
        }
    }
}

/// What a follower remembers from round to round.
#[derive(Debug, Default)]
struct Following {
    searches: Searches,
    /// Rounds on end in which a node served and nothing came of it, though another one claims to be further.
    in_vain: u32,
}

/// One round: asks what follows the head, judges it, and at the tip compares the nodes. `true` when there may be more at
/// once.
async fn follow_once(
    gateway: &Gateway,
    ledger: &LedgerId,
    source: &dyn Source,
    following: &mut Following,
) -> Result<bool, String> {
    let client = &gateway.anchored(ledger)?;
    let (head, _, frozen) = head(&gateway.store, client.as_ref()).await.map_err(|fault| fault.to_string())?;
    if let Some(reason) = frozen {
        return Err(format!("the ledger is frozen: {reason}"));
    }
    let Some(facts) = client.describe(&head).accepted() else {
        return Err("the stored head was written by another client: an operator must anchor the ledger anew".to_owned());
    };
    let more = ask_and_judge(gateway, client, source, &facts, following).await;
    // Also where nobody serves: the only node may have gone over to another, as well signed branch.
    if more != Ok(true) {
        rivals::compare_nodes(gateway, client, source, &mut following.searches).await;
    }
    more
}

async fn ask_and_judge(
    gateway: &Gateway,
    client: &Arc<dyn DynLightClient>,
    source: &dyn Source,
    facts: &HeadFacts,
    following: &mut Following,
) -> Result<bool, String> {
    let source_error = |fault: SourceError| {
        gateway.metrics.source_error(client.ledger(), fault.reason());
        fault.to_string()
    };
    let steps = source.steps(facts.wants, STEPS_AT_A_TIME).await.map_err(source_error)?;
    let tip = source.tip().await.ok();
    if let Some(tip) = tip {
        gateway.metrics.ledger_tip(client.ledger(), tip);
    }
    let Some(served_to) = steps.last().map(|step| step.height) else { return Ok(false) };
    let full = steps.len() >= STEPS_AT_A_TIME;
    let mut answer = advance(gateway, client, steps).await.map_err(|fault| fault.to_string())?;
    let mut from_below = false;
    if let Advance::NotYet(Shortfall::Headers { from }) = answer
        && from < facts.wants
    {
        // The node's chain does not stand on what is trusted: a branch is judged from further down.
        let steps = source.steps(from, STEPS_AT_A_TIME).await.map_err(source_error)?;
        answer = advance(gateway, client, steps).await.map_err(|fault| fault.to_string())?;
        from_below = true;
    }
    match answer {
        Advance::Moved(facts) => {
            debug!(ledger = %client.ledger(), height = facts.last.map_or(0, |(height, _)| height.get()), "head moved");
            following.in_vain = 0;
            Ok(full)
        }
        Advance::Reorganised(..) => {
            following.in_vain = 0;
            Ok(true)
        }
        Advance::Stands(_) => {
            in_vain(source, following, from_below, facts, tip > Some(served_to));
            Ok(false)
        }
        Advance::NotYet(shortfall) => {
            debug!(ledger = %client.ledger(), "{shortfall}");
            match shortfall {
                Shortfall::Expired { .. } => return Err(shortfall.to_string()),
                // Another node may stand on the trusted branch, or on a better one.
                Shortfall::Branch { .. } => source.refused(shortfall.reason()),
                _ => in_vain(source, following, from_below, facts, tip > Some(served_to)),
            }
            Ok(false)
        }
        Advance::Refused(rejection) => {
            gateway.metrics.reject("ledger", rejection.reason());
            source.refused(rejection.reason());
            Err(format!("a node's headers are refused: {rejection}"))
        }
        Advance::Frozen(misbehaviour) => Err(format!("two signed blocks at height {}", misbehaviour.height)),
    }
}

/// A node served and nothing came of it. One that left what is trusted and, asked from further down, shows no branch, has
/// told two stories: the next one is asked. So it is after some rounds on end of a node that is not as far as another
/// says to be, where blocks wait for others on top of them: it may feed blocks that are never confirmed.
fn in_vain(
    source: &dyn Source,
    following: &mut Following,
    from_below: bool,
    facts: &HeadFacts,
    others_are_further: bool,
) {
    let waits = facts.confirmations > 0 && others_are_further;
    following.in_vain = if waits { following.in_vain.saturating_add(1) } else { 0 };
    if from_below || following.in_vain >= ROUNDS_WITHOUT_PROGRESS {
        following.in_vain = 0;
        source.refused(BRANCH_NOT_BETTER);
    }
}

/// How long to wait before asking again: the configured poll, doubled after each failure up to half a minute.
struct Pause {
    poll: Duration,
    now: Duration,
}

impl Pause {
    const fn new(poll: Duration) -> Self {
        Self { poll, now: poll }
    }

    const fn reset(&mut self) {
        self.now = self.poll;
    }

    fn longer(&mut self) {
        self.now = (self.now * 2).min(Duration::from_secs(30)).max(self.poll);
    }

    const fn now(&self) -> Duration {
        self.now
    }
}

/// The first height a peer should send next, for `GET /v1/inbox/ledgers`.
pub(crate) async fn wants(
    gateway: &Gateway,
    client: &dyn DynLightClient,
) -> Result<(Height, Option<String>, bool), StoreError> {
    let (head, _, frozen) = head(&gateway.store, client).await?;
    let facts = client.describe(&head).accepted();
    let now = gateway.clock.now();
    let expired = facts.as_ref().and_then(|facts| facts.trusted_until).is_some_and(|until| until < now);
    Ok((facts.map_or(Height::new(0), |facts| facts.wants), frozen, expired))
}
