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

/// The reason of a gap where none is known.
const NOT_DERIVED: &str = "not-derived";

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
        Some((run.from, before(run.next)))
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
        let reason = self.broken.take().unwrap_or_else(|| NOT_DERIVED.to_owned());
        self.gap = Some(Gap { from, to, reason });
        self.runs.retain(|run| run.from < run.next);
        // Leaves beyond the coverage were not compared with their blocks.
        self.begin(after(to.max(last)));
        let surplus = self.runs.len().saturating_sub(RUNS_MOST);
        self.runs.drain(..surplus);
    }

    /// The lane goes on at `from`: a reorganisation undid that block and those above, and their leaves are taken back.
    /// `stretch` is the first block that is not covered then. Below `from` nothing was undone: what could not be judged
    /// there still counts as `log`.
    pub fn rewind(&mut self, from: Height, stretch: Option<Height>) {
        let broke_below = self.broken.is_some() && self.runs.last().is_none_or(|run| run.next < from);
        if !broke_below {
            self.broken = None;
        }
        self.runs.iter_mut().for_each(|run| run.next = run.next.min(from));
        self.runs.retain(|run| run.from <= run.next);
        self.cut_gap(from);
        if stretch.is_some_and(|stretch| stretch < from) {
            // The first part of the stretch stands. How many of its matches were above `from` is not remembered.
            if self.matched > 0 {
                self.break_off("reorganised");
            }
            return;
        }
        (self.matched, self.broken) = (0, None);
        self.runs.retain(|run| run.from < run.next);
        self.show_hole_below(from);
        if self.runs.last().is_none_or(|run| run.next != from) {
            self.begin(from);
        }
    }

    /// A gap reaches no further than the blocks that stand.
    fn cut_gap(&mut self, from: Height) {
        let standing = self.gap.take().filter(|gap| gap.from < from);
        self.gap = standing.map(|gap| Gap { to: gap.to.min(before(from)), ..gap });
    }

    /// Where the newest gap was undone, the one before it is the newest: its blocks are known, its reason no more.
    fn show_hole_below(&mut self, from: Height) {
        let Some(next) = self.runs.last().map(|run| run.next).filter(|next| *next < from) else { return };
        let to = before(from);
        if self.gap.as_ref().is_none_or(|gap| gap.to < to) {
            self.gap = Some(Gap { from: next, to, reason: NOT_DERIVED.to_owned() });
        }
    }
}

fn before(height: Height) -> Height {
    Height::new(height.get().saturating_sub(1))
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
        derivation.rewind(at(6), Some(at(6)));
        assert_eq!(
            (derivation.frontier(), derivation.matched(), derivation.run()),
            (Some(at(6)), 0, Some((at(1), at(5))))
        );
        derivation.break_off("x");
        derivation.rewind(at(3), Some(at(3)));
        assert_eq!((derivation.frontier(), known(&derivation)), (Some(at(3)), vec![1, 2, 3]));
    }

    /// Blocks 1 to 4 are derived with three matches, and the rest of the stretch that begins at 1 is not.
    fn broken_at_5() -> Derivation {
        let mut derivation = Derivation::default();
        derivation.begin(at(1));
        (1..=4).for_each(|height| derivation.finish(u64::from(height != 4)));
        derivation.break_off("evidence-missing");
        derivation
    }

    #[test]
    fn going_back_within_a_stretch_does_not_hide_what_was_not_derived_of_it() {
        let mut derivation = broken_at_5();
        derivation.rewind(at(8), Some(at(1)));
        assert_eq!((derivation.broken(), derivation.frontier()), (Some("evidence-missing"), None));
        assert_eq!(known(&derivation), [1, 2, 3, 4], "blocks 5 to 7 stand, so what follows in the stretch is `log`");
        derivation.close(at(1), at(10), at(10));
        let gap = Gap { from: at(1), to: at(10), reason: "evidence-missing".into() };
        assert_eq!((derivation.gap(), derivation.frontier()), (Some(&gap), Some(at(11))));
    }

    #[test]
    fn going_back_below_where_a_stretch_was_broken_leaves_its_count_unknown() {
        let mut derivation = broken_at_5();
        derivation.rewind(at(3), Some(at(1)));
        assert_eq!(
            (derivation.broken(), known(&derivation)),
            (Some("reorganised"), vec![1, 2]),
            "no count is compared"
        );
        // Where nothing had matched yet, nothing is unknown.
        let mut quiet = Derivation::default();
        quiet.begin(at(1));
        (1..=4).for_each(|_| quiet.finish(0));
        quiet.break_off("block-differs");
        quiet.rewind(at(3), Some(at(1)));
        assert_eq!((quiet.broken(), quiet.frontier(), quiet.spans(at(1))), (None, Some(at(3)), true));
    }

    #[test]
    fn a_gap_is_shown_as_far_as_its_blocks_stand() {
        let mut derivation = broken_at_5();
        derivation.close(at(1), at(10), at(10));
        (11..=14).for_each(|_| derivation.finish(1));
        let gap = |to| Gap { from: at(1), to: at(to), reason: "evidence-missing".into() };
        derivation.rewind(at(13), Some(at(13)));
        assert_eq!((derivation.gap(), derivation.frontier()), (Some(&gap(10)), Some(at(13))), "it is older");
        derivation.rewind(at(8), Some(at(8)));
        assert_eq!((derivation.gap(), known(&derivation)), (Some(&gap(7)), vec![1, 2, 3, 4, 8]));
        derivation.rewind(at(5), Some(at(5)));
        assert_eq!((derivation.gap(), known(&derivation)), (Some(&gap(4)), vec![1, 2, 3, 4, 5]));
        derivation.rewind(at(1), Some(at(1)));
        assert_eq!((derivation.gap(), derivation.frontier()), (None, Some(at(1))));
    }

    #[test]
    fn a_gap_below_one_that_was_undone_comes_to_light_again() {
        let mut derivation = broken_at_5();
        derivation.close(at(1), at(10), at(10));
        derivation.break_off("sealed-leaf");
        derivation.close(at(11), at(20), at(20));
        assert_eq!(derivation.gap().map(|gap| gap.from), Some(at(11)));
        derivation.rewind(at(11), Some(at(11)));
        let gap = Gap { from: at(5), to: at(10), reason: "not-derived".into() };
        assert_eq!((derivation.gap(), known(&derivation)), (Some(&gap), vec![1, 2, 3, 4, 11]));
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
