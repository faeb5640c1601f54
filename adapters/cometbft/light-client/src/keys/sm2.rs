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

#[cfg(test)]
mod tests {
    use super::*;

    /// GM/T 0003.5-2012, appendix A.2: the example over the recommended curve, with the default id.
    fn example() -> ([u8; 33], Vec<u8>) {
        let key = hex::decode("0309f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020").unwrap();
        let signature = hex::decode(concat!(
            "f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3",
            "b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa",
        ));
        (key.try_into().unwrap(), signature.unwrap())
    }

    #[test]
    fn the_example_of_the_standard() {
        let (key, signature) = example();
        assert!(verify(&key, b"message digest", &signature));
        assert!(!verify(&key, b"message digesu", &signature));
    }

    #[test]
    fn bytes_that_are_no_key_or_no_signature() {
        let (key, signature) = example();
        let mut other = key;
        other[0] = 2;
        assert!(!verify(&other, b"message digest", &signature));
        assert!(!verify(&[0; 33], b"message digest", &signature));
        assert!(!verify(&[0xff; 33], b"message digest", &signature));
        for bad in [&signature[..63], &[0; 64][..], &[0xff; 64], &[]] {
            assert!(!verify(&key, b"message digest", bad));
        }
    }
}
