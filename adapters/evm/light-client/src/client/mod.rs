//! The light client of one EVM ledger: follows headers from the operator's anchor and finds logs in trusted blocks.
//!
//! A step is one header in RLP, exactly as it is hashed. A head is the last *trusted* block with the rules for the next
//! one; on Clique and on unsealed ledgers what lies above it is judged with each update and not kept, and the head holds
//! beside it what a better branch is judged from ([`window`]).
//!
//! Evidence of a block is the RLP list of all its raw receipts. Without evidence a block answers only where its own
//! filter excludes the selector, or where it has no receipts at all. Where the selector pins the code of a contract that
//! spoke, proofs of its state come with the receipts ([`crate::control`]). Where the selector names slots, it is proofs of
//! these alone ([`crate::slots`]).

mod ahead;
mod branch;
mod find;
mod judge;
mod rival;
mod skip;
mod slots;
mod window;

use ahead::Candidate;
pub use find::{needs_evidence, pinned_speakers};
use judge::number;
pub use skip::{MAX_SKIP_SECONDS, SKIP_AFTER_SECONDS};
use window::Window;

use crate::anchor::Anchor;
use crate::header::Link;
use crate::recover::Signers;
use crate::{address::Address, bft, clique};
use hufu_adapters_light_client::{
    Advance, BlockFacts, Budget, ClientVersion, Finality, HeadFacts, ItemFacts, LightClient, Misbehaviour, Outcome,
    Selector, Step, Wanted,
};
use hufu_schemas_core::{BlockHash, Height, LedgerId, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How far a block's time may be ahead of the caller's clock, in seconds: what nodes themselves allow.
pub const DRIFT_SECONDS: u64 = 15;

/// The trusted view of one ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// `None` until the anchor's own header was seen.
    trusted: Option<Trusted>,
    /// What a branch is judged from, where blocks may be undone.
    #[serde(default, skip_serializing_if = "Window::is_empty")]
    window: Window,
}

/// The last trusted block and what holds on top of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trusted {
    link: Link,
    rules: Rules,
}

/// What the next block is judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Rules {
    /// Under its first name in heads stored while QBFT was the only kind.
    #[serde(alias = "qbft")]
    Bft(bft::State),
    Clique(clique::State),
    /// None but that headers link.
    Unsealed,
}

impl Rules {
    fn validators(&self) -> &[Address] {
        match self {
            Self::Bft(state) => state.validators(),
            Self::Clique(state) => state.signers(),
            Self::Unsealed => &[],
        }
    }
}

/// A block that was judged good on top of another.
struct Judged {
    link: Link,
    rules: Rules,
    /// Whom it confirms the blocks below for: its signer, where blocks are only buried.
    signer: Option<Address>,
    /// What it counts for where branches are compared: its difficulty on Clique, otherwise one.
    weight: u64,
    facts: BlockFacts,
}

/// The light client of the ledger that one anchor names.
#[derive(Debug, Clone)]
pub struct EvmLightClient {
    anchor: Anchor,
    /// Recovered before: it saves work and decides nothing.
    signers: Arc<Signers>,
}

impl EvmLightClient {
    /// A client that believes this anchor and nothing else.
    pub fn new(anchor: Anchor) -> Self {
        Self { anchor, signers: Arc::default() }
    }

    fn wants(&self, head: &Head) -> u64 {
        head.trusted.as_ref().map_or(self.anchor.height, |trusted| trusted.link.height.saturating_add(1))
    }

    fn finality(&self) -> Finality {
        self.anchor.consensus.finality()
    }
}

impl LightClient for EvmLightClient {
    type Head = Head;

    fn version(&self) -> ClientVersion {
        ClientVersion { name: format!("evm-{}", self.anchor.consensus.as_str()), version: 1 }
    }

    fn ledger(&self) -> &LedgerId {
        self.anchor.ledger()
    }

    fn anchor(&self) -> Head {
        Head { trusted: None, window: Window::default() }
    }

    fn describe(&self, head: &Head) -> HeadFacts {
        let trusted = head.trusted.as_ref();
        let confirmations = match trusted.map(|trusted| &trusted.rules) {
            Some(Rules::Clique(state)) => number(state.confirmations(self.asked())),
            Some(Rules::Bft(_)) => 0,
            Some(Rules::Unsealed) | None => self.anchor.confirmations,
        };
        HeadFacts {
            last: trusted.map(|trusted| {
                (Height::new(trusted.link.height), BlockHash::from_bytes(*trusted.link.hash.as_bytes()))
            }),
            wants: Height::new(self.wants(head)),
            trusted_until: trusted.and_then(|trusted| self.trusted_until(&trusted.link)),
            confirmations,
            validators: trusted
                .map(|trusted| trusted.rules.validators().iter().map(Address::to_string).collect())
                .unwrap_or_default(),
        }
    }

    fn firm(&self, head: &Head) -> Option<Height> {
        match head.window.firm(self.anchor.reorganisation_limit) {
            Some(firm) => Some(Height::new(firm)),
            None => head.trusted.as_ref().map(|trusted| Height::new(trusted.link.height)),
        }
    }

    fn sees_code_changes(&self, block: &BlockFacts, selector: &Selector) -> bool {
        find::sees_code_changes(block, selector)
    }

    fn advance(&self, head: &Head, steps: &[Step], now: Timestamp, budget: &mut Budget) -> Outcome<Advance<Head>> {
        self.run(head, steps, now, budget).into()
    }

    fn prove(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<ItemFacts>> {
        self.find(block, wanted, evidence, budget).into()
    }

    fn conflict(&self, block: &BlockFacts, other: &Step, budget: &mut Budget) -> Option<Misbehaviour> {
        // What cannot be verified is no misbehaviour: a node may say anything.
        self.rival(block, other, budget).ok().flatten()
    }

    fn claimed_hash(&self, step: &Step) -> Option<BlockHash> {
        match self.read(step).ok()? {
            Candidate::Bft(block) => Some(BlockHash::from_bytes(*block.hash().as_bytes())),
            // A second branch is no misbehaviour there.
            Candidate::Clique(_) | Candidate::Unsealed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
