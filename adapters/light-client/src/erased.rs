//! The one place that mints [`Proven`] and [`TrustedBlock`].
//!
//! A family states facts about bytes; this wrapper ties them to the ledger that the operator's anchor named, checks what
//! every family must get right, and only then hands out types that the rest of the house trusts.

use hufu_schemas_core::canonical::to_canonical;
use hufu_schemas_core::{BlockHash, Digest, Height, LedgerId, Position, Timestamp};
use serde::{Deserialize, Serialize};

use crate::block::{BlockFacts, ClientVersion, Control, Finality, ItemFacts, ItemRef, Standing, Step, TrustedBlock};
use crate::budget::Budget;
use crate::decoder::Selector;
use crate::outcome::{Misbehaviour, Outcome, Refusal, Rejection};
use crate::{HeadFacts, LightClient, Wanted};

/// A native item that a light client found on a ledger. There is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proven {
    block: TrustedBlock,
    item: ItemFacts,
}

impl Proven {
    /// The block it stands in.
    pub const fn block(&self) -> &TrustedBlock {
        &self.block
    }

    /// The ledger.
    pub const fn ledger(&self) -> &LedgerId {
        &self.block.ledger
    }

    /// Where it stands.
    pub const fn position(&self) -> Position {
        self.item.position
    }

    /// Identity of its block.
    pub const fn block_hash(&self) -> BlockHash {
        self.block.facts.hash
    }

    /// The ledger's own time of its block.
    pub const fn time(&self) -> Timestamp {
        self.block.facts.time
    }

    /// How firmly its block is settled.
    pub const fn finality(&self) -> Finality {
        self.block.facts.finality
    }

    /// Whether the ledger itself commits to it. In a block that nobody signed nothing is more than said.
    pub const fn standing(&self) -> Standing {
        match self.block.facts.finality {
            Finality::Unsealed => Standing::Said,
            Finality::BftFinal | Finality::Authority | Finality::Probabilistic => self.item.standing,
        }
    }

    /// Who can change the code that made it.
    pub const fn control(&self) -> Control {
        self.item.control
    }

    /// The vendor's own bytes.
    pub fn native(&self) -> &[u8] {
        &self.item.native
    }

    /// Digest of the vendor's own bytes.
    pub fn native_digest(&self) -> Digest {
        Digest::of(&self.item.native)
    }
}

/// A head as this gateway keeps it: {client, version, bytes} (decision 9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredHead {
    /// The client that wrote it.
    pub client: ClientVersion,
    /// Canonical JSON of the client's head.
    pub bytes: String,
}

impl StoredHead {
    /// What compare-and-swap compares.
    pub fn digest(&self) -> Digest {
        Digest::of(self.bytes.as_bytes())
    }
}

/// What an update yields.
#[derive(Debug, Clone)]
pub struct Advanced {
    /// The head to store in place of the one that was given.
    pub head: StoredHead,
    /// What to tell an operator about it.
    pub facts: HeadFacts,
    /// Blocks that became trusted.
    pub blocks: Vec<TrustedBlock>,
    /// The ledger reorganised: what was trusted from this height on is undone.
    pub undone_from: Option<Height>,
}

