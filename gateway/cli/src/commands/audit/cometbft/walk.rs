//! From the anchor upwards, one verdict a header, in the order of heights.
//!
//! The judgement is the light client's own: every captured header is offered to it as a step, on top of the last that it
//! accepted. The clock it is given is the header's own time: an audit asks what the validators signed, not whether their
//! keys were still their own afterwards.
//!
//! After a rejected block the walk stands where it stood. The next header is offered with the ones below it, and so is
//! judged by its own votes where its hashes lead back to the last good block; otherwise it is *not yet*.
//!
//! Two headers of one height that are both signed by more than two thirds are a conflict: neither is final, and nothing
//! above is judged, because nobody can say on which of them it should stand. (Which came first in the capture says
//! nothing.)
//!
//! Validators, transactions, results and keys that are not the header's reject its row and stop nothing, because the header
//! itself was good.

use std::collections::VecDeque;

use hufu_adapters_light_client::{
    Advance, BlockFacts, Budget, Finality, LightClient as _, Misbehaviour, Outcome, Shortfall, Step,
};
use hufu_cometbft_light_client::block_state::BlockState;
use hufu_cometbft_light_client::client::Head;
use hufu_cometbft_light_client::step::MAX_HEADERS;
use hufu_cometbft_light_client::{
    Anchor, CometbftLightClient, Hash32, Header, LightStep, SignedHeader, Time, ValidatorSet,
};
use hufu_schemas_core::{BlockHash, Height, Timestamp};

use super::super::{Row, Verdict};
use super::beside::Beside;
use super::candidate::{self, Candidate, Sets, Votes};
use super::capture::Capture;
use crate::output::Output;

/// Rows that wait for a header above them: results and state of a block are settled by the next one, and a header without
/// votes of its own by any later one that leads back to it.
const MAX_WAITING: usize = 4_096;

/// One walk over a capture.
pub(super) struct Walk<'a> {
    capture: &'a Capture,
    out: &'a Output,
    anchor: Anchor,
    client: CometbftLightClient,
    head: Head,
    /// The last accepted header.
    tip: Option<Header>,
    /// Headers above the tip that were not accepted by themselves.
    passed: VecDeque<Header>,
    /// What came of the height that the tip wants, where it was captured.
    stood: Option<Verdict>,
    /// Where two headers of one height were both signed.
    conflict_at: Option<u64>,
    sets: Sets,
    beside: Beside<'a>,
    waiting: VecDeque<Row>,
}

/// What came of one header.
struct Judged {
    row: Row,
    /// The step that was accepted, with the head after it and the headers in between, rising.
    accepted: Option<(Head, Vec<Header>)>,
}

/// Why a step was not accepted.
enum No {
    NotYet(Shortfall),
    Never { reason: &'static str, words: String },
}

impl<'a> Walk<'a> {
    pub(super) fn new(anchor: Anchor, capture: &'a Capture, out: &'a Output) -> anyhow::Result<Self> {
        let client = CometbftLightClient::new(anchor.clone());
        Ok(Self {
            head: client.anchor(),
            client,
            anchor,
            capture,
            out,
            tip: None,
            passed: VecDeque::new(),
            stood: None,
            conflict_at: None,
            sets: Sets::new(capture)?,
            beside: Beside::new(capture, out),
            waiting: VecDeque::new(),
        })
    }

    /// Judges what was captured of one height; yields the rows that are settled by now. Heights must rise.
    pub(super) fn judge(&mut self, height: u64) -> anyhow::Result<Vec<Row>> {
        let (candidates, faults) = candidate::all(self.capture, height)?;
        self.waiting.extend(
            faults.into_iter().map(|words| Row { height: Some(height), ..row(Verdict::Rejected, Some(words)) }),
        );
        if let Some(reason) = self.not_to_be_judged(height) {
            let rows = candidates.iter().map(|candidate| row_of(candidate, Verdict::NotYet, Some(reason.clone())));
            self.waiting.extend(rows);
            return Ok(self.settled());
        }
        let mut judged = Vec::new();
        for candidate in &candidates {
            judged.push(self.judge_one(candidate)?);
        }
        match judged.iter().position(|it| it.accepted.is_some()) {
            Some(chosen) => self.take(&candidates, judged, chosen)?,
            None => self.pass_over(&candidates, judged),
        }
        Ok(self.settled())
    }

