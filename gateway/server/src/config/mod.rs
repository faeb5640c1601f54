//! The gateway's configuration: one TOML file, unknown keys refused, mistakes named with their line.
//!
//! Two steps, so that `hufu check-config` and a start go the same way: [`GatewayConfig::parse`] needs the text alone;
//! [`GatewayConfig::materials`] reads every file that the text names and reports all that is wrong with them at once.
//! What is trusted (anchors, log keys, authority) does not stand here but in the policy file.
//!
//! ```toml
//! [gateway]
//! name = "land.example"
//! database = "land.db"                    # paths are relative to this file
//! policy = "policy.toml"
//! log_key = "log.key"                     # 32 bytes in hex, mode 0600
//! schemas = "schemas"                     # optional: a department's payload schemas, *.json
//! heartbeat_seconds = 60
//!
//! [listen]
//! peers = "127.0.0.1:7401"
//! applications = "127.0.0.1:7402"         # optional
//! monitoring = "127.0.0.1:7403"           # optional
//!
//! [tls]
//! certificate = "gateway.pem"
//! key = "gateway.key"                     # mode 0600
//! client_authorities = "authorities.pem"  # who may sign peers' certificates
//!
//! [[ledger]]                              # a ledger this gateway reads itself; its anchor is in the policy
//! id = "sim:00000000000000000000000000000000"
//! source = { family = "sim" }             # what else stands here, the family says
//!
//! [[lane]]                                # a lane it publishes
//! name = "property-rights"
//! epoch = 1
//! ledger = "sim:00000000000000000000000000000000"
//! mapping = "property-right.yaml"
//! tag_key = "property-rights.tag"         # 32 bytes in hex, mode 0600
//! from_height = 1
//!
//! [[peer]]
//! identity = "urn:hufu:relayer:city-1"    # the URI name of its certificate
//! read_lanes = ["property-rights/1"]      # of ours; "*": all
//! write_lanes = ["tax.example/clearance/1"]
//! write_ledgers = ["*"]
//!
//! [[application]]
//! name = "land-portal"
//! token_sha256 = "64 hex digits"
//! scopes = ["read"]                       # read, operate
//! ```

mod limits;
mod materials;
mod parse;
mod place;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use hufu_schemas_core::{Digest, GatewayId, Height, LaneId, LedgerId};
use serde_json::Value;

use crate::identity::Identity;

pub use limits::Limits;
pub use materials::{Materials, Secret, TlsMaterials, read_secret};
pub use place::{ConfigFault, FileRef, Place};

/// What one gateway is told.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayConfig {
    /// The file's name, for faults found later.
    pub file: String,
    /// This gateway.
    pub name: GatewayId,
    /// The database file.
    pub database: FileRef,
    /// The trust policy.
    pub policy: FileRef,
    /// The seed that signs checkpoints.
    pub log_key: FileRef,
    /// The folder of the department's payload schemas.
    pub schemas: Option<FileRef>,
    /// How long a lane may be idle before it signs a checkpoint anew (decision 12).
    pub heartbeat: Duration,
    /// Addresses.
    pub listen: Listen,
    /// Certificate, key and authorities.
    pub tls: TlsFiles,
    /// Bounds on what may come in.
    pub limits: Limits,
    /// Ledgers it reads itself.
    pub ledgers: Vec<LedgerConfig>,
    /// Lanes it publishes.
    pub lanes: Vec<LaneConfig>,
    /// Who may connect to the peers listener.
    pub peers: Vec<PeerGrant>,
    /// Who may use the applications listener.
    pub applications: Vec<ApplicationGrant>,
}

/// Where the gateway listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// Gateways and relayers, over mutual TLS.
    pub peers: SocketAddr,
    /// The department's own software, over TLS.
    pub applications: Option<SocketAddr>,
    /// Prometheus and the load balancer, in the clear.
    pub monitoring: Option<SocketAddr>,
}

/// Files of the transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The gateway's certificate and what leads to its authority, in PEM.
    pub certificate: FileRef,
    /// Its key, in PEM.
    pub key: FileRef,
    /// Who may sign peers' certificates, in PEM.
    pub client_authorities: FileRef,
}

/// A ledger that the gateway reads itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LedgerConfig {
    /// The ledger; its anchor stands in the policy.
    pub id: LedgerId,
    /// The table as it stands; its family reads it.
    pub source: Value,
    /// Where the table stands, for the family's faults.
    pub place: Place,
}

/// A lane that the gateway publishes.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneConfig {
    /// The lane.
    pub id: LaneId,
    /// The ledger it draws from.
    pub ledger: LedgerId,
    /// Its mapping, in YAML.
    pub mapping: FileRef,
    /// The key of its key tags.
    pub tag_key: FileRef,
    /// The first block it covers.
    pub from_height: Height,
}

/// Everything, or what is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bound<T: Ord> {
    /// `"*"`.
    All,
    /// These alone; an empty set is nothing.
    These(BTreeSet<T>),
}

impl<T: Ord> Bound<T> {
    /// Whether it holds `item`.
    pub fn holds(&self, item: &T) -> bool {
        match self {
            Self::All => true,
            Self::These(items) => items.contains(item),
        }
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::These(items) if items.is_empty())
    }
}

/// What one peer may do. Not named: refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerGrant {
    /// The URI name of its certificate.
    pub identity: Identity,
    /// Lanes of this gateway that it may read.
    pub read_lanes: Bound<LaneId>,
    /// Inbox lanes that it may deliver.
    pub write_lanes: Bound<LaneId>,
    /// Foreign ledgers whose updates it may deliver.
    pub write_ledgers: Bound<LedgerId>,
}

/// What an application may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationGrant {
    /// Its name, for the audit trail.
    pub name: String,
    /// SHA-256 of its token; the token itself stands nowhere here.
    pub token: Digest,
    /// Its scopes.
    pub scopes: BTreeSet<Scope>,
}

/// What a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Records, events, status.
    Read,
    /// Held leaves, freezing, thawing.
    Operate,
}

impl Scope {
    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
        }
    }
}
