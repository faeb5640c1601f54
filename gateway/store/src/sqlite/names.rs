//! Row ids of ledgers and lanes.

use hufu_schemas_core::{LaneId, LedgerId};
use sqlx::SqliteConnection;

use crate::error::StoreError;
use crate::sqlite::sql::{Columns, fault, statements};

statements! {
    LEDGER = "SELECT id FROM ledger WHERE ledger = ?";
    NEW_LEDGER = "INSERT INTO ledger (ledger) VALUES (?) RETURNING id";
    LANE = "SELECT id FROM lane WHERE lane = ?";
}

/// The row id of a ledger, if it is known.
pub(super) async fn ledger(conn: &mut SqliteConnection, ledger: &LedgerId) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(LEDGER).bind(ledger.as_str()).fetch_optional(conn).await.map_err(fault)?;
    row.map(|row| row.col("id")).transpose()
}

/// The row id of a ledger, which is given one when it has none.
pub(super) async fn ledger_or_new(conn: &mut SqliteConnection, name: &LedgerId) -> Result<i64, StoreError> {
    if let Some(id) = ledger(&mut *conn, name).await? {
        return Ok(id);
    }
    let row = sqlx::query(NEW_LEDGER).bind(name.as_str()).fetch_one(conn).await.map_err(fault)?;
    row.col("id")
}

/// The row id of a lane, if it is known.
pub(super) async fn lane(conn: &mut SqliteConnection, lane: &LaneId) -> Result<Option<i64>, StoreError> {
    let row = sqlx::query(LANE).bind(lane.to_string()).fetch_optional(conn).await.map_err(fault)?;
    row.map(|row| row.col("id")).transpose()
}

/// The row ids of ledgers that one step names over and over.
#[derive(Debug, Default)]
pub(crate) struct LedgerIds(Vec<(LedgerId, i64)>);

impl LedgerIds {
    /// The row id, looked up once.
    pub(super) async fn of(&mut self, conn: &mut SqliteConnection, name: &LedgerId) -> Result<i64, StoreError> {
        if let Some((_, id)) = self.0.iter().find(|(known, _)| known == name) {
            return Ok(*id);
        }
        let id = ledger_or_new(conn, name).await?;
        self.0.push((name.clone(), id));
        Ok(id)
    }
}
