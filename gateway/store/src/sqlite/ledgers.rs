//! Heads, trusted blocks and steps of ledgers (design, decisions 8 and 9).

use hufu_adapters_light_client::{ClientVersion, Step, StoredHead, TrustedBlock};
use hufu_schemas_core::{BlockHash, Digest, Height, LedgerId};
use serde_json::Value;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;
use crate::model::{Act, LedgerAdvance, LedgerRow, Undone};
use crate::sqlite::sql::{Columns, collect_within, fault, insert_rows, int, rows_32, statements};
use crate::sqlite::{ANSWER_BYTES, names, operator};

statements! {
    HEAD = "SELECT client, client_version, head, final_height, frozen FROM ledger WHERE ledger = ? AND head IS NOT NULL";
    LEDGERS = "SELECT ledger FROM ledger WHERE head IS NOT NULL ORDER BY ledger";
    SET_HEAD = "UPDATE ledger SET client = ?, client_version = ?, head = ?, final_height = ? WHERE id = ?";
    SET_FROZEN = "UPDATE ledger SET frozen = ? WHERE id = ?";
    BLOCK = "SELECT b.bytes FROM trusted_block b JOIN ledger l ON l.id = b.ledger WHERE l.ledger = ? AND b.height = ?";
    BLOCKS = "SELECT b.bytes FROM trusted_block b JOIN ledger l ON l.id = b.ledger \
              WHERE l.ledger = ? AND b.height >= ? ORDER BY b.height LIMIT ?";
    BLOCK_HASH = "SELECT hash FROM trusted_block WHERE ledger = ? AND height = ?";
    ADD_BLOCK = "INSERT INTO trusted_block (ledger, height, hash, bytes) VALUES (?,?,?,?)";
    DROP_BLOCKS = "DELETE FROM trusted_block WHERE ledger = ? AND height >= ?";
    STEPS = "SELECT s.height, s.bytes FROM step s JOIN ledger l ON l.id = s.ledger \
             WHERE l.ledger = ? AND s.height >= ? ORDER BY s.height LIMIT ?";
    ADD_STEP = "INSERT INTO step (ledger, height, bytes) VALUES (?,?,?)";
    ADD_STEPS = concat!("INSERT INTO step (ledger, height, bytes) VALUES ", rows_32!("(?,?,?)"));
    UNDONE = "INSERT INTO undone_block (ledger, height, hash, bytes, act) \
              SELECT ledger, height, hash, bytes, ?3 FROM trusted_block WHERE ledger = ?1 AND height >= ?2 ORDER BY height";
    UNDONE_BLOCKS = "SELECT u.id, u.bytes FROM undone_block u JOIN ledger l ON l.id = u.ledger \
                     WHERE l.ledger = ? AND u.id > ? ORDER BY u.id LIMIT ?";
    LAST_UNDONE = "SELECT coalesce(max(u.id), 0) AS last FROM undone_block u JOIN ledger l ON l.id = u.ledger \
                   WHERE l.ledger = ?";
    WAS_UNDONE = "SELECT EXISTS (SELECT 1 FROM undone_block u JOIN ledger l ON l.id = u.ledger \
                  WHERE l.ledger = ? AND u.height = ? AND u.hash = ?) AS found";
    DROP_STEPS = "DELETE FROM step WHERE ledger = ? AND height > ?";
}

/// Most blocks or steps of one answer.
const ROWS_MOST: u32 = 4_096;

/// The head.
pub(crate) async fn head(conn: &mut SqliteConnection, ledger: &LedgerId) -> Result<Option<LedgerRow>, StoreError> {
    let row = sqlx::query(HEAD).bind(ledger.as_str()).fetch_optional(conn).await.map_err(fault)?;
    row.map(|row| read_head(&row)).transpose()
}

fn read_head(row: &SqliteRow) -> Result<LedgerRow, StoreError> {
    let client = ClientVersion { name: row.col("client")?, version: row.u32("client_version")? };
    Ok(LedgerRow {
        head: StoredHead { client, bytes: row.col("head")? },
        final_to: row.u64_or_null("final_height")?.map(Height::new),
        frozen: row.col("frozen")?,
    })
}

