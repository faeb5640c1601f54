//! Transactions of the Cosmos SDK, as far as their messages: `TxRaw{body_bytes = 1, auth_info_bytes = 2, signatures = 3}`
//! and `TxBody{messages = 1 Any{type_url = 1, value = 2}, …}` (cosmos/tx/v1beta1/tx.proto).

use crate::fault::{Fault, Reason};
use crate::proto::MAX_VARINT;
use crate::wire::{Reader, fault};

/// Messages of one transaction that are read: a message takes 5 bytes at least, so a transaction of 1 MiB (what nodes take
/// into their mempool by default) has fewer. References to them are 8 MiB.
pub const MAX_MESSAGES: usize = 1 << 18;

/// What the bytes of a transaction hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside<'a> {
    /// A transaction of the Cosmos SDK with these messages.
    Messages(Vec<Message<'a>>),
    /// What the ledger may have taken for such a transaction and we do not read: it may hold messages.
    Unreadable(Fault),
    /// Another application's bytes, or some that a proposer put in: no messages.
    Other,
}

/// What the bytes of a transaction that succeeded hold. Only what cannot be a `TxRaw` at all is [`Inside::Other`]: where
/// the ledger's reader is wider than ours (it takes the last of repeated fields, and numbers in longer forms), messages
/// must not vanish.
///
/// # Errors
/// [`Fault`] for more than [`MAX_MESSAGES`] messages.
pub fn inside(tx: &[u8]) -> Result<Inside<'_>, Fault> {
    match messages(tx) {
        Ok(messages) => Ok(Inside::Messages(messages)),
        Err(fault) if fault.kind() == Reason::TooLarge => Err(fault),
        Err(fault) if may_be_raw(tx) => Ok(Inside::Unreadable(fault)),
        Err(_) => Ok(Inside::Other),
    }
}

/// Whether a wide reader of protobuf would take this for a `TxRaw` with a body: fields 1 to 3 with lengths, in any order
/// and number.
fn may_be_raw(mut bytes: &[u8]) -> bool {
    let mut has_body = false;
    while !bytes.is_empty() {
        let Some(tag @ (0x0a | 0x12 | 0x1a)) = any_varint(&mut bytes) else { return false };
        let length = any_varint(&mut bytes).and_then(|length| usize::try_from(length).ok());
        let Some((_, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else { return false };
        bytes = rest;
        has_body |= tag == 0x0a;
    }
    has_body
}

/// A base-128 number in any form.
fn any_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..).step_by(7).take(MAX_VARINT) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// One message of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type: `/package.Name`.
    pub type_url: &'a str,
    /// Its bytes.
    pub value: &'a [u8],
}

/// The messages of a transaction, in order. Messages inside messages (of the authz module, for instance) are not unfolded.
///
/// # Errors
/// [`Fault`] if these are not the bytes of such a transaction. Field order and single occurrence are demanded where the SDK
/// demands them (ADR 027), so that no two readers see different bodies.
pub fn messages(tx: &[u8]) -> Result<Vec<Message<'_>>, Fault> {
    let mut reader = Reader::new(tx);
    let mut body = None;
    let mut before = 0;
    while !reader.is_empty() {
        let (number, field) = reader.field()?;
        let repeats = number == 3;
        if number < before || (number == before && !repeats) || number > 3 {
            return Err(fault("body, auth info and signatures, in order", number));
        }
        before = number;
        let bytes = field.bytes()?;
        if number == 1 {
            body = Some(bytes);
        }
    }
    let mut reader = Reader::new(body.ok_or_else(|| fault("a body", "none"))?);
    let mut messages = Vec::new();
    while !reader.is_empty() {
        let (number, field) = reader.field()?;
        if number != 1 {
            continue;
        }
        if messages.len() == MAX_MESSAGES {
            return Err(Fault::new(
                Reason::TooLarge,
                format!("at most {MAX_MESSAGES} messages in a transaction"),
                "more",
            ));
        }
        messages.push(any(field.bytes()?)?);
    }
    Ok(messages)
}

