//! A ledger of any of the four consensus kinds that grows block by block, each field of each block open to
//! falsification.

#![allow(dead_code, reason = "two test programs use a part each")]

use crate::testing::{BftDraft, CliqueDraft, HeaderDraft, Key, keys};
use hufu_adapters_light_client::{Budget, DynLightClient, Family as _, Outcome, Step, StoredHead};
use hufu_evm_light_client::bft::{Ballot, Kind};
use hufu_evm_light_client::{Address, EvmFamily, Hash32, Header, clique};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};

pub(crate) const GENESIS_TIME: u64 = 1_700_000_000;
/// Short, so that a test sees votes fall.
pub(crate) const EPOCH: u64 = 50;

/// Who seals blocks: the four kinds that this family follows by seals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sealing {
    Bft(Kind),
    Clique,
}

impl Sealing {
    pub(crate) const ALL: [Self; 4] =
        [Self::Bft(Kind::Qbft), Self::Bft(Kind::Ibft2), Self::Bft(Kind::Ibft1), Self::Clique];

    /// The name in anchors.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bft(kind) => kind.as_str(),
            Self::Clique => "clique",
        }
    }
}

/// A block before it is written.
#[derive(Clone)]
pub(crate) enum Draft {
    Bft(BftDraft),
    Clique(CliqueDraft),
}

impl Draft {
    pub(crate) fn header(&mut self) -> &mut HeaderDraft {
        match self {
            Self::Bft(draft) => &mut draft.header,
            Self::Clique(draft) => &mut draft.header,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Bft(draft) => draft.encode(),
            Self::Clique(draft) => draft.encode(),
        }
    }

    /// Its author votes.
    pub(crate) fn vote(&mut self, candidate: Address, add: bool) {
        match self {
            Self::Bft(draft) => draft.vote = Some(Ballot { candidate, add }),
            Self::Clique(draft) => {
                draft.header.coinbase = candidate;
                draft.header.nonce = if add { [0xff; 8] } else { [0; 8] };
            }
        }
    }

    pub(crate) fn hash(&self, kind: Sealing) -> Hash32 {
        hash(kind, &Header::parse(&self.encode()).unwrap())
    }
}

/// A header's block hash by its kind.
pub(crate) fn hash(kind: Sealing, header: &Header) -> Hash32 {
    match kind {
        Sealing::Bft(kind) => kind.read(header.clone()).unwrap().hash(),
        Sealing::Clique => clique::Block::read(header.clone()).unwrap().hash(),
    }
}

/// Blocks from genesis on, and who may make the next one.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) kind: Sealing,
    /// In force for the next block, ascending.
    pub(crate) keys: Vec<Key>,
    pub(crate) steps: Vec<Step>,
    pub(crate) tip: Hash32,
    /// Of each block but genesis.
    authors: Vec<Address>,
}

impl Ledger {
    pub(crate) fn new(kind: Sealing, count: u8) -> Self {
        let keys = keys(count);
        let mut ledger = Self { kind, keys, steps: Vec::new(), tip: Hash32::ZERO, authors: Vec::new() };
        let mut genesis = ledger.draft();
        match &mut genesis {
            Draft::Bft(draft) => draft.signers.clear(),
            Draft::Clique(draft) => draft.listed = ledger.keys.iter().map(Key::address).collect(),
        }
        ledger.push(&genesis);
        ledger
    }

    pub(crate) fn grown(mut self, blocks: usize) -> Self {
        for _ in 0..blocks {
            let draft = self.draft();
            self.push(&draft);
        }
        self
    }

    pub(crate) fn height(&self) -> u64 {
        self.steps.len() as u64
    }

    /// The next block as the rules want it: by whose turn it is, or the first after it who did not sign just now.
    pub(crate) fn draft(&self) -> Draft {
        let count = self.keys.len();
        let turn = usize::try_from(self.height()).unwrap() % count;
        let recent: Vec<&Address> = self.authors.iter().rev().take(count / 2).collect();
        let author = (turn..turn + count).find(|author| !recent.contains(&&self.keys[author % count].address()));
        self.draft_by(author.unwrap() % count)
    }

