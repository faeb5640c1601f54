//! What goes into the store and what comes out. What comes out is *stored*, not verified: it was verified when it went
//! in, and the database is inside the trust boundary (design, decision 13).

use hufu_adapters_light_client::{Control, Finality, Step, StoredHead, TrustedBlock};
use hufu_gateway_verify::{Assurance, Completeness};
use hufu_schemas_core::lane::Entry;
use hufu_schemas_core::{
    BlockHash, Digest, Height, LaneId, LedgerId, Position, Record, RecordId, RecordKey, Timestamp,
};
use serde_json::Value;

use crate::error::StoreError;

/// Place of a record in this gateway's own order of admission, from 1. Never given twice; there may be gaps.
pub type Offset = i64;

/// On which side of a lane this gateway stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// This gateway writes and signs it.
    Origin,
    /// A peer writes it; this gateway verified it.
    Inbox,
}

impl Role {
    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Inbox => "inbox",
        }
    }
}

/// Who did what an operator may do, when and why: one row of the operator log each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Act {
    /// A person's or this gateway's own name.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// Why, in words; for a freeze also the reason shown to others.
    pub why: String,
}

/// One row of the operator log.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedAct {
    /// Place in the log, from 1.
    pub id: i64,
    /// Who, when, why.
    pub act: Act,
    /// `freeze-ledger`, `thaw-ledger`, `reanchor-ledger`, `freeze-lane`, `thaw-lane`, or what the caller logged.
    pub what: String,
    /// The ledger, the lane, or what the caller named.
    pub subject: String,
    /// What proves it (for a freeze: both artefacts).
    pub artefacts: Option<Value>,
}

/// The trusted view of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerRow {
    /// The head.
    pub head: StoredHead,
    /// The last height whose step is final, if any is.
    pub final_to: Option<Height>,
    /// Why it is frozen, if it is.
    pub frozen: Option<String>,
}

/// One verified move of a ledger's head.
#[derive(Debug, Clone)]
pub struct LedgerAdvance {
    /// The ledger.
    pub ledger: LedgerId,
    /// Digest of the stored head that the update was judged on; `None` when there was none.
    pub expected: Option<Digest>,
    /// The head after.
    pub head: StoredHead,
    /// Blocks that became trusted.
    pub blocks: Vec<TrustedBlock>,
    /// Every good step from the head on: final ones and the tail. They replace the tail that was stored. None: the
    /// stored tail stays.
    pub steps: Vec<Step>,
    /// The last height that is final after this move; steps up to it are kept for ever.
    pub final_to: Option<Height>,
    /// The ledger reorganised: what was trusted from this height on gives way to `blocks` and `steps`.
    pub undone: Option<Undone>,
}

/// A reorganisation that the light client followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undone {
    /// The first height whose trusted block is undone.
    pub from: Height,
    /// For the operator log.
    pub act: Act,
}

/// What one admission did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admitted {
    /// First leaf.
    pub from: u64,
    /// One past the last leaf.
    pub to: u64,
    /// Offsets of the new records, rising.
    pub offsets: Vec<Offset>,
    /// New records.
    pub records: u64,
    /// Leaves that are held.
    pub held: u64,
    /// Leaves not opened to this gateway.
    pub sealed: u64,
    /// Items that the origin could not map.
    pub skipped: u64,
    /// Records of events that another lane brought before: one event, counted once.
    pub duplicates: u64,
    /// Of these, the ones whose record id is another one (the lanes map the event differently). The first one stands.
    pub differing: u64,
    /// New records that are believed on somebody's word.
    pub attested: u64,
    /// Records that were taken back.
    pub retracted: u64,
}

/// What a leaf is about, as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeafKind {
    /// What the lane carries.
    Definition,
    /// One record.
    Record,
    /// Blocks that were read whole.
    Covered,
    /// An item that could not be mapped.
    Skipped,
    /// A record whose block was undone.
    Retract,
    /// A new checkpoint key.
    Key,
    /// Not opened to this gateway.
    Sealed,
}

impl LeafKind {
    const ALL: [Self; 7] =
        [Self::Definition, Self::Record, Self::Covered, Self::Skipped, Self::Retract, Self::Key, Self::Sealed];

    /// The text form; for opened leaves the one in the predicate type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Definition => "definition",
            Self::Record => "record",
            Self::Covered => "covered",
            Self::Skipped => "skipped",
            Self::Retract => "retract",
            Self::Key => "key",
            Self::Sealed => "sealed",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// A leaf of a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLeaf {
    /// Sequence number.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// The statement's canonical JSON, where it was opened.
    pub statement: Option<String>,
    /// What it is about.
    pub kind: LeafKind,
    /// The record that stands for its event, where one is believed.
    pub record: Option<Offset>,
}

