//! SQLite's own: the conformance suite, the file, the faults.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _, SqliteConnection};
use tempfile::TempDir;

use crate::conformance::{Pen, Place, audit, believed, conformance, held, now};
use crate::error::StoreError;
use crate::model::Role;
use crate::sqlite::{
    file, held as held_sql, kept, lanes, ledgers, log, names, operator, records, retractions, stats, writer,
};
use crate::step::AdmitStep;
use crate::store::Store;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("gateway.sqlite")
    }
}

impl Place for Folder {
    async fn create(&self) -> Store {
        Store::create(self.path()).await.unwrap()
    }

    async fn open(&self) -> Store {
        Store::open(self.path()).await.unwrap()
    }
}

macro_rules! each {
    ($($name:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            crate::conformance::$name(Folder::new()).await;
        })*
    };
}
conformance!(each);

fn all_statements() -> Vec<(&'static str, &'static str)> {
    [
        file::STATEMENTS,
        held_sql::STATEMENTS,
        kept::STATEMENTS,
        lanes::STATEMENTS,
        ledgers::STATEMENTS,
        log::STATEMENTS,
        names::STATEMENTS,
        operator::STATEMENTS,
        records::STATEMENTS,
        retractions::STATEMENTS,
        stats::STATEMENTS,
        writer::STATEMENTS,
    ]
    .concat()
}

/// A connection beside the store's own, as another process has one.
async fn beside(folder: &Folder) -> SqliteConnection {
    SqliteConnectOptions::new().filename(folder.path()).connect().await.unwrap()
}

async fn admit(store: &Store, step: AdmitStep) -> Result<crate::Admitted, StoreError> {
    store.admit_step(Role::Inbox, step, now()).await
}

#[tokio::test]
async fn every_statement_prepares() {
    let folder = Folder::new();
    folder.create().await.close().await;
    let mut conn = beside(&folder).await;
    let all = all_statements();
    assert!(all.len() > 60, "{}", all.len());
    for (name, sql) in all {
        if let Err(error) = conn.prepare(sqlx::SqlSafeStr::into_sql_str(sql)).await {
            panic!("{name}: {error}");
        }
    }
}

/// What is asked often must not walk a table that grows with the records.
#[tokio::test]
async fn no_frequent_statement_walks_a_large_table() {
    let folder = Folder::new();
    folder.create().await.close().await;
    let mut conn = beside(&folder).await;
    let large =
        ["record", "record_content", "leaf", "node", "trusted_block", "step", "evidence", "r", "c", "f", "b", "s", "e"];
    for (name, sql) in all_statements() {
        if !["SELECT", "UPDATE", "DELETE"].iter().any(|verb| sql.starts_with(verb)) {
            continue;
        }
        let plan =
            sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"))).fetch_all(&mut conn).await.unwrap();
        for row in plan {
            let detail: String = row.try_get("detail").unwrap();
            let walks = large
                .iter()
                .any(|table| detail == format!("SCAN {table}") || detail.starts_with(&format!("SCAN {table} USING")));
            assert!(!walks, "{name}: {detail}");
        }
    }
}

#[tokio::test]
async fn a_file_is_made_once_and_never_by_opening() {
    let folder = Folder::new();
    let missing = Store::open(folder.path()).await.unwrap_err();
    assert_eq!(missing.reason(), "store-refused", "{missing}");
    assert!(!folder.path().exists());
    folder.create().await.close().await;
    assert_eq!(Store::create(folder.path()).await.unwrap_err().reason(), "store-refused");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(std::fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o600);
    }
    folder.open().await.check().await.unwrap();
}

#[tokio::test]
async fn foreign_empty_and_newer_files_are_refused_untouched() {
    let refused = async |folder: &Folder| {
        let before = std::fs::read(folder.path()).unwrap();
        let error = Store::open(folder.path()).await.unwrap_err();
        assert_eq!(error.reason(), "store-refused", "{error}");
        assert_eq!(std::fs::read(folder.path()).unwrap(), before);
    };
    let empty = Folder::new();
    std::fs::write(empty.path(), b"").unwrap();
    refused(&empty).await;
    let text = Folder::new();
    std::fs::write(text.path(), "not a database, but long enough to hold a header".repeat(9)).unwrap();
    refused(&text).await;
    let foreign = Folder::new();
    let options = SqliteConnectOptions::new().filename(foreign.path()).create_if_missing(true);
    let mut conn = options.connect().await.unwrap();
    conn.execute("CREATE TABLE t (a)").await.unwrap();
    conn.close().await.unwrap();
    refused(&foreign).await;
    let newer = Folder::new();
    newer.create().await.close().await;
    let mut conn = beside(&newer).await;
    conn.execute("PRAGMA user_version = 99").await.unwrap();
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
    conn.close().await.unwrap();
    refused(&newer).await;
}

