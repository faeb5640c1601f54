//! Pages of published lanes: what the store holds, put together within the limits of a page.

use std::collections::BTreeMap;

use hufu_gateway_store::{Store, StoreError};
use hufu_gateway_verify::admission::LaneState;
use hufu_schemas_core::limits::PageLimits;
use hufu_schemas_core::merkle::{Nodes, consistency_proof, nodes_needed};
use hufu_schemas_core::page::{Document, DocumentKind, OpenedLeaf, Page, PageBlock, SeenProof};
use hufu_schemas_core::statement::{Definition, Leaf, Statement};
use hufu_schemas_core::{Digest, Height, LaneId};

/// A page stays well under [`PageLimits::bytes`]: base64 adds a third, JSON a little more.
const EVIDENCE_BYTES: usize = PageLimits::DEFAULT.bytes / 2;

/// Builds the page of `lane` from leaf `from` on, at most `limit` leaves. `None` when no signed leaf is there.
pub(crate) async fn build(
    store: &Store,
    state: &LaneState,
    from: u64,
    limit: usize,
    seen: Option<u64>,
) -> Result<Option<Page>, StoreError> {
    let Some((checkpoint, note)) = &state.seen else { return Ok(None) };
    let room = u64::try_from(limit.min(PageLimits::DEFAULT.entries)).unwrap_or(1).max(1);
    if from >= checkpoint.size {
        return Ok(None);
    }
    let wanted = room.min(checkpoint.size - from);
    let leaves = store.leaves(&state.lane, from, u32::try_from(wanted).unwrap_or(u32::MAX)).await?;
    let mut page = Page {
        page: 1,
        lane: state.lane.clone(),
        from,
        entries: Vec::new(),
        opened: Vec::new(),
        blocks: Vec::new(),
        documents: Vec::new(),
        checkpoint: note.clone(),
        join: Vec::new(),
        seen: None,
    };
    let mut blocks: BTreeMap<Height, PageBlock> = BTreeMap::new();
    let mut bytes = 0usize;
    for leaf in leaves {
        let text = leaf.statement.unwrap_or_default();
        let statement = Statement::parse(text.as_bytes()).map_err(corrupt)?;
        bytes = bytes.saturating_add(text.len() + 256);
        if let Leaf::Record(record) = statement.leaf() {
            let (ledger, height, hash) =
                (&record.origin.ledger, record.origin.position.height, record.origin.block_hash);
            if !blocks.contains_key(&height)
                && let Some(evidence) = store.evidence(ledger, height, &hash).await?
            {
                let more = bytes.saturating_add(evidence.len() / 3 * 4);
                if (more > EVIDENCE_BYTES || blocks.len() >= PageLimits::DEFAULT.blocks) && !page.entries.is_empty() {
                    break;
                }
                bytes = more;
                blocks.insert(height, PageBlock { height, hash, evidence });
            }
        }
        if let Leaf::Definition(definition) = statement.leaf() {
            page.documents.extend(documents(store, definition).await?);
        }
        if bytes > EVIDENCE_BYTES && !page.entries.is_empty() {
            break;
        }
        page.entries.push(leaf.entry);
        page.opened.push(OpenedLeaf { index: leaf.index, statement: text, record: None });
    }
    if page.entries.is_empty() {
        return Ok(None);
    }
    page.blocks = blocks.into_values().collect();
    page.join = consistency(store, &state.lane, page.to(), checkpoint.size).await?;
    // A checkpoint the receiver saw beyond this page cannot be checked by the leaves: prove it.
    if let Some(size) = seen.filter(|size| *size > page.to() && *size <= checkpoint.size) {
        page.seen = Some(SeenProof { size, proof: consistency(store, &state.lane, size, checkpoint.size).await? });
    }
    Ok(Some(page))
}

/// The mapping and the payload schemas that a definition names; schemas built into every gateway need not travel.
pub(crate) async fn documents(store: &Store, definition: &Definition) -> Result<Vec<Document>, StoreError> {
    let mut found = Vec::new();
    let mapping = (DocumentKind::Mapping, definition.mapping);
    let schemas = definition.schemas.iter().map(|schema| (DocumentKind::Schema, schema.content_id));
    for (kind, digest) in std::iter::once(mapping).chain(schemas) {
        if let Some(json) = store.document(kind, &digest).await? {
            found.push(Document { kind, digest, json });
        }
    }
    Ok(found)
}

/// A consistency proof out of the stored nodes; empty for equal sizes.
pub(crate) async fn consistency(store: &Store, lane: &LaneId, old: u64, new: u64) -> Result<Vec<Digest>, StoreError> {
    let needed = nodes_needed(|nodes| consistency_proof(nodes, old, new));
    let kept = store.nodes(lane, &needed).await?;
    consistency_proof(&Kept(kept), old, new).ok_or_else(|| missing(lane))
}

/// An inclusion proof out of the stored nodes.
pub(crate) async fn inclusion(store: &Store, lane: &LaneId, index: u64, size: u64) -> Result<Vec<Digest>, StoreError> {
    let make = |nodes: &dyn Nodes| hufu_schemas_core::merkle::inclusion_proof(nodes, index, size);
    let needed = nodes_needed(make);
    let kept = store.nodes(lane, &needed).await?;
    make(&Kept(kept)).ok_or_else(|| missing(lane))
}

fn missing(lane: &LaneId) -> StoreError {
    corrupt(format!("lane {lane}: a node of the tree is missing"))
}

fn corrupt(detail: impl ToString) -> StoreError {
    StoreError::Corrupt { detail: detail.to_string() }
}

struct Kept(std::collections::HashMap<hufu_schemas_core::merkle::NodeId, Digest>);

impl Nodes for Kept {
    fn node(&self, id: hufu_schemas_core::merkle::NodeId) -> Option<Digest> {
        self.0.get(&id).copied()
    }
}
