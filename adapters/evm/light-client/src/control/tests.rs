//! What proofs of code show, over states made with another trie, and named after what a contract's owner may try.

use super::*;
use crate::pin::{Form, Implementation, minimal_proxy};
use alloy_primitives::{B256, U256};
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount};
use std::collections::BTreeMap;

/// PUSH1 1, PUSH1 0, SSTORE, STOP.
const FIXED: &[u8] = &[0x60, 1, 0x60, 0, 0x55, 0x00];
/// CALLER, SELFDESTRUCT.
const MORTAL: &[u8] = &[0x33, 0xff];
const CONTRACT: Address = Address::new([0xc0; 20]);
const BEHIND: Address = Address::new([0xbe; 20]);

/// Accounts by address: code, and slots.
#[derive(Clone, Default)]
struct Ledger(BTreeMap<Address, (Vec<u8>, BTreeMap<Hash32, U256>)>);

type Nodes = Vec<Vec<u8>>;

fn prove(leaves: &BTreeMap<B256, Vec<u8>>, key: &[u8]) -> (Hash32, Nodes) {
    let key = alloy_primitives::keccak256(key);
    let retainer = ProofRetainer::from_iter([Nibbles::unpack(key)]);
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = Hash32::new(builder.root().0);
    let nodes = builder.take_proof_nodes().into_nodes_sorted().into_iter().enumerate();
    let nodes = nodes.filter(|(at, (_, raw))| *at == 0 || raw.len() >= 32).map(|(_, (_, raw))| raw.to_vec());
    // A trie without leaves has no node but the empty string.
    (root, if leaves.is_empty() { Vec::new() } else { nodes.collect() })
}

impl Ledger {
    /// With accounts of persons beside, so that there are branches.
    fn with(contracts: &[(Address, &[u8])]) -> Self {
        let persons = (1..40u8).map(|number| (Address::new([number; 20]), Default::default()));
        let contracts = contracts.iter().map(|(address, code)| (*address, (code.to_vec(), BTreeMap::new())));
        Self(persons.chain(contracts).collect())
    }

    fn set(mut self, contract: Address, slot: Hash32, value: Address) -> Self {
        let word = U256::from_be_slice(value.as_bytes());
        self.0.get_mut(&contract).unwrap().1.insert(slot, word);
        self
    }

    fn slots(&self, contract: Address) -> BTreeMap<B256, Vec<u8>> {
        let slots = self.0.get(&contract).map(|(_, slots)| slots.clone()).unwrap_or_default();
        let leaf =
            |(slot, value): (Hash32, U256)| (alloy_primitives::keccak256(slot.as_bytes()), alloy_rlp::encode(value));
        slots.into_iter().map(leaf).collect()
    }

    fn leaves(&self) -> BTreeMap<B256, Vec<u8>> {
        let leaf = |(address, (code, slots)): (&Address, &(Vec<u8>, BTreeMap<Hash32, U256>))| {
            let storage_root = match slots.is_empty() {
                true => EMPTY_ROOT_HASH,
                false => B256::from(*prove(&self.slots(*address), &[]).0.as_bytes()),
            };
            let code_hash = alloy_primitives::keccak256(code);
            let account = TrieAccount { nonce: 1, balance: U256::ZERO, storage_root, code_hash };
            (alloy_primitives::keccak256(address.as_bytes()), alloy_rlp::encode(account))
        };
        self.0.iter().map(leaf).collect()
    }

    fn root(&self) -> Hash32 {
        prove(&self.leaves(), &[]).0
    }

    fn account(&self, address: Address) -> Nodes {
        prove(&self.leaves(), address.as_bytes()).1
    }

    fn state(&self, pin: &Pin) -> [Nodes; 3] {
        let behind = pin.implementation();
        let slot = behind.and_then(|behind| behind.slot.slot());
        [
            self.account(CONTRACT),
            slot.map(|slot| prove(&self.slots(CONTRACT), slot.as_bytes()).1).unwrap_or_default(),
            behind.map(|behind| self.account(behind.address)).unwrap_or_default(),
        ]
    }
}

fn borrowed(nodes: &[Nodes; 3]) -> StateProof<'_> {
    let [account, slot, implementation] = nodes.each_ref().map(|list| list.iter().map(Vec::as_slice).collect());
    StateProof { account, slot, implementation }
}

