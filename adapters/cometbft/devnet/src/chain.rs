//! The ledger itself: blocks made one after the other, votes really signed, no messages exchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::app::{self, State, TxResult};
use crate::block::{self, Block};
use crate::commit::{Commit, CommitSig, Flag};
use crate::error::DevnetError;
use crate::header::{BLOCK_PROTOCOL, BlockId, Header, consensus_hash};
use crate::keys::{Address, Key};
use crate::merkle::{Hash, sha256};
use crate::validators::{Update, Validator, ValidatorSet};

/// Limits of a block, as a fresh genesis of CometBFT 0.38 has them: bytes, and no limit of gas.
pub const MAX_BLOCK_BYTES: i64 = 22_020_096;
/// No limit of gas.
pub const MAX_BLOCK_GAS: i64 = -1;

/// Blocks without a stated time follow each other by it.
const STEP: Duration = Duration::from_secs(1);
/// Header times rise by at least this (`types/vote.go`: BFT time in milliseconds).
const LEAST_STEP: Duration = Duration::from_millis(1);
/// Validators' clocks differ by it, in the order of the set.
const CLOCK_DIFFERENCE: Duration = Duration::from_micros(1);

/// What the network begins with.
#[derive(Debug, Clone)]
pub struct Genesis {
    /// Name of the network.
    pub chain_id: String,
    /// Time of the first block.
    pub time: Duration,
    /// The first validators, in the order of the genesis file.
    pub validators: Vec<Update>,
}

/// A ledger. Clones share their blocks.
#[derive(Debug, Clone)]
pub struct Chain {
    genesis: Arc<Genesis>,
    keys: Arc<BTreeMap<Address, Key>>,
    blocks: Vec<Arc<Block>>,
    next: Arc<ValidatorSet>,
    after_next: Arc<ValidatorSet>,
    state: Arc<State>,
    /// States after the last heights, no more than `kept`.
    states: BTreeMap<u64, Arc<State>>,
    kept: usize,
    pending: Vec<Vec<u8>>,
    places: BTreeMap<Hash, (u64, usize)>,
    stopped: BTreeSet<Address>,
    voting_nil: BTreeSet<Address>,
}

impl Chain {
    /// A ledger with its first block, which keeps the states of so many heights.
    ///
    /// # Errors
    /// [`DevnetError::Halted`] if the validators make no set.
    pub fn new(genesis: Genesis, keys: Vec<Key>, kept: usize) -> Result<Self, DevnetError> {
        let first = ValidatorSet::genesis(&genesis.validators).map_err(DevnetError::Halted)?;
        let mut chain = Self {
            after_next: Arc::new(first.advanced()),
            next: Arc::new(first),
            genesis: Arc::new(genesis),
            keys: Arc::new(keys.into_iter().map(|key| (key.address(), key)).collect()),
            blocks: Vec::new(),
            state: Arc::default(),
            states: BTreeMap::new(),
            kept,
            pending: Vec::new(),
            places: BTreeMap::new(),
            stopped: BTreeSet::new(),
            voting_nil: BTreeSet::new(),
        };
        chain.mine(Duration::ZERO)?;
        Ok(chain)
    }

    /// What it began with.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Height of the last block.
    pub fn height(&self) -> u64 {
        self.blocks.len() as u64
    }

    /// The block of a height, from 1.
    pub fn at(&self, height: u64) -> Option<&Arc<Block>> {
        self.blocks.get(usize::try_from(height.checked_sub(1)?).ok()?)
    }

    /// Who votes at a height, up to the one after the last block.
    pub fn validators_at(&self, height: u64) -> Option<&ValidatorSet> {
        match self.at(height) {
            Some(block) => Some(&block.validators),
            None => (height == self.height() + 1).then_some(&*self.next),
        }
    }

    /// The state after a height, where it is still kept.
    pub fn state_at(&self, height: u64) -> Option<&State> {
        self.states.get(&height).map(|state| &**state)
    }

    /// The lowest height whose state is kept.
    pub fn oldest_state(&self) -> u64 {
        self.states.keys().next().copied().unwrap_or(0)
    }

    /// Where a transaction is, by its hash.
    pub fn place(&self, hash: &Hash) -> Option<(u64, usize)> {
        self.places.get(hash).copied()
    }

    /// Whether a transaction waits or is in a block already; a real node's mempool refuses it then.
    pub fn knows(&self, tx: &[u8]) -> bool {
        self.places.contains_key(&sha256(&[tx])) || self.pending.iter().any(|waiting| waiting == tx)
    }

