//! The heartbeat of one lane. The origin of an idle lane signs a new checkpoint now and then (design, decision 12); no page
//! takes it along, and without it the destination's records of the lane grow stale.

use bytes::Bytes;
use hufu_schemas_core::LaneId;

use crate::answers::{InboxState, size_of_note};
use crate::metrics::Outcome;
use crate::route::Route;
use crate::trouble::{Remedy, Trouble};

/// The memory of one lane's task about its checkpoints.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    /// The note that the destination took last.
    delivered: Option<Bytes>,
}

impl Heartbeat {
    /// Carries the origin's checkpoint across if it is another than the last. `size` is what the destination has. Returns
    /// what the destination says that it has then.
    pub(crate) async fn beat(
        &mut self,
        lane: &LaneId,
        route: &Route,
        size: u64,
    ) -> Result<Option<InboxState>, Trouble> {
        match self.carry(lane, route, size).await {
            Err(trouble) => {
                if trouble.remedy() != Remedy::Stop {
                    route.metrics.checkpoint(Outcome::Failed(trouble.reason()));
                }
                // A lane without a checkpoint, or a gateway that does not take any: pages go on all the same.
                if trouble.is_missing() { Ok(None) } else { Err(trouble) }
            }
            carried => carried,
        }
    }

    async fn carry(&mut self, lane: &LaneId, route: &Route, size: u64) -> Result<Option<InboxState>, Trouble> {
        let Some(note) = route.origin.checkpoint(lane).await? else { return Ok(None) };
        if self.delivered.as_ref() == Some(&note) || claims_more(&note, size) {
            return Ok(None);
        }
        let state = route.destination.deliver_checkpoint(lane, note.clone()).await?;
        route.metrics.checkpoint(Outcome::Admitted);
        self.delivered = Some(note);
        Ok(Some(state))
    }
}

/// Leaves came meanwhile: the page that carries them brings this checkpoint or a later one. Whatever else is wrong with a
/// note, the destination says.
fn claims_more(note: &[u8], size: u64) -> bool {
    str::from_utf8(note).ok().and_then(size_of_note).is_some_and(|claimed| claimed > size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_leaves_that_the_destination_lacks_is_left_to_their_page() {
        assert!(claims_more(b"land.example/a/1\n8\nroot\n", 7));
        for note in
            [&b"land.example/a/1\n7\nroot\n"[..], b"land.example/a/1\n6\n", b"no note", b"a\n-8\n", b"\xff\n8\n"]
        {
            assert!(!claims_more(note, 7));
        }
    }
}
