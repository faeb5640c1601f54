//! What a reorganisation took from a lane: which of its leaves no longer stand, found from its end backwards, and at the
//! origin taken back.

use std::collections::BTreeSet;

use hufu_gateway_store::{Role, Store, StoreError};
use hufu_gateway_verify::OriginBatch;
use hufu_gateway_verify::admission::LaneState;
use hufu_gateway_verify::page::{StandingLeaf, StandingLeaves};
use hufu_schemas_core::statement::{Leaf, Statement};
use hufu_schemas_core::{Height, LaneId};
use tracing::warn;

use crate::gateway::Gateway;
use crate::lanes::{OriginLane, random_salt, sign, signed_at};

/// Leaves read at a time, backwards.
const LEAVES_AT_A_TIME: u64 = 512;
/// Leaves that one reorganisation may take from a lane: 128 blocks of 400 events. About 300 bytes each in memory.
const UNDONE_MOST: usize = 51_200;

/// Leaves of a lane that are read in search of them, those taken back before included: four reorganisations on end.
const READ_MOST: u64 = 4 * 51_200;

/// Reads a lane backwards, leaf by leaf, past those that were taken back.
struct Backwards<'a> {
    store: &'a Store,
    lane: &'a LaneId,
    /// The next one to read is below.
    end: u64,
    read: Vec<(u64, Option<Statement>)>,
    taken_back: BTreeSet<u64>,
    /// Leaves that may still be read.
    left: u64,
    /// Whether reading ended for that reason.
    cut: bool,
}

impl<'a> Backwards<'a> {
    fn new(store: &'a Store, state: &'a LaneState) -> Self {
        let (end, left) = (state.edge.size(), READ_MOST);
        Self { store, lane: &state.lane, end, read: Vec::new(), taken_back: BTreeSet::new(), left, cut: false }
    }

    /// The next leaf below that stands and speaks of a block.
    async fn next(&mut self) -> Result<Option<StandingLeaf>, StoreError> {
        loop {
            let Some((sequence, statement)) = self.read.pop() else {
                if self.end == 0 || self.left == 0 {
                    self.cut = self.end > 0;
                    return Ok(None);
                }
                self.read_more().await?;
                continue;
            };
            let Some(statement) = statement else { continue };
            if let Leaf::Retract(retract) = statement.leaf() {
                self.taken_back.insert(retract.sequence);
            }
            if self.taken_back.remove(&sequence) {
                continue;
            }
            if let Some(leaf) = StandingLeaf::of(sequence, &statement) {
                return Ok(Some(leaf));
            }
        }
    }

    async fn read_more(&mut self) -> Result<(), StoreError> {
        let mut from = self.end.saturating_sub(LEAVES_AT_A_TIME);
        self.left = self.left.saturating_sub(self.end - from);
        let (first, end) = (from, self.end);
        while from < end {
            let room = u32::try_from(end - from).unwrap_or(u32::MAX);
            let some = self.store.leaves(self.lane, from, room).await?;
            let Some(last) = some.last().map(|leaf| leaf.index) else {
                return Err(StoreError::Corrupt { detail: format!("lane {}: leaf {from} is missing", self.lane) });
            };
            let parsed = some.iter().map(|leaf| {
                let statement = leaf.statement.as_ref().and_then(|text| Statement::parse(text.as_bytes()).ok());
                (leaf.index, statement)
            });
            self.read.extend(parsed);
            from = last.saturating_add(1);
        }
        self.end = first;
        Ok(())
    }
}

/// Leaves of a lane that stand at or above a height; `None` where they are more than a lane may take back.
pub(crate) async fn standing_from(
    store: &Store,
    state: &LaneState,
    from: Height,
) -> Result<Option<StandingLeaves>, StoreError> {
    let mut found = StandingLeaves::new();
    let mut backwards = Backwards::new(store, state);
    // Standing leaves rise.
    while let Some(leaf) = backwards.next().await?.filter(|leaf| leaf.height >= from) {
        if found.len() >= UNDONE_MOST {
            return Ok(None);
        }
        found.insert(leaf.sequence, leaf);
    }
    Ok(Some(found).filter(|_| !backwards.cut))
}

/// Takes back the leaves of a published lane whose blocks are no longer trusted; whether there were any.
pub(crate) async fn take_back(gateway: &Gateway, lane: &OriginLane, state: &LaneState) -> Result<bool, String> {
    let words = |fault: StoreError| fault.to_string();
    let mut undone = StandingLeaves::new();
    let (mut lowest, mut standing): (Option<Height>, Option<Height>) = (None, None);
    let mut backwards = Backwards::new(&gateway.store, state);
    while let Some(leaf) = backwards.next().await.map_err(words)? {
        match gateway.store.trusted_block(&leaf.ledger, leaf.height).await.map_err(words)? {
            Some(block) if block.hash() == leaf.hash => {
                standing = Some(leaf.height);
                break;
            }
            Some(_) => {}
            None if gateway.store.was_undone(&leaf.ledger, leaf.height, &leaf.hash).await.map_err(words)? => {}
            // An operator anchored the ledger anew: it says nothing of this height yet.
            None => return Err(format!("block {} is not trusted yet: the lane waits for it", leaf.height)),
        }
        if undone.len() >= UNDONE_MOST {
            return Err(format!(
                "more than {UNDONE_MOST} leaves stand on undone blocks: begin a new epoch of the lane"
            ));
        }
        lowest = Some(lowest.map_or(leaf.lowest, |lowest| lowest.min(leaf.lowest)));
        undone.insert(leaf.sequence, leaf);
    }
    if backwards.cut {
        return Err(format!("the last {READ_MOST} leaves were all taken back: begin a new epoch of the lane"));
    }
    let Some(lowest) = lowest else { return Ok(false) };
    // A `covered` leaf may begin below leaves that stand: what they speak of is read already.
    let from = standing.and_then(Height::next).map_or(lowest, |above| above.max(lowest));
    let now = gateway.clock.now();
    let mut batch = OriginBatch::new(&lane.reader, state.clone(), now, random_salt);
    batch.take_back(from, &undone).map_err(|fault| fault.to_string())?;
    let admission = batch.finish();
    let edge = admission.after().edge.clone();
    let admitted = gateway.store.admit(Role::Origin, &admission, now).await.map_err(words)?;
    gateway.metrics.admitted(&lane.id, Role::Origin, &admitted);
    warn!(lane = %lane.id, %from, leaves = undone.len(), records = admitted.retracted, "the ledger reorganised: leaves are taken back, and the lane goes on with the other branch");
    sign(gateway, &lane.id, &edge, signed_at(state), now).await?;
    Ok(true)
}