/// What the two ends of a block show of the contract.
fn shown(pin: &Pin, before: &Ledger, now: &Ledger, code: &[u8]) -> Result<Shown, &'static str> {
    let (first, last) = (before.state(pin), now.state(pin));
    let proof = CodeProof { address: CONTRACT, code, now: borrowed(&last), before: borrowed(&first) };
    let roots = StateRoots { now: now.root(), before: Some(before.root()) };
    // As it travels.
    let evidence = join(&crate::receipt::write_evidence([[1u8; 40]]), std::slice::from_ref(&proof));
    let (receipts, read) = split(&evidence).unwrap();
    assert_eq!((receipts, read.as_slice()), (&crate::receipt::write_evidence([[1u8; 40]])[..], &[proof][..]));
    read[0].judge(pin, roots, &mut Budget::for_evidence()).map_err(|fault| fault.reason())
}

fn pin(code: &[u8]) -> Pin {
    Pin::new(keccak256(code), None).unwrap()
}

fn proxy(form: Form, code: &[u8], behind: &[u8]) -> Pin {
    let implementation = Implementation { slot: form, address: BEHIND, code: keccak256(behind) };
    Pin::new(keccak256(code), Some(implementation)).unwrap()
}

const fn control(control: Control) -> Result<Shown, &'static str> {
    Ok(Shown::Control(control))
}

#[test]
fn code_that_nobody_can_change_is_fixed() {
    let ledger = Ledger::with(&[(CONTRACT, FIXED)]);
    assert_eq!(shown(&pin(FIXED), &ledger, &ledger, FIXED), control(Control::Fixed));
}

#[test]
fn code_that_can_destroy_itself() {
    let ledger = Ledger::with(&[(CONTRACT, MORTAL)]);
    assert_eq!(shown(&pin(MORTAL), &ledger, &ledger, MORTAL), control(Control::IssuerControlled));
}

#[test]
fn code_hash_changed() {
    let (ours, other) = (Ledger::with(&[(CONTRACT, FIXED)]), Ledger::with(&[(CONTRACT, MORTAL)]));
    for (before, now) in [(&ours, &other), (&other, &ours), (&other, &other)] {
        assert_eq!(shown(&pin(FIXED), before, now, FIXED), control(Control::Changed));
    }
    let none = Ledger::with(&[]);
    assert_eq!(shown(&pin(FIXED), &none, &ours, FIXED), control(Control::Changed), "made within the block");
    assert_eq!(shown(&pin(FIXED), &ours, &none, FIXED), control(Control::Changed), "gone with the block");
}

#[test]
fn upgrade_emit_downgrade_within_one_block_is_issuer_controlled() {
    // Both ends of the block are as pinned, whatever stood there between.
    let slot = Form::Eip1967.slot().unwrap();
    let ledger = Ledger::with(&[(CONTRACT, &[0x5f, 0xf4]), (BEHIND, FIXED)]).set(CONTRACT, slot, BEHIND);
    let pin = proxy(Form::Eip1967, &[0x5f, 0xf4], FIXED);
    assert_eq!(shown(&pin, &ledger, &ledger, &[]), control(Control::IssuerControlled));
    assert_eq!(shown(&pin, &ledger, &ledger, FIXED), control(Control::IssuerControlled), "code makes no proxy fixed");
}

#[test]
fn a_proxy_whose_implementation_moved() {
    for form in [Form::Eip1967, Form::Eip1967Beacon, Form::Eip1822] {
        let slot = form.slot().unwrap();
        let pin = proxy(form, &[0x5f, 0xf4], FIXED);
        let bare = Ledger::with(&[(CONTRACT, &[0x5f, 0xf4]), (BEHIND, FIXED)]);
        let ours = bare.clone().set(CONTRACT, slot, BEHIND);
        let moved = bare.clone().set(CONTRACT, slot, Address::new([0xba; 20]));
        assert_eq!(shown(&pin, &ours, &ours, &[]), control(Control::IssuerControlled));
        for other in [&bare, &moved] {
            assert_eq!(shown(&pin, &ours, other, &[]), control(Control::Changed));
            assert_eq!(shown(&pin, other, &ours, &[]), control(Control::Changed));
        }
        let rewritten = Ledger::with(&[(CONTRACT, &[0x5f, 0xf4]), (BEHIND, MORTAL)]).set(CONTRACT, slot, BEHIND);
        assert_eq!(shown(&pin, &ours, &rewritten, &[]), control(Control::Changed), "the code behind it");
    }
}

