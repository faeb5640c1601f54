//! The accounts after a block, in a secure trie of their own: roots, and the proofs that `eth_getProof` shows.
//!
//! Keys of both tries are Keccak-256 of address and slot; an account's value is `RLP[nonce, balance, storage root, code
//! hash]`, a slot's is the RLP of its number, and a slot of zero is no slot (Yellow Paper, section 4.1).

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Encodable;
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount};

/// Shorter nodes stand inside their parent, and so in no proof of their own.
const HASHED_NODE: usize = 32;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Transactions sent; 1 for a contract.
    pub nonce: u64,
    /// Its code; empty for an account of a person.
    pub code: Bytes,
    /// Slots that are not zero.
    pub storage: BTreeMap<B256, U256>,
}

impl Account {
    /// A contract without storage.
    pub fn contract(code: Bytes) -> Self {
        Self { nonce: 1, code, storage: BTreeMap::new() }
    }

    /// Keccak-256 of the code.
    pub fn code_hash(&self) -> B256 {
        keccak256(&self.code)
    }

    /// The root of the storage trie.
    pub fn storage_root(&self) -> B256 {
        Trie::of_slots(&self.storage).root()
    }

    fn leaf(&self) -> Vec<u8> {
        encoded(&TrieAccount::new(self.nonce, U256::ZERO, self.storage_root(), self.code_hash()))
    }
}

/// A change that no transaction of ours could make: it is there with the next block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The code at an address is this one from now on; empty code takes it away and leaves the storage.
    Code(Address, Bytes),
    /// A slot holds this number; zero clears it.
    Slot(Address, B256, U256),
    /// The account is gone, with code and storage, as after SELFDESTRUCT.
    Destroy(Address),
}

/// All accounts. Clones share what did not change.
#[derive(Debug, Clone, Default)]
pub struct State {
    accounts: BTreeMap<Address, Arc<Account>>,
}

impl State {
    /// An account; none where there never was one or where it was destroyed.
    pub fn get(&self, address: &Address) -> Option<&Account> {
        self.accounts.get(address).map(AsRef::as_ref)
    }

    /// What stands in a slot; zero where nothing does.
    pub fn slot(&self, address: &Address, slot: &B256) -> U256 {
        self.get(address).and_then(|account| account.storage.get(slot)).copied().unwrap_or_default()
    }

    /// Puts an account in place of what was there.
    pub fn put(&mut self, address: Address, account: Account) {
        self.accounts.insert(address, Arc::new(account));
    }

    /// Counts one transaction of a sender.
    pub fn sent(&mut self, sender: Address) {
        let account = self.entry(sender, 0);
        account.nonce = account.nonce.saturating_add(1);
    }

    /// Makes one change. A contract that was not there begins with nonce 1.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Code(address, code) => self.entry(*address, 1).code = code.clone(),
            Change::Slot(address, slot, value) if value.is_zero() => drop(self.entry(*address, 1).storage.remove(slot)),
            Change::Slot(address, slot, value) => drop(self.entry(*address, 1).storage.insert(*slot, *value)),
            Change::Destroy(address) => drop(self.accounts.remove(address)),
        }
    }

    fn entry(&mut self, address: Address, nonce: u64) -> &mut Account {
        let new = || Arc::new(Account { nonce, ..Account::default() });
        Arc::make_mut(self.accounts.entry(address).or_insert_with(new))
    }

    /// The state root.
    pub fn root(&self) -> B256 {
        self.trie().root()
    }

    /// The nodes that prove an account, or that there is none, from the root down.
    pub fn prove_account(&self, address: &Address) -> Vec<Bytes> {
        self.trie().prove(keccak256(address))
    }

    /// The nodes that prove a slot of an account, or that it is zero. Empty where the account has no storage.
    pub fn prove_slot(&self, address: &Address, slot: &B256) -> Vec<Bytes> {
        self.get(address).map(|account| Trie::of_slots(&account.storage).prove(keccak256(slot))).unwrap_or_default()
    }

    fn trie(&self) -> Trie {
        Trie(self.accounts.iter().map(|(address, account)| (keccak256(address), account.leaf())).collect())
    }
}

/// The leaves of a secure trie by hashed key.
struct Trie(BTreeMap<B256, Vec<u8>>);

