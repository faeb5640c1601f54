//! The light client of one CometBFT ledger: follows headers from the operator's anchor and finds items in trusted blocks.
//!
//! A step is a [`LightStep`]: a signed header with its validators. A head is the last header that was verified. A *block*
//! becomes trusted when the header above it is verified too, because results and state of a block stand in the header
//! above ([`BlockState`]): blocks trail the head by one, which costs no more than waiting for the proofs themselves.
//!
//! Where a step is not the next height, its commit is judged by the trusted validators (skipping), and the headers in
//! between come with it, linked by hash: one commit is checked instead of many, and still no block is missing. A source
//! that finds too little trust for a far step sends a nearer one (bisection); which, is its own affair.
//!
//! Evidence of a block is an [`crate::evidence::Evidence`].

use crate::anchor::Anchor;
use crate::block_state::BlockState;
use crate::evidence;
use crate::fault::{Fault, Reason};
use crate::hash::Hash32;
use crate::header::Header;
use crate::selector::Lane;
use crate::step::LightStep;
use crate::time::Time;
use crate::validators::ValidatorSet;
use crate::verify::Trusted;
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{
    Advance, BlockFacts, Budget, ClientVersion, Control, Finality, HeadFacts, ItemFacts, LightClient, Misbehaviour,
    Outcome, Rejection, Selector, Shortfall, Step, Wanted,
};
use hufu_schemas_core::{BlockHash, Height, LedgerId, Position, Timestamp};
use serde::{Deserialize, Serialize};

/// The trusted view of one ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// `None` until the anchor's own header was seen.
    tip: Option<Tip>,
}

/// The last verified header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tip {
    header: Header,
    /// Who signs the next height, where it is known.
    next: Option<ValidatorSet>,
    /// The last block that became trusted: usually the one below.
    settled: Option<(u64, Hash32)>,
}

/// The light client of the ledger that one anchor names.
#[derive(Debug, Clone)]
pub struct CometbftLightClient {
    anchor: Anchor,
}

impl CometbftLightClient {
    /// A client that believes this anchor and nothing else.
    pub const fn new(anchor: Anchor) -> Self {
        Self { anchor }
    }

    fn wants(&self, head: &Head) -> u64 {
        head.tip.as_ref().map_or(self.anchor.height, |tip| tip.header.height.saturating_add(1))
    }

    fn run(&self, head: &Head, steps: &[Step], now: Timestamp, budget: &mut Budget) -> Result<Advance<Head>, Refusal> {
        require_rising(steps)?;
        let wants = self.wants(head);
        let known = steps.partition_point(|step| step.height.get() < wants);
        let fresh = steps.get(known..).unwrap_or_default();
        let mut advance = Advance { head: head.clone(), blocks: Vec::new() };
        if fresh.is_empty() {
            // Only what was known already is an overlapping delivery; nothing at all is a question.
            let nothing = steps.is_empty() || head.tip.is_none();
            return if nothing { Err(wanted(wants)) } else { Ok(advance) };
        }
        for (number, step) in fresh.iter().enumerate() {
            match self.judge(advance.head.tip.as_ref(), step, now, budget) {
                Ok((tip, blocks)) => {
                    advance.head.tip = Some(tip);
                    advance.blocks.extend(blocks);
                }
                // What went before stands; the rest comes again.
                Err(Refusal::NotYet(_)) if number > 0 => break,
                Err(no) => return Err(at(no, step.height)),
            }
        }
        Ok(advance)
    }