    /// What is still waiting, at the end.
    pub(super) fn finish(&mut self) -> Vec<Row> {
        self.waiting.drain(..).collect()
    }

    /// What came of transactions, results and keys, where any were captured.
    pub(super) fn beside(&self) -> Option<String> {
        self.beside.words()
    }

    fn not_to_be_judged(&self, height: u64) -> Option<String> {
        let due = self.anchor.height();
        if height < due {
            return Some(format!(
                "before-the-anchor: expected blocks from the anchor's {due} on, got block {height}, for which nobody vouches"
            ));
        }
        if self.tip.is_none() && height > due {
            return Some(format!("anchor-not-seen: expected block {due} of the anchor first, got block {height}"));
        }
        let twice = self.conflict_at?;
        Some(format!("conflict-below: block {twice} was signed twice, so what stands on it cannot be judged"))
    }

    fn judge_one(&mut self, candidate: &Candidate) -> anyhow::Result<Judged> {
        let header = &candidate.header;
        let (set, fault) = self.set_of(header)?;
        let next = match header.height.checked_add(1).filter(|_| header.next_validators_hash != header.validators_hash)
        {
            Some(above) => self.sets.at(self.capture, above, header.next_validators_hash)?.ok().flatten(),
            None => None,
        };
        let next = next.filter(|set| set.hash() == header.next_validators_hash);
        let between = self.chain_below(header);
        let mut refused = None;
        for commit in candidate.commits.iter().map(Some).chain(candidate.commits.is_empty().then_some(None)) {
            let signed = candidate.signed(commit);
            let step = LightStep {
                signed_header: signed.clone(),
                validators: set.clone(),
                next_validators: next.clone(),
                trusted_validators: None,
                headers: between.clone(),
            };
            match self.advance(&step) {
                Ok(advance) => {
                    let mut row = self.voted(row_of(candidate, Verdict::Final, None), &signed, set.as_ref());
                    reject(&mut row, fault);
                    let rising = between.into_iter().rev().collect();
                    return Ok(Judged { row, accepted: Some((advance.head, rising)) });
                }
                Err(no) => refused = refused.or(Some((no, signed))),
            }
        }
        let mut row = row_of(candidate, Verdict::NotYet, None);
        if let Some((no, signed)) = refused {
            (row.verdict, row.reason) = self.refusal(candidate, &no);
            row = self.voted(row, &signed, set.as_ref());
        }
        if fault.is_some() {
            reject(&mut row, fault);
        }
        Ok(Judged { row, accepted: None })
    }

    /// The set that was captured for a header; in words why what was captured for its height is not the header's, and
    /// then the one that was captured elsewhere.
    fn set_of(&mut self, header: &Header) -> anyhow::Result<(Option<ValidatorSet>, Option<String>)> {
        let due = header.validators_hash;
        Ok(match self.sets.at(self.capture, header.height, due)? {
            Ok(Some(set)) if set.hash() != due => {
                (self.sets.known(due), Some(format!("validators-hash: expected {due}, got {}", set.hash())))
            }
            Ok(set) => (set, None),
            Err(fault) => (self.sets.known(due), Some(fault.to_string())),
        })
    }

    /// Headers that were passed over, from just below this one down as far as hashes lead.
    fn chain_below(&self, header: &Header) -> Vec<Header> {
        let mut chain: Vec<Header> = Vec::new();
        let mut due = header.last_block_id.hash;
        for below in self.passed.iter().rev() {
            if due == Some(below.hash()) {
                due = below.last_block_id.hash;
                chain.push(below.clone());
            }
        }
        chain
    }

    fn advance(&self, step: &LightStep) -> Result<Advance<Head>, No> {
        let header = &step.signed_header.header;
        let Some(now) = clock(header.time) else {
            let words = format!("time-not-rising: expected a time from 1970 to 9999, got {}", header.time);
            return Err(No::Never { reason: "time-not-rising", words });
        };
        match self.client.advance(&self.head, &[travelling(step)], now, &mut Budget::for_update()) {
            Outcome::Accept(advance) => Ok(advance),
            Outcome::NotYet(shortfall) => Err(No::NotYet(shortfall)),
            Outcome::Reject(no) => {
                let words = format!("{}: expected {}, got {}", no.reason(), no.expected(), no.got());
                Err(No::Never { reason: no.reason(), words })
            }
        }
    }

