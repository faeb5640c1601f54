//! Reading headers ahead of their judgement: parsed, hashed and their signers recovered, across cores.
//!
//! What is read ahead decides nothing; it is only work that the judgement would do anyway. A hostile batch must not buy
//! more of it than judging header by header would cost: one header is read ahead first, and twice as many each time all
//! of them were good. So what is wasted is less than what was well spent, and one header.

use super::judge::parse_step;
use super::{EvmLightClient, Rules};
use crate::address::Address;
use crate::anchor::Consensus;
use crate::fault::{Fault, Reason};
use crate::header::{Header, Link};
use crate::keccak::Hash32;
use crate::recover::{self, Sealed};
use crate::seal::{Seal, SealFault};
use crate::{bft, clique};
use hufu_adapters_light_client::{Budget, Rejection, Step};

/// Headers read ahead at most: a quarter of an update, so that a thread is started four times an update.
pub(super) const MOST_AHEAD: usize = 128;

/// A header with its extraData read by the kind of the anchor; not yet believed.
#[derive(Debug)]
pub(super) enum Candidate {
    Bft(bft::Block),
    Clique(clique::Block),
    /// Nobody seals it: there is nothing to recover.
    Unsealed(Header),
}

impl Candidate {
    pub(super) fn header(&self) -> &Header {
        match self {
            Self::Bft(block) => block.header(),
            Self::Clique(block) => block.header(),
            Self::Unsealed(header) => header,
        }
    }

    pub(super) fn hash(&self) -> Hash32 {
        match self {
            Self::Bft(block) => block.hash(),
            Self::Clique(block) => block.hash(),
            Self::Unsealed(header) => header.raw_hash(),
        }
    }

    /// Whether the judgement would come to its seals at all, as far as can be said without the headers before it.
    fn is_worth_recovering(&self, rules: &Rules) -> bool {
        match (self, rules) {
            (Self::Bft(block), Rules::Bft(state)) => {
                block.validators() == state.validators() && block.check_seal_count().is_ok()
            }
            (Self::Clique(_), Rules::Clique(_)) => true,
            _ => false,
        }
    }
}

impl Sealed for Candidate {
    fn unread(&self) -> Vec<(Hash32, Seal)> {
        match self {
            Self::Bft(block) => block.unread(),
            Self::Clique(block) => block.unread(),
            Self::Unsealed(_) => Vec::new(),
        }
    }

    fn keep(&self, signers: Vec<Result<Address, SealFault>>) {
        match self {
            Self::Bft(block) => block.keep(signers),
            Self::Clique(block) => block.keep(signers),
            Self::Unsealed(_) => {}
        }
    }
}

impl EvmLightClient {
    /// Reads the header of a step by the kind of the anchor.
    pub(super) fn read(&self, step: &Step) -> Result<Candidate, Rejection> {
        let header = parse_step(step)?;
        Ok(match self.anchor.consensus {
            Consensus::Bft(kind) => Candidate::Bft(kind.read(header)?),
            Consensus::Clique => Candidate::Clique(clique::Block::read(header)?),
            Consensus::Unsealed => Candidate::Unsealed(header),
        })
    }

    /// Reads up to `most` of these steps ahead, as far as they are next and the budget covers them. Nothing is spent:
    /// the judgement spends. An empty answer means that the first step is to be judged as it is.
    pub(super) fn read_ahead(
        &self,
        link: &Link,
        rules: &Rules,
        steps: &[Step],
        most: usize,
        budget: &Budget,
    ) -> Vec<Candidate> {
        let next = (link.height.saturating_add(1)..).zip(steps).take(most);
        let mut count = next.take_while(|(due, step)| step.height.get() == *due).count();
        while count > 0 && !is_covered(budget, rules, steps.get(..count).unwrap_or_default()) {
            count /= 2;
        }
        let steps = steps.get(..count).unwrap_or_default();
        let read = |step: &Step| self.read(step).ok().filter(|candidate| candidate.is_worth_recovering(rules));
        if let [step] = steps {
            let Some(candidate) = read(step) else { return Vec::new() };
            self.signers.recover(&[&candidate]);
            return vec![candidate];
        }
        let read_and_recovered = |step: &Step| {
            let candidate = read(step)?;
            candidate.hash();
            self.signers.recover_here(&candidate);
            Some(candidate)
        };
        recover::map(steps, FEW, read_and_recovered).into_iter().map_while(|candidate| candidate).collect()
    }

    /// A head says which rules hold, and only this client writes heads, so the other kind here means that a head was
    /// stored under another anchor.
    pub(super) fn of_another_anchor(&self) -> Rejection {
        let expected = format!("a head of {}", self.anchor.consensus.as_str());
        Fault::new(Reason::Anchor, expected, "a head of another kind").into()
    }
}

/// Headers that one thread reads rather than share: four headers of four seals are worth one thread.
const FEW: usize = 4;

/// Whether all of these headers could be judged. Each has at most a seal of every validator and a proposer's.
fn is_covered(budget: &Budget, rules: &Rules, steps: &[Step]) -> bool {
    let seals = match rules {
        Rules::Bft(state) => state.validators().len().saturating_add(1),
        Rules::Clique(_) => 1,
        Rules::Unsealed => 0,
    };
    let bytes: usize = steps.iter().map(|step| step.bytes.len()).sum();
    let mut rest = budget.clone();
    rest.signatures(seals.saturating_mul(steps.len())).is_ok() && rest.hashed_bytes(bytes.saturating_mul(3)).is_ok()
}