#[tokio::test]
async fn records_of_an_older_file_are_named_by_their_native_bytes_too() {
    let folder = Folder::new();
    let store = folder.create().await;
    admit(&store, Pen::new("rights").records(600)).await.unwrap();
    store.close().await;
    let mut conn = beside(&folder).await;
    conn.execute(
        "DROP INDEX record_by_event; ALTER TABLE record DROP COLUMN native_digest; \
         CREATE UNIQUE INDEX record_by_event ON record (ledger, height, tx, event, item, block_hash) \
         WHERE retraction IS NULL; PRAGMA user_version = 4;",
    )
    .await
    .unwrap();
    conn.close().await.unwrap();
    let store = folder.open().await;
    let again = admit(&store, Pen::new("rights-again").records(600)).await.unwrap();
    assert_eq!((again.records, again.duplicates), (0, 600));
    audit(&store).await;
}

#[tokio::test]
async fn a_damaged_file_is_found_when_it_is_opened() {
    let folder = Folder::new();
    let store = folder.create().await;
    let mut pen = Pen::new("rights");
    admit(&store, pen.records(200)).await.unwrap();
    store.close().await;
    let mut bytes = std::fs::read(folder.path()).unwrap();
    // Every page but the first, which SQLite needs to know that it is a database.
    bytes[4_096..].chunks_mut(4_096).for_each(|page| page[..200].fill(0xA5));
    std::fs::write(folder.path(), bytes).unwrap();
    let error = Store::open(folder.path()).await.unwrap_err();
    assert_eq!(error.reason(), "store-corrupt", "{error}");
}

/// One fault a table: whatever write of an admission fails, none of it stays, and the same admission then succeeds.
#[tokio::test]
async fn an_admission_that_fails_at_any_table_leaves_nothing() {
    let faults = [
        "CREATE TRIGGER fault BEFORE INSERT ON leaf WHEN NEW.idx = 43 BEGIN SELECT RAISE(ABORT, 'injected'); END",
        "CREATE TRIGGER fault BEFORE INSERT ON record WHEN NEW.sequence = 41 BEGIN SELECT RAISE(ABORT, 'injected'); END",
        "CREATE TRIGGER fault BEFORE INSERT ON record_content BEGIN SELECT RAISE(ABORT, 'injected'); END",
        "CREATE TRIGGER fault BEFORE INSERT ON held BEGIN SELECT RAISE(ABORT, 'injected'); END",
        "CREATE TRIGGER fault BEFORE INSERT ON node BEGIN SELECT RAISE(ABORT, 'injected'); END",
        "CREATE TRIGGER fault BEFORE INSERT ON evidence BEGIN SELECT RAISE(ABORT, 'injected'); END",
        "CREATE TRIGGER fault BEFORE INSERT ON document BEGIN SELECT RAISE(ABORT, 'injected'); END",
        "CREATE TRIGGER fault BEFORE INSERT ON lane_definition BEGIN SELECT RAISE(ABORT, 'injected'); END",
        "CREATE TRIGGER fault BEFORE UPDATE ON lane BEGIN SELECT RAISE(ABORT, 'injected'); END",
        // Takes the whole transaction down, savepoints included.
        "CREATE TRIGGER fault BEFORE INSERT ON held BEGIN SELECT RAISE(ROLLBACK, 'injected'); END",
    ];
    for fault in faults {
        let folder = Folder::new();
        let store = folder.create().await;
        let mut pen = Pen::new("rights");
        admit(&store, pen.records(2)).await.unwrap();
        let mut conn = beside(&folder).await;
        conn.execute(fault).await.unwrap();
        let step = whole_step(&mut pen);
        let error = admit(&store, step.clone()).await.unwrap_err();
        assert_eq!(error.reason(), "store-corrupt", "{fault}: {error}");
        store.close().await;
        conn.execute("DROP TRIGGER fault").await.unwrap();
        conn.close().await.unwrap();

        let store = folder.open().await;
        assert_eq!(store.lane(&pen.state.lane).await.unwrap().unwrap().edge.size(), 2, "{fault}");
        assert_eq!(store.records_after(0, 500).await.unwrap().len(), 2, "{fault}");
        assert_eq!(store.held(None, 0, 10).await.unwrap(), [], "{fault}");
        audit(&store).await;
        admit(&store, step).await.unwrap();
        audit(&store).await;
    }
}

