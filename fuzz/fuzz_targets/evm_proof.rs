//! Any bytes as an account, an `eth_getProof` answer, and the nodes of a proof under the first node's own hash.
#![no_main]

use hufu_adapters_light_client::Budget;
use hufu_evm_light_client::account::Account;
use hufu_evm_light_client::get_proof::GetProof;
use hufu_evm_light_client::proof::verify_inclusion;
use hufu_evm_light_client::rlp::Reader;
use hufu_evm_light_client::{Address, Hash32, keccak256, trie};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = Account::parse(data);
    if let Ok(answer) = GetProof::parse(data) {
        let _ = answer.verify(trie::EMPTY_ROOT, Address::ZERO, &[Hash32::ZERO], &mut Budget::for_evidence());
    }
    let Some((size, rest)) = data.split_first() else { return };
    let Some((key, mut rest)) = rest.split_at_checked(usize::from(size % 34)) else { return };
    let mut nodes = Vec::new();
    while let Some(raw) = next_node(&mut rest) {
        nodes.push(raw);
    }
    let Some(first) = nodes.first() else { return };
    let root = keccak256(first);
    let prove = |nodes: &[&[u8]]| {
        let mut budget = Budget::for_evidence();
        verify_inclusion(root, key, nodes, &mut budget).map(|found| found.map(<[u8]>::to_vec))
    };
    if prove(&nodes).is_err() {
        return;
    }
    assert!(prove(&nodes[..nodes.len() - 1]).is_err() || root == trie::EMPTY_ROOT, "every node is needed");
    nodes.push(&[0xc0]);
    assert!(prove(&nodes).is_err(), "no node may be added");
});

/// Nodes stand one after the other: the next whole RLP item, or what is left.
fn next_node<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    if rest.is_empty() {
        return None;
    }
    let mut reader = Reader::new(rest);
    let raw = reader.raw().unwrap_or(rest);
    *rest = rest.get(raw.len()..).unwrap_or_default();
    Some(raw)
}
