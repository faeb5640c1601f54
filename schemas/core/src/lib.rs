//! The shared language of the gateways.
//!
//! In scope: identifiers, canonical JSON, digests, signatures, the one quorum function, the RFC 6962 lane log,
//! statements, checkpoints, pages and evidence files, each with its limits.
//!
//! Out of scope, by dependency list and not by care: files, sockets, clocks, randomness. `now`, keys and salts are
//! arguments.

pub mod canonical;
pub mod checkpoint;
pub mod digest;
pub mod evidence;
pub mod ids;
pub mod lane;
pub mod limits;
pub mod merkle;
pub mod note;
pub mod page;
pub mod quorum;
pub mod record;
pub mod signature;
pub mod statement;
pub mod time;

pub use digest::Digest;
pub use ids::{BlockHash, ContentId, GatewayId, Height, LaneId, LedgerId, Position, RecordKey, SchemaRef};
pub use quorum::Quorum;
pub use record::{Record, RecordId};
pub use time::Timestamp;
