//! The hash functions that the crate `ics23` asks its host for.

use crate::hash::sha256;
use ics23::HostFunctionsProvider;
use ripemd::{Digest as _, Ripemd160};
use sha2::{Sha512, Sha512_256};

/// SHA-256 is the only one that the two trees use, and [`super::shape`] has refused every operation that names another
/// before the crate runs. The functions of this family that are at hand are given as they are; those that are not give
/// [`REFUSED`], which no root is compared with.
pub(super) struct Hashes;

/// Never a hash: an operation that names one of these functions does not get here.
const REFUSED: u8 = 0xee;

impl HostFunctionsProvider for Hashes {
    fn sha2_256(message: &[u8]) -> [u8; 32] {
        *sha256(message).as_bytes()
    }

    fn sha2_512(message: &[u8]) -> [u8; 64] {
        Sha512::digest(message).into()
    }

    fn sha2_512_truncated(message: &[u8]) -> [u8; 32] {
        Sha512_256::digest(message).into()
    }

    fn ripemd160(message: &[u8]) -> [u8; 20] {
        Ripemd160::digest(message).into()
    }

    fn keccak_256(_: &[u8]) -> [u8; 32] {
        [REFUSED; 32]
    }

    fn blake2b_512(_: &[u8]) -> [u8; 64] {
        [REFUSED; 64]
    }

    fn blake2s_256(_: &[u8]) -> [u8; 32] {
        [REFUSED; 32]
    }

    fn blake3(_: &[u8]) -> [u8; 32] {
        [REFUSED; 32]
    }
}
