//! Numbers that a seed determines: SplitMix64, so that a run can be repeated from the line it prints.

pub(crate) struct Random(u64);

impl Random {
    /// The numbers of one job of a run: which thread takes it makes no difference.
    pub(crate) fn of(seed: u64, job: u64) -> Self {
        let mut first = Self(seed ^ job.wrapping_mul(0xd1b5_4a32_d192_ed03));
        Self(first.next())
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`, which is not zero.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).unwrap()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }

    pub(crate) fn hash(&mut self) -> [u8; 32] {
        self.bytes(32).try_into().unwrap()
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    pub(crate) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Flips a bit of `bytes`, if there is any.
    pub(crate) fn flip(&mut self, bytes: &mut [u8]) {
        if !bytes.is_empty() {
            let at = self.below(bytes.len());
            bytes[at] ^= 1 << self.below(8);
        }
    }

    /// Changes a byte, takes one out, puts one in, or cuts the end off.
    pub(crate) fn disturb(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        match self.below(4) {
            0 => self.flip(bytes),
            1 => bytes.insert(at, self.byte()),
            2 => bytes.truncate(at),
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => bytes.push(self.byte()),
        }
    }
}