#[test]
fn a_minimal_proxy_is_as_firm_as_what_is_behind_it() {
    let minimal = minimal_proxy(BEHIND);
    for (behind, expected) in [(FIXED, Control::Fixed), (MORTAL, Control::IssuerControlled)] {
        let ledger = Ledger::with(&[(CONTRACT, &minimal), (BEHIND, behind)]);
        let pin = proxy(Form::Eip1167, &minimal, behind);
        assert_eq!(shown(&pin, &ledger, &ledger, behind), control(expected));
    }
}

#[test]
fn code_left_out_or_altered_in_transit_says_nothing() {
    let ledger = Ledger::with(&[(CONTRACT, FIXED)]);
    assert_eq!(shown(&pin(FIXED), &ledger, &ledger, &[]), Ok(Shown::CodeMissing));
    assert_eq!(shown(&pin(FIXED), &ledger, &ledger, MORTAL), Err("code-hash"));
}

#[test]
fn a_proof_that_does_not_close_is_no_change() {
    let (ours, other) = (Ledger::with(&[(CONTRACT, FIXED)]), Ledger::with(&[(CONTRACT, MORTAL)]));
    let pin = pin(FIXED);
    let (good, bad) = (ours.state(&pin), other.state(&pin));
    let roots = StateRoots { now: ours.root(), before: Some(ours.root()) };
    for (now, before) in [(&bad, &good), (&good, &bad)] {
        let proof = CodeProof { address: CONTRACT, code: FIXED, now: borrowed(now), before: borrowed(before) };
        assert_eq!(proof.judge(&pin, roots, &mut Budget::for_evidence()).unwrap_err().reason(), "proof-node-hash");
    }
    let mut more = good.clone();
    more[1] = more[0].clone();
    let proof = CodeProof { address: CONTRACT, code: FIXED, now: borrowed(&more), before: borrowed(&good) };
    assert_eq!(proof.judge(&pin, roots, &mut Budget::for_evidence()).unwrap_err().reason(), "proof-unused-nodes");
}

#[test]
fn at_the_anchor_nothing_is_known_of_the_block_before() {
    let ledger = Ledger::with(&[(CONTRACT, FIXED)]);
    let pin = pin(FIXED);
    let state = ledger.state(&pin);
    let proof = CodeProof { address: CONTRACT, code: FIXED, now: borrowed(&state), before: StateProof::default() };
    let roots = StateRoots { now: ledger.root(), before: None };
    let judged = proof.judge(&pin, roots, &mut Budget::for_evidence()).unwrap();
    assert_eq!(judged, Shown::Control(Control::IssuerControlled));
}

#[test]
fn a_budget_is_spent() {
    let ledger = Ledger::with(&[(CONTRACT, FIXED)]);
    let pin = pin(FIXED);
    let state = ledger.state(&pin);
    let proof = CodeProof { address: CONTRACT, code: FIXED, now: borrowed(&state), before: borrowed(&state) };
    let roots = StateRoots { now: ledger.root(), before: Some(ledger.root()) };
    assert_eq!(proof.judge(&pin, roots, &mut Budget::new(0, 64)).unwrap_err().reason(), "budget-exhausted");
}

#[test]
fn evidence_of_another_shape() {
    let receipts = crate::receipt::write_evidence([[1u8; 40]]);
    assert_eq!(split(&receipts).unwrap(), (receipts.as_slice(), Vec::new()));
    let nobody: [&[u8]; 0] = [];
    let none = crate::receipt::write_evidence(nobody);
    assert_eq!(split(&none).unwrap().1, Vec::new());
    let mut wrapped = Vec::new();
    rlp::write_list(&receipts, &mut wrapped);
    assert_eq!(split(&wrapped).unwrap_err().reason(), "proof-unused-nodes", "one spelling");
    let (state, other) = (StateProof::default(), Address::new([1; 20]));
    let proof = |address| CodeProof { address, code: &[], now: state.clone(), before: state.clone() };
    for twice in [[proof(CONTRACT), proof(CONTRACT)], [proof(CONTRACT), proof(other)]] {
        assert_eq!(split(&join(&receipts, &twice)).unwrap_err().reason(), "proof-unused-nodes");
    }
    let good = join(&receipts, &[proof(other), proof(CONTRACT)]);
    assert_eq!(split(&good).unwrap().1.len(), 2);
    for cut in 1..good.len() {
        assert!(split(&good[..cut]).is_err(), "cut at {cut}");
    }
    let long = vec![0; MAX_CODE_BYTES + 1];
    let proof = CodeProof { address: CONTRACT, code: &long, now: state.clone(), before: state };
    assert_eq!(split(&join(&receipts, &[proof])).unwrap_err().reason(), "too-large");
}
