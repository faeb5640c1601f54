//! Bare headers and blocks, far more of them than a network makes in the time that a measurement has: no nodes, no state,
//! no transactions. QBFT headers may stand as far apart as wanted. Clique blocks are those that go-ethereum imports, from
//! the genesis file that stands with them.

use alloy_primitives::{Address, B64, B256, Bloom, Bytes, KECCAK256_EMPTY as KECCAK_EMPTY, U256, b256, keccak256};
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles, TrieAccount};

use crate::block::{BFT_MIX_HASH, Block, EMPTY_OMMERS, Header};
use crate::extra::Extra;
use crate::keys::Key;
use crate::receipt::{Log, Receipt, receipts_root};

/// Root of a trie without leaves.
const EMPTY_ROOT: B256 = b256!("56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");
const GAS_LIMIT: u64 = 30_000_000;

/// Keys of a seed, ascending by address, as lists of validators are.
pub fn keys(seed: &[u8; 32], count: u64) -> Vec<Key> {
    let mut keys: Vec<Key> = (0..count).map(|index| Key::derive(seed, "bare", index)).collect();
    keys.sort_by_key(Key::address);
    keys
}

/// A header without content on top of `parent`.
fn header(parent_hash: B256, number: u64, timestamp: u64) -> Header {
    Header {
        parent_hash,
        ommers_hash: EMPTY_OMMERS,
        beneficiary: Address::ZERO,
        state_root: EMPTY_ROOT,
        transactions_root: EMPTY_ROOT,
        receipts_root: EMPTY_ROOT,
        logs_bloom: Bloom::ZERO,
        difficulty: U256::from(1),
        number,
        gas_limit: GAS_LIMIT,
        gas_used: 0,
        timestamp,
        extra_data: Bytes::new(),
        mix_hash: B256::ZERO,
        nonce: B64::ZERO,
    }
}

/// A QBFT header.
#[derive(Debug, Clone)]
pub struct QbftHeader {
    /// Its bytes.
    pub rlp: Vec<u8>,
    /// Its block hash.
    pub hash: [u8; 32],
}

/// A QBFT header of this height and time (Unix seconds) with these validators (ascending by address), sealed by the first
/// ceil(2n/3) of them; genesis by nobody. `roots` are those of state and receipts, empty tries by default.
pub fn qbft_header(
    parent: [u8; 32],
    number: u64,
    timestamp: u64,
    validators: &[Key],
    roots: Option<([u8; 32], [u8; 32])>,
) -> QbftHeader {
    let mut draft = header(parent.into(), number, timestamp);
    if let Some((state, receipts)) = roots {
        (draft.state_root, draft.receipts_root) = (state.into(), receipts.into());
        // Every filter lets a bloom of ones pass, so receipts are looked at.
        draft.logs_bloom = Bloom::repeat_byte(0xff);
    }
    draft.mix_hash = BFT_MIX_HASH;
    draft.beneficiary = validators.first().map(Key::address).unwrap_or_default();
    let mut extra = Extra { validators: validators.iter().map(Key::address).collect(), ..Extra::default() };
    draft.extra_data = extra.encode().into();
    // At round 0 the seal digest and the hash are one.
    let hash = keccak256(draft.to_rlp());
    if number > 0 {
        let quorum = validators.len().saturating_mul(2).div_ceil(3);
        extra.seals = validators.iter().take(quorum).map(|key| key.sign(&hash)).collect();
        draft.extra_data = extra.encode().into();
    }
    QbftHeader { rlp: draft.to_rlp(), hash: hash.0 }
}

/// A Clique chain that grows block by block, one second apart, each signed by the signer whose turn it is.
#[derive(Debug)]
pub struct CliqueBlocks {
    keys: Vec<Key>,
    genesis: Header,
    parent: B256,
    number: u64,
}

/// Of the chain in [`CliqueBlocks::genesis_file`].
const CLIQUE_CHAIN_ID: u64 = 20_261;
const EPOCH: u64 = 30_000;

