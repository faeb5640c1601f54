//! A chain signed by keys that are made from numbers. Shared by unit tests and the benchmark.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    dead_code,
    reason = "helpers of tests"
)]

use ed25519_dalek::{Signer as _, SigningKey};
use hufu_cometbft_light_client::canonical_vote::VoteBytes;
use hufu_cometbft_light_client::commit::{Commit, CommitSig, Flag};
use hufu_cometbft_light_client::evidence::transactions::Executed;
use hufu_cometbft_light_client::hash::sha256;
use hufu_cometbft_light_client::header::{BlockId, Parts, Version};
use hufu_cometbft_light_client::keys::PublicKey;
use hufu_cometbft_light_client::{
    Hash32, Header, LightStep, SignedHeader, Time, Validator, ValidatorSet, merkle, results,
};

/// A validator's key.
#[derive(Clone)]
pub(crate) enum Key {
    Ed25519(SigningKey),
    Secp256k1(secp256k1::SecretKey),
    Sm2(Box<sm2::dsa::SigningKey>),
}

/// Keys with numbers from here on are of secp256k1, and from twice here on of SM2.
pub(crate) const OTHER_KINDS: u64 = 1_000_000;

impl Key {
    pub(crate) fn number(number: u64) -> Self {
        let secret = *sha256(&number.to_le_bytes()).as_bytes();
        match number / OTHER_KINDS {
            0 => Self::Ed25519(SigningKey::from_bytes(&secret)),
            1 => Self::Secp256k1(secp256k1::SecretKey::from_secret_bytes(secret).unwrap()),
            _ => {
                let secret = sm2::SecretKey::from_slice(&secret).unwrap();
                Self::Sm2(Box::new(sm2::dsa::SigningKey::new("1234567812345678", &secret).unwrap()))
            }
        }
    }

    pub(crate) fn public(&self) -> PublicKey {
        match self {
            Self::Ed25519(key) => PublicKey::Ed25519(key.verifying_key().to_bytes()),
            Self::Secp256k1(key) => PublicKey::Secp256k1(secp256k1::PublicKey::from_secret_key(key).serialize()),
            Self::Sm2(key) => {
                let point =
                    sm2::elliptic_curve::sec1::ToSec1Point::to_sec1_point(key.verifying_key().as_affine(), true);
                PublicKey::Sm2(point.as_bytes().try_into().unwrap())
            }
        }
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
            Self::Secp256k1(key) => {
                let digest = secp256k1::Message::from_digest(*sha256(message).as_bytes());
                secp256k1::ecdsa::sign(digest, key).serialize_compact().to_vec()
            }
            Self::Sm2(key) => {
                let signature: sm2::dsa::Signature = sm2::dsa::signature::Signer::sign(key.as_ref(), message);
                signature.to_bytes().to_vec()
            }
        }
    }
}

/// Keys with powers, in the ledger's order.
#[derive(Clone)]
pub(crate) struct Voters(pub(crate) Vec<(Key, u64)>);

impl Voters {
    pub(crate) fn new(numbers: impl IntoIterator<Item = u64>, power: u64) -> Self {
        Self::with(numbers.into_iter().map(|number| (number, power)))
    }

    pub(crate) fn with(numbers: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut keys: Vec<(Key, u64)> =
            numbers.into_iter().map(|(number, power)| (Key::number(number), power)).collect();
        keys.sort_by_key(|(key, power)| (std::cmp::Reverse(*power), key.public().address()));
        Self(keys)
    }

    pub(crate) fn set(&self) -> ValidatorSet {
        let validator = |(key, power): &(Key, u64)| Validator { pub_key: key.public(), power: *power };
        ValidatorSet::new(self.0.iter().map(validator).collect()).unwrap()
    }
}

/// What the next block shall be.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) header: Header,
    pub(crate) voters: Voters,
    pub(crate) next: Voters,
    /// Indexes of those who vote for the block; the others are absent.
    pub(crate) votes: Vec<usize>,
    /// Indexes of those who vote for no block.
    pub(crate) nil: Vec<usize>,
}

