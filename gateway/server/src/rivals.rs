//! Second, as well signed blocks of trusted heights: looked for in updates and at nodes, judged by the light client, and
//! the ledger freezes for one that is verified. What a node merely says freezes nothing.
//!
//! A fork of some families is misbehaviour at its first block alone: above it the parents differ, as they do on two honest
//! ledgers of one validator set. So a branch that is seen somewhere above is followed down to where it leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hufu_adapters_light_client::{Budget, DynLightClient, HeadFacts, Misbehaviour, Step, StoredHead, TrustedBlock};
use hufu_adapters_source::Source;
use hufu_gateway_store::{Act, StoreError};
use hufu_schemas_core::Height;
use serde_json::json;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use crate::gateway::Gateway;
use crate::ledgers::{BY_ITSELF, head};

/// Questions put to one node to find where it left the trusted branch: strides double going down, and the last one is
/// halved again, so twice the binary logarithm of the depth. 2^32 blocks are a century at one a second.
const QUESTIONS_OF_A_SEARCH: usize = 64;
/// How long one node may take to answer them: following waits meanwhile.
const TIME_OF_A_SEARCH: Duration = Duration::from_secs(10);
/// How long a node that was searched is left alone, so that one which merely talks costs less than a tenth of the time.
const PAUSE_OF_SEARCHES: Duration = Duration::from_secs(120);

/// When each node was searched last, by name.
#[derive(Debug, Default)]
pub(crate) struct Searches(BTreeMap<String, Instant>);

impl Searches {
    /// Whether the node is to be searched now; counts as searched if so.
    fn begin(&mut self, node: &str) -> bool {
        let now = Instant::now();
        if self.0.get(node).is_some_and(|last| now.saturating_duration_since(*last) < PAUSE_OF_SEARCHES) {
            return false;
        }
        self.0.insert(node.to_owned(), now);
        true
    }
}

/// Steps at heights that are already trusted: a second, as well signed block there is misbehaviour and freezes. All of
/// them are looked at: one of the trusted block itself costs its hash, the others share the signature checks of one
/// update.
pub(crate) async fn find_among(
    gateway: &Gateway,
    client: &Arc<dyn DynLightClient>,
    head: &StoredHead,
    steps: &[Step],
) -> Result<Option<Misbehaviour>, StoreError> {
    let Some((last, _)) = client.describe(head).accepted().and_then(|facts| facts.last) else { return Ok(None) };
    let mut pairs = Vec::new();
    for step in steps.iter().filter(|step| step.height <= last) {
        if let Some(block) = gateway.store.trusted_block(client.ledger(), step.height).await? {
            pairs.push((block, step.clone()));
        }
    }
    if pairs.is_empty() {
        return Ok(None);
    }
    let judge = Arc::clone(client);
    let search = move || {
        let mut budget = Budget::for_update();
        pairs.into_iter().find_map(|(block, step)| Some((judge.conflict(&block, &step, &mut budget)?, step)))
    };
    match gateway.verify_pool.run(search).await {
        Some((misbehaviour, step)) => freeze(gateway, client, misbehaviour, &step).await.map(Some),
        None => Ok(None),
    }
}

async fn freeze(
    gateway: &Gateway,
    client: &Arc<dyn DynLightClient>,
    misbehaviour: Misbehaviour,
    step: &Step,
) -> Result<Misbehaviour, StoreError> {
    let artefacts = json!({"misbehaviour": misbehaviour, "step": hex::encode(&step.bytes)});
    let reason = format!("two signed blocks at height {}", misbehaviour.height);
    let act = Act { who: BY_ITSELF.to_owned(), at: gateway.clock.now(), why: reason };
    gateway.store.freeze_ledger(client.ledger(), artefacts, act).await?;
    gateway.metrics.ledger_is_frozen(client.ledger(), true);
    error!(ledger = %client.ledger(), height = %misbehaviour.height, "two signed blocks at one height: the ledger is frozen until an operator thaws it");
    Ok(misbehaviour)
}

