//! From the anchor to the end of the export, one verdict a block.
//!
//! The judgement is the light client's own: its rules of linking, and [`bft::State`] or [`clique::State`] for seals and
//! votes. What it leaves out is the clock, which says nothing about an export.
//!
//! After a rejected block the walk stands where it stood; another block of that height may still be final. What comes after
//! it is final too where it hangs by its hashes, over the rejected ones, on the last good block, and a quorum of its own
//! list *and* of the set that was to seal the rejected block have sealed it: they vouch for its ancestors with it. (The
//! hashes are asked for because one consortium may run two ledgers with the same keys.) Which votes the rejected blocks
//! carried is then not known until the next epoch block, so until there a set that changed is taken on the same terms. Any
//! other block after a rejected one is *not yet*: so is all that follows on Clique, where one signature a block says
//! nothing without its branch.
//!
//! A body or receipts that are not the header's reject their block and stop nothing, because the header itself was good.

use std::collections::{BTreeSet, VecDeque};

use hufu_adapters_light_client::{Budget, Rejection};
use hufu_evm_light_client::anchor::Consensus;
use hufu_evm_light_client::header::Link;
use hufu_evm_light_client::{Address, Header, bft, clique};

use super::super::{Count, Receipts, Row, Verdict};
use super::anchor::Anchor;
use super::body::{self, Block};
use super::candidate::Candidate;
use super::receipts::{Compared, GivenReceipts};

/// Blocks that may wait for confirmations. A majority of 1,024 signers is 513 blocks; an anchor may ask for more.
const MAX_WAITING: usize = 4_096;

/// The rules that hold on top of a block.
enum Rules {
    Bft(bft::State),
    Clique(clique::State),
}

/// The last block that was judged good.
struct Tip {
    link: Link,
    rules: Rules,
    /// Votes from before this height are not all known: the walk went on after a rejected block.
    votes_lost: bool,
}

/// What was seen since a block was rejected, with a row for each height.
struct Rejected {
    to: u64,
    /// The block of that height, where it hangs on the tip by its hashes.
    hangs: Option<Link>,
}

/// A row that is not printed yet.
struct Waiting {
    row: Row,
    /// Who signed the block and the rules on top of it, while it waits for confirmations.
    unsettled: Option<(Address, clique::State)>,
}

/// One walk over any number of files.
pub(super) struct Walk {
    anchor: Anchor,
    receipts: Option<GivenReceipts>,
    compared: Receipts,
    tip: Option<Tip>,
    /// The block that the tip wants was rejected.
    rejected: Option<Rejected>,
    waiting: VecDeque<Waiting>,
}

/// A block that was judged good.
struct Good {
    rules: Rules,
    signers: BTreeSet<Address>,
    quorum: Count,
    /// The signer, where the block is not settled by its own seals.
    buried_by: Option<Address>,
    /// It was judged apart from the block before it.
    votes_lost: bool,
}

impl Walk {
    pub(super) fn new(anchor: Anchor, receipts: Option<GivenReceipts>) -> Self {
        let compared = Receipts::default();
        Self { anchor, receipts, compared, tip: None, rejected: None, waiting: VecDeque::new() }
    }

    /// How many blocks' receipts were compared, where any were given.
    pub(super) fn receipts_compared(&self) -> Option<Receipts> {
        self.receipts.as_ref().map(|_| self.compared)
    }

