//! `0x…` texts of JSON-RPC to bytes. Two kinds: *data* (every digit counts) and *quantity* (a number without leading
//! zeros; nodes that pad are read all the same, since the bytes are hashed afterwards).

use std::borrow::Cow;

use serde::Deserialize;

/// A text that is not of its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, got {got}")]
pub(crate) struct Unreadable {
    pub(crate) field: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) got: String,
}

impl Unreadable {
    pub(crate) fn new(field: &'static str, expected: &'static str, got: &str) -> Self {
        Self { field, expected, got: format!("{:?}", clip(got)) }
    }
}

/// As much of a foreign text as a reader can use.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(120).collect()
}

/// A JSON string, borrowed where it has no escapes.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

impl Text<'_> {
    fn digits(&self, field: &'static str, expected: &'static str) -> Result<&str, Unreadable> {
        self.0.strip_prefix("0x").ok_or_else(|| Unreadable::new(field, expected, &self.0))
    }

    /// Data of any length.
    pub(crate) fn data(&self, field: &'static str) -> Result<Vec<u8>, Unreadable> {
        let expected = "0x and an even number of hex digits";
        hex::decode(self.digits(field, expected)?).map_err(|_| Unreadable::new(field, expected, &self.0))
    }

    /// Data of exactly `N` bytes.
    pub(crate) fn fixed<const N: usize>(&self, field: &'static str) -> Result<[u8; N], Unreadable> {
        let expected = "0x and the due number of hex digits";
        let mut bytes = [0; N];
        hex::decode_to_slice(self.digits(field, expected)?, &mut bytes)
            .map_err(|_| Unreadable::new(field, expected, &self.0))?;
        Ok(bytes)
    }

    /// A number of at most 32 bytes as big-endian bytes without leading zeros.
    pub(crate) fn quantity(&self, field: &'static str) -> Result<Vec<u8>, Unreadable> {
        let expected = "0x and 1 to 64 hex digits";
        let digits = self.digits(field, expected)?;
        if digits.is_empty() || digits.len() > 64 {
            return Err(Unreadable::new(field, expected, &self.0));
        }
        let padded = format!("{digits:0>64}");
        let bytes = hex::decode(padded).map_err(|_| Unreadable::new(field, expected, &self.0))?;
        Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
    }

    /// A number below 2^64.
    pub(crate) fn number(&self, field: &'static str) -> Result<u64, Unreadable> {
        let expected = "0x and a number below 2^64";
        let digits = self.digits(field, expected)?;
        // `from_str_radix` would take a sign.
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Unreadable::new(field, expected, &self.0));
        }
        u64::from_str_radix(digits, 16).map_err(|_| Unreadable::new(field, expected, &self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Text<'_> {
        Text(Cow::Borrowed(text))
    }

    #[test]
    fn what_nodes_write() {
        assert_eq!(text("0x00ff").data("f").unwrap(), [0, 255]);
        assert!(text("0x").data("f").unwrap().is_empty());
        assert_eq!(text("0x0001").fixed::<2>("f").unwrap(), [0, 1]);
        assert!(text("0x0").quantity("f").unwrap().is_empty());
        assert_eq!(text("0x100").quantity("f").unwrap(), [1, 0]);
        assert_eq!(text("0x1f").number("f").unwrap(), 31);
    }

    #[test]
    fn what_nodes_must_not_write() {
        for bad in ["", "0x0", "00", "0xzz", "1"] {
            assert!(text(bad).data("f").is_err(), "{bad}");
        }
        for bad in ["", "0x", "1", "0x-1", "0x+1", "0x10000000000000000"] {
            assert!(text(bad).number("f").is_err(), "{bad}");
        }
        assert!(text("0x").quantity("f").is_err());
        assert!(text(&format!("0x{}", "1".repeat(65))).quantity("f").is_err());
        assert!(text("0x00").fixed::<2>("f").is_err());
    }
}
