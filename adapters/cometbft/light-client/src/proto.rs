//! The few bytes of protobuf that CometBFT hashes and signs. Written by hand, because what is signed must have one
//! encoding: fields in order, defaults left out (gogoproto; spec/core/encoding.md).

/// Bytes of the longest LEB128 of a 64-bit number.
pub(crate) const MAX_VARINT: usize = 10;

/// An encoder of one message.
#[derive(Debug, Default, Clone)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn new() -> Self {
        Self(Vec::with_capacity(128))
    }

    fn tag(&mut self, field: u32, wire: u32) {
        write_varint(u64::from(field << 3 | wire), &mut self.0);
    }

    /// A `uint32`, `uint64` or enum; zero is left out.
    pub(crate) fn uint(mut self, field: u32, value: u64) -> Self {
        if value != 0 {
            self.tag(field, 0);
            write_varint(value, &mut self.0);
        }
        self
    }

    /// An `int32` or `int64`: ten bytes where negative; zero is left out.
    pub(crate) fn int(self, field: u32, value: i64) -> Self {
        self.uint(field, value.cast_unsigned())
    }

    /// An `sfixed64`; zero is left out.
    pub(crate) fn sfixed64(mut self, field: u32, value: i64) -> Self {
        if value != 0 {
            self.tag(field, 1);
            self.0.extend(value.to_le_bytes());
        }
        self
    }

    /// `bytes` or `string`; the empty one is left out.
    pub(crate) fn bytes(self, field: u32, value: &[u8]) -> Self {
        if value.is_empty() { self } else { self.message(field, value) }
    }

    /// An embedded message, written even where it is empty (gogoproto: not nullable).
    pub(crate) fn message(mut self, field: u32, value: &[u8]) -> Self {
        self.tag(field, 2);
        write_varint(value.len() as u64, &mut self.0);
        self.0.extend(value);
        self
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0
    }
}

/// Writes a base-128 number.
pub(crate) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    for _ in 0..MAX_VARINT {
        let low = (value & 0x7f).to_le_bytes();
        let low = low.first().copied().unwrap_or(0);
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
    fn defaults_are_left_out_and_empty_messages_are_not() {
        let message = Message::new().uint(1, 0).sfixed64(2, 0).bytes(3, b"").message(2, b"").done();
        assert_eq!(message, [0x12, 0x00]);
    }

    #[test]
    fn numbers() {
        assert_eq!(Message::new().uint(1, 300).done(), [0x08, 0xac, 0x02]);
        assert_eq!(Message::new().int(1, -1).done(), [8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(Message::new().sfixed64(2, 1).done(), [0x11, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Message::new().bytes(6, b"ab").done(), [0x32, 2, b'a', b'b']);
    }
}