impl CliqueBlocks {
    /// Begins with a genesis block of these signers (ascending by address) at this time.
    pub fn new(keys: Vec<Key>, timestamp: u64) -> Self {
        let mut genesis = header(B256::ZERO, 0, timestamp);
        genesis.extra_data = clique_extra(&keys, &[0; 65]);
        let parent = keccak256(genesis.to_rlp());
        Self { keys, genesis, parent, number: 0 }
    }

    /// The genesis block.
    pub fn genesis(&self) -> Vec<u8> {
        Block { header: self.genesis.clone(), transactions: Vec::new() }.to_rlp()
    }

    /// Its hash.
    pub fn genesis_hash(&self) -> [u8; 32] {
        keccak256(self.genesis.to_rlp()).0
    }

    /// What `geth init` takes.
    pub fn genesis_file(&self) -> String {
        let mut config = serde_json::Map::new();
        config.insert("chainId".to_owned(), CLIQUE_CHAIN_ID.into());
        config.insert("clique".to_owned(), serde_json::json!({ "period": 1, "epoch": EPOCH }));
        // Up to the last fork before headers got a sixteenth field.
        let forks = [
            "homestead",
            "eip150",
            "eip155",
            "eip158",
            "byzantium",
            "constantinople",
            "petersburg",
            "istanbul",
            "berlin",
        ];
        config.extend(forks.map(|fork| (format!("{fork}Block"), 0.into())));
        let file = serde_json::json!({
            "config": config,
            "nonce": "0x0",
            "timestamp": format!("0x{:x}", self.genesis.timestamp),
            "extraData": self.genesis.extra_data.to_string(),
            "gasLimit": format!("0x{GAS_LIMIT:x}"),
            "difficulty": "0x1",
            "mixHash": B256::ZERO.to_string(),
            "coinbase": Address::ZERO.to_string(),
            "alloc": {},
        });
        file.to_string()
    }
}

impl Iterator for CliqueBlocks {
    type Item = Vec<u8>;

    /// The next block. There is always one, as long as there are signers.
    fn next(&mut self) -> Option<Vec<u8>> {
        self.number = self.number.checked_add(1)?;
        let turn = self.number.checked_rem(u64::try_from(self.keys.len()).ok()?)?;
        let signer = self.keys.get(usize::try_from(turn).ok()?)?;
        let mut draft = header(self.parent, self.number, self.genesis.timestamp.saturating_add(self.number));
        draft.difficulty = U256::from(2);
        let listed: &[Key] = if self.number.is_multiple_of(EPOCH) { &self.keys } else { &[] };
        draft.extra_data = clique_extra(listed, &[]);
        let seal = signer.sign(&keccak256(draft.to_rlp()));
        draft.extra_data = clique_extra(listed, seal.as_slice());
        self.parent = keccak256(draft.to_rlp());
        Some(Block { header: draft, transactions: Vec::new() }.to_rlp())
    }
}

/// The contract that [`receipts`] speaks of.
pub const CONTRACT: [u8; 20] = [0xc0; 20];
/// The first topic of its logs.
pub const TOPIC: [u8; 32] = [0x70; 32];

/// Receipts of a block of so many transactions, each with one log of two words by [`CONTRACT`], and their root.
pub fn receipts(count: u64) -> ([u8; 32], Vec<Vec<u8>>) {
    let receipt = |index: u64| {
        let data = [[0; 24].as_slice(), &index.to_be_bytes(), &[0xda; 32]].concat().into();
        let log = Log { address: CONTRACT.into(), topics: vec![TOPIC.into()], data };
        Receipt::new(true, index.saturating_add(1).saturating_mul(50_000), vec![log]).to_consensus()
    };
    let receipts: Vec<Vec<u8>> = (0..count).map(receipt).collect();
    (receipts_root(&receipts).0, receipts)
}

/// An address with the nodes that prove its account, from the root down.
pub type AccountProof = ([u8; 20], Vec<Vec<u8>>);