/// An admission that writes to every table.
fn whole_step(pen: &mut Pen) -> AdmitStep {
    use hufu_gateway_verify::admission::{KeptEvidence, LaneDefinition};
    use hufu_schemas_core::page::DocumentKind;
    use hufu_schemas_core::statement::{Definition, VersionedName};
    use hufu_schemas_core::{Digest, lane::TagKey};

    let mut fates: Vec<_> = (0..300).map(|ahead| believed(pen.record(ahead))).collect();
    fates.push(held("mapping-unknown"));
    let first = pen.record(0);
    let definition = Definition {
        ledger: first.ledger.clone(),
        from_height: first.position.height,
        selector: serde_json::json!({}),
        decoder: VersionedName { name: "sim".into(), version: 1 },
        mapping: Digest::of(b"m"),
        schemas: vec![],
        tag_key: TagKey::from_bytes([1; 32]),
    };
    pen.state.definitions.push(LaneDefinition { sequence: 2, definition });
    let mut step = pen.admit(fates);
    let (ledger, height, hash) = (first.ledger, first.position.height, first.block_hash);
    step.evidence.push(KeptEvidence { ledger, height, hash, bytes: vec![1] });
    let json = "{}".to_owned();
    step.documents.push(crate::step::DocumentStep { kind: DocumentKind::Schema, digest: Digest::of(b"s"), json });
    step
}

/// kill -9 or a power cut at any write: the log that reached the disk ends anywhere, even inside a page. What opens is the
/// state after some whole step, and never a later one for a shorter log.
#[tokio::test]
async fn a_log_cut_anywhere_opens_as_whole_steps() {
    let folder = Folder::new();
    let store = folder.create().await;
    // A reader that stays keeps the log from being folded into the file while the test goes on.
    let mut reader = store.clone().pin().await;
    let mut pen = Pen::new("rights");
    let mut sizes = vec![0];
    for count in [3, 1, 8, 40] {
        let step = pen.records(count);
        admit(&store, step).await.unwrap();
        sizes.push(pen.state.edge.size());
    }
    let (main, wal) = (std::fs::read(folder.path()).unwrap(), std::fs::read(stats::wal(&folder.path())).unwrap());
    drop(sqlx::query("SELECT 1").fetch_one(&mut *reader).await.unwrap());
    // 32 bytes of header, then frames of 24 bytes and a page (sqlite.org/fileformat2.html, 4.1).
    let frames = (wal.len() - 32) / 4_120;
    assert!(frames > 20, "{frames} frames");
    let cuts = (0..=frames).flat_map(|frame| [32 + frame * 4_120, (32 + frame * 4_120 + 2_000).min(wal.len())]);
    let mut last = 0;
    for cut in cuts {
        let crashed = Folder::new();
        std::fs::write(crashed.path(), &main).unwrap();
        std::fs::write(stats::wal(&crashed.path()), &wal[..cut]).unwrap();
        let store = crashed.open().await;
        let size = store.lane(&pen.state.lane).await.unwrap().map_or(0, |state| state.edge.size());
        assert!(sizes.contains(&size) && size >= last, "cut at {cut}: {size} after {last}");
        assert_eq!(store.records_after(0, 500).await.unwrap().len() as u64, size, "cut at {cut}");
        audit(&store).await;
        store.close().await;
        last = size;
    }
    assert_eq!(last, pen.state.edge.size());
}

