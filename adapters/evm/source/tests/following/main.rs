//! How the source follows a ledger: announcements of new heads, limits that nodes set us, and history that is far back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "helpers of tests state facts too"
)]

mod announcements;
mod fake;
mod history;
mod limits;
mod support;
mod tls;
