//! One lane of one pair: asks the destination what it has, the origin what follows, and carries it across. One page is
//! under way at a time, and it is held in memory only until the destination has it.

use std::time::Duration;

use bytes::Bytes;
use hufu_schemas_core::{LaneId, LedgerId};
use tokio::sync::watch;

use crate::answers::{InboxState, PageAnswer, Waiting, claimed_size};
use crate::evidence::Mending;
use crate::heartbeat::Heartbeat;
use crate::metrics::Outcome;
use crate::progress::moved_past;
use crate::recovery::Recovery;
use crate::route::Route;
use crate::trouble::{End, Remedy, Trouble, TroubleKind};

/// Leaves asked for at once. Fewer after a page that was too large, down to one.
const LEAVES_MOST: u64 = 1_024;

/// The task of one lane.
#[derive(Debug)]
pub(crate) struct LaneCourier {
    lane: LaneId,
    route: Route,
    recovery: Recovery,
    /// What the destination said last; `None`: ask.
    state: Option<InboxState>,
    /// A page that waits for its ledger.
    held: Option<Held>,
    leaves: u64,
    /// How long a page waits for its ledger before it is tried again unasked.
    patience: Duration,
    /// The ledger that a page of this lane waited for last.
    ledger: Option<(LedgerId, watch::Receiver<u64>)>,
    heartbeat: Heartbeat,
    mending: Mending,
}

/// A page in memory.
#[derive(Debug, Clone)]
struct Held {
    from: u64,
    bytes: Bytes,
}

impl LaneCourier {
    pub(crate) fn new(lane: LaneId, route: Route) -> Self {
        let recovery = route.recovery(&format!("lane {lane}"));
        let patience = route.pace.ledger_first;
        let (heartbeat, mending) = (Heartbeat::default(), Mending::new());
        let (state, held, leaves, ledger) = (None, None, LEAVES_MOST, None);
        Self { lane, route, recovery, state, held, leaves, patience, ledger, heartbeat, mending }
    }

    /// Carries until the process ends.
    pub(crate) async fn run(mut self) {
        while !self.route.stop.is_cancelled() {
            if let Err(trouble) = self.round().await {
                self.recover(&trouble).await;
            }
        }
    }

    /// One page, or one long poll in which none came and then the heartbeat.
    async fn round(&mut self) -> Result<(), Trouble> {
        let state = self.state().await?;
        if state.frozen {
            self.state = None;
            self.recovery.rest("frozen", self.route.pace.slow_poll).await;
            return Ok(());
        }
        if let Some(from) = state.evidence.filter(|_| self.mending.is_due(self.route.pace.evidence)) {
            return self.mend(from, state.seen).await;
        }
        let Some(page) = self.page(&state).await? else { return self.idle(&state).await };
        let answer = self.deliver(&page).await?;
        self.route.metrics.lane_at(&self.route.name, &self.lane, End::Destination, answer.size);
        match &answer.waiting {
            Some(waiting) => self.wait_for_ledger(&answer, waiting, page).await,
            None => self.carried(&answer, &page),
        }
    }

    async fn state(&mut self) -> Result<InboxState, Trouble> {
        if let Some(state) = &self.state {
            return Ok(state.clone());
        }
        let state = self.route.destination.inbox_state(&self.lane).await?;
        self.route.metrics.lane_at(&self.route.name, &self.lane, End::Destination, state.size);
        self.state = Some(state.clone());
        Ok(state)
    }

    async fn page(&mut self, state: &InboxState) -> Result<Option<Held>, Trouble> {
        if let Some(held) = self.held.take() {
            return Ok(Some(held));
        }
        let asked = self.route.origin.page(&self.lane, state.size, self.leaves, state.seen).await;
        let Some(bytes) = asked.inspect_err(|trouble| self.failed(trouble))? else { return Ok(None) };
        if let Some(size) = claimed_size(&bytes) {
            self.route.metrics.lane_at(&self.route.name, &self.lane, End::Origin, size);
        }
        Ok(Some(Held { from: state.size, bytes }))
    }