/// Ledgers with a head.
pub(crate) async fn ledgers(conn: &mut SqliteConnection) -> Result<Vec<LedgerId>, StoreError> {
    let rows = sqlx::query(LEDGERS).fetch_all(conn).await.map_err(fault)?;
    rows.iter().map(|row| row.ledger("ledger")).collect()
}

/// Moves the head by compare-and-swap, with its blocks and steps.
pub(crate) async fn advance(conn: &mut SqliteConnection, step: LedgerAdvance) -> Result<(), StoreError> {
    let stored = head(&mut *conn, &step.ledger).await?;
    if let Some(why) = stored.as_ref().and_then(|row| row.frozen.clone()) {
        return Err(StoreError::Frozen { subject: step.ledger.to_string(), why });
    }
    let got = stored.as_ref().map(|row| row.head.digest());
    if got != step.expected {
        return Err(StoreError::conflict("ledger head", named(step.expected), named(got)));
    }
    let ledger = names::ledger_or_new(&mut *conn, &step.ledger).await?;
    let mut settled = stored.and_then(|row| row.final_to);
    if let Some(undone) = &step.undone {
        undo(&mut *conn, ledger, &step, undone, settled).await?;
        settled = undone.from.get().checked_sub(1).map(Height::new);
    }
    for block in &step.blocks {
        add_block(&mut *conn, ledger, &step.ledger, block).await?;
    }
    replace_tail(&mut *conn, ledger, settled, &step.steps).await?;
    set_head(conn, ledger, &step.head, settled.max(step.final_to)).await
}

/// Makes room for the branch that holds now. What is undone is kept aside for auditors, and the operator log says so.
async fn undo(
    conn: &mut SqliteConnection,
    ledger: i64,
    step: &LedgerAdvance,
    undone: &Undone,
    settled: Option<Height>,
) -> Result<(), StoreError> {
    if settled.is_none_or(|settled| undone.from > settled) {
        let expected = format!("a height up to {}", settled.map_or(0, Height::get));
        return Err(StoreError::refused("reorganisation", expected, undone.from));
    }
    let from = int(undone.from.get())?;
    let artefacts = serde_json::json!({ "from": undone.from, "to": settled, "headBefore": step.expected });
    let act =
        operator::log(&mut *conn, &undone.act, "reorganise-ledger", step.ledger.as_str(), Some(&artefacts)).await?;
    sqlx::query(UNDONE).bind(ledger).bind(from).bind(act).execute(&mut *conn).await.map_err(fault)?;
    sqlx::query(DROP_BLOCKS).bind(ledger).bind(from).execute(conn).await.map(drop).map_err(fault)
}

/// Blocks that reorganisations undid, after a place in their list.
pub(crate) async fn undone_blocks(
    conn: &mut SqliteConnection,
    ledger: &LedgerId,
    after: i64,
    limit: u32,
) -> Result<Vec<(i64, TrustedBlock)>, StoreError> {
    let rows = sqlx::query(UNDONE_BLOCKS).bind(ledger.as_str()).bind(after).bind(limit.min(ROWS_MOST)).fetch(conn);
    let read = |row: &SqliteRow| {
        let (block, size) = read_block(row)?;
        Ok(((row.col("id")?, block), size))
    };
    Ok(collect_within(rows, ANSWER_BYTES, read).await?.0)
}

/// Whether a reorganisation ever undid this block.
pub(crate) async fn was_undone(
    conn: &mut SqliteConnection,
    ledger: &LedgerId,
    height: Height,
    hash: &BlockHash,
) -> Result<bool, StoreError> {
    let Ok(height) = int(height.get()) else { return Ok(false) };
    let query = sqlx::query(WAS_UNDONE).bind(ledger.as_str()).bind(height).bind(hash.as_bytes().as_slice().to_vec());
    query.fetch_one(conn).await.map_err(fault)?.col("found")
}

/// The last place in that list; 0 where the ledger never reorganised.
pub(crate) async fn last_undone(conn: &mut SqliteConnection, ledger: &LedgerId) -> Result<i64, StoreError> {
    let row = sqlx::query(LAST_UNDONE).bind(ledger.as_str()).fetch_one(conn).await.map_err(fault)?;
    row.col("last")
}

