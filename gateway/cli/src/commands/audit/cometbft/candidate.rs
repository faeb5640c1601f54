//! A header that was captured for a height, with whatever votes and validators were captured beside it.

use std::collections::VecDeque;

use hufu_cometbft_light_client::canonical_vote::VoteBytes;
use hufu_cometbft_light_client::commit::{Commit, Flag};
use hufu_cometbft_light_client::header::BlockId;
use hufu_cometbft_light_client::keys::{self, Claim};
use hufu_cometbft_light_client::rpc::light;
use hufu_cometbft_light_client::{Address, Fault, Hash32, Header, SignedHeader, ValidatorSet};
use serde_json::{Value, json};

use super::super::Count;
use super::capture::{Capture, Place};

/// Validator sets that are remembered for heights of which none was captured: sets change rarely.
const MAX_KNOWN_SETS: usize = 16;

/// One header of a height.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) header: Header,
    pub(super) hash: Hash32,
    /// Votes for it, as often as captured.
    pub(super) commits: Vec<Commit>,
    /// Blocks with this header.
    pub(super) blocks: Vec<Place>,
}

impl Candidate {
    /// The header with votes; without any where none were captured, which is enough for the block of an anchor.
    pub(super) fn signed(&self, commit: Option<&Commit>) -> SignedHeader {
        let none = || Commit {
            height: self.header.height,
            round: 0,
            block_id: BlockId { hash: Some(self.hash), ..BlockId::default() },
            signatures: Vec::new(),
        };
        SignedHeader { header: self.header.clone(), commit: commit.cloned().unwrap_or_else(none) }
    }
}

