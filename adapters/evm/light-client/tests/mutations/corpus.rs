//! Valid proofs, captured and made, with what is known to be true under their roots.

use crate::captured::{self, Captured};
use crate::random::Random;
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{HashBuilder, Nibbles};
use hufu_adapters_light_client::Budget;
use hufu_evm_light_client::account::{Account, verify_account, verify_slot};
use hufu_evm_light_client::proof::verify_item;
use hufu_evm_light_client::uint::U256;
use hufu_evm_light_client::{Address, Hash32, keccak256, rlp, trie};
use std::collections::BTreeMap;

/// What a proof is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    Account(Address),
    Slot(Hash32),
    /// A receipt or a transaction.
    Item(u64),
}

impl Asked {
    /// The key in the trie.
    pub(crate) fn key(&self) -> Vec<u8> {
        match self {
            Self::Account(address) => keccak256(address.as_bytes()).as_bytes().to_vec(),
            Self::Slot(slot) => keccak256(slot.as_bytes()).as_bytes().to_vec(),
            Self::Item(index) => index_key(*index),
        }
    }
}

/// What a proof says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    Account(Account),
    Slot(U256),
    Item(Vec<u8>),
}

/// Asks the verifier.
pub(crate) fn prove(root: Hash32, asked: &Asked, nodes: &[Vec<u8>]) -> Result<Answer, &'static str> {
    let mut budget = Budget::for_evidence();
    let answer = match asked {
        Asked::Account(address) => {
            verify_account(root, *address, nodes, &mut budget).map(|found| found.map(Answer::Account))
        }
        Asked::Slot(slot) => verify_slot(root, *slot, nodes, &mut budget)
            .map(|value| (value != U256::default()).then_some(Answer::Slot(value))),
        Asked::Item(index) => {
            verify_item(root, *index, nodes, &mut budget).map(|found| found.map(|value| Answer::Item(value.to_vec())))
        }
    };
    answer.map(|found| found.unwrap_or(Answer::Nothing)).map_err(|fault| fault.reason())
}

/// A root, and what is known to stand under it.
pub(crate) struct Trie {
    pub(crate) root: Hash32,
    known: BTreeMap<Vec<u8>, Answer>,
    /// Whether what is not known is known to be absent.
    whole: bool,
}

impl Trie {
    /// Whether an answer is true; `None` where nobody can say but another reader of the same nodes.
    pub(crate) fn says(&self, asked: &Asked, answer: &Answer) -> Option<bool> {
        match self.known.get(&asked.key()) {
            Some(due) => Some(due == answer),
            None if self.whole => Some(*answer == Answer::Nothing),
            None if *answer == Answer::Nothing => None,
            None => Some(false),
        }
    }
}

/// One valid proof.
pub(crate) struct Proof {
    pub(crate) subject: &'static str,
    pub(crate) trie: usize,
    pub(crate) asked: Asked,
    pub(crate) nodes: Vec<Vec<u8>>,
}

#[derive(Default)]
pub(crate) struct Corpus {
    pub(crate) tries: Vec<Trie>,
    pub(crate) proofs: Vec<Proof>,
    by_root: BTreeMap<Hash32, usize>,
    by_subject: BTreeMap<&'static str, Vec<usize>>,
}

impl Corpus {
    pub(crate) fn gather(captured: Option<&Captured>) -> Self {
        let mut corpus = Self::default();
        corpus.make();
        if let Some(captured) = captured {
            corpus.take_answers(captured);
            corpus.take_mainnet_receipts(captured);
            corpus.take_blocks(captured);
        }
        for (at, proof) in corpus.proofs.iter().enumerate() {
            corpus.by_subject.entry(proof.subject).or_default().push(at);
        }
        corpus
    }

    /// The trie of a root, if it is one that is known.
    pub(crate) fn trie(&self, root: &Hash32) -> Option<&Trie> {
        self.by_root.get(root).map(|at| &self.tries[*at])
    }

    /// Some proof: each subject is as likely as any other, however many proofs it has.
    pub(crate) fn pick(&self, random: &mut Random) -> &Proof {
        let subject = random.below(self.by_subject.len());
        let proofs = self.by_subject.values().nth(subject).unwrap();
        &self.proofs[*random.pick(proofs)]
    }

    fn add(&mut self, root: Hash32, subject: &'static str, asked: Asked, nodes: Vec<Vec<u8>>, whole: bool) {
        let answer = prove(root, &asked, &nodes).unwrap_or_else(|reason| panic!("{subject} {asked:?}: {reason}"));
        let trie = *self.by_root.entry(root).or_insert_with(|| {
            self.tries.push(Trie { root, known: BTreeMap::new(), whole });
            self.tries.len() - 1
        });
        self.tries[trie].known.insert(asked.key(), answer);
        self.proofs.push(Proof { subject, trie, asked, nodes });
    }

