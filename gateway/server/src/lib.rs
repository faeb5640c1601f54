//! The gateway process: ingest, lanes, admit, subscriptions, peers, HTTP API, configuration, telemetry.
//!
//! The outer shell: [`config`] (what it is told), [`tls`] and [`identity`] (who is at the other end), [`http`] (the
//! listeners, `docs/http-api.md`), [`telemetry`], [`clock`]. The shell meets the inside at [`backend::Backend`] alone.
//!
//! The inside: [`plan`] (what a configuration comes to), [`gateway`] (what a running gateway holds), `ledgers` (heads move), `lanes` (what this gateway publishes),
//! `inbox` (what peers bring), `pages` and `proofs` (what leaves), `feed` (what applications see), [`families`] (the one
//! table of vendors).

mod api;
pub mod backend;
pub mod clock;
pub mod config;
pub mod families;
mod feed;
pub mod gateway;
pub mod http;
pub mod identity;
mod inbox;
mod lanes;
mod ledgers;
mod measure;
mod pages;
pub mod plan;
mod pool;
mod proofs;
mod rivals;
pub mod telemetry;
pub mod tls;
mod undone;
