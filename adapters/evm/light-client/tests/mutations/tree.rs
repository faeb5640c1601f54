//! RLP as a tree that can be changed and written again, also in ways that are not canonical.

use crate::random::Random;
use hufu_evm_light_client::rlp::{self, Reader};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tree {
    String(Vec<u8>),
    List(Vec<Tree>),
    /// Written as it stands.
    Raw(Vec<u8>),
}

impl Tree {
    /// Reads one item; `None` if a change before has left something else.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let tree = Self::next(&mut reader)?;
        reader.is_empty().then_some(tree)
    }

    fn next(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.item().ok()? {
            rlp::Item::String(bytes) => Some(Self::String(bytes.to_vec())),
            rlp::Item::List(mut items) => {
                let mut list = Vec::new();
                while !items.is_empty() {
                    list.push(Self::next(&mut items)?);
                }
                Some(Self::List(list))
            }
        }
    }

    /// The items of a list.
    pub(crate) fn items(bytes: &[u8]) -> Option<Vec<Self>> {
        match Self::read(bytes)? {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::String(bytes) => rlp::write_string(bytes, &mut out),
            Self::List(items) => rlp::write_list(&payload(items), &mut out),
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
        out
    }

    fn count(&self) -> usize {
        1 + match self {
            Self::List(items) => items.iter().map(Self::count).sum(),
            _ => 0,
        }
    }

    /// The item at place `at`, counted from the outside in.
    fn at(&mut self, at: usize) -> Option<&mut Self> {
        if at == 0 {
            return Some(self);
        }
        let Self::List(items) = self else { return None };
        let mut left = at - 1;
        for item in items {
            let count = item.count();
            if left < count {
                return item.at(left);
            }
            left -= count;
        }
        None
    }

    /// Writes one item, at any depth, in a form that is not the shortest, or as a list where it is a string.
    pub(crate) fn spoil(&mut self, random: &mut Random) {
        let at = random.below(self.count());
        let Some(item) = self.at(at) else { return };
        let (payload, short, long) = match item {
            Self::String(bytes) => (bytes.clone(), 0x80u8, 0xb7u8),
            Self::List(items) => (payload(items), 0xc0, 0xf7),
            Self::Raw(_) => return,
        };
        let size = payload.len().to_be_bytes();
        let digits = size.iter().skip_while(|byte| **byte == 0).count().max(1);
        let with_prefix = |prefix: Vec<u8>| Self::Raw([prefix, payload.clone()].concat());
        *item = match random.below(5) {
            // The length in the long form, which a length below 56 must not have.
            0 => with_prefix([&[long + 1], &size[7..]].concat()),
            // The length with a zero in front.
            1 => with_prefix([&[long + u8::try_from(digits + 1).unwrap(), 0], &size[8 - digits..]].concat()),
            // A byte that is its own encoding, wrapped.
            2 if payload.len() == 1 => with_prefix(vec![0x81]),
            // A zero in front of a number.
            2 => Self::String([&[0], &payload[..]].concat()),
            // The other of the two kinds.
            3 if short == 0x80 => Self::Raw({
                let mut out = Vec::new();
                rlp::write_list(&payload, &mut out);
                out
            }),
            3 => Self::String(payload),
            // More or less announced than is there.
            _ => {
                let mut raw = item.write();
                raw[0] = if random.coin() { raw[0].wrapping_add(1) } else { raw[0].wrapping_sub(1) };
                Self::Raw(raw)
            }
        };
    }
}

fn payload(items: &[Tree]) -> Vec<u8> {
    items.iter().flat_map(Tree::write).collect()
}

/// `bytes` with one of their items spoilt; as they are if they are no RLP any more.
pub(crate) fn spoilt(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let Some(mut tree) = Tree::read(bytes) else { return bytes.to_vec() };
    tree.spoil(random);
    tree.write()
}