#[tokio::test]
async fn a_full_disk_stops_the_store_and_loses_nothing_that_was_answered() {
    let folder = Folder::new();
    let store = folder.create().await;
    let mut pen = Pen::new("rights");
    admit(&store, pen.records(10)).await.unwrap();
    store.limit_pages().await;
    let mut answered = pen.state.edge.size();
    let error = loop {
        match admit(&store, pen.records(100)).await {
            Ok(admitted) => answered = admitted.to,
            Err(error) => break error,
        }
        assert!(answered < 100_000, "the limit was never reached");
    };
    assert_eq!(error.reason(), "store-io", "{error}");
    assert_eq!(admit(&store, Pen::new("other").records(1)).await.unwrap_err().reason(), "store-io");
    assert_eq!(store.health().unwrap_err().reason(), "store-io");
    // Reading goes on.
    assert_eq!(store.lane(&pen.state.lane).await.unwrap().unwrap().edge.size(), answered);
    store.close().await;
    let store = folder.open().await;
    assert_eq!(store.lane(&pen.state.lane).await.unwrap().unwrap().edge.size(), answered);
    audit(&store).await;
}

#[tokio::test]
async fn another_process_that_writes_makes_it_busy_and_not_broken() {
    let folder = Folder::new();
    let store = folder.create().await;
    let mut pen = Pen::new("rights");
    store.wait_briefly().await;
    let mut other = beside(&folder).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let step = pen.records(1);
    let error = admit(&store, step.clone()).await.unwrap_err();
    assert!(error.is_transient() && error.reason() == "store-busy", "{error}");
    other.execute("ROLLBACK").await.unwrap();
    admit(&store, step).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decision_14_steps_that_wait_share_a_commit_and_fail_alone() {
    let folder = Folder::new();
    let store = folder.create().await;
    let tasks: Vec<_> = (0..120)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut pen = Pen::new(&format!("lane-{number}"));
                let mut step = pen.admit(vec![held("x")]);
                if number % 10 == 0 {
                    step.before = 5;
                }
                admit(&store, step).await
            })
        })
        .collect();
    let mut failed = 0;
    for task in tasks {
        failed += u32::from(task.await.unwrap().is_err());
    }
    assert_eq!(failed, 12);
    let stats = store.stats().await.unwrap();
    assert_eq!((stats.lanes, stats.leaves, stats.steps), (108, 108, 108));
    assert!(stats.commits < 108, "{} commits", stats.commits);
}

