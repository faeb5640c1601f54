//! The few RLP moves that the block types share.

use alloy_rlp::{Encodable, Error, Header, Result};

/// A list whose payload `write` fills in.
pub fn list(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut payload = Vec::new();
    write(&mut payload);
    let mut out = Vec::with_capacity(payload.len() + 9);
    Header { list: true, payload_length: payload.len() }.encode(&mut out);
    out.extend_from_slice(&payload);
    out
}

/// A list of items of one type.
pub fn list_of<T: Encodable>(items: &[T]) -> Vec<u8> {
    list(|payload| items.iter().for_each(|item| item.encode(payload)))
}

/// Takes one list off the front of `input` and gives its payload.
///
/// # Errors
/// When the next item is no list, is cut short, or has a length that is not the shortest possible.
pub fn take_list<'a>(input: &mut &'a [u8]) -> Result<&'a [u8]> {
    Header::decode_bytes(input, true)
}

/// Succeeds only when nothing is left.
///
/// # Errors
/// When bytes are left over: an unread field is a field whose meaning was missed.
pub fn finish(rest: &[u8]) -> Result<()> {
    if rest.is_empty() { Ok(()) } else { Err(Error::UnexpectedLength) }
}
