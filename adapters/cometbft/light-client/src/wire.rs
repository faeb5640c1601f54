//! A strict reader of protobuf messages from outside.

use crate::fault::{Fault, Reason};
use crate::proto::MAX_VARINT;

/// One field's value, by wire type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// Wire type 0.
    Varint(u64),
    /// Wire type 1.
    Fixed64(u64),
    /// Wire type 2.
    Bytes(&'a [u8]),
    /// Wire type 5.
    Fixed32(u32),
}

/// Reads field after field.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A base-128 number in its shortest form.
    pub(crate) fn varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for shift in (0..).step_by(7).take(MAX_VARINT) {
            let (byte, rest) = self.0.split_first().ok_or_else(|| fault("a number", "the end"))?;
            self.0 = rest;
            let low = u64::from(byte & 0x7f);
            let shifted = low.checked_shl(shift).filter(|shifted| shifted >> shift == low);
            value |= shifted.ok_or_else(|| fault("a number of 64 bits", "more"))?;
            if byte & 0x80 == 0 {
                if *byte == 0 && shift > 0 {
                    return Err(fault("the shortest form of a number", "another"));
                }
                return Ok(value);
            }
        }
        Err(fault("a number of at most 10 bytes", "more"))
    }

    /// The next field's number and value.
    pub(crate) fn field(&mut self) -> Result<(u32, Field<'a>), Fault> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| fault("a field number", tag >> 3))?;
        let value = match tag & 7 {
            0 => Field::Varint(self.varint()?),
            1 => self.fixed64()?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| fault("a length", "more"))?;
                Field::Bytes(self.take(length)?)
            }
            5 => self.fixed32()?,
            other => return Err(fault("wire type 0, 1, 2 or 5", other)),
        };
        Ok((number, value))
    }

    /// The next four bytes, of a packed list.
    pub(crate) fn fixed32(&mut self) -> Result<Field<'a>, Fault> {
        Ok(Field::Fixed32(u32::from_le_bytes(self.array()?)))
    }

    /// The next eight bytes, of a packed list.
    pub(crate) fn fixed64(&mut self) -> Result<Field<'a>, Fault> {
        Ok(Field::Fixed64(u64::from_le_bytes(self.array()?)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let split = self.0.split_at_checked(length);
        let (taken, rest) = split.ok_or_else(|| fault(&format!("{length} bytes"), self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.take(N)?.try_into().map_err(|_| fault("fixed bytes", "fewer"))
    }
}

impl<'a> Field<'a> {
    /// The bytes of a message, string or bytes field.
    pub(crate) fn bytes(self) -> Result<&'a [u8], Fault> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            other => Err(fault("a field with a length", format!("{other:?}"))),
        }
    }

    /// The text of a string field.
    pub(crate) fn text(self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| fault("UTF-8", "other bytes"))
    }
}

pub(crate) fn fault(expected: &str, got: impl std::fmt::Display) -> Fault {
    Fault::new(Reason::Protobuf, expected, got)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_of_each_wire_type() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 1, b'a', 0x19, 1, 0, 0, 0, 0, 0, 0, 0, 0x25, 2, 0, 0, 0];
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.field().unwrap(), (1, Field::Varint(150)));
        assert_eq!(reader.field().unwrap(), (2, Field::Bytes(b"a")));
        assert_eq!(reader.field().unwrap(), (3, Field::Fixed64(1)));
        assert_eq!(reader.field().unwrap(), (4, Field::Fixed32(2)));
        assert!(reader.is_empty());
    }

    #[test]
    fn numbers_too_long_lengths_beyond_the_end_and_groups() {
        for bytes in [
            &[0x08, 0x80, 0x00][..],
            &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0x08],
            &[0x0a, 2, 0],
            &[0x0b],
            &[0x00, 0],
            &[0x09, 1],
        ] {
            assert_eq!(Reader::new(bytes).field().unwrap_err().reason(), "protobuf-malformed", "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_read_as_written(value: u64) {
            let mut bytes = Vec::new();
            crate::proto::write_varint(value, &mut bytes);
            prop_assert_eq!(Reader::new(&bytes).varint().unwrap(), value);
        }
    }
}
