//! Recursive Length Prefix, read strictly and written canonically.
//!
//! Hashes on EVM ledgers are taken over RLP, so two encodings of one value would be two hashes of one fact. The reader
//! therefore accepts the one shortest form only: no length that could be shorter, no single byte in a wrapper, no
//! leading zero in a number, and nothing left over. It borrows from its input, never allocates and never recurses.
//!
//! Source of the rules: Ethereum yellow paper, appendix B.

use thiserror::Error;

/// The largest RLP document that any caller of [`check`] is asked to walk (bytes).
pub const MAX_DOCUMENT_BYTES: usize = 64 << 20;
/// How deep lists may nest in a document that is walked without knowing its shape. A block needs six.
pub const MAX_DEPTH: usize = 16;

/// Why bytes are not canonical RLP of the shape that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RlpFault {
    /// The input ends inside an item.
    #[error("RLP is cut short: expected {expected} bytes, got {got}")]
    Truncated {
        /// Bytes the length prefix announces.
        expected: usize,
        /// Bytes that are there.
        got: usize,
    },
    /// A length or a single byte is written in a longer form than needed.
    #[error("RLP is not minimal: expected the shortest prefix, got prefix 0x{prefix:02x}")]
    NonMinimal {
        /// The first byte of the item.
        prefix: u8,
    },
    /// A number starts with a zero byte.
    #[error("RLP number has a leading zero: expected none, got a {got}-byte number that starts with 00")]
    LeadingZero {
        /// Length of the number in bytes.
        got: usize,
    },
    /// A string stands where a list is due.
    #[error("RLP shape: expected a list, got a string")]
    ExpectedList,
    /// A list stands where a string is due.
    #[error("RLP shape: expected a string, got a list")]
    ExpectedString,
    /// A fixed-length string has another length.
    #[error("RLP string length: expected {expected} bytes, got {got}")]
    WrongLength {
        /// Bytes due.
        expected: usize,
        /// Bytes found.
        got: usize,
    },
    /// A number does not fit its type.
    #[error("RLP number is too large: expected at most {expected} bytes, got {got}")]
    NumberTooLarge {
        /// Bytes the type holds.
        expected: usize,
        /// Bytes found.
        got: usize,
    },
    /// Items or bytes follow the last one that belongs there.
    #[error("RLP has trailing bytes: expected the end, got {got} more bytes")]
    TrailingBytes {
        /// Bytes left over.
        got: usize,
    },
    /// The document is larger than its limit.
    #[error("RLP is too large: expected at most {expected} bytes, got {got}")]
    TooLarge {
        /// The limit in bytes.
        expected: usize,
        /// The size in bytes.
        got: usize,
    },
    /// Lists nest deeper than [`MAX_DEPTH`].
    #[error("RLP nests too deep: expected at most {expected} levels")]
    TooDeep {
        /// The limit in levels.
        expected: usize,
    },
    /// A list holds more items than its limit.
    #[error("RLP list is too long: expected at most {expected} items")]
    TooMany {
        /// The limit in items.
        expected: usize,
    },
}

impl RlpFault {
    /// Metric label, from a closed set.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "rlp-truncated",
            Self::NonMinimal { .. } => "rlp-not-minimal",
            Self::LeadingZero { .. } => "rlp-leading-zero",
            Self::ExpectedList => "rlp-expected-list",
            Self::ExpectedString => "rlp-expected-string",
            Self::WrongLength { .. } => "rlp-wrong-length",
            Self::NumberTooLarge { .. } => "rlp-number-too-large",
            Self::TrailingBytes { .. } => "rlp-trailing-bytes",
            Self::TooLarge { .. } => "rlp-too-large",
            Self::TooDeep { .. } => "rlp-too-deep",
            Self::TooMany { .. } => "rlp-too-many",
        }
    }
}

