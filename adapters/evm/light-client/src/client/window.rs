//! The way back: what was trusted lately on a ledger that may reorganise, so that a better branch can be judged.
//!
//! Rules are kept at two marks, at least [`Anchor::reorganisation_limit`](crate::Anchor) blocks apart; between them the
//! hashes alone. A branch is therefore brought and judged from the lower mark on, the blocks that it shares with what is
//! trusted included. That costs a few hundred headers when a ledger reorganises, and nothing while it does not.

use super::{Judged, Trusted};
use crate::keccak::Hash32;
use hufu_adapters_light_client::Step;
use serde::{Deserialize, Serialize};

/// What was trusted lately. Empty where blocks are final.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Window {
    /// At most two blocks with the rules on top of them, rising. The first may be the anchor; nothing below it returns.
    marks: Vec<Trusted>,
    /// The blocks above the first mark up to the head, in order: hash and weight.
    past: Vec<(Hash32, u64)>,
}

/// Where a delivery leaves what is trusted.
pub(super) struct Fork {
    /// The first height at which it is another block.
    pub(super) from: u64,
    /// The weight of the trusted blocks from there on.
    pub(super) weight: u64,
}

impl Window {
    /// Begins at a trusted block.
    pub(super) fn at(base: &Trusted) -> Self {
        Self { marks: vec![base.clone()], past: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// What a branch is judged from.
    pub(super) fn base(&self) -> Option<&Trusted> {
        self.marks.first()
    }

    /// The lowest height that stays whatever branch comes.
    pub(super) fn firm(&self, limit: u64) -> Option<u64> {
        let base = self.base()?.link.height;
        let last = base.saturating_add(u64::try_from(self.past.len()).unwrap_or(u64::MAX));
        Some(base.max(last.saturating_sub(limit)))
    }

    /// Takes in blocks that became trusted, on top of the last one.
    pub(super) fn extend(&mut self, judged: &[Judged], limit: u64) {
        for block in judged {
            self.past.push((block.link.hash, block.weight));
            let due = self.marks.last().map(|mark| mark.link.height.saturating_add(limit.max(1)));
            if due.is_some_and(|due| block.link.height >= due) {
                self.marks.push(Trusted { link: block.link, rules: block.rules.clone() });
            }
            if self.marks.len() > 2 {
                self.forget_lowest();
            }
        }
    }

    fn forget_lowest(&mut self) {
        let lowest = self.marks.remove(0).link.height;
        let next = self.marks.first().map_or(lowest, |mark| mark.link.height);
        let gone = usize::try_from(next.saturating_sub(lowest)).unwrap_or(usize::MAX).min(self.past.len());
        self.past.drain(..gone);
    }

    /// Forgets the blocks from a height on, which is above the first mark.
    pub(super) fn cut(&mut self, from: u64) {
        self.marks.retain(|mark| mark.link.height < from);
        let base = self.base().map_or(from, |mark| mark.link.height);
        let keep = from.saturating_sub(base).saturating_sub(1);
        self.past.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
    }

    /// Where steps that begin right above the first mark leave what is trusted; `None` where they do not.
    pub(super) fn fork(&self, steps: &[Step]) -> Option<Fork> {
        let base = self.base()?.link.height;
        // Only kinds whose blocks are named by the hash of their bytes reorganise.
        let differs =
            self.past.iter().zip(steps).position(|((hash, _), step)| crate::keccak256(&step.bytes) != *hash)?;
        let weight = self.past.iter().skip(differs).map(|(_, weight)| weight).sum();
        Some(Fork { from: base.saturating_add(1).saturating_add(u64::try_from(differs).ok()?), weight })
    }
}
