//! A small ledger made by hand, for this crate's own tests: it can do what no node would.

pub(crate) mod chain;
pub(crate) mod state;