/// A state of so many accounts with nothing but a nonce: its root, and proofs of every `each`th of them.
pub fn accounts(count: u64, each: usize) -> ([u8; 32], Vec<AccountProof>) {
    let address = |index: u64| Address::from_word(keccak256(index.to_be_bytes()));
    let mut leaves: Vec<(Nibbles, u64, Address)> =
        (0..count).map(|index| (Nibbles::unpack(keccak256(address(index))), index, address(index))).collect();
    leaves.sort_unstable_by_key(|(key, ..)| *key);
    let shown: Vec<(Nibbles, Address)> =
        leaves.iter().step_by(each.max(1)).map(|(key, _, address)| (*key, *address)).collect();
    let retainer = ProofRetainer::new(shown.iter().map(|(key, _)| *key).collect());
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    for (key, index, _) in &leaves {
        let account = TrieAccount::new(index.saturating_add(1), U256::ZERO, EMPTY_ROOT, KECCAK_EMPTY);
        builder.add_leaf(*key, &alloy_rlp::encode(account));
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes();
    let proof = |(key, address): &(Nibbles, Address)| {
        let nodes = nodes.matching_nodes_sorted(key).into_iter().map(|(_, node)| node.to_vec()).collect();
        (address.into_array(), nodes)
    };
    (root.0, shown.iter().map(proof).collect())
}

fn clique_extra(listed: &[Key], seal: &[u8]) -> Bytes {
    let mut extra = vec![0; 32];
    listed.iter().for_each(|key| extra.extend_from_slice(key.address().as_slice()));
    extra.extend_from_slice(seal);
    extra.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::recover;
    use alloy_trie::proof::verify_proof;

    #[test]
    fn a_qbft_header_is_sealed_by_its_quorum() {
        let keys = keys(&[7; 32], 7);
        let made = qbft_header([9; 32], 1_000_000, 1_700_000_000, &keys, None);
        let header = Header::decode(&mut &made.rlp[..]).unwrap();
        assert_eq!(header.hash().unwrap().0, made.hash);
        let (digest, extra) = (header.seal_digest().unwrap(), header.extra().unwrap());
        let signers: Vec<_> = extra.seals.iter().map(|seal| recover(&digest, seal).unwrap()).collect();
        assert_eq!(signers, extra.validators[..5]);
    }

    #[test]
    fn clique_blocks_stand_on_each_other_and_are_signed_in_turn() {
        let keys = keys(&[7; 32], 3);
        let mut chain = CliqueBlocks::new(keys.clone(), 1_700_000_000);
        let mut parent = B256::from(chain.genesis_hash());
        for number in 1..=7u64 {
            let block = Block::decode(&mut &chain.next().unwrap()[..]).unwrap();
            assert_eq!((block.header.number, block.header.parent_hash), (number, parent));
            let mut unsealed = block.header.clone();
            let (extra, seal) = unsealed.extra_data.split_last_chunk::<65>().unwrap();
            let (extra, seal) = (Bytes::copy_from_slice(extra), (*seal).into());
            unsealed.extra_data = extra;
            let signer = recover(&keccak256(unsealed.to_rlp()), &seal).unwrap();
            assert_eq!(signer, keys[usize::try_from(number % 3).unwrap()].address());
            parent = keccak256(block.header.to_rlp());
        }
    }

    #[test]
    fn accounts_are_proven_to_an_outside_function() {
        let (root, proofs) = accounts(200, 10);
        assert_eq!(proofs.len(), 20);
        for (address, nodes) in proofs {
            let key = Nibbles::unpack(keccak256(address));
            let index = (0..200).find(|index: &u64| keccak256(index.to_be_bytes())[12..] == address).unwrap();
            let account = TrieAccount::new(index + 1, U256::ZERO, EMPTY_ROOT, KECCAK_EMPTY);
            let nodes: Vec<Bytes> = nodes.into_iter().map(Bytes::from).collect();
            verify_proof(root.into(), key, Some(alloy_rlp::encode(account)), &nodes).unwrap();
        }
    }
}
