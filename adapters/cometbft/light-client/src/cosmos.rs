//! Transactions of the Cosmos SDK, as far as their messages: `TxRaw{body_bytes = 1, auth_info_bytes = 2, signatures = 3}`
//! and `TxBody{messages = 1 Any{type_url = 1, value = 2}, …}` (cosmos/tx/v1beta1/tx.proto).

use crate::fault::Fault;
use crate::wire::{Reader, fault};

/// Messages of one transaction that are looked at.
pub const MAX_MESSAGES: usize = 1_024;

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
            return Err(fault(&format!("at most {MAX_MESSAGES} messages"), "more"));
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
}
