//! Block evidence, by lane, and documents, under their digests.

use std::collections::HashSet;

use hufu_gateway_verify::admission::KeptEvidence;
use hufu_schemas_core::page::DocumentKind;
use hufu_schemas_core::{BlockHash, Digest, Height, LaneId};
use serde_json::Value;
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;
use crate::sqlite::ANSWER_BYTES;
use crate::sqlite::sql::{Columns, collect_within, fault, int, statements};
use crate::step::DocumentStep;

statements! {
    ADD_EVIDENCE = "INSERT INTO evidence (lane, height, hash, proved, bytes) VALUES (?,?,?,?,?) \
                    ON CONFLICT (lane, height, hash) DO UPDATE SET proved = excluded.proved, bytes = excluded.bytes \
                    WHERE evidence.proved = 0";
    EVIDENCE = "SELECT e.bytes FROM evidence e JOIN lane n ON n.id = e.lane \
                WHERE n.lane = ? AND e.height = ? AND e.hash = ?";
    BETWEEN = "SELECT e.height, e.hash, e.bytes FROM evidence e JOIN lane n ON n.id = e.lane \
               WHERE n.lane = ? AND e.height BETWEEN ? AND ? ORDER BY e.height LIMIT 1024";
    ADD_DOCUMENT = "INSERT INTO document (kind, digest, json) VALUES (?,?,?) ON CONFLICT DO NOTHING";
    DOCUMENT = "SELECT json FROM document WHERE kind = ? AND digest = ?";
}

const fn kind_text(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Mapping => "mapping",
        DocumentKind::Schema => "schema",
    }
}

/// Keeps evidence of blocks, for one lane: what its definition asks of a block another's may not. A peer could send bad bytes with a leaf that is then held; so what proved a record stays, and
/// what proved nothing yet gives way.
pub(crate) async fn add_evidence(
    conn: &mut SqliteConnection,
    lane: i64,
    evidence: Vec<KeptEvidence>,
    proved: &HashSet<BlockHash>,
) -> Result<(), StoreError> {
    for kept in evidence {
        let query = sqlx::query(ADD_EVIDENCE).bind(lane).bind(int(kept.height.get())?);
        let query = query.bind(kept.hash.as_bytes().as_slice().to_vec()).bind(proved.contains(&kept.hash));
        let query = query.bind(kept.bytes);
        query.execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(())
}

/// Evidence of one block.
pub(crate) async fn evidence(
    conn: &mut SqliteConnection,
    lane: &LaneId,
    height: Height,
    hash: &BlockHash,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Ok(height) = int(height.get()) else { return Ok(None) };
    let query = sqlx::query(EVIDENCE).bind(lane.to_string()).bind(height).bind(hash.as_bytes().as_slice().to_vec());
    let row = query.fetch_optional(conn).await.map_err(fault)?;
    row.map(|row| row.col("bytes")).transpose()
}

/// Height, identity and evidence of a block.
type OfBlock = (Height, BlockHash, Vec<u8>);

/// Evidence of a range of blocks.
pub(crate) async fn evidence_between(
    conn: &mut SqliteConnection,
    lane: &LaneId,
    from: Height,
    to: Height,
) -> Result<Vec<OfBlock>, StoreError> {
    let (Ok(from), Ok(to)) = (int(from.get()), int(to.get())) else { return Ok(Vec::new()) };
    let rows = sqlx::query(BETWEEN).bind(lane.to_string()).bind(from).bind(to).fetch(conn);
    Ok(collect_within(rows, ANSWER_BYTES, read_between).await?.0)
}

fn read_between(row: &SqliteRow) -> Result<(OfBlock, usize), StoreError> {
    let bytes: Vec<u8> = row.col("bytes")?;
    let (hash, size) = (BlockHash::from_bytes(*row.digest("hash")?.as_bytes()), bytes.len());
    Ok(((row.height("height")?, hash, bytes), size))
}

/// Keeps documents; what is there already stays.
pub(crate) async fn add_documents(conn: &mut SqliteConnection, documents: Vec<DocumentStep>) -> Result<(), StoreError> {
    for document in documents {
        let query = sqlx::query(ADD_DOCUMENT).bind(kind_text(document.kind));
        let query = query.bind(document.digest.as_bytes().as_slice().to_vec()).bind(document.json);
        query.execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(())
}

/// A document under its digest.
pub(crate) async fn document(
    conn: &mut SqliteConnection,
    kind: DocumentKind,
    digest: &Digest,
) -> Result<Option<Value>, StoreError> {
    let query = sqlx::query(DOCUMENT).bind(kind_text(kind)).bind(digest.as_bytes().as_slice().to_vec());
    let row = query.fetch_optional(conn).await.map_err(fault)?;
    let text: Option<String> = row.map(|row| row.col("json")).transpose()?;
    text.map(|text| serde_json::from_str(&text).map_err(StoreError::corrupt)).transpose()
}