#[tokio::test]
async fn an_idle_store_folds_its_log_into_the_file() {
    let folder = Folder::new();
    let store = folder.create().await;
    admit(&store, Pen::new("rights").records(50)).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while store.stats().await.unwrap().wal_bytes > 0 {
        assert!(Instant::now() < deadline, "waited for the write-ahead log to be folded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    audit(&store).await;
}

/// Not a timing test: what an append writes must not grow with the lane.
#[tokio::test]
async fn an_append_after_100_000_leaves_writes_no_more_than_one_after_1_000() {
    let folder = Folder::new();
    let store = folder.create().await;
    let mut pen = Pen::new("rights");
    let fill = async |pen: &mut Pen, leaves: u64| {
        while pen.state.edge.size() < leaves {
            let some = (0..2_000.min(leaves - pen.state.edge.size()))
                .map(|_| (crate::LeafKind::Sealed, crate::step::Fate::Told));
            let step = pen.admit(some.collect());
            admit(&store, step).await.unwrap();
        }
    };
    fill(&mut pen, 1_000).await;
    let small = written_by(&store, &mut pen).await;
    fill(&mut pen, 100_000).await;
    let large = written_by(&store, &mut pen).await;
    assert!(large <= small + small / 5 + 5 * 4_120, "{small} bytes, then {large}");
    assert_eq!(store.stats().await.unwrap().leaves, 100_200);
}

/// Bytes of log that an admission of 200 leaves writes.
async fn written_by(store: &Store, pen: &mut Pen) -> u64 {
    store.fold_now().await;
    assert_eq!(store.stats().await.unwrap().wal_bytes, 0);
    let step = pen.admit((0..200).map(|_| (crate::LeafKind::Sealed, crate::step::Fate::Told)).collect());
    admit(store, step).await.unwrap();
    store.stats().await.unwrap().wal_bytes
}

#[tokio::test]
async fn the_operator_log_cannot_be_changed() {
    let folder = Folder::new();
    let store = folder.create().await;
    let act = crate::Act { who: "o".into(), at: now(), why: "w".into() };
    store.log_act("retry", "lane".into(), act).await.unwrap();
    let mut conn = beside(&folder).await;
    assert!(conn.execute("DELETE FROM operator_log").await.is_err());
    assert!(conn.execute("UPDATE operator_log SET who = 'x'").await.is_err());
    assert_eq!(store.operator_log(0, 9).await.unwrap().len(), 1);
}

/// A bare fold of many steps into many lanes, cut into admissions anyhow, is the same log.
#[test]
fn lanes_do_not_mix_however_admissions_are_cut() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    proptest!(ProptestConfig::with_cases(12), |(cuts in prop::collection::vec((0usize..3, 1u64..70), 1..14))| {
        runtime.block_on(async {
            let folder = Folder::new();
            let store = folder.create().await;
            let mut pens = ["a", "b", "c"].map(Pen::new);
            for (lane, count) in &cuts {
                // Records of the three lanes share events, as lanes of one ledger may.
                let step = pens[*lane].records(*count);
                admit(&store, step).await.unwrap();
            }
            store.close().await;
            let store = folder.open().await;
            let longest = pens.iter().map(|pen| pen.state.edge.size()).max().unwrap();
            prop_assert_eq!(store.stats().await.unwrap().last_offset > 0, longest > 0);
            for pen in &pens {
                let state = store.lane(&pen.state.lane).await.unwrap();
                prop_assert_eq!(state.map_or(0, |state| state.edge.size()), pen.state.edge.size());
            }
            let mut events = 0;
            let mut from = 0;
            loop {
                let some = store.records_after(from, 0).await.unwrap();
                let Some(last) = some.last() else { break };
                from = last.offset;
                events += some.len() as u64;
            }
            prop_assert_eq!(events, longest);
            audit(&store).await;
            Ok(())
        })?;
    });
}

/// Only this file, which injects faults, may build SQL at run time.
#[test]
fn all_sql_is_static() {
    let sources = [
        include_str!("file.rs"),
        include_str!("held.rs"),
        include_str!("kept.rs"),
        include_str!("lanes.rs"),
        include_str!("ledgers.rs"),
        include_str!("log.rs"),
        include_str!("mod.rs"),
        include_str!("names.rs"),
        include_str!("operator.rs"),
        include_str!("records.rs"),
        include_str!("sql.rs"),
        include_str!("stats.rs"),
        include_str!("writer.rs"),
    ];
    for source in sources {
        assert!(!source.contains("AssertSqlSafe"));
        assert!(!source.contains("query(\"") && !source.contains("query(&format"), "an unnamed statement");
    }
}

impl Store {
    /// A reader with a view that stays.
    async fn pin(self) -> sqlx::Transaction<'static, sqlx::Sqlite> {
        let mut reader = self.back.read().await.unwrap();
        drop(sqlx::query("SELECT count(*) FROM lane").fetch_one(&mut *reader).await.unwrap());
        reader
    }

    /// As if the disk were full 40 pages from here.
    async fn limit_pages(&self) {
        let work = self.back.write(|conn| {
            Box::pin(async move {
                let row = sqlx::query("PRAGMA page_count").fetch_one(&mut *conn).await.unwrap();
                let limit = row.try_get::<i64, _>(0).unwrap() + 40;
                conn.execute(sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {limit}"))).await.unwrap();
                Ok(())
            })
        });
        work.await.unwrap();
    }

    async fn wait_briefly(&self) {
        let work = self.back.write(|conn| {
            Box::pin(async move {
                conn.execute("PRAGMA busy_timeout = 20").await.unwrap();
                Ok(())
            })
        });
        work.await.unwrap();
    }

    /// Folds the log from beside the store, when no step is under way.
    async fn fold_now(&self) {
        let mut conn = SqliteConnectOptions::new().filename(&self.back.path).connect().await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.stats().await.unwrap().wal_bytes > 0 {
            assert!(Instant::now() < deadline, "waited for the log to be folded");
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.unwrap();
        }
        conn.close().await.unwrap();
    }
}