    /// Transactions that wait for the next block.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Queues a transaction and gives its hash.
    pub fn submit(&mut self, tx: Vec<u8>) -> Hash {
        let hash = sha256(&[&tx]);
        self.pending.push(tx);
        hash
    }

    /// A stopped validator neither proposes nor votes.
    pub fn set_running(&mut self, validator: Address, running: bool) {
        if running {
            self.stopped.remove(&validator);
            self.voting_nil.remove(&validator);
        } else {
            self.stopped.insert(validator);
        }
    }

    /// A validator that votes for no block.
    pub fn vote_nil(&mut self, validator: Address) {
        self.voting_nil.insert(validator);
    }

    /// Makes the next block. Votes for it are given at this time, or a second after its own time where none is stated
    /// (zero), or as soon after it as can be.
    ///
    /// # Errors
    /// [`DevnetError::NoQuorum`] or [`DevnetError::Halted`]; what is queued stays queued.
    pub fn mine(&mut self, voted_at: Duration) -> Result<Arc<Block>, DevnetError> {
        let (header, last_commit) = self.propose();
        let bytes = block::encode(&header, &self.pending, &last_commit);
        let id = block::block_id(&header, &bytes);
        let voted_at = match voted_at {
            Duration::ZERO => header.time + STEP,
            stated => stated.max(header.time + LEAST_STEP),
        };
        let commit = self.vote(header.height, self.round(), id.clone(), voted_at)?;
        let (state, results, updates) = self.run();
        let after = self.after_next.next(&updates).map_err(DevnetError::Halted)?;
        let txs = std::mem::take(&mut self.pending);
        for (index, tx) in txs.iter().enumerate() {
            self.places.insert(sha256(&[tx]), (header.height, index));
        }
        let validators = std::mem::replace(&mut self.next, std::mem::replace(&mut self.after_next, Arc::new(after)));
        let size = bytes.len();
        let app_hash = self.settle(header.height, state);
        let made = Arc::new(Block {
            header,
            txs,
            last_commit,
            id,
            size,
            validators,
            commit,
            voted_at,
            results,
            updates,
            app_hash,
        });
        self.blocks.push(Arc::clone(&made));
        Ok(made)
    }

    /// The header that the next block will have, and the votes it carries for the block before.
    fn propose(&self) -> (Header, Commit) {
        let last = self.blocks.last();
        let last_commit = last.map(|block| block.commit.clone()).unwrap_or_default();
        let results: &[TxResult] = last.map_or(&[], |block| &block.results);
        let header = Header {
            block_version: BLOCK_PROTOCOL,
            app_version: app::VERSION,
            chain_id: self.genesis.chain_id.clone(),
            height: self.height() + 1,
            time: last.map_or(self.genesis.time, |block| median_time(&block.commit, &block.validators)),
            last_block_id: last.map(|block| block.id.clone()).unwrap_or_default(),
            last_commit_hash: last_commit.hash().to_vec(),
            data_hash: block::data_hash(&self.pending).to_vec(),
            validators_hash: self.next.hash().to_vec(),
            next_validators_hash: self.after_next.hash().to_vec(),
            consensus_hash: consensus_hash(MAX_BLOCK_BYTES, MAX_BLOCK_GAS).to_vec(),
            app_hash: last.map_or_else(|| self.state.hash(), |block| block.app_hash).to_vec(),
            last_results_hash: block::results_hash(results).to_vec(),
            evidence_hash: sha256(&[]).to_vec(),
            proposer_address: self.proposer().map(|it| it.address().to_vec()).unwrap_or_default(),
        };
        (header, last_commit)
    }

    /// The round in which a proposer runs: one that is stopped costs a round each time it is its turn.
    fn round(&self) -> u32 {
        self.turns().0
    }

    fn proposer(&self) -> Option<Validator> {
        self.turns().1
    }

    fn turns(&self) -> (u32, Option<Validator>) {
        let mut set = (*self.next).clone();
        // Where nobody runs no block is made, and where the few that run are a small part, neither.
        let most = u32::try_from(set.validators().len()).unwrap_or(u32::MAX).saturating_mul(2);
        for round in 0..most {
            if let Some(proposer) = set.proposer().filter(|it| !self.stopped.contains(&it.address())) {
                return (round, Some(proposer.clone()));
            }
            if round == 0 {
                set = set.advanced();
            } else {
                set.turn();
            }
        }
        (0, self.next.proposer().cloned())
    }

