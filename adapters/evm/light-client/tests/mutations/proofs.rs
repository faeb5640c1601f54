//! Mutations of single proofs: bytes, nodes, what stands in a node, what is asked, and proofs spliced from two.

use crate::corpus::{Answer, Asked, Corpus, Proof, prove};
use crate::random::Random;
use crate::report::{Outcome, Verdict};
use crate::tree::{Tree, spoilt};
use alloy_primitives::{B256, Bytes};
use alloy_trie::Nibbles;
use alloy_trie::proof::verify_proof;
use hufu_adapters_light_client::Budget;
use hufu_evm_light_client::proof::verify_inclusion;
use hufu_evm_light_client::trie::EMPTY_ROOT;
use hufu_evm_light_client::{Address, Hash32, keccak256};

/// A proof on its way to be another.
pub(crate) struct Draft {
    root: Hash32,
    asked: Asked,
    nodes: Vec<Vec<u8>>,
    /// Whether a changed node's name in its parent is changed with it, up to the root.
    relink: bool,
    /// The root of the nodes as they are linked now, where that is another one.
    forged: Option<Hash32>,
}

impl Draft {
    fn put(&mut self, at: usize, raw: Vec<u8>) {
        let before = keccak256(&self.nodes[at]);
        self.nodes[at] = raw;
        if !self.relink {
            return;
        }
        let after = keccak256(&self.nodes[at]);
        if at == 0 {
            self.forged = Some(after);
            return;
        }
        let parent = &self.nodes[at - 1];
        if let Some(place) = parent.windows(32).position(|window| window == before.as_bytes()) {
            let mut parent = parent.clone();
            parent[place..place + 32].copy_from_slice(after.as_bytes());
            self.put(at - 1, parent);
        }
    }

    /// Changes what stands in a node.
    fn edit(&mut self, random: &mut Random, change: impl FnOnce(&mut Vec<Tree>, &mut Random)) {
        if self.nodes.is_empty() {
            return;
        }
        let at = random.below(self.nodes.len());
        let Some(mut items) = Tree::items(&self.nodes[at]).filter(|items| !items.is_empty()) else { return };
        change(&mut items, random);
        self.put(at, Tree::List(items).write());
    }

    fn node(&self, random: &mut Random) -> Option<usize> {
        (!self.nodes.is_empty()).then(|| random.below(self.nodes.len()))
    }
}

