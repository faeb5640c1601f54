//! The ledger itself: it holds its validators' keys, so it can make any block, a well-signed lie included.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ed25519_dalek::{Signer as _, SigningKey};
use hufu_adapters_light_client::Step;
use hufu_schemas_core::{BlockHash, Digest, Height, LedgerId, Timestamp};
use serde_json::{Value, json};

use super::FAMILY;
use super::wire::{SimHeader, SimItem, SimStep, items_root, seal_message, write_items};

/// How a simulated ledger begins. The same configuration always makes the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimLedgerConfig {
    /// Tells ledgers apart; keys derive from it.
    pub name: String,
    /// Validators, named `v0`, `v1`, ….
    pub validators: usize,
    /// Time of genesis.
    pub genesis_time: Timestamp,
    /// Seconds for which a head may be extended.
    pub trusted_for: u64,
}

impl SimLedgerConfig {
    /// Four validators; genesis on 2026-01-01, trusted for two weeks.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), validators: 4, genesis_time: new_year_2026(), trusted_for: 14 * 86_400 }
    }
}

#[allow(clippy::unwrap_used, reason = "a constant within the range of timestamps")]
fn new_year_2026() -> Timestamp {
    Timestamp::from_seconds(1_767_225_600).unwrap()
}

/// A simulated ledger. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct SimLedger(Arc<Mutex<Chain>>);

#[derive(Debug, Clone)]
struct Chain {
    config: SimLedgerConfig,
    keys: BTreeMap<String, SigningKey>,
    blocks: Vec<Block>,
}

#[derive(Debug, Clone)]
struct Block {
    header: SimHeader,
    items: Vec<SimItem>,
}

