//! The gateway itself: its ledgers, lanes, store and policy, and the tasks that keep them moving.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hufu_adapters_light_client::DynLightClient;
use hufu_adapters_source::Source;
use hufu_gateway_store::{Store, StoreError};
use hufu_gateway_verify::admission::LaneState;
use hufu_gateway_verify::page::CLOCK_DRIFT_SECONDS;
use hufu_gateway_verify::{Families, TrustPolicy};
use hufu_schemas_core::signature::NoteSigner;
use hufu_schemas_core::{GatewayId, LaneId, LedgerId, Timestamp};
use hufu_schemas_registry::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::clock::Clock;
use crate::config::{ConfigFault, GatewayConfig, Materials};
use crate::feed;
use crate::http::{Problem, ProblemCode};
use crate::inbox::InboxLane;
use crate::lanes::{self, OriginLane};
use crate::ledgers;
use crate::plan::{Clients, Plan, clients};
use crate::pool::VerifyPool;
use crate::telemetry::Metrics;

/// How often the policy file is looked at.
const POLICY_EVERY: Duration = Duration::from_secs(1);
/// How often held leaves are tried again by themselves.
const RETRY_EVERY: Duration = Duration::from_secs(30);
/// How often the database's health is looked at.
const HEALTH_EVERY: Duration = Duration::from_secs(1);
/// How often a ledger's nodes are asked when they had nothing new, unless the source says otherwise.
const POLL: Duration = Duration::from_millis(250);

type Locks<K, T> = Mutex<BTreeMap<K, Arc<tokio::sync::Mutex<T>>>>;

/// One running gateway.
pub struct Gateway {
    pub(crate) name: GatewayId,
    pub(crate) store: Store,
    pub(crate) families: Families,
    pub(crate) registry: Registry,
    pub(crate) signer: NoteSigner,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) verify_pool: VerifyPool,
    pub(crate) heartbeat: Duration,
    pub(crate) sources: BTreeMap<LedgerId, Arc<dyn Source>>,
    pub(crate) started: Timestamp,
    policy_file: PathBuf,
    /// Policy and light clients change together: no page sees one without the other.
    trust: RwLock<Arc<Trust>>,
    inbox: Locks<LaneId, InboxLane>,
    ledger_locks: Locks<LedgerId, ()>,
}

/// What is trusted at one moment.
struct Trust {
    policy: Arc<TrustPolicy>,
    clients: Clients,
}

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// The configuration; each fault says where.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Configuration(Vec<ConfigFault>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A gateway that is ready to run, with its lanes.
pub struct Assembled {
    /// The gateway.
    pub gateway: Arc<Gateway>,
    lanes: Vec<Arc<OriginLane>>,
}

impl Gateway {
    /// Puts a gateway together: opens the database, makes light clients, sources and lanes. Binds no port, asks no node.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, or why the database cannot be used.
    pub async fn assemble(
        config: &GatewayConfig,
        materials: Materials,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Assembled, StartFault> {
        let plan = Plan::of(config, &materials).map_err(StartFault::Configuration)?;
        let Plan { families, registry, signer, clients, sources, lanes } = plan;
        let store = Store::open(&config.database.path).await?;
        let gateway = Arc::new(Self {
            name: config.name.clone(),
            store,
            families,
            registry,
            signer,
            started: clock.now(),
            clock,
            metrics,
            verify_pool: VerifyPool::new(),
            heartbeat: config.heartbeat,
            sources,
            policy_file: config.policy.path.clone(),
            trust: RwLock::new(Arc::new(Trust { policy: Arc::new(materials.policy), clients })),
            inbox: Mutex::default(),
            ledger_locks: Mutex::default(),
        });
        Ok(Assembled { gateway, lanes })
    }

    /// The policy in force.
    pub(crate) fn policy(&self) -> Arc<TrustPolicy> {
        Arc::clone(&self.trust().policy)
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The light client of a ledger that the policy anchors.
    pub(crate) fn client(&self, ledger: &LedgerId) -> Option<Arc<dyn DynLightClient>> {
        self.trust().clients.get(ledger).cloned()
    }

    /// The light client of a ledger, or what an operator must do to have one.
    pub(crate) fn anchored(&self, ledger: &LedgerId) -> Result<Arc<dyn DynLightClient>, String> {
        self.client(ledger).ok_or_else(|| {
            self.metrics.source_error(ledger, "not-anchored");
            format!("the policy anchors no ledger {ledger} any more: nothing of it is read")
        })
    }

    /// Every light client.
    pub(crate) fn clients(&self) -> Vec<Arc<dyn DynLightClient>> {
        self.trust().clients.values().cloned().collect()
    }

    /// What is remembered of an inbox lane. Only lanes of the policy get one, so the table is bounded by it.
    pub(crate) fn inbox_lane(&self, lane: &LaneId) -> Result<Arc<tokio::sync::Mutex<InboxLane>>, Problem> {
        self.require_trusted(lane)?;
        let mut table = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Arc::clone(table.entry(lane.clone()).or_default()))
    }

    fn require_trusted(&self, lane: &LaneId) -> Result<(), Problem> {
        if self.policy().lane(lane).is_some() {
            return Ok(());
        }
        let words = format!("the policy names no lane {lane}: add a [[lane]] to take it in");
        Err(Problem::new(ProblemCode::NoSuchLane, words).of_lane(lane))
    }

    /// One update of a ledger at a time.
    pub(crate) fn ledger_lock(&self, ledger: &LedgerId) -> Arc<tokio::sync::Mutex<()>> {
        let mut table = self.ledger_locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(table.entry(ledger.clone()).or_default())
    }

    /// The state of an inbox lane that the policy names.
    pub(crate) async fn lane_state(&self, lane: &LaneId) -> Result<LaneState, Problem> {
        self.require_trusted(lane)?;
        let state = self.store.lane(lane).await.map_err(|fault| self.problem(fault))?;
        Ok(state.unwrap_or_else(|| LaneState::new(lane.clone())))
    }

    /// The latest time this gateway acted at.
    pub(crate) async fn high_water(&self) -> Result<Timestamp, Problem> {
        self.store.high_water().await.map_err(|fault| self.problem(fault))
    }

    /// A clock set back must not sign or admit (decision 9).
    pub(crate) async fn require_clock(&self, now: Timestamp) -> Result<(), String> {
        let mark = self.store.high_water().await.map_err(|fault| fault.to_string())?;
        if now.plus(CLOCK_DRIFT_SECONDS) < mark {
            return Err(format!("the clock says {now}, but this gateway has already acted at {mark}: set it right"));
        }
        self.metrics.high_water(now.max(mark));
        Ok(())
    }

    /// Takes a new policy into force, all or nothing, and tries held leaves under it.
    async fn replace_policy(&self, policy: TrustPolicy) -> bool {
        let fresh = match clients(&self.families, &policy, &self.policy_file.display().to_string()) {
            Ok(fresh) => fresh,
            Err(faults) => {
                let words: Vec<String> = faults.iter().map(ToString::to_string).collect();
                error!("the new policy is refused, the old one stays: {}", words.join("; "));
                return false;
            }
        };
        let digest = policy.digest();
        let lanes: Vec<LaneId> = policy.lanes().map(|(lane, _)| lane.clone()).collect();
        let trust = Trust { policy: Arc::new(policy), clients: fresh };
        *self.trust.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trust);
        info!(policy = %digest, "a new policy is in force");
        self.retry_lanes(&lanes).await;
        true
    }