type Mutation = (&'static str, fn(&mut Draft, &Corpus, &mut Random));

const MUTATIONS: &[Mutation] = &[
    ("bit of a node flipped", |draft, _, random| {
        let Some(at) = draft.node(random) else { return };
        let mut raw = draft.nodes[at].clone();
        random.flip(&mut raw);
        draft.put(at, raw);
    }),
    ("bytes of a node disturbed", |draft, _, random| {
        let Some(at) = draft.node(random) else { return };
        let mut raw = draft.nodes[at].clone();
        random.disturb(&mut raw);
        draft.put(at, raw);
    }),
    ("node dropped", |draft, _, random| {
        if let Some(at) = draft.node(random) {
            draft.nodes.remove(at);
        }
    }),
    ("node repeated", |draft, _, random| {
        if let Some(at) = draft.node(random) {
            let to = random.below(draft.nodes.len() + 1);
            draft.nodes.insert(to, draft.nodes[at].clone());
        }
    }),
    ("nodes swapped", |draft, _, random| {
        if let (Some(one), Some(other)) = (draft.node(random), draft.node(random)) {
            draft.nodes.swap(one, other);
        }
    }),
    ("nodes reversed", |draft, _, _| draft.nodes.reverse()),
    ("proof cut short", |draft, _, random| {
        let kept = random.below(draft.nodes.len() + 1);
        draft.nodes.truncate(kept);
    }),
    ("foreign node put in", |draft, corpus, random| {
        let to = random.below(draft.nodes.len() + 1);
        let foreign = foreign_node(corpus, random);
        draft.nodes.insert(to, foreign);
    }),
    ("foreign node in a node's place", |draft, corpus, random| {
        let Some(at) = draft.node(random) else { return };
        let foreign = foreign_node(corpus, random);
        draft.put(at, foreign);
    }),
    ("end of another proof", |draft, corpus, random| {
        let other = corpus.pick(random);
        let kept = random.below(draft.nodes.len() + 1);
        draft.nodes.truncate(kept);
        draft.nodes.extend(other.nodes.iter().skip(kept).cloned());
    }),
    ("nodes of another proof", |draft, corpus, random| draft.nodes.clone_from(&corpus.pick(random).nodes)),
    ("nibbles of a path changed", |draft, _, random| {
        draft.edit(random, |items, random| {
            if let [Tree::String(path), _] = &mut items[..] {
                random.flip(path);
            }
        });
    }),
    ("path of another length", |draft, _, random| {
        draft.edit(random, |items, random| {
            if let [Tree::String(path), _] = &mut items[..] {
                random.disturb(path);
            }
        });
    }),
    ("path emptied", |draft, _, random| {
        draft.edit(random, |items, random| {
            if let [Tree::String(path), _] = &mut items[..] {
                *path = vec![if random.coin() { 0x00 } else { 0x20 }];
            }
        });
    }),
    ("leaf taken for extension", |draft, _, random| {
        draft.edit(random, |items, _| {
            if let [Tree::String(path), _] = &mut items[..]
                && let Some(first) = path.first_mut()
            {
                *first ^= 0x20;
            }
        });
    }),
    ("child's name changed", |draft, _, random| {
        let names: Vec<Vec<u8>> = draft.nodes.iter().map(|raw| keccak256(raw).as_bytes().to_vec()).collect();
        draft.edit(random, |items, random| {
            let at = random.below(items.len());
            items[at] = Tree::String(match random.below(4) {
                0 => vec![0; 32],
                1 => random.bytes(32),
                2 => random.pick(&names).clone(),
                _ => EMPTY_ROOT.as_bytes().to_vec(),
            });
        });
    }),
    ("child's name of another length", |draft, _, random| {
        draft.edit(random, |items, random| {
            let at = random.below(items.len());
            if let Tree::String(name) = &mut items[at] {
                random.disturb(name);
            }
        });
    }),
    ("children swapped", |draft, _, random| {
        draft.edit(random, |items, random| {
            let (one, other) = (random.below(items.len()), random.below(items.len()));
            items.swap(one, other);
        });
    }),
    ("child taken away", |draft, _, random| {
        draft.edit(random, |items, random| {
            let at = random.below(items.len());
            items[at] = Tree::String(Vec::new());
        });
    }),
    ("items of a node more or fewer", |draft, _, random| {
        draft.edit(random, |items, random| {
            if random.coin() {
                items.push(Tree::String(Vec::new()));
            } else {
                items.pop();
            }
        });
    }),
    ("value put into a branch", |draft, _, random| {
        draft.edit(random, |items, random| {
            if items.len() == 17 {
                items[16] = Tree::String(random.bytes(8));
            }
        });
    }),
    ("hashed child inlined", |draft, _, random| {
        let Some(below) = draft.node(random).filter(|at| *at > 0) else { return };
        let (name, child) = (keccak256(&draft.nodes[below]), Tree::Raw(draft.nodes[below].clone()));
        let Some(mut items) = Tree::items(&draft.nodes[below - 1]) else { return };
        for item in &mut items {
            if *item == Tree::String(name.as_bytes().to_vec()) {
                *item = child.clone();
            }
        }
        draft.nodes.remove(below);
        draft.put(below - 1, Tree::List(items).write());
    }),
    ("inlined child hashed", |draft, _, random| {
        let Some(at) = draft.node(random) else { return };
        let Some(mut items) = Tree::items(&draft.nodes[at]) else { return };
        let lists = items.iter().filter(|item| matches!(item, Tree::List(_))).count();
        if lists == 0 {
            return;
        }
        let place = random.below(lists);
        let Some(item) = items.iter_mut().filter(|item| matches!(item, Tree::List(_))).nth(place) else { return };
        let raw = item.write();
        *item = Tree::String(keccak256(&raw).as_bytes().to_vec());
        draft.put(at, Tree::List(items).write());
        draft.nodes.insert(at + 1, raw);
    }),
    ("RLP not canonical", |draft, _, random| {
        let Some(at) = draft.node(random) else { return };
        let raw = spoilt(&draft.nodes[at], random);
        draft.put(at, raw);
    }),
    ("value changed", |draft, _, random| {
        let Some(at) = draft.nodes.len().checked_sub(1) else { return };
        let Some(mut items) = Tree::items(&draft.nodes[at]) else { return };
        if let Some(Tree::String(value)) = items.last_mut() {
            random.disturb(value);
        }
        draft.put(at, Tree::List(items).write());
    }),
    ("value of another key", |draft, corpus, random| {
        let Some(at) = draft.nodes.len().checked_sub(1) else { return };
        let Some(mut items) = Tree::items(&draft.nodes[at]) else { return };
        let other = corpus.pick(random).nodes.last().and_then(|raw| Tree::items(raw)?.pop());
        if let (Some(last), Some(value)) = (items.last_mut(), other) {
            *last = value;
        }
        draft.put(at, Tree::List(items).write());
    }),
    ("asked about a neighbour", |draft, _, random| {
        draft.asked = match &draft.asked {
            Asked::Item(index) => Asked::Item(if random.coin() { index ^ 1 } else { index.wrapping_add(128) }),
            Asked::Account(address) => {
                let mut bytes = *address.as_bytes();
                random.flip(&mut bytes);
                Asked::Account(Address::new(bytes))
            }
            Asked::Slot(slot) => {
                let mut bytes = *slot.as_bytes();
                random.flip(&mut bytes);
                Asked::Slot(Hash32::new(bytes))
            }
        };
    }),
    ("asked about another", |draft, corpus, random| draft.asked = corpus.pick(random).asked.clone()),
    ("under another root", |draft, corpus, random| {
        draft.root = match random.below(5) {
            0 => Hash32::ZERO,
            1 => EMPTY_ROOT,
            2 => corpus.tries[random.below(corpus.tries.len())].root,
            3 => {
                let mut root = *draft.root.as_bytes();
                random.flip(&mut root);
                Hash32::new(root)
            }
            _ => draft.node(random).map_or(draft.root, |at| keccak256(&draft.nodes[at])),
        };
    }),
];

/// A node of some valid proof; all of them have one.
fn foreign_node(corpus: &Corpus, random: &mut Random) -> Vec<u8> {
    let nodes = &corpus.pick(random).nodes;
    nodes[random.below(nodes.len())].clone()
}

/// Takes a valid proof, makes one to three mutations, and judges what is left.
pub(crate) fn mutate(corpus: &Corpus, random: &mut Random) -> Outcome {
    let valid = corpus.pick(random);
    let (draft, made) = changed(corpus, valid, random);
    let verdict = judge(corpus, &draft);
    let forged = draft.forged.filter(|forged| *forged != draft.root).map(|forged| read_alike(forged, &draft));
    let (verdict, forged_closes) = match forged {
        Some(Err(what)) => (Verdict::Wrong(what), false),
        Some(Ok(closes)) => (verdict, closes),
        None => (verdict, false),
    };
    Outcome { group: "proof", subject: valid.subject, made, verdict, forged_closes }
}

/// Draws until something is changed: some mutations find nothing to change in some proofs.
fn changed(corpus: &Corpus, valid: &Proof, random: &mut Random) -> (Draft, Vec<&'static str>) {
    let root = corpus.tries[valid.trie].root;
    loop {
        let (asked, nodes) = (valid.asked.clone(), valid.nodes.clone());
        let mut draft = Draft { root, asked, nodes, relink: random.coin(), forged: None };
        let mut made = Vec::new();
        for _ in 0..[1, 1, 1, 2, 2, 3][random.below(6)] {
            let (name, mutation) = random.pick(MUTATIONS);
            mutation(&mut draft, corpus, random);
            made.push(*name);
        }
        if draft.root != root || draft.asked != valid.asked || draft.nodes != valid.nodes {
            return (draft, made);
        }
    }
}

fn judge(corpus: &Corpus, draft: &Draft) -> Verdict {
    let answer = match prove(draft.root, &draft.asked, &draft.nodes) {
        Ok(answer) => answer,
        Err(reason) => return Verdict::Refused(reason),
    };
    let wrong = |what: &str| {
        Verdict::Wrong(format!("{what}: {answer:?} to {:?} under {}, nodes {}", draft.asked, draft.root, shown(draft)))
    };
    let known = corpus.trie(&draft.root);
    match known.and_then(|trie| trie.says(&draft.asked, &answer)) {
        Some(true) => Verdict::Equal,
        Some(false) => wrong("not what stands there"),
        None => match read_alike(draft.root, draft) {
            Err(what) => wrong(&what),
            Ok(_) if known.is_some() || answer == Answer::Nothing && draft.root == EMPTY_ROOT => Verdict::Equal,
            Ok(_) => Verdict::OtherRoot,
        },
    }
}

/// Whether the nodes close under `root`, and if so, whether the oracle reads the same there.
fn read_alike(root: Hash32, draft: &Draft) -> Result<bool, String> {
    let key = draft.asked.key();
    let Ok(found) = verify_inclusion(root, &key, &draft.nodes, &mut Budget::for_evidence()) else { return Ok(false) };
    // The oracle does not take a root node of less than 32 bytes.
    if draft.nodes.first().is_some_and(|raw| raw.len() < 32 && raw[..] != [0x80]) {
        return Ok(true);
    }
    let theirs: Vec<Bytes> = draft.nodes.iter().cloned().map(Into::into).collect();
    let expected = found.map(<[u8]>::to_vec);
    verify_proof(B256::from(*root.as_bytes()), Nibbles::unpack(&key), expected, &theirs)
        .map(|()| true)
        .map_err(|error| format!("the oracle reads otherwise under {root}: {error}, nodes {}", shown(draft)))
}

fn shown(draft: &Draft) -> String {
    draft.nodes.iter().map(hex::encode).collect::<Vec<_>>().join(" ")
}