    fn judge(
        &self,
        tip: Option<&Tip>,
        step: &Step,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<(Tip, Vec<BlockFacts>), Refusal> {
        let due = tip.map_or(self.anchor.height, |tip| tip.header.height.saturating_add(1));
        if tip.is_none() && step.height.get() != due {
            return Err(wanted(due));
        }
        // Fields of headers and of validators are hashed about once each.
        budget.hashed_bytes(step.bytes.len())?;
        let light = LightStep::parse(&step.bytes).map_err(Rejection::from)?;
        if light.height() != step.height.get() {
            return Err(Rejection::from(Fault::new(Reason::Height, step.height, light.height())).into());
        }
        match tip {
            None => Ok((self.take_anchor(light, now)?, Vec::new())),
            Some(tip) => self.follow(tip, light, now, budget),
        }
    }

    /// Believes the block that the operator named, once its header hashes to the named hash. Its commit adds nothing.
    fn take_anchor(&self, light: LightStep, now: Timestamp) -> Result<Tip, Refusal> {
        let header = &light.signed_header.header;
        header.check(&self.anchor.rules.chain_id).map_err(Rejection::from)?;
        self.anchor.require(header.hash()).map_err(Rejection::from)?;
        self.anchor.rules.require_not_ahead(header.time, now)?;
        self.tip(light, None).map_err(|fault| Rejection::from(fault).into())
    }

    fn follow(
        &self,
        tip: &Tip,
        light: LightStep,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<(Tip, Vec<BlockFacts>), Refusal> {
        let signed = &light.signed_header;
        let due = tip.header.height.saturating_add(1);
        // The headers in between, and whether they reach down to the tip.
        let between = chain_below(&signed.header, &light.headers, &tip.header, &self.anchor.rules.chain_id);
        let between = between.map_err(Rejection::from)?;
        let reaches = signed.header.height.checked_sub(between.len() as u64) == Some(due);
        if !reaches && !self.anchor.skipping {
            return Err(wanted(due));
        }
        let validators = match (&light.validators, &tip.next) {
            (Some(set), _) => set,
            (None, Some(known)) if known.hash() == signed.header.validators_hash => known,
            (None, _) => return Err(Rejection::from(missing(&signed.header)).into()),
        };
        let trusted = Trusted {
            height: tip.header.height,
            time: tip.header.time,
            next_validators_hash: tip.header.next_validators_hash,
            next_validators: tip.next.as_ref(),
        };
        self.anchor.rules.verify(&trusted, signed, validators, now, budget)?;
        let blocks = settle(tip, &between, &signed.header, reaches).map_err(Rejection::from)?;
        let settled =
            blocks.last().map(|block| (block.height.get(), Hash32::new(*block.hash.as_bytes()))).or(tip.settled);
        let next =
            self.tip(LightStep { validators: Some(validators.clone()), ..light }, settled).map_err(Rejection::from)?;
        Ok((next, blocks))
    }

    /// The head after a verified header: with the next set, where the step shows it or where it is the same.
    fn tip(&self, light: LightStep, settled: Option<(u64, Hash32)>) -> Result<Tip, Fault> {
        let header = light.signed_header.header;
        if let Some(set) = light.validators.as_ref().filter(|set| set.hash() != header.validators_hash) {
            return Err(Fault::new(Reason::ValidatorsHash, header.validators_hash, set.hash()));
        }
        let due = header.next_validators_hash;
        if let Some(set) = light.next_validators.as_ref().filter(|set| set.hash() != due) {
            return Err(Fault::new(Reason::NextValidatorsHash, due, set.hash()));
        }
        let same = light.validators.filter(|set| set.hash() == due);
        let next = light.next_validators.or(same);
        if let Some(set) = &next {
            set.require_kinds(&self.anchor.rules.kinds)?;
        }
        Ok(Tip { header, next, settled })
    }

    fn find(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Result<Vec<ItemFacts>, Refusal> {
        let (Wanted::Matching(selector) | Wanted::These(selector, _)) = wanted;
        let lane = Lane::read(selector).map_err(Rejection::from)?;
        let state = BlockState::read(&block.state).map_err(Rejection::from)?;
        let whole = matches!(wanted, Wanted::Matching(_));
        let found = match evidence {
            Some(bytes) => evidence::find(&lane, &state, bytes, whole, budget)?,
            None if evidence::is_quiet(&lane, &state) => Vec::new(),
            None => return Err(Shortfall::Evidence { height: block.height }.into()),
        };
        let facts = |found: &evidence::Found| ItemFacts {
            position: Position { height: block.height, transaction: found.at.transaction, event: found.at.event },
            native: found.native.write(),
            standing: found.standing,
            // An application is replaced by an upgrade that its validators agree on; nothing proven says that none can.
            control: Control::IssuerControlled,
        };
        match wanted {
            Wanted::Matching(_) => Ok(found.iter().map(facts).collect()),
            Wanted::These(_, items) => items
                .iter()
                .map(|item| {
                    let missing = || Fault::new(Reason::ItemMissing, format!("a matching item {item:?}"), "none");
                    let found = found.iter().find(|found| found.at == *item).ok_or_else(missing);
                    found.map(facts).map_err(|fault| Rejection::from(fault).at(block.height).into())
                })
                .collect(),
        }
    }

    /// Another header of this height on this network, as well signed: by more than two thirds of the same set, or by more
    /// than two thirds of the set it names and more than the trust level of ours. Round and parent do not matter: no
    /// validator that follows the rules helps two headers of one height to more than two thirds.
    fn rival(&self, block: &BlockFacts, other: &Step, budget: &mut Budget) -> Result<Option<Misbehaviour>, Refusal> {
        if other.height != block.height {
            return Ok(None);
        }
        budget.hashed_bytes(other.bytes.len())?;
        let state = BlockState::read(&block.state).map_err(Rejection::from)?;
        let light = LightStep::parse(&other.bytes).map_err(Rejection::from)?;
        let (signed, Some(validators)) = (&light.signed_header, &light.validators) else { return Ok(None) };
        let hash = BlockHash::from_bytes(*signed.header.hash().as_bytes());
        if signed.header.height != block.height.get() || hash == block.hash {
            return Ok(None);
        }
        self.anchor.rules.check_block(signed, validators).map_err(Rejection::from)?;
        if validators.hash() == state.validators_hash {
            self.anchor.rules.require_signed(signed, validators, None, budget)?;
        } else {
            let Some(ours) = light.trusted_validators.filter(|set| set.hash() == state.validators_hash) else {
                return Ok(None);
            };
            let too_little = Shortfall::Headers { from: block.height };
            self.anchor.rules.require_signed(signed, validators, Some((&ours, too_little)), budget)?;
        }
        let voted = signed.commit.signatures.iter().filter(|entry| entry.flag == crate::commit::Flag::Commit);
        let signers = voted.filter_map(|entry| entry.address).map(|address| address.to_string()).collect();
        Ok(Some(Misbehaviour { height: block.height, trusted: block.hash, other: hash, signers }))
    }
}

/// The headers below `top` down to the tip, as shown: falling by one, linked by hash. Those at the tip and below are cut
/// off; the one at the tip must be the tip.
fn chain_below<'a>(
    top: &Header,
    headers: &'a [Header],
    tip: &Header,
    chain_id: &str,
) -> Result<Vec<&'a Header>, Fault> {
    let mut between: Vec<&Header> = Vec::new();
    let (mut height, mut time, mut due) = (top.height, top.time, top.last_block_id.hash);
    for header in headers {
        if height <= tip.height.saturating_add(1) {
            break;
        }
        header.check(chain_id)?;
        require_link(header.hash(), due)?;
        if header.height.checked_add(1) != Some(height) || header.time >= time {
            let expected = format!("height {} before {time}", height.saturating_sub(1));
            return Err(Fault::new(
                Reason::HashChain,
                expected,
                format!("height {} at {}", header.height, header.time),
            ));
        }
        (height, time, due) = (header.height, header.time, header.last_block_id.hash);
        between.push(header);
    }
    // The block before the lowest one is the tip itself: two chains with the same keys part here.
    if height == tip.height.saturating_add(1) {
        require_link(tip.hash(), due)?;
        require_later(time, tip.time)?;
    }
    Ok(between)
}

fn require_later(time: Time, before: Time) -> Result<(), Fault> {
    if time > before { Ok(()) } else { Err(Fault::new(Reason::Time, format!("a time after {before}"), time)) }
}

fn require_link(hash: Hash32, due: Option<Hash32>) -> Result<(), Fault> {
    if due == Some(hash) {
        return Ok(());
    }
    let due = due.map_or_else(|| "none".to_owned(), |due| due.to_string());
    Err(Fault::new(Reason::HashChain, hash, due))
}

/// The blocks that are now trusted with the header above them: the tip, where nothing is missing between, and all between.
fn settle(tip: &Tip, between: &[&Header], top: &Header, reaches: bool) -> Result<Vec<BlockFacts>, Fault> {
    let mut rising: Vec<&Header> = Vec::with_capacity(between.len() + 2);
    if reaches {
        rising.push(&tip.header);
    }
    rising.extend(between.iter().rev());
    rising.push(top);
    rising.iter().zip(rising.iter().skip(1)).map(|(block, above)| facts(block, above)).collect()
}

fn facts(header: &Header, above: &Header) -> Result<BlockFacts, Fault> {
    let seconds = u64::try_from(header.time.seconds()).ok().and_then(Timestamp::from_seconds);
    Ok(BlockFacts {
        height: Height::new(header.height),
        hash: BlockHash::from_bytes(*header.hash().as_bytes()),
        time: seconds.ok_or_else(|| Fault::new(Reason::Time, "a time after 1970", header.time))?,
        finality: Finality::BftFinal,
        state: BlockState::of(header, above).write(),
    })
}

fn missing(header: &Header) -> Fault {
    let expected = format!("validators {}", header.validators_hash);
    Fault::new(Reason::ValidatorsMissing, expected, "none, and they are not known")
}

fn wanted(from: u64) -> Refusal {
    Shortfall::Headers { from: Height::new(from) }.into()
}

fn at(no: Refusal, height: Height) -> Refusal {
    match no {
        Refusal::Reject(rejection) => Refusal::Reject(rejection.at(height)),
        not_yet @ Refusal::NotYet(_) => not_yet,
    }
}

fn require_rising(steps: &[Step]) -> Result<(), Rejection> {
    let rising = steps.iter().zip(steps.iter().skip(1)).all(|(a, b)| a.height < b.height);
    if rising { Ok(()) } else { Err(Fault::new(Reason::Height, "steps with rising heights", "another order").into()) }
}

impl LightClient for CometbftLightClient {
    type Head = Head;

