//! Leaves that are not believed yet (design, decision 7): kept with their bytes and reason, tried again later, never in
//! the way of the leaves after them.

use std::collections::HashSet;

use hufu_schemas_core::{LaneId, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;
use crate::model::{HeldCount, HeldLeaf, Offset};
use crate::sqlite::names::LedgerIds;
use crate::sqlite::sql::{Columns, collect_within, fault, int, seconds, statements};
use crate::sqlite::{ANSWER_BYTES, kept, lanes, log, operator, records};
use crate::step::{Fate, HeldStep, ReleaseStep};

statements! {
    ADD = "INSERT INTO held (lane, idx, reason, detail, record, since, last_try, tries) \
           VALUES (?1,?2,?3,?4,?5,?6,?6,1)";
    FIND = "SELECT id FROM held WHERE lane = ? AND idx = ?";
    AGAIN = "UPDATE held SET reason = ?, detail = ?, record = coalesce(?, record), last_try = ?, tries = tries + 1 \
             WHERE id = ?";
    REMOVE = "DELETE FROM held WHERE id = ?";
    FORGET = "DELETE FROM held WHERE lane = ? AND idx = ?";
    LIST = "SELECT h.id, n.lane, h.idx, f.entry, f.statement, h.record, h.reason, h.detail, h.since, h.last_try, h.tries \
            FROM held h CROSS JOIN lane n ON n.id = h.lane CROSS JOIN leaf f ON f.lane = h.lane AND f.idx = h.idx \
            WHERE h.id > ?1 AND (?2 IS NULL OR n.lane = ?2) ORDER BY h.id LIMIT ?3";
    COUNTS = "SELECT n.lane, h.reason, count(*) AS leaves FROM held h JOIN lane n ON n.id = h.lane \
              GROUP BY n.lane, h.reason ORDER BY n.lane, h.reason";
}

/// Most held leaves of one answer.
const ROWS_MOST: u32 = 500;

/// Holds a leaf.
pub(crate) async fn add(
    conn: &mut SqliteConnection,
    lane: i64,
    index: u64,
    held: &HeldStep,
    now: Timestamp,
) -> Result<(), StoreError> {
    let query = sqlx::query(ADD).bind(lane).bind(int(index)?).bind(held.reason.as_str()).bind(held.detail.as_str());
    query.bind(held.record.clone()).bind(seconds(now)).execute(conn).await.map(drop).map_err(fault)
}

/// Lets go of a leaf that was taken back: there is nothing left to try.
pub(crate) async fn forget(conn: &mut SqliteConnection, lane: i64, index: u64) -> Result<(), StoreError> {
    sqlx::query(FORGET).bind(lane).bind(int(index)?).execute(conn).await.map(drop).map_err(fault)
}

/// Writes what became of a held leaf on another try. Returns the offset of its record, if it is believed now.
pub(crate) async fn release(conn: &mut SqliteConnection, step: ReleaseStep) -> Result<Option<Offset>, StoreError> {
    operator::require_clock(&mut *conn, step.at).await?;
    let lane = lanes::require_moving(&mut *conn, &step.lane).await?;
    let query = sqlx::query(FIND).bind(lane).bind(int(step.index)?);
    let Some(row) = query.fetch_optional(&mut *conn).await.map_err(fault)? else {
        // Another try was faster, or the leaf was never held.
        return Err(StoreError::conflict("held leaf", format!("leaf {} of {}", step.index, step.lane), "none"));
    };
    let id: i64 = row.col("id")?;
    let mut ids = LedgerIds::default();
    match step.fate {
        Fate::Record(record) => {
            if record.lane != step.lane || record.sequence != step.index {
                let got = format!("leaf {} of {}", record.sequence, record.lane);
                return Err(StoreError::refused(
                    "released record",
                    format!("leaf {} of {}", step.index, step.lane),
                    got,
                ));
            }
            let proved = HashSet::from([record.block_hash]);
            kept::add_evidence(&mut *conn, lane, step.evidence, &proved).await?;
            let added = records::add(&mut *conn, &mut ids, lane, &[&record], step.at).await?;
            sqlx::query(REMOVE).bind(id).execute(&mut *conn).await.map_err(fault)?;
            let Some(offset) = added.offsets.get(&step.index).copied() else {
                return Err(StoreError::corrupt("a record that was written has no offset"));
            };
            log::link(conn, lane, step.index, offset).await?;
            Ok(Some(offset))
        }
        Fate::Held(held) => {
            kept::add_evidence(&mut *conn, lane, step.evidence, &HashSet::new()).await?;
            let query = sqlx::query(AGAIN).bind(held.reason).bind(held.detail).bind(held.record).bind(seconds(step.at));
            query.bind(id).execute(conn).await.map_err(fault)?;
            Ok(None)
        }
        Fate::Told | Fate::Retract(..) => {
            Err(StoreError::refused("release", "a record, or a fresh reason to hold", "another outcome"))
        }
    }
}

/// Held leaves after a cursor.
pub(crate) async fn list(
    conn: &mut SqliteConnection,
    lane: Option<&LaneId>,
    after: i64,
    limit: u32,
) -> Result<Vec<HeldLeaf>, StoreError> {
    let rows = sqlx::query(LIST).bind(after).bind(lane.map(LaneId::to_string)).bind(limit.min(ROWS_MOST)).fetch(conn);
    Ok(collect_within(rows, ANSWER_BYTES, read).await?.0)
}

fn read(row: &SqliteRow) -> Result<(HeldLeaf, usize), StoreError> {
    let leaf = HeldLeaf {
        id: row.col("id")?,
        lane: row.lane("lane")?,
        index: row.u64("idx")?,
        entry: log::read_entry(row)?,
        statement: row.col("statement")?,
        record: row.col("record")?,
        reason: row.col("reason")?,
        detail: row.col("detail")?,
        since: row.time("since")?,
        last_try: row.time("last_try")?,
        tries: row.u32("tries")?,
    };
    let size = [&leaf.statement, &leaf.record].into_iter().flatten().map(String::len).sum();
    Ok((leaf, size))
}

/// How many are held, by lane and reason.
pub(crate) async fn counts(conn: &mut SqliteConnection) -> Result<Vec<HeldCount>, StoreError> {
    let rows = sqlx::query(COUNTS).fetch_all(conn).await.map_err(fault)?;
    let read = |row: &SqliteRow| {
        Ok(HeldCount { lane: row.lane("lane")?, reason: row.col("reason")?, count: row.u64("leaves")? })
    };
    rows.iter().map(read).collect()
}
