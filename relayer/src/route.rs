//! What the tasks of one pair share.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::gateway::Gateway;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::progress::Progress;
use crate::recovery::Recovery;

/// From one gateway to another, and what it takes to go there.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    /// Origin and destination, as metrics name them.
    pub(crate) name: String,
    pub(crate) origin: Gateway,
    pub(crate) destination: Gateway,
    pub(crate) progress: Progress,
    pub(crate) pace: Pace,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: CancellationToken,
}

impl Route {
    pub(crate) fn succeeded(&self) {
        if let Some(now) = self.clock.now() {
            self.metrics.success(&self.name, now);
        }
    }

    pub(crate) fn recovery(&self, subject: &str) -> Recovery {
        let subject = format!("{subject} over {}", self.name);
        Recovery::new(subject, self.pace, Arc::clone(&self.metrics), self.stop.clone())
    }
}