fn any(bytes: &[u8]) -> Result<Message<'_>, Fault> {
    let mut reader = Reader::new(bytes);
    let (mut type_url, mut value) = (None, None);
    while !reader.is_empty() {
        let twice = match reader.field()? {
            (1, field) => type_url.replace(field.text()?).is_some(),
            (2, field) => value.replace(field.bytes()?).is_some(),
            (number, _) => return Err(fault("type_url and value", number)),
        };
        if twice {
            return Err(fault("type_url and value once each", "one of them twice"));
        }
    }
    let type_url = type_url.ok_or_else(|| fault("a type_url", "none"))?;
    Ok(Message { type_url, value: value.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Message as Writer;

    pub(super) fn tx(messages: &[(&str, &[u8])]) -> Vec<u8> {
        let body = messages.iter().fold(Writer::new(), |body, (type_url, value)| {
            body.message(1, &Writer::new().bytes(1, type_url.as_bytes()).bytes(2, value).done())
        });
        Writer::new()
            .message(1, &body.bytes(2, b"memo").done())
            .message(2, b"")
            .message(3, b"sig")
            .message(3, b"sig")
            .done()
    }

    #[test]
    fn messages_in_order() {
        let tx = tx(&[("/land.MsgGrant", b"a"), ("/land.MsgRevoke", b"")]);
        let found = messages(&tx).unwrap();
        assert_eq!(found[0], Message { type_url: "/land.MsgGrant", value: b"a" });
        assert_eq!(found[1], Message { type_url: "/land.MsgRevoke", value: b"" });
    }

    #[test]
    fn two_bodies_that_two_readers_would_see_differently() {
        let one = tx(&[("/land.MsgGrant", b"a")]);
        let twice = [one.as_slice(), &one].concat();
        assert!(messages(&twice).is_err());
        for bytes in [&b""[..], b"key=value", &[0x12, 0], &[0x0a, 4, 0x0a, 2, 0x12, 0]] {
            assert!(messages(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_body_that_the_ledger_reads_and_we_do_not() {
        let unreadable = |tx: &[u8]| matches!(inside(tx), Ok(Inside::Unreadable(_)));
        let one = tx(&[("/land.MsgGrant", b"a")]);
        assert!(matches!(inside(&one), Ok(Inside::Messages(found)) if found.len() == 1));
        assert!(unreadable(&[one.as_slice(), &one].concat()), "the last body counts");
        let of_body = |body: &[u8]| Writer::new().message(1, body).message(2, b"").done();
        let twice = Writer::new().bytes(1, b"/a").bytes(1, b"/land.MsgGrant").done();
        assert!(unreadable(&of_body(&Writer::new().message(1, &twice).done())), "the last type counts");
        assert!(unreadable(&of_body(&[0x0a, 0x84, 0x00, 0x0a, 2, b'/', b'a'])), "a length in a longer form");
        assert!(unreadable(&[0x8a, 0x00, 4, 0x0a, 2, b'/', b'a']), "a field number in a longer form");
        for other in [&b"put a=1"[..], b"", &[0x12, 0], &[0x0a, 9, 0], &[0x20, 1]] {
            assert_eq!(inside(other), Ok(Inside::Other), "{other:?}");
        }
    }

    #[test]
    fn more_messages_than_are_read_are_a_limit_and_not_none() {
        let one = Writer::new().bytes(1, b"x").done();
        let message = Writer::new().message(1, &one).done();
        let of = |count: usize| Writer::new().message(1, &message.repeat(count)).done();
        assert!(matches!(inside(&of(MAX_MESSAGES)), Ok(Inside::Messages(found)) if found.len() == MAX_MESSAGES));
        assert_eq!(inside(&of(MAX_MESSAGES + 1)).unwrap_err().kind(), Reason::TooLarge);
    }
}
