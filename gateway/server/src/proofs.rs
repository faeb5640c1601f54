//! Evidence files: everything that closes one record's proof, out of this gateway's own store.

use hufu_adapters_light_client::{DynLightClient, StoredHead};
use hufu_gateway_store::{Store, StoreError, StoredRecord};
use hufu_gateway_verify::admission::LaneState;
use hufu_schemas_core::Height;
use hufu_schemas_core::evidence::{Evidence, LeafEvidence, LedgerEvidence, WireStep};

use crate::pages::{documents, inclusion};

/// Headers in one evidence file: at 1 KiB each in base64 about 137 MiB, the limit of the format.
const HEADERS_MOST: u64 = 100_000;
/// Headers read from the store at a time.
const HEADERS_AT_A_TIME: u32 = 1_000;

/// Why there is no evidence file for a record that is here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoEvidence {
    /// The lane's checkpoint is ahead of the leaves that came so far; soon they will all be here.
    #[error("the lane's checkpoint is of {checkpoint} leaves, {held} are here: try again when the rest has come")]
    NotClosed { checkpoint: u64, held: u64 },
    /// Too far from the anchor.
    #[error(
        "the record stands {distance} headers after the anchor, an evidence file holds {HEADERS_MOST}: anchor the ledger nearer"
    )]
    TooFar { distance: u64 },
    /// Something the record rests on is not kept.
    #[error("{0} is not kept here")]
    Missing(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Builds the evidence file of a stored record.
pub(crate) async fn build(
    store: &Store,
    stored: &StoredRecord,
    state: &LaneState,
    client: &dyn DynLightClient,
    head: &StoredHead,
) -> Result<Evidence, NoEvidence> {
    let (checkpoint, note) = state.seen.as_ref().ok_or(NoEvidence::Missing("a checkpoint of the lane"))?;
    if checkpoint.size > state.edge.size() {
        return Err(NoEvidence::NotClosed { checkpoint: checkpoint.size, held: state.edge.size() });
    }
    let defined = state.definition_at(stored.sequence).ok_or(NoEvidence::Missing("the definition"))?;
    let evidence = store
        .evidence(&stored.lane, stored.position.height, &stored.block_hash)
        .await?
        .ok_or(NoEvidence::Missing("the evidence of the record's block"))?;
    Ok(Evidence {
        evidence: 1,
        record: stored.record()?.to_json(),
        leaf: leaf(store, state, stored.sequence, checkpoint.size).await?,
        definition: leaf(store, state, defined.sequence, checkpoint.size).await?,
        checkpoint: note.clone(),
        documents: documents(store, &defined.definition).await?,
        ledger: LedgerEvidence {
            ledger: stored.ledger.clone(),
            steps: steps(store, stored, client, head).await?,
            height: stored.position.height,
            hash: stored.block_hash,
            native: stored.native.clone(),
            evidence,
        },
    })
}

async fn leaf(store: &Store, state: &LaneState, index: u64, size: u64) -> Result<LeafEvidence, NoEvidence> {
    let stored = store.leaves(&state.lane, index, 1).await?.pop().ok_or(NoEvidence::Missing("the leaf"))?;
    let statement = stored.statement.ok_or(NoEvidence::Missing("the leaf's statement"))?;
    let inclusion = inclusion(store, &state.lane, index, size).await?;
    Ok(LeafEvidence { index, statement, inclusion })
}

/// Headers from the anchor to the block, and beyond it as many as finality needs.
async fn steps(
    store: &Store,
    stored: &StoredRecord,
    client: &dyn DynLightClient,
    head: &StoredHead,
) -> Result<Vec<WireStep>, NoEvidence> {
    let anchor = client.describe(&client.anchor()).accepted().ok_or(NoEvidence::Missing("the anchor"))?;
    // How many confirmations a block needs depends on the signers of its time, which the anchor may not know yet.
    let facts = client.describe(head).accepted().ok_or(NoEvidence::Missing("the head"))?;
    let (from, block) = (anchor.wants.get(), stored.position.height.get());
    if block < from {
        return Err(NoEvidence::Missing(
            "a header of this block: the policy's anchor is later than the record, and it",
        ));
    }
    // Confirmations are distinct signers: some of them may need more than one block each.
    let beyond = u64::from(facts.confirmations).saturating_mul(4);
    let last = block.saturating_add(beyond);
    let distance = last.saturating_sub(from).saturating_add(1);
    if distance > HEADERS_MOST {
        return Err(NoEvidence::TooFar { distance });
    }
    let mut steps = Vec::new();
    let mut next = from;
    while next <= last {
        let room = u32::try_from(last - next + 1).unwrap_or(u32::MAX).min(HEADERS_AT_A_TIME);
        let some = store.steps(&stored.ledger, Height::new(next), room).await?;
        let Some(end) = some.last().map(|step| step.height.get()) else { break };
        steps.extend(some.into_iter().map(|step| WireStep { height: step.height, bytes: step.bytes }));
        next = end.saturating_add(1);
    }
    if next <= block {
        return Err(NoEvidence::Missing("a header between the anchor and the block"));
    }
    Ok(steps)
}
