//! Bounds on what may come in over the network, each with its default and where that comes from.

use std::time::Duration;

use hufu_schemas_core::limits::PageLimits;
use serde::Deserialize;

/// Bounds of the listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one posted page or batch of ledger steps. A little more than a page may have, so that the parser, which
    /// can say more, is who refuses a page that is slightly too large.
    pub body_bytes: usize,
    /// Connections to one listener. 1,024 × about 50 KiB of buffers = 50 MiB.
    pub connections: usize,
    /// Connections to one listener from one address.
    pub connections_per_address: usize,
    /// Requests being answered at once, long polls and subscribers apart.
    pub requests_in_flight: usize,
    /// Long polls and subscribers at once: they wait and hold no processor.
    pub waiting_requests: usize,
    /// Posted bodies held at once: × `body_bytes` is the most memory they take (16 × 8 MiB = 128 MiB).
    pub bodies_in_flight: usize,
    /// Pages and update batches that one peer may post a minute; a full minute's worth may come at once.
    pub pages_per_minute_per_peer: u32,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time for the head of a request.
    pub header: Duration,
    /// Time for a whole request, its body included; long polls: beyond what they asked to wait.
    pub request: Duration,
    /// Time that a subscriber may take nothing before it is disconnected.
    pub stall: Duration,
    /// Age at which a connection is drained and closed: a certificate withdrawn since is seen at the next.
    pub connection_age: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: PageLimits::DEFAULT.bytes + (64 << 10),
            connections: 1_024,
            connections_per_address: 128,
            requests_in_flight: 256,
            waiting_requests: 512,
            bodies_in_flight: 16,
            pages_per_minute_per_peer: 12_000,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            request: Duration::from_secs(30),
            stall: Duration::from_secs(30),
            connection_age: Duration::from_secs(3_600),
        }
    }
}

/// `[limits]` as it stands in the file.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsTable {
    body_bytes: Option<toml::Spanned<u64>>,
    connections: Option<toml::Spanned<u64>>,
    connections_per_address: Option<toml::Spanned<u64>>,
    requests_in_flight: Option<toml::Spanned<u64>>,
    waiting_requests: Option<toml::Spanned<u64>>,
    bodies_in_flight: Option<toml::Spanned<u64>>,
    pages_per_minute_per_peer: Option<toml::Spanned<u64>>,
    handshake_seconds: Option<toml::Spanned<u64>>,
    header_seconds: Option<toml::Spanned<u64>>,
    request_seconds: Option<toml::Spanned<u64>>,
    stall_seconds: Option<toml::Spanned<u64>>,
    connection_age_seconds: Option<toml::Spanned<u64>>,
}

/// A limit that is zero or absurd, with its span.
pub(super) struct LimitFault {
    pub(super) span: std::ops::Range<usize>,
    pub(super) message: String,
}

/// The most connections or requests that any setting may allow: what a semaphore holds with room to spare.
const MOST: u64 = 1 << 20;
/// The largest body: a page beyond it would not fit a receiver's memory limits anyway.
const MOST_BYTES: u64 = 256 << 20;
/// A day.
const MOST_SECONDS: u64 = 86_400;

impl LimitsTable {
    pub(super) fn resolve(self) -> Result<Limits, LimitFault> {
        let base = Limits::default();
        let seconds = |value, default| within(value, MOST_SECONDS).map(|it| it.map_or(default, Duration::from_secs));
        let count = |value, default, most| {
            within(value, most).map(|it| it.and_then(|it| usize::try_from(it).ok()).unwrap_or(default))
        };
        let pages = within(self.pages_per_minute_per_peer, MOST)?;
        Ok(Limits {
            body_bytes: count(self.body_bytes, base.body_bytes, MOST_BYTES)?,
            connections: count(self.connections, base.connections, MOST)?,
            connections_per_address: count(self.connections_per_address, base.connections_per_address, MOST)?,
            requests_in_flight: count(self.requests_in_flight, base.requests_in_flight, MOST)?,
            waiting_requests: count(self.waiting_requests, base.waiting_requests, MOST)?,
            bodies_in_flight: count(self.bodies_in_flight, base.bodies_in_flight, MOST)?,
            pages_per_minute_per_peer: pages
                .and_then(|it| u32::try_from(it).ok())
                .unwrap_or(base.pages_per_minute_per_peer),
            handshake: seconds(self.handshake_seconds, base.handshake)?,
            header: seconds(self.header_seconds, base.header)?,
            request: seconds(self.request_seconds, base.request)?,
            stall: seconds(self.stall_seconds, base.stall)?,
            connection_age: seconds(self.connection_age_seconds, base.connection_age)?,
        })
    }
}

fn within(value: Option<toml::Spanned<u64>>, most: u64) -> Result<Option<u64>, LimitFault> {
    let Some(value) = value else { return Ok(None) };
    let got = *value.get_ref();
    if (1..=most).contains(&got) {
        return Ok(Some(got));
    }
    Err(LimitFault { span: value.span(), message: format!("expected a number from 1 to {most}, got {got}") })
}
