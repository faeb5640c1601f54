//! Ed25519 by ZIP-215, the rule of CometBFT from 0.35 on and of every release line still in use (crypto/ed25519 over
//! curve25519-voi): any encoding of A and R that decodes is taken, S must be below the group order, and the equation is
//! the cofactored one, `[8]([S]B - R - [k]A) = 0`.
//!
//! `verify_strict` of ed25519-dalek, which the house's own logs use, refuses some of what a ledger accepts. Refusing a
//! block that every node of the ledger accepted would only stop the gateway; hence a rule of its own here.
//! 0.34 nodes use Go's cofactorless check: what they accept is accepted here too. The other way round only a validator
//! who crafts a key or signature with a small-order part can make the two differ, and only about its own vote.
//!
//! Checking together ([`verify_together`]) uses the same cofactored equation with coefficients that are hashed from all
//! keys, signatures and messages. There is no randomness in a pure crate, and none is needed: whoever chooses the
//! signatures fixes the coefficients with them. A set of good signatures always passes; a set with a bad one passes with
//! a chance of 2^-128 for each set tried.

use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{IsIdentity as _, VartimeMultiscalarMul as _};
use sha2::{Digest as _, Sha512};

use super::PublicKey;

/// A signature with its parts apart, before any point is decoded.
pub(crate) struct Claim<'a> {
    key: &'a [u8; 32],
    r: &'a [u8; 32],
    s: &'a [u8; 32],
    message: &'a [u8],
}

impl<'a> Claim<'a> {
    /// `None` for keys of another kind, and for signatures of another length: those fail one by one.
    pub(crate) fn of(claim: &'a super::Claim<'a>) -> Option<Self> {
        match claim.key {
            PublicKey::Ed25519(key) => Self::split(key, &claim.message, claim.signature),
            _ => None,
        }
    }

    fn split(key: &'a [u8; 32], message: &'a [u8], signature: &'a [u8]) -> Option<Self> {
        let (r, rest) = signature.split_first_chunk::<32>()?;
        let s: &[u8; 32] = rest.try_into().ok()?;
        Some(Self { key, r, s, message })
    }

    fn challenge(&self) -> Scalar {
        let mut hasher = Sha512::new();
        hasher.update(self.r);
        hasher.update(self.key);
        hasher.update(self.message);
        Scalar::from_bytes_mod_order_wide(&hasher.finalize().into())
    }

    fn decode(&self) -> Option<(EdwardsPoint, EdwardsPoint, Scalar)> {
        let key = CompressedEdwardsY(*self.key).decompress()?;
        let r = CompressedEdwardsY(*self.r).decompress()?;
        let s = Option::<Scalar>::from(Scalar::from_canonical_bytes(*self.s))?;
        Some((key, r, s))
    }
}

/// Whether this is a signature of `key` over `message`.
pub fn verify(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    let Some(claim) = Claim::split(key, message, signature) else { return false };
    let Some((key, r, s)) = claim.decode() else { return false };
    let recomputed = EdwardsPoint::vartime_double_scalar_mul_basepoint(&claim.challenge(), &-key, &s);
    (recomputed - r).mul_by_cofactor().is_identity()
}