/// One item.
#[derive(Debug, Clone)]
pub enum Item<'a> {
    /// A byte string: its content.
    String(&'a [u8]),
    /// A list: a reader over its items.
    List(Reader<'a>),
}

/// Reads items one after the other from borrowed bytes.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of a sequence of items.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Opens `bytes` as exactly one list and nothing after it.
    ///
    /// # Errors
    /// [`RlpFault`] if it is a string, not canonical, or followed by anything.
    pub fn whole_list(bytes: &'a [u8]) -> Result<Self, RlpFault> {
        let mut outer = Self::new(bytes);
        let inner = outer.list()?;
        outer.end()?;
        Ok(inner)
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether every item has been read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Asserts that nothing is left.
    ///
    /// # Errors
    /// [`RlpFault::TrailingBytes`] otherwise.
    pub fn end(&self) -> Result<(), RlpFault> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(RlpFault::TrailingBytes { got: self.rest.len() })
    }

    /// The next item with its prefix, as it stands. The items inside a list are *not* examined.
    ///
    /// # Errors
    /// [`RlpFault`] if the prefix is not canonical or the input ends early.
    pub fn raw(&mut self) -> Result<&'a [u8], RlpFault> {
        let prefix = Prefix::read(self.rest)?;
        let (item, rest) = split(self.rest, prefix.total()?)?;
        self.rest = rest;
        Ok(item)
    }

    /// The next item.
    ///
    /// # Errors
    /// [`RlpFault`] if it is not canonical or the input ends early.
    pub fn item(&mut self) -> Result<Item<'a>, RlpFault> {
        let prefix = Prefix::read(self.rest)?;
        let (item, rest) = split(self.rest, prefix.total()?)?;
        let (_, payload) = split(item, prefix.length)?;
        self.rest = rest;
        if prefix.list {
            return Ok(Item::List(Self { rest: payload }));
        }
        Ok(Item::String(payload))
    }

    /// The next item, which must be a list.
    ///
    /// # Errors
    /// [`RlpFault`] as for [`Reader::item`], and if it is a string.
    pub fn list(&mut self) -> Result<Reader<'a>, RlpFault> {
        match self.item()? {
            Item::List(list) => Ok(list),
            Item::String(_) => Err(RlpFault::ExpectedList),
        }
    }

    /// The next item, which must be a string.
    ///
    /// # Errors
    /// [`RlpFault`] as for [`Reader::item`], and if it is a list.
    pub fn string(&mut self) -> Result<&'a [u8], RlpFault> {
        match self.item()? {
            Item::String(bytes) => Ok(bytes),
            Item::List(_) => Err(RlpFault::ExpectedString),
        }
    }

    /// The next item, which must be a string of exactly `N` bytes.
    ///
    /// # Errors
    /// [`RlpFault`] as for [`Reader::string`], and if the length differs.
    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], RlpFault> {
        let bytes = self.string()?;
        bytes.try_into().map_err(|_| RlpFault::WrongLength { expected: N, got: bytes.len() })
    }

    /// The next item, which must be a number of at most `max_bytes` bytes: big-endian, without leading zeros.
    ///
    /// # Errors
    /// [`RlpFault`] as for [`Reader::string`], and if it has a leading zero or is too large.
    pub fn scalar(&mut self, max_bytes: usize) -> Result<&'a [u8], RlpFault> {
        let bytes = self.string()?;
        if bytes.first() == Some(&0) {
            return Err(RlpFault::LeadingZero { got: bytes.len() });
        }
        if bytes.len() > max_bytes {
            return Err(RlpFault::NumberTooLarge { expected: max_bytes, got: bytes.len() });
        }
        Ok(bytes)
    }

    /// The next item, which must be a number below 2^64.
    ///
    /// # Errors
    /// As for [`Reader::scalar`].
    pub fn u64(&mut self) -> Result<u64, RlpFault> {
        let bytes = self.scalar(8)?;
        Ok(bytes.iter().fold(0u64, |value, byte| (value << 8) | u64::from(*byte)))
    }
}

/// Walks a whole document of unknown shape and checks that every item in it is canonical.
///
/// # Errors
/// [`RlpFault`] of the first item that is not, or if size or depth pass [`MAX_DOCUMENT_BYTES`] or [`MAX_DEPTH`].
pub fn check(bytes: &[u8]) -> Result<(), RlpFault> {
    if bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(RlpFault::TooLarge { expected: MAX_DOCUMENT_BYTES, got: bytes.len() });
    }
    let mut top = Reader::new(bytes);
    let first = top.item()?;
    top.end()?;
    let Item::List(list) = first else { return Ok(()) };
    let mut open = vec![list];
    while let Some(reader) = open.last_mut() {
        if reader.is_empty() {
            open.pop();
            continue;
        }
        let Item::List(inner) = reader.item()? else { continue };
        if open.len() >= MAX_DEPTH {
            return Err(RlpFault::TooDeep { expected: MAX_DEPTH });
        }
        open.push(inner);
    }
    Ok(())
}

