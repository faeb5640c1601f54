//! What a task does after a trouble: count it, say it once, wait as long as fits.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::backoff::{Backoff, between_zero_and, random};
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::trouble::{Remedy, Trouble};

/// The memory of one task about its troubles.
#[derive(Debug)]
pub(crate) struct Recovery {
    subject: String,
    pace: Pace,
    backoff: Backoff,
    /// What was said last: the same trouble is not said twice in a row.
    said: Option<(&'static str, &'static str, String)>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

impl Recovery {
    /// `subject` is what logs name: a lane or ledger and where it goes.
    pub(crate) fn new(subject: String, pace: Pace, metrics: Arc<Metrics>, stop: CancellationToken) -> Self {
        let backoff = Backoff::new(pace.backoff_first, pace.backoff_most);
        Self { subject, pace, backoff, said: None, metrics, stop }
    }

    /// A round ended well.
    pub(crate) fn fine(&mut self) {
        self.backoff.reset();
        if self.said.take().is_some() {
            tracing::info!(subject = %self.subject, "goes on");
        }
    }

    /// Counts and says `trouble`, then waits.
    pub(crate) async fn after(&mut self, trouble: &Trouble) {
        let pause = match trouble.remedy() {
            Remedy::Stop => return,
            Remedy::Slow => self.pace.slow_poll,
            // Others were told the same moment: a little jitter spreads the return.
            Remedy::WaitFor(asked) => {
                asked.min(self.pace.retry_after_most) + between_zero_and(self.pace.backoff_first, random())
            }
            Remedy::BackOff | Remedy::Smaller => self.backoff.next(random()),
        };
        self.note(trouble);
        self.rest(trouble.reason(), pause).await;
    }

    /// Counts and says `trouble` without a wait.
    pub(crate) fn note(&mut self, trouble: &Trouble) {
        self.metrics.trouble(trouble);
        let code = trouble.refused_code().unwrap_or_default().to_owned();
        let now = (trouble.end.label(), trouble.reason(), code);
        if self.said.as_ref() == Some(&now) {
            return;
        }
        let (end, reason, code) = (now.0, now.1, &now.2);
        // What a gateway does not show us is often meant so; the metric tells where it is not.
        if trouble.is_missing() {
            tracing::debug!(subject = %self.subject, end, reason, words = %trouble.words(), "not shown to this courier");
        } else {
            tracing::warn!(subject = %self.subject, end, reason, code, words = %trouble.words(), "held up; trying on");
        }
        self.said = Some(now);
    }

    /// Waits `pause`, or until the process ends.
    pub(crate) async fn rest(&self, reason: &'static str, pause: Duration) {
        self.metrics.waits(reason, pause);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}