/// Whether all of these are signatures: `[8]([sum z S]B - sum [z]R - sum [z k]A) = 0`.
pub(crate) fn verify_together(claims: &[Claim<'_>]) -> bool {
    let challenges: Vec<Scalar> = claims.iter().map(Claim::challenge).collect();
    let coefficients = coefficients(claims, &challenges);
    let mut scalars = Vec::with_capacity(claims.len() * 2 + 1);
    let mut points = Vec::with_capacity(claims.len() * 2 + 1);
    let mut base = Scalar::ZERO;
    for ((claim, challenge), z) in claims.iter().zip(challenges).zip(coefficients) {
        let Some((key, r, s)) = claim.decode() else { return false };
        base += z * s;
        scalars.extend([z, z * challenge]);
        points.extend([r, key]);
    }
    scalars.push(-base);
    points.push(curve25519_dalek::constants::ED25519_BASEPOINT_POINT);
    EdwardsPoint::vartime_multiscalar_mul(scalars, points).mul_by_cofactor().is_identity()
}

/// One odd-sized number of 128 bits for each claim, hashed from all of them: the challenge stands for R, A and message.
fn coefficients(claims: &[Claim<'_>], challenges: &[Scalar]) -> Vec<Scalar> {
    let mut hasher = Sha512::new_with_prefix(b"hufu ed25519 batch v1");
    for (claim, challenge) in claims.iter().zip(challenges) {
        hasher.update(claim.key);
        hasher.update(claim.r);
        hasher.update(claim.s);
        hasher.update(challenge.as_bytes());
    }
    let seed: [u8; 64] = hasher.finalize().into();
    (0..claims.len() as u64)
        .map(|index| {
            let mut hasher = Sha512::new_with_prefix(seed);
            hasher.update(index.to_le_bytes());
            let hash: [u8; 64] = hasher.finalize().into();
            Scalar::from(u128::from_le_bytes(hash.first_chunk().copied().unwrap_or_default()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::{Signer as _, SigningKey};

    fn signed(number: u8, message: &[u8]) -> ([u8; 32], Vec<u8>) {
        let key = SigningKey::from_bytes(&[number; 32]);
        (key.verifying_key().to_bytes(), key.sign(message).to_bytes().to_vec())
    }

    /// The encodings of the eight points of small order and six more spellings of them (ZIP-215, test vectors).
    fn small_order() -> Vec<[u8; 32]> {
        let point = |text: &str| hex::decode(text).unwrap().try_into().unwrap();
        vec![
            point("0000000000000000000000000000000000000000000000000000000000000000"),
            point("0000000000000000000000000000000000000000000000000000000000000080"),
            point("0100000000000000000000000000000000000000000000000000000000000000"),
            point("0100000000000000000000000000000000000000000000000000000000000080"),
            point("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
            point("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
            point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
            point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa"),
            point("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            point("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
            point("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            point("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
            point("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
            point("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        ]
    }

    #[test]
    fn every_small_order_case_of_zip_215_is_accepted_alone_and_together() {
        let message = b"Zcash";
        let cases: Vec<([u8; 32], Vec<u8>)> = small_order()
            .iter()
            .flat_map(|key| small_order().into_iter().map(|r| (*key, [r.as_slice(), &[0; 32]].concat())))
            .collect();
        assert_eq!(cases.len(), 196);
        for (key, signature) in &cases {
            assert!(verify(key, message, signature), "{}", hex::encode(key));
        }
        let claims: Vec<Claim<'_>> =
            cases.iter().map(|(key, signature)| Claim::split(key, message, signature).unwrap()).collect();
        assert!(verify_together(&claims));
    }

    #[test]
    fn the_strict_rule_of_the_house_would_refuse_some_of_them() {
        let key = ed25519_dalek::VerifyingKey::from_bytes(&small_order()[2]).unwrap();
        let signature =
            ed25519_dalek::Signature::from_bytes(&[[1; 1].as_slice(), &[0; 63]].concat().try_into().unwrap());
        assert!(key.verify_strict(b"Zcash", &signature).is_err());
    }

    #[test]
    fn signature_over_another_message_or_of_another_key() {
        let (key, signature) = signed(1, b"one");
        assert!(verify(&key, b"one", &signature));
        assert!(!verify(&key, b"two", &signature));
        assert!(!verify(&signed(2, b"one").0, b"one", &signature));
        for short in [0, 1, 32, 63] {
            assert!(!verify(&key, b"one", &signature[..short]));
        }
    }

    #[test]
    fn s_beyond_the_group_order_is_refused_alone_and_together() {
        let (key, mut signature) = signed(1, b"one");
        // S + l: the same equation, another spelling.
        let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
        let mut carry = 0_u16;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        assert!(!verify(&key, b"one", &signature));
        let (other, good) = signed(2, b"two");
        let claims = [Claim::split(&key, b"one", &signature).unwrap(), Claim::split(&other, b"two", &good).unwrap()];
        assert!(!verify_together(&claims));
    }

    #[test]
    fn one_bad_signature_among_many_spoils_the_whole() {
        let messages: Vec<Vec<u8>> = (0..40).map(|number| vec![number; 110]).collect();
        let mut all: Vec<([u8; 32], Vec<u8>)> =
            (1_u8..).zip(&messages).map(|(number, message)| signed(number, message)).collect();
        let whole = |all: &[([u8; 32], Vec<u8>)]| {
            let claims: Vec<Claim<'_>> = all
                .iter()
                .zip(&messages)
                .map(|((key, signature), message)| Claim::split(key, message, signature).unwrap())
                .collect();
            verify_together(&claims)
        };
        assert!(whole(&all));
        for at in [0, 17, 39] {
            all[at].1[5] ^= 1;
            assert!(!whole(&all), "{at}");
            all[at].1[5] ^= 1;
        }
        // Two that are wrong by opposite amounts do not cancel out.
        let (one, two) = (all[0].1.clone(), all[1].1.clone());
        all[0].1[32] ^= 1;
        all[1].1[32] ^= 1;
        assert!(!whole(&all));
        (all[0].1, all[1].1) = (two, one);
        assert!(!whole(&all));
    }
}
