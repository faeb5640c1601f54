//! Records: written once an event, read by offset, id, key or filter.

use std::collections::HashMap;

use hufu_adapters_light_client::{Control, Finality};
use hufu_gateway_verify::{Assurance, Completeness};
use hufu_schemas_core::{BlockHash, Digest, LaneId, Position, RecordId, RecordKey, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;
use crate::model::{Offset, RECORDS_MOST, RecordPage, RecordQuery, StoredRecord};
use crate::sqlite::names::LedgerIds;
use crate::sqlite::sql::{
    BATCH, Columns, Query, collect_within, fault, head_of, insert_rows, int, rows_32, seconds, statements, wrong,
};
use crate::sqlite::{ANSWER_BYTES, retractions};
use crate::step::RecordStep;

macro_rules! columns {
    () => {
        "(id_hash, record_id, key_hash, record_key, record_type, lane, sequence, ledger, height, tx, event, item, \
         block_hash, block_time, finality, assurance, control, completeness, policy, observed_at, \
         admitted_at, native_digest)"
    };
}

// CROSS JOIN keeps the planner from starting at another table: records are found first, in order of offset.
macro_rules! whole {
    ($rest:literal) => {
        concat!(
            "SELECT r.id, r.record_id, r.record_key, n.lane, r.sequence, l.ledger, r.height, r.tx, r.event, r.item, \
             r.block_hash, r.block_time, r.finality, r.assurance, r.control, r.completeness, r.policy, \
             r.observed_at, r.admitted_at, r.retraction, t.at AS retracted_at, t.reason AS retracted_for, \
             c.record, c.quality, c.native FROM record r \
             CROSS JOIN ledger l ON l.id = r.ledger CROSS JOIN lane n ON n.id = r.lane \
             CROSS JOIN record_content c ON c.id = r.id LEFT JOIN retraction t ON t.id = r.retraction ",
            $rest
        )
    };
}

statements! {
    ADD = concat!(
        "INSERT INTO record ", columns!(), " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?) \
         ON CONFLICT (ledger, height, tx, event, item, block_hash, native_digest) WHERE retraction IS NULL DO NOTHING RETURNING id, sequence");
    ADD_MANY = concat!(
        "INSERT INTO record ", columns!(), " VALUES ", rows_32!("(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"),
        " ON CONFLICT (ledger, height, tx, event, item, block_hash, native_digest) WHERE retraction IS NULL DO NOTHING RETURNING id, sequence");
    ADD_CONTENT = "INSERT INTO record_content (id, record, quality, native) VALUES (?,?,?,?)";
    ADD_CONTENTS = concat!("INSERT INTO record_content (id, record, quality, native) VALUES ", rows_32!("(?,?,?,?)"));
    AT = "SELECT id, record_id FROM record WHERE ledger = ? AND height = ? AND tx = ? AND event = ? AND item = ? \
          AND block_hash = ? AND native_digest = ? AND retraction IS NULL";
    BY_OFFSET = whole!("WHERE r.id = ?");
    BY_ID = whole!("WHERE r.id_hash = ? AND r.record_id = ? ORDER BY r.retraction IS NOT NULL, r.id LIMIT 1");
    AFTER = whole!("WHERE r.id > ? ORDER BY r.id LIMIT ?");
    KEY_LEDGERS = "SELECT DISTINCT ledger FROM record WHERE key_hash = ? AND record_key = ? LIMIT 16";
    NEWEST = whole!("WHERE r.key_hash = ? AND r.record_key = ? AND r.ledger = ? AND r.retraction IS NULL \
                     ORDER BY r.height DESC, r.tx DESC, r.event DESC, r.item DESC LIMIT 1");
    UNNAMED = "SELECT r.id, c.native FROM record r CROSS JOIN record_content c ON c.id = r.id WHERE r.id > ? \
               ORDER BY r.id LIMIT 256";
    NAME = "UPDATE record SET native_digest = ? WHERE id = ?";
    // The inner select bounds the rows that one call looks at.
    FIND = whole!("WHERE r.id > ?1 AND r.id <= ?1 + ?2 \
                   AND (?3 IS NULL OR r.record_type = ?3) AND (?4 IS NULL OR l.ledger = ?4) \
                   AND (?5 IS NULL OR n.lane = ?5) AND r.assurance >= ?6 ORDER BY r.id LIMIT ?7");
    FIND_TYPE = whole!("WHERE r.record_type = ?3 AND r.id > ?1 AND r.id <= \
                        (SELECT max(id) FROM (SELECT id FROM record WHERE record_type = ?3 AND id > ?1 \
                                              ORDER BY id LIMIT ?2)) \
                        AND (?4 IS NULL OR l.ledger = ?4) AND (?5 IS NULL OR n.lane = ?5) AND r.assurance >= ?6 \
                        ORDER BY r.id LIMIT ?7");
    FIND_KEY = whole!("WHERE r.id IN (SELECT id FROM record WHERE key_hash = ?8 AND record_key = ?9 AND id > ?1 \
                       ORDER BY id LIMIT ?2) AND (?3 IS NULL OR r.record_type = ?3) AND (?4 IS NULL OR l.ledger = ?4) \
                       AND (?5 IS NULL OR n.lane = ?5) AND r.assurance >= ?6 ORDER BY r.id LIMIT ?7");
    // Where the next call goes on: NULL when this one saw everything.
    SEEN = "SELECT CASE WHEN max(id) > ?1 + ?2 THEN ?1 + ?2 END AS next FROM record";
    SEEN_TYPE = "SELECT CASE WHEN count(*) >= ?2 THEN max(id) END AS next FROM \
                 (SELECT id FROM record WHERE record_type = ?3 AND id > ?1 ORDER BY id LIMIT ?2)";
    SEEN_KEY = "SELECT CASE WHEN count(*) >= ?2 THEN max(id) END AS next FROM \
                (SELECT id FROM record WHERE key_hash = ?8 AND record_key = ?9 AND id > ?1 ORDER BY id LIMIT ?2)";
}

/// Rows that one filtered call looks at.
const WINDOW: i64 = 10_000;

/// What became of a batch of records.
#[derive(Debug, Default)]
pub(crate) struct Added {
    /// The offset that stands for each record's event, by sequence.
    pub(crate) offsets: HashMap<u64, Offset>,
    /// Offsets that are new, rising.
    pub(crate) new: Vec<Offset>,
    /// Events that were there already.
    pub(crate) duplicates: u64,
    /// Of these, with another record id.
    pub(crate) differing: u64,
}

/// Writes the records of one lane. An event that is there already is not written again.
pub(crate) async fn add(
    conn: &mut SqliteConnection,
    ids: &mut LedgerIds,
    lane: i64,
    records: &[&RecordStep],
    now: Timestamp,
) -> Result<Added, StoreError> {
    let mut rows = Vec::with_capacity(records.len());
    for step in records {
        let ledger = ids.of(&mut *conn, &step.ledger).await?;
        let (sequence, height) = (int(step.sequence)?, int(step.position.height.get())?);
        rows.push(Row { step, lane, ledger, sequence, height, now });
    }
    let mut added = Added::default();
    let (batches, rest) = rows.as_chunks::<BATCH>();
    for batch in batches {
        let query = batch.iter().fold(sqlx::query(ADD_MANY), bind_row);
        note_new(&mut added, &query.fetch_all(&mut *conn).await.map_err(fault)?)?;
    }
    for row in rest {
        let query = bind_row(sqlx::query(ADD), row);
        note_new(&mut added, &query.fetch_all(&mut *conn).await.map_err(fault)?)?;
    }
    let mut contents = Vec::with_capacity(added.new.len());
    for row in &rows {
        match added.offsets.get(&row.step.sequence) {
            Some(offset) => contents.push((*offset, row.step)),
            None => note_duplicate(&mut *conn, &mut added, row).await?,
        }
    }
    insert_rows(conn, ADD_CONTENT, ADD_CONTENTS, &contents, |query, (offset, step)| {
        let query = query.bind(*offset).bind(step.json.clone()).bind(step.quality.clone());
        query.bind(step.native.clone())
    })
    .await?;
    added.new.sort_unstable();
    Ok(added)
}

struct Row<'a> {
    step: &'a RecordStep,
    lane: i64,
    ledger: i64,
    sequence: i64,
    height: i64,
    now: Timestamp,
}

