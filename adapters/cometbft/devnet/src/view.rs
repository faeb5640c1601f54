//! The ledger as one node tells it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::app::{Event, State, TxResult};
use crate::block::Block;
use crate::chain::{Chain, is_quorum};
use crate::commit::{Commit, CommitSig, Flag};
use crate::misbehave::Misbehave;
use crate::validators::ValidatorSet;

/// What one node holds, and how it lies about it.
pub(crate) struct View<'a> {
    pub(crate) chain: &'a Chain,
    /// A second block of one height, shown in place of the ledger's own.
    pub(crate) sibling: Option<Arc<Block>>,
    pub(crate) faults: &'a [Misbehave],
    pub(crate) node: usize,
    pub(crate) port: u16,
}

impl View<'_> {
    pub(crate) fn height(&self) -> u64 {
        let all = self.chain.height();
        self.faults.iter().fold(all, |height, fault| match fault {
            Misbehave::Lagging { by } => height.min(all.saturating_sub(*by).max(1)),
            Misbehave::Stalled { at } => height.min((*at).max(1)),
            _ => height,
        })
    }

    /// The lowest height whose block is kept.
    pub(crate) fn base(&self) -> u64 {
        self.faults.iter().fold(1, |base, fault| match fault {
            Misbehave::Pruned { base: kept } => base.max(*kept).min(self.height()),
            _ => base,
        })
    }

    pub(crate) fn block(&self, height: u64) -> Option<&Block> {
        if !(self.base()..=self.height()).contains(&height) {
            return None;
        }
        match &self.sibling {
            Some(sibling) if sibling.header.height == height => Some(sibling),
            _ => self.chain.at(height).map(|block| &**block),
        }
    }

    /// The votes for a block.
    pub(crate) fn commit<'b>(&self, block: &'b Block) -> Cow<'b, Commit> {
        let mut commit = Cow::Borrowed(&block.commit);
        for fault in self.faults {
            match fault {
                Misbehave::CommitBelowQuorum { from } if block.header.height >= *from => {
                    below_quorum(commit.to_mut(), &block.validators);
                }
                Misbehave::ForgedSignature { from } if block.header.height >= *from => {
                    let mut votes = commit.to_mut().signatures.iter_mut();
                    let first = votes.find(|entry| entry.flag == Flag::Commit);
                    if let Some(bit) = first.and_then(|entry| entry.signature.first_mut()) {
                        *bit ^= 1;
                    }
                }
                _ => {}
            }
        }
        commit
    }

    /// Who votes at a height, as `/validators` says.
    pub(crate) fn validators(&self, height: u64) -> Option<&ValidatorSet> {
        let shown = self.faults.iter().find_map(|fault| match fault {
            Misbehave::OldValidators { from, of } if height >= *from => Some(*of),
            _ => None,
        });
        self.chain.validators_at(shown.unwrap_or(height))
    }

    pub(crate) fn txs<'b>(&self, block: &'b Block) -> &'b [Vec<u8>] {
        let kept = self.told(block, block.txs.len());
        block.txs.get(..kept).unwrap_or_default()
    }

    pub(crate) fn results<'b>(&self, block: &'b Block) -> Cow<'b, [TxResult]> {
        let kept = self.told(block, block.results.len());
        let mut results = Cow::Borrowed(block.results.get(..kept).unwrap_or_default());
        let altered =
            |fault: &Misbehave| matches!(fault, Misbehave::AlteredResults { from } if block.header.height >= *from);
        if self.faults.iter().any(altered)
            && let Some(first) = results.to_mut().first_mut()
        {
            first.code ^= 1;
            first.events = vec![Event { kind: "forged".to_owned(), attributes: Vec::new() }];
        }
        results
    }

    fn told(&self, block: &Block, count: usize) -> usize {
        let omits = |fault: &Misbehave| matches!(fault, Misbehave::OmittedTransactions { from } if block.header.height >= *from);
        if self.faults.iter().any(omits) { count.saturating_sub(1) } else { count }
    }

    /// The state after a height, where it is still kept: the height and the state. 0 is the last height.
    pub(crate) fn state(&self, height: u64) -> Option<(u64, &State)> {
        let height = if height == 0 { self.height() } else { height };
        let kept = (self.base()..=self.height()).contains(&height);
        self.chain.state_at(height).filter(|_| kept).map(|state| (height, state))
    }

    pub(crate) fn oldest_state(&self) -> u64 {
        self.base().max(self.chain.oldest_state())
    }

    pub(crate) fn has(&self, wanted: impl Fn(&Misbehave) -> bool) -> bool {
        self.faults.iter().any(wanted)
    }
}

/// Takes the last votes away until no more than two thirds of the power are left.
fn below_quorum(commit: &mut Commit, validators: &ValidatorSet) {
    let total = validators.total();
    let voted = |entry: &CommitSig| entry.flag == Flag::Commit;
    let powers = || validators.validators().iter().map(|validator| validator.power);
    let votes = commit.signatures.iter().zip(powers()).filter(|(entry, _)| voted(entry));
    let mut voting: i64 = votes.map(|(_, power)| power).sum();
    for (entry, power) in commit.signatures.iter_mut().zip(powers()).rev() {
        if !is_quorum(voting, total) {
            return;
        }
        if voted(entry) {
            *entry = CommitSig::absent();
            voting -= power;
        }
    }
}
