//! What the HTTP handlers ask of the gateway. The inner part implements it; tests of the shell use a fake.
//!
//! Handlers have already decided *who* asks and whether they may; an implementation decides only what is so. Every
//! method is called under a time limit and may be dropped at any await: it must leave no half step (design, decision 14).

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hufu_gateway_verify::Assurance;
use hufu_gateway_verify::derivation::Gap;
use hufu_schemas_core::{Digest, Height, LaneId, LedgerId, RecordId, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::http::Problem;
use crate::identity::Identity;

/// Longest long poll: what `wait=` is capped at.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Most leaves, steps, records or events that one answer holds; `limit=` is capped at it.
pub const LONGEST_ANSWER: usize = 4_096;

/// The result of every method: a problem travels to the caller as it is.
pub type Answer<T> = Result<T, Problem>;

/// One lane as `GET /v1/lanes` lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LaneInfo {
    /// The lane.
    pub lane: LaneId,
    /// Whether this gateway publishes it or takes it in.
    pub role: LaneRole,
    /// The ledger its records stand on, where that is known yet.
    pub ledger: Option<LedgerId>,
    /// Digests of its definitions, in leaf order: what a receiver's operator pins.
    pub definitions: Vec<Digest>,
    /// Leaves.
    pub size: u64,
    /// Size of the last checkpoint signed (published) or verified (inbox).
    pub checkpoint: u64,
    /// The time that checkpoint carries; RFC 3339 in JSON.
    #[serde(serialize_with = "as_rfc3339")]
    pub checkpoint_time: Option<Timestamp>,
    /// What this gateway derived of an inbox lane's blocks by itself: completeness `ledger`. `None` of a lane that it
    /// publishes, whose blocks it read.
    pub derived: Option<DerivedInfo>,
    /// Why it is frozen, if it is.
    pub frozen: Option<String>,
}

/// Blocks of an inbox lane in which nothing was left out, and those that count as `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DerivedInfo {
    /// First block of the newest run without a gap, once there is one.
    pub from: Option<Height>,
    /// Its last block.
    pub to: Option<Height>,
    /// Why blocks after it, up to the lane's next `covered` leaf, count as `log`.
    pub broken: Option<String>,
    /// The newest closed stretch that counts as `log`.
    pub gap: Option<Gap>,
}

fn as_rfc3339<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_string()).serialize(serializer)
}

/// On which side of a lane this gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaneRole {
    /// This gateway writes it.
    Published,
    /// Another gateway writes it.
    Inbox,
}

impl LaneRole {
    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Inbox => "inbox",
        }
    }
}

/// What is asked of `GET …/pages`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageQuery {
    /// First leaf wanted.
    pub from: u64,
    /// Most leaves.
    pub limit: usize,
    /// Size of the last checkpoint the receiver verified.
    pub seen: Option<u64>,
    /// How long to wait for a leaf; zero: not at all.
    pub wait: Duration,
}

/// What is asked of `GET …/updates`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdatesQuery {
    /// First height wanted.
    pub from: Height,
    /// Most steps.
    pub limit: usize,
    /// How long to wait for a step.
    pub wait: Duration,
}

/// What a lane waits for before its next leaf can be verified.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The shortfall's reason, from a closed set.
    pub reason: &'static str,
    /// The ledger whose head is short, where it is that.
    pub ledger: Option<LedgerId>,
    /// The height that is needed.
    pub height: Option<Height>,
}

/// What a relayer asks first: how far an inbox lane is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InboxState {
    /// The lane.
    pub lane: LaneId,
    /// The next leaf wanted.
    pub size: u64,
    /// Size of the largest checkpoint verified.
    pub seen: u64,
    /// Whether it takes nothing until an operator decides.
    pub frozen: bool,
    /// What the next leaf waits for.
    pub waiting: Option<Waiting>,
    /// The lowest leaf that is held because the evidence that came with it did not close: a page from there on with good
    /// evidence releases it.
    pub evidence: Option<u64>,
}

/// The answer to a page that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageReceipt {
    /// The next leaf wanted now.
    pub size: u64,
    /// Leaves whose records were admitted.
    pub admitted: u64,
    /// Leaves that are held.
    pub held: u64,
    /// Leaves that stayed sealed.
    pub sealed: u64,
    /// Leaves that were known already.
    pub known: u64,
    /// What the next leaf waits for.
    pub waiting: Option<Waiting>,
    /// The first few held leaves with their reasons, so that whoever carried the page sees them.
    pub faults: Vec<HeldLeafNote>,
}

/// Why one leaf of a page is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldLeafNote {
    /// The leaf.
    pub sequence: u64,
    /// The reason, from a closed set.
    pub reason: &'static str,
    /// In words: expected and got.
    pub detail: String,
}

/// What a gateway wants of a foreign ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerWant {
    /// The ledger.
    pub ledger: LedgerId,
    /// The next height wanted.
    pub wants: Height,
    /// Whether it takes nothing until an operator decides.
    pub frozen: bool,
    /// Whether the trusting period is over: only an operator re-anchors.
    pub expired: bool,
}

