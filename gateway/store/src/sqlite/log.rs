//! Leaves of lanes and the nodes of their trees.
//!
//! A leaf is one row; the hash of a subtree below [`KEPT_FROM`] is recomputed from at most 128 entries, so the tree costs
//! one row in 128 leaves on disk and nothing while appending.

use std::collections::HashMap;

use hufu_schemas_core::lane::{ENTRY_BYTES, Entry};
use hufu_schemas_core::merkle::{Edge, NodeId};
use hufu_schemas_core::{Digest, LaneId};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;
use crate::model::{LeafKind, Offset, StoredLeaf};
use crate::sqlite::sql::{Columns, collect_within, fault, insert_rows, int, rows_32, statements, wrong};
use crate::sqlite::{ANSWER_BYTES, names};
use crate::step::LeafStep;

statements! {
    ADD_LEAF = "INSERT INTO leaf (lane, idx, kind, entry, statement, record) VALUES (?,?,?,?,?,?)";
    ADD_LEAVES = concat!(
        "INSERT INTO leaf (lane, idx, kind, entry, statement, record) VALUES ", rows_32!("(?,?,?,?,?,?)"));
    ADD_NODE = "INSERT INTO node (lane, level, idx, hash) VALUES (?,?,?,?)";
    LEAVES = "SELECT idx, kind, entry, statement, record FROM leaf WHERE lane = ? AND idx >= ? ORDER BY idx LIMIT ?";
    ENTRIES = "SELECT idx, entry FROM leaf WHERE lane = ? AND idx >= ? ORDER BY idx LIMIT ?";
    NODE = "SELECT hash FROM node WHERE lane = ? AND level = ? AND idx = ?";
    LINK = "UPDATE leaf SET record = ? WHERE lane = ? AND idx = ?";
}

/// Lowest level whose nodes are kept: subtrees of 256 leaves.
pub(crate) const KEPT_FROM: u8 = 8;
/// Most leaves of one answer: as many as a page holds.
const LEAVES_MOST: u32 = 4_096;
/// Most nodes of one answer: two proofs of 64 hashes ask for fewer.
const NODES_MOST: usize = 4_096;

/// Appends leaves, whose indices follow the edge: rows, kept nodes, and the edge after. `records` holds the offset for each leaf.
pub(crate) async fn append(
    conn: &mut SqliteConnection,
    lane: i64,
    edge: &mut Edge,
    leaves: Vec<LeafStep>,
    records: &[Option<Offset>],
) -> Result<(), StoreError> {
    let mut nodes = Vec::new();
    let mut rows = Vec::with_capacity(leaves.len());
    for (leaf, record) in leaves.into_iter().zip(records) {
        nodes.extend(edge.append(leaf.entry.leaf_hash()).into_iter().filter(|(id, _)| id.level >= KEPT_FROM));
        rows.push((int(leaf.index)?, leaf, *record));
    }
    insert_rows(&mut *conn, ADD_LEAF, ADD_LEAVES, &rows, |query, (index, leaf, record)| {
        let query = query.bind(lane).bind(*index).bind(leaf.kind.as_str()).bind(leaf.entry.to_bytes().to_vec());
        query.bind(leaf.statement.clone()).bind(*record)
    })
    .await?;
    for (id, hash) in nodes {
        let query = sqlx::query(ADD_NODE).bind(lane).bind(i64::from(id.level)).bind(int(id.index)?);
        query.bind(hash.as_bytes().as_slice().to_vec()).execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(())
}

/// Ties a leaf to the record that stands for its event.
pub(crate) async fn link(conn: &mut SqliteConnection, lane: i64, index: u64, record: Offset) -> Result<(), StoreError> {
    let query = sqlx::query(LINK).bind(record).bind(lane).bind(int(index)?);
    query.execute(conn).await.map(drop).map_err(fault)
}

/// Leaves from an index on.
pub(crate) async fn leaves(
    conn: &mut SqliteConnection,
    lane: &LaneId,
    from: u64,
    limit: u32,
) -> Result<Vec<StoredLeaf>, StoreError> {
    let Some(lane) = names::lane(&mut *conn, lane).await? else { return Ok(Vec::new()) };
    let Ok(from) = int(from) else { return Ok(Vec::new()) };
    let rows = sqlx::query(LEAVES).bind(lane).bind(from).bind(limit.min(LEAVES_MOST)).fetch(conn);
    Ok(collect_within(rows, ANSWER_BYTES, read_leaf).await?.0)
}

fn read_leaf(row: &SqliteRow) -> Result<(StoredLeaf, usize), StoreError> {
    let kind: &str = row.col("kind")?;
    let kind = LeafKind::parse(kind).ok_or_else(|| wrong("kind", "a kind of leaf", kind))?;
    let statement: Option<String> = row.col("statement")?;
    let size = statement.as_ref().map_or(0, String::len) + ENTRY_BYTES;
    let (index, entry, record) = (row.u64("idx")?, read_entry(row)?, row.col("record")?);
    Ok((StoredLeaf { index, entry, statement, kind, record }, size))
}

/// The 64 bytes of an entry.
pub(crate) fn read_entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    let bytes: &[u8] = row.col("entry")?;
    let bytes: &[u8; ENTRY_BYTES] = bytes.try_into().map_err(|_| wrong("entry", "64 bytes", bytes.len()))?;
    Ok(Entry::from_bytes(bytes))
}

