//! Decides what a gateway believes.
//!
//! In scope: the trust policy, reading proven items into records ([`reader`]), the origin's side of a lane
//! ([`origin`]), the receiver's side ([`page`]), evidence files ([`evidence`]), and the one module that mints
//! [`Verified`] ([`verified`]).
//!
//! Out of scope: I/O, clocks, randomness, databases. Pure: whatever is needed is an argument.

pub mod admission;
pub mod assurance;
pub mod derivation;
pub mod evidence;
pub mod origin;
pub mod page;
pub mod policy;
pub mod reader;
pub mod verified;

pub use admission::{Admission, AdmittedLeaf, Held, LaneState, LeafOutcome};
pub use assurance::{Assurance, Completeness};
pub use derivation::Derivation;
pub use origin::OriginBatch;
pub use page::{PageContext, PageRejection, PageVerdict, Waiting};
pub use policy::TrustPolicy;
pub use reader::{Families, LaneReader};
pub use verified::Verified;