impl Trie {
    fn of_slots(storage: &BTreeMap<B256, U256>) -> Self {
        Self(storage.iter().map(|(slot, value)| (keccak256(slot), encoded(value))).collect())
    }

    fn root(&self) -> B256 {
        if self.0.is_empty() {
            return EMPTY_ROOT_HASH;
        }
        let mut builder = HashBuilder::default();
        self.fill(&mut builder)
    }

    /// An empty trie has no nodes to show: its root alone says so.
    fn prove(&self, key: B256) -> Vec<Bytes> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let retainer = ProofRetainer::new(vec![Nibbles::unpack(key)]);
        let mut builder = HashBuilder::default().with_proof_retainer(retainer);
        self.fill(&mut builder);
        let nodes = builder.take_proof_nodes().into_nodes_sorted().into_iter().map(|(_, node)| node);
        nodes.enumerate().filter(|(at, node)| *at == 0 || node.len() >= HASHED_NODE).map(|(_, node)| node).collect()
    }

    fn fill<K: AsRef<alloy_trie::proof::AddedRemovedKeys>>(&self, builder: &mut HashBuilder<K>) -> B256 {
        self.0.iter().for_each(|(key, leaf)| builder.add_leaf(Nibbles::unpack(key), leaf));
        builder.root()
    }
}

fn encoded(value: &impl Encodable) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::proof::verify_proof;
    use proptest::prelude::*;

    fn slot(number: u64) -> B256 {
        U256::from(number).into()
    }

    fn state(accounts: u8, slots: u64) -> State {
        let mut state = State::default();
        for account in 0..accounts {
            let address = Address::repeat_byte(account);
            state.apply(&Change::Code(address, vec![account; 40].into()));
            (0..slots).for_each(|n| state.apply(&Change::Slot(address, slot(n), U256::from(n * 1_000 + 1))));
        }
        state
    }

    #[test]
    fn the_roots_are_those_of_an_outside_function() {
        let state = state(5, 7);
        let expected = alloy_trie::root::state_root_unhashed(state.accounts.iter().map(|(address, account)| {
            let storage = alloy_trie::root::storage_root_unhashed(account.storage.clone());
            assert_eq!(storage, account.storage_root());
            (*address, TrieAccount::new(account.nonce, U256::ZERO, storage, account.code_hash()))
        }));
        assert_eq!(state.root(), expected);
        assert_eq!(State::default().root(), EMPTY_ROOT_HASH);
        assert_eq!(Account::default().storage_root(), EMPTY_ROOT_HASH);
    }

    #[test]
    fn changes_are_made_in_order_and_a_cleared_slot_leaves_no_trace() {
        let address = Address::repeat_byte(1);
        let mut state = State::default();
        let empty = state.root();
        state.apply(&Change::Code(address, Bytes::from_static(b"one")));
        let without = state.root();
        state.apply(&Change::Slot(address, slot(1), U256::from(7)));
        assert_ne!(state.root(), without);
        state.apply(&Change::Slot(address, slot(1), U256::ZERO));
        assert_eq!(state.root(), without);
        state.apply(&Change::Code(address, Bytes::from_static(b"two")));
        assert_ne!(state.root(), without);
        state.apply(&Change::Destroy(address));
        assert_eq!(state.root(), empty);
    }

    proptest! {
        #[test]
        fn proofs_of_what_is_there_and_of_what_is_not_close(accounts in 1u8..40, slots in 0u64..40, asked in 0u8..60, n in 0u64..60) {
            let state = state(accounts, slots);
            let address = Address::repeat_byte(asked);
            let account = state.get(&address);
            let proof = state.prove_account(&address);
            let key = Nibbles::unpack(keccak256(address));
            prop_assert!(verify_proof(state.root(), key, account.map(Account::leaf), &proof).is_ok());

            let Some(account) = account else { return Ok(()) };
            let value = state.slot(&address, &slot(n));
            let leaf = (!value.is_zero()).then(|| encoded(&value));
            let proof = state.prove_slot(&address, &slot(n));
            let key = Nibbles::unpack(keccak256(slot(n)));
            prop_assert_eq!(proof.is_empty(), slots == 0);
            prop_assert!(verify_proof(account.storage_root(), key, leaf, &proof).is_ok());
        }
    }
}