    /// The next block by the `author`th of the keys.
    pub(crate) fn draft_by(&self, author: usize) -> Draft {
        let number = self.height();
        let key = &self.keys[author];
        let mut draft = match self.kind {
            Sealing::Bft(kind) => {
                let mut draft = BftDraft::new(kind, &self.keys, &self.keys);
                draft.propose_as(key);
                Draft::Bft(draft)
            }
            Sealing::Clique => {
                let mut draft = CliqueDraft::new(key);
                let in_turn = number % self.keys.len() as u64 == author as u64;
                draft.header.difficulty = if in_turn { 2 } else { 1 };
                if number > 0 && number.is_multiple_of(EPOCH) {
                    draft.listed = self.keys.iter().map(Key::address).collect();
                }
                Draft::Clique(draft)
            }
        };
        let header = draft.header();
        header.number = number;
        header.parent_hash = self.tip;
        header.timestamp = GENESIS_TIME + number;
        draft
    }

    pub(crate) fn push(&mut self, draft: &Draft) {
        self.authors.extend((self.height() > 0).then(|| match draft {
            Draft::Bft(draft) => draft.proposer.address(),
            Draft::Clique(draft) => draft.key.address(),
        }));
        self.tip = draft.hash(self.kind);
        self.steps.push(Step { height: Height::new(self.height()), bytes: draft.encode() });
    }

    /// A vote by as many as it takes, one a block, in turn; the set changes with the last.
    pub(crate) fn vote(&mut self, candidate: &Key, add: bool) {
        for _ in 0..=self.keys.len() / 2 {
            let mut draft = self.draft();
            draft.vote(candidate.address(), add);
            self.push(&draft);
        }
        self.keys.retain(|key| key.address() != candidate.address());
        if add {
            self.keys.push(candidate.clone());
            self.keys.sort_by_key(Key::address);
        }
    }

    pub(crate) fn anchor(&self, height: usize) -> Value {
        let of = |height: usize| hash(self.kind, &Header::parse(&self.steps[height].bytes).unwrap());
        json!({
            "family": "evm", "consensus": self.kind.as_str(), "height": height, "hash": of(height), "genesis": of(0),
            "epoch": EPOCH,
        })
    }

    /// The light client that believes this ledger's genesis.
    pub(crate) fn client(&self) -> Box<dyn DynLightClient> {
        EvmFamily.client(&self.anchor(0)).unwrap()
    }

    /// A head on the last block that the client trusts of this ledger.
    pub(crate) fn head(&self) -> StoredHead {
        let client = self.client();
        accept(client.as_ref(), &client.anchor(), &self.steps)
    }

    /// Why a block is refused in the place of the next one.
    pub(crate) fn refuses(&self, bytes: Vec<u8>) -> &'static str {
        let step = Step { height: Height::new(self.height()), bytes };
        // From genesis on: on Clique the head stays behind the tip.
        refused(self.client().as_ref(), &self.client().anchor(), &[&self.steps[..], &[step]].concat())
    }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_seconds(GENESIS_TIME + 1_000).unwrap()
}

pub(crate) fn accept(client: &dyn DynLightClient, head: &StoredHead, steps: &[Step]) -> StoredHead {
    match client.advance(head, steps, now(), &mut Budget::for_update()) {
        Outcome::Accept(advanced) => advanced.head,
        other => panic!("expected the steps to be accepted, got {other:?}"),
    }
}

/// The reason of a refusal or a shortfall.
pub(crate) fn refused(client: &dyn DynLightClient, head: &StoredHead, steps: &[Step]) -> &'static str {
    match client.advance(head, steps, now(), &mut Budget::for_update()) {
        Outcome::Accept(advanced) => panic!("expected a refusal, got {} blocks", advanced.blocks.len()),
        Outcome::NotYet(shortfall) => shortfall.reason(),
        Outcome::Reject(rejection) => rejection.reason(),
    }
}