/// The prefix of an item: what it is, how long the prefix is, how long the content.
struct Prefix {
    list: bool,
    length: usize,
    payload: usize,
}

impl Prefix {
    fn read(input: &[u8]) -> Result<Self, RlpFault> {
        let Some((&first, after)) = input.split_first() else {
            return Err(RlpFault::Truncated { expected: 1, got: 0 });
        };
        match first {
            0x00..=0x7f => Ok(Self { list: false, length: 0, payload: 1 }),
            0x80..=0xb7 => {
                let payload = usize::from(first - 0x80);
                // A byte below 0x80 is its own encoding.
                if payload == 1 && after.first().is_some_and(|byte| *byte < 0x80) {
                    return Err(RlpFault::NonMinimal { prefix: first });
                }
                Ok(Self { list: false, length: 1, payload })
            }
            0xb8..=0xbf => Self::long(false, first, usize::from(first - 0xb7), after),
            0xc0..=0xf7 => Ok(Self { list: true, length: 1, payload: usize::from(first - 0xc0) }),
            0xf8..=0xff => Self::long(true, first, usize::from(first - 0xf7), after),
        }
    }

    fn long(list: bool, prefix: u8, size: usize, after: &[u8]) -> Result<Self, RlpFault> {
        let (digits, _) = split(after, size)?;
        if digits.first() == Some(&0) {
            return Err(RlpFault::NonMinimal { prefix });
        }
        let value = digits.iter().fold(0u64, |value, byte| (value << 8) | u64::from(*byte));
        if value < 56 {
            return Err(RlpFault::NonMinimal { prefix });
        }
        let payload = usize::try_from(value).map_err(|_| too_short(after))?;
        Ok(Self { list, length: 1 + size, payload })
    }

    fn total(&self) -> Result<usize, RlpFault> {
        self.length.checked_add(self.payload).ok_or(RlpFault::Truncated { expected: usize::MAX, got: 0 })
    }
}

fn too_short(input: &[u8]) -> RlpFault {
    RlpFault::Truncated { expected: usize::MAX, got: input.len() }
}

fn split(input: &[u8], at: usize) -> Result<(&[u8], &[u8]), RlpFault> {
    input.split_at_checked(at).ok_or(RlpFault::Truncated { expected: at, got: input.len() })
}

