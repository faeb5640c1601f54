//! Operations between text and bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hufu_schemas_core::digest::Digest;
use serde_json::Value;

use super::{BytesFrom, Item, kind_of};
use crate::fault::{FaultCode, Trouble};
use crate::limits::MAX_TEXT_BYTES;

pub(super) fn read(text: &str, from: BytesFrom) -> Result<Vec<u8>, Trouble> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Trouble::new(FaultCode::Limit, format!("expected at most {MAX_TEXT_BYTES} bytes of text")));
    }
    let fault = |expected: &str| Trouble::new(FaultCode::Encoding, format!("expected {expected}, got another text"));
    match from {
        BytesFrom::Hex => {
            let digits = text.strip_prefix("0x").unwrap_or(text);
            hex::decode(digits).map_err(|_| fault("pairs of hex digits"))
        }
        BytesFrom::Base64 => STANDARD.decode(text).map_err(|_| fault("base64 with its padding")),
        BytesFrom::Utf8 => Ok(text.as_bytes().to_vec()),
    }
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(super) fn utf8(bytes: &[u8]) -> Result<String, Trouble> {
    let text = std::str::from_utf8(bytes).map(str::to_owned);
    text.map_err(|_| Trouble::new(FaultCode::Encoding, "expected bytes that are UTF-8, got others"))
}

pub(super) fn digest(item: &Item) -> Result<Vec<u8>, Trouble> {
    let bytes = match item {
        Item::Bytes(bytes) => bytes.as_slice(),
        Item::Json(Value::String(text)) => text.as_bytes(),
        other => {
            return Err(Trouble::new(FaultCode::Type, format!("digest takes bytes or text, got {}", kind_of(other))));
        }
    };
    Ok(Digest::of(bytes).as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn other_spellings_are_refused() {
        for (text, from) in
            [("abc", BytesFrom::Hex), ("zz", BytesFrom::Hex), ("YQ", BytesFrom::Base64), ("YR==", BytesFrom::Base64)]
        {
            assert_eq!(read(text, from).unwrap_err().code, FaultCode::Encoding, "{text}");
        }
        assert_eq!(utf8(&[0xff]).unwrap_err().code, FaultCode::Encoding);
    }

    #[test]
    fn digest_of_abc() {
        let item = Item::Bytes(b"abc".to_vec());
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::encode(digest(&item).unwrap()), expected);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(read(&base64(&bytes), BytesFrom::Base64), Ok(bytes.clone()));
            prop_assert_eq!(read(&hex::encode(&bytes), BytesFrom::Hex), Ok(bytes));
        }
    }
}
