//! Votes for a block and the commit they make (`types/vote.go`, `types/block.go`).

use std::time::Duration;

use crate::header::BlockId;
use crate::merkle::{self, Hash};
use crate::time;
use crate::wire::{Message, prefixed};

/// What a validator did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// Nothing was heard of it.
    Absent,
    /// It voted for the block.
    Commit,
    /// It voted for no block.
    Nil,
}

impl Flag {
    /// `BlockIDFlag` as nodes number it.
    pub const fn number(self) -> u8 {
        match self {
            Self::Absent => 1,
            Self::Commit => 2,
            Self::Nil => 3,
        }
    }
}

/// One validator's entry of a commit, at the validator's place in the set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitSig {
    /// What it did.
    pub flag: Flag,
    /// Its address; nothing where absent.
    pub address: Vec<u8>,
    /// When it voted, by its own clock; none where absent.
    pub time: Option<Duration>,
    /// Its signature, 64 bytes; nothing where absent.
    pub signature: Vec<u8>,
}

impl CommitSig {
    /// The entry of a validator of which nothing was heard.
    pub const fn absent() -> Self {
        Self { flag: Flag::Absent, address: Vec::new(), time: None, signature: Vec::new() }
    }

    /// `CommitSig{block_id_flag = 1, validator_address = 2, timestamp = 3, signature = 4}`.
    pub fn encode(&self) -> Vec<u8> {
        Message::new()
            .number(1, u64::from(self.flag.number()))
            .bytes(2, &self.address)
            .embedded(3, &time::encode(self.time))
            .bytes(4, &self.signature)
            .finish()
    }
}

/// The votes that made a block final. The one for "before the first block" is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Height of the block.
    pub height: u64,
    /// The round in which it was agreed on.
    pub round: u32,
    /// The block.
    pub block_id: BlockId,
    /// One entry for each validator, in the set's order.
    pub signatures: Vec<CommitSig>,
}

impl Commit {
    /// `last_commit_hash` of the next header.
    pub fn hash(&self) -> Hash {
        merkle::root_of(self.signatures.iter().map(CommitSig::encode))
    }

    /// `Commit{height = 1, round = 2, block_id = 3, signatures = 4}`.
    pub fn encode(&self) -> Vec<u8> {
        let head =
            Message::new().number(1, self.height).number(2, u64::from(self.round)).embedded(3, &self.block_id.encode());
        self.signatures.iter().fold(head, |message, entry| message.embedded(4, &entry.encode())).finish()
    }

    /// What the validator of this entry signed: `CanonicalVote{type = 1, height = 2, round = 3, block_id = 4,
    /// timestamp = 5, chain_id = 6}` behind its length (`types/canonical.go`). A vote for no block has no block id.
    pub fn sign_bytes(&self, chain_id: &str, flag: Flag, time: Option<Duration>) -> Vec<u8> {
        const PRECOMMIT: u64 = 2;
        let head = Message::new().number(1, PRECOMMIT).fixed(2, self.height).fixed(3, u64::from(self.round));
        let head = match flag {
            Flag::Commit => head.embedded(4, &self.block_id.encode()),
            Flag::Absent | Flag::Nil => head,
        };
        prefixed(&head.embedded(5, &time::encode(time)).bytes(6, chain_id.as_bytes()).finish())
    }
}
