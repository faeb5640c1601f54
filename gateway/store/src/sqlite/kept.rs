//! Block evidence and documents: bytes under their digests, stored once.

use std::collections::HashSet;

use hufu_gateway_verify::admission::KeptEvidence;
use hufu_schemas_core::page::DocumentKind;
use hufu_schemas_core::{BlockHash, Digest, Height, LedgerId};
use serde_json::Value;
use sqlx::SqliteConnection;

use crate::error::StoreError;
use crate::sqlite::names::LedgerIds;
use crate::sqlite::sql::{Columns, fault, int, statements};
use crate::step::DocumentStep;

statements! {
    ADD_EVIDENCE = "INSERT INTO evidence (ledger, height, hash, proved, bytes) VALUES (?,?,?,?,?) \
                    ON CONFLICT (ledger, height, hash) DO UPDATE SET proved = excluded.proved, bytes = excluded.bytes \
                    WHERE evidence.proved = 0";
    EVIDENCE = "SELECT e.bytes FROM evidence e JOIN ledger l ON l.id = e.ledger \
                WHERE l.ledger = ? AND e.height = ? AND e.hash = ?";
    ADD_DOCUMENT = "INSERT INTO document (kind, digest, json) VALUES (?,?,?) ON CONFLICT DO NOTHING";
    DOCUMENT = "SELECT json FROM document WHERE kind = ? AND digest = ?";
}

const fn kind_text(kind: DocumentKind) -> &'static str {
    match kind {
        DocumentKind::Mapping => "mapping",
        DocumentKind::Schema => "schema",
    }
}

/// Keeps evidence of blocks. A peer could send bad bytes with a leaf that is then held; so what proved a record stays, and
/// what proved nothing yet gives way.
pub(crate) async fn add_evidence(
    conn: &mut SqliteConnection,
    ids: &mut LedgerIds,
    evidence: Vec<KeptEvidence>,
    proved: &HashSet<BlockHash>,
) -> Result<(), StoreError> {
    for kept in evidence {
        let ledger = ids.of(&mut *conn, &kept.ledger).await?;
        let query = sqlx::query(ADD_EVIDENCE).bind(ledger).bind(int(kept.height.get())?);
        let query = query.bind(kept.hash.as_bytes().as_slice().to_vec()).bind(proved.contains(&kept.hash));
        let query = query.bind(kept.bytes);
        query.execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(())
}

/// Evidence of one block.
pub(crate) async fn evidence(
    conn: &mut SqliteConnection,
    ledger: &LedgerId,
    height: Height,
    hash: &BlockHash,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Ok(height) = int(height.get()) else { return Ok(None) };
    let query = sqlx::query(EVIDENCE).bind(ledger.as_str()).bind(height).bind(hash.as_bytes().as_slice().to_vec());
    let row = query.fetch_optional(conn).await.map_err(fault)?;
    row.map(|row| row.col("bytes")).transpose()
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
