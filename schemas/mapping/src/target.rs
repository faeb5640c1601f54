//! Where values may go, and the tree that puts them there.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::fault::{ErrorCode, Issue};
use crate::limits::MAX_ARRAY_TARGETS;
use crate::pointer::{Pointer, array_index, child};

/// The members of an envelope that a mapping may write (records.md 3.3). `key` is not among them: it is the mapping's
/// part of `recordKey`.
pub(crate) const ROOTS: [&str; 13] = [
    "event",
    "issuer",
    "jurisdiction",
    "subjects",
    "occurredAt",
    "effective",
    "status",
    "links",
    "sharing",
    "sensitivity",
    "rights",
    "body",
    "ext",
];

/// The pseudo-target of the mapping's part of the record key.
pub(crate) const KEY: &str = "/key";

/// Refuses targets that the host fills in.
pub(crate) fn allowed(pointer: &Pointer) -> Result<(), String> {
    let root = pointer.tokens().first().map_or("", String::as_str);
    if ROOTS.contains(&root) {
        return Ok(());
    }
    Err(match root {
        "recordKey" => "expected /key: the engine itself puts type and issuer in front of it".to_owned(),
        "provenance" | "commitment" | "recordId" | "envelope" | "schema" | "type" | "recordedAt" | "quality"
        | "attestations" => format!("expected a target that a mapping may write; {root} is filled in by the gateway"),
        _ => format!("expected a target under one of {} or {KEY}", ROOTS.join(", ")),
    })
}

/// Which value of a rule goes to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The entry's index.
    pub(crate) entry: usize,
    /// Whether it is the entry's kept code.
    pub(crate) kept: bool,
    /// Whether it is a constant, which says nothing about this event.
    pub(crate) constant: bool,
}

/// The draft's shape, built once when the mapping is read.
#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Leaf(Slot),
    Object(Vec<(String, Tree)>),
    Array(Vec<Tree>),
}

#[derive(Default)]
struct Node {
    slot: Option<Slot>,
    children: BTreeMap<String, Node>,
}

impl Tree {
    /// Builds the shape; pointers that cannot all be written are a fault.
    pub(crate) fn build<'p>(leaves: impl Iterator<Item = (&'p Pointer, Slot)>) -> Result<Self, Issue> {
        let mut root = Node::default();
        for (pointer, slot) in leaves {
            root.insert(pointer, slot)?;
        }
        Self::from_node(root, "")
    }

    fn from_node(node: Node, at: &str) -> Result<Self, Issue> {
        if let Some(slot) = node.slot {
            return Ok(Self::Leaf(slot));
        }
        let indices: Vec<_> = node.children.keys().filter_map(|key| array_index(key)).collect();
        if indices.is_empty() {
            let object = node.children.into_iter().map(|(key, inner)| {
                let tree = Self::from_node(inner, &child(at, &key))?;
                Ok((key, tree))
            });
            return Ok(Self::Object(object.collect::<Result<_, Issue>>()?));
        }
        if indices.len() != node.children.len() {
            return Err(conflict(at, "expected either members or indices here, got both"));
        }
        let highest = indices.iter().copied().max().unwrap_or(0);
        if highest >= MAX_ARRAY_TARGETS || highest + 1 != indices.len() {
            let detail = format!("expected indices from 0 without gaps, below {MAX_ARRAY_TARGETS}");
            return Err(conflict(at, &detail));
        }
        let mut children: Vec<_> = node.children.into_iter().collect();
        children.sort_by_key(|(key, _)| array_index(key));
        let array = children.into_iter().map(|(key, inner)| Self::from_node(inner, &child(at, &key)));
        Ok(Self::Array(array.collect::<Result<_, Issue>>()?))
    }

    /// Puts values in their places. What is absent leaves no trace: no empty member, no gap in a list, and no place
    /// below the draft's own members that holds constants alone because all it should hold of the event is absent.
    pub(crate) fn fill(&self, values: &mut impl FnMut(Slot) -> Option<Value>) -> Option<Value> {
        self.fill_at(0, values).value
    }

    fn fill_at(&self, depth: usize, values: &mut impl FnMut(Slot) -> Option<Value>) -> Filled {
        let mut all = Filled::default();
        match self {
            Self::Leaf(slot) => {
                let value = values(*slot);
                let found = value.is_some() && !slot.constant;
                return Filled { found, missed: value.is_none(), value };
            }
            Self::Object(members) => {
                let mut filled = Map::new();
                for (key, tree) in members {
                    if let Some(value) = all.note(tree.fill_at(depth + 1, values)) {
                        filled.insert(key.clone(), value);
                    }
                }
                all.value = (!filled.is_empty()).then_some(Value::Object(filled));
            }
            Self::Array(trees) => {
                let filled: Vec<_> =
                    trees.iter().filter_map(|tree| all.note(tree.fill_at(depth + 1, values))).collect();
                all.value = (!filled.is_empty()).then_some(Value::Array(filled));
            }
        }
        if depth > 1 && all.missed && !all.found {
            all.value = None;
        }
        all
    }
}

