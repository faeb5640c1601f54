//! A simulated ledger, and the conformance suites every LightClient, Decoder and Source must pass.
//!
//! - [`sim`]: a ledger family of its own, small enough to be read in minutes: headers signed by named validators with
//!   Ed25519, items under a Merkle root. It can fork, lie, stall and go back. Tests of everything above the adapters
//!   run on it, so that they do not depend on a vendor's format.
//! - [`conformance`]: what the traits promise, as checks that run on any family. A check yields a finding, never a
//!   panic, so that a command can show them to an outside author; [`conformance::Report::require_clean`] is for tests.
//!
//! For tests alone: nothing here may be reached from a gateway.

pub mod conformance;
pub mod sim;
