//! The database file: made once, opened often, refused when it is not ours.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::error::StoreError;
use crate::sqlite::records;
use crate::sqlite::sql::{Columns, fault, statements};

statements! {
    VERSION = "SELECT sqlite_version() AS version";
    SCHEMA = "SELECT user_version AS version FROM pragma_user_version";
    QUICK_CHECK = "PRAGMA quick_check(1)";
    FULL_CHECK = "PRAGMA integrity_check(20)";
    SETTINGS = "SELECT (SELECT journal_mode FROM pragma_journal_mode) AS journal, \
                (SELECT synchronous FROM pragma_synchronous) AS synchronous, \
                (SELECT foreign_keys FROM pragma_foreign_keys) AS foreign_keys";
    BEGIN = "BEGIN IMMEDIATE";
    COMMIT = "COMMIT";
    FOLD = "PRAGMA wal_checkpoint(TRUNCATE)";
    /// "HuFu" as a number: what `file` and this gateway know the file by.
    MARK = "PRAGMA application_id = 0x48754675";
}

/// What [`MARK`] writes at byte 68 of the file (sqlite.org/fileformat2.html, 1.3).
const APPLICATION_ID: [u8; 4] = *b"HuFu";
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// One file a version, in order; each ends by setting `user_version` to its place in the list. Released ones never change.
const MIGRATIONS: [&str; 5] = [
    include_str!("migrations/0001_house.sql"),
    include_str!("migrations/0002_control.sql"),
    include_str!("migrations/0003_derivation.sql"),
    include_str!("migrations/0004_evidence_by_lane.sql"),
    include_str!("migrations/0005_native_identity.sql"),
];

/// The version whose records must be named by the digest of their native bytes: SQLite has no SHA-256 of its own.
const NAMES_NATIVES: i64 = 5;

/// SQLite 3.7.0 to 3.51.2 can corrupt a file when two connections write and fold the log at the same moment.
const LEAST_SQLITE: (u32, u32, u32) = (3, 51, 3);

/// Files up to this size are checked when they are opened. Reading a larger one whole would take longer than a start
/// may; [`crate::Store::check`] is for the night.
const CHECKED_AT_OPEN: u64 = 256 << 20;

/// Connections for reading.
const READERS: u32 = 4;
/// Page caches in KiB: the writer touches random pages of three indices, a reader walks.
const WRITER_CACHE: &str = "-32768";
const READER_CACHE: &str = "-4096";

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(256)
        .disable_statement_logging()
}

fn writer_options(path: &Path) -> SqliteConnectOptions {
    options(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // 16 MiB between foldings; the log shrinks back after a peak.
        .pragma("wal_autocheckpoint", "4000")
        .pragma("journal_size_limit", "67108864")
        .pragma("cache_size", WRITER_CACHE)
}

/// Makes a new file. Only its owner may read it: it holds what peers confided.
pub(super) async fn create(path: &Path) -> Result<(), StoreError> {
    let mut new = tokio::fs::OpenOptions::new();
    new.write(true).create_new(true);
    #[cfg(unix)]
    new.mode(0o600);
    match new.open(path).await {
        Ok(file) => drop(file),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(StoreError::refused("database file", "no file yet", path.display()));
        }
        Err(error) => return Err(StoreError::io(format!("{}: {error}", path.display()))),
    }
    let mut conn = options(path).connect().await.map_err(fault)?;
    // Before the log exists, so that the mark is in the file's first page from the start.
    execute(&mut conn, MARK).await?;
    conn.close().await.map_err(fault)?;
    let mut conn = open_writer(path).await?;
    execute(&mut conn, FOLD).await?;
    conn.close().await.map_err(fault)
}

/// Opens the writer's connection on a file of ours and brings its schema up to date.
pub(super) async fn open_writer(path: &Path) -> Result<SqliteConnection, StoreError> {
    require_ours(path)?;
    let mut conn = writer_options(path).connect().await.map_err(fault)?;
    require_sqlite(&mut conn).await?;
    require_settings(&mut conn).await?;
    if tokio::fs::metadata(path).await.map_err(StoreError::io)?.len() <= CHECKED_AT_OPEN {
        check(&mut conn, QUICK_CHECK).await?;
    } else {
        tracing::info!(path = %path.display(), "too large to be checked at every start; check it at night");
    }
    migrate(&mut conn, &MIGRATIONS).await?;
    Ok(conn)
}