/// Entries from an index on.
pub(crate) async fn entries(
    conn: &mut SqliteConnection,
    lane: &LaneId,
    from: u64,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let Some(lane) = names::lane(&mut *conn, lane).await? else { return Ok(Vec::new()) };
    entries_of(conn, lane, from, limit.min(LEAVES_MOST)).await
}

async fn entries_of(conn: &mut SqliteConnection, lane: i64, from: u64, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let Ok(first) = int(from) else { return Ok(Vec::new()) };
    let rows = sqlx::query(ENTRIES).bind(lane).bind(first).bind(limit).fetch_all(conn).await.map_err(fault)?;
    let mut entries = Vec::with_capacity(rows.len());
    for (row, index) in rows.iter().zip(from..) {
        let got = row.u64("idx")?;
        if got != index {
            return Err(StoreError::corrupt(format!("lane {lane}: expected leaf {index}, got {got}")));
        }
        entries.push(read_entry(row)?);
    }
    Ok(entries)
}

/// Hashes of complete subtrees. What the lane does not hold yet is left out.
pub(crate) async fn nodes(
    conn: &mut SqliteConnection,
    lane: &LaneId,
    ids: &[NodeId],
) -> Result<HashMap<NodeId, Digest>, StoreError> {
    if ids.len() > NODES_MOST {
        return Err(StoreError::refused("nodes", format!("at most {NODES_MOST}"), ids.len()));
    }
    let mut found = HashMap::with_capacity(ids.len());
    let Some(lane) = names::lane(&mut *conn, lane).await? else { return Ok(found) };
    for id in ids {
        let hash = match id.level {
            level if level < KEPT_FROM => recompute(&mut *conn, lane, *id).await?,
            _ => kept(&mut *conn, lane, *id).await?,
        };
        found.extend(hash.map(|hash| (*id, hash)));
    }
    Ok(found)
}

async fn kept(conn: &mut SqliteConnection, lane: i64, id: NodeId) -> Result<Option<Digest>, StoreError> {
    let Ok(index) = int(id.index) else { return Ok(None) };
    let query = sqlx::query(NODE).bind(lane).bind(i64::from(id.level)).bind(index);
    let row = query.fetch_optional(conn).await.map_err(fault)?;
    row.map(|row| row.digest("hash")).transpose()
}

/// The root of 2^level entries, level < [`KEPT_FROM`].
async fn recompute(conn: &mut SqliteConnection, lane: i64, id: NodeId) -> Result<Option<Digest>, StoreError> {
    let leaves = 1u32 << id.level;
    let Some(from) = id.index.checked_mul(u64::from(leaves)) else { return Ok(None) };
    let entries = entries_of(conn, lane, from, leaves).await?;
    if entries.len() != usize::try_from(leaves).unwrap_or(usize::MAX) {
        return Ok(None);
    }
    let mut edge = Edge::empty();
    for entry in &entries {
        edge.append(entry.leaf_hash());
    }
    Ok(Some(edge.root()))
}
