//! The operator log: who froze, thawed, re-anchored or retried what, when and why. Append-only, by trigger.

use hufu_schemas_core::Timestamp;
use serde_json::Value;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;
use crate::model::{Act, LoggedAct};
use crate::sqlite::ANSWER_BYTES;
use crate::sqlite::sql::{Columns, collect_within, fault, seconds, statements};

statements! {
    LOG = "INSERT INTO operator_log (at, who, act, subject, why, artefacts) VALUES (?,?,?,?,?,?) RETURNING id";
    READ = "SELECT id, at, who, act, subject, why, artefacts FROM operator_log WHERE id > ? ORDER BY id LIMIT ?";
    HIGH_WATER = "SELECT high_water FROM clock WHERE id = 1";
    RAISE = "UPDATE clock SET high_water = ?1 WHERE id = 1 AND high_water < ?1";
}

/// Most rows of one answer.
const ROWS_MOST: u32 = 500;
/// How far behind the high water a step may have read the clock: steps of one group read it at different moments.
const CLOCK_SLACK_SECONDS: u64 = 60;

/// Writes one row.
pub(crate) async fn log(
    conn: &mut SqliteConnection,
    act: &Act,
    what: &str,
    subject: &str,
    artefacts: Option<&Value>,
) -> Result<i64, StoreError> {
    let query = sqlx::query(LOG).bind(seconds(act.at)).bind(act.who.as_str()).bind(what).bind(subject);
    let query = query.bind(act.why.as_str()).bind(artefacts.map(Value::to_string));
    query.fetch_one(conn).await.map_err(fault)?.col("id")
}

/// Rows after `after`.
pub(crate) async fn read(conn: &mut SqliteConnection, after: i64, limit: u32) -> Result<Vec<LoggedAct>, StoreError> {
    let rows = sqlx::query(READ).bind(after).bind(limit.min(ROWS_MOST)).fetch(conn);
    Ok(collect_within(rows, ANSWER_BYTES, read_row).await?.0)
}

fn read_row(row: &SqliteRow) -> Result<(LoggedAct, usize), StoreError> {
    let artefacts: Option<String> = row.col("artefacts")?;
    let size = artefacts.as_ref().map_or(0, String::len);
    let artefacts = artefacts.map(|text| serde_json::from_str(&text)).transpose().map_err(StoreError::corrupt)?;
    let act = Act { who: row.col("who")?, at: row.time("at")?, why: row.col("why")? };
    let logged = LoggedAct { id: row.col("id")?, act, what: row.col("act")?, subject: row.col("subject")?, artefacts };
    Ok((logged, size))
}

/// The latest time this gateway acted at.
pub(crate) async fn high_water(conn: &mut SqliteConnection) -> Result<Timestamp, StoreError> {
    sqlx::query(HIGH_WATER).fetch_one(conn).await.map_err(fault)?.time("high_water")
}

/// Raises it; never lowers it.
pub(crate) async fn raise_high_water(conn: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(RAISE).bind(seconds(now)).execute(conn).await.map(drop).map_err(fault)
}

/// A clock that went back admits nothing (decision 9); one that goes on raises the high water.
pub(crate) async fn require_clock(conn: &mut SqliteConnection, now: Timestamp) -> Result<(), StoreError> {
    let high = high_water(&mut *conn).await?;
    if now.plus(CLOCK_SLACK_SECONDS) < high {
        return Err(StoreError::refused("clock", format!("at least {high}, when this gateway last acted"), now));
    }
    if now > high { raise_high_water(conn, now).await } else { Ok(()) }
}