    /// Nothing follows: the destination gets the origin's checkpoint, as a sign that the lane lives.
    async fn idle(&mut self, state: &InboxState) -> Result<(), Trouble> {
        self.route.metrics.lane_at(&self.route.name, &self.lane, End::Origin, state.size);
        // Without a fresh answer it is asked again: another courier may have moved the destination meanwhile.
        self.state = self.heartbeat.beat(&self.lane, &self.route, state.size).await?;
        self.succeeded();
        Ok(())
    }

    /// Brings fresh evidence for leaf `from`. Pages go on whether it helps or not.
    async fn mend(&mut self, from: u64, seen: u64) -> Result<(), Trouble> {
        self.state = None;
        match self.mending.mend(&self.lane, &self.route, from, seen).await {
            // The lane's own pages are not asked for smaller because of this one.
            Err(trouble) if trouble.remedy() == Remedy::Smaller => self.recovery.note(&trouble),
            mended => return mended,
        }
        Ok(())
    }

    async fn deliver(&mut self, page: &Held) -> Result<PageAnswer, Trouble> {
        // A step of the ledger that comes while the page is on its way has to wake this lane afterwards.
        if let Some((_, receiver)) = &mut self.ledger {
            receiver.mark_unchanged();
        }
        let answer = self.route.destination.deliver_page(&self.lane, page.bytes.clone()).await;
        answer.inspect_err(|trouble| self.failed(trouble))
    }

    /// The destination took the page.
    fn carried(&mut self, answer: &PageAnswer, page: &Held) -> Result<(), Trouble> {
        if answer.size <= page.from {
            let trouble = self.route.destination.trouble(TroubleKind::NoProgress { wanted: answer.size });
            self.failed(&trouble);
            return Err(trouble);
        }
        self.route.metrics.page(if answer.was_known() { Outcome::Known } else { Outcome::Admitted });
        // A page of which leaves are held may leave them in want of evidence: that is asked.
        let seen = answer.seen.filter(|_| answer.held == 0);
        self.state = seen.map(|seen| InboxState { size: answer.size, seen, frozen: false, evidence: None });
        self.leaves = self.leaves.saturating_mul(2).min(LEAVES_MOST);
        self.patience = self.route.pace.ledger_first;
        self.succeeded();
        Ok(())
    }

    /// Waits until the ledger moves, or a little. What was admitted already is not carried again.
    async fn wait_for_ledger(&mut self, answer: &PageAnswer, waiting: &Waiting, page: Held) -> Result<(), Trouble> {
        self.route.metrics.page(Outcome::Waiting);
        tracing::debug!(lane = %self.lane, reason = %waiting.reason, height = waiting.height, "waits for its ledger");
        if answer.size > page.from {
            self.state = None;
            self.patience = self.route.pace.ledger_first;
        } else {
            self.held = Some(page);
        }
        self.follow(waiting.ledger.as_ref());
        self.route.metrics.waits("waiting", self.patience);
        let receiver = self.ledger.as_mut().map(|(_, receiver)| receiver);
        tokio::select! {
            () = self.route.stop.cancelled() => {}
            () = moved_past(receiver, waiting.height) => {}
            () = tokio::time::sleep(self.patience) => {}
        }
        self.patience = self.patience.saturating_mul(2).min(self.route.pace.ledger_most);
        Ok(())
    }

    fn follow(&mut self, ledger: Option<&LedgerId>) {
        if self.ledger.as_ref().map(|(followed, _)| followed) == ledger {
            return;
        }
        self.ledger = ledger.and_then(|ledger| Some((ledger.clone(), self.route.progress.follow(ledger)?)));
    }

    /// Forgets what it knew and asks again: a trouble may mean that all of it is out of date.
    async fn recover(&mut self, trouble: &Trouble) {
        self.state = None;
        self.held = None;
        if trouble.remedy() == Remedy::Smaller && self.leaves > 1 {
            self.leaves /= 2;
            self.recovery.note(trouble);
            return;
        }
        self.recovery.after(trouble).await;
    }

    fn failed(&self, trouble: &Trouble) {
        if trouble.remedy() != Remedy::Stop {
            self.route.metrics.page(Outcome::Failed(trouble.reason()));
        }
    }

    fn succeeded(&mut self) {
        self.recovery.fine();
        self.route.succeeded();
    }
}
