//! How far a receiver has derived a lane's blocks by itself: in which of them it knows every match, and found each one
//! among the leaves (design, decision 3). Derived block by block as leaves come, never afterwards.
//!
//! A lane's blocks fall into stretches, each closed by a `covered` leaf. A stretch is derived whole, or it counts as
//! `log` from the first block that could not be judged to its end, and is shown as a [`Gap`]; the next stretch begins
//! anew. So one block whose receipts are too large to travel, or one courier that brings none, devalues a stretch and not
//! the lane for ever; whoever needs more than that asks that the run begin where the lane does.

use hufu_schemas_core::Height;
use serde::{Deserialize, Serialize};

use crate::assurance::Completeness;

/// Runs remembered, the newest: a held leaf that is tried again later finds its own among them. A lane without gaps has
/// one; 64 pairs of heights are 2 KiB of a lane's state.
pub const RUNS_MOST: usize = 64;

/// What was derived of a lane.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Derivation {
    /// Rising. The last one still grows unless the stretch is broken.
    runs: Vec<Run>,
    /// Items that matched in finished blocks of this stretch.
    matched: u64,
    /// Why the rest of this stretch is not derived.
    broken: Option<String>,
    /// The newest stretch that counts as `log`.
    gap: Option<Gap>,
}

/// Blocks without a gap between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    from: Height,
    /// Every match of the blocks below is a leaf; while the run grows, of this block every one up to the lane's last leaf.
    next: Height,
}

/// Blocks that count as `log`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The stretch's first block; those before the one that could not be judged were derived.
    pub from: Height,
    /// The stretch's last block.
    pub to: Height,
    /// The label of what could not be judged.
    pub reason: String,
}

impl Derivation {
    /// Why the rest of the present stretch is not derived, if it is not.
    pub fn broken(&self) -> Option<&str> {
        self.broken.as_deref()
    }

    /// The newest stretch that counts as `log`.
    pub const fn gap(&self) -> Option<&Gap> {
        self.gap.as_ref()
    }

    /// First and last block of the newest run that holds a block.
    pub fn run(&self) -> Option<(Height, Height)> {
        let run = self.runs.iter().rev().find(|run| run.from < run.next)?;
        Some((run.from, Height::new(run.next.get().saturating_sub(1))))
    }

    /// What is known of a record that stands at this height, at or before the lane's last leaf.
    pub fn completeness_at(&self, height: Height) -> Completeness {
        let growing = if self.broken.is_none() { self.runs.last() } else { None };
        let within = |run: &Run| run.from <= height && height < run.next;
        let at_its_end = growing.is_some_and(|run| run.from <= height && height == run.next);
        if at_its_end || self.runs.iter().any(within) { Completeness::Ledger } else { Completeness::Log }
    }

    /// The next block to derive; `None` while broken, and before the lane's first leaf about a block.
    pub(crate) fn frontier(&self) -> Option<Height> {
        if self.broken.is_some() { None } else { self.runs.last().map(|run| run.next) }
    }

    /// Whether the growing run holds the stretch that begins at `from` from its first block on: only then is its count known.
    pub(crate) fn spans(&self, from: Height) -> bool {
        self.broken.is_none() && self.runs.last().is_some_and(|run| run.from <= from)
    }

    /// Items that matched in this stretch so far.
    pub(crate) const fn matched(&self) -> u64 {
        self.matched
    }

    /// Begins the lane's first run.
    pub(crate) fn begin(&mut self, at: Height) {
        self.runs.push(Run { from: at, next: at });
    }

    /// The block at the frontier is done: `matched` items, each of whose readings is a leaf.
    pub(crate) fn finish(&mut self, matched: u64) {
        if let Some(run) = self.runs.last_mut() {
            run.next = after(run.next);
            self.matched = self.matched.saturating_add(matched);
        }
    }

    /// From here on the stretch counts as `log`. The first reason stays.
    pub(crate) fn break_off(&mut self, reason: &str) {
        self.broken.get_or_insert_with(|| reason.to_owned());
    }

