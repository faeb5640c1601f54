//! The gateway process: ingest, lanes, admit, subscriptions, peers, HTTP API, configuration, telemetry.
//!
//! The outer shell: [`config`] (what it is told), [`tls`] and [`identity`] (who is at the other end), [`http`] (the
//! listeners, `docs/http-api.md`), [`telemetry`], [`clock`]. The shell meets the inside at [`backend::Backend`] alone.

pub mod backend;
pub mod clock;
pub mod config;
pub mod http;
pub mod identity;
pub mod telemetry;
pub mod tls;