    fn refusal(&self, candidate: &Candidate, no: &No) -> (Verdict, Option<String>) {
        let wanted = self.tip.as_ref().map_or(self.anchor.height(), |tip| tip.height.saturating_add(1));
        let words = match no {
            // Nobody did wrong where votes or validators were not captured.
            No::Never { words, .. } if candidate.commits.is_empty() => format!("commit-missing: {words}"),
            No::Never { reason: "validators-missing", words } => words.clone(),
            No::Never { words, .. } => return (Verdict::Rejected, Some(words.clone())),
            No::NotYet(Shortfall::Headers { .. }) => match self.stood {
                Some(Verdict::Rejected) => {
                    format!("parent-rejected: block {wanted} was rejected, so what stands on it cannot be judged")
                }
                None => format!("gap: expected block {wanted}, got block {}", candidate.header.height),
                Some(_) => format!("headers-wanted: expected block {wanted} first, which is not settled"),
            },
            No::NotYet(shortfall) => format!("{}: {shortfall}", shortfall.reason()),
        };
        (Verdict::NotYet, Some(words))
    }

    fn voted(&self, row: Row, signed: &SignedHeader, set: Option<&ValidatorSet>) -> Row {
        let votes = Votes::of(signed, set);
        if votes.bad > 0 && row.verdict == Verdict::Final {
            let (height, bad) = (signed.header.height, votes.bad);
            self.out.tell(&format!("block {height}: {bad} of its votes do not verify; more than two thirds do"));
        }
        Row { signers: votes.signers.iter().map(ToString::to_string).collect(), quorum: votes.quorum, ..row }
    }

    /// Goes on from the accepted header of a height, unless another of that height is as well signed.
    fn take(&mut self, candidates: &[Candidate], judged: Vec<Judged>, chosen: usize) -> anyhow::Result<()> {
        let Some(ours) = candidates.get(chosen) else { return Ok(()) };
        let mut conflict = None;
        for (at, other) in candidates.iter().enumerate() {
            if at != chosen && conflict.is_none() {
                conflict = self.conflict(ours, other)?;
            }
        }
        if let Some(conflict) = conflict {
            self.freeze(candidates, judged, &conflict);
            return Ok(());
        }
        for (at, Judged { mut row, accepted }) in judged.into_iter().enumerate() {
            let Some((head, between)) = accepted.filter(|_| at == chosen) else {
                self.waiting.push_back(row);
                continue;
            };
            reject(&mut row, self.beside.check_own(ours)?.err());
            self.waiting.push_back(row);
            self.close(&between, &ours.header)?;
            self.head = head;
            self.tip = Some(ours.header.clone());
            self.passed.clear();
            self.stood = None;
        }
        Ok(())
    }

    /// Settles the blocks that the new header stands on: their results and state stand in the header above each.
    fn close(&mut self, between: &[Header], top: &Header) -> anyhow::Result<()> {
        for header in between {
            let hash = header.hash().to_string();
            let row = self.waiting.iter_mut().find(|row| row.hash.as_deref() == Some(hash.as_str()));
            if let Some(row) = row.filter(|row| row.verdict == Verdict::NotYet) {
                (row.verdict, row.reason) = (Verdict::Final, None);
            }
            let fault = self.beside.check_transactions(header, Ok(()))?.err();
            self.reject_row(header.hash(), fault);
        }
        let lowest = between.first().unwrap_or(top);
        let below = self.tip.clone().filter(|tip| lowest.last_block_id.hash == Some(tip.hash()));
        let chain: Vec<&Header> = below.iter().chain(between).chain([top]).collect();
        for (block, above) in chain.iter().zip(chain.iter().skip(1)) {
            let fault = self.beside.check_by_above(block.height, above)?.err();
            self.reject_row(block.hash(), fault);
        }
        Ok(())
    }

    fn reject_row(&mut self, hash: Hash32, fault: Option<String>) {
        let hash = hash.to_string();
        if let Some(row) = self.waiting.iter_mut().find(|row| row.hash.as_deref() == Some(hash.as_str())) {
            reject(row, fault);
        }
    }

