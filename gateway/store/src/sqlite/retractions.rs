//! Records that a reorganisation took back: they stay, marked, and subscribers are told under an offset of its own.

use hufu_schemas_core::Timestamp;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;
use crate::model::{Offset, Retracted};
use crate::sqlite::sql::{Columns, fault, int, seconds, statements};

statements! {
    // Both ways that a record may have come: by this leaf, or by a leaf of another lane about the same event.
    STANDING = "SELECT r.id FROM leaf f JOIN record r ON r.id = f.record \
                WHERE f.lane = ? AND f.idx = ? AND r.retraction IS NULL";
    NEXT_OFFSET = "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'record' RETURNING seq";
    ADD = "INSERT INTO retraction (id, record, lane, sequence, reason, at) VALUES (?,?,?,?,?,?)";
    MARK = "UPDATE record SET retraction = ? WHERE id = ?";
    LAST = "SELECT max((SELECT coalesce(max(id), 0) FROM record), (SELECT coalesce(max(id), 0) FROM retraction)) AS last";
    AFTER = "SELECT id, record FROM retraction WHERE id > ? ORDER BY id LIMIT ?";
}

/// Most retractions of one answer.
const ROWS_MOST: u32 = 500;

/// The leaf that takes back, and the one that is taken back.
pub(crate) struct Place {
    pub(crate) lane: i64,
    pub(crate) retract: u64,
    pub(crate) named: u64,
}

/// Takes back the record that a leaf stands for; how many that were: none where the leaf has none, or where it was taken
/// back already by another lane.
pub(crate) async fn add(
    conn: &mut SqliteConnection,
    place: Place,
    reason: &str,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let query = sqlx::query(STANDING).bind(place.lane).bind(int(place.named)?);
    let Some(row) = query.fetch_optional(&mut *conn).await.map_err(fault)? else { return Ok(0) };
    let record: Offset = row.col("id")?;
    let row = sqlx::query(NEXT_OFFSET).fetch_one(&mut *conn).await.map_err(fault)?;
    let offset: Offset = row.col("seq")?;
    let query = sqlx::query(ADD).bind(offset).bind(record).bind(place.lane).bind(int(place.retract)?);
    query.bind(reason.to_owned()).bind(seconds(now)).execute(&mut *conn).await.map_err(fault)?;
    sqlx::query(MARK).bind(offset).bind(record).execute(conn).await.map_err(fault)?;
    Ok(1)
}

/// The last offset given.
pub(crate) async fn last_offset(conn: &mut SqliteConnection) -> Result<Offset, StoreError> {
    sqlx::query(LAST).fetch_one(conn).await.map_err(fault)?.col("last")
}

/// Retractions after an offset: their own and that of their record.
pub(crate) async fn after(
    conn: &mut SqliteConnection,
    offset: Offset,
    limit: u32,
) -> Result<Vec<(Offset, Offset)>, StoreError> {
    let rows = sqlx::query(AFTER).bind(offset).bind(limit.min(ROWS_MOST)).fetch_all(conn).await.map_err(fault)?;
    rows.iter().map(|row| Ok((row.col("id")?, row.col("record")?))).collect()
}

/// Whether a record was taken back, of a row that names `retraction`, `retracted_at` and `retracted_for`.
pub(crate) fn read(row: &SqliteRow) -> Result<Option<Retracted>, StoreError> {
    let Some(offset) = row.col::<Option<Offset>>("retraction")? else { return Ok(None) };
    Ok(Some(Retracted { offset, at: row.time("retracted_at")?, reason: row.col("retracted_for")? }))
}