/// What became of a place.
#[derive(Default)]
struct Filled {
    value: Option<Value>,
    /// Something of the event is in it.
    found: bool,
    /// Something of the event should be in it and is absent.
    missed: bool,
}

impl Filled {
    fn note(&mut self, inner: Self) -> Option<Value> {
        self.found |= inner.found;
        self.missed |= inner.missed;
        inner.value
    }
}

impl Node {
    fn insert(&mut self, pointer: &Pointer, slot: Slot) -> Result<(), Issue> {
        let mut node = self;
        for token in pointer.tokens() {
            if node.slot.is_some() {
                return Err(conflict(
                    &pointer.to_string(),
                    "expected a target outside of others, got one inside another",
                ));
            }
            node = node.children.entry(token.clone()).or_default();
        }
        if node.slot.is_some() || !node.children.is_empty() {
            return Err(conflict(&pointer.to_string(), "expected each place to be written once"));
        }
        node.slot = Some(slot);
        Ok(())
    }
}

fn conflict(pointer: &str, detail: &str) -> Issue {
    Issue { pointer: pointer.to_owned(), code: ErrorCode::Conflict, detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn build(pointers: &[&str]) -> Result<Tree, Issue> {
        let pointers: Vec<_> = pointers.iter().map(|text| Pointer::parse(text).unwrap()).collect();
        Tree::build(
            pointers.iter().enumerate().map(|(entry, pointer)| (pointer, Slot { entry, kept: false, constant: false })),
        )
    }

    #[test]
    fn values_in_their_places() {
        let tree = build(&["/a/b", "/list/1", "/list/0", "/list/2/x"]).unwrap();
        let all = tree.fill(&mut |slot| Some(json!(slot.entry)));
        assert_eq!(all, Some(json!({"a": {"b": 0}, "list": [2, 1, {"x": 3}]})));
        let some = tree.fill(&mut |slot| (slot.entry == 3).then(|| json!("v")));
        assert_eq!(some, Some(json!({"list": [{"x": "v"}]})));
        assert_eq!(tree.fill(&mut |_| None), None);
    }

    #[test]
    fn constants_do_not_stand_alone() {
        let pointers =
            ["/subjects/0/role", "/subjects/0/ref", "/subjects/1/role", "/subjects/1/ref", "/body/kind", "/body/note"];
        let pointers = pointers.map(|text| Pointer::parse(text).unwrap());
        let slots = pointers.iter().enumerate();
        let slots = slots.map(|(entry, pointer)| (pointer, Slot { entry, kept: false, constant: entry % 2 == 0 }));
        let tree = Tree::build(slots).unwrap();
        let only =
            |present: &'static [usize]| tree.fill(&mut |slot| present.contains(&slot.entry).then(|| json!(slot.entry)));
        assert_eq!(only(&[0, 2, 3, 4]), Some(json!({"subjects": [{"role": 2, "ref": 3}], "body": {"kind": 4}})));
        assert_eq!(only(&[0, 2, 4, 5]), Some(json!({"body": {"kind": 4, "note": 5}})));
    }

    #[test]
    fn ten_comes_after_nine() {
        let texts: Vec<String> = (0..12).map(|index| format!("/l/{index}")).collect();
        let tree = build(&texts.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let expected: Vec<_> = (0..12).collect();
        assert_eq!(tree.fill(&mut |slot| Some(json!(slot.entry))), Some(json!({"l": expected})));
    }

    #[test]
    fn targets_that_cannot_all_be_written() {
        for pointers in [
            &["/a", "/a"][..],
            &["/a", "/a/b"],
            &["/a/b", "/a"],
            &["/l/1"],
            &["/l/0", "/l/x"],
            &["/l/18446744073709551615"],
        ] {
            assert_eq!(build(pointers).unwrap_err().code, ErrorCode::Conflict, "{pointers:?}");
        }
    }

    #[test]
    fn targets_of_the_host() {
        for text in [
            "",
            "/provenance/height",
            "/commitment",
            "/recordId",
            "/envelope",
            "/schema",
            "/type",
            "/recordedAt",
            "/recordKey",
            "/quality/0",
            "/attestations",
            "/unknown",
        ] {
            assert!(allowed(&Pointer::parse(text).unwrap()).is_err(), "{text}");
        }
        assert!(allowed(&Pointer::parse("/body").unwrap()).is_ok());
    }
}
