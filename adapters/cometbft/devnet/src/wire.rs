//! Protobuf as CometBFT writes what it hashes and signs: fields in order, defaults left out, but embedded messages
//! that are not nullable are always written (gogoproto; `proto/tendermint/types/*.proto`).

/// A message that is being written.
#[derive(Debug, Default, Clone)]
pub struct Message(Vec<u8>);

impl Message {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// `uint32`, `uint64`, an enum; zero is left out.
    #[must_use]
    pub fn number(mut self, field: u8, value: u64) -> Self {
        if value != 0 {
            self.0.push(field << 3);
            varint(value, &mut self.0);
        }
        self
    }

    /// `int32` or `int64`, ten bytes where negative; zero is left out.
    #[must_use]
    pub fn signed(self, field: u8, value: i64) -> Self {
        self.number(field, value.cast_unsigned())
    }

    /// `sfixed64`; zero is left out.
    #[must_use]
    pub fn fixed(mut self, field: u8, value: u64) -> Self {
        if value != 0 {
            self.0.push(field << 3 | 1);
            self.0.extend(value.to_le_bytes());
        }
        self
    }

    /// `bytes` or `string`; the empty one is left out.
    #[must_use]
    pub fn bytes(self, field: u8, value: &[u8]) -> Self {
        if value.is_empty() { self } else { self.embedded(field, value) }
    }

    /// An embedded message or an element of a list: written even where it is empty.
    #[must_use]
    pub fn embedded(mut self, field: u8, value: &[u8]) -> Self {
        self.0.push(field << 3 | 2);
        self.0.extend(prefixed(value));
        self
    }

    /// The message's bytes.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Bytes behind their length.
pub fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 2);
    varint(bytes.len() as u64, &mut out);
    out.extend_from_slice(bytes);
    out
}

/// A base-128 number, lowest digits first.
fn varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form() {
        assert!(Message::new().number(1, 0).fixed(2, 0).bytes(3, b"").finish().is_empty());
        assert_eq!(Message::new().number(1, 300).finish(), [8, 0xac, 2]);
        assert_eq!(Message::new().number(1, 128).finish(), [8, 0x80, 1]);
        assert_eq!(Message::new().signed(1, -1).finish(), [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(Message::new().fixed(2, 1).finish(), [0x11, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Message::new().embedded(2, b"").bytes(3, b"a").finish(), [0x12, 0, 0x1a, 1, b'a']);
    }
}
