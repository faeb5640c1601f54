//! A header with what its consensus kind makes of it; not yet judged.

use std::collections::BTreeSet;

use hufu_adapters_light_client::Rejection;
use hufu_evm_light_client::anchor::Consensus;
use hufu_evm_light_client::{Address, Hash32, Header, bft, clique};
use hufu_schemas_core::{Quorum, Timestamp};

use super::body;

pub(super) enum Candidate {
    Bft(bft::Block),
    Clique(clique::Block),
}

impl Candidate {
    /// Reads a header by the rules of its kind; in words why it is of another.
    pub(super) fn read(header: Header, consensus: Consensus) -> Result<Self, String> {
        let read = match consensus {
            Consensus::Bft(kind) => kind.read(header).map(Self::Bft),
            Consensus::Clique => clique::Block::read(header).map(Self::Clique),
            // The anchor file was refused before; a candidate of this kind does not exist.
            Consensus::Unsealed => return Err("nobody seals this ledger's blocks".to_owned()),
        };
        read.map_err(|fault| body::said(&fault))
    }

    pub(super) fn header(&self) -> &Header {
        match self {
            Self::Bft(block) => block.header(),
            Self::Clique(block) => block.header(),
        }
    }

    pub(super) fn number(&self) -> u64 {
        self.header().fields().number
    }

    pub(super) fn hash(&self) -> Hash32 {
        match self {
            Self::Bft(block) => block.hash(),
            Self::Clique(block) => block.hash(),
        }
    }

    /// The validators that the block itself names.
    pub(super) fn listed(&self) -> &[Address] {
        match self {
            Self::Bft(block) => block.validators(),
            Self::Clique(block) => block.listed(),
        }
    }

    /// Distinct signers among those that are trusted.
    pub(super) fn signers(&self, trusted: &[Address]) -> BTreeSet<Address> {
        let recovered: Vec<Address> = match self {
            // Recovered once, for the judgement and for what is shown.
            Self::Bft(block) => block.named_signers().collect(),
            Self::Clique(block) => block.signer().into_iter().collect(),
        };
        recovered.into_iter().filter(|signer| trusted.contains(signer)).collect()
    }

    /// How many signers of a set this kind asks for.
    pub(super) fn need(&self, members: &[Address]) -> usize {
        let members = members.iter().copied();
        let quorum = match self {
            Self::Bft(_) => Quorum::two_thirds(members),
            Self::Clique(_) => Quorum::majority(members),
        };
        quorum.map_or(0, |quorum| quorum.need())
    }

    /// A time that records can carry, as the light client asks.
    pub(super) fn require_time(&self) -> Result<(), Rejection> {
        let seconds = self.header().fields().timestamp;
        match Timestamp::from_seconds(seconds) {
            Some(_) => Ok(()),
            None => Err(Rejection::new("header-time", "a time before the year 10000", seconds.to_string())),
        }
    }
}
