//! The door to the store. Every method that changes something is one transaction and answers after it is on disk;
//! every method that reads sees one moment.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use hufu_adapters_light_client::{Step, StoredHead, TrustedBlock};
use hufu_gateway_verify::Admission;
use hufu_gateway_verify::admission::{LaneState, Misconduct, Release};
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::lane::Entry;
use hufu_schemas_core::merkle::NodeId;
use hufu_schemas_core::page::DocumentKind;
use hufu_schemas_core::{BlockHash, Digest, Height, LaneId, LedgerId, RecordId, RecordKey, Timestamp};
use serde_json::Value;
use tokio::sync::watch;

use crate::error::StoreError;
use crate::model::{
    Act, Admitted, HeldCount, HeldLeaf, LedgerAdvance, LedgerRow, LoggedAct, Offset, RecordPage, RecordQuery, Role,
    Stats, StoredLeaf, StoredRecord,
};
use crate::sqlite::{Sqlite3, held, kept, lanes, ledgers, log, operator, records, retractions};
use crate::step::{AdmitStep, ReleaseStep};

/// What a gateway keeps. Cheap to clone; all clones are one store.
///
/// A caller that goes away while it waits changes nothing: its step is on disk whole or not at all.
///
/// # Errors
/// Every method may answer [`StoreError::Busy`], [`StoreError::Corrupt`], [`StoreError::Io`] or [`StoreError::Closed`];
/// what else it may answer stands at the method.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) back: Arc<Sqlite3>,
}

impl Store {
    /// Makes a new database and opens it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the file exists.
    pub async fn create(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Ok(Self { back: Arc::new(Sqlite3::create(path.as_ref()).await?) })
    }

