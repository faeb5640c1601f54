use super::*;
use ics23::{HashOp, InnerOp, LeafOp, LengthOp};
use proptest::prelude::*;

fn sha(parts: &[&[u8]]) -> Vec<u8> {
    crate::hash::sha256_of(parts).as_bytes().to_vec()
}

fn leaf_op(prefix: &[u8]) -> LeafOp {
    LeafOp {
        hash: HashOp::Sha256.into(),
        prehash_key: HashOp::NoHash.into(),
        prehash_value: HashOp::Sha256.into(),
        length: LengthOp::VarProto.into(),
        prefix: prefix.to_vec(),
    }
}

fn inner_op(prefix: Vec<u8>, suffix: Vec<u8>) -> InnerOp {
    InnerOp { hash: HashOp::Sha256.into(), prefix, suffix }
}

fn leaf_hash(tree: Tree, key: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| vec![u8::try_from(bytes.len()).unwrap()];
    sha(&[leaf_prefix(tree), &length(key), key, &[32], &sha(&[value])])
}

const fn leaf_prefix(tree: Tree) -> &'static [u8] {
    match tree {
        Tree::Iavl => &[0, 2, 8],
        Tree::Simple => &[0],
    }
}

/// What stands in front of an inner node's first child.
fn inner_prefix(tree: Tree, height: u8) -> Vec<u8> {
    match tree {
        Tree::Iavl => vec![height * 2, 2 << height, 8, 32],
        Tree::Simple => vec![1],
    }
}

/// A tree of four leaves, `a`, `c`, `e` and `g`, with the existence proof of each.
fn four(tree: Tree) -> (Vec<u8>, Vec<ExistenceProof>) {
    let between: &[u8] = if tree == Tree::Iavl { &[32] } else { &[] };
    let keys = [b"a", b"c", b"e", b"g"];
    let leaves: Vec<Vec<u8>> = keys.iter().map(|key| leaf_hash(tree, *key, b"value")).collect();
    let join = |height: u8, left: &[u8], right: &[u8]| sha(&[&inner_prefix(tree, height), left, between, right]);
    let halves = [join(1, &leaves[0], &leaves[1]), join(1, &leaves[2], &leaves[3])];
    let root = join(2, &halves[0], &halves[1]);
    let op = |height: u8, is_left: bool, other: &[u8]| {
        if is_left {
            inner_op(inner_prefix(tree, height), [between, other].concat())
        } else {
            inner_op([&inner_prefix(tree, height), other, between].concat(), Vec::new())
        }
    };
    let proofs = (0..4)
        .map(|at| ExistenceProof {
            key: keys[at].to_vec(),
            value: b"value".to_vec(),
            leaf: Some(leaf_op(leaf_prefix(tree))),
            path: vec![op(1, at % 2 == 0, &leaves[at ^ 1]), op(2, at < 2, &halves[1 - at / 2])],
        })
        .collect();
    (root, proofs)
}

fn parse(tree: Tree, proof: commitment_proof::Proof) -> Result<Proof, Fault> {
    let bytes = CommitmentProof { proof: Some(proof) }.encode_to_vec();
    Proof::parse(tree, &bytes, &mut Budget::for_evidence())
}

fn exists(tree: Tree, proof: &ExistenceProof) -> Result<Proof, Fault> {
    parse(tree, commitment_proof::Proof::Exist(proof.clone()))
}

fn absent(
    tree: Tree,
    key: &[u8],
    left: Option<&ExistenceProof>,
    right: Option<&ExistenceProof>,
) -> Result<Proof, Fault> {
    let proof = NonExistenceProof { key: key.to_vec(), left: left.cloned(), right: right.cloned() };
    parse(tree, commitment_proof::Proof::Nonexist(proof))
}

const TREES: [Tree; 2] = [Tree::Iavl, Tree::Simple];

#[test]
fn what_is_there_and_what_is_not() {
    for tree in TREES {
        let (root, proofs) = four(tree);
        for proof in &proofs {
            assert_eq!(exists(tree, proof).unwrap().value_at(&root, &proof.key).unwrap(), b"value");
        }
        absent(tree, b"b", Some(&proofs[0]), Some(&proofs[1])).unwrap().nothing_at(&root, b"b").unwrap();
        absent(tree, b"d", Some(&proofs[1]), Some(&proofs[2])).unwrap().nothing_at(&root, b"d").unwrap();
        absent(tree, b"A", None, Some(&proofs[0])).unwrap().nothing_at(&root, b"A").unwrap();
        absent(tree, b"z", Some(&proofs[3]), None).unwrap().nothing_at(&root, b"z").unwrap();
    }
}

