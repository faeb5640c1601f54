//! State proofs of any tree, as the light client judges them.

use std::collections::BTreeMap;

use hufu_adapters_light_client::Budget;
use hufu_cometbft_devnet::tree::Tree;
use hufu_cometbft_light_client::ics23;
use proptest::prelude::*;

proptest! {
    #[test]
    fn any_key_of_any_tree_is_proven_to_be_there_or_not(
        entries in prop::collection::btree_map("[a-c/]{1,4}", prop::collection::vec(any::<u8>(), 1..40), 1..40),
        key in "[a-d/]{1,4}",
    ) {
        let entries: BTreeMap<String, Vec<u8>> = entries;
        let tree = Tree::new(entries.iter().map(|(key, value)| (key.clone().into_bytes(), value.clone())));
        let proof = ics23::Proof::parse(ics23::Tree::Simple, &tree.prove(key.as_bytes()), &mut Budget::for_evidence()).unwrap();
        match entries.get(&key) {
            Some(value) => prop_assert_eq!(proof.value_at(&tree.root(), key.as_bytes()).unwrap(), value.as_slice()),
            None => prop_assert!(proof.nothing_at(&tree.root(), key.as_bytes()).is_ok()),
        }
        // It says nothing of another root or of another key.
        prop_assert!(proof.value_at(&[0; 32], key.as_bytes()).is_err());
        prop_assert!(proof.nothing_at(&[0; 32], key.as_bytes()).is_err());
        prop_assert!(proof.value_at(&tree.root(), b"other").is_err());
    }
}
