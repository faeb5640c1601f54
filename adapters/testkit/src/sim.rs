//! The simulated ledger family `sim`.
//!
//! | part | form |
//! |---|---|
//! | header | canonical JSON `{contracts, items, number, parent, time}`; its SHA-256 is the block's hash |
//! | seal | Ed25519 over `hufu-sim-seal` ‖ genesis ‖ block hash, by a named validator; ceil(2n/3) make a block final |
//! | step | canonical JSON `{header, seals}` |
//! | items | RFC 6962 tree over the canonical JSON of each; the root stands in the header |
//! | evidence | canonical JSON list of all items of the block |
//! | genesis | a header like any other whose parent is the digest of name and validators, so another set is another ledger |

mod client;
mod decoder;
mod ledger;
mod source;
mod wire;

pub use client::{SimAnchor, SimClient, SimHead};
pub use decoder::{SimDecoder, SimFamily, SimSelector};
pub use ledger::{SimLedger, SimLedgerConfig};
pub use source::{SimFault, SimSource};
pub use wire::{SimHeader, SimItem, SimStep};

/// The family's name.
pub const FAMILY: &str = "sim";