    /// Judges one block; yields the rows that are settled by now, in the order of the blocks.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Vec<Row> {
        match self.read(bytes) {
            Ok((block, candidate)) => self.place(&block, &candidate),
            Err((height, reason)) => {
                let row = Row { height, ..self.row(Verdict::Rejected, Some(reason)) };
                self.note_rejection(height, None);
                self.push(row, None)
            }
        }
    }

    /// Notes bytes that are no block.
    pub(super) fn no_block(&mut self, reason: String) -> Vec<Row> {
        let row = self.row(Verdict::Rejected, Some(reason));
        self.push(row, None)
    }

    /// What is still waiting, at the end.
    pub(super) fn finish(&mut self) -> Vec<Row> {
        self.waiting.drain(..).map(|waiting| waiting.row).collect()
    }

    fn row(&self, verdict: Verdict, reason: Option<String>) -> Row {
        let finality = self.anchor.consensus.finality();
        let (height, hash, signers, quorum) = (None, None, Vec::new(), Count::default());
        Row { height, hash, verdict, finality: finality.as_str(), signers, quorum, reason }
    }

    fn row_of(&self, candidate: &Candidate, verdict: Verdict, reason: Option<String>) -> Row {
        let height = Some(candidate.number());
        Row { height, hash: Some(candidate.hash().to_string()), ..self.row(verdict, reason) }
    }

    /// Notes that a block cannot be followed. One that does not even say its height is taken for the one that was due.
    fn note_rejection(&mut self, height: Option<u64>, candidate: Option<&Candidate>) {
        let tip = self.tip.as_ref().map(|tip| tip.link);
        let (due, last) = match &self.rejected {
            Some(rejected) => (rejected.to.saturating_add(1), rejected.hangs),
            None => (tip.map_or(self.anchor.height, |link| link.height.saturating_add(1)), tip),
        };
        if height.is_none_or(|height| height == due) {
            let follows = |it: &&Candidate| last.is_some_and(|last| it.header().check_follows(&last).is_ok());
            let hangs = candidate.filter(follows).map(|it| Link::of(it.header(), it.hash()));
            self.rejected = Some(Rejected { to: due, hangs });
        }
    }

    fn read<'b>(&self, bytes: &'b [u8]) -> Result<(Block<'b>, Candidate), (Option<u64>, String)> {
        let block = Block::open(bytes).map_err(|reason| (None, reason))?;
        let header = Header::parse(block.header).map_err(|fault| (None, body::said(&fault)))?;
        let number = header.fields().number;
        let candidate = Candidate::read(header, self.anchor.consensus);
        let candidate = candidate.map_err(|reason| (Some(number), reason))?;
        Ok((block, candidate))
    }

    /// Finds out whether a block's turn has come.
    fn place(&mut self, block: &Block<'_>, candidate: &Candidate) -> Vec<Row> {
        let number = candidate.number();
        if number == self.anchor.height && (self.tip.is_none() || candidate.hash() == self.anchor.hash) {
            return self.start(block, candidate);
        }
        let Some(tip) = &self.tip else {
            let due = self.anchor.height;
            let reason = if number < due {
                format!(
                    "before-the-anchor: expected blocks from the anchor's {due} on, got block {number}, for which nobody vouches"
                )
            } else {
                format!("anchor-not-seen: expected block {due} of the anchor first, got block {number}")
            };
            return self.push(self.row_of(candidate, Verdict::NotYet, Some(reason)), None);
        };
        let wanted = tip.link.height.saturating_add(1);
        if number == wanted {
            return self.follow(block, candidate);
        }
        let reason = match (number < wanted, &self.rejected) {
            (true, _) => format!("passed: expected block {wanted}, got block {number}; audit its file by itself"),
            (false, None) => format!("gap: expected block {wanted}, got block {number}"),
            (false, Some(it)) if number == it.to.saturating_add(1) => return self.go_on(block, candidate, wanted),
            (false, Some(_)) => parent_rejected(wanted),
        };
        self.push(self.row_of(candidate, Verdict::NotYet, Some(reason)), None)
    }

    /// Goes on after a rejected block, if this one hangs on the tip and needs nothing that only the rejected one could say.
    fn go_on(&mut self, block: &Block<'_>, candidate: &Candidate, wanted: u64) -> Vec<Row> {
        let Some(tip) = &self.tip else { return Vec::new() };
        let hangs = self.rejected.as_ref().and_then(|rejected| rejected.hangs);
        let follows = hangs.is_some_and(|link| candidate.header().check_follows(&link).is_ok());
        match self.judge_apart(tip, candidate).filter(|_| follows) {
            Some(judged) => self.conclude(block, candidate, judged),
            None => {
                self.note_rejection(Some(candidate.number()), Some(candidate));
                let reason = parent_rejected(wanted);
                self.push(self.row_of(candidate, Verdict::NotYet, Some(reason)), None)
            }
        }
    }

    /// Judges a block by its own seals and by the validators of the tip, without those in between. `None` where that
    /// says nothing; a refusal where the block cannot be good whatever came before it.
    fn judge_apart(&self, tip: &Tip, candidate: &Candidate) -> Option<Result<Good, Rejection>> {
        let (Rules::Bft(state), Candidate::Bft(block)) = (&tip.rules, candidate) else { return None };
        let judged = candidate.require_time().and_then(|()| {
            let mut budget = Budget::for_update();
            bft::State::at_anchor(block, self.anchor.epoch, None, &mut budget)
        });
        let after = match judged {
            Ok(after) => after,
            Err(rejection) => return Some(Err(rejection)),
        };
        let trusted = state.validators();
        if candidate.signers(trusted).len() < candidate.need(trusted) {
            return None;
        }
        let signers = candidate.signers(block.validators());
        let quorum = Count::of(signers.len(), candidate.need(block.validators()));
        Some(Ok(Good {
            rules: Rules::Bft(after),
            signers,
            quorum,
            buried_by: None,
            votes_lost: !self.is_epoch(candidate),
        }))
    }

    /// Starts at the anchor block, or starts again: another node's copy of the ledger.
    fn start(&mut self, block: &Block<'_>, candidate: &Candidate) -> Vec<Row> {
        let judged = self.judge_anchor(candidate);
        let mut rows = Vec::new();
        if judged.is_ok() {
            rows = self.finish();
            self.tip = None;
        }
        rows.extend(self.conclude(block, candidate, judged));
        rows
    }

    fn judge_anchor(&self, candidate: &Candidate) -> Result<Good, Rejection> {
        let hash = candidate.hash();
        if hash != self.anchor.hash {
            return Err(Rejection::new("anchor-hash", self.anchor.hash.to_string(), hash.to_string()));
        }
        candidate.require_time()?;
        let (epoch, named) = (self.anchor.epoch, self.anchor.validators.as_deref());
        let mut budget = Budget::for_update();
        let rules = match candidate {
            Candidate::Bft(block) => Rules::Bft(bft::State::at_anchor(block, epoch, named, &mut budget)?),
            Candidate::Clique(block) => Rules::Clique(clique::State::at_anchor(block, epoch, named, &mut budget)?),
        };
        // Genesis has no seals: the operator's word is all there is.
        let signers = if candidate.number() == 0 { BTreeSet::new() } else { candidate.signers(candidate.listed()) };
        let need = if candidate.number() == 0 { 0 } else { candidate.need(candidate.listed()) };
        Ok(Good { rules, quorum: Count::of(signers.len(), need), signers, buried_by: None, votes_lost: false })
    }

    fn follow(&mut self, block: &Block<'_>, candidate: &Candidate) -> Vec<Row> {
        let Some(tip) = &self.tip else { return Vec::new() };
        let mut judged = self.judge_next(tip, candidate);
        // Votes that are not known may have changed the set: then the block is judged as one after a rejected one.
        if tip.votes_lost && judged.as_ref().is_err_and(|no| no.reason() == "validators-unexpected") {
            match self.judge_apart(tip, candidate) {
                Some(apart) => judged = apart,
                None => {
                    let wanted = candidate.number();
                    self.note_rejection(Some(wanted), Some(candidate));
                    let words =
                        format!("votes-unknown: a rejected block may have changed the validators of block {wanted}");
                    return self.push(self.row_of(candidate, Verdict::NotYet, Some(words)), None);
                }
            }
        }
        self.conclude(block, candidate, judged)
    }

    /// Whether all pending votes fall with this block.
    fn is_epoch(&self, candidate: &Candidate) -> bool {
        candidate.number().checked_rem(self.anchor.epoch) == Some(0)
    }

    fn judge_next(&self, tip: &Tip, candidate: &Candidate) -> Result<Good, Rejection> {
        candidate.header().check_follows(&tip.link)?;
        candidate.require_time()?;
        let mut budget = Budget::for_update();
        match (&tip.rules, candidate) {
            (Rules::Bft(state), Candidate::Bft(block)) => {
                let rules = Rules::Bft(state.advance(block, self.anchor.epoch, &mut budget)?);
                let signers = candidate.signers(block.validators());
                let quorum = Count::of(signers.len(), candidate.need(block.validators()));
                Ok(Good {
                    rules,
                    signers,
                    quorum,
                    buried_by: None,
                    votes_lost: tip.votes_lost && !self.is_epoch(candidate),
                })
            }
            (Rules::Clique(state), Candidate::Clique(block)) => {
                let (signer, after) = state.advance(block, self.anchor.epoch, &mut budget)?;
                let quorum = Count::of(0, after.confirmations(self.anchor.confirmations));
                let signers = BTreeSet::from([signer]);
                Ok(Good { rules: Rules::Clique(after), signers, quorum, buried_by: Some(signer), votes_lost: false })
            }
            // One walk has one consensus kind.
            _ => Err(Rejection::new("consensus-kind", self.anchor.consensus.as_str(), "another kind")),
        }
    }

    fn conclude(&mut self, block: &Block<'_>, candidate: &Candidate, judged: Result<Good, Rejection>) -> Vec<Row> {
        let good = match judged {
            Ok(good) => good,
            Err(rejection) => {
                self.note_rejection(Some(candidate.number()), Some(candidate));
                let row = self.refused(candidate, &rejection);
                return self.push(row, None);
            }
        };
        let link = Link::of(candidate.header(), candidate.hash());
        let contents = block.check_body(candidate.header()).and_then(|()| self.compare_receipts(candidate.header()));
        let unsettled = match (&good.rules, good.buried_by) {
            (Rules::Clique(state), Some(signer)) => Some((signer, state.clone())),
            _ => None,
        };
        let verdict = match (&contents, &unsettled) {
            (Err(_), _) => Verdict::Rejected,
            (Ok(()), Some(_)) => Verdict::NotYet,
            (Ok(()), None) => Verdict::Final,
        };
        let mut row = self.row_of(candidate, verdict, contents.err());
        row.signers = good.signers.iter().map(Address::to_string).collect();
        row.quorum = good.quorum;
        self.tip = Some(Tip { link, rules: good.rules, votes_lost: good.votes_lost });
        self.rejected = None;
        self.push(row, unsettled)
    }

    /// A refused block's row: signers are shown as far as they are trusted ones.
    fn refused(&self, candidate: &Candidate, rejection: &Rejection) -> Row {
        let trusted: &[Address] = match self.tip.as_ref().map(|tip| &tip.rules) {
            Some(Rules::Bft(state)) => state.validators(),
            Some(Rules::Clique(state)) => state.signers(),
            None => &[],
        };
        let reason = format!("{}: expected {}, got {}", rejection.reason(), rejection.expected(), rejection.got());
        let mut row = self.row_of(candidate, Verdict::Rejected, Some(reason));
        let signers = candidate.signers(trusted);
        let need = if trusted.is_empty() { 0 } else { candidate.need(trusted) };
        let have = if self.anchor.consensus == Consensus::Clique { 0 } else { signers.len() };
        row.quorum = Count::of(have, need);
        row.signers = signers.iter().map(Address::to_string).collect();
        row
    }

    fn compare_receipts(&mut self, header: &Header) -> Result<(), String> {
        let Some(receipts) = &self.receipts else { return Ok(()) };
        match receipts.compare(header) {
            Compared::Same => {
                self.compared.checked += 1;
                Ok(())
            }
            Compared::Missing => {
                self.compared.missing += 1;
                Ok(())
            }
            Compared::Wrong(reason) => {
                self.compared.checked += 1;
                self.compared.wrong += 1;
                Err(reason)
            }
        }
    }

    fn push(&mut self, row: Row, unsettled: Option<(Address, clique::State)>) -> Vec<Row> {
        self.waiting.push_back(Waiting { row, unsettled });
        self.settle();
        let mut rows = Vec::new();
        while let Some(front) = self.waiting.front() {
            if front.unsettled.is_some() && self.waiting.len() <= MAX_WAITING {
                break;
            }
            rows.extend(self.waiting.pop_front().map(|waiting| waiting.row));
        }
        rows
    }

    /// Settles the highest block that is confirmed by those on top of it, and all below it.
    fn settle(&mut self) {
        let mut on_top: Vec<Address> = Vec::new();
        let mut settled = false;
        for waiting in self.waiting.iter_mut().rev() {
            let Some((signer, state)) = &waiting.unsettled else { continue };
            let signer = *signer;
            let confirmed = state.require_confirmed(self.anchor.confirmations, &on_top);
            let members = state.signers();
            let seen: BTreeSet<&Address> = on_top.iter().filter(|it| members.binary_search(it).is_ok()).collect();
            let need = state.confirmations(self.anchor.confirmations);
            waiting.row.quorum = Count::of(seen.len(), need);
            settled |= confirmed.is_ok();
            // A block whose body or receipts are wrong counts as a confirmation and stays rejected.
            let undecided = waiting.row.verdict == Verdict::NotYet;
            if settled {
                waiting.unsettled = None;
            }
            if undecided && settled {
                waiting.row.verdict = Verdict::Final;
                waiting.row.reason = None;
            } else if undecided {
                let have = waiting.row.quorum.have;
                waiting.row.reason = Some(format!("confirmations-wanted: expected {need} signers on top, got {have}"));
            }
            on_top.push(signer);
        }
    }
}

fn parent_rejected(height: u64) -> String {
    format!("parent-rejected: block {height} was rejected, so what stands on it cannot be judged")
}