fn named(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "none".to_owned(), |digest| digest.to_hex())
}

async fn set_head(
    conn: &mut SqliteConnection,
    ledger: i64,
    head: &StoredHead,
    settled: Option<Height>,
) -> Result<(), StoreError> {
    let query = sqlx::query(SET_HEAD).bind(head.client.name.as_str()).bind(head.client.version);
    let query = query.bind(head.bytes.as_str()).bind(settled.map(|height| int(height.get())).transpose()?).bind(ledger);
    query.execute(conn).await.map(drop).map_err(fault)
}

/// A second block of one height is never stored: which one to believe is an operator's question.
async fn add_block(
    conn: &mut SqliteConnection,
    ledger: i64,
    name: &LedgerId,
    block: &TrustedBlock,
) -> Result<(), StoreError> {
    if block.ledger() != name {
        return Err(StoreError::refused("trusted block", name, block.ledger()));
    }
    let height = int(block.height().get())?;
    let known = sqlx::query(BLOCK_HASH).bind(ledger).bind(height).fetch_optional(&mut *conn).await.map_err(fault)?;
    if let Some(row) = known {
        let hash = row.digest("hash")?;
        if hash.as_bytes() == block.hash().as_bytes() {
            return Ok(());
        }
        let what = "trusted block";
        return Err(StoreError::refused(what, format!("{hash} at height {}", block.height()), block.hash()));
    }
    let query = sqlx::query(ADD_BLOCK).bind(ledger).bind(height).bind(block.hash().as_bytes().as_slice().to_vec());
    query.bind(block.to_stored()).execute(conn).await.map(drop).map_err(fault)
}

/// Final steps stay for ever; what stood above them is the tail, and gives way to the new one from where that begins: a
/// light client whose blocks trail its head goes on above a tail that holds. Steps at or below the final height were
/// passed over by the light client, so they are not looked at here either.
async fn replace_tail(
    conn: &mut SqliteConnection,
    ledger: i64,
    settled: Option<Height>,
    steps: &[Step],
) -> Result<(), StoreError> {
    let Some(first) = steps.iter().map(|step| step.height).find(|height| settled.is_none_or(|keep| *height > keep))
    else {
        return Ok(());
    };
    let keep = settled.map_or(Ok(-1), |height| int(height.get()))?;
    let below = int(first.get())? - 1;
    sqlx::query(DROP_STEPS).bind(ledger).bind(below).execute(&mut *conn).await.map_err(fault)?;
    let mut rows = Vec::with_capacity(steps.len());
    let mut last = keep;
    for step in steps {
        let height = int(step.height.get())?;
        if height <= keep {
            continue;
        }
        if height <= last {
            return Err(StoreError::refused("steps", format!("a height above {last}"), height));
        }
        last = height;
        rows.push((height, step.bytes.as_slice()));
    }
    insert_rows(conn, ADD_STEP, ADD_STEPS, &rows, |query, (height, bytes)| {
        query.bind(ledger).bind(*height).bind(bytes.to_vec())
    })
    .await
}

/// One trusted block.
pub(crate) async fn trusted_block(
    conn: &mut SqliteConnection,
    ledger: &LedgerId,
    height: Height,
) -> Result<Option<TrustedBlock>, StoreError> {
    let Ok(height) = int(height.get()) else { return Ok(None) };
    let row = sqlx::query(BLOCK).bind(ledger.as_str()).bind(height).fetch_optional(conn).await.map_err(fault)?;
    row.map(|row| read_block(&row).map(|(block, _)| block)).transpose()
}

/// Trusted blocks from a height on.
pub(crate) async fn trusted_blocks(
    conn: &mut SqliteConnection,
    ledger: &LedgerId,
    from: Height,
    limit: u32,
) -> Result<Vec<TrustedBlock>, StoreError> {
    let Ok(from) = int(from.get()) else { return Ok(Vec::new()) };
    let rows = sqlx::query(BLOCKS).bind(ledger.as_str()).bind(from).bind(limit.min(ROWS_MOST)).fetch(conn);
    Ok(collect_within(rows, ANSWER_BYTES, read_block).await?.0)
}

