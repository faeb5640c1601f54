//! The light client of the simulated ledger: final at once, by a fixed set of named validators.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::{Signature, VerifyingKey};
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{
    Advance, BlockFacts, Budget, ClientVersion, Control, Finality, HeadFacts, ItemFacts, ItemRef, LightClient,
    Misbehaviour, Outcome, Rejection, Shortfall, Standing, Step, Wanted,
};
use hufu_schemas_core::{BlockHash, Digest, Height, LedgerId, Position, Quorum, Timestamp};
use serde::{Deserialize, Serialize};

use super::FAMILY;
use super::decoder::SimSelector;
use super::wire::{SimHeader, SimItem, SimStep, decode, encode, items_root, read_items, seal_message};

/// How far a block may be ahead of our clock, in seconds.
const DRIFT: u64 = 15;

/// What an operator names to trust a ledger from its genesis on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimAnchor {
    /// `sim`.
    pub family: String,
    /// Hash of block 0.
    pub genesis: BlockHash,
    /// Name to 64 hex digits of the Ed25519 key.
    pub validators: BTreeMap<String, String>,
    /// Seconds for which a head may be extended.
    pub trusted_for: u64,
}

/// The trusted view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimHead {
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    height: Height,
    hash: BlockHash,
    time: Timestamp,
}

/// What is kept of a trusted block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    items: Digest,
    contracts: BTreeSet<String>,
}

/// Judges a simulated ledger.
#[derive(Debug, Clone)]
pub struct SimClient {
    ledger: LedgerId,
    genesis: BlockHash,
    keys: BTreeMap<String, VerifyingKey>,
    quorum: Quorum<String>,
    trusted_for: u64,
}

