//! 256-bit numbers: as much of them as headers and event arguments need, which is comparison and decimal text.

use std::fmt;

/// An unsigned 256-bit number, big-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct U256([u8; 32]);

impl U256 {
    /// Wraps 32 big-endian bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// From at most 32 big-endian bytes; `None` if there are more.
    pub fn from_be_slice(digits: &[u8]) -> Option<Self> {
        let start = 32usize.checked_sub(digits.len())?;
        let mut bytes = [0; 32];
        bytes.get_mut(start..)?.copy_from_slice(digits);
        Some(Self(bytes))
    }

    /// The 32 big-endian bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The number, if it is below 2^64.
    pub fn to_u64(self) -> Option<u64> {
        let (high, low) = self.0.split_last_chunk::<8>()?;
        high.iter().all(|byte| *byte == 0).then(|| u64::from_be_bytes(*low))
    }

    /// Decimal text of the same bits read as two's complement.
    pub fn to_signed_decimal(self) -> String {
        if self.0.first().is_some_and(|byte| byte & 0x80 == 0) {
            return self.to_string();
        }
        format!("-{}", self.negated())
    }

    fn negated(self) -> Self {
        let mut bytes = self.0.map(|byte| !byte);
        for byte in bytes.iter_mut().rev() {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                break;
            }
        }
        Self(bytes)
    }

    /// Divides by 10^18 in place and gives the remainder.
    fn take_low_digits(&mut self) -> u64 {
        let mut remainder = 0u128;
        for chunk in self.0.chunks_exact_mut(4) {
            let digit = chunk.iter().fold(0u128, |value, byte| (value << 8) | u128::from(*byte));
            let value = (remainder << 32) | digit;
            remainder = value % LOW_DIGITS;
            // The quotient is below 2^32 because the remainder carried in is below the divisor.
            let quotient = u32::try_from(value / LOW_DIGITS).unwrap_or(u32::MAX);
            chunk.copy_from_slice(&quotient.to_be_bytes());
        }
        u64::try_from(remainder).unwrap_or(u64::MAX)
    }
}

const LOW_DIGITS: u128 = 1_000_000_000_000_000_000;

impl From<u64> for U256 {
    fn from(value: u64) -> Self {
        Self::from_be_slice(&value.to_be_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for U256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = *self;
        let mut groups = Vec::with_capacity(5);
        loop {
            groups.push(rest.take_low_digits());
            if rest == Self::default() {
                break;
            }
        }
        let mut groups = groups.into_iter().rev();
        write!(f, "{}", groups.next().unwrap_or_default())?;
        groups.try_for_each(|group| write!(f, "{group:018}"))
    }
}

impl fmt::Debug for U256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{I256, U256 as Oracle};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimal_text_is_that_of_the_oracle(bytes in any::<[u8; 32]>(), zeros in 0usize..=32) {
            let mut bytes = bytes;
            bytes[..zeros].fill(0);
            let oracle = Oracle::from_be_bytes(bytes);
            prop_assert_eq!(U256::new(bytes).to_string(), oracle.to_string());
            prop_assert_eq!(U256::new(bytes).to_signed_decimal(), I256::from_raw(oracle).to_string());
            prop_assert_eq!(U256::new(bytes).to_u64(), u64::try_from(oracle).ok());
        }
    }

    #[test]
    fn edges() {
        assert_eq!(U256::default().to_string(), "0");
        assert_eq!(U256::new([0xff; 32]).to_signed_decimal(), "-1");
        assert_eq!(U256::from_be_slice(&[0; 33]), None);
        assert_eq!(U256::from(1_000_000_000_000_000_000).to_string(), "1000000000000000000");
    }
}