fn bind_row(query: Query, row: &Row<'_>) -> Query {
    let step = row.step;
    let id = step.id.digest();
    query
        .bind(head_of(&id))
        .bind(bytes(&id))
        .bind(key_hash(&step.key))
        .bind(step.key.as_str())
        .bind(step.key.record_type())
        .bind(row.lane)
        .bind(row.sequence)
        .bind(row.ledger)
        .bind(row.height)
        .bind(step.position.transaction)
        .bind(step.position.event)
        .bind(step.item)
        .bind(step.block_hash.as_bytes().as_slice().to_vec())
        .bind(seconds(step.block_time))
        .bind(step.finality.as_str())
        .bind(rank(step.assurance))
        .bind(step.control.as_str())
        .bind(step.completeness.as_str())
        .bind(bytes(&step.policy))
        .bind(seconds(step.observed_at))
        .bind(seconds(row.now))
        .bind(bytes(&step.native_digest))
}

fn note_new(added: &mut Added, rows: &[SqliteRow]) -> Result<(), StoreError> {
    for row in rows {
        let offset: Offset = row.col("id")?;
        added.offsets.insert(row.u64("sequence")?, offset);
        added.new.push(offset);
    }
    Ok(())
}

async fn note_duplicate(conn: &mut SqliteConnection, added: &mut Added, row: &Row<'_>) -> Result<(), StoreError> {
    let position = row.step.position;
    let query = sqlx::query(AT).bind(row.ledger).bind(row.height).bind(position.transaction).bind(position.event);
    let query = query.bind(row.step.item).bind(row.step.block_hash.as_bytes().as_slice().to_vec());
    let query = query.bind(bytes(&row.step.native_digest));
    let found = query.fetch_one(conn).await.map_err(fault)?;
    added.offsets.insert(row.step.sequence, found.col("id")?);
    added.duplicates += 1;
    let first = found.digest("record_id")?;
    if first != row.step.id.digest() {
        added.differing += 1;
        let (lane, sequence) = (&row.step.lane, row.step.sequence);
        tracing::warn!(%lane, sequence, "another lane brought this event as another record; the first one stands");
    }
    Ok(())
}