impl SimClient {
    /// A client for the ledger of an anchor.
    ///
    /// # Errors
    /// The part of the anchor that cannot be used, and why.
    pub fn new(anchor: &SimAnchor) -> Result<Self, (&'static str, String)> {
        if anchor.family != FAMILY {
            return Err(("/family", anchor.family.clone()));
        }
        let mut keys = BTreeMap::new();
        for (name, text) in &anchor.validators {
            let bytes: Option<[u8; 32]> = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
            let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok()).filter(|key| !key.is_weak());
            keys.insert(name.clone(), key.ok_or_else(|| ("/validators", text.clone()))?);
        }
        let quorum = Quorum::two_thirds(keys.keys().cloned()).map_err(|fault| ("/validators", fault.to_string()))?;
        let ledger =
            LedgerId::of_genesis(FAMILY, anchor.genesis.as_bytes()).map_err(|fault| ("/genesis", fault.to_string()))?;
        Ok(Self { ledger, genesis: anchor.genesis, keys, quorum, trusted_for: anchor.trusted_for })
    }

    fn require_seals(&self, step: &SimStep, budget: &mut Budget) -> Result<Vec<String>, Rejection> {
        budget.signatures(step.seals.len())?;
        let message = seal_message(&self.genesis, &step.header.hash());
        budget.hashed_bytes(message.len())?;
        for (name, seal) in &step.seals {
            let bytes: Option<[u8; 64]> = hex::decode(seal).ok().and_then(|bytes| bytes.try_into().ok());
            let signature = bytes.map(|bytes| Signature::from_bytes(&bytes));
            let good = match (self.keys.get(name), signature) {
                (Some(key), Some(signature)) => key.verify_strict(&message, &signature).is_ok(),
                _ => false,
            };
            // One spelling of a seal: upper case would be another step with the same hash.
            if !good || seal.bytes().any(|digit| digit.is_ascii_uppercase()) {
                return Err(Rejection::new("seal-bad", "a validator's seal of this block", format!("one by {name}")));
            }
        }
        let signers: Vec<String> = step.seals.keys().cloned().collect();
        let need = self.quorum.need();
        self.quorum
            .require_exactly_members(&signers)
            .map_err(|fault| Rejection::new(fault.reason(), format!("{need} seals"), fault.to_string()))?;
        Ok(signers)
    }

    fn wants(head: &SimHead) -> Height {
        head.last.map_or(Height::new(0), |last| last.height.next().unwrap_or(last.height))
    }

    fn judge(&self, head: &SimHead, step: &Step, now: Timestamp, budget: &mut Budget) -> Result<SimHeader, Refusal> {
        budget.hashed_bytes(step.bytes.len())?;
        let parsed = SimStep::parse(&step.bytes)?;
        let header = &parsed.header;
        if header.number != step.height {
            return Err(Rejection::new("height-unexpected", step.height.to_string(), header.number.to_string()).into());
        }
        match head.last {
            None if header.hash() != self.genesis => {
                let (expected, got) = (self.genesis.to_string(), header.hash().to_string());
                return Err(Rejection::new("anchor-hash", expected, got).into());
            }
            None => {}
            Some(last) if header.parent.as_bytes() != last.hash.as_bytes() => {
                return Err(Rejection::new("parent-hash", last.hash.to_string(), header.parent.to_string()).into());
            }
            Some(last) if header.time <= last.time => {
                return Err(Rejection::new("time-not-rising", last.time.to_string(), header.time.to_string()).into());
            }
            Some(_) => {}
        }
        self.require_seals(&parsed, budget)?;
        if header.time > now.plus(DRIFT) {
            return Err(Shortfall::Ahead { block: header.time, now }.into());
        }
        Ok(parsed.header)
    }

    fn trusted_until(&self, head: &SimHead) -> Option<Timestamp> {
        head.last.map(|last| last.time.plus(self.trusted_for))
    }

    fn follow(
        &self,
        head: &SimHead,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Advance<SimHead>, Refusal> {
        if let Some((one, next)) = steps.iter().zip(steps.iter().skip(1)).find(|(one, next)| one.height >= next.height)
        {
            let (expected, got) = (format!("steps rising from {}", one.height), next.height.to_string());
            return Err(Rejection::new("steps-out-of-order", expected, got).into());
        }
        let mut head = head.clone();
        let mut blocks = Vec::new();
        let wants = Self::wants(&head);
        for step in steps.iter().filter(|step| step.height >= wants) {
            if step.height != Self::wants(&head) {
                return Err(Shortfall::Headers { from: Self::wants(&head) }.into());
            }
            if let Some(until) = self.trusted_until(&head).filter(|until| now > *until) {
                return Err(Shortfall::Expired { until, now }.into());
            }
            let header = self.judge(&head, step, now, budget).map_err(|refusal| match refusal {
                Refusal::Reject(rejection) => Refusal::Reject(rejection.at(step.height)),
                other @ Refusal::NotYet(_) => other,
            })?;
            let hash = header.hash();
            head.last = Some(Last { height: header.number, hash, time: header.time });
            let state = encode(&State { items: header.items, contracts: header.contracts });
            let finality = Finality::BftFinal;
            blocks.push(BlockFacts { height: header.number, hash, time: header.time, finality, state });
        }
        Ok(Advance { head, blocks })
    }

    fn find(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Vec<ItemFacts>, Refusal> {
        let (Wanted::Matching(selector) | Wanted::These(selector, _)) = wanted;
        let selector = SimSelector::read(selector)?;
        let state: State = decode(&block.state, "block-state-unreadable", "a state this client wrote")?;
        let excluded = !state.contracts.contains(&selector.contract);
        if excluded && matches!(wanted, Wanted::Matching(_)) {
            return Ok(Vec::new());
        }
        let Some(evidence) = evidence else {
            return Err(Shortfall::Evidence { height: block.height }.into());
        };
        budget.hashed_bytes(evidence.len())?;
        let items = read_items(evidence)?;
        let root = items_root(&items);
        if root != state.items {
            return Err(Rejection::new("items-root", state.items.to_string(), root.to_string()).into());
        }
        let found = match wanted {
            Wanted::Matching(_) => items.iter().filter(|item| selector.matches(item)).collect(),
            Wanted::These(_, refs) => these(&items, refs, &selector)?,
        };
        Ok(found.into_iter().map(|item| facts_of(block.height, item)).collect())
    }

    fn rival(&self, block: &BlockFacts, other: &Step, budget: &mut Budget) -> Option<Misbehaviour> {
        budget.hashed_bytes(other.bytes.len()).ok()?;
        let step = SimStep::parse(&other.bytes).ok()?;
        let hash = step.header.hash();
        if step.header.number != block.height || other.height != block.height || hash == block.hash {
            return None;
        }
        let signers = self.require_seals(&step, budget).ok()?;
        Some(Misbehaviour { height: block.height, trusted: block.hash, other: hash, signers })
    }
}

fn these<'a>(items: &'a [SimItem], refs: &[ItemRef], selector: &SimSelector) -> Result<Vec<&'a SimItem>, Rejection> {
    let find = |want: &ItemRef| {
        let found = items.iter().find(|item| (item.transaction, item.event) == (want.transaction, want.event));
        let item = found.ok_or_else(|| Rejection::new("item-missing", format!("{want:?}"), "none"))?;
        if selector.matches(item) {
            return Ok(item);
        }
        Err(Rejection::new("item-not-selected", format!("one of {}", selector.contract), item.contract.clone()))
    };
    refs.iter().map(find).collect()
}

fn facts_of(height: Height, item: &SimItem) -> ItemFacts {
    let position = Position { height, transaction: item.transaction, event: item.event };
    ItemFacts { position, native: encode(item), standing: Standing::Proven, control: Control::Fixed }
}

impl LightClient for SimClient {
    type Head = SimHead;

    fn version(&self) -> ClientVersion {
        ClientVersion { name: FAMILY.to_owned(), version: 1 }
    }

    fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    fn anchor(&self) -> SimHead {
        SimHead { last: None }
    }

    fn describe(&self, head: &SimHead) -> HeadFacts {
        HeadFacts {
            last: head.last.map(|last| (last.height, last.hash)),
            wants: Self::wants(head),
            trusted_until: self.trusted_until(head),
            confirmations: 0,
            validators: self.keys.keys().cloned().collect(),
        }
    }

    fn advance(
        &self,
        head: &SimHead,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Outcome<Advance<SimHead>> {
        self.follow(head, steps, now, budget).into()
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
        self.rival(block, other, budget)
    }
}
