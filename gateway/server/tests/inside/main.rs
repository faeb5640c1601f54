//! Whole gateways in one process, on a simulated ledger that tests mine by hand, with a courier that tests move by hand.
//! No sockets of ours, no TLS: what is asked is asked of [`hufu_gateway_server::backend::Backend`], as the listeners do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state facts; helpers that no test attribute marks may stop too"
)]

mod arrival;
mod control;
mod forgery;
mod freezing;
mod ledger;
mod operator;
mod reading;
mod reorganisation;
mod restart;
mod slots;
mod sources;
mod stage;
mod support;
mod time;
mod trailing;
mod two_faced;
mod two_lanes;
mod withheld;
