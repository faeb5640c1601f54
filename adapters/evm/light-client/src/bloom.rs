//! The 2048-bit filter over the addresses and topics of a block's logs. It can say "certainly not"; it never says "yes".

use crate::keccak::keccak256;

/// A logs bloom, 256 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Bloom(Box<[u8; 256]>);

impl Bloom {
    /// Wraps 256 bytes.
    pub fn new(bytes: [u8; 256]) -> Self {
        Self(Box::new(bytes))
    }

    /// The filter that nothing has been put into.
    pub fn empty() -> Self {
        Self::new([0; 256])
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 256] {
        &self.0
    }

    /// False only if no log of the block has `element` (an address or a topic).
    pub fn may_contain(&self, element: &[u8]) -> bool {
        bits(element).all(|(byte, mask)| self.0.get(byte).is_some_and(|value| value & mask != 0))
    }

    /// Puts an address or a topic in.
    pub fn insert(&mut self, element: &[u8]) {
        for (byte, mask) in bits(element) {
            if let Some(value) = self.0.get_mut(byte) {
                *value |= mask;
            }
        }
    }
}

impl std::fmt::Debug for Bloom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "0x{}", hex::encode(self.as_bytes()))
    }
}

/// Position and mask of the three bits of an element: the low 11 bits of the first three 16-bit words of its hash.
fn bits(element: &[u8]) -> impl Iterator<Item = (usize, u8)> {
    let hash = keccak256(element);
    let words: Vec<usize> =
        hash.as_bytes().chunks_exact(2).take(3).map(|w| w.iter().fold(0, |v, b| (v << 8) | usize::from(*b))).collect();
    words.into_iter().map(|word| {
        let bit = word & 0x7ff;
        (255 - bit / 8, 1u8 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sets_the_bits_that_the_oracle_sets(
            elements in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..33), 0..6)
        ) {
            let mut ours = Bloom::empty();
            let mut theirs = alloy_primitives::Bloom::ZERO;
            for element in &elements {
                ours.insert(element);
                theirs.accrue(alloy_primitives::BloomInput::Raw(element));
            }
            prop_assert_eq!(ours.as_bytes(), &theirs.0.0);
            prop_assert!(elements.iter().all(|element| ours.may_contain(element)));
        }
    }

    #[test]
    fn nothing_is_in_the_empty_filter() {
        assert!(!Bloom::empty().may_contain(b"anything"));
    }
}
