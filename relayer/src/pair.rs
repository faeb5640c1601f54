//! One pair of gateways: finds out which lanes and ledgers there are, and keeps one task for each.

use std::collections::BTreeMap;

use hufu_schemas_core::{LaneId, LedgerId};
use tokio::task::{Id, JoinError, JoinSet};

use crate::lane::LaneCourier;
use crate::ledger::LedgerCourier;
use crate::recovery::Recovery;
use crate::route::Route;
use crate::trouble::{Remedy, Trouble};

/// Lanes of one pair. More than this from an origin are left alone, and it is said.
const LANES_MOST: usize = 1_024;
/// Ledgers of one pair. A department follows tens.
const LEDGERS_MOST: usize = 256;

/// The supervisor of one pair.
pub(crate) struct PairCourier {
    route: Route,
    /// The configured lanes; `None`: discover them.
    lanes: Option<Vec<LaneId>>,
    recovery: Recovery,
    tasks: JoinSet<()>,
    running: BTreeMap<Id, Carried>,
}

/// What a task carries.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Carried {
    Lane(LaneId),
    Ledger(LedgerId),
}

impl PairCourier {
    pub(crate) fn new(route: Route, lanes: Option<Vec<LaneId>>) -> Self {
        let recovery = route.recovery("discovery");
        Self { route, lanes, recovery, tasks: JoinSet::new(), running: BTreeMap::new() }
    }

    /// Carries until the process ends, then until what is under way is done (the caller gives that its time).
    pub(crate) async fn run(mut self) {
        while !self.route.stop.is_cancelled() {
            match self.discover().await {
                Ok(()) => self.recovery.fine(),
                Err(trouble) => self.recovery.after(&trouble).await,
            }
            self.rest().await;
        }
        while self.tasks.join_next().await.is_some() {}
    }

    async fn discover(&mut self) -> Result<(), Trouble> {
        // Configured lanes need no gateway's word to begin.
        for lane in self.lanes.clone().unwrap_or_default() {
            self.start_lane(lane);
        }
        for ledger in self.route.destination.inbox_ledgers().await? {
            self.start_ledger(ledger.ledger);
        }
        if self.lanes.is_some() {
            return Ok(());
        }
        for lane in self.route.origin.lanes().await? {
            if !self.carries(&Carried::Lane(lane.clone())) && self.is_wanted(&lane).await {
                self.start_lane(lane);
            }
        }
        Ok(())
    }

    /// Whether the destination answers a state for the lane.
    async fn is_wanted(&mut self, lane: &LaneId) -> bool {
        match self.route.destination.inbox_state(lane).await {
            Ok(_) => true,
            // Most lanes of an origin are not for this destination: that is no trouble.
            Err(trouble) if trouble.remedy() == Remedy::Slow => false,
            Err(trouble) => {
                self.recovery.note(&trouble);
                false
            }
        }
    }

    fn start_lane(&mut self, lane: LaneId) {
        let carried = Carried::Lane(lane.clone());
        if self.carries(&carried) || self.is_full(LANES_MOST, |carried| matches!(carried, Carried::Lane(_))) {
            return;
        }
        tracing::info!(%lane, pair = %self.route.name, "carries");
        let courier = LaneCourier::new(lane, self.route.clone());
        self.running.insert(self.tasks.spawn(courier.run()).id(), carried);
    }

    fn start_ledger(&mut self, ledger: LedgerId) {
        let carried = Carried::Ledger(ledger.clone());
        if self.carries(&carried) || self.is_full(LEDGERS_MOST, |carried| matches!(carried, Carried::Ledger(_))) {
            return;
        }
        tracing::info!(%ledger, pair = %self.route.name, "carries");
        let courier = LedgerCourier::new(ledger, self.route.clone());
        self.running.insert(self.tasks.spawn(courier.run()).id(), carried);
    }

    fn carries(&self, carried: &Carried) -> bool {
        self.running.values().any(|running| running == carried)
    }

    fn is_full(&self, most: usize, kind: impl Fn(&Carried) -> bool) -> bool {
        let full = self.running.values().filter(|running| kind(running)).count() >= most;
        if full {
            tracing::warn!(pair = %self.route.name, most, "a gateway names more than this pair carries; left alone");
        }
        full
    }

    /// Until the next discovery. A task ends early only by a fault in this program: the next discovery begins it anew.
    async fn rest(&mut self) {
        let until = tokio::time::Instant::now() + self.route.pace.discovery;
        loop {
            tokio::select! {
                () = self.route.stop.cancelled() => return,
                () = tokio::time::sleep_until(until) => return,
                Some(ended) = self.tasks.join_next_with_id() => self.ended(ended),
            }
        }
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let carried = self.running.remove(&id);
        if let Err(fault) = ended {
            tracing::error!(pair = %self.route.name, ?carried, %fault, "a task broke down; it is begun anew");
        }
    }
}