    /// Whether another header of the height is as well signed as ours.
    fn conflict(&mut self, ours: &Candidate, other: &Candidate) -> anyhow::Result<Option<Misbehaviour>> {
        let Some(time) = clock(ours.header.time) else { return Ok(None) };
        let facts = BlockFacts {
            height: Height::new(ours.header.height),
            hash: BlockHash::from_bytes(*ours.hash.as_bytes()),
            time,
            finality: Finality::BftFinal,
            // Who signed our block is all that a rival is held against.
            state: BlockState::of(&ours.header, &ours.header).write(),
        };
        let set = |due: Hash32, sets: &mut Sets| -> anyhow::Result<Option<ValidatorSet>> {
            let found = sets.at(self.capture, ours.header.height, due)?.ok().flatten();
            Ok(found.filter(|set| set.hash() == due))
        };
        let validators = set(other.header.validators_hash, &mut self.sets)?;
        let trusted_validators = set(ours.header.validators_hash, &mut self.sets)?;
        Ok(other.commits.iter().find_map(|commit| {
            let step = LightStep {
                signed_header: other.signed(Some(commit)),
                validators: validators.clone(),
                next_validators: None,
                trusted_validators: trusted_validators.clone(),
                headers: Vec::new(),
            };
            self.client.conflict(&facts, &travelling(&step), &mut Budget::for_update())
        }))
    }

    fn freeze(&mut self, candidates: &[Candidate], judged: Vec<Judged>, conflict: &Misbehaviour) {
        let both = [conflict.trusted, conflict.other].map(|hash| Hash32::new(*hash.as_bytes()));
        let [one, other] = both.map(|hash| hash.to_string());
        let words = format!(
            "conflict: expected one header of height {} that more than two thirds signed, got {one} and {other}; the second is signed by {}",
            conflict.height,
            conflict.signers.join(", "),
        );
        self.out.tell(&words);
        self.conflict_at = Some(conflict.height.get());
        for (candidate, Judged { mut row, .. }) in candidates.iter().zip(judged) {
            if both.contains(&candidate.hash) {
                (row.verdict, row.reason) = (Verdict::Rejected, Some(words.clone()));
            }
            self.waiting.push_back(row);
        }
    }

    fn pass_over(&mut self, candidates: &[Candidate], judged: Vec<Judged>) {
        let wanted = self.tip.as_ref().map(|tip| tip.height.saturating_add(1));
        for (candidate, Judged { row, .. }) in candidates.iter().zip(judged) {
            if wanted == Some(candidate.header.height) {
                self.stood = self.stood.filter(|stood| *stood == Verdict::Rejected).or(Some(row.verdict));
            }
            if self.tip.is_some() {
                if self.passed.len() == MAX_HEADERS {
                    self.passed.pop_front();
                }
                self.passed.push_back(candidate.header.clone());
            }
            self.waiting.push_back(row);
        }
    }

    /// Rows that no later header changes.
    fn settled(&mut self) -> Vec<Row> {
        let tip = self.tip.as_ref().map_or(0, |tip| tip.height);
        let mut rows = Vec::new();
        while let Some(front) = self.waiting.front() {
            if front.height.is_some_and(|height| height >= tip) && self.waiting.len() <= MAX_WAITING {
                break;
            }
            rows.extend(self.waiting.pop_front());
        }
        rows
    }
}

pub(super) fn row(verdict: Verdict, reason: Option<String>) -> Row {
    let (height, hash, signers) = (None, None, Vec::new());
    Row { height, hash, verdict, finality: Finality::BftFinal.as_str(), signers, quorum: Default::default(), reason }
}

fn row_of(candidate: &Candidate, verdict: Verdict, reason: Option<String>) -> Row {
    Row { height: Some(candidate.header.height), hash: Some(candidate.hash.to_string()), ..row(verdict, reason) }
}

/// Rejects a row for what stands beside its header; the first reason stays.
fn reject(row: &mut Row, fault: Option<String>) {
    if let Some(words) = fault
        && row.verdict != Verdict::Rejected
    {
        (row.verdict, row.reason) = (Verdict::Rejected, Some(words));
    }
}

fn travelling(step: &LightStep) -> Step {
    Step { height: Height::new(step.height()), bytes: step.write() }
}

/// The first whole second after a header's time; none for times that no record can carry.
fn clock(time: Time) -> Option<Timestamp> {
    Timestamp::from_seconds(u64::try_from(time.seconds()).ok()?.checked_add(1)?)
}