#[test]
fn absence_between_leaves_that_are_no_neighbours() {
    for tree in TREES {
        let (root, proofs) = four(tree);
        // `c` is there: a proof that leaves it out.
        for (left, right) in [(Some(0), Some(2)), (Some(0), Some(3)), (None, Some(2)), (Some(0), None), (None, Some(3))]
        {
            let at = |index: Option<usize>| index.map(|index: usize| &proofs[index]);
            let proof = absent(tree, b"c", at(left), at(right)).unwrap();
            assert_eq!(proof.nothing_at(&root, b"c").unwrap_err().reason(), "proof-root", "{left:?} {right:?}");
        }
    }
}

#[test]
fn absence_of_the_neighbour_itself() {
    for tree in TREES {
        let (root, proofs) = four(tree);
        let proof = absent(tree, b"c", Some(&proofs[1]), Some(&proofs[2])).unwrap();
        assert_eq!(proof.nothing_at(&root, b"c").unwrap_err().reason(), "proof-root");
        assert_eq!(absent(tree, b"c", None, None).unwrap_err().reason(), "proof-malformed");
    }
}

#[test]
fn neighbours_of_one_path_do_not_stop_the_process() {
    for tree in TREES {
        let (_, proofs) = four(tree);
        let twice = absent(tree, b"b", Some(&proofs[0]), Some(&proofs[0]));
        assert_eq!(twice.unwrap_err().reason(), "proof-root");
        let mut above = proofs[0].clone();
        above.path.remove(0);
        assert_eq!(absent(tree, b"b", Some(&proofs[0]), Some(&above)).unwrap_err().reason(), "proof-root");
        above.path.clear();
        assert_eq!(absent(tree, b"b", Some(&above), Some(&proofs[0])).unwrap_err().reason(), "proof-root");
    }
}

#[test]
fn dragonberry_prefixes_that_hide_a_child() {
    // The forgery put bytes of a sibling into the prefix, so that a path looked leftmost where it was not.
    let (_, proofs) = four(Tree::Iavl);
    for (prefix, suffix) in [
        (vec![2, 4, 8, 32, 1], vec![0; 33]),
        ([vec![2, 4, 8, 32], vec![0; 32]].concat(), vec![]),
        ([vec![2, 4, 8, 32], vec![0; 32], vec![33]].concat(), vec![]),
        ([vec![2, 4, 8], vec![0; 33], vec![32]].concat(), vec![]),
        (vec![2, 4, 8, 32], vec![33; 33]),
        (vec![2, 4, 8, 32], vec![32; 66]),
        (vec![2, 4, 8, 32], vec![]),
        (vec![0, 4, 8, 32], [vec![32], vec![0; 32]].concat()),
        (vec![2, 2, 8, 32], [vec![32], vec![0; 32]].concat()),
        (vec![3, 4, 8, 32], [vec![32], vec![0; 32]].concat()),
        (vec![0x82, 0, 4, 8, 32], [vec![32], vec![0; 32]].concat()),
        (vec![2, 4, 8], vec![]),
        (vec![0xff; 12], vec![]),
    ] {
        let mut proof = proofs[0].clone();
        proof.path[0] = inner_op(prefix, suffix);
        assert_eq!(exists(Tree::Iavl, &proof).unwrap_err().reason(), "proof-spec", "{:?}", proof.path[0]);
    }
}

#[test]
fn simple_nodes_with_another_shape() {
    let (_, proofs) = four(Tree::Simple);
    for (prefix, suffix) in [
        (vec![0], vec![0; 32]),
        (vec![1; 20], vec![]),
        (vec![2; 33], vec![]),
        (vec![1], vec![0; 64]),
        (vec![], vec![0; 32]),
    ] {
        let mut proof = proofs[0].clone();
        proof.path[0] = inner_op(prefix, suffix);
        assert_eq!(exists(Tree::Simple, &proof).unwrap_err().reason(), "proof-spec");
    }
}

#[test]
fn a_height_that_does_not_rise() {
    let (_, proofs) = four(Tree::Iavl);
    let mut proof = proofs[0].clone();
    proof.path.reverse();
    assert_eq!(exists(Tree::Iavl, &proof).unwrap_err().reason(), "proof-spec");
}

