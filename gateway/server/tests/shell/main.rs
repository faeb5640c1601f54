//! The listeners over real sockets, with certificates made here and a gateway that is not one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state facts; helpers that no test attribute marks may stop too"
)]

mod applications;
mod coding;
mod connections;
mod monitoring;
mod peers;
mod settings;
mod support;
