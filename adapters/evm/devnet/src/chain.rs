//! The pure part that makes blocks: no clock, no I/O; the same calls make the same blocks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use alloy_primitives::{Address, B64, B256, Bytes, U256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;

use crate::block::{BFT_MIX_HASH, Block, EMPTY_OMMERS, Header};
use crate::error::DevnetError;
use crate::extra::{Extra, Vote};
use crate::keys::{Key, Seal};
use crate::receipt::{Log, Receipt, bloom_of, receipts_root, transactions_root};
use crate::registry;
use crate::state::{Account, Change, State};
use crate::tally::{Tally, quorum};
use crate::transaction::{LegacyTransaction, Transaction};

/// Gas limit of every block and every transaction's upper bound: the recorded network's own.
const GAS_LIMIT: u64 = 0xe000_0000;

/// What one transaction does. The ledger runs no EVM: the logs are given, the rest follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The account called; none creates a contract with `code`.
    pub to: Option<Address>,
    /// Call data or creation code.
    pub input: Bytes,
    /// What is emitted; nothing when the call fails.
    pub logs: Vec<Log>,
    /// Whether it succeeds.
    pub status: bool,
    /// The code that stands at a created contract.
    pub code: Bytes,
}

impl Call {
    /// A call that succeeds.
    pub fn new(to: Address, input: Bytes, logs: Vec<Log>) -> Self {
        Self { to: Some(to), input, logs, status: true, code: Bytes::new() }
    }
}

/// A block with everything that nodes answer from.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Header without seals, and transactions.
    pub block: Block,
    /// Extra data without seals.
    pub extra: Extra,
    /// Block hash.
    pub hash: B256,
    /// What the seals are made over.
    pub digest: B256,
    /// The seals of all validators that ran, ascending by validator; a node holds [`Sealed::quorum`] of them.
    pub seals: Vec<Seal>,
    /// How many seals the block needs.
    pub quorum: usize,
    /// One receipt for each transaction.
    pub receipts: Vec<Receipt>,
    /// The set that seals the *next* block, and pending votes.
    pub tally: Tally,
    /// The accounts after it, under the state root of the header.
    pub state: State,
}

impl Sealed {
    /// The header with these seals.
    pub fn header_with(&self, extra: &Extra) -> Header {
        Header { extra_data: extra.encode().into(), ..self.block.header.clone() }
    }

    /// The code at an address after this block.
    pub fn code(&self, address: &Address) -> Option<&Bytes> {
        self.state.get(address).map(|account| &account.code).filter(|code| !code.is_empty())
    }
}

/// One branch of the ledger.
#[derive(Debug, Clone)]
pub struct Chain {
    chain_id: u64,
    epoch: u64,
    vanity: B256,
    registrar: Key,
    outsider: Key,
    keys: Arc<BTreeMap<Address, Key>>,
    stopped: BTreeSet<Address>,
    unsealed: bool,
    wishes: Vec<(Address, Vote)>,
    queue: Vec<(Transaction, Call)>,
    changes: Vec<Change>,
    genesis: Arc<Sealed>,
    blocks: Vec<Arc<Sealed>>,
    by_hash: HashMap<B256, u64>,
    by_transaction: HashMap<B256, (u64, usize)>,
}

impl Chain {
    /// A ledger with its genesis block.
    pub fn new(
        seed: &[u8; 32],
        chain_id: u64,
        epoch: u64,
        genesis_time: u64,
        validators: &[Address],
        keys: Vec<Key>,
    ) -> Self {
        let registrar = Key::derive(seed, "registrar", 0);
        let genesis = Arc::new(genesis(registrar.address(), genesis_time, Tally::new(validators.to_vec())));
        Self {
            chain_id,
            epoch,
            vanity: B256::ZERO,
            outsider: Key::derive(seed, "outsider", 0),
            registrar,
            keys: Arc::new(keys.into_iter().map(|key| (key.address(), key)).collect()),
            stopped: BTreeSet::new(),
            unsealed: false,
            wishes: Vec::new(),
            queue: Vec::new(),
            changes: Vec::new(),
            by_hash: HashMap::from([(genesis.hash, 0)]),
            by_transaction: HashMap::new(),
            blocks: vec![Arc::clone(&genesis)],
            genesis,
        }
    }