    /// A `covered` leaf closes the stretch `from..=to`; `last` is the highest block that any leaf so far is about.
    pub(crate) fn close(&mut self, from: Height, to: Height, last: Height) {
        self.matched = 0;
        let whole = self.frontier().is_some_and(|next| next >= after(to));
        if whole {
            return;
        }
        let reason = self.broken.take().unwrap_or_else(|| "not-derived".to_owned());
        self.gap = Some(Gap { from, to, reason });
        self.runs.retain(|run| run.from < run.next);
        // Leaves beyond the coverage were not compared with their blocks.
        self.begin(after(to.max(last)));
        let surplus = self.runs.len().saturating_sub(RUNS_MOST);
        self.runs.drain(..surplus);
    }

    /// The lane goes on at `from`: a reorganisation undid that block and those above, and their leaves are taken back.
    pub fn rewind(&mut self, from: Height) {
        (self.matched, self.broken) = (0, None);
        self.runs.iter_mut().for_each(|run| run.next = run.next.min(from));
        self.runs.retain(|run| run.from < run.next);
        if self.runs.last().is_none_or(|run| run.next != from) {
            self.begin(from);
        }
    }
}

fn after(height: Height) -> Height {
    height.next().unwrap_or(height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(height: u64) -> Height {
        Height::new(height)
    }

    fn known(derivation: &Derivation) -> Vec<u64> {
        (0..40).filter(|height| derivation.completeness_at(at(*height)) == Completeness::Ledger).collect()
    }

    #[test]
    fn a_break_lasts_to_the_end_of_its_stretch_and_is_shown() {
        let mut derivation = Derivation::default();
        assert_eq!((known(&derivation), derivation.run()), (vec![], None));
        derivation.begin(at(1));
        (1..=4).for_each(|_| derivation.finish(2));
        assert_eq!((known(&derivation), derivation.matched()), (vec![1, 2, 3, 4, 5], 8));
        derivation.break_off("evidence-missing");
        derivation.break_off("another");
        assert_eq!((known(&derivation), derivation.frontier()), (vec![1, 2, 3, 4], None));
        derivation.close(at(1), at(10), at(9));
        let gap = Gap { from: at(1), to: at(10), reason: "evidence-missing".into() };
        assert_eq!((derivation.gap(), derivation.frontier(), derivation.matched()), (Some(&gap), Some(at(11)), 0));
        derivation.finish(0);
        assert_eq!(known(&derivation), [1, 2, 3, 4, 11, 12]);
        assert_eq!(derivation.run(), Some((at(11), at(11))));
        derivation.close(at(11), at(11), at(11));
        assert_eq!(derivation.gap(), Some(&gap), "nothing new");
    }

    #[test]
    fn after_a_gap_it_goes_on_beyond_every_leaf_that_was_not_compared() {
        let mut derivation = Derivation::default();
        derivation.begin(at(1));
        derivation.break_off("sealed-leaf");
        derivation.close(at(1), at(10), at(25));
        assert_eq!((derivation.frontier(), known(&derivation)), (Some(at(26)), vec![26]));
    }

    #[test]
    fn a_lane_that_goes_back_derives_the_other_branch_anew() {
        let mut derivation = Derivation::default();
        derivation.begin(at(1));
        (1..=9).for_each(|_| derivation.finish(1));
        derivation.rewind(at(6));
        assert_eq!(
            (derivation.frontier(), derivation.matched(), derivation.run()),
            (Some(at(6)), 0, Some((at(1), at(5))))
        );
        derivation.break_off("x");
        derivation.rewind(at(3));
        assert_eq!((derivation.frontier(), known(&derivation)), (Some(at(3)), vec![1, 2, 3]));
    }

    #[test]
    fn runs_are_bounded() {
        let mut derivation = Derivation::default();
        derivation.begin(at(1));
        for stretch in 0..1_000 {
            derivation.finish(0);
            derivation.break_off("x");
            derivation.close(at(stretch * 2 + 1), at(stretch * 2 + 2), at(0));
        }
        assert_eq!(derivation.runs.len(), RUNS_MOST);
        assert_eq!(derivation.run(), Some((at(1_999), at(1_999))));
    }
}