/// Names the records of an older file by the digest of their native bytes, too.
pub(crate) async fn name_natives(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut last: Offset = 0;
    loop {
        let rows = sqlx::query(UNNAMED).bind(last).fetch_all(&mut *conn).await.map_err(fault)?;
        if rows.is_empty() {
            return Ok(());
        }
        for row in &rows {
            last = row.col("id")?;
            let native: Vec<u8> = row.col("native")?;
            let query = sqlx::query(NAME).bind(bytes(&Digest::of(&native))).bind(last);
            query.execute(&mut *conn).await.map_err(fault)?;
        }
    }
}

fn bytes(digest: &Digest) -> Vec<u8> {
    digest.as_bytes().to_vec()
}

fn key_hash(key: &RecordKey) -> i64 {
    head_of(&Digest::of(key.as_str().as_bytes()))
}

const fn rank(assurance: Assurance) -> i64 {
    match assurance {
        Assurance::Attested => 1,
        Assurance::Anchored => 2,
        Assurance::Proven => 3,
    }
}

fn read(row: &SqliteRow) -> Result<StoredRecord, StoreError> {
    let key: &str = row.col("record_key")?;
    let quality: &str = row.col("quality")?;
    let position = Position { height: row.height("height")?, transaction: row.u32("tx")?, event: row.u32("event")? };
    Ok(StoredRecord {
        offset: row.col("id")?,
        id: RecordId::from_digest(row.digest("record_id")?),
        key: RecordKey::parse(key).map_err(StoreError::corrupt)?,
        json: row.col("record")?,
        lane: row.lane("lane")?,
        sequence: row.u64("sequence")?,
        ledger: row.ledger("ledger")?,
        position,
        item: row.u32("item")?,
        block_hash: BlockHash::from_bytes(*row.digest("block_hash")?.as_bytes()),
        block_time: row.time("block_time")?,
        finality: read_finality(row)?,
        assurance: read_assurance(row)?,
        control: read_control(row)?,
        completeness: read_completeness(row)?,
        policy: row.digest("policy")?,
        observed_at: row.time("observed_at")?,
        admitted_at: row.time("admitted_at")?,
        retracted: retractions::read(row)?,
        quality: serde_json::from_str(quality).map_err(StoreError::corrupt)?,
        native: row.col("native")?,
    })
}

fn read_finality(row: &SqliteRow) -> Result<Finality, StoreError> {
    let text: &str = row.col("finality")?;
    let all = [Finality::BftFinal, Finality::Authority, Finality::Probabilistic, Finality::Unsealed];
    all.into_iter().find(|it| it.as_str() == text).ok_or_else(|| wrong("finality", "a finality class", text))
}

fn read_assurance(row: &SqliteRow) -> Result<Assurance, StoreError> {
    let number: i64 = row.col("assurance")?;
    let all = [Assurance::Attested, Assurance::Anchored, Assurance::Proven];
    all.into_iter().find(|it| rank(*it) == number).ok_or_else(|| wrong("assurance", "1, 2 or 3", number))
}

