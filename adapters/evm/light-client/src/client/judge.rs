//! Judging headers: from the anchor, one on top of the other, up to those that are settled.

use super::ahead::{Candidate, MOST_AHEAD};
use super::window::Window;
use super::{DRIFT_SECONDS, EvmLightClient, Head, Judged, Rules, Trusted};
use crate::address::Address;
use crate::block_state::{BlockState, Sealing};
use crate::fault::{Fault, Reason};
use crate::header::{Header, Link};
use crate::keccak::Hash32;
use crate::uint::U256;
use crate::{bft, clique};
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Advance, BlockFacts, Budget, Rejection, Shortfall, Step};
use hufu_schemas_core::{BlockHash, Height, Timestamp};

impl EvmLightClient {
    pub(super) fn run(
        &self,
        head: &Head,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Advance<Head>, Refusal> {
        require_rising(steps)?;
        let wants = self.wants(head);
        let headers_wanted = || Refusal::from(Shortfall::Headers { from: Height::new(wants) });
        if let Some(advance) = self.branch(head, steps, now, budget)? {
            return Ok(advance);
        }
        let known = steps.partition_point(|step| step.height.get() < wants);
        let fresh = steps.get(known..).unwrap_or_default();
        match (fresh.split_first(), &head.trusted) {
            // Only what was known already: an overlapping delivery, and nothing to do.
            (None, Some(_)) if !steps.is_empty() => Ok(Advance { head: head.clone(), blocks: Vec::new() }),
            (Some((first, _)), Some(trusted)) if first.height.get() == wants => {
                self.require_linked(head, trusted, first)?;
                self.follow(trusted.clone(), head.window.clone(), Vec::new(), fresh, now, budget)
            }
            (Some((first, rest)), None) if first.height.get() == wants => {
                let (trusted, facts) = self.take_anchor(first, now, budget).map_err(|no| at(no, first.height))?;
                let window = if self.anchor.consensus.reorganises() { Window::at(&trusted) } else { Window::default() };
                self.follow(trusted, window, vec![facts], rest, now, budget)
            }
            (Some((first, _)), Some(trusted)) if first.height.get() > wants && self.anchor.skipping.is_on() => {
                self.follow(trusted.clone(), head.window.clone(), Vec::new(), fresh, now, budget)
            }
            _ => Err(headers_wanted()),
        }
    }

    /// Believes the block that the operator named, once its header hashes to the named hash.
    pub(super) fn take_anchor(
        &self,
        step: &Step,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<(Trusted, BlockFacts), Refusal> {
        budget.hashed_bytes(step.bytes.len())?;
        let candidate = self.read(step)?;
        let time = require_not_ahead(candidate.header(), now)?;
        let hash = candidate.hash();
        self.anchor.require(hash).map_err(Rejection::from)?;
        let named = self.anchor.validators.as_deref();
        let epoch = self.anchor.epoch;
        let rules = match &candidate {
            Candidate::Bft(block) => Rules::Bft(bft::State::at_anchor(block, epoch, named, budget)?),
            Candidate::Clique(block) => Rules::Clique(clique::State::at_anchor(block, epoch, named, budget)?),
            Candidate::Unsealed(_) => Rules::Unsealed,
        };
        let facts = self.facts(candidate.header(), hash, time, None, Sealing::Nobody);
        let link = Link::of(candidate.header(), hash);
        Ok((Trusted { link, rules }, facts))
    }

    pub(super) fn facts(
        &self,
        header: &Header,
        hash: Hash32,
        time: Timestamp,
        parent: Option<Hash32>,
        sealing: Sealing,
    ) -> BlockFacts {
        BlockFacts {
            height: Height::new(header.fields().number),
            hash: BlockHash::from_bytes(*hash.as_bytes()),
            time,
            finality: self.finality(),
            state: BlockState::of(header, parent, sealing).write(),
        }
    }

    /// Goes on from a trusted block. `blocks` are those that became trusted on the way to it.
    pub(super) fn follow(
        &self,
        base: Trusted,
        mut window: Window,
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
            Err(_) => return Ok(Advance { head: Head { trusted: Some(base), window }, blocks }),
        };
        judged.truncate(settled);
        if !window.is_empty() {
            window.extend(&judged, self.anchor.reorganisation_limit);
        }
        let trusted = judged.last().map_or(base, |last| Trusted { link: last.link, rules: last.rules.clone() });
        blocks.extend(judged.into_iter().map(|judged| judged.facts));
        if let (true, Some(shortfall)) = (blocks.is_empty(), stopped) {
            return Err(shortfall.into());
        }
        Ok(Advance { head: Head { trusted: Some(trusted), window }, blocks })
    }

    /// Judges steps one on top of the other, up to the first gap that may not be skipped or the first block that is
    /// ahead of the clock.
    pub(super) fn judge(
        &self,
        base: &Trusted,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<(Vec<Judged>, Option<Shortfall>), Refusal> {
        let mut judged: Vec<Judged> = Vec::new();
        let (mut rest, mut most) = (steps, 1);
        while !rest.is_empty() {
            let (link, rules) = judged.last().map_or((&base.link, &base.rules), |last| (&last.link, &last.rules));
            let mut ahead = self.read_ahead(link, rules, rest, most, budget).into_iter();
            let (these, later) = rest.split_at(ahead.len().clamp(1, rest.len()));
            for step in these {
                let (link, rules) = judged.last().map_or((&base.link, &base.rules), |last| (&last.link, &last.rules));
                let good = match step.height.get() == link.height.saturating_add(1) {
                    true => self.judge_one(link, rules, step, ahead.next(), now, budget),
                    false => self.judge_skip(link, rules, step, now, budget),
                };
                match good {
                    Ok(block) => judged.push(block),
                    Err(Refusal::NotYet(shortfall)) => return Ok((judged, Some(shortfall))),
                    Err(no) => return Err(at(no, step.height)),
                }
            }
            rest = later;
            most = most.saturating_mul(2).min(MOST_AHEAD);
        }
        Ok((judged, None))
    }

    /// Judges one step on top of another block; `read` is its header where it was read already.
    fn judge_one(
        &self,
        link: &Link,
        rules: &Rules,
        step: &Step,
        read: Option<Candidate>,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Judged, Refusal> {
        budget.hashed_bytes(step.bytes.len())?;
        let candidate = read.map_or_else(|| self.read(step), Ok)?;
        // A development node that reorganises gives several blocks one time.
        let slack = u64::from(matches!(rules, Rules::Unsealed));
        let parent = Link { time: link.time.saturating_sub(slack), ..*link };
        candidate.header().check_follows(&parent).map_err(Rejection::from)?;
        let epoch = self.anchor.epoch;
        let (signer, sealing, after) = match (rules, &candidate) {
            (Rules::Bft(state), Candidate::Bft(block)) => {
                let after = self.after_next(state, block, budget)?;
                (None, Sealing::Bft(bft::set_digest(block.validators())), Rules::Bft(after))
            }
            (Rules::Clique(state), Candidate::Clique(block)) => {
                let (signer, after) = state.advance(block, epoch, budget)?;
                (Some(signer), Sealing::Nobody, Rules::Clique(after))
            }
            (Rules::Unsealed, Candidate::Unsealed(_)) => (None, Sealing::Nobody, Rules::Unsealed),
            _ => return Err(self.of_another_anchor().into()),
        };
        self.judged(&candidate, link.state_root, sealing, after, signer, now)
    }

    /// A block whose seals are good, once its time is too: last, so that a forged block of the future is refused rather
    /// than waited for. `parent` is the root of the state that it began with, where the block below was followed.
    pub(super) fn judged(
        &self,
        candidate: &Candidate,
        parent: Option<Hash32>,
        sealing: Sealing,
        rules: Rules,
        signer: Option<Address>,
        now: Timestamp,
    ) -> Result<Judged, Refusal> {
        let header = candidate.header();
        let time = require_not_ahead(header, now)?;
        // The rules of Clique know two difficulties, one and two.
        let weight = if signer.is_some() && header.fields().difficulty == U256::from(2u64) { 2 } else { 1 };
        let facts = self.facts(header, candidate.hash(), time, parent, sealing);
        let link = Link::of(header, candidate.hash());
        Ok(Judged { link, rules, signer, weight, facts })
    }

    /// How many of these blocks, from the first on, are settled.
    pub(super) fn settled(&self, judged: &[Judged]) -> Result<usize, Shortfall> {
        let Some(first) = judged.first() else {
            return Ok(0);
        };
        let mut shortfall = Shortfall::Headers { from: Height::new(first.link.height) };
        for place in (0..judged.len()).rev() {
            let Some((block, above)) = judged.get(place..).and_then(<[Judged]>::split_first) else { continue };
            let (have, need) = match &block.rules {
                Rules::Bft(_) => return Ok(judged.len()),
                Rules::Unsealed => (above.len(), self.asked()),
                Rules::Clique(state) => {
                    let on_top: Vec<Address> = above.iter().filter_map(|block| block.signer).collect();
                    match state.require_confirmed(self.asked(), &on_top) {
                        Ok(()) => return Ok(place + 1),
                        Err(few) => (few.have, few.need),
                    }
                }
            };
            if have >= need {
                return Ok(place + 1);
            }
            shortfall = Shortfall::Confirmations { have: number(have), need: number(need) };
        }
        Err(shortfall)
    }

    pub(super) fn asked(&self) -> usize {
        usize::try_from(self.anchor.confirmations).unwrap_or(usize::MAX)
    }

    pub(super) fn trusted_until(&self, link: &Link) -> Option<Timestamp> {
        // At genesis the operator's word is the only age there is; many genesis blocks carry time 0.
        if link.height == 0 {
            return None;
        }
        Timestamp::from_seconds(link.time).map(|time| time.plus(self.anchor.trusted_for))
    }

    pub(super) fn require_fresh(&self, link: &Link, now: Timestamp) -> Result<(), Shortfall> {
        match self.trusted_until(link) {
            Some(until) if now > until => Err(Shortfall::Expired { until, now }),
            _ => Ok(()),
        }
    }
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
pub(super) fn parse_step(step: &Step) -> Result<Header, Rejection> {
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

pub(super) fn at(refusal: Refusal, height: Height) -> Refusal {
    match refusal {
        Refusal::Reject(rejection) => Refusal::Reject(rejection.at(height)),
        not_yet => not_yet,
    }
}

pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
