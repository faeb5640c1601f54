//! What became of mutations, counted by subject, by mutation and by reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What became of one mutation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// With this reason.
    Refused(&'static str),
    /// It says what the valid one says.
    Equal,
    /// It asks about another root, one that no header names, and says what an independent reader reads under that root.
    OtherRoot,
    /// It was accepted and says something else: the fault that is looked for.
    Wrong(String),
}

/// One mutated subject: a name for its kind, the mutations made, what became of it.
pub(crate) struct Outcome {
    /// Of the four: proof, answer, whole receipts, header.
    pub(crate) group: &'static str,
    pub(crate) subject: &'static str,
    pub(crate) made: Vec<&'static str>,
    pub(crate) verdict: Verdict,
    /// Whether nodes were linked again under a root of their own, and closed there as an independent reader says.
    pub(crate) forged_closes: bool,
}

#[derive(Default)]
pub(crate) struct Report {
    total: u64,
    equal: u64,
    other_root: u64,
    forged: u64,
    reasons: BTreeMap<&'static str, u64>,
    /// By group and mutation: made, accepted.
    kinds: BTreeMap<(&'static str, &'static str), (u64, u64)>,
    subjects: BTreeMap<&'static str, u64>,
    pub(crate) wrong: Vec<String>,
}

impl Report {
    pub(crate) fn add(&mut self, outcome: &Outcome) {
        self.total += 1;
        *self.subjects.entry(outcome.subject).or_default() += 1;
        self.forged += u64::from(outcome.forged_closes);
        let accepted = match &outcome.verdict {
            Verdict::Refused(reason) => {
                *self.reasons.entry(reason).or_default() += 1;
                0
            }
            Verdict::Equal => {
                self.equal += 1;
                1
            }
            Verdict::OtherRoot => {
                self.other_root += 1;
                1
            }
            Verdict::Wrong(what) => {
                self.wrong.push(format!("{}, {}: {what}", outcome.subject, outcome.made.join(" + ")));
                1
            }
        };
        for mutation in &outcome.made {
            let kind = self.kinds.entry((outcome.group, mutation)).or_default();
            kind.0 += 1;
            kind.1 += accepted;
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.total += other.total;
        self.equal += other.equal;
        self.other_root += other.other_root;
        self.forged += other.forged;
        self.wrong.extend(other.wrong);
        other.reasons.into_iter().for_each(|(reason, count)| *self.reasons.entry(reason).or_default() += count);
        other.subjects.into_iter().for_each(|(subject, count)| *self.subjects.entry(subject).or_default() += count);
        for (kind, (made, accepted)) in other.kinds {
            let sum = self.kinds.entry(kind).or_default();
            sum.0 += made;
            sum.1 += accepted;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn refused(&self) -> u64 {
        self.reasons.values().sum()
    }

    /// How many different reasons were given.
    pub(crate) fn reasons(&self) -> usize {
        self.reasons.len()
    }

    /// The figures. One outcome may be made by several mutations, of which each is counted.
    pub(crate) fn words(&self) -> String {
        let mut words = format!(
            "{} mutations: {} refused, {} accepted and equal in meaning, {} under a root that no header names and read \
             there as the oracle reads them, {} accepted and wrong\n{} more closed under a root of their own, linked \
             again, as the oracle reads them\n",
            self.total,
            self.refused(),
            self.equal,
            self.other_root,
            self.wrong.len(),
            self.forged,
        );
        for (subject, count) in &self.subjects {
            let _ = writeln!(words, "  {count:>9}  {subject}");
        }
        words += "reasons:\n";
        for (reason, count) in &self.reasons {
            let _ = writeln!(words, "  {count:>9}  {reason}");
        }
        words += "mutations made (and how many of the outcomes were accepted):\n";
        for ((group, mutation), (made, accepted)) in &self.kinds {
            let _ = writeln!(words, "  {made:>9}  ({accepted})  {group}: {mutation}");
        }
        words
    }
}