impl SimLedger {
    /// A ledger with its genesis block.
    pub fn new(config: SimLedgerConfig) -> Self {
        let key = |at: usize| {
            let seed = Digest::of_parts(&[b"hufu-sim-key", config.name.as_bytes(), &at.to_be_bytes()]);
            (format!("v{at}"), SigningKey::from_bytes(seed.as_bytes()))
        };
        let keys: BTreeMap<String, SigningKey> = (0..config.validators).map(key).collect();
        let mut named = config.name.clone().into_bytes();
        for (name, key) in &keys {
            named.extend_from_slice(name.as_bytes());
            named.extend_from_slice(key.verifying_key().as_bytes());
        }
        let header = SimHeader {
            number: Height::new(0),
            parent: Digest::of(&named),
            time: config.genesis_time,
            items: items_root(&[]),
            contracts: [].into(),
        };
        let blocks = vec![Block { header, items: Vec::new() }];
        Self(Arc::new(Mutex::new(Chain { config, keys, blocks })))
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        // Blocks are appended in one step: a holder that panicked left a whole chain.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hash of block 0.
    pub fn genesis(&self) -> BlockHash {
        self.chain().genesis()
    }

    /// The ledger's name.
    #[allow(clippy::unwrap_used, reason = "the family's name is a slug, which is all that could be wrong")]
    pub fn ledger_id(&self) -> LedgerId {
        let genesis = self.genesis();
        LedgerId::of_genesis(FAMILY, genesis.as_bytes()).unwrap()
    }

    /// What an operator writes to trust this ledger from genesis.
    pub fn anchor(&self) -> Value {
        let chain = self.chain();
        let key = |(name, key): (&String, &SigningKey)| (name.clone(), hex::encode(key.verifying_key().as_bytes()));
        let validators: BTreeMap<String, String> = chain.keys.iter().map(key).collect();
        json!({
            "family": FAMILY, "genesis": chain.genesis().to_string(), "validators": validators,
            "trusted_for": chain.config.trusted_for,
        })
    }

    /// Height of the last block.
    pub fn height(&self) -> Height {
        self.chain().blocks.last().map_or(Height::new(0), |block| block.header.number)
    }

    /// Time of the last block.
    pub fn time(&self) -> Timestamp {
        let chain = self.chain();
        chain.blocks.last().map_or(chain.config.genesis_time, |block| block.header.time)
    }

    /// Hash of a block.
    pub fn hash(&self, height: Height) -> Option<BlockHash> {
        self.chain().block(height).map(|block| block.header.hash())
    }

    /// Makes the next block, one second after its parent: one transaction for each event (contract, name, body).
    pub fn mine(&self, events: &[(&str, &str, Value)]) -> Height {
        let item = |(transaction, (contract, name, body)): (u32, &(&str, &str, Value))| SimItem {
            transaction,
            event: 0,
            contract: (*contract).to_owned(),
            name: (*name).to_owned(),
            body: body.clone(),
        };
        let time = self.time().plus(1);
        self.mine_items((0..).zip(events).map(item).collect(), time)
    }

    /// Makes the next block of these very items at this time.
    pub fn mine_items(&self, items: Vec<SimItem>, time: Timestamp) -> Height {
        let mut chain = self.chain();
        let last = chain.blocks.last().map(|block| (block.header.hash(), block.header.number));
        let (parent, number) = last.map_or_else(
            || (Digest::of(&[]), Height::new(0)),
            |(hash, number)| (Digest::from_bytes(*hash.as_bytes()), number.next().unwrap_or(number)),
        );
        let contracts = items.iter().map(|item| item.contract.clone()).collect();
        let header = SimHeader { number, parent, time, items: items_root(&items), contracts };
        chain.blocks.push(Block { header, items });
        number
    }

    /// Another ledger handle that shares the blocks below `height` and goes its own way from there, with the same
    /// validators' keys: what it mines is as well signed.
    pub fn fork(&self, height: Height) -> Self {
        let mut chain = self.chain().clone();
        chain.blocks.truncate(usize::try_from(height.get()).unwrap_or(usize::MAX).max(1));
        Self(Arc::new(Mutex::new(chain)))
    }

    /// Forgets every block above `height`, as a ledger restored from an old backup does.
    pub fn go_back(&self, height: Height) {
        let keep = usize::try_from(height.get()).unwrap_or(usize::MAX).saturating_add(1);
        self.chain().blocks.truncate(keep);
    }

    /// A block as a step, sealed by as many validators as needed.
    pub fn step(&self, height: Height) -> Option<Step> {
        let need = self.chain().keys.len().saturating_mul(2).div_ceil(3);
        self.step_sealed_by(height, need)
    }

    /// A block as a step, sealed by the first `count` validators.
    pub fn step_sealed_by(&self, height: Height, count: usize) -> Option<Step> {
        let chain = self.chain();
        let header = chain.block(height)?.header.clone();
        let message = seal_message(&chain.genesis(), &header.hash());
        let seal = |(name, key): (&String, &SigningKey)| (name.clone(), hex::encode(key.sign(&message).to_bytes()));
        let seals = chain.keys.iter().take(count).map(seal).collect();
        Some(Step { height, bytes: SimStep { header, seals }.to_bytes() })
    }

    /// All steps from a height on.
    pub fn steps(&self, from: Height) -> Vec<Step> {
        (from.get()..=self.height().get()).filter_map(|height| self.step(Height::new(height))).collect()
    }

    /// A block's evidence.
    pub fn evidence(&self, height: Height) -> Option<Vec<u8>> {
        self.chain().block(height).map(|block| write_items(&block.items))
    }

    /// A block's items.
    pub fn items(&self, height: Height) -> Option<Vec<SimItem>> {
        self.chain().block(height).map(|block| block.items.clone())
    }
}

impl Chain {
    fn block(&self, height: Height) -> Option<&Block> {
        self.blocks.get(usize::try_from(height.get()).ok()?)
    }

    fn genesis(&self) -> BlockHash {
        self.blocks.first().map_or(BlockHash::from_bytes([0; 32]), |block| block.header.hash())
    }
}
