//! One ledger of one pair: asks the destination which height it wants, the origin for the updates from there on, and
//! carries them across. Head updates travel per ledger and not per lane (design, decision 8).

use hufu_schemas_core::LedgerId;
use hufu_schemas_core::limits::UPDATE_STEPS;

use crate::answers::InboxLedger;
use crate::metrics::Outcome;
use crate::recovery::Recovery;
use crate::route::Route;
use crate::trouble::{Remedy, Trouble, TroubleKind};

/// Steps asked for at once: what a gateway takes, since a destination that is further behind than that would refuse more
/// for ever. Fewer after a batch that was too much.
const STEPS_MOST: u64 = UPDATE_STEPS as u64;

/// The task of one ledger.
#[derive(Debug)]
pub(crate) struct LedgerCourier {
    ledger: LedgerId,
    route: Route,
    recovery: Recovery,
    /// The height that the destination wants next; `None`: ask.
    wants: Option<u64>,
    /// How far the destination was when it asked for steps from further down: it was shown a branch that it may follow.
    /// Until it is beyond, it is not gone back for again without a pause.
    was_at: Option<u64>,
    steps: u64,
    /// Whether updates are carried compressed: until the destination says that it does not take them so.
    zipped: bool,
}

impl LedgerCourier {
    pub(crate) fn new(ledger: LedgerId, route: Route) -> Self {
        let recovery = route.recovery(&format!("ledger {ledger}"));
        Self { ledger, route, recovery, wants: None, was_at: None, steps: STEPS_MOST, zipped: true }
    }

    /// Carries until the process ends.
    pub(crate) async fn run(mut self) {
        while !self.route.stop.is_cancelled() {
            if let Err(trouble) = self.round().await {
                self.recover(&trouble).await;
            }
        }
    }

    /// One batch of updates, or one long poll in which none came.
    async fn round(&mut self) -> Result<(), Trouble> {
        let Some(wants) = self.wants().await? else {
            self.recovery.rest("frozen", self.route.pace.slow_poll).await;
            return Ok(());
        };
        let asked = self.route.origin.updates(&self.ledger, wants, self.steps, self.zipped).await;
        let Some(updates) = asked.inspect_err(|trouble| self.failed(trouble))? else {
            // Another courier may have moved the destination meanwhile.
            self.wants = None;
            self.succeeded();
            return Ok(());
        };
        let answer = self.route.destination.deliver_updates(&self.ledger, updates).await;
        let next = answer.inspect_err(|trouble| self.failed(trouble))?;
        if next < wants && self.was_at.is_none() {
            tracing::info!(ledger = %self.ledger, pair = %self.route.name, from = next, "another branch: carried from further down");
            self.was_at = Some(wants);
            self.now_wants(next);
            return Ok(());
        }
        // A destination that followed the branch wants a height on it; one that did not wants what it wanted before.
        if next <= wants || self.was_at.take() == Some(next) {
            let trouble = self.route.destination.trouble(TroubleKind::NoProgress { wanted: next });
            self.failed(&trouble);
            return Err(trouble);
        }
        self.route.metrics.updates(Outcome::Admitted);
        self.now_wants(next);
        self.steps = self.steps.saturating_mul(2).min(STEPS_MOST);
        self.succeeded();
        Ok(())
    }

    /// The height wanted next; `None` while an operator has to act first (frozen, expired, or no longer followed).
    async fn wants(&mut self) -> Result<Option<u64>, Trouble> {
        if self.wants.is_none() {
            let ledgers = self.route.destination.inbox_ledgers().await?;
            let found = ledgers.into_iter().find(|found| found.ledger == self.ledger);
            let open = found.filter(|found: &InboxLedger| !found.frozen && !found.expired);
            if let Some(open) = open {
                self.now_wants(open.wants);
            }
        }
        Ok(self.wants)
    }

    fn now_wants(&mut self, wants: u64) {
        self.wants = Some(wants);
        self.route.metrics.ledger_at(&self.route.name, self.ledger.as_str(), wants);
        self.route.progress.set(&self.ledger, wants);
    }

    /// Forgets what it knew and asks again.
    async fn recover(&mut self, trouble: &Trouble) {
        self.wants = None;
        self.was_at = None;
        if self.zipped && trouble.is_of_coding() {
            self.zipped = false;
            self.recovery.note(trouble);
            return;
        }
        if is_too_much(trouble) && self.steps > 1 {
            self.steps /= 2;
            self.recovery.note(trouble);
            return;
        }
        self.recovery.after(trouble).await;
    }

    fn failed(&self, trouble: &Trouble) {
        if trouble.remedy() != Remedy::Stop {
            self.route.metrics.updates(Outcome::Failed(trouble.reason()));
        }
    }

    fn succeeded(&mut self) {
        self.recovery.fine();
        self.route.succeeded();
    }
}

/// Whether fewer steps may help: they were too many bytes, too many for the gateway, or too much work for its budget.
fn is_too_much(trouble: &Trouble) -> bool {
    trouble.remedy() == Remedy::Smaller
        || matches!(trouble.refused_code(), Some("update-malformed" | "budget-exhausted"))
}
