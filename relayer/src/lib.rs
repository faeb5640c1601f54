//! The courier between gateways.
//!
//! It asks the destination what it has and wants, asks the origin what follows, and carries the bytes across untouched.
//! It holds no key that makes anything true and no database: nothing is believed because it says so, a restart needs
//! nothing, and two of them side by side do no harm.
//!
//! ```toml
//! [relayer]
//! name = "city-1"
//! certificate = "relayer.pem"     # PEM chain; the first URI name of its first certificate is urn:hufu:relayer:city-1
//! key = "relayer.key"
//! authorities = "authorities.pem" # the authorities of the gateways' server certificates; no others are trusted
//! monitoring = "127.0.0.1:9464"   # optional: /metrics and /healthz, plain HTTP, for loopback or a closed network
//! insecure_loopback = false       # true: http:// to loopback addresses is allowed (one machine, tests)
//!
//! [[pair]]
//! origin = "https://127.0.0.1:7001"
//! destination = "https://127.0.0.1:7002"
//! lanes = ["land.example/property-rights/1"] # absent: what the origin shows and the destination answers a state for
//! ```
//!
//! Paths are relative to the configuration file. In scope: the courier and its metrics. Out of scope: parsing the
//! command line and signals (`gateway/cli`), and any judgement of what is carried (`gateway/verify`, at the
//! destination).

mod answers;
mod backoff;
mod clock;
mod config;
mod evidence;
mod gateway;
mod heartbeat;
mod lane;
mod ledger;
mod metrics;
mod monitoring;
mod pace;
mod pair;
mod progress;
mod recovery;
mod relayer;
mod route;
mod tls;
mod trouble;

pub use clock::{Clock, SystemClock};
pub use config::{ConfigFault, GatewayUrl, IdentityFiles, PairConfig, RelayerConfig};
pub use metrics::Metrics;
pub use pace::Pace;
pub use relayer::{Relayer, RunFault, StartFault};
pub use tls::TlsFault;