    fn version(&self) -> ClientVersion {
        ClientVersion { name: "cometbft".to_owned(), version: 1 }
    }

    fn ledger(&self) -> &LedgerId {
        &self.anchor.ledger
    }

    fn anchor(&self) -> Head {
        Head { tip: None }
    }

    fn describe(&self, head: &Head) -> HeadFacts {
        let tip = head.tip.as_ref();
        let settled = tip.and_then(|tip| tip.settled);
        let next = tip.and_then(|tip| tip.next.as_ref());
        HeadFacts {
            last: settled.map(|(height, hash)| (Height::new(height), BlockHash::from_bytes(*hash.as_bytes()))),
            wants: Height::new(self.wants(head)),
            trusted_until: tip.and_then(|tip| self.anchor.rules.trusted_until(tip.header.time)),
            confirmations: 1,
            validators: next.map_or_else(Vec::new, |set| set.addresses().iter().map(ToString::to_string).collect()),
        }
    }

    /// Nothing that validators sign commits to events.
    fn commits(&self, selector: &Selector) -> bool {
        !matches!(Lane::read(selector), Ok(Lane::Events { .. }))
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
        self.rival(block, other, budget).ok().flatten()
    }
}

/// Whether a block needs evidence before it can answer for this selector.
///
/// # Errors
/// [`Fault`] if either is not one that this family writes.
pub fn needs_evidence(
    block: &hufu_adapters_light_client::TrustedBlock,
    selector: &hufu_adapters_light_client::Selector,
) -> Result<bool, Fault> {
    Ok(!evidence::is_quiet(&Lane::read(selector)?, &BlockState::read(block.state())?))
}

#[cfg(test)]
mod tests;