/// Opens the readers. They can write nothing.
pub(super) async fn open_readers(path: &Path) -> Result<SqlitePool, StoreError> {
    let options = options(path).read_only(true).pragma("cache_size", READER_CACHE);
    let pool = SqlitePoolOptions::new().max_connections(READERS).min_connections(1).test_before_acquire(false);
    pool.connect_with(options).await.map_err(fault)
}

/// Reads the file's header before SQLite is let near it: a foreign database must not even be switched to another
/// journal mode.
fn require_ours(path: &Path) -> Result<(), StoreError> {
    let missing = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            StoreError::refused("database file", format!("{} (made by hufu init)", path.display()), "no such file")
        }
        _ => StoreError::io(format!("{}: {error}", path.display())),
    };
    let mut header = Vec::with_capacity(100);
    let file = std::fs::File::open(path).map_err(missing)?;
    file.take(100).read_to_end(&mut header).map_err(missing)?;
    if header.get(..16) != Some(MAGIC) || header.get(68..72) != Some(&APPLICATION_ID) {
        return Err(StoreError::refused("database file", "a database of this gateway", path.display()));
    }
    Ok(())
}

async fn require_sqlite(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let row = sqlx::query(VERSION).fetch_one(conn).await.map_err(fault)?;
    let text: String = row.col("version")?;
    if parse_version(&text).is_some_and(|version| version >= LEAST_SQLITE) {
        return Ok(());
    }
    Err(StoreError::refused("SQLite library", format!("at least {LEAST_SQLITE:?}"), text))
}

fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// A setting that SQLite did not take is found now and not after a power cut.
async fn require_settings(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let row = sqlx::query(SETTINGS).fetch_one(conn).await.map_err(fault)?;
    let got = (row.col::<String>("journal")?, row.col::<i64>("synchronous")?, row.col::<i64>("foreign_keys")?);
    if got == ("wal".to_owned(), 2, 1) {
        return Ok(());
    }
    Err(StoreError::refused("settings", "journal_mode wal, synchronous 2, foreign_keys 1", format!("{got:?}")))
}

/// Runs a check that answers with the one row `ok` when all is well.
async fn check(conn: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    use sqlx::Row as _;
    let rows = sqlx::query(sql).fetch_all(conn).await.map_err(fault)?;
    let first: String = rows.first().map_or(Ok(String::new()), |row| row.try_get(0)).map_err(fault)?;
    if first == "ok" { Ok(()) } else { Err(StoreError::corrupt(first)) }
}

/// Reads the whole file and compares every index with its table.
pub(super) async fn check_whole(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    check(conn, FULL_CHECK).await
}

/// Forward only, one transaction a step.
async fn migrate(conn: &mut SqliteConnection, migrations: &[&'static str]) -> Result<(), StoreError> {
    let known = i64::try_from(migrations.len()).unwrap_or(i64::MAX);
    loop {
        execute(&mut *conn, BEGIN).await?;
        let version = schema_version(&mut *conn).await?;
        if version > known || version < 0 {
            execute(&mut *conn, COMMIT).await?;
            return Err(StoreError::refused("database schema", format!("version {known} or older"), version));
        }
        let next = usize::try_from(version).ok().and_then(|at| migrations.get(at));
        if let Some(sql) = next {
            sqlx::raw_sql(*sql).execute(&mut *conn).await.map_err(fault)?;
            let got = schema_version(&mut *conn).await?;
            if got != version + 1 {
                return Err(StoreError::corrupt(format!("migration {}: left version {got}", version + 1)));
            }
            if got == NAMES_NATIVES {
                records::name_natives(&mut *conn).await?;
            }
        }
        execute(&mut *conn, COMMIT).await?;
        if next.is_none() {
            return Ok(());
        }
    }
}

async fn schema_version(conn: &mut SqliteConnection) -> Result<i64, StoreError> {
    sqlx::query(SCHEMA).fetch_one(conn).await.map_err(fault)?.col("version")
}

async fn execute(conn: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql).execute(conn).await.map(drop).map_err(fault)
}