/// Compares what other nodes hold at the head with what is trusted there. What differs and is not signed is said by one
/// node alone: the source benches it, nothing freezes.
pub(crate) async fn compare_nodes(
    gateway: &Gateway,
    client: &Arc<dyn DynLightClient>,
    source: &dyn Source,
    searches: &mut Searches,
) {
    if let Err(fault) = compare(gateway, client, source, searches).await {
        warn!(ledger = %client.ledger(), "{fault}");
    }
}

async fn compare(
    gateway: &Gateway,
    client: &Arc<dyn DynLightClient>,
    source: &dyn Source,
    searches: &mut Searches,
) -> Result<(), StoreError> {
    let (head, _, None) = head(&gateway.store, client.as_ref()).await? else { return Ok(()) };
    let Some(HeadFacts { last: Some((top, _)), .. }) = client.describe(&head).accepted() else { return Ok(()) };
    let Ok(others) = source.others(top).await else { return Ok(()) };
    if find_among(gateway, client, &head, &others).await?.is_some() {
        return Ok(());
    }
    let mut differs = false;
    for step in &others {
        differs |= trusted_instead(gateway, client, step).await?.is_some();
    }
    if !differs {
        return Ok(());
    }
    for node in source.describe().nodes.into_iter().map(|node| node.name).filter(|node| searches.begin(node)) {
        let search = first_difference(gateway, client, source, &node, top);
        let Ok(found) = tokio::time::timeout(TIME_OF_A_SEARCH, search).await else {
            debug!(ledger = %client.ledger(), node, "where it left the trusted branch was not found in time");
            continue;
        };
        if let Some(step) = found?
            && find_among(gateway, client, &head, &[step]).await?.is_some()
        {
            return Ok(());
        }
    }
    Ok(())
}

/// The trusted block in whose place this step puts another one.
async fn trusted_instead(
    gateway: &Gateway,
    client: &Arc<dyn DynLightClient>,
    step: &Step,
) -> Result<Option<TrustedBlock>, StoreError> {
    let Some(claimed) = client.claimed_hash(step) else { return Ok(None) };
    let block = gateway.store.trusted_block(client.ledger(), step.height).await?;
    Ok(block.filter(|block| block.hash() != claimed))
}

/// What a node holds at the lowest trusted height where it holds another block; `None` where it holds the same, or does
/// not say.
async fn first_difference(
    gateway: &Gateway,
    client: &Arc<dyn DynLightClient>,
    source: &dyn Source,
    node: &str,
    top: Height,
) -> Result<Option<Step>, StoreError> {
    let Some(mut found) = source.held_by(node, top).await else { return Ok(None) };
    if trusted_instead(gateway, client, &found).await?.is_none() {
        return Ok(None);
    }
    // Trusted heights below `low` hold the same block, those from `high` on another one.
    let (mut low, mut high) = (0, found.height.get());
    let mut stride = Some(1u64);
    for _ in 0..QUESTIONS_OF_A_SEARCH {
        if low >= high {
            return Ok(Some(found));
        }
        let aim = stride.map_or(low + (high - low) / 2, |stride| high.saturating_sub(stride).max(low));
        stride = stride.map(|stride| stride.saturating_mul(2));
        // Where headers were skipped not every height is trusted.
        let at = gateway.store.trusted_blocks(client.ledger(), Height::new(aim), 1).await?;
        let Some(block) = at.into_iter().next().filter(|block| block.height().get() < high) else {
            high = aim;
            continue;
        };
        let told = source.held_by(node, block.height()).await.filter(|step| step.height == block.height());
        let Some((step, claimed)) = told.and_then(|step| client.claimed_hash(&step).map(|hash| (step, hash))) else {
            return Ok(None);
        };
        if claimed == block.hash() {
            (low, stride) = (block.height().get().saturating_add(1), None);
        } else {
            (found, high) = (step, aim);
        }
    }
    Ok(None)
}