/// Which records are asked for. All conditions hold at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordQuery {
    /// Record type.
    pub record_type: Option<String>,
    /// Ledger.
    pub ledger: Option<LedgerId>,
    /// Lane.
    pub lane: Option<LaneId>,
    /// Admitted at or after.
    pub since: Option<Timestamp>,
    /// At least this assurance.
    pub assurance: Option<Assurance>,
    /// Where the last answer ended: its `next`, opaque to callers, at most 256 bytes.
    pub cursor: Option<String>,
    /// Most records.
    pub limit: usize,
}

/// Records in the order of their offsets.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordPage {
    /// Each with its assurance, control, finality, completeness, asOf, stale.
    pub records: Vec<Value>,
    /// The cursor for more; `None` at the end.
    pub next: Option<String>,
}

/// Which events a subscriber wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Record type.
    pub record_type: Option<String>,
    /// Lane.
    pub lane: Option<LaneId>,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its offset: rises strictly, and is the SSE `id:`.
    pub offset: u64,
    /// CloudEvents 1.0 JSON whose id is the recordId.
    pub cloud_event: Value,
}

/// Events after an offset.
#[derive(Debug, Clone, PartialEq)]
pub struct EventBatch {
    /// Matching events, by rising offset.
    pub events: Vec<Event>,
    /// The last offset looked at, matching or not: where the next call goes on. So a filter that matches nothing does
    /// not read the table again and again. `None`: nothing was there.
    pub scanned: Option<u64>,
}

/// Held leaves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldPage {
    /// Each with lane, sequence, reason, detail.
    pub held: Vec<Value>,
    /// The cursor for more; `None` at the end.
    pub next: Option<String>,
}

/// What became of held leaves that were tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RetryReport {
    /// Leaves tried.
    pub tried: u64,
    /// Of these admitted.
    pub admitted: u64,
    /// Of these still held.
    pub held: u64,
}

/// The gateway behind the interface.
#[async_trait]
pub trait Backend: Send + Sync + 'static {
    /// Every lane, published and inbox. Handlers leave out what the caller may not read.
    async fn lanes(&self) -> Answer<Vec<LaneInfo>>;
    /// The latest signed note of a published lane.
    async fn checkpoint(&self, lane: &LaneId) -> Answer<String>;
    /// A page of a published lane as JSON; `None` when there is nothing from `query.from` on within `query.wait`.
    async fn page(&self, lane: &LaneId, query: PageQuery) -> Answer<Option<Bytes>>;
    /// Steps of a ledger as JSON `{"ledger","steps":[…]}`; `None` likewise.
    async fn updates(&self, ledger: &LedgerId, query: UpdatesQuery) -> Answer<Option<Bytes>>;
    /// How far an inbox lane is.
    async fn inbox_state(&self, lane: &LaneId) -> Answer<InboxState>;
    /// Verifies and admits a page. `bytes` are as they came: nothing but their number was looked at.
    async fn post_page(&self, peer: &Identity, lane: &LaneId, bytes: Bytes) -> Answer<PageReceipt>;
    /// Takes a newer checkpoint of a lane that has no new leaves: its heartbeat (decision 12).
    async fn post_checkpoint(&self, peer: &Identity, lane: &LaneId, note: Bytes) -> Answer<InboxState>;
    /// What is wanted of each foreign ledger. Handlers leave out what the caller may not write.
    async fn inbox_ledgers(&self) -> Answer<Vec<LedgerWant>>;
    /// Verifies steps and moves the head. `bytes` as above.
    async fn post_updates(&self, peer: &Identity, ledger: &LedgerId, bytes: Bytes) -> Answer<LedgerWant>;

    /// Records by offset.
    async fn records(&self, query: RecordQuery) -> Answer<RecordPage>;
    /// One record with why it is believed.
    async fn record(&self, id: &RecordId) -> Answer<Value>;
    /// Its evidence file.
    async fn evidence(&self, id: &RecordId) -> Answer<Bytes>;
    /// Events after offset `after` (`None`: from the first), at most `limit`; waits up to `wait` when there are none.
    async fn next_events(
        &self,
        filter: &EventFilter,
        after: Option<u64>,
        limit: usize,
        wait: Duration,
    ) -> Answer<EventBatch>;

    /// `GET /v1/status`.
    async fn status(&self) -> Answer<Value>;
    /// `GET /v1/ledgers`: heads, sources, frozen or not.
    async fn ledgers(&self) -> Answer<Value>;
    /// `GET /v1/peers`.
    async fn peers(&self) -> Answer<Value>;
    /// Held leaves; `after` is the `next` of the last answer.
    async fn held(&self, lane: Option<&LaneId>, after: Option<&str>, limit: usize) -> Answer<HeldPage>;
    /// Tries held leaves again. `who` is the application that asked, for the audit trail; likewise below.
    async fn retry_held(&self, lane: Option<&LaneId>, who: &str) -> Answer<RetryReport>;
    /// Stops a lane.
    async fn freeze_lane(&self, lane: &LaneId, reason: &str, who: &str) -> Answer<()>;
    /// Lets a lane go on.
    async fn thaw_lane(&self, lane: &LaneId, reason: &str, who: &str) -> Answer<()>;
    /// Lets a ledger's head go on.
    async fn thaw_ledger(&self, ledger: &LedgerId, reason: &str, who: &str) -> Answer<()>;

    /// Sets the gauges that are cheaper to read when somebody looks; called before each scrape.
    async fn observe(&self);
    /// Whether requests can be served: the database writes, migrations are done. One ledger that is down is no reason.
    async fn ready(&self) -> Result<(), String>;
}
