//! The SQLite back end: one writer task, a few readers, one file.
//!
//! One subject a module. Every statement is static text with a name; nothing outside this folder sees SQL.

mod file;
pub(crate) mod held;
pub(crate) mod kept;
pub(crate) mod lanes;
pub(crate) mod ledgers;
pub(crate) mod log;
mod names;
pub(crate) mod operator;
pub(crate) mod records;
pub(crate) mod retractions;
mod sql;
mod stats;
#[cfg(test)]
mod tests;
mod writer;

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, SqliteConnection, Transaction};
use tokio::sync::watch;

use crate::error::StoreError;
use crate::model::Stats;
use crate::sqlite::writer::{Boxed, Writer};

/// Most bytes of rows that one answer holds; a page travels in as many.
pub(crate) const ANSWER_BYTES: usize = 8 << 20;

/// One open database.
#[derive(Debug)]
pub(crate) struct Sqlite3 {
    path: PathBuf,
    writer: Writer,
    readers: SqlitePool,
}

impl Sqlite3 {
    pub(crate) async fn create(path: &Path) -> Result<Self, StoreError> {
        file::create(path).await?;
        Self::open(path).await
    }

    pub(crate) async fn open(path: &Path) -> Result<Self, StoreError> {
        let conn = file::open_writer(path).await?;
        let readers = file::open_readers(path).await?;
        Ok(Self { path: path.to_owned(), writer: Writer::start(conn), readers })
    }

    /// Runs `work` on the writer's connection in a transaction; answers after the commit.
    pub(crate) async fn write<F, T>(&self, work: F) -> Result<T, StoreError>
    where
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> Boxed<'c, Result<T, StoreError>> + Send + 'static,
        T: Send + 'static,
    {
        self.writer.run(work).await
    }

    /// A reader with one consistent view of the database until it is dropped.
    pub(crate) async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.readers.begin().await.map_err(sql::fault)
    }

    /// Whether steps are still accepted.
    pub(crate) fn health(&self) -> Result<(), StoreError> {
        self.writer.health()
    }

    /// Counts commits.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.writer.signals().changes.subscribe()
    }

    pub(crate) async fn check(&self) -> Result<(), StoreError> {
        file::check_whole(&mut *self.read().await?).await
    }

    pub(crate) async fn stats(&self) -> Result<Stats, StoreError> {
        stats::stats(self).await
    }

    /// Readers first, so that the log can be folded into the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