/// A record as it was believed when it came.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRecord {
    /// Its place in the order of admission.
    pub offset: Offset,
    /// Its id.
    pub id: RecordId,
    /// Its stable key.
    pub key: RecordKey,
    /// The whole record as canonical JSON. A subscriber is sent these very bytes; [`StoredRecord::record`] opens them.
    pub json: String,
    /// The lane it first came by.
    pub lane: LaneId,
    /// Its leaf there.
    pub sequence: u64,
    /// The ledger.
    pub ledger: LedgerId,
    /// Where on it.
    pub position: Position,
    /// Which of the events its native item decodes to.
    pub item: u32,
    /// Identity of its block.
    pub block_hash: BlockHash,
    /// The ledger's own time of its block.
    pub block_time: Timestamp,
    /// How firmly its block is settled.
    pub finality: Finality,
    /// Why it is believed.
    pub assurance: Assurance,
    /// Who can change the code that made the item.
    pub control: Control,
    /// What is known not to be missing.
    pub completeness: Completeness,
    /// Digest of the policy under which it was believed.
    pub policy: Digest,
    /// When the origin says it saw it.
    pub observed_at: Timestamp,
    /// When this gateway took it in.
    pub admitted_at: Timestamp,
    /// Where a reorganisation undid its block: since when and why it no longer holds.
    pub retracted: Option<Retracted>,
    /// What was recomputed about its quality: a list of notes.
    pub quality: Value,
    /// The vendor's own bytes.
    pub native: Vec<u8>,
}

/// That a record was taken back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retracted {
    /// The offset under which subscribers are told.
    pub offset: Offset,
    /// When this gateway took it back.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

impl StoredRecord {
    /// Opens the stored JSON; id and commitment are recomputed.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when the bytes no longer close.
    pub fn record(&self) -> Result<Record, StoreError> {
        let value = serde_json::from_str(&self.json).map_err(StoreError::corrupt)?;
        let record = Record::open(value).map_err(StoreError::corrupt)?;
        if record.id() != self.id {
            return Err(StoreError::corrupt(format!(
                "record {}: expected {}, got {}",
                self.offset,
                self.id,
                record.id()
            )));
        }
        Ok(record)
    }
}

/// Most records of one answer.
pub const RECORDS_MOST: u32 = 500;

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordQuery {
    /// Of this type.
    pub record_type: Option<String>,
    /// On this ledger.
    pub ledger: Option<LedgerId>,
    /// That first came by this lane.
    pub lane: Option<LaneId>,
    /// Of this key.
    pub key: Option<RecordKey>,
    /// Believed for at least this reason.
    pub least: Option<Assurance>,
    /// After this offset.
    pub since: Option<Offset>,
    /// At most so many; 0 and more than [`RECORDS_MOST`] mean [`RECORDS_MOST`].
    pub limit: u32,
}

/// Records by rising offset.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordPage {
    /// The records; may be none although there are more (see `next`), because one call looks at a bounded number of rows.
    pub records: Vec<StoredRecord>,
    /// `since` of the next call; `None` when everything so far was seen.
    pub next: Option<Offset>,
}

/// A leaf that is not believed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLeaf {
    /// Place in the order of holding; the cursor of [`crate::Store::held`].
    pub id: i64,
    /// The lane.
    pub lane: LaneId,
    /// Its leaf.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// The statement's canonical JSON, where it was opened.
    pub statement: Option<String>,
    /// The record as it travelled, as JSON, where it did.
    pub record: Option<String>,
    /// The metric label.
    pub reason: String,
    /// In words.
    pub detail: String,
    /// Since when.
    pub since: Timestamp,
    /// When it was last tried.
    pub last_try: Timestamp,
    /// How often it was tried, the first time included.
    pub tries: u32,
}

/// How many leaves of a lane are held for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldCount {
    /// The lane.
    pub lane: LaneId,
    /// The metric label.
    pub reason: String,
    /// How many.
    pub count: u64,
}

/// Sizes for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes of the database file.
    pub file_bytes: u64,
    /// Bytes of the write-ahead log; grows without bound only while a reader never ends.
    pub wal_bytes: u64,
    /// Bytes of one page.
    pub page_bytes: u64,
    /// Pages that are free.
    pub free_pages: u64,
    /// The last offset given.
    pub last_offset: Offset,
    /// Leaves of all lanes.
    pub leaves: u64,
    /// Lanes.
    pub lanes: u64,
    /// Ledgers with a head.
    pub ledgers: u64,
    /// Held leaves.
    pub held: u64,
    /// Commits since the store was opened.
    pub commits: u64,
    /// Steps that those commits carried.
    pub steps: u64,
    /// Steps waiting for the writer.
    pub waiting: u64,
}
