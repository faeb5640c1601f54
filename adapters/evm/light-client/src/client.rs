//! The light client of one EVM ledger: follows headers from the operator's anchor and finds logs in trusted blocks.
//!
//! A step is one header in RLP, exactly as it is hashed (a conflicting step of a Clique ledger is a run of headers one
//! after the other, from the rival block up to those that confirm it). A head is the last *trusted* block with the rules
//! for the next one; on Clique what lies above it is judged with each update and not kept.
//!
//! Evidence of a block is the RLP list of all its raw receipts. Without evidence a block answers only where its own
//! filter excludes the selector, or where it has no receipts at all.

use crate::anchor::{Anchor, Consensus};
use crate::block_state::{BlockState, Sealing};
use crate::fault::{Fault, Reason};
use crate::header::{Header, Link};
use crate::keccak::Hash32;
use crate::receipt::{Receipt, open_evidence};
use crate::rlp::Reader;
use crate::selector::LogSelector;
use crate::trie::EMPTY_ROOT;
use crate::{address::Address, bft, clique};
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{
    Advance, BlockFacts, Budget, ClientVersion, Finality, HeadFacts, ItemFacts, ItemRef, LightClient, Misbehaviour,
    Outcome, Rejection, Shortfall, Step, Wanted,
};
use hufu_schemas_core::{BlockHash, Height, LedgerId, Position, Timestamp};
use serde::{Deserialize, Serialize};

/// How far a block's time may be ahead of the caller's clock, in seconds: what nodes themselves allow.
pub const DRIFT_SECONDS: u64 = 15;
/// Headers of the longest rival run that [`LightClient::conflict`] looks at.
const MAX_RIVALS: usize = 2_048;

/// The trusted view of one ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// `None` until the anchor's own header was seen.
    trusted: Option<Trusted>,
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
}

impl Rules {
    fn validators(&self) -> &[Address] {
        match self {
            Self::Bft(state) => state.validators(),
            Self::Clique(state) => state.signers(),
        }
    }
}

/// A block that was judged good on top of another.
struct Judged {
    link: Link,
    rules: Rules,
    /// Whom it confirms the blocks below for: its signer, where blocks are only buried.
    signer: Option<Address>,
    facts: BlockFacts,
}

/// The light client of the ledger that one anchor names.
#[derive(Debug, Clone)]
pub struct EvmLightClient {
    anchor: Anchor,
}

impl EvmLightClient {
    /// A client that believes this anchor and nothing else.
    pub fn new(anchor: Anchor) -> Self {
        Self { anchor }
    }

    fn wants(&self, head: &Head) -> u64 {
        head.trusted.as_ref().map_or(self.anchor.height, |trusted| trusted.link.height.saturating_add(1))
    }

    fn finality(&self) -> Finality {
        self.anchor.consensus.finality()
    }

    fn run(&self, head: &Head, steps: &[Step], now: Timestamp, budget: &mut Budget) -> Result<Advance<Head>, Refusal> {
        require_rising(steps)?;
        let wants = self.wants(head);
        let headers_wanted = || Refusal::from(Shortfall::Headers { from: Height::new(wants) });
        let known = steps.partition_point(|step| step.height.get() < wants);
        let fresh = steps.get(known..).unwrap_or_default();
        match (fresh.split_first(), &head.trusted) {
            // Only what was known already: an overlapping delivery, and nothing to do.
            (None, Some(_)) if !steps.is_empty() => Ok(Advance { head: head.clone(), blocks: Vec::new() }),
            (Some((first, _)), Some(trusted)) if first.height.get() == wants => {
                self.follow(trusted.clone(), Vec::new(), fresh, now, budget)
            }
            (Some((first, rest)), None) if first.height.get() == wants => {
                let (trusted, facts) = self.take_anchor(first, now, budget).map_err(|no| at(no, first.height))?;
                self.follow(trusted, vec![facts], rest, now, budget)
            }
            _ => Err(headers_wanted()),
        }
    }

    /// Believes the block that the operator named, once its header hashes to the named hash.
    fn take_anchor(&self, step: &Step, now: Timestamp, budget: &mut Budget) -> Result<(Trusted, BlockFacts), Refusal> {
        budget.hashed_bytes(step.bytes.len())?;
        let header = parse_step(step)?;
        let time = require_not_ahead(&header, now)?;
        let named = self.anchor.validators.as_deref();
        let epoch = self.anchor.epoch;
        let (hash, rules, header) = match self.anchor.consensus {
            Consensus::Bft(kind) => {
                let block = kind.read(header).map_err(Rejection::from)?;
                self.anchor.require(block.hash()).map_err(Rejection::from)?;
                let rules = Rules::Bft(bft::State::at_anchor(&block, epoch, named, budget)?);
                (block.hash(), rules, block.header().clone())
            }
            Consensus::Clique => {
                let block = clique::Block::read(header).map_err(Rejection::from)?;
                self.anchor.require(block.hash()).map_err(Rejection::from)?;
                let rules = Rules::Clique(clique::State::at_anchor(&block, epoch, named, budget)?);
                (block.hash(), rules, block.header().clone())
            }
        };
        let link = Link { height: step.height.get(), hash, time: time.seconds() };
        let facts = self.facts(&header, hash, time, Sealing::Anchor);
        Ok((Trusted { link, rules }, facts))
    }