    /// Opens a database, checks it and brings its schema up to date. Never makes one: a gateway that starts with an
    /// empty database beside a published lane would sign a second history.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the file is missing, is not a database of ours, or was written by a newer version.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Ok(Self { back: Arc::new(Sqlite3::open(path.as_ref()).await?) })
    }

    /// Finishes what waits and closes the file. Later calls answer [`StoreError::Closed`].
    pub async fn close(&self) {
        self.back.close().await;
    }

    /// Whether steps are still accepted; after an I/O fault they are not, and the process must stop and recover.
    pub fn health(&self) -> Result<(), StoreError> {
        self.back.health()
    }

    /// Counts commits: wakes whoever waits for news. Only a hint; whoever wakes reads from its own offset.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.back.changes()
    }

    /// Sizes for metrics; cheap.
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        self.back.stats().await
    }

    /// Reads the whole database and compares every index with its table. For the night: it reads every page.
    pub async fn check(&self) -> Result<(), StoreError> {
        self.back.check().await
    }

    // Ledgers.

    /// The trusted view of a ledger; `None` before its first head.
    pub async fn head(&self, ledger: &LedgerId) -> Result<Option<LedgerRow>, StoreError> {
        ledgers::head(&mut *self.back.read().await?, ledger).await
    }

    /// Ledgers that have a head.
    pub async fn ledgers(&self) -> Result<Vec<LedgerId>, StoreError> {
        ledgers::ledgers(&mut *self.back.read().await?).await
    }

    /// Moves a ledger's head by compare-and-swap, with its trusted blocks and steps. Where it reorganised, blocks and steps
    /// of the branch that was left give way in the same transaction; the blocks are kept aside, and the operator log has
    /// a row for it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the stored head is another one; [`StoreError::Frozen`]; [`StoreError::Refused`] when
    /// a block is of another ledger or another block of its height is trusted, or when steps do not rise.
    pub async fn advance(&self, advance: LedgerAdvance) -> Result<(), StoreError> {
        self.back.write(move |conn| Box::pin(ledgers::advance(conn, advance))).await
    }

    /// The trusted block of a height.
    pub async fn trusted_block(&self, ledger: &LedgerId, height: Height) -> Result<Option<TrustedBlock>, StoreError> {
        ledgers::trusted_block(&mut *self.back.read().await?, ledger, height).await
    }

    /// Trusted blocks from a height on, by height, at most `limit` and 4096; there may be gaps.
    pub async fn trusted_blocks(
        &self,
        ledger: &LedgerId,
        from: Height,
        limit: u32,
    ) -> Result<Vec<TrustedBlock>, StoreError> {
        ledgers::trusted_blocks(&mut *self.back.read().await?, ledger, from, limit).await
    }

    /// Blocks that reorganisations undid, in order, after place `after` (0 at first), at most `limit` and 4096.
    pub async fn undone_blocks(
        &self,
        ledger: &LedgerId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, TrustedBlock)>, StoreError> {
        ledgers::undone_blocks(&mut *self.back.read().await?, ledger, after, limit).await
    }

    /// Whether a reorganisation ever undid this block.
    pub async fn was_undone(&self, ledger: &LedgerId, height: Height, hash: &BlockHash) -> Result<bool, StoreError> {
        ledgers::was_undone(&mut *self.back.read().await?, ledger, height, hash).await
    }

    /// The last place in that list: it rises with every reorganisation. 0 where there was none.
    pub async fn last_undone(&self, ledger: &LedgerId) -> Result<i64, StoreError> {
        ledgers::last_undone(&mut *self.back.read().await?, ledger).await
    }

    /// Steps from exactly `from` on without a gap, final ones and the tail, at most `limit` and 4096; none when the first
    /// is not stored.
    pub async fn steps(&self, ledger: &LedgerId, from: Height, limit: u32) -> Result<Vec<Step>, StoreError> {
        ledgers::steps(&mut *self.back.read().await?, ledger, from, limit).await
    }

    /// Stops all movement of a ledger's head, keeps the artefacts in the operator log.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the ledger is not known.
    pub async fn freeze_ledger(&self, ledger: &LedgerId, artefacts: Value, act: Act) -> Result<(), StoreError> {
        let ledger = ledger.clone();
        self.back
            .write(move |conn| Box::pin(async move { ledgers::freeze(conn, &ledger, &act, artefacts).await }))
            .await
    }

    /// Lets a ledger's head move again: an operator's act.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the ledger is not known.
    pub async fn thaw_ledger(&self, ledger: &LedgerId, act: Act) -> Result<(), StoreError> {
        let ledger = ledger.clone();
        self.back.write(move |conn| Box::pin(async move { ledgers::thaw(conn, &ledger, &act).await })).await
    }

    /// Puts an operator's anchor in place of the head, frozen or not (and leaves it frozen or not). `anchor` is the height
    /// of the anchor block; trusted blocks and steps from there on are forgotten, because the operator may have left that
    /// branch. The head before and after stand in the operator log.
    pub async fn reanchor_ledger(
        &self,
        ledger: &LedgerId,
        anchor: Height,
        head: StoredHead,
        act: Act,
    ) -> Result<(), StoreError> {
        let ledger = ledger.clone();
        self.back
            .write(move |conn| Box::pin(async move { ledgers::reanchor(conn, &ledger, anchor, &head, &act).await }))
            .await
    }

    // Lanes.

    /// The state of a lane; `None` when it has no leaf here.
    pub async fn lane(&self, lane: &LaneId) -> Result<Option<LaneState>, StoreError> {
        lanes::lane(&mut *self.back.read().await?, lane).await
    }

    /// The states of all lanes of one role, by name.
    pub async fn lanes(&self, role: Role) -> Result<Vec<LaneState>, StoreError> {
        lanes::lanes(&mut *self.back.read().await?, role).await
    }

    /// Writes an admission: leaves, nodes, records, held leaves, documents, evidence, definitions, checkpoint and the
    /// lane's state, in one transaction, by compare-and-swap on the lane's size. The tree is recomputed from the stored
    /// edge.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the lane, or its largest checkpoint, has moved; [`StoreError::Frozen`];
    /// [`StoreError::Refused`] when the clock went back by more than a minute, when the lane is known under another role,
    /// or when the admission contradicts itself.
    pub async fn admit(&self, role: Role, admission: &Admission, now: Timestamp) -> Result<Admitted, StoreError> {
        self.admit_step(role, AdmitStep::from(admission), now).await
    }

    pub(crate) async fn admit_step(&self, role: Role, step: AdmitStep, now: Timestamp) -> Result<Admitted, StoreError> {
        self.back.write(move |conn| Box::pin(lanes::admit(conn, role, step, now))).await
    }

    /// Persists a checkpoint of a lane that this gateway writes; only afterwards may it be shown. `note` is the signed
    /// note.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for another root of a size that was signed before, a smaller size, or a root that the lane
    /// does not have; [`StoreError::Conflict`] when the lane has another size by now; [`StoreError::Frozen`].
    pub async fn put_checkpoint(&self, checkpoint: Checkpoint, note: String) -> Result<(), StoreError> {
        self.back
            .write(move |conn| Box::pin(async move { lanes::put_checkpoint(conn, &checkpoint, &note).await }))
            .await
    }

    /// Leaves from an index on, at most `limit` and 4096, fewer when they are large.
    pub async fn leaves(&self, lane: &LaneId, from: u64, limit: u32) -> Result<Vec<StoredLeaf>, StoreError> {
        log::leaves(&mut *self.back.read().await?, lane, from, limit).await
    }

    /// Entries from an index on, at most `limit` and 4096.
    pub async fn entries(&self, lane: &LaneId, from: u64, limit: u32) -> Result<Vec<Entry>, StoreError> {
        log::entries(&mut *self.back.read().await?, lane, from, limit).await
    }

    /// Hashes of complete subtrees, for proofs; see [`hufu_schemas_core::merkle::nodes_needed`]. What the lane does not
    /// hold is left out.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for more than 4096.
    pub async fn nodes(&self, lane: &LaneId, ids: &[NodeId]) -> Result<HashMap<NodeId, Digest>, StoreError> {
        log::nodes(&mut *self.back.read().await?, lane, ids).await
    }

    /// A lane's evidence of a block.
    pub async fn evidence(
        &self,
        lane: &LaneId,
        height: Height,
        hash: &BlockHash,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        kept::evidence(&mut *self.back.read().await?, lane, height, hash).await
    }

    /// A lane's evidence of the blocks `from..=to` that are kept, by height, at most 1024 blocks and fewer when they are large. Of one
    /// height there may be several, of blocks that a re-anchored ledger left.
    pub async fn evidence_between(
        &self,
        lane: &LaneId,
        from: Height,
        to: Height,
    ) -> Result<Vec<(Height, BlockHash, Vec<u8>)>, StoreError> {
        kept::evidence_between(&mut *self.back.read().await?, lane, from, to).await
    }

    /// A mapping or schema under its digest.
    pub async fn document(&self, kind: DocumentKind, digest: &Digest) -> Result<Option<Value>, StoreError> {
        kept::document(&mut *self.back.read().await?, kind, digest).await
    }

    /// Stops all movement of a lane; both artefacts of misconduct are kept in the operator log.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the lane is not known and no misconduct is given.
    pub async fn freeze_lane(&self, lane: &LaneId, misconduct: Option<Misconduct>, act: Act) -> Result<(), StoreError> {
        let lane = lane.clone();
        self.back
            .write(move |conn| Box::pin(async move { lanes::freeze(conn, &lane, misconduct.as_ref(), &act).await }))
            .await
    }

    /// Lets a lane move again: an operator's act.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the lane is not known.
    pub async fn thaw_lane(&self, lane: &LaneId, act: Act) -> Result<(), StoreError> {
        let lane = lane.clone();
        self.back.write(move |conn| Box::pin(async move { lanes::thaw(conn, &lane, &act).await })).await
    }

    // Records.

    /// The record with an id.
    pub async fn record(&self, id: &RecordId) -> Result<Option<StoredRecord>, StoreError> {
        records::by_id(&mut *self.back.read().await?, id).await
    }

    /// The record at an offset.
    pub async fn record_at(&self, offset: Offset) -> Result<Option<StoredRecord>, StoreError> {
        records::at(&mut *self.back.read().await?, offset).await
    }

    /// The newest record of a key: by position on its ledger, whenever it arrived; between ledgers by block time.
    pub async fn by_key(&self, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
        records::by_key(&mut *self.back.read().await?, key).await
    }

    /// Records that match, by offset. One call looks at a bounded number of rows, so a page may be empty and have a next.
    pub async fn records(&self, query: &RecordQuery) -> Result<RecordPage, StoreError> {
        records::find(&mut *self.back.read().await?, query).await
    }

    /// Records after an offset, in order, at most `limit` and [`crate::RECORDS_MOST`], fewer when they are large; none
    /// only when there is none.
    pub async fn records_after(&self, offset: Offset, limit: u32) -> Result<Vec<StoredRecord>, StoreError> {
        records::after(&mut *self.back.read().await?, offset, limit).await
    }

    /// The last offset given, to a record or to a retraction. Offsets are given in order: none below it is still to come.
    pub async fn last_offset(&self) -> Result<Offset, StoreError> {
        retractions::last_offset(&mut *self.back.read().await?).await
    }

    /// Records that were taken back, by the offset under which that is told, after an offset, at most `limit` and 500.
    pub async fn retractions_after(&self, offset: Offset, limit: u32) -> Result<Vec<StoredRecord>, StoreError> {
        let mut conn = self.back.read().await?;
        let mut found = Vec::new();
        for (_, record) in retractions::after(&mut conn, offset, limit).await? {
            found.extend(records::at(&mut conn, record).await?);
        }
        Ok(found)
    }

    // Held leaves.

    /// Held leaves after the cursor `after` (0 at first), at most `limit` and 500.
    pub async fn held(&self, lane: Option<&LaneId>, after: i64, limit: u32) -> Result<Vec<HeldLeaf>, StoreError> {
        held::list(&mut *self.back.read().await?, lane, after, limit).await
    }

    /// How many leaves are held, by lane and reason.
    pub async fn held_counts(&self) -> Result<Vec<HeldCount>, StoreError> {
        held::counts(&mut *self.back.read().await?).await
    }

    /// Writes what became of a held leaf on another try: a record (its offset is returned), or a fresh reason.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when the leaf is not held (any more); [`StoreError::Frozen`]; [`StoreError::Refused`] for
    /// another outcome, another leaf's record, or a clock that went back.
    pub async fn release(&self, release: &Release) -> Result<Option<Offset>, StoreError> {
        self.release_step(ReleaseStep::try_from(release)?).await
    }

    pub(crate) async fn release_step(&self, step: ReleaseStep) -> Result<Option<Offset>, StoreError> {
        self.back.write(move |conn| Box::pin(held::release(conn, step))).await
    }

    // Clock and operator log.

    /// The latest time this gateway acted at; zero when it never did.
    pub async fn high_water(&self) -> Result<Timestamp, StoreError> {
        operator::high_water(&mut *self.back.read().await?).await
    }

    /// Raises the high water; an earlier time changes nothing. [`Store::admit`] and [`Store::release`] raise it too.
    pub async fn raise_high_water(&self, now: Timestamp) -> Result<(), StoreError> {
        self.back.write(move |conn| Box::pin(operator::raise_high_water(conn, now))).await
    }

    /// Logs an act that the store does not log by itself (for instance `retry` of a lane's held leaves). Returns its place.
    pub async fn log_act(&self, what: &'static str, subject: String, act: Act) -> Result<i64, StoreError> {
        self.back
            .write(move |conn| Box::pin(async move { operator::log(conn, &act, what, &subject, None).await }))
            .await
    }

    /// The operator log after place `after` (0 at first), at most `limit` and 500.
    pub async fn operator_log(&self, after: i64, limit: u32) -> Result<Vec<LoggedAct>, StoreError> {
        operator::read(&mut *self.back.read().await?, after, limit).await
    }
}