fn read_block(row: &SqliteRow) -> Result<(TrustedBlock, usize), StoreError> {
    let bytes: &[u8] = row.col("bytes")?;
    Ok((TrustedBlock::from_stored(bytes).map_err(StoreError::corrupt)?, bytes.len()))
}

/// Steps from a height on without a gap.
pub(crate) async fn steps(
    conn: &mut SqliteConnection,
    ledger: &LedgerId,
    from: Height,
    limit: u32,
) -> Result<Vec<Step>, StoreError> {
    let Ok(first) = int(from.get()) else { return Ok(Vec::new()) };
    let rows = sqlx::query(STEPS).bind(ledger.as_str()).bind(first).bind(limit.min(ROWS_MOST)).fetch(conn);
    let read = |row: &SqliteRow| {
        let bytes: Vec<u8> = row.col("bytes")?;
        let size = bytes.len();
        Ok((Step { height: row.height("height")?, bytes }, size))
    };
    let (all, _) = collect_within(rows, ANSWER_BYTES, read).await?;
    let consecutive = |(step, height): &(Step, u64)| step.height.get() == *height;
    Ok(all.into_iter().zip(from.get()..).take_while(consecutive).map(|(step, _)| step).collect())
}

/// Stops all movement of a ledger's head.
pub(crate) async fn freeze(
    conn: &mut SqliteConnection,
    ledger: &LedgerId,
    act: &Act,
    artefacts: Value,
) -> Result<(), StoreError> {
    set_frozen(&mut *conn, ledger, Some(&act.why)).await?;
    operator::log(conn, act, "freeze-ledger", ledger.as_str(), Some(&artefacts)).await.map(drop)
}

/// Lets the head move again.
pub(crate) async fn thaw(conn: &mut SqliteConnection, ledger: &LedgerId, act: &Act) -> Result<(), StoreError> {
    set_frozen(&mut *conn, ledger, None).await?;
    operator::log(conn, act, "thaw-ledger", ledger.as_str(), None).await.map(drop)
}

async fn set_frozen(conn: &mut SqliteConnection, ledger: &LedgerId, why: Option<&str>) -> Result<(), StoreError> {
    let id = known(&mut *conn, ledger).await?;
    let query = sqlx::query(SET_FROZEN).bind(why.map(str::to_owned)).bind(id);
    query.execute(conn).await.map(drop).map_err(fault)
}

async fn known(conn: &mut SqliteConnection, ledger: &LedgerId) -> Result<i64, StoreError> {
    let id = names::ledger(conn, ledger).await?;
    id.ok_or_else(|| StoreError::refused("ledger", "a ledger that this gateway knows", ledger))
}

/// Puts an operator's head in place of the stored one. From the anchor's height on nothing of the old view is kept: the
/// operator may have left that branch.
pub(crate) async fn reanchor(
    conn: &mut SqliteConnection,
    ledger: &LedgerId,
    anchor: Height,
    head_after: &StoredHead,
    act: &Act,
) -> Result<(), StoreError> {
    let before = head(&mut *conn, ledger).await?;
    let id = names::ledger_or_new(&mut *conn, ledger).await?;
    let settled = anchor.get().checked_sub(1).map(Height::new);
    let keep = settled.min(before.as_ref().and_then(|row| row.final_to));
    let keep = keep.map_or(Ok(-1), |height| int(height.get()))?;
    let anchor = int(anchor.get())?;
    sqlx::query(DROP_STEPS).bind(id).bind(keep).execute(&mut *conn).await.map_err(fault)?;
    sqlx::query(DROP_BLOCKS).bind(id).bind(anchor).execute(&mut *conn).await.map_err(fault)?;
    set_head(&mut *conn, id, head_after, settled).await?;
    let replaced = before.map(|row| serde_json::json!({ "before": row.head, "after": head_after }));
    operator::log(conn, act, "reanchor-ledger", ledger.as_str(), replaced.as_ref()).await.map(drop)
}
