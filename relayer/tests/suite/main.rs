//! The courier between two gateways that record what comes.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "helpers of tests state facts, and a broken fact should stop them"
)]

mod carrying;
mod evidence;
mod heartbeats;
mod ledgers;
mod mutual_tls;
mod support;
mod troubles;