    fn facts(&self, header: &Header, hash: Hash32, time: Timestamp, sealing: Sealing) -> BlockFacts {
        BlockFacts {
            height: Height::new(header.fields().number),
            hash: BlockHash::from_bytes(*hash.as_bytes()),
            time,
            finality: self.finality(),
            state: BlockState::of(header, sealing).write(),
        }
    }

    /// Goes on from a trusted block. `blocks` are those that became trusted on the way to it.
    fn follow(
        &self,
        base: Trusted,
        mut blocks: Vec<BlockFacts>,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Advance<Head>, Refusal> {
        self.require_fresh(&base.link, now)?;
        let (mut judged, stopped) = self.judge(&base, steps, now, budget)?;
        let settled = match self.settled(&judged) {
            Ok(settled) => settled,
            Err(shortfall) if blocks.is_empty() => return Err(stopped.unwrap_or(shortfall).into()),
            Err(_) => return Ok(Advance { head: Head { trusted: Some(base) }, blocks }),
        };
        judged.truncate(settled);
        let trusted = judged.last().map_or(base, |last| Trusted { link: last.link, rules: last.rules.clone() });
        blocks.extend(judged.into_iter().map(|judged| judged.facts));
        if let (true, Some(shortfall)) = (blocks.is_empty(), stopped) {
            return Err(shortfall.into());
        }
        Ok(Advance { head: Head { trusted: Some(trusted) }, blocks })
    }

    /// Judges steps one on top of the other, up to the first gap or the first block that is ahead of the clock.
    fn judge(
        &self,
        base: &Trusted,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<(Vec<Judged>, Option<Shortfall>), Refusal> {
        let mut judged: Vec<Judged> = Vec::new();
        for step in steps {
            let (link, rules) = judged.last().map_or((&base.link, &base.rules), |last| (&last.link, &last.rules));
            let due = link.height.saturating_add(1);
            if step.height.get() != due {
                return Ok((judged, Some(Shortfall::Headers { from: Height::new(due) })));
            }
            match self.judge_one(link, rules, step, now, budget) {
                Ok(block) => judged.push(block),
                Err(Refusal::NotYet(shortfall)) => return Ok((judged, Some(shortfall))),
                Err(no) => return Err(at(no, step.height)),
            }
        }
        Ok((judged, None))
    }

    fn judge_one(
        &self,
        link: &Link,
        rules: &Rules,
        step: &Step,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Judged, Refusal> {
        budget.hashed_bytes(step.bytes.len())?;
        let header = parse_step(step)?;
        header.check_follows(link).map_err(Rejection::from)?;
        let epoch = self.anchor.epoch;
        let (hash, signer, sealing, after, header) = match rules {
            Rules::Bft(state) => {
                let block = self.read_bft(header)?;
                let after = state.advance(&block, epoch, budget)?;
                let sealing = Sealing::Bft(bft::set_digest(block.validators()));
                (block.hash(), None, sealing, Rules::Bft(after), block.header().clone())
            }
            Rules::Clique(state) => {
                let block = clique::Block::read(header).map_err(Rejection::from)?;
                let (signer, after) = state.advance(&block, epoch, budget)?;
                let sealing = Sealing::Clique(Box::new((*link, state.clone())));
                (block.hash(), Some(signer), sealing, Rules::Clique(after), block.header().clone())
            }
        };
        // Last, so that a forged block of the future is refused rather than waited for.
        let time = require_not_ahead(&header, now)?;
        let facts = self.facts(&header, hash, time, sealing);
        Ok(Judged { link: Link { height: step.height.get(), hash, time: time.seconds() }, rules: after, signer, facts })
    }

    /// How many of these blocks, from the first on, are settled.
    fn settled(&self, judged: &[Judged]) -> Result<usize, Shortfall> {
        let Some(first) = judged.first() else {
            return Ok(0);
        };
        let mut shortfall = Shortfall::Headers { from: Height::new(first.link.height) };
        for place in (0..judged.len()).rev() {
            let Some((block, above)) = judged.get(place..).and_then(<[Judged]>::split_first) else { continue };
            let Rules::Clique(state) = &block.rules else { return Ok(judged.len()) };
            let on_top: Vec<Address> = above.iter().filter_map(|block| block.signer).collect();
            match state.require_confirmed(self.asked(), &on_top) {
                Ok(()) => return Ok(place + 1),
                Err(few) => shortfall = Shortfall::Confirmations { have: number(few.have), need: number(few.need) },
            }
        }
        Err(shortfall)
    }

    /// Reads a header by the BFT kind of the anchor. A head says which rules hold, and only this client writes heads, so
    /// the other kind here means that a head was stored under another anchor.
    fn read_bft(&self, header: Header) -> Result<bft::Block, Rejection> {
        match self.anchor.consensus {
            Consensus::Bft(kind) => Ok(kind.read(header)?),
            Consensus::Clique => Err(Fault::new(Reason::Anchor, "a head of Clique", "a head of a BFT kind").into()),
        }
    }

    fn asked(&self) -> usize {
        usize::try_from(self.anchor.confirmations).unwrap_or(usize::MAX)
    }

    fn trusted_until(&self, link: &Link) -> Option<Timestamp> {
        // At genesis the operator's word is the only age there is; many genesis blocks carry time 0.
        if link.height == 0 {
            return None;
        }
        Timestamp::from_seconds(link.time).map(|time| time.plus(self.anchor.trusted_for))
    }

    fn require_fresh(&self, link: &Link, now: Timestamp) -> Result<(), Shortfall> {
        match self.trusted_until(link) {
            Some(until) if now > until => Err(Shortfall::Expired { until, now }),
            _ => Ok(()),
        }
    }

    fn find(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Vec<ItemFacts>, Refusal> {
        let (Wanted::Matching(selector) | Wanted::These(selector, _)) = wanted;
        let selector = LogSelector::read(selector).map_err(Rejection::from)?;
        let state = BlockState::read(&block.state).map_err(Rejection::from)?;
        let receipts = match evidence {
            Some(evidence) => {
                budget.hashed_bytes(evidence.len().saturating_mul(2))?;
                open_evidence(evidence, state.receipts_root).map_err(Rejection::from)?
            }
            None if state.receipts_root == EMPTY_ROOT || selector.is_excluded_by(&state.bloom) => Vec::new(),
            None => return Err(Shortfall::Evidence { height: block.height }.into()),
        };
        let found = match wanted {
            Wanted::Matching(_) => every_match(block.height, &receipts, &selector),
            Wanted::These(_, refs) => {
                refs.iter().map(|item| this_one(block.height, &receipts, &selector, item)).collect()
            }
        };
        found.map_err(|fault| Rejection::from(fault).at(block.height).into())
    }

    fn rival(&self, block: &BlockFacts, other: &Step, budget: &mut Budget) -> Result<Option<Misbehaviour>, Rejection> {
        if other.height != block.height {
            return Ok(None);
        }
        let state = BlockState::read(&block.state)?;
        let found = match &state.sealing {
            Sealing::Anchor => None,
            Sealing::Bft(set) => self.bft_rival(&state, *set, other, budget)?,
            Sealing::Clique(rules) => self.clique_rival(&rules.0, &rules.1, other, budget)?,
        };
        let Some((hash, signers)) = found else { return Ok(None) };
        let hash = BlockHash::from_bytes(*hash.as_bytes());
        if hash == block.hash {
            return Ok(None);
        }
        let signers = signers.iter().map(Address::to_string).collect();
        Ok(Some(Misbehaviour { height: block.height, trusted: block.hash, other: hash, signers }))
    }

    /// Another block on the same parent, sealed by a quorum of the same set. The parent is asked for because one
    /// consortium may run two ledgers with the same keys; two honest blocks of one height on different ledgers differ
    /// in it.
    fn bft_rival(
        &self,
        state: &BlockState,
        set: Hash32,
        other: &Step,
        budget: &mut Budget,
    ) -> Result<Option<(Hash32, Vec<Address>)>, Rejection> {
        let block = self.read_bft(parse_step(other)?)?;
        let same_place = block.header().fields().parent_hash == state.parent_hash;
        if !same_place || bft::set_digest(block.validators()) != set {
            return Ok(None);
        }
        let signers = block.require_quorum(budget)?;
        Ok(Some((block.hash(), signers)))
    }

    /// Another branch from the same parent that is confirmed by itself.
    fn clique_rival(
        &self,
        parent: &Link,
        rules: &clique::State,
        other: &Step,
        budget: &mut Budget,
    ) -> Result<Option<(Hash32, Vec<Address>)>, Rejection> {
        let mut link = *parent;
        let mut rules = rules.clone();
        let mut rival: Option<(Hash32, clique::State)> = None;
        let mut signers = Vec::new();
        let mut rest = Reader::new(&other.bytes);
        for _ in 0..MAX_RIVALS {
            if rest.is_empty() {
                break;
            }
            let raw = rest.raw().map_err(Fault::from)?;
            budget.hashed_bytes(raw.len())?;
            let header = Header::parse(raw)?;
            header.check_follows(&link)?;
            let block = clique::Block::read(header)?;
            let (signer, after) = rules.advance(&block, self.anchor.epoch, budget)?;
            let fields = block.header().fields();
            link = Link { height: fields.number, hash: block.hash(), time: fields.timestamp };
            signers.push(signer);
            rival.get_or_insert_with(|| (block.hash(), after.clone()));
            rules = after;
        }
        let Some((hash, after)) = rival else { return Ok(None) };
        let on_top = signers.get(1..).unwrap_or_default();
        Ok(after.require_confirmed(self.asked(), on_top).is_ok().then_some((hash, signers)))
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
        Head { trusted: None }
    }

    fn describe(&self, head: &Head) -> HeadFacts {
        let trusted = head.trusted.as_ref();
        let confirmations = match trusted.map(|trusted| &trusted.rules) {
            Some(Rules::Clique(state)) => number(state.confirmations(self.asked())),
            Some(Rules::Bft(_)) => 0,
            None => self.anchor.confirmations,
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
}

/// Whether a block's own data lets a source skip fetching its receipts for this selector.
///
/// # Errors
/// [`Fault`] if state or selector are malformed.
pub fn needs_evidence(block_state: &[u8], selector: &hufu_adapters_light_client::Selector) -> Result<bool, Fault> {
    let state = BlockState::read(block_state)?;
    let selector = LogSelector::read(selector)?;
    Ok(state.receipts_root != EMPTY_ROOT && !selector.is_excluded_by(&state.bloom))
}

fn require_rising(steps: &[Step]) -> Result<(), Rejection> {
    match steps.iter().zip(steps.iter().skip(1)).find(|(one, next)| one.height >= next.height) {
        None => Ok(()),
        Some((one, next)) => {
            Err(Fault::new(Reason::Height, format!("steps rising from {}", one.height), next.height).into())
        }
    }
}

/// Reads the header of a step and checks that it is of the height that the step claims.
fn parse_step(step: &Step) -> Result<Header, Rejection> {
    let header = Header::parse(&step.bytes)?;
    if header.fields().number != step.height.get() {
        return Err(Fault::new(Reason::Height, step.height, header.fields().number).into());
    }
    Ok(header)
}

fn require_not_ahead(header: &Header, now: Timestamp) -> Result<Timestamp, Refusal> {
    let seconds = header.fields().timestamp;
    let time = Timestamp::from_seconds(seconds)
        .ok_or_else(|| Rejection::from(Fault::new(Reason::Time, "a time before the year 10000", seconds)))?;
    if time > now.plus(DRIFT_SECONDS) {
        return Err(Shortfall::Ahead { block: time, now }.into());
    }
    Ok(time)
}

fn at(refusal: Refusal, height: Height) -> Refusal {
    match refusal {
        Refusal::Reject(rejection) => Refusal::Reject(rejection.at(height)),
        not_yet => not_yet,
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn every_match(height: Height, receipts: &[&[u8]], selector: &LogSelector) -> Result<Vec<ItemFacts>, Fault> {
    let mut found = Vec::new();
    for (transaction, bytes) in (0u32..).zip(receipts) {
        let receipt = Receipt::parse(bytes)?;
        for (event, log) in (0u32..).zip(receipt.logs()) {
            if selector.matches(log) {
                found.push(item(height, ItemRef { transaction, event }, log.raw()));
            }
        }
    }
    Ok(found)
}

fn this_one(height: Height, receipts: &[&[u8]], selector: &LogSelector, wanted: &ItemRef) -> Result<ItemFacts, Fault> {
    let missing = || {
        let expected = format!("transaction {}, event {} in the block", wanted.transaction, wanted.event);
        Fault::new(Reason::ItemMissing, expected, format!("{} receipts without it", receipts.len()))
    };
    let bytes = place(wanted.transaction).and_then(|at| receipts.get(at)).ok_or_else(missing)?;
    let receipt = Receipt::parse(bytes)?;
    let log = place(wanted.event).and_then(|at| receipt.logs().get(at)).ok_or_else(missing)?;
    if !selector.matches(log) {
        let expected = format!("a selected event of contract {}", selector.contract());
        let got = format!("contract {}, first topic {:?}", log.address(), log.topics().first());
        return Err(Fault::new(Reason::ItemOfAnother, expected, got));
    }
    Ok(item(height, *wanted, log.raw()))
}

fn place(index: u32) -> Option<usize> {
    usize::try_from(index).ok()
}

fn item(height: Height, place: ItemRef, native: &[u8]) -> ItemFacts {
    let position = Position { height, transaction: place.transaction, event: place.event };
    ItemFacts { position, native: native.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bft::{Ballot, Kind};
    use crate::bloom::Bloom;
    use crate::receipt::write_evidence;
    use crate::rlp;
    use crate::testing::{BftDraft, CliqueDraft, HeaderDraft, Key, keys};
    use crate::trie::ordered_root;
    use hufu_adapters_light_client::{DynLightClient, Erased, Selector, StoredHead, TrustedBlock};
    use serde_json::json;

    const GENESIS_TIME: u64 = 1_700_000_000;

    fn time(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds).unwrap()
    }

    fn now() -> Timestamp {
        time(GENESIS_TIME + 100)
    }

    fn step(height: u64, bytes: Vec<u8>) -> Step {
        Step { height: Height::new(height), bytes }
    }

    /// A BFT ledger of a few keys that grows block by block.
    struct Ledger {
        kind: Kind,
        keys: Vec<Key>,
        steps: Vec<Step>,
        tip: Hash32,
    }

    impl Ledger {
        fn new(count: u8, genesis_gas: u8) -> Self {
            Self::of(Kind::Qbft, count, genesis_gas)
        }

        fn of(kind: Kind, count: u8, genesis_gas: u8) -> Self {
            let keys = keys(count);
            let mut genesis = BftDraft::new(kind, &keys, &[]);
            genesis.header.number = 0;
            genesis.header.parent_hash = Hash32::ZERO;
            genesis.header.timestamp = GENESIS_TIME;
            genesis.header.gas_used = vec![genesis_gas];
            let tip = genesis.block().unwrap().hash();
            Self { kind, keys, steps: vec![step(0, genesis.encode())], tip }
        }

        fn draft(&self) -> BftDraft {
            let height = self.steps.len() as u64;
            let mut draft = BftDraft::new(self.kind, &self.keys, &self.keys);
            draft.header.number = height;
            draft.header.parent_hash = self.tip;
            draft.header.timestamp = GENESIS_TIME + height;
            draft
        }

        fn push(&mut self, draft: &BftDraft) {
            self.tip = draft.block().unwrap().hash();
            self.steps.push(step(self.steps.len() as u64, draft.encode()));
        }

        fn grown(mut self, blocks: usize) -> Self {
            for _ in 0..blocks {
                let draft = self.draft();
                self.push(&draft);
            }
            self
        }

        fn client(&self) -> Erased<EvmLightClient> {
            client(json!({ "family": "evm", "consensus": self.kind.as_str(), "height": 0, "hash": self.hash(0) }))
        }

        fn hash(&self, height: usize) -> Hash32 {
            self.kind.read(Header::parse(&self.steps[height].bytes).unwrap()).unwrap().hash()
        }
    }

    fn client(anchor: serde_json::Value) -> Erased<EvmLightClient> {
        Erased::new(EvmLightClient::new(Anchor::parse(&anchor).unwrap()))
    }

    fn go(client: &dyn DynLightClient, head: &StoredHead, steps: &[Step]) -> (StoredHead, Vec<TrustedBlock>) {
        match client.advance(head, steps, now(), &mut Budget::for_update()) {
            Outcome::Accept(advanced) => (advanced.head, advanced.blocks),
            other => panic!("expected the steps to be accepted, got {other:?}"),
        }
    }

    fn refused(client: &dyn DynLightClient, head: &StoredHead, steps: &[Step]) -> &'static str {
        match client.advance(head, steps, now(), &mut Budget::for_update()) {
            Outcome::Accept(advanced) => panic!("expected a refusal, got {} blocks", advanced.blocks.len()),
            Outcome::NotYet(shortfall) => shortfall.reason(),
            Outcome::Reject(rejection) => rejection.reason(),
        }
    }

    #[test]
    fn follows_a_ledger_whatever_the_slices() {
        for kind in Kind::ALL {
            let ledger = Ledger::of(kind, 4, 1).grown(9);
            let client = ledger.client();
            let (at_once, blocks) = go(&client, &client.anchor(), &ledger.steps);
            assert_eq!(blocks.len(), 10);
            assert!(blocks.iter().all(|block| block.finality() == Finality::BftFinal));
            let mut head = client.anchor();
            for start in (0..10).step_by(3) {
                // Overlapping slices: what is known already is passed over.
                let from = start.max(1) - 1;
                head = go(&client, &head, &ledger.steps[from..(start + 3).min(10)]).0;
            }
            assert_eq!(head, at_once);
            assert_eq!(go(&client, &head, &ledger.steps).1.len(), 0);
        }
    }

    #[test]
    fn an_anchor_that_names_another_kind() {
        for kind in Kind::ALL {
            let ledger = Ledger::of(kind, 4, 1).grown(1);
            for other in Kind::ALL.into_iter().filter(|other| *other != kind) {
                let client = client(json!({
                    "family": "evm", "consensus": other.as_str(), "height": 0, "hash": ledger.hash(0),
                }));
                let seen = client.advance(&client.anchor(), &ledger.steps, now(), &mut Budget::for_update());
                assert!(matches!(seen, Outcome::Reject(_)), "{kind:?} as {other:?}");
            }
        }
    }

    #[test]
    fn a_head_stored_before_other_kinds_were_built() {
        let rules = Rules::Bft(bft::State::of(vec![Key::number(1).address()]));
        let mut stored = serde_json::to_value(&rules).unwrap();
        stored["qbft"] = stored["bft"].take();
        stored.as_object_mut().unwrap().remove("bft");
        assert_eq!(serde_json::from_value::<Rules>(stored).unwrap(), rules);
    }

    #[test]
    fn wrong_chain() {
        let ours = Ledger::new(4, 1);
        let theirs = Ledger::new(3, 1).grown(1);
        let client = ours.client();
        assert_eq!(refused(&client, &client.anchor(), &theirs.steps), "anchor-hash");
    }

    #[test]
    fn same_chain_id_with_another_genesis() {
        let ours = Ledger::new(4, 1);
        let theirs = Ledger::new(4, 2).grown(1);
        let client = ours.client();
        assert_ne!(client.ledger(), theirs.client().ledger());
        let (head, _) = go(&client, &client.anchor(), &ours.steps);
        assert_eq!(refused(&client, &head, &theirs.steps[1..]), "parent-hash");
    }

    #[test]
    fn a_gap_a_step_of_another_height_and_steps_that_fall() {
        let ledger = Ledger::new(4, 1).grown(3);
        let client = ledger.client();
        let (head, _) = go(&client, &client.anchor(), &ledger.steps[..1]);
        assert_eq!(refused(&client, &head, &ledger.steps[2..]), "headers-wanted");
        assert_eq!(refused(&client, &head, &[]), "headers-wanted");
        let renamed = step(1, ledger.steps[2].bytes.clone());
        assert_eq!(refused(&client, &head, &[renamed]), "height-unexpected");
        let falling = [ledger.steps[2].clone(), ledger.steps[1].clone()];
        assert_eq!(refused(&client, &head, &falling), "height-unexpected");
        let with_gap = [ledger.steps[1].clone(), ledger.steps[3].clone()];
        assert_eq!(go(&client, &head, &with_gap).1.len(), 1);
    }

    #[test]
    fn a_header_that_does_not_follow() {
        let mut ledger = Ledger::new(4, 1).grown(1);
        let client = ledger.client();
        let (head, _) = go(&client, &client.anchor(), &ledger.steps);
        let mut same_time = ledger.draft();
        same_time.header.timestamp -= 1;
        assert_eq!(refused(&client, &head, &[step(2, same_time.encode())]), "time-not-rising");
        let mut gas = ledger.draft();
        gas.header.gas_used = vec![0x7f, 0, 0, 0];
        assert_eq!(refused(&client, &head, &[step(2, gas.encode())]), "gas-above-limit");
        let mut trailing = ledger.draft().encode();
        trailing.push(0);
        assert_eq!(refused(&client, &head, &[step(2, trailing)]), "rlp-trailing-bytes");
        let good = ledger.draft();
        ledger.push(&good);
        go(&client, &head, &ledger.steps);
    }

    #[test]
    fn a_block_ahead_of_the_clock_waits_and_those_before_it_do_not() {
        let mut ledger = Ledger::new(4, 1).grown(1);
        let mut ahead = ledger.draft();
        ahead.header.timestamp = now().seconds() + DRIFT_SECONDS + 1;
        ledger.push(&ahead);
        let client = ledger.client();
        let (head, blocks) = go(&client, &client.anchor(), &ledger.steps);
        assert_eq!(blocks.len(), 2);
        assert_eq!(refused(&client, &head, &ledger.steps[2..]), "ahead-of-clock");
    }

    #[test]
    fn an_expired_head_is_not_extended() {
        let ledger = Ledger::new(4, 1).grown(2);
        let client = ledger.client();
        let (head, _) = go(&client, &client.anchor(), &ledger.steps[..2]);
        let facts = client.describe(&head).accepted().unwrap();
        let until = facts.trusted_until.unwrap();
        assert_eq!(until.seconds(), GENESIS_TIME + 1 + crate::anchor::DEFAULT_TRUSTED_FOR);
        let late = client.advance(&head, &ledger.steps, until.plus(1), &mut Budget::for_update());
        assert!(matches!(late, Outcome::NotYet(Shortfall::Expired { .. })));
        let in_time = client.advance(&head, &ledger.steps, until, &mut Budget::for_update());
        assert_eq!(in_time.accepted().unwrap().blocks.len(), 1);
    }

    #[test]
    fn an_anchor_above_genesis_follows_on_and_names_its_ledger() {
        let ledger = Ledger::new(4, 1).grown(5);
        let hash = |height: usize| ledger.hash(height);
        let mut anchor = json!({
            "family": "evm", "consensus": "qbft", "height": 3, "hash": hash(3), "genesis": hash(0),
        });
        let later = client(anchor.clone());
        assert_eq!(later.ledger(), ledger.client().ledger());
        let (head, blocks) = go(&later, &later.anchor(), &ledger.steps[3..]);
        assert_eq!((blocks.len(), later.describe(&head).accepted().unwrap().wants), (3, Height::new(6)));
        anchor["validators"] = json!([Key::number(77).address()]);
        let other = client(anchor);
        assert_eq!(refused(&other, &other.anchor(), &ledger.steps[3..]), "anchor-validators");
    }

    #[test]
    fn a_set_that_changed_by_votes_from_before_the_anchor_is_refused() {
        let mut ledger = Ledger::new(3, 1);
        let newcomer = Key::number(60);
        for _ in 0..2 {
            let mut vote = ledger.draft();
            // Two of three vote: the second vote passes.
            vote.header.coinbase = ledger.keys[ledger.steps.len() - 1].address();
            vote.vote = Some(Ballot { candidate: newcomer.address(), add: true });
            ledger.push(&vote);
        }
        ledger.keys.push(newcomer);
        ledger.keys.sort_by_key(Key::address);
        let next = ledger.draft();
        ledger.push(&next);

        let client_at_genesis = ledger.client();
        assert_eq!(go(&client_at_genesis, &client_at_genesis.anchor(), &ledger.steps).1.len(), 4);

        let hash = |height: usize| ledger.hash(height);
        let mut anchor = json!({
            "family": "evm", "consensus": "qbft", "height": 2, "hash": hash(2), "genesis": hash(0),
        });
        let blind = client(anchor.clone());
        assert_eq!(refused(&blind, &blind.anchor(), &ledger.steps[2..]), "validators-unexpected");
        let seen: Vec<Address> = ledger.keys.iter().map(Key::address).collect();
        anchor["validators"] = json!(seen);
        let told = client(anchor);
        assert_eq!(go(&told, &told.anchor(), &ledger.steps[2..]).1.len(), 2);
    }

    fn raw_receipt(contract: Address, topics: &[Hash32]) -> Vec<u8> {
        let mut logs = Vec::new();
        for topic in topics {
            let mut list = Vec::new();
            rlp::write_string(topic.as_bytes(), &mut list);
            let mut items = Vec::new();
            rlp::write_string(contract.as_bytes(), &mut items);
            rlp::write_list(&list, &mut items);
            rlp::write_string(&[], &mut items);
            rlp::write_list(&items, &mut logs);
        }
        let mut items = Vec::new();
        rlp::write_u64(1, &mut items);
        rlp::write_u64(21_000, &mut items);
        rlp::write_string(&[0; 256], &mut items);
        rlp::write_list(&logs, &mut items);
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }

    struct Block {
        client: Erased<EvmLightClient>,
        block: TrustedBlock,
        receipts: Vec<Vec<u8>>,
    }

    const CONTRACT: Address = Address::new([0xc0; 20]);
    const OURS: Hash32 = Hash32::new([1; 32]);
    const OTHER: Hash32 = Hash32::new([2; 32]);

    fn selector(contract: Address) -> Selector {
        LogSelector::new(contract, vec![OURS]).unwrap().to_selector()
    }

    /// A trusted block with three receipts: two logs of ours, one of another event, one of another contract.
    fn block_with_logs() -> Block {
        let mut ledger = Ledger::new(4, 1);
        let receipts = vec![
            raw_receipt(CONTRACT, &[OTHER, OURS]),
            raw_receipt(Address::new([9; 20]), &[OURS]),
            raw_receipt(CONTRACT, &[OURS]),
        ];
        let mut bloom = Bloom::empty();
        [&CONTRACT.as_bytes()[..], &[9; 20], OURS.as_bytes(), OTHER.as_bytes()].iter().for_each(|x| bloom.insert(x));
        let mut draft = ledger.draft();
        draft.header.bloom = *bloom.as_bytes();
        draft.header.receipts_root = ordered_root(&receipts.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        ledger.push(&draft);
        let client = ledger.client();
        let (_, blocks) = go(&client, &client.anchor(), &ledger.steps);
        Block { client, block: blocks[1].clone(), receipts }
    }

    #[test]
    fn every_matching_log_of_a_block_is_found() {
        let Block { client, block, receipts } = block_with_logs();
        let evidence = write_evidence(&receipts);
        let found = client.matching(&block, &selector(CONTRACT), Some(&evidence), &mut Budget::for_evidence());
        let places: Vec<_> =
            found.accepted().unwrap().iter().map(|item| (item.position().transaction, item.position().event)).collect();
        assert_eq!(places, [(0, 1), (2, 0)]);
    }

    #[test]
    fn receipts_that_do_not_rebuild_the_root() {
        let Block { client, block, receipts } = block_with_logs();
        for wrong in [&receipts[..2], &[receipts[1].clone(), receipts[0].clone(), receipts[2].clone()], &[]] {
            let found =
                client.matching(&block, &selector(CONTRACT), Some(&write_evidence(wrong)), &mut Budget::for_evidence());
            assert!(matches!(found, Outcome::Reject(no) if no.reason() == "receipts-root"));
        }
    }

    #[test]
    fn wrong_contract() {
        let Block { client, block, receipts } = block_with_logs();
        let evidence = write_evidence(&receipts);
        let item = ItemRef { transaction: 1, event: 0 };
        let found = client.prove(&block, &selector(CONTRACT), &[item], Some(&evidence), &mut Budget::for_evidence());
        assert!(matches!(found, Outcome::Reject(no) if no.reason() == "item-not-selected"));
        let beyond = ItemRef { transaction: 2, event: 1 };
        let found = client.prove(&block, &selector(CONTRACT), &[beyond], Some(&evidence), &mut Budget::for_evidence());
        assert!(matches!(found, Outcome::Reject(no) if no.reason() == "item-missing"));
        let good = ItemRef { transaction: 2, event: 0 };
        let found = client.prove(&block, &selector(CONTRACT), &[good], Some(&evidence), &mut Budget::for_evidence());
        assert_eq!(found.accepted().unwrap().len(), 1);
    }

    #[test]
    fn evidence_may_be_absent_only_where_the_block_excludes_the_selector() {
        let Block { client, block, .. } = block_with_logs();
        let absent = selector(Address::new([0x77; 20]));
        let found = client.matching(&block, &absent, None, &mut Budget::for_evidence());
        assert!(found.accepted().unwrap().is_empty());
        let wanted = client.matching(&block, &selector(CONTRACT), None, &mut Budget::for_evidence());
        assert!(matches!(wanted, Outcome::NotYet(Shortfall::Evidence { .. })));
    }

    #[test]
    fn two_blocks_sealed_by_one_set_on_one_parent_are_misbehaviour() {
        for kind in Kind::ALL {
            let mut ledger = Ledger::of(kind, 4, 1);
            let mut rival = ledger.draft();
            rival.header.timestamp += 1;
            let mut elsewhere = rival.clone();
            elsewhere.header.parent_hash = Hash32::new([5; 32]);
            let mut few = rival.clone();
            few.signers.truncate(2);
            let honest = ledger.draft();
            ledger.push(&honest);
            let client = ledger.client();
            let (_, blocks) = go(&client, &client.anchor(), &ledger.steps);
            let conflict =
                |draft: &BftDraft| client.conflict(&blocks[1], &step(1, draft.encode()), &mut Budget::for_update());
            assert_eq!(conflict(&rival).unwrap().signers.len(), 4);
            let mut other_seals = honest;
            other_seals.signers.remove(0);
            assert_eq!(conflict(&other_seals), None, "the same block with other seals");
            assert_eq!(conflict(&few), None, "a rival below quorum is only talk");
            assert_eq!(conflict(&elsewhere), None, "another ledger of the same keys");
        }
    }

    /// A Clique branch on top of `parent`: one block by each of `signers`, in order.
    fn branch(keys: &[Key], parent: Hash32, from: u64, signers: &[usize], gas: u8) -> Vec<Step> {
        let mut parent_hash = parent;
        (from..)
            .zip(signers)
            .map(|(number, signer)| {
                let mut draft = CliqueDraft::new(&keys[*signer]);
                let in_turn = number % keys.len() as u64 == *signer as u64;
                draft.header = HeaderDraft {
                    parent_hash,
                    number,
                    difficulty: if in_turn { 2 } else { 1 },
                    timestamp: GENESIS_TIME + number,
                    gas_used: vec![gas],
                    ..HeaderDraft::default()
                };
                parent_hash = draft.block().unwrap().hash();
                step(number, draft.encode())
            })
            .collect()
    }

    fn clique_ledger() -> (Vec<Key>, Step, Hash32, Erased<EvmLightClient>) {
        let keys = keys(3);
        let mut genesis = CliqueDraft::new(&keys[0]);
        genesis.header.number = 0;
        genesis.header.timestamp = 0;
        genesis.listed = keys.iter().map(Key::address).collect();
        let hash = genesis.block().unwrap().hash();
        let client = client(json!({ "family": "evm", "consensus": "clique", "height": 0, "hash": hash }));
        (keys, step(0, genesis.encode()), hash, client)
    }

    #[test]
    fn clique_trusts_what_a_majority_built_on_and_lets_the_tail_go() {
        let (keys, genesis, hash, client) = clique_ledger();
        let (head, blocks) = go(&client, &client.anchor(), &[genesis]);
        assert_eq!(blocks.len(), 1);
        let one = branch(&keys, hash, 1, &[1, 2, 0, 1], 1);
        assert_eq!(refused(&client, &head, &one[..2]), "confirmations-wanted");
        let (head, blocks) = go(&client, &head, &one);
        assert_eq!(blocks.len(), 2, "two distinct signers on top of block 2");
        assert!(blocks.iter().all(|block| block.finality() == Finality::Probabilistic));
        // Another branch above the trusted height does no harm.
        let trusted = clique::Block::read(Header::parse(&one[1].bytes).unwrap()).unwrap().hash();
        let other = branch(&keys, trusted, 3, &[1, 0, 2, 1], 2);
        let (_, blocks) = go(&client, &head, &other);
        assert_eq!(blocks[0].height(), Height::new(3));
        // One that leaves below it is refused.
        assert_eq!(refused(&client, &head, &branch(&keys, hash, 3, &[0, 1, 2], 3)), "parent-hash");
    }

    #[test]
    fn two_signers_in_turn_do_not_confirm_for_three() {
        let (keys, genesis, hash, _) = clique_ledger();
        let strict = client(json!({
            "family": "evm", "consensus": "clique", "height": 0, "hash": hash, "confirmations": 3,
        }));
        let (head, _) = go(&strict, &strict.anchor(), &[genesis]);
        let alternating = branch(&keys, hash, 1, &[1, 2, 1, 2, 1, 2, 1], 1);
        assert_eq!(refused(&strict, &head, &alternating), "confirmations-wanted");
    }

    #[test]
    fn two_confirmed_branches_are_misbehaviour() {
        let (keys, genesis, hash, client) = clique_ledger();
        let (head, _) = go(&client, &client.anchor(), &[genesis]);
        let (_, blocks) = go(&client, &head, &branch(&keys, hash, 1, &[1, 2, 0], 1));
        let run = |signers: &[usize], gas| {
            let bytes = branch(&keys, hash, 1, signers, gas).iter().flat_map(|step| step.bytes.clone()).collect();
            client.conflict(&blocks[0], &step(1, bytes), &mut Budget::for_update())
        };
        assert_eq!(run(&[2, 0, 1], 2).unwrap().height, Height::new(1));
        assert_eq!(run(&[2, 0], 2), None, "not confirmed: a usual fork");
        assert_eq!(run(&[1, 2, 0], 1), None, "the same branch");
    }
}