    fn take_answers(&mut self, captured: &Captured) {
        for (root, answer) in captured.answers() {
            let address = captured::address(&answer["address"]);
            self.add(
                root,
                "account, captured",
                Asked::Account(address),
                captured::nodes(&answer["accountProof"]),
                false,
            );
            let Ok(Answer::Account(account)) =
                prove(root, &Asked::Account(address), &captured::nodes(&answer["accountProof"]))
            else {
                continue;
            };
            for entry in answer["storageProof"].as_array().unwrap() {
                let slot = captured::word(&entry["key"]);
                let nodes = captured::nodes(&entry["proof"]);
                self.add(account.storage_root(), "slot, captured", Asked::Slot(slot), nodes, false);
            }
        }
    }

    fn take_mainnet_receipts(&mut self, captured: &Captured) {
        let vector = captured.json("mainnet_receipts_proofs.json");
        let root = captured::hash(&vector["receipts_root"]);
        for sample in vector["samples"].as_array().unwrap() {
            let index = sample["index"].as_u64().unwrap();
            self.add(root, "receipt, captured", Asked::Item(index), captured::nodes(&sample["proof"]), false);
        }
    }

    /// Recorded blocks hold all their items, so the proofs are made here, under the roots of the recorded headers.
    fn take_blocks(&mut self, captured: &Captured) {
        for block in captured.ledgers().into_iter().flat_map(|ledger| ledger.blocks) {
            let fields = block.header.fields();
            self.take_items(fields.transactions_root, "transaction, recorded", &block.transactions);
            if !block.receipts.is_empty() {
                self.take_items(fields.receipts_root, "receipt, recorded", &block.receipts);
            }
        }
    }

    fn take_items(&mut self, root: Hash32, subject: &'static str, items: &[Vec<u8>]) {
        if items.is_empty() {
            return;
        }
        let leaves: BTreeMap<Vec<u8>, Vec<u8>> =
            (0..).zip(items).map(|(index, item)| (index_key(index), item.clone())).collect();
        for index in 0..=items.len() as u64 + 1 {
            let (made, nodes) = prove_key(&leaves, &index_key(index));
            assert_eq!(made, root, "{subject} {index}");
            self.add(root, subject, Asked::Item(index), nodes, true);
        }
    }

    /// Tries of our own: all that stands in them is known.
    fn make(&mut self) {
        let mut random = Random::of(1, 1);
        for (count, longest) in [(1, 40), (2, 3), (3, 90), (20, 12), (130, 60), (300, 4)] {
            let items: Vec<Vec<u8>> = (0..count)
                .map(|_| {
                    let length = 1 + random.below(longest);
                    random.bytes(length)
                })
                .collect();
            let root = trie::ordered_root(&items.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            self.take_items(root, "item, made", &items);
        }
        for count in [1, 2, 17, 400] {
            let slots: Vec<Asked> = (0..count + 20).map(|_| Asked::Slot(Hash32::new(random.hash()))).collect();
            self.take_hashed("slot, made", &slots, count, &mut random, |random| {
                let length = 1 + random.below(32);
                let mut digits = random.bytes(length);
                digits[0] |= 1;
                encoded(&digits)
            });
            let people: Vec<Asked> =
                (0..count + 20).map(|_| Asked::Account(Address::new(random.bytes(20).try_into().unwrap()))).collect();
            self.take_hashed("account, made", &people, count, &mut random, |random| {
                let fields =
                    [vec![1 + random.byte() / 2], vec![0x7f, random.byte()], random.bytes(32), random.bytes(32)];
                let items: Vec<u8> = fields.iter().flat_map(|field| encoded(field)).collect();
                let mut out = Vec::new();
                rlp::write_list(&items, &mut out);
                out
            });
        }
    }

    /// The first `count` of `asked` stand in the trie, the others do not.
    fn take_hashed(
        &mut self,
        subject: &'static str,
        asked: &[Asked],
        count: usize,
        random: &mut Random,
        value: impl Fn(&mut Random) -> Vec<u8>,
    ) {
        let leaves: BTreeMap<Vec<u8>, Vec<u8>> =
            asked[..count].iter().map(|asked| (asked.key(), value(random))).collect();
        for (at, asked) in asked.iter().enumerate() {
            if at < 40 || at >= count {
                let (root, nodes) = prove_key(&leaves, &asked.key());
                self.add(root, subject, asked.clone(), nodes, count <= 40);
            }
        }
    }
}

fn encoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    rlp::write_string(bytes, &mut out);
    out
}

pub(crate) fn index_key(index: u64) -> Vec<u8> {
    let mut key = Vec::new();
    rlp::write_u64(index, &mut key);
    key
}

/// Root and proof as the oracle makes them, less the inlined nodes, which it keeps too.
fn prove_key(leaves: &BTreeMap<Vec<u8>, Vec<u8>>, key: &[u8]) -> (Hash32, Vec<Vec<u8>>) {
    let retainer = ProofRetainer::from_iter([Nibbles::unpack(key)]);
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    leaves.iter().for_each(|(key, value)| builder.add_leaf(Nibbles::unpack(key), value));
    let root = Hash32::new(builder.root().0);
    let nodes = builder.take_proof_nodes().into_nodes_sorted().into_iter().enumerate();
    let nodes = nodes.filter(|(at, (_, raw))| *at == 0 || raw.len() >= 32);
    (root, nodes.map(|(_, (_, raw))| raw.to_vec()).collect())
}