/// [`LightClient`] over bytes: what the gateway holds, one for each ledger.
pub trait DynLightClient: Send + Sync {
    /// Name and version of the rules.
    fn version(&self) -> ClientVersion;
    /// The ledger of the anchor.
    fn ledger(&self) -> &LedgerId;
    /// The head before any header was seen.
    fn anchor(&self) -> StoredHead;
    /// What an operator needs to know of a head. `Reject` when it was written by another client or version.
    fn describe(&self, head: &StoredHead) -> Outcome<HeadFacts>;
    /// See [`LightClient::firm`]; `None` for a head of another client too.
    fn firm(&self, head: &StoredHead) -> Option<Height> {
        self.describe(head).accepted()?.last.map(|(height, _)| height)
    }
    /// See [`LightClient::sees_code_changes`].
    fn sees_code_changes(&self, _block: &TrustedBlock, _selector: &Selector) -> bool {
        true
    }
    /// See [`LightClient::commits`].
    fn commits(&self, _selector: &Selector) -> bool {
        true
    }
    /// See [`LightClient::advance`].
    fn advance(&self, head: &StoredHead, steps: &[Step], now: Timestamp, budget: &mut Budget) -> Outcome<Advanced>;
    /// Every item of the block that the selector matches; see [`LightClient::prove`].
    fn matching(
        &self,
        block: &TrustedBlock,
        selector: &Selector,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<Proven>>;
    /// These items of the block, each of which the selector must match; see [`LightClient::prove`].
    fn prove(
        &self,
        block: &TrustedBlock,
        selector: &Selector,
        items: &[ItemRef],
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<Proven>>;
    /// See [`LightClient::conflict`].
    fn conflict(&self, block: &TrustedBlock, other: &Step, budget: &mut Budget) -> Option<Misbehaviour>;
    /// See [`LightClient::claimed_hash`].
    fn claimed_hash(&self, _step: &Step) -> Option<BlockHash> {
        None
    }
}

/// The blanket implementation of [`DynLightClient`].
#[derive(Debug, Clone)]
pub struct Erased<C>(C);

impl<C: LightClient> Erased<C> {
    /// Wraps a family's client.
    pub const fn new(client: C) -> Self {
        Self(client)
    }

    fn restore(&self, head: &StoredHead) -> Result<C::Head, Rejection> {
        let ours = self.0.version();
        if head.client != ours {
            return Err(Rejection::new(
                "head-of-another-client",
                format!("{} version {}", ours.name, ours.version),
                format!("{} version {}", head.client.name, head.client.version),
            ));
        }
        serde_json::from_str(&head.bytes)
            .map_err(|fault| Rejection::new("head-unreadable", "a head this client wrote", fault.to_string()))
    }

    fn store(&self, head: &C::Head) -> Result<StoredHead, Rejection> {
        let value = serde_json::to_value(head)
            .map_err(|fault| Rejection::new("head-unwritable", "a head that serialises", fault.to_string()))?;
        let bytes = String::from_utf8_lossy(&to_canonical(&value)).into_owned();
        Ok(StoredHead { client: self.0.version(), bytes })
    }

    fn mint_block(&self, facts: BlockFacts) -> TrustedBlock {
        TrustedBlock { ledger: self.0.ledger().clone(), client: self.0.version(), facts }
    }

    fn mint_items(
        &self,
        block: &TrustedBlock,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Vec<Proven>, Refusal> {
        self.require_own(block)?;
        let items: Vec<ItemFacts> = Result::from(self.0.prove(&block.facts, wanted, evidence, budget))?;
        require_order(block.height(), &items)?;
        if let Wanted::These(_, refs) = wanted {
            require_these(refs, &items)?;
        }
        Ok(items.into_iter().map(|item| Proven { block: block.clone(), item }).collect())
    }

    /// A block of another ledger, or one found by other rules, proves nothing here.
    fn require_own(&self, block: &TrustedBlock) -> Result<(), Rejection> {
        if block.ledger != *self.0.ledger() {
            return Err(Rejection::new("block-of-another-ledger", self.0.ledger().as_str(), block.ledger.as_str()));
        }
        let ours = self.0.version();
        if block.client != ours {
            return Err(Rejection::new("block-of-another-client", format!("{ours:?}"), format!("{:?}", block.client)));
        }
        Ok(())
    }
}

/// From which height on these blocks undo trusted ones, if they do: above what is firm, and only where the ledger's own
/// rules leave room for it, whatever a family believes.
fn require_may_undo(
    last: Option<Height>,
    firm: Option<Height>,
    blocks: &[BlockFacts],
) -> Result<Option<Height>, Rejection> {
    let (Some(first), Some(last)) = (blocks.first(), last) else { return Ok(None) };
    if first.height > last {
        return Ok(None);
    }
    let may_undo = |block: &BlockFacts| matches!(block.finality, Finality::Probabilistic | Finality::Unsealed);
    let above = firm.unwrap_or(last);
    if first.height <= above || !blocks.iter().all(may_undo) {
        let expected = format!("a height above {above}");
        return Err(Rejection::new("trust-moved-back", expected, first.height.to_string()));
    }
    Ok(Some(first.height))
}

/// Items of the block asked for, rising, each once: what every family must get right.
fn require_order(height: Height, items: &[ItemFacts]) -> Result<(), Rejection> {
    if let Some(stray) = items.iter().find(|item| item.position.height != height) {
        return Err(Rejection::new("item-of-another-block", height.to_string(), stray.position.to_string()));
    }
    let rising = items.iter().zip(items.iter().skip(1)).all(|(a, b)| a.position < b.position);
    if rising { Ok(()) } else { Err(Rejection::new("items-out-of-order", "items in ledger order", "another order")) }
}

fn require_these(refs: &[ItemRef], items: &[ItemFacts]) -> Result<(), Rejection> {
    let same = refs.len() == items.len()
        && refs
            .iter()
            .zip(items)
            .all(|(want, got)| (want.transaction, want.event) == (got.position.transaction, got.position.event));
    if same {
        Ok(())
    } else {
        Err(Rejection::new("other-items", format!("{refs:?}"), format!("{} items", items.len())))
    }
}

impl<C: LightClient> DynLightClient for Erased<C> {
    fn version(&self) -> ClientVersion {
        self.0.version()
    }

    fn ledger(&self) -> &LedgerId {
        self.0.ledger()
    }

    fn anchor(&self) -> StoredHead {
        let head = self.0.anchor();
        self.store(&head).unwrap_or_else(|_| StoredHead { client: self.0.version(), bytes: String::new() })
    }

    fn describe(&self, head: &StoredHead) -> Outcome<HeadFacts> {
        match self.restore(head) {
            Ok(head) => Outcome::Accept(self.0.describe(&head)),
            Err(rejection) => Outcome::Reject(rejection),
        }
    }

    fn firm(&self, head: &StoredHead) -> Option<Height> {
        self.0.firm(&self.restore(head).ok()?)
    }

    fn sees_code_changes(&self, block: &TrustedBlock, selector: &Selector) -> bool {
        self.0.sees_code_changes(&block.facts, selector)
    }

    fn commits(&self, selector: &Selector) -> bool {
        self.0.commits(selector)
    }

    fn advance(&self, head: &StoredHead, steps: &[Step], now: Timestamp, budget: &mut Budget) -> Outcome<Advanced> {
        let mut judge = || -> Result<Advanced, Refusal> {
            let trusted = self.restore(head)?;
            let before = self.0.describe(&trusted).last.map(|(height, _)| height);
            let advance = Result::from(self.0.advance(&trusted, steps, now, budget))?;
            let undone_from = require_may_undo(before, self.0.firm(&trusted), &advance.blocks)?;
            let mut last = undone_from.map_or(before, |from| from.get().checked_sub(1).map(Height::new));
            for block in &advance.blocks {
                // Trust only moves forward, whatever a family believes.
                if last.is_some_and(|last| block.height <= last) {
                    let expected = format!("a height above {}", last.map_or(0, Height::get));
                    return Err(Rejection::new("trust-moved-back", expected, block.height.to_string()).into());
                }
                last = Some(block.height);
            }
            let facts = self.0.describe(&advance.head);
            let blocks = advance.blocks.into_iter().map(|facts| self.mint_block(facts)).collect();
            Ok(Advanced { head: self.store(&advance.head)?, facts, blocks, undone_from })
        };
        judge().into()
    }

    fn matching(
        &self,
        block: &TrustedBlock,
        selector: &Selector,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<Proven>> {
        self.mint_items(block, Wanted::Matching(selector), evidence, budget).into()
    }

    fn prove(
        &self,
        block: &TrustedBlock,
        selector: &Selector,
        items: &[ItemRef],
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<Proven>> {
        self.mint_items(block, Wanted::These(selector, items), evidence, budget).into()
    }

    fn conflict(&self, block: &TrustedBlock, other: &Step, budget: &mut Budget) -> Option<Misbehaviour> {
        self.require_own(block).ok()?;
        self.0.conflict(&block.facts, other, budget)
    }

    fn claimed_hash(&self, step: &Step) -> Option<BlockHash> {
        self.0.claimed_hash(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Advance;

    /// A family that goes back from height 9 to whatever it is told, with blocks of one finality.
    struct GoesBack {
        ledger: LedgerId,
        to: u64,
        firm: u64,
        finality: Finality,
    }

    impl GoesBack {
        fn new(to: u64, firm: u64, finality: Finality) -> Erased<Self> {
            let ledger = LedgerId::of_genesis("sim", &[1; 32]).unwrap();
            Erased::new(Self { ledger, to, firm, finality })
        }
    }

    fn at(height: u64) -> (Height, BlockHash) {
        (Height::new(height), BlockHash::from_bytes([7; 32]))
    }

    impl LightClient for GoesBack {
        type Head = u64;

        fn version(&self) -> ClientVersion {
            ClientVersion { name: "goes-back".to_owned(), version: 1 }
        }

        fn ledger(&self) -> &LedgerId {
            &self.ledger
        }

        fn anchor(&self) -> u64 {
            9
        }

        fn describe(&self, head: &u64) -> HeadFacts {
            let wants = Height::new(head + 1);
            let (trusted_until, confirmations, validators) = (None, 0, Vec::new());
            HeadFacts { last: Some(at(*head)), wants, trusted_until, confirmations, validators }
        }

        fn firm(&self, _: &u64) -> Option<Height> {
            Some(Height::new(self.firm))
        }

        fn advance(&self, _: &u64, _: &[Step], _: Timestamp, _: &mut Budget) -> Outcome<Advance<u64>> {
            let block = |height: u64| BlockFacts {
                height: at(height).0,
                hash: at(height).1,
                time: Timestamp::from_seconds(1).unwrap(),
                finality: self.finality,
                state: Vec::new(),
            };
            Outcome::Accept(Advance { head: 10, blocks: (self.to..=10).map(block).collect() })
        }

        fn prove(&self, _: &BlockFacts, _: Wanted<'_>, _: Option<&[u8]>, _: &mut Budget) -> Outcome<Vec<ItemFacts>> {
            Outcome::Accept(Vec::new())
        }

        fn conflict(&self, _: &BlockFacts, _: &Step, _: &mut Budget) -> Option<Misbehaviour> {
            None
        }
    }

    fn goes_back(to: u64, firm: u64, finality: Finality) -> Result<Option<Height>, &'static str> {
        let client = GoesBack::new(to, firm, finality);
        let now = Timestamp::from_seconds(2).unwrap();
        match client.advance(&client.anchor(), &[], now, &mut Budget::for_update()) {
            Outcome::Accept(advanced) => Ok(advanced.undone_from),
            Outcome::Reject(rejection) => Err(rejection.reason()),
            Outcome::NotYet(shortfall) => Err(shortfall.reason()),
        }
    }

    #[test]
    fn trust_goes_back_only_where_a_ledger_is_never_final_and_only_above_what_is_firm() {
        for finality in [Finality::Probabilistic, Finality::Unsealed] {
            assert_eq!(goes_back(10, 5, finality), Ok(None));
            assert_eq!(goes_back(6, 5, finality), Ok(Some(Height::new(6))));
            assert_eq!(goes_back(5, 5, finality), Err("trust-moved-back"));
        }
        for finality in [Finality::BftFinal, Finality::Authority] {
            assert_eq!(goes_back(10, 5, finality), Ok(None));
            assert_eq!(goes_back(6, 5, finality), Err("trust-moved-back"), "whatever the family believes");
        }
    }
}