    fn vote(&self, height: u64, round: u32, block_id: BlockId, at: Duration) -> Result<Commit, DevnetError> {
        let mut commit = Commit { height, round, block_id, signatures: Vec::new() };
        let mut voting = 0_i64;
        for (place, validator) in (0..).zip(self.next.validators()) {
            let entry = self.entry(&commit, &validator.address(), at + CLOCK_DIFFERENCE * place);
            if entry.flag == Flag::Commit {
                voting = voting.saturating_add(validator.power);
            }
            commit.signatures.push(entry);
        }
        let total = self.next.total();
        if is_quorum(voting, total) { Ok(commit) } else { Err(DevnetError::NoQuorum { total, voting }) }
    }

    fn entry(&self, commit: &Commit, address: &Address, at: Duration) -> CommitSig {
        // Somebody whose key this ledger does not hold was given power by a transaction: it never votes.
        let Some(key) = self.keys.get(address).filter(|_| !self.stopped.contains(address)) else {
            return CommitSig::absent();
        };
        let flag = if self.voting_nil.contains(address) { Flag::Nil } else { Flag::Commit };
        let signature = key.sign(&commit.sign_bytes(&self.genesis.chain_id, flag, Some(at)));
        CommitSig { flag, address: address.to_vec(), time: Some(at), signature: signature.to_vec() }
    }

    /// Keeps the state after a height and lets the oldest go; gives its hash.
    fn settle(&mut self, height: u64, state: State) -> Hash {
        // Most blocks change nothing: then there is one state for many heights, hashed once.
        let last = self.blocks.last().filter(|_| state == *self.state).map(|block| block.app_hash);
        let app_hash = last.unwrap_or_else(|| state.hash());
        if last.is_none() {
            self.state = Arc::new(state);
        }
        self.states.insert(height, Arc::clone(&self.state));
        while self.states.len() > self.kept {
            self.states.pop_first();
        }
        app_hash
    }

    /// The state after a height, run again from the first block where it is no longer kept.
    fn replay(&self, height: u64) -> Arc<State> {
        if let Some(kept) = self.states.get(&height) {
            return Arc::clone(kept);
        }
        let mut state = State::default();
        let blocks = self.blocks.iter().take_while(|block| block.header.height <= height);
        blocks.flat_map(|block| &block.txs).for_each(|tx| drop(state.run(tx)));
        Arc::new(state)
    }

    fn run(&self) -> (State, Vec<TxResult>, Vec<Update>) {
        let mut state = (*self.state).clone();
        let ran: Vec<_> = self.pending.iter().map(|tx| state.run(tx)).collect();
        let (results, updates): (Vec<_>, Vec<_>) = ran.into_iter().unzip();
        (state, results, updates.into_iter().flatten().collect())
    }

    /// The same ledger up to the block below `from`, with nothing queued: what goes on from there is another history.
    /// Everybody runs in it.
    ///
    /// # Errors
    /// [`DevnetError::Height`] outside 2 and the last height: another first block is another ledger.
    pub fn branch(&self, from: u64) -> Result<Self, DevnetError> {
        let refuse = || DevnetError::Height { low: 2, high: self.height(), got: from };
        let block = self.at(from).filter(|_| from > 1).ok_or_else(refuse)?;
        let after = self.at(from + 1).map_or(&self.next, |above| &above.validators);
        let kept = usize::try_from(from - 1).map_err(|_| refuse())?;
        let mut branch = self.clone();
        branch.next = Arc::clone(&block.validators);
        branch.after_next = Arc::clone(after);
        branch.state = self.replay(from - 1);
        branch.states.retain(|height, _| *height < from);
        branch.pending.clear();
        branch.stopped.clear();
        branch.voting_nil.clear();
        branch.places.retain(|_, (height, _)| *height < from);
        branch.blocks.truncate(kept);
        Ok(branch)
    }

    /// From the next block on, these vote, whatever the blocks before said.
    pub fn put_in_force(&mut self, set: &ValidatorSet) {
        self.next = Arc::new(set.clone());
        self.after_next = Arc::new(set.advanced());
    }
}

/// Whether this power is more than two thirds of the total.
pub fn is_quorum(voting: i64, total: i64) -> bool {
    i128::from(voting) * 3 > i128::from(total) * 2
}

/// The time of the next header: the median of votes' times, weighted by power (`state/state.go`, `MedianTime`).
pub fn median_time(commit: &Commit, validators: &ValidatorSet) -> Duration {
    let votes = commit.signatures.iter().zip(validators.validators());
    let mut times: Vec<(Duration, i64)> = votes.filter_map(|(vote, it)| Some((vote.time?, it.power))).collect();
    times.sort_unstable();
    let mut rest = times.iter().map(|(_, power)| power).sum::<i64>() / 2;
    for (time, power) in times {
        if rest <= power {
            return time;
        }
        rest -= power;
    }
    Duration::ZERO
}
