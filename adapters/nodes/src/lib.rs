//! How any family's source asks several nodes over HTTP. Family-neutral: which method is called, and what an answer
//! means, is the family's affair.
//!
//! | module | subject |
//! |---|---|
//! | [`config`] | which nodes, how patient |
//! | [`fault`] | why a node did not serve, and which of several faults is reported |
//! | [`transport`] | one HTTP exchange, bounded in time and bytes; the opening of a WebSocket |
//! | [`line`](mod@line) | exchanges repeated where that can help, at the pace that a node allows |
//! | [`pace`] | requests a second that a node allows |
//! | [`hint`] | announcements of new heads, which wake the next question |
//! | [`progress`] | how a back-fill gets on |
//! | [`standing`] | who is benched, why, and until when |
//!
//! TLS: the crate brings no cryptography of its own choosing. The binary installs aws-lc-rs as rustls' process-wide
//! provider before it builds a source; plain `http` works without one, `https` without one is a [`ConfigFault`].

pub mod config;
pub mod fault;
pub mod hint;
pub mod line;
pub mod pace;
pub mod progress;
pub mod standing;
pub mod transport;

pub use config::{ConfigFault, NodeConfig, NodeSettings, Patience, Secret};
pub use fault::NodeFault;
pub use line::{Line, Unserved};