#[test]
fn leaf_operations_other_than_the_trees_own() {
    for tree in TREES {
        let (_, proofs) = four(tree);
        let change = |change: &dyn Fn(&mut LeafOp)| {
            let mut proof = proofs[0].clone();
            change(proof.leaf.as_mut().unwrap());
            exists(tree, &proof).unwrap_err().reason()
        };
        for hash in 0..=9 {
            if hash != i32::from(HashOp::Sha256) {
                assert_eq!(change(&|leaf| leaf.hash = hash), "proof-spec");
                assert_eq!(change(&|leaf| leaf.prehash_value = hash), "proof-spec");
            }
            if hash != 0 {
                assert_eq!(change(&|leaf| leaf.prehash_key = hash), "proof-spec");
            }
            let mut proof = proofs[0].clone();
            proof.path[0].hash = hash;
            assert!(hash == 1 || exists(tree, &proof).unwrap_err().reason() == "proof-spec");
        }
        assert_eq!(change(&|leaf| leaf.length = 0), "proof-spec");
        for prefix in [&[][..], &[1], &[0, 0], &[0, 2], &[0, 2, 8, 8], &[0, 2, 7]] {
            assert_eq!(change(&|leaf| leaf.prefix = prefix.to_vec()), "proof-spec", "{prefix:?}");
        }
        let mut none = proofs[0].clone();
        none.leaf = None;
        assert_eq!(exists(tree, &none).unwrap_err().reason(), "proof-spec");
    }
}

#[test]
fn depth_bomb() {
    for tree in TREES {
        let (_, proofs) = four(tree);
        let mut proof = proofs[0].clone();
        proof.path = vec![proof.path[0].clone(); MAX_DEPTH + 1];
        assert_eq!(exists(tree, &proof).unwrap_err().reason(), "proof-depth");
    }
    let long = vec![0; MAX_PROOF_BYTES + 1];
    let fault = Proof::parse(Tree::Iavl, &long, &mut Budget::for_evidence()).unwrap_err();
    assert_eq!(fault.reason(), "too-large");
}

#[test]
fn batches_are_not_read() {
    let batch = commitment_proof::Proof::Batch(ics23::BatchProof { entries: Vec::new() });
    assert_eq!(parse(Tree::Iavl, batch).unwrap_err().reason(), "proof-malformed");
    let compressed = ics23::CompressedBatchProof { entries: Vec::new(), lookup_inners: Vec::new() };
    let compressed = commitment_proof::Proof::Compressed(compressed);
    assert_eq!(parse(Tree::Iavl, compressed).unwrap_err().reason(), "proof-malformed");
}

#[test]
fn another_spelling_of_a_proof() {
    let (_, proofs) = four(Tree::Iavl);
    let exist = commitment_proof::Proof::Exist(proofs[0].clone());
    let mut bytes = CommitmentProof { proof: Some(exist) }.encode_to_vec();
    bytes.extend([0x28, 0x01]);
    let fault = Proof::parse(Tree::Iavl, &bytes, &mut Budget::for_evidence()).unwrap_err();
    assert_eq!(fault.reason(), "proof-malformed");
}

#[test]
fn another_key_value_or_root() {
    for tree in TREES {
        let (root, proofs) = four(tree);
        let proof = exists(tree, &proofs[0]).unwrap();
        assert_eq!(proof.value_at(&root, b"c").unwrap_err().reason(), "proof-key");
        assert_eq!(proof.value_at(&[0; 32], b"a").unwrap_err().reason(), "proof-root");
        assert_eq!(proof.nothing_at(&root, b"a").unwrap_err().reason(), "proof-malformed");
        let mut other = proofs[0].clone();
        other.value = b"other".to_vec();
        assert_eq!(exists(tree, &other).unwrap().value_at(&root, b"a").unwrap_err().reason(), "proof-root");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_proof_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for tree in TREES {
            if let Ok(proof) = Proof::parse(tree, &bytes, &mut Budget::for_evidence()) {
                let _ = (proof.value_at(&[0; 32], b"a"), proof.nothing_at(&[0; 32], b"a"));
            }
        }
    }

    #[test]
    fn a_bit_flipped_in_a_proof_proves_nothing_else(at in 0_usize..4, byte in 0_usize..400, bit in 0_u8..8) {
        for tree in TREES {
            let (root, proofs) = four(tree);
            let exist = commitment_proof::Proof::Exist(proofs[at].clone());
            let mut bytes = CommitmentProof { proof: Some(exist) }.encode_to_vec();
            let place = byte % bytes.len();
            bytes[place] ^= 1 << bit;
            if let Ok(proof) = Proof::parse(tree, &bytes, &mut Budget::for_evidence()) {
                prop_assert!(proof.value_at(&root, &proofs[at].key).is_err());
            }
        }
    }
}
