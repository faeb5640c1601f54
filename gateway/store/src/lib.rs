//! What a gateway keeps: lanes, records, heads, held leaves (design, section 3).
//!
//! In scope: one transaction a step, one writer, compare-and-swap on everything that moves, nothing signed twice
//! differently, nothing lost when the process dies at any write.
//!
//! Out of scope: deciding what to believe (gateway/verify), keys, clocks. What is read back is *stored*, never *verified*.
//!
//! [`Store`] is the door. Behind it stands SQLite (the `sqlite` module); a second back end would stand beside it and run
//! the same conformance suite.

#[cfg(test)]
mod conformance;
mod error;
mod model;
mod sqlite;
mod step;
mod store;

pub use error::StoreError;
pub use model::{
    Act, Admitted, HeldCount, HeldLeaf, LeafKind, LedgerAdvance, LedgerRow, LoggedAct, Offset, RECORDS_MOST,
    RecordPage, RecordQuery, Retracted, Role, Stats, StoredLeaf, StoredRecord, Undone,
};
pub use store::Store;
