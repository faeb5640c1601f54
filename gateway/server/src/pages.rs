//! Pages of published lanes: what the store holds, put together within the limits of a page.

use std::collections::BTreeMap;

use hufu_gateway_store::{Store, StoreError};
use hufu_gateway_verify::admission::LaneState;
use hufu_schemas_core::limits::PageLimits;
use hufu_schemas_core::merkle::{Nodes, consistency_proof, nodes_needed};
use hufu_schemas_core::page::{Document, DocumentKind, OpenedLeaf, Page, PageBlock, SeenProof};
use hufu_schemas_core::statement::{Definition, Leaf, Statement};
use hufu_schemas_core::{BlockHash, Digest, Height, LaneId, LedgerId};

/// A page stays well under [`PageLimits::bytes`]: base64 adds a third, JSON a little more.
const EVIDENCE_BYTES: usize = PageLimits::DEFAULT.bytes / 2;
/// Leaves read at a time to find the last one before a page that is about a block; nearly always the very last.
const LOOK_BACK: u64 = 8;

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
    let (mut bytes, mut takes_back) = (0usize, false);
    let mut reach = Reach::before(store, &state.lane, from).await?;
    for leaf in leaves {
        let text = leaf.statement.unwrap_or_default();
        let statement = Statement::parse(text.as_bytes()).map_err(corrupt)?;
        // A page carries one block a height: leaves of another branch begin another page.
        let speaks_of_a_block = matches!(statement.leaf(), Leaf::Record(_) | Leaf::Skipped(_) | Leaf::Covered(_));
        if takes_back && speaks_of_a_block {
            break;
        }
        takes_back |= matches!(statement.leaf(), Leaf::Retract(_));
        bytes = bytes.saturating_add(text.len() + 256);
        let needed = match reach.to_be_judged(statement.leaf()) {
            Some(stretch) => stretch.evidence(store, &state.lane, &blocks).await?,
            None => Vec::new(),
        };
        let more = needed.iter().fold(bytes, |sum, block| sum.saturating_add(block.evidence.len() / 3 * 4));
        let crowded = blocks.len() + needed.len() > PageLimits::DEFAULT.blocks;
        if !needed.is_empty() && (more > EVIDENCE_BYTES || crowded) && !page.entries.is_empty() {
            break;
        }
        bytes = more;
        blocks.extend(needed.into_iter().map(|block| (block.height, block)));
        reach.pass(statement.leaf());
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

/// The first block that a receiver has not finished when it comes to a leaf.
struct Reach(Option<Height>);

/// Blocks whose evidence a leaf needs: everything a receiver has to look into before it believes the leaf.
struct Stretch<'a> {
    ledger: &'a LedgerId,
    from: Height,
    to: Height,
    hash: BlockHash,
}

impl Reach {
    /// As the leaves before `from` leave it.
    async fn before(store: &Store, lane: &LaneId, from: u64) -> Result<Self, StoreError> {
        let mut end = from;
        while end > 0 {
            let begin = end.saturating_sub(LOOK_BACK);
            let count = u32::try_from(end - begin).unwrap_or(u32::MAX);
            let mut reach = Self(None);
            let mut spoke = false;
            for leaf in store.leaves(lane, begin, count).await? {
                let statement = Statement::parse(leaf.statement.unwrap_or_default().as_bytes()).map_err(corrupt)?;
                spoke |= !matches!(statement.leaf(), Leaf::Definition(_) | Leaf::Key(_));
                reach.pass(statement.leaf());
            }
            if spoke || begin == 0 {
                return Ok(reach);
            }
            end = begin;
        }
        Ok(Self(None))
    }

    fn to_be_judged<'a>(&self, leaf: &'a Leaf) -> Option<Stretch<'a>> {
        let (ledger, to, hash) = match leaf {
            Leaf::Record(it) => (&it.origin.ledger, it.origin.position.height, it.origin.block_hash),
            Leaf::Skipped(it) => (&it.ledger, it.position.height, it.block_hash),
            Leaf::Covered(it) => (&it.ledger, it.to, it.to_hash),
            Leaf::Definition(_) | Leaf::Retract(_) | Leaf::Key(_) => return None,
        };
        Some(Stretch { ledger, from: self.0.unwrap_or(to), to, hash }).filter(|stretch| stretch.from <= to)
    }

    fn pass(&mut self, leaf: &Leaf) {
        if let Leaf::Retract(it) = leaf {
            self.0 = Some(it.from);
            return;
        }
        let reached = match leaf {
            Leaf::Definition(it) if self.0.is_none() => Some(it.from_height),
            // Whether more of the same block follows is known only at the next leaf.
            Leaf::Record(it) => Some(it.origin.position.height),
            Leaf::Skipped(it) => Some(it.position.height),
            Leaf::Covered(it) => it.to.next(),
            Leaf::Definition(_) | Leaf::Retract(_) | Leaf::Key(_) => None,
        };
        self.0 = self.0.max(reached);
    }
}

impl Stretch<'_> {
    /// What is kept of its blocks and not in the page yet.
    async fn evidence(
        &self,
        store: &Store,
        lane: &LaneId,
        present: &BTreeMap<Height, PageBlock>,
    ) -> Result<Vec<PageBlock>, StoreError> {
        if self.from == self.to && present.contains_key(&self.to) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for (height, hash, evidence) in store.evidence_between(lane, self.from, self.to).await? {
            if present.contains_key(&height) {
                continue;
            }
            // After an operator re-anchored, another branch's evidence may be there too.
            let own = match height == self.to {
                true => Some(self.hash),
                false => store.trusted_block(self.ledger, height).await?.map(|block| block.hash()),
            };
            if own == Some(hash) {
                found.push(PageBlock { height, hash, evidence });
            }
        }
        Ok(found)
    }
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
