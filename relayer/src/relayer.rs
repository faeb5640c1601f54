//! The whole courier: made from a configuration, run until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{PairConfig, RelayerConfig};
use crate::gateway::{Gateway, http_client};
use crate::metrics::Metrics;
use crate::monitoring;
use crate::pace::Pace;
use crate::pair::PairCourier;
use crate::progress::Progress;
use crate::route::Route;
use crate::tls::{TlsFault, client_config};
use crate::trouble::End;

/// A courier that is ready to run. It has opened its certificate files and nothing else.
#[derive(Debug)]
pub struct Relayer {
    config: RelayerConfig,
    clock: Arc<dyn Clock>,
    pace: Pace,
    tls: rustls::ClientConfig,
    metrics: Arc<Metrics>,
}

/// Why a courier cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StartFault {
    /// Its identity or its authorities.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// Metrics of one name twice: a fault in this program.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Why a courier could not begin to run.
#[derive(Debug, thiserror::Error)]
pub enum RunFault {
    /// The address of the monitoring listener is taken or not ours.
    #[error("monitoring on {address}: {fault}")]
    Monitoring {
        /// The configured address.
        address: SocketAddr,
        /// What the system says.
        fault: std::io::Error,
    },
    /// The HTTP client.
    #[error("HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

impl Relayer {
    /// Reads the certificate files that `config` names. Opens no connection.
    ///
    /// # Errors
    /// When a file cannot be read, or the certificate is not of the name in `config`.
    pub fn new(config: RelayerConfig, clock: Arc<dyn Clock>) -> Result<Self, StartFault> {
        let tls = client_config(&config.name, config.identity.as_ref())?;
        Ok(Self { config, clock, pace: Pace::default(), tls, metrics: Arc::new(Metrics::new()?) })
    }

    /// The same courier at another pace.
    #[must_use]
    pub const fn with_pace(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// What it counts; stays readable while it runs.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Carries until `shutdown` is cancelled. Questions under way are dropped then, deliveries get [`Pace::grace`].
    /// Nothing has to be kept: the next run asks the gateways where they are.
    ///
    /// # Errors
    /// Only before anything is carried: when the monitoring address cannot be had.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), RunFault> {
        let http = http_client(self.tls.clone(), &self.pace)?;
        let mut tasks = JoinSet::new();
        if let Some(address) = self.config.monitoring {
            let listener = TcpListener::bind(address).await.map_err(|fault| RunFault::Monitoring { address, fault })?;
            tasks.spawn(monitoring::serve(listener, self.metrics(), shutdown.clone()));
        }
        for pair in &self.config.pairs {
            let route = self.route(pair, &http, &shutdown);
            tasks.spawn(PairCourier::new(route, pair.lanes.clone()).run());
        }
        tracing::info!(name = self.config.name, pairs = self.config.pairs.len(), "courier runs");
        shutdown.cancelled().await;
        let drained = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(self.pace.grace, drained).await.is_err() {
            tracing::warn!("deliveries under way were dropped; the next run carries them again");
        }
        Ok(())
    }

    fn route(&self, pair: &PairConfig, http: &reqwest::Client, stop: &CancellationToken) -> Route {
        let gateway = |url, end| Gateway::new(http.clone(), url, end, self.pace, self.metrics(), stop.clone());
        Route {
            name: format!("{}>{}", pair.origin.authority(), pair.destination.authority()),
            origin: gateway(&pair.origin, End::Origin),
            destination: gateway(&pair.destination, End::Destination),
            progress: Progress::default(),
            pace: self.pace,
            metrics: self.metrics(),
            clock: Arc::clone(&self.clock),
            stop: stop.clone(),
        }
    }
}
