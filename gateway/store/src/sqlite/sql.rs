//! Small tools for static SQL: named statements that a test can list, rows by the batch, columns as our types.

use futures_util::{Stream, TryStreamExt};
use hufu_schemas_core::{Digest, Height, LaneId, LedgerId, Timestamp};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Decode, Row as _, Sqlite, SqliteConnection, Type};

use crate::error::StoreError;

/// Names static statements, and lists them for the test that prepares each one.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* const $name: &str = $sql;)*
        /// Every statement of this module, with its name.
        #[cfg(test)]
        pub(super) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(super) use statements;

/// One tuple of placeholders, 32 times: as many rows as a batched insert holds.
macro_rules! rows_32 {
    ($row:literal) => {
        concat!(
            $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row,
            ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",",
            $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row,
            ",", $row, ",", $row, ",", $row
        )
    };
}
pub(super) use rows_32;

/// Rows of a batched insert; see [`rows_32`].
pub(super) const BATCH: usize = 32;

/// A statement with its arguments.
pub(super) type Query = sqlx::query::Query<'static, Sqlite, SqliteArguments>;

/// Inserts `rows`, 32 a statement and the rest one by one.
pub(super) async fn insert_rows<T>(
    conn: &mut SqliteConnection,
    one: &'static str,
    many: &'static str,
    rows: &[T],
    bind: impl Fn(Query, &T) -> Query,
) -> Result<(), StoreError> {
    let (batches, rest) = rows.as_chunks::<BATCH>();
    for batch in batches {
        batch.iter().fold(sqlx::query(many), &bind).execute(&mut *conn).await.map_err(fault)?;
    }
    for row in rest {
        bind(sqlx::query(one), row).execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(())
}

/// Reads a stream of rows until it ends or `most` bytes are reached. The second value says whether rows were left.
pub(super) async fn collect_within<T>(
    mut rows: impl Stream<Item = Result<SqliteRow, sqlx::Error>> + Unpin,
    most: usize,
    read: impl Fn(&SqliteRow) -> Result<(T, usize), StoreError>,
) -> Result<(Vec<T>, bool), StoreError> {
    let (mut all, mut bytes) = (Vec::new(), 0usize);
    while let Some(row) = rows.try_next().await.map_err(fault)? {
        let (item, size) = read(&row)?;
        bytes = bytes.saturating_add(size);
        if bytes > most && !all.is_empty() {
            return Ok((all, true));
        }
        all.push(item);
    }
    Ok((all, false))
}

/// Columns as our types; another type or form in the file is [`StoreError::Corrupt`].
pub(super) trait Columns {
    /// A column as `T`.
    fn col<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(&'r self, name: &str) -> Result<T, StoreError>;

    /// A count, height or index.
    fn u64(&self, name: &str) -> Result<u64, StoreError> {
        let value: i64 = self.col(name)?;
        u64::try_from(value).map_err(|_| wrong(name, "a number from 0", value))
    }

    /// The same, or NULL.
    fn u64_or_null(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let value: Option<i64> = self.col(name)?;
        value.map(|value| u64::try_from(value).map_err(|_| wrong(name, "a number from 0", value))).transpose()
    }

    /// An index within a block.
    fn u32(&self, name: &str) -> Result<u32, StoreError> {
        let value: i64 = self.col(name)?;
        u32::try_from(value).map_err(|_| wrong(name, "a number of 32 bits", value))
    }

    /// A digest.
    fn digest(&self, name: &str) -> Result<Digest, StoreError> {
        let bytes: Vec<u8> = self.col(name)?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|bytes: Vec<u8>| wrong(name, "32 bytes", bytes.len()))?;
        Ok(Digest::from_bytes(bytes))
    }

    /// A time.
    fn time(&self, name: &str) -> Result<Timestamp, StoreError> {
        let seconds = self.u64(name)?;
        Timestamp::from_seconds(seconds).ok_or_else(|| wrong(name, "a time before the year 10000", seconds))
    }

    /// A height.
    fn height(&self, name: &str) -> Result<Height, StoreError> {
        self.u64(name).map(Height::new)
    }

    /// A ledger's name.
    fn ledger(&self, name: &str) -> Result<LedgerId, StoreError> {
        let text: String = self.col(name)?;
        LedgerId::parse(&text).map_err(StoreError::corrupt)
    }

    /// A lane's name.
    fn lane(&self, name: &str) -> Result<LaneId, StoreError> {
        let text: String = self.col(name)?;
        LaneId::parse(&text).map_err(StoreError::corrupt)
    }
}

impl Columns for SqliteRow {
    fn col<'r, T: Decode<'r, Sqlite> + Type<Sqlite>>(&'r self, name: &str) -> Result<T, StoreError> {
        self.try_get(name).map_err(fault)
    }
}

/// What a column holds that it must not.
pub(super) fn wrong(column: &str, expected: &str, got: impl std::fmt::Display) -> StoreError {
    StoreError::corrupt(format!("column {column}: expected {expected}, got {got}"))
}

/// A count or height as SQLite keeps it: 63 bits.
pub(super) fn int(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::refused("number", "at most 2^63-1", number))
}

/// A time as SQLite keeps it.
pub(super) fn seconds(time: Timestamp) -> i64 {
    // Timestamps end with the year 9999, far below 2^63.
    i64::try_from(time.seconds()).unwrap_or(i64::MAX)
}

/// First eight bytes of a digest: what the small indices hold.
pub(super) fn head_of(digest: &Digest) -> i64 {
    i64::from_be_bytes(digest.as_bytes().first_chunk::<8>().copied().unwrap_or_default())
}

/// Sorts a fault of sqlx by who must act.
pub(super) fn fault(error: sqlx::Error) -> StoreError {
    match &error {
        sqlx::Error::Database(database) => {
            let code: i64 = database.code().and_then(|code| code.parse().ok()).unwrap_or(0);
            of_code(code & 0xff, &error)
        }
        sqlx::Error::PoolTimedOut => StoreError::Busy { detail: "every reader is taken".to_owned() },
        sqlx::Error::PoolClosed => StoreError::Closed,
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed => StoreError::io(error),
        _ => StoreError::corrupt(error),
    }
}

/// Primary result codes (sqlite.org/rescode.html).
fn of_code(code: i64, error: &sqlx::Error) -> StoreError {
    match code {
        // SQLITE_BUSY, SQLITE_LOCKED
        5 | 6 => StoreError::Busy { detail: error.to_string() },
        // SQLITE_NOMEM, _READONLY, _INTERRUPT, _IOERR, _FULL, _CANTOPEN
        7..=10 | 13 | 14 => StoreError::io(error),
        // Everything else, constraints above all, is the file or our own code contradicting itself.
        _ => StoreError::corrupt(error),
    }
}
