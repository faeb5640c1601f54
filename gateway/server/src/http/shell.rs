//! What the handlers of one listener share.

use std::collections::BTreeMap;
use std::sync::Arc;

use hufu_schemas_core::GatewayId;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::quota::Quota;
use crate::backend::Backend;
use crate::config::{ApplicationGrant, GatewayConfig, Limits, PeerGrant};
use crate::identity::Identity;
use crate::telemetry::Metrics;

/// A listener's name, as a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListenerName {
    Peers,
    Applications,
    Monitoring,
}

impl ListenerName {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Applications => "applications",
            Self::Monitoring => "monitoring",
        }
    }
}

/// What every listener has in common.
pub(super) struct Common {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) metrics: Metrics,
    pub(super) limits: Limits,
    pub(super) gateway: GatewayId,
    pub(super) peers: BTreeMap<Identity, Arc<PeerGrant>>,
    pub(super) applications: Vec<Arc<ApplicationGrant>>,
    pub(super) quota: Quota,
    /// Begins the drain: no new connections, streams end, long polls answer at once.
    pub(super) stop: CancellationToken,
    /// Ends it: whatever still runs is dropped.
    pub(super) kill: CancellationToken,
    pub(super) tasks: TaskTracker,
}

impl Common {
    pub(super) fn new(config: &GatewayConfig, backend: Arc<dyn Backend>, metrics: Metrics) -> Self {
        let peers = config.peers.iter().map(|it| (it.identity.clone(), Arc::new(it.clone()))).collect();
        Self {
            backend,
            metrics,
            limits: config.limits,
            gateway: config.name.clone(),
            peers,
            applications: config.applications.iter().cloned().map(Arc::new).collect(),
            quota: Quota::new(
                config.peers.iter().map(|it| it.identity.clone()),
                config.limits.pages_per_minute_per_peer,
            ),
            stop: CancellationToken::new(),
            kill: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }
}

/// One listener's state: its slots are its own, so that applications cannot starve peers or the other way round.
#[derive(Clone)]
pub(super) struct Shell {
    pub(super) common: Arc<Common>,
    pub(super) name: ListenerName,
    pub(super) running: Arc<Semaphore>,
    pub(super) waiting: Arc<Semaphore>,
    pub(super) bodies: Arc<Semaphore>,
}

impl Shell {
    pub(super) fn new(common: Arc<Common>, name: ListenerName) -> Self {
        let limits = common.limits;
        Self {
            common,
            name,
            running: Arc::new(Semaphore::new(limits.requests_in_flight)),
            waiting: Arc::new(Semaphore::new(limits.waiting_requests)),
            bodies: Arc::new(Semaphore::new(limits.bodies_in_flight)),
        }
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        self.common.backend.as_ref()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.common.limits
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.common.metrics
    }
}