    async fn retry_lanes(&self, lanes: &[LaneId]) {
        for lane in lanes {
            match self.retry_lane(lane).await {
                Ok(report) if report.admitted > 0 => {
                    info!(%lane, tried = report.tried, admitted = report.admitted, "held leaves were tried again");
                }
                Ok(_) => {}
                Err(problem) => warn!(%lane, "held leaves were not tried again: {}", problem.detail),
            }
        }
    }

    /// Tries held leaves now and then: a ledger that advanced may have brought what they lacked (decision 7).
    async fn retry_often(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(RETRY_EVERY) => {}
            }
            let lanes: Vec<LaneId> = self.policy().lanes().map(|(lane, _)| lane.clone()).collect();
            self.retry_lanes(&lanes).await;
        }
    }

    /// Watches the policy file: an operator's edit needs no restart.
    async fn watch_policy(self: Arc<Self>, stop: CancellationToken) {
        let mut refused = None;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(POLICY_EVERY) => {}
            }
            let Ok(text) = tokio::fs::read_to_string(&self.policy_file).await else { continue };
            let digest = hufu_schemas_core::Digest::of(text.as_bytes());
            if digest == self.policy().digest() || refused == Some(digest) {
                continue;
            }
            let file = self.policy_file.display().to_string();
            match TrustPolicy::parse(&file, &text) {
                Ok(policy) => {
                    if !self.replace_policy(policy).await {
                        refused = Some(digest);
                    }
                }
                Err(fault) => {
                    // Said once for each content: an editor may be half way through.
                    warn!("the changed policy is refused, the old one stays: {fault}");
                    refused = Some(digest);
                }
            }
        }
    }
}

impl Assembled {
    /// Starts following ledgers and publishing lanes.
    pub fn start(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        let gateway = &self.gateway;
        for (ledger, source) in &gateway.sources {
            tasks.spawn(ledgers::follow(Arc::clone(gateway), ledger.clone(), Arc::clone(source), POLL, stop.clone()));
        }
        for lane in &self.lanes {
            tasks.spawn(lanes::publish(Arc::clone(gateway), Arc::clone(lane), stop.clone()));
        }
        tasks.spawn(Arc::clone(gateway).watch_policy(stop.clone()));
        tasks.spawn(Arc::clone(gateway).retry_often(stop.clone()));
        tasks.spawn(feed::observe_often(Arc::clone(gateway), stop.clone()));
    }

    /// Ends when the database can no longer be written: the process must stop and recover from the file.
    pub async fn store_failed(&self) -> StoreError {
        loop {
            if let Err(fault) = self.gateway.store.health() {
                return fault;
            }
            tokio::time::sleep(HEALTH_EVERY).await;
        }
    }

    /// Writes what is left and closes the database. The last call on a gateway.
    pub async fn close(self) {
        self.gateway.store.close().await;
    }

    /// The definitions of the lanes this gateway publishes.
    pub fn definitions(&self) -> Vec<(LaneId, hufu_schemas_core::Digest)> {
        self.lanes.iter().map(|lane| (lane.id.clone(), lane.definition().digest())).collect()
    }
}