fn read_control(row: &SqliteRow) -> Result<Control, StoreError> {
    let text: &str = row.col("control")?;
    let all = [Control::IssuerControlled, Control::Fixed];
    all.into_iter().find(|it| it.as_str() == text).ok_or_else(|| wrong("control", "issuer-controlled or fixed", text))
}

fn read_completeness(row: &SqliteRow) -> Result<Completeness, StoreError> {
    let text: &str = row.col("completeness")?;
    let all = [Completeness::Log, Completeness::Ledger];
    all.into_iter().find(|it| it.as_str() == text).ok_or_else(|| wrong("completeness", "log or ledger", text))
}

fn read_sized(row: &SqliteRow) -> Result<(StoredRecord, usize), StoreError> {
    let record = read(row)?;
    let size = record.json.len() + record.native.len();
    Ok((record, size))
}

async fn one(conn: &mut SqliteConnection, query: Query) -> Result<Option<StoredRecord>, StoreError> {
    query.fetch_optional(conn).await.map_err(fault)?.map(|row| read(&row)).transpose()
}

/// The record at an offset.
pub(crate) async fn at(conn: &mut SqliteConnection, offset: Offset) -> Result<Option<StoredRecord>, StoreError> {
    one(conn, sqlx::query(BY_OFFSET).bind(offset)).await
}

/// The record with an id.
pub(crate) async fn by_id(conn: &mut SqliteConnection, id: &RecordId) -> Result<Option<StoredRecord>, StoreError> {
    let digest = id.digest();
    one(conn, sqlx::query(BY_ID).bind(head_of(&digest)).bind(bytes(&digest))).await
}

/// The newest record of a key that holds: by position on its ledger, not by arrival, since a leaf that was held may arrive after
/// the event that revokes it. Between ledgers the later block time decides.
pub(crate) async fn by_key(conn: &mut SqliteConnection, key: &RecordKey) -> Result<Option<StoredRecord>, StoreError> {
    let query = sqlx::query(KEY_LEDGERS).bind(key_hash(key)).bind(key.as_str());
    let ledgers = query.fetch_all(&mut *conn).await.map_err(fault)?;
    let mut newest: Option<StoredRecord> = None;
    for ledger in &ledgers {
        let ledger: i64 = ledger.col("ledger")?;
        let query = sqlx::query(NEWEST).bind(key_hash(key)).bind(key.as_str()).bind(ledger);
        let Some(found) = one(&mut *conn, query).await? else { continue };
        if newest.as_ref().is_none_or(|best| best.block_time < found.block_time) {
            newest = Some(found);
        }
    }
    Ok(newest)
}

/// Records after an offset, in order; fewer when they are large.
pub(crate) async fn after(
    conn: &mut SqliteConnection,
    offset: Offset,
    limit: u32,
) -> Result<Vec<StoredRecord>, StoreError> {
    let rows = sqlx::query(AFTER).bind(offset).bind(capped(limit)).fetch(conn);
    Ok(collect_within(rows, ANSWER_BYTES, read_sized).await?.0)
}

const fn capped(limit: u32) -> u32 {
    if limit == 0 || limit > RECORDS_MOST { RECORDS_MOST } else { limit }
}

/// Records that match.
pub(crate) async fn find(conn: &mut SqliteConnection, query: &RecordQuery) -> Result<RecordPage, StoreError> {
    let (find, seen) = match (&query.key, &query.record_type) {
        (Some(_), _) => (FIND_KEY, SEEN_KEY),
        (None, Some(_)) => (FIND_TYPE, SEEN_TYPE),
        (None, None) => (FIND, SEEN),
    };
    let limit = capped(query.limit);
    let rows = bind_filter(sqlx::query(find), query, limit).fetch(&mut *conn);
    let (records, cut) = collect_within(rows, ANSWER_BYTES, read_sized).await?;
    let full = records.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    if cut || full {
        let next = records.last().map(|record| record.offset);
        return Ok(RecordPage { records, next });
    }
    let row = bind_filter(sqlx::query(seen), query, limit).fetch_one(conn).await.map_err(fault)?;
    Ok(RecordPage { records, next: row.col("next")? })
}

fn bind_filter(sql: Query, query: &RecordQuery, limit: u32) -> Query {
    sql.bind(query.since.unwrap_or(0))
        .bind(WINDOW)
        .bind(query.record_type.clone())
        .bind(query.ledger.as_ref().map(|ledger| ledger.as_str().to_owned()))
        .bind(query.lane.as_ref().map(LaneId::to_string))
        .bind(query.least.map_or(0, rank))
        .bind(limit)
        .bind(query.key.as_ref().map(key_hash))
        .bind(query.key.as_ref().map(|key| key.as_str().to_owned()))
}