    /// Chain id of EIP-155.
    pub fn chain_id(&self) -> u64 {
        self.chain_id
    }

    /// The account that sends every transaction.
    pub fn registrar(&self) -> Address {
        self.registrar.address()
    }

    /// A key that is never a validator's.
    pub fn outsider(&self) -> &Key {
        &self.outsider
    }

    /// The last block.
    pub fn head(&self) -> &Arc<Sealed> {
        self.blocks.last().unwrap_or(&self.genesis)
    }

    /// The last block's number.
    pub fn height(&self) -> u64 {
        self.head().block.header.number
    }

    /// The block of a height.
    pub fn at(&self, height: u64) -> Option<&Arc<Sealed>> {
        self.blocks.get(usize::try_from(height).ok()?)
    }

    /// The height of a block hash.
    pub fn height_of(&self, hash: &B256) -> Option<u64> {
        self.by_hash.get(hash).copied()
    }

    /// Height and index of a transaction.
    pub fn transaction(&self, hash: &B256) -> Option<(u64, usize)> {
        self.by_transaction.get(hash).copied()
    }

    /// Calls and changes that wait for the next block.
    pub fn pending(&self) -> usize {
        self.queue.len() + self.changes.len()
    }

    /// Makes a change of state in the next block, after its calls and in the order of asking.
    pub fn change(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Puts a call into the next block.
    pub fn submit(&mut self, call: Call) -> B256 {
        let transaction = LegacyTransaction {
            nonce: self.next_nonce(),
            gas_price: 0,
            gas_limit: gas_of(&call),
            to: call.to,
            value: U256::ZERO,
            input: call.input.clone(),
            v: 0,
            r: U256::ZERO,
            s: U256::ZERO,
        };
        let transaction = Transaction::Legacy(transaction.signed(&self.registrar, self.chain_id));
        let hash = transaction.hash();
        self.queue.push((transaction, call));
        hash
    }

    /// Deploys a contract in the next block.
    pub fn deploy(&mut self, creation: Bytes, code: Bytes) -> Address {
        let address = self.registrar.address().create(self.next_nonce());
        self.submit(Call { to: None, input: creation, logs: Vec::new(), status: true, code });
        address
    }

    fn next_nonce(&self) -> u64 {
        let sent = self.head().state.get(&self.registrar.address()).map_or(0, |account| account.nonce);
        sent.saturating_add(self.queue.len() as u64)
    }

    /// Lets one validator vote each time it proposes, until the change is made.
    pub fn wish(&mut self, voter: Address, vote: Vote) {
        self.wishes.retain(|(by, old)| *by != voter || old.candidate != vote.candidate);
        self.wishes.push((voter, vote));
    }

    /// Stops or starts one validator.
    pub fn set_running(&mut self, validator: Address, running: bool) {
        if running {
            self.stopped.remove(&validator);
        } else {
            self.stopped.insert(validator);
        }
    }

    fn runs(&self, validator: &Address) -> bool {
        self.keys.contains_key(validator) && !self.stopped.contains(validator)
    }

    /// From now on nobody seals. A header without seals, of round 0, hashes to the same by the rules of QBFT and as its
    /// bytes stand.
    pub fn seal_no_more(&mut self) {
        self.unsealed = true;
    }

    /// Another branch that shares everything below `from` (1 or more) and whose blocks carry another mark, so that
    /// no block of it can equal one of ours. Its keys are ours: whatever it seals is sealed twice.
    pub fn branch(&self, from: u64) -> Self {
        let kept = usize::try_from(from.max(1)).unwrap_or(usize::MAX);
        Self {
            vanity: keccak256([b"branch".as_slice(), self.vanity.as_slice()].concat()),
            queue: Vec::new(),
            changes: Vec::new(),
            blocks: self.blocks.iter().take(kept).cloned().collect(),
            by_hash: self.by_hash.iter().filter(|(_, height)| **height < from).map(|(h, n)| (*h, *n)).collect(),
            by_transaction: self.by_transaction.iter().filter(|(_, at)| at.0 < from).map(|(h, n)| (*h, *n)).collect(),
            ..self.clone()
        }
    }

    /// Makes the next block from what is queued.
    ///
    /// The time is `parent + 1`, or `not_before` where that is later.
    ///
    /// # Errors
    /// [`DevnetError::NoQuorum`] when too few validators run; the queue is kept.
    pub fn mine(&mut self, not_before: u64) -> Result<B256, DevnetError> {
        let parent = Arc::clone(self.head());
        let set = parent.tally.validators();
        let needed = quorum(set.len());
        let signers: Vec<Key> = set.iter().filter(|v| self.runs(v)).filter_map(|v| self.keys.get(v)).cloned().collect();
        let turn = self.turn(&parent).filter(|_| signers.len() >= needed);
        let Some((round, proposer)) = turn else {
            return Err(DevnetError::NoQuorum { needed, live: signers.len() });
        };

        let number = parent.block.header.number + 1;
        let vote = self.vote_of(&parent.tally, number, proposer);
        let extra = Extra { vanity: self.vanity, validators: set.to_vec(), vote, round, seals: Vec::new() };
        let tally = parent.tally.after(number, proposer, vote, self.epoch);
        self.wishes.retain(|(_, vote)| tally.is_open(vote));

        let (transactions, calls): (Vec<_>, Vec<_>) = std::mem::take(&mut self.queue).into_iter().unzip();
        let receipts = receipts_of(&calls);
        let state = self.state_after(&parent.state, &calls);
        self.changes.clear();
        let header = Header {
            parent_hash: parent.hash,
            beneficiary: proposer,
            state_root: state.root(),
            transactions_root: transactions_root(&transactions),
            receipts_root: receipts_root(&receipts.iter().map(Receipt::to_consensus).collect::<Vec<_>>()),
            logs_bloom: bloom_of(receipts.iter().flat_map(|receipt| &receipt.logs)),
            number,
            gas_used: receipts.last().map_or(0, |receipt| receipt.cumulative_gas_used),
            timestamp: parent.block.header.timestamp.saturating_add(1).max(not_before),
            ..blank_header(&extra)
        };
        let mut sealed = seal_nothing(Block { header, transactions }, extra, receipts, tally, state);
        if !self.unsealed {
            sealed.quorum = needed;
            sealed.seals = signers.iter().map(|key| key.sign(&sealed.digest)).collect();
        }
        Ok(self.append(sealed))
    }

    fn append(&mut self, sealed: Sealed) -> B256 {
        let (hash, number) = (sealed.hash, sealed.block.header.number);
        self.by_hash.insert(hash, number);
        for (index, transaction) in sealed.block.transactions.iter().enumerate() {
            self.by_transaction.insert(transaction.hash(), (number, index));
        }
        self.blocks.push(Arc::new(sealed));
        hash
    }

    /// The first round whose proposer runs; the ones before it ran into their time limit.
    fn turn(&self, parent: &Sealed) -> Option<(u32, Address)> {
        let last = parent.block.header.beneficiary;
        let rounds = u32::try_from(parent.tally.validators().len()).ok()?;
        (0..rounds)
            .filter_map(|round| Some((round, parent.tally.proposer(last, round)?)))
            .find(|(_, proposer)| self.runs(proposer))
    }

    /// No vote stands in an epoch block: networks differ in whether it would count there.
    fn vote_of(&self, tally: &Tally, number: u64, proposer: Address) -> Option<Vote> {
        if number.checked_rem(self.epoch) == Some(0) {
            return None;
        }
        let open = |vote: &&Vote| tally.is_open(vote) && !tally.has_voted(proposer, vote);
        self.wishes.iter().filter(|(by, _)| *by == proposer).map(|(_, vote)| vote).find(open).copied()
    }

    fn state_after(&self, before: &State, calls: &[Call]) -> State {
        let sender = self.registrar.address();
        let mut after = before.clone();
        for call in calls {
            if call.to.is_none() && call.status {
                let nonce = after.get(&sender).map_or(0, |account| account.nonce);
                after.put(sender.create(nonce), created(call, sender));
            }
            after.sent(sender);
        }
        self.changes.iter().for_each(|change| after.apply(change));
        after
    }
}

/// The registry's constructor keeps who deployed it; other code is taken to keep nothing.
fn created(call: &Call, deployer: Address) -> Account {
    let mut account = Account::contract(call.code.clone());
    if call.code == registry::runtime_code() {
        account.storage.insert(registry::REGISTRAR_SLOT, deployer.into_word().into());
    }
    account
}

fn genesis(registrar: Address, timestamp: u64, tally: Tally) -> Sealed {
    let extra = Extra { validators: tally.validators().to_vec(), ..Extra::default() };
    let mut state = State::default();
    state.put(registrar, Account::default());
    let header = Header { timestamp, state_root: state.root(), ..blank_header(&extra) };
    seal_nothing(Block { header, transactions: Vec::new() }, extra, Vec::new(), tally, state)
}

/// Hash and seal digest are taken here, once.
fn seal_nothing(block: Block, extra: Extra, receipts: Vec<Receipt>, tally: Tally, state: State) -> Sealed {
    let digest_of =
        |extra: &Extra| keccak256(Header { extra_data: extra.encode().into(), ..block.header.clone() }.to_rlp());
    let (hash, digest) = (digest_of(&extra.for_hash()), digest_of(&extra.for_seals()));
    Sealed { block, extra, hash, digest, seals: Vec::new(), quorum: 0, receipts, tally, state }
}

fn blank_header(extra: &Extra) -> Header {
    Header {
        parent_hash: B256::ZERO,
        ommers_hash: EMPTY_OMMERS,
        beneficiary: Address::ZERO,
        state_root: EMPTY_ROOT_HASH,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        logs_bloom: alloy_primitives::Bloom::ZERO,
        difficulty: U256::from(1),
        number: 0,
        gas_limit: GAS_LIMIT,
        gas_used: 0,
        timestamp: 0,
        extra_data: extra.encode().into(),
        mix_hash: BFT_MIX_HASH,
        nonce: B64::ZERO,
    }
}

fn receipts_of(calls: &[Call]) -> Vec<Receipt> {
    let mut gas = 0u64;
    let mut receipt = |call: &Call| {
        gas = gas.saturating_add(gas_of(call));
        let logs = if call.status { call.logs.clone() } else { Vec::new() };
        Receipt::new(call.status, gas, logs)
    };
    calls.iter().map(&mut receipt).collect()
}

/// Plausible and deterministic, no more: the base fee of a transaction, 16 a byte, and what logs cost.
fn gas_of(call: &Call) -> u64 {
    let log = |log: &Log| 375 + 375 * log.topics.len() as u64 + 8 * log.data.len() as u64;
    21_000 + 16 * call.input.len() as u64 + call.logs.iter().map(log).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::recover;

    fn chain(n: u64) -> Chain {
        let seed = [5; 32];
        let keys: Vec<Key> = (0..n + 1).map(|i| Key::derive(&seed, "validator", i)).collect();
        let set: Vec<Address> = keys.iter().take(usize::try_from(n).unwrap()).map(Key::address).collect();
        Chain::new(&seed, 7, 10, 1_000, &set, keys)
    }

    #[test]
    fn the_same_calls_make_the_same_blocks() {
        let run = || {
            let mut chain = chain(4);
            chain.submit(Call::new(Address::repeat_byte(1), Bytes::new(), Vec::new()));
            chain.mine(0).unwrap();
            chain.mine(5_000).unwrap()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn time_never_goes_back_and_never_stands() {
        let mut chain = chain(1);
        for (not_before, expected) in [(0, 1_001), (2_000, 2_000), (1_500, 2_001)] {
            chain.mine(not_before).unwrap();
            assert_eq!(chain.head().block.header.timestamp, expected);
        }
    }

    #[test]
    fn a_stopped_proposer_is_passed_over_and_the_round_says_so() {
        let mut chain = chain(4);
        let first = chain.head().tally.validators()[0];
        chain.set_running(first, false);
        chain.mine(0).unwrap();
        let head = chain.head();
        assert_eq!(head.extra.round, 1);
        assert_ne!(head.block.header.beneficiary, first);
        assert_eq!(head.seals.len(), 3);
        assert!(head.seals.iter().all(|seal| recover(&head.digest, seal).is_some_and(|signer| signer != first)));
        assert_ne!(head.digest, head.hash);
    }

    #[test]
    fn below_quorum_there_is_no_block_and_nothing_is_lost() {
        let mut chain = chain(4);
        chain.submit(Call::new(Address::ZERO, Bytes::new(), Vec::new()));
        let set = chain.head().tally.validators().to_vec();
        set.iter().take(2).for_each(|v| chain.set_running(*v, false));
        assert!(matches!(chain.mine(0), Err(DevnetError::NoQuorum { needed: 3, live: 2 })));
        chain.set_running(set[0], true);
        chain.mine(0).unwrap();
        assert_eq!(chain.head().receipts.len(), 1);
    }

    #[test]
    fn a_branch_shares_what_is_below_and_nothing_else() {
        let mut chain = chain(4);
        (0..3).for_each(|_| drop(chain.mine(0)));
        let mut branch = chain.branch(2);
        assert_eq!(branch.height(), 1);
        (0..2).for_each(|_| drop(branch.mine(0)));
        assert_eq!(branch.at(1).unwrap().hash, chain.at(1).unwrap().hash);
        assert_ne!(branch.at(2).unwrap().hash, chain.at(2).unwrap().hash);
        assert_eq!(branch.height_of(&chain.at(2).unwrap().hash), None);
    }

    #[test]
    fn a_deployed_contract_has_code_from_its_block_on() {
        let mut chain = chain(1);
        let address = chain.deploy(Bytes::from_static(b"create"), Bytes::from_static(b"code"));
        assert!(chain.head().code(&address).is_none());
        let before = chain.head().block.header.state_root;
        chain.mine(0).unwrap();
        assert_eq!(chain.head().code(&address), Some(&Bytes::from_static(b"code")));
        assert_ne!(chain.head().block.header.state_root, before);
    }

    #[test]
    fn a_registry_keeps_who_deployed_it() {
        let mut chain = chain(1);
        let address = chain.deploy(registry::creation_code(), registry::runtime_code());
        chain.mine(0).unwrap();
        let kept = chain.head().state.slot(&address, &registry::REGISTRAR_SLOT);
        assert_eq!(Address::from_word(kept.into()), chain.registrar());
    }

    #[test]
    fn changes_come_with_the_next_block_after_its_calls_and_only_once() {
        let mut chain = chain(1);
        let address = chain.deploy(Bytes::from_static(b"create"), Bytes::from_static(b"code"));
        chain.change(Change::Code(address, Bytes::from_static(b"other")));
        chain.change(Change::Slot(address, B256::ZERO, U256::from(1)));
        assert_eq!(chain.pending(), 3);
        chain.mine(0).unwrap();
        assert_eq!(chain.head().code(&address), Some(&Bytes::from_static(b"other")));
        chain.change(Change::Destroy(address));
        chain.mine(0).unwrap();
        assert_eq!(chain.head().code(&address), None);
        let gone = chain.head().block.header.state_root;
        chain.mine(0).unwrap();
        assert_eq!((chain.head().block.header.state_root, chain.pending()), (gone, 0));
    }
}
