//! How long the courier waits for what.

use std::time::Duration;

/// Waits and time limits. [`Pace::default`] is for networks of cities; a demonstration or a test shortens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// How long the origin may hold a question that nothing answers yet; an idle lane's checkpoint is looked at after each.
    /// Sent in whole seconds; gateways take at most 30.
    pub long_poll: Duration,
    /// Between two looks at what an operator has to change first: a frozen lane, a lane that is not shown to us.
    pub slow_poll: Duration,
    /// Between two looks at which lanes and ledgers there are.
    pub discovery: Duration,
    /// The first wait after a trouble is drawn from zero to this.
    pub backoff_first: Duration,
    /// No wait after a trouble is drawn from more than this.
    pub backoff_most: Duration,
    /// The longest `Retry-After` that is believed: a wrong number must not stop the courier for a day.
    pub retry_after_most: Duration,
    /// The first wait of a page for its ledger, when nothing tells earlier that the ledger moved.
    pub ledger_first: Duration,
    /// The longest wait of a page for its ledger.
    pub ledger_most: Duration,
    /// Between two pages that bring fresh evidence for a held leaf of one lane.
    pub evidence: Duration,
    /// Time for a connection with its handshake.
    pub connect: Duration,
    /// Time for a request, beyond the wait of a long poll.
    pub request: Duration,
    /// Time that deliveries under way get at shutdown.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            long_poll: Duration::from_secs(25),
            slow_poll: Duration::from_secs(30),
            discovery: Duration::from_secs(10),
            backoff_first: Duration::from_millis(250),
            backoff_most: Duration::from_secs(60),
            retry_after_most: Duration::from_secs(600),
            ledger_first: Duration::from_millis(250),
            ledger_most: Duration::from_secs(5),
            evidence: Duration::from_secs(5),
            connect: Duration::from_secs(5),
            // 8 MiB over 4 Mbit/s take 17 s; the gateway then verifies and commits.
            request: Duration::from_secs(60),
            grace: Duration::from_secs(5),
        }
    }
}
