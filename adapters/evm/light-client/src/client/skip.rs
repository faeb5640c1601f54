//! Skipping: from a trusted block to a higher one without the headers between, where the operator's anchor allows it.
//!
//! A block above the next one is believed when all of this holds; docs/evm.md says why, and when it is not safe:
//! - the anchor says `skipping`, which only QBFT and IBFT 2.0 may;
//! - the trusted block is not genesis, and may still be extended at the caller's time;
//! - the trusted block is at least [`SKIP_AFTER_SECONDS`] old by the caller's clock;
//! - the higher block is at most [`MAX_SKIP_SECONDS`] later, and at most as many blocks higher as it is seconds later;
//! - ceil(2n/3) of its own list sealed it, as always;
//! - and enough distinct validators of the *trusted* set are among those who sealed it ([`Share::need`]).
//!
//! After a skip the pending votes are as unknown as at an anchor. So where skipping is on, a next block whose list the
//! votes that were seen do not explain is judged by the last rule too.
//!
//! [`Share::need`]: crate::anchor::Share::need

use super::ahead::Candidate;
use super::{EvmLightClient, Judged, Rules};
use crate::anchor::Skipping;
use crate::bft;
use crate::block_state::Sealing;
use crate::fault::{Fault, Reason};
use crate::header::Link;
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Budget, Rejection, Shortfall, Step};
use hufu_schemas_core::{Height, Timestamp};

/// How far a skip may lead, in seconds of the ledger's own time: four weeks. An operator may let heads live longer than
/// that through an outage; the share of a validator set that still stands for it after so long is another matter.
pub const MAX_SKIP_SECONDS: u64 = 28 * 86_400;

/// How old the trusted block must be before anything above the next block is looked at: an hour. A block that is passed
/// over is never trusted, and its records wait for an operator for ever. A head that keeps up needs no skip; if it could
/// be made to skip, any courier who holds no key could bury a revocation by bringing the newest header first.
pub const SKIP_AFTER_SECONDS: u64 = 3_600;

impl EvmLightClient {
    /// Judges a block that is higher than the next one.
    pub(super) fn judge_skip(
        &self,
        link: &Link,
        rules: &Rules,
        step: &Step,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Judged, Refusal> {
        let due = link.height.saturating_add(1);
        let nearer = || Refusal::from(Shortfall::Headers { from: Height::new(due) });
        let (Skipping::On(_), Rules::Bft(state)) = (self.anchor.skipping, rules) else { return Err(nearer()) };
        if link.height == 0 || step.height.get() <= due {
            return Err(nearer());
        }
        self.require_fresh(link, now)?;
        if now.seconds() < link.time.saturating_add(SKIP_AFTER_SECONDS) {
            return Err(nearer());
        }
        budget.hashed_bytes(step.bytes.len())?;
        let candidate = self.read(step)?;
        let Candidate::Bft(block) = &candidate else { return Err(self.of_another_anchor().into()) };
        check_distance(link, block)?;
        let later = block.header().fields().timestamp.saturating_sub(link.time);
        if later > MAX_SKIP_SECONDS {
            return Err(nearer());
        }
        let after = self.after_skip(state, block, budget)?.ok_or_else(nearer)?;
        let sealing = Sealing::Bft(bft::set_digest(block.validators()));
        self.judged(&candidate, None, sealing, Rules::Bft(after), None, now)
    }

    /// The state after the next block. Its list is what the votes lead to; where skipping is on some of them may be
    /// unknown, and then it is judged as one that was skipped to.
    pub(super) fn after_next(
        &self,
        state: &bft::State,
        block: &bft::Block,
        budget: &mut Budget,
    ) -> Result<bft::State, Rejection> {
        if self.anchor.skipping.is_on()
            && !state.expects(block.validators())
            && let Some(after) = self.after_skip(state, block, budget)?
        {
            return Ok(after);
        }
        state.advance(block, self.anchor.epoch, budget)
    }

    fn after_skip(
        &self,
        state: &bft::State,
        block: &bft::Block,
        budget: &mut Budget,
    ) -> Result<Option<bft::State>, Rejection> {
        let Skipping::On(share) = self.anchor.skipping else { return Ok(None) };
        let need = |validators| share.need(validators);
        if !state.may_vouch(block.validators(), need) {
            return Ok(None);
        }
        block.check_seal_count()?;
        // Looked at before it is spent, because it is spent where it is judged.
        budget.clone().signatures(block.validators().len())?;
        self.signers.recover(&[block]);
        state.skip(block, self.anchor.epoch, need, budget)
    }
}

/// Every block is later than the one before it by a second at least, so no ledger that could be followed is higher.
fn check_distance(link: &Link, block: &bft::Block) -> Result<(), Rejection> {
    let fields = block.header().fields();
    let higher = fields.number.saturating_sub(link.height);
    let later = fields.timestamp.saturating_sub(link.time);
    if later < higher {
        let due = format!("a time at least {higher} s after {}", link.time);
        return Err(Fault::new(Reason::Time, due, fields.timestamp).into());
    }
    Ok(block.header().check_gas()?)
}
