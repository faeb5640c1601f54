//! Reorganisations: a branch that leaves what is trusted, on ledgers whose blocks are not final.
//!
//! A branch is followed when it leaves within the window, is confirmed by itself, and its confirmed blocks outweigh the
//! trusted ones that it undoes (on Clique by difficulty, where nobody seals by their number). Deeper ones are refused:
//! then an operator decides. Ledgers whose blocks are final have no window, so nothing here ever answers for them.

use super::judge::at;
use super::{EvmLightClient, Head, Trusted};
use crate::fault::{Fault, Reason};
use crate::header::Header;
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Advance, Budget, Rejection, Shortfall, Step};
use hufu_schemas_core::{Height, Timestamp};

impl EvmLightClient {
    /// A step that does not link to the head may be of another branch: it is asked for from where it can be judged.
    pub(super) fn require_linked(&self, head: &Head, trusted: &Trusted, first: &Step) -> Result<(), Refusal> {
        let Some(base) = head.window.base() else { return Ok(()) };
        let Ok(header) = Header::parse(&first.bytes) else { return Ok(()) };
        if header.fields().parent_hash == trusted.link.hash {
            return Ok(());
        }
        Err(Shortfall::Headers { from: Height::new(base.link.height.saturating_add(1)) }.into())
    }

    /// Judges steps that begin at the window's first height or below, where they leave what is trusted; `None` where they
    /// do not.
    pub(super) fn branch(
        &self,
        head: &Head,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Option<Advance<Head>>, Refusal> {
        let (Some(base), Some(trusted)) = (head.window.base(), &head.trusted) else { return Ok(None) };
        let first = base.link.height.saturating_add(1);
        let steps = steps.get(steps.partition_point(|step| step.height.get() < first)..).unwrap_or_default();
        if steps.first().is_none_or(|step| step.height.get() != first) {
            return Ok(None);
        }
        budget.hashed_bytes(steps.iter().map(|step| step.bytes.len()).sum())?;
        let Some(fork) = head.window.fork(steps) else { return Ok(None) };
        self.require_fresh(&trusted.link, now)?;
        let firm = head.window.firm(self.anchor.reorganisation_limit).unwrap_or(trusted.link.height);
        if fork.from <= firm || (fork.from == first && !links(steps.first(), base)) {
            return Err(too_deep(firm, fork.from));
        }
        let (mut judged, _) = self.judge(base, steps, now, budget)?;
        judged.truncate(self.settled(&judged).unwrap_or(0));
        let shared = usize::try_from(fork.from.saturating_sub(first)).unwrap_or(usize::MAX);
        let branch = judged.get(shared..).unwrap_or_default();
        let weight = branch.iter().map(|block| block.weight).sum();
        let Some(last) = branch.last().filter(|_| weight > fork.weight) else {
            let from = Height::new(fork.from);
            return Err(Shortfall::Branch { from, have: weight, need: fork.weight }.into());
        };
        let mut window = head.window.clone();
        window.cut(fork.from);
        window.extend(branch, self.anchor.reorganisation_limit);
        let trusted = Trusted { link: last.link, rules: last.rules.clone() };
        let blocks = judged.drain(..).skip(shared).map(|block| block.facts).collect();
        Ok(Some(Advance { head: Head { trusted: Some(trusted), window }, blocks }))
    }
}

fn links(step: Option<&Step>, base: &Trusted) -> bool {
    let header = step.and_then(|step| Header::parse(&step.bytes).ok());
    header.is_some_and(|header| header.fields().parent_hash == base.link.hash)
}

fn too_deep(firm: u64, from: u64) -> Refusal {
    let expected = format!("a branch that leaves after block {firm}; an operator may anchor the ledger on another one");
    let fault = Fault::new(Reason::TooDeep, expected, format!("one that differs from block {from} on"));
    at(Rejection::from(fault).into(), Height::new(from))
}
