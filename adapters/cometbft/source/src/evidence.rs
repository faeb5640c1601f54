//! What shows a lane's items in a block. All of it is closed under the trusted block before it is handed on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Budget, Selector, TrustedBlock};
use hufu_adapters_nodes::NodeFault;
use hufu_adapters_nodes::transport::Room;
use hufu_adapters_source::SourceError;
use hufu_cometbft_light_client::block_state::BlockState;
use hufu_cometbft_light_client::evidence::state::MAX_VALUES;
use hufu_cometbft_light_client::evidence::transactions::Transactions;
use hufu_cometbft_light_client::evidence::{self, Evidence};
use hufu_cometbft_light_client::fault::Reason;
use hufu_cometbft_light_client::rpc::evidence::executed;
use hufu_cometbft_light_client::selector::Lane;
use hufu_cometbft_light_client::{Hash32, needs_evidence};
use hufu_schemas_core::Digest;

use crate::config::{CometbftSourceConfig, STORE};
use crate::node::{Node, unreadable};
use crate::state::{Keys, Numbers};

/// Lanes of running numbers whose last number is remembered.
const LANES: usize = 64;
/// The light client's labels for what is too much: it says so itself, and no node lied.
const TOO_MUCH: [&str; 2] = ["too-large", "budget-exhausted"];

/// A trusted block whose evidence is to be fetched.
pub(crate) struct Wanted {
    pub(crate) height: u64,
    hash: Hash32,
    lane: Lane,
    selector: Digest,
    state: BlockState,
    pub(crate) evidence: Option<Vec<u8>>,
}

/// What a block needs for this selector; `None` when the block itself excludes it.
pub(crate) fn wanted(block: &TrustedBlock, selector: &Selector) -> Result<Option<Wanted>, SourceError> {
    // What is wrong with a selector that cannot be read, the light client will say; there is nothing to fetch for it.
    let Ok(lane) = Lane::read(selector) else { return Ok(None) };
    let foreign = |got: &str| SourceError::Malformed {
        node: format!("trusted block {} of {}", block.height(), block.ledger()),
        expected: "a block that this family's light client trusted".to_owned(),
        got: got.to_owned(),
    };
    let state = BlockState::read(block.state()).map_err(|fault| foreign(fault.got()))?;
    if !needs_evidence(block, selector).map_err(|fault| foreign(fault.got()))? {
        return Ok(None);
    }
    let hash = Hash32::new(*block.hash().as_bytes());
    Ok(Some(Wanted { height: block.height().get(), hash, lane, selector: selector.digest(), state, evidence: None }))
}

/// Where running numbers stood, lane by lane: a guess for the next block.
#[derive(Debug, Default)]
pub(crate) struct LastNumbers(Mutex<BTreeMap<Digest, u64>>);

impl LastNumbers {
    fn guess(&self, selector: &Digest) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(selector).copied().unwrap_or(0)
    }

    fn note(&self, selector: Digest, next: u64) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= LANES && !last.contains_key(&selector) {
            last.pop_first();
        }
        last.insert(selector, next);
    }
}

/// What is too much is so for the block that is asked about, also where the state before it was.
fn of_block(height: u64, fault: NodeFault) -> NodeFault {
    match fault {
        NodeFault::BlockTooLarge { detail, .. } => NodeFault::BlockTooLarge { height, detail },
        other => other,
    }
}

/// Asks one node.
pub(crate) struct Shower<'a> {
    pub(crate) node: &'a Node,
    pub(crate) config: &'a CometbftSourceConfig,
    pub(crate) numbers: &'a LastNumbers,
    pub(crate) room: &'a Room,
}

impl Shower<'_> {
    /// Evidence of one block that closes under it.
    pub(crate) async fn show(&self, block: &Wanted) -> Result<Vec<u8>, NodeFault> {
        let evidence = self.fetch(block).await.map_err(|fault| of_block(block.height, fault))?.write();
        match evidence::find(&block.lane, &block.state, &evidence, true, &mut Budget::for_evidence()) {
            Ok(_) => Ok(evidence),
            Err(Refusal::Reject(no)) if TOO_MUCH.contains(&no.reason()) => Ok(evidence),
            Err(Refusal::Reject(no)) if no.reason() == Reason::ValueEmpty.as_str() => {
                Err(NodeFault::BlockTooLarge { height: block.height, detail: format!("beyond what is proven: {no}") })
            }
            Err(Refusal::Reject(no)) => Err(self.forked_or_lying(block, no.to_string()).await),
            Err(Refusal::NotYet(no)) => Err(NodeFault::malformed("whole evidence", no.to_string())),
        }
    }

    async fn fetch(&self, block: &Wanted) -> Result<Evidence, NodeFault> {
        match &block.lane {
            Lane::Transactions { .. } => Ok(self.transactions(block.height, false).await?),
            Lane::Events { .. } => Ok(self.transactions(block.height, true).await?),
            Lane::State { store, keys } => {
                let asked = self.keys(store.as_deref());
                Ok(Evidence::State(asked.changes(keys, block.height, &block.state).await?))
            }
            Lane::Sequence { store, prefix, first } => {
                let numbers = Numbers { prefix: &prefix.0, first: *first };
                let guess = self.numbers.guess(&block.selector);
                let asked = self.keys(store.as_deref());
                let sequence = asked.sequence(numbers, guess, block.height, &block.state).await?;
                self.numbers.note(block.selector, sequence.next.saturating_add(sequence.values.len() as u64));
                Ok(Evidence::Sequence(sequence))
            }
        }
    }

    fn keys(&self, store: Option<&str>) -> Keys<'_> {
        let path = match store {
            Some(store) => self.config.query_path.replace(STORE, store),
            None => self.config.query_path_without_store.clone(),
        };
        let limits = &self.config.limits;
        let most = limits.values.min(MAX_VALUES);
        Keys { node: self.node, path, in_flight: limits.in_flight, most, room: self.room }
    }

    /// Nothing that validators sign commits to events: they travel only where a lane is about them.
    async fn transactions(&self, height: u64, with_events: bool) -> Result<Evidence, NodeFault> {
        let (block, results) = self.node.block(height, self.room).await?;
        let mut all = executed(&block, &results).map_err(|fault| unreadable(&fault))?;
        if !with_events {
            all.iter_mut().for_each(|it| it.events.clear());
        }
        Ok(Evidence::Transactions(Transactions::Whole(all)))
    }

    /// What does not close under the trusted block is of another block of that height, or of none.
    async fn forked_or_lying(&self, block: &Wanted, fault: String) -> NodeFault {
        match self.node.signed_header(block.height, self.room).await {
            Ok(signed) if signed.header.hash() != block.hash => {
                let (height, trusted, got) = (block.height, block.hash, signed.header.hash());
                NodeFault::Forked(format!("block {height}: expected hash {trusted}, got {got}"))
            }
            _ => NodeFault::Lying(format!("evidence of block {}: {fault}", block.height)),
        }
    }
}