impl Draft {
    pub(crate) fn commit(&self) -> Commit {
        let hash = self.header.hash();
        let parts = Parts { total: 1, hash: Some(Hash32::new([3; 32])) };
        let block_id = BlockId { hash: Some(hash), parts };
        let mut commit = Commit { height: self.header.height, round: 0, block_id, signatures: Vec::new() };
        let mut nil = commit.clone();
        nil.block_id = BlockId::default();
        let bytes = VoteBytes::of(&commit, &self.header.chain_id);
        let nil_bytes = VoteBytes::of(&nil, &self.header.chain_id);
        let seconds = self.header.time.seconds();
        for (index, (key, _)) in self.voters.0.iter().enumerate() {
            let timestamp = Time::new(seconds + 1, index as u32).unwrap();
            let vote = |flag, message: Vec<u8>| CommitSig {
                flag,
                address: Some(key.public().address()),
                timestamp,
                signature: key.sign(&message),
            };
            commit.signatures.push(if self.votes.contains(&index) {
                vote(Flag::Commit, bytes.at(timestamp))
            } else if self.nil.contains(&index) {
                vote(Flag::Nil, nil_bytes.at(timestamp))
            } else {
                CommitSig { flag: Flag::Absent, address: None, timestamp: Time::ZERO, signature: Vec::new() }
            });
        }
        commit
    }

    pub(crate) fn step(&self) -> LightStep {
        LightStep {
            signed_header: SignedHeader { header: self.header.clone(), commit: self.commit() },
            validators: Some(self.voters.set()),
            next_validators: Some(self.next.set()),
            trusted_validators: None,
            headers: Vec::new(),
        }
    }
}

/// A chain under way.
pub(crate) struct Chain {
    pub(crate) chain_id: String,
    pub(crate) voters: Voters,
    pub(crate) steps: Vec<LightStep>,
    /// Results of the last block, for the next header.
    pub(crate) results: Hash32,
    /// State after the last block.
    pub(crate) app_hash: Vec<u8>,
}

/// Time of the first block.
pub(crate) const GENESIS_TIME: i64 = 1_700_000_000;

impl Chain {
    pub(crate) fn new(chain_id: &str, voters: Voters) -> Self {
        let app_hash = vec![0; 8];
        Self { chain_id: chain_id.to_owned(), voters, steps: Vec::new(), results: sha256(b""), app_hash }
    }

    /// The next block, empty, signed by all, with the same validators after it.
    pub(crate) fn draft(&self) -> Draft {
        let height = self.steps.len() as u64 + 1;
        let last = self.steps.last().map(|step| step.signed_header.commit.block_id).unwrap_or_default();
        let hash = self.voters.set().hash();
        let header = Header {
            version: Version { block: 11, app: 1 },
            chain_id: self.chain_id.clone(),
            height,
            time: Time::new(GENESIS_TIME + height as i64 * 5, 7).unwrap(),
            last_block_id: last,
            last_commit_hash: Some(sha256(b"")),
            data_hash: Some(sha256(b"")),
            validators_hash: hash,
            next_validators_hash: hash,
            consensus_hash: Some(sha256(b"parameters")),
            app_hash: self.app_hash.clone(),
            last_results_hash: Some(self.results),
            evidence_hash: Some(sha256(b"")),
            proposer_address: self.voters.0[0].0.public().address().as_bytes().to_vec(),
        };
        let votes = (0..self.voters.0.len()).collect();
        Draft { header, voters: self.voters.clone(), next: self.voters.clone(), votes, nil: Vec::new() }
    }

    pub(crate) fn push(&mut self, draft: &Draft) {
        self.results = sha256(b"");
        self.steps.push(draft.step());
        self.voters = draft.next.clone();
    }

    /// A block with these transactions.
    pub(crate) fn execute(&mut self, all: &[Executed]) {
        let mut draft = self.draft();
        let leaves: Vec<[u8; 32]> = all.iter().map(|it| *sha256(&it.tx).as_bytes()).collect();
        draft.header.data_hash = Some(merkle::root(&leaves));
        self.push(&draft);
        self.results = results::root(all.iter().map(|it| &it.result));
    }

    /// A block after which others vote.
    pub(crate) fn change(&mut self, next: Voters) {
        let mut draft = self.draft();
        draft.header.next_validators_hash = next.set().hash();
        draft.next = next;
        self.push(&draft);
    }

    pub(crate) fn mine(&mut self, count: usize) {
        for _ in 0..count {
            self.push(&self.draft());
        }
    }
}
