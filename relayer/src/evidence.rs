//! Fresh evidence for a leaf that the destination holds because the block evidence that came with it did not close: some
//! courier altered it. The origin's page of that leaf, carried once more, releases it.

use std::time::Duration;

use hufu_schemas_core::LaneId;
use tokio::time::Instant;

use crate::metrics::Outcome;
use crate::route::Route;
use crate::trouble::{Remedy, Trouble};

/// Leaves asked for at once. The destination has them all: they only bring the evidence of their blocks.
const LEAVES_MOST: u64 = 64;

/// The memory of one lane's task about the evidence that it brought.
#[derive(Debug)]
pub(crate) struct Mending {
    last: Option<Instant>,
    leaves: u64,
}

impl Mending {
    pub(crate) const fn new() -> Self {
        Self { last: None, leaves: LEAVES_MOST }
    }

    /// Whether the last page is `pace` ago: a leaf whose evidence is bad at the origin itself is not brought without end.
    pub(crate) fn is_due(&self, pace: Duration) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= pace)
    }

    /// Carries the page from leaf `from` on. That it moves nothing on is no trouble.
    ///
    /// # Errors
    /// What a request brought. After a page that was too large the next one is due at once, and smaller.
    pub(crate) async fn mend(&mut self, lane: &LaneId, route: &Route, from: u64, seen: u64) -> Result<(), Trouble> {
        self.last = Some(Instant::now());
        let Err(trouble) = self.carry(lane, route, from, seen).await else { return Ok(()) };
        if trouble.remedy() != Remedy::Stop {
            route.metrics.page(Outcome::Failed(trouble.reason()));
        }
        if trouble.remedy() == Remedy::Smaller && self.leaves > 1 {
            self.leaves /= 2;
            self.last = None;
        }
        Err(trouble)
    }

    async fn carry(&mut self, lane: &LaneId, route: &Route, from: u64, seen: u64) -> Result<(), Trouble> {
        let Some(page) = route.origin.page_again(lane, from, self.leaves, seen).await? else { return Ok(()) };
        let answer = route.destination.deliver_page(lane, page).await?;
        route.metrics.page(if answer.was_known() { Outcome::Known } else { Outcome::Admitted });
        self.leaves = LEAVES_MOST;
        Ok(())
    }
}
