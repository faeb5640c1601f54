//! Sizes for metrics. Nothing here reads a table that grows with the records.

use std::path::Path;
use std::sync::atomic::Ordering;

use crate::error::StoreError;
use crate::model::Stats;
use crate::sqlite::Sqlite3;
use crate::sqlite::sql::{Columns, fault, statements};

statements! {
    COUNTS = "SELECT (SELECT page_size FROM pragma_page_size) AS page_bytes, \
              (SELECT freelist_count FROM pragma_freelist_count) AS free_pages, \
              max((SELECT coalesce(max(id), 0) FROM record), (SELECT coalesce(max(id), 0) FROM retraction)) AS last_offset, \
              (SELECT coalesce(sum(size), 0) FROM lane) AS leaves, \
              (SELECT count(*) FROM lane) AS lanes, \
              (SELECT count(*) FROM ledger WHERE head IS NOT NULL) AS ledgers, \
              (SELECT count(*) FROM held) AS held";
}

pub(super) async fn stats(store: &Sqlite3) -> Result<Stats, StoreError> {
    let row = sqlx::query(COUNTS).fetch_one(&mut *store.read().await?).await.map_err(fault)?;
    let signals = store.writer.signals();
    Ok(Stats {
        file_bytes: length(&store.path).await,
        wal_bytes: length(&wal(&store.path)).await,
        page_bytes: row.u64("page_bytes")?,
        free_pages: row.u64("free_pages")?,
        last_offset: row.col("last_offset")?,
        leaves: row.u64("leaves")?,
        lanes: row.u64("lanes")?,
        ledgers: row.u64("ledgers")?,
        held: row.u64("held")?,
        commits: *signals.changes.borrow(),
        steps: signals.steps.load(Ordering::Relaxed),
        waiting: store.writer.waiting(),
    })
}

/// The write-ahead log of a database file.
pub(super) fn wal(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// A file that is not there is empty.
async fn length(path: &Path) -> u64 {
    tokio::fs::metadata(path).await.map_or(0, |data| data.len())
}