/// All headers that were captured for a height, each once, and in words what cannot be read.
pub(super) fn all(capture: &Capture, height: u64) -> anyhow::Result<(Vec<Candidate>, Vec<String>)> {
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    let Some(heard) = capture.at(height) else { return Ok((found, faults)) };
    for place in &heard.commits {
        match light::signed_header(&capture.answer(*place)?) {
            Ok(signed) => {
                let candidate = of_header(&mut found, signed.header);
                candidate.commits.push(signed.commit);
            }
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    for place in &heard.blocks {
        match light::header(&capture.answer(*place)?) {
            Ok(header) => of_header(&mut found, header).blocks.push(*place),
            Err(fault) => faults.push(fault.to_string()),
        }
    }
    if found.iter().any(|candidate| candidate.commits.is_empty()) {
        add_commits_of_the_next_block(capture, height, &mut found)?;
    }
    Ok((found, faults))
}

fn of_header(found: &mut Vec<Candidate>, header: Header) -> &mut Candidate {
    let hash = header.hash();
    let at = found.iter().position(|candidate| candidate.hash == hash).unwrap_or_else(|| {
        found.push(Candidate { header, hash, commits: Vec::new(), blocks: Vec::new() });
        found.len() - 1
    });
    // The index was found or made just now.
    #[allow(clippy::indexing_slicing, reason = "found or pushed in the line above")]
    &mut found[at]
}

/// A block carries the votes for the one before it.
fn add_commits_of_the_next_block(capture: &Capture, height: u64, found: &mut [Candidate]) -> anyhow::Result<()> {
    let next = height.checked_add(1).and_then(|next| capture.at(next));
    for place in next.map(|next| next.blocks.as_slice()).unwrap_or_default() {
        let answer = capture.answer(*place)?;
        let (header, commit) = (answer.pointer("/block/header"), answer.pointer("/block/last_commit"));
        let Ok(signed) = light::signed_header(&json!({ "header": header, "commit": commit })) else { continue };
        let named = signed.commit.block_id.hash;
        if let Some(candidate) = found.iter_mut().find(|it| it.commits.is_empty() && Some(it.hash) == named) {
            candidate.commits.push(signed.commit);
        }
    }
    Ok(())
}

/// The validator sets that were captured, found by height and, where none was captured for a height, by hash.
#[derive(Debug, Default)]
pub(super) struct Sets {
    known: VecDeque<ValidatorSet>,
}

impl Sets {
    /// With the sets of genesis files, which hold for a height where the header names them.
    pub(super) fn new(capture: &Capture) -> anyhow::Result<Self> {
        let mut sets = Self::default();
        for place in capture.genesis() {
            let answer = capture.answer(*place)?;
            let genesis = answer.get("genesis").unwrap_or(&Value::Null);
            if let Ok(set) = light::validators(std::slice::from_ref(genesis)) {
                sets.remember(&set);
            }
        }
        Ok(sets)
    }

    /// The set of a height whose header names it by this hash. Where only another was captured for the height, that one:
    /// the light client says what is wrong with it.
    ///
    /// # Errors
    /// The inner one where what was captured for the height is no set.
    pub(super) fn at(
        &mut self,
        capture: &Capture,
        height: u64,
        due: Hash32,
    ) -> anyhow::Result<Result<Option<ValidatorSet>, Fault>> {
        let mut captured = Vec::new();
        for pages in copies(capture, height)? {
            captured.push(light::validators(&pages));
        }
        if let Some(set) = captured.iter().flatten().find(|set| set.hash() == due) {
            self.remember(set);
            return Ok(Ok(Some(set.clone())));
        }
        Ok(match captured.into_iter().next() {
            Some(other) => other.map(Some),
            None => Ok(self.known(due)),
        })
    }

    /// A set of this hash that was captured for another height.
    pub(super) fn known(&self, hash: Hash32) -> Option<ValidatorSet> {
        self.known.iter().find(|set| set.hash() == hash).cloned()
    }

    fn remember(&mut self, set: &ValidatorSet) {
        if self.known.iter().any(|known| known.hash() == set.hash()) {
            return;
        }
        if self.known.len() == MAX_KNOWN_SETS {
            self.known.pop_front();
        }
        self.known.push_back(set.clone());
    }
}

/// Pages of `/validators` at a height, one list for each copy: several nodes may have been asked.
fn copies(capture: &Capture, height: u64) -> anyhow::Result<Vec<Vec<Value>>> {
    let mut copies = Vec::new();
    let mut pages: Vec<Value> = Vec::new();
    let mut count = 0;
    for place in capture.at(height).map(|heard| heard.validators.as_slice()).unwrap_or_default() {
        let page = capture.answer(*place)?;
        count += page.get("validators").and_then(Value::as_array).map_or(0, Vec::len);
        let total = page.get("total").and_then(Value::as_str).and_then(|total| total.parse().ok()).unwrap_or(count);
        pages.push(page);
        if count >= total {
            copies.push(std::mem::take(&mut pages));
            count = 0;
        }
    }
    if !pages.is_empty() {
        copies.push(pages);
    }
    Ok(copies)
}

/// Whose votes are good, of all that were captured, and their power.
#[derive(Debug, Default)]
pub(super) struct Votes {
    /// Ascending.
    pub(super) signers: Vec<Address>,
    pub(super) quorum: Count,
    /// Votes for the block that do not verify.
    pub(super) bad: usize,
}

impl Votes {
    /// Looks at every vote, also at those that the light client has no need of.
    pub(super) fn of(signed: &SignedHeader, set: Option<&ValidatorSet>) -> Self {
        let SignedHeader { header, commit } = signed;
        let Some(set) = set.filter(|set| set.hash() == header.validators_hash) else { return Self::default() };
        let need = u64::try_from(u128::from(set.total()) * 2 / 3 + 1).unwrap_or(u64::MAX);
        let mut votes = Self { quorum: Count { have: 0, need }, ..Self::default() };
        if commit.block_id.hash != Some(header.hash()) || commit.height != header.height || commit.check(set).is_err() {
            return votes;
        }
        let bytes = VoteBytes::of(commit, &header.chain_id);
        let entries = commit.signatures.iter().zip(set.validators().iter().zip(set.addresses()));
        let cast: Vec<_> = entries
            .filter(|(entry, _)| entry.flag == Flag::Commit)
            .map(|(entry, (validator, address))| {
                let message = bytes.at(entry.timestamp);
                (Claim { key: &validator.pub_key, message, signature: &entry.signature }, validator.power, *address)
            })
            .collect();
        let good = |claims: &[Claim<'_>]| keys::verify_all(claims).is_ok();
        // Together they are checked faster; one by one only where that fails.
        let claims: Vec<Claim<'_>> = cast.iter().map(|(claim, ..)| claim.clone()).collect();
        let all_good = good(&claims);
        for (claim, power, address) in cast {
            if all_good || good(std::slice::from_ref(&claim)) {
                votes.signers.push(address);
                votes.quorum.have = votes.quorum.have.saturating_add(power);
            } else {
                votes.bad += 1;
            }
        }
        votes.signers.sort_unstable();
        votes
    }
}
