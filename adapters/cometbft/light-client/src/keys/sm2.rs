//! SM2 of IRITA's fork (bianjieai/tendermint, branches `irita*`; crypto/sm2 over tjfoc/gmsm): the message is the sign
//! bytes themselves, `e = SM3(Z || M)` with Z over the default id `1234567812345678`, r and s of 32 bytes each
//! (GB/T 32918.2). There is no rule about high s.

use sm2::dsa::signature::Verifier as _;
use sm2::dsa::{Signature, VerifyingKey};

/// The id that tjfoc/gmsm takes where none is given.
const DEFAULT_ID: &str = "1234567812345678";

#[expect(clippy::disallowed_methods, reason = "the ban is about Ed25519, whose crate shares the trait with SM2")]
/// Whether this is a signature of `key` over `message`.
pub fn verify(key: &[u8; 33], message: &[u8], signature: &[u8]) -> bool {
    let Ok(key) = VerifyingKey::from_sec1_bytes(DEFAULT_ID, key) else { return false };
    let Ok(signature) = Signature::from_slice(signature) else { return false };
    key.verify(message, &signature).is_ok()
}