/// Appends a byte string.
pub fn write_string(bytes: &[u8], out: &mut Vec<u8>) {
    if let [byte] = bytes
        && *byte < 0x80
    {
        out.push(*byte);
        return;
    }
    write_prefix(0x80, bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a number.
pub fn write_u64(value: u64, out: &mut Vec<u8>) {
    write_string(trim(&value.to_be_bytes()), out);
}

/// Appends a list whose items are already encoded one after the other in `items`.
pub fn write_list(items: &[u8], out: &mut Vec<u8>) {
    write_list_of(&[items], out);
}

/// Appends a list whose encoded items lie in several pieces, so that a caller need not join them first.
pub fn write_list_of(pieces: &[&[u8]], out: &mut Vec<u8>) {
    write_prefix(0xc0, pieces.iter().map(|piece| piece.len()).sum(), out);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
}

fn write_prefix(base: u8, length: usize, out: &mut Vec<u8>) {
    match u8::try_from(length) {
        Ok(short) if short < 56 => out.push(base + short),
        _ => {
            let bytes = length.to_be_bytes();
            let digits = trim(&bytes);
            // At most 8 digits: usize is at most 64 bits wide.
            out.push(base + 55 + u8::try_from(digits.len()).unwrap_or(8));
            out.extend_from_slice(digits);
        }
    }
}

fn trim(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_rlp::Encodable;
    use proptest::prelude::*;

    fn string(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_string(bytes, &mut out);
        out
    }

    #[test]
    fn non_minimal_rlp() {
        for bytes in [&[0x81, 0x7f][..], &[0xb8, 1, 0xff], &[0xf8, 0x00], &[0xf8, 1, 0x05], &[0xb9, 0, 60]] {
            let fault = Reader::new(bytes).item().unwrap_err();
            assert!(matches!(fault, RlpFault::NonMinimal { .. }), "{bytes:02x?}: {fault}");
        }
        assert_eq!(Reader::new(&[0x00]).u64(), Err(RlpFault::LeadingZero { got: 1 }));
        assert_eq!(Reader::new(&[0x82, 0x00, 0x80]).u64(), Err(RlpFault::LeadingZero { got: 2 }));
    }

    #[test]
    fn trailing_bytes() {
        assert_eq!(Reader::whole_list(&[0xc0, 0x00]).err(), Some(RlpFault::TrailingBytes { got: 1 }));
        assert_eq!(check(&[0x01, 0x01]), Err(RlpFault::TrailingBytes { got: 1 }));
    }

    #[test]
    fn a_length_beyond_the_input() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(matches!(Reader::new(&huge).item(), Err(RlpFault::Truncated { .. })));
        assert!(matches!(Reader::new(&[0xb9, 0xff, 0xff, 1]).item(), Err(RlpFault::Truncated { .. })));
        assert!(matches!(Reader::new(&[0xb9, 0xff]).item(), Err(RlpFault::Truncated { .. })));
        assert!(matches!(Reader::new(&[]).item(), Err(RlpFault::Truncated { .. })));
    }

    #[test]
    fn a_number_too_large_for_its_type() {
        let bytes = string(&[1; 9]);
        assert_eq!(Reader::new(&bytes).u64(), Err(RlpFault::NumberTooLarge { expected: 8, got: 9 }));
    }

    #[test]
    fn a_document_nested_too_deep() {
        let mut bytes = vec![0xc0];
        for _ in 0..MAX_DEPTH {
            let mut outer = Vec::new();
            write_list(&bytes, &mut outer);
            bytes = outer;
        }
        assert_eq!(check(&bytes), Err(RlpFault::TooDeep { expected: MAX_DEPTH }));
    }

    #[test]
    fn a_list_is_no_string_and_the_other_way_round() {
        assert_eq!(Reader::new(&[0xc0]).string(), Err(RlpFault::ExpectedString));
        assert_eq!(Reader::new(&[0x80]).list().err(), Some(RlpFault::ExpectedList));
        assert_eq!(Reader::new(&[0x82, 1, 2]).fixed::<3>(), Err(RlpFault::WrongLength { expected: 3, got: 2 }));
    }

    proptest! {
        #[test]
        fn strings_are_written_as_the_oracle_writes_them(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let ours = string(&bytes);
            prop_assert_eq!(&ours, &alloy_rlp::encode(bytes.as_slice()));
            let mut reader = Reader::new(&ours);
            prop_assert_eq!(reader.string().unwrap(), bytes.as_slice());
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn numbers_are_written_as_the_oracle_writes_them(value in any::<u64>(), shift in 0u32..64) {
            let value = value >> shift;
            let mut ours = Vec::new();
            write_u64(value, &mut ours);
            prop_assert_eq!(&ours, &alloy_rlp::encode(value));
            prop_assert_eq!(Reader::new(&ours).u64().unwrap(), value);
        }

        #[test]
        fn lists_are_written_as_the_oracle_writes_them(
            items in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..12)
        ) {
            let mut payload = Vec::new();
            for item in &items {
                write_string(item, &mut payload);
            }
            let mut ours = Vec::new();
            write_list(&payload, &mut ours);
            let oracle: Vec<alloy_primitives::Bytes> = items.iter().cloned().map(Into::into).collect();
            let mut theirs = Vec::new();
            oracle.encode(&mut theirs);
            prop_assert_eq!(&ours, &theirs);
            prop_assert!(check(&ours).is_ok());
            let mut reader = Reader::whole_list(&ours).unwrap();
            for item in &items {
                prop_assert_eq!(reader.string().unwrap(), item.as_slice());
            }
            prop_assert!(reader.end().is_ok());
        }

        #[test]
        fn what_the_reader_takes_is_written_back_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(content) = reader.string() {
                let used = bytes.len() - reader.rest().len();
                prop_assert_eq!(string(content), bytes[..used].to_vec());
            }
        }

        #[test]
        fn numbers_agree_with_the_oracle_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            use alloy_rlp::Decodable;
            let mut theirs = bytes.as_slice();
            prop_assert_eq!(Reader::new(&bytes).u64().ok(), u64::decode(&mut theirs).ok());
        }
    }
}
