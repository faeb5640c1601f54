//! What gateways answer, as far as the courier reads it (`docs/http-api.md`, `peers`). Members it does not use may come
//! and go; pages and updates themselves are carried unread.

use hufu_schemas_core::{LaneId, LedgerId};
use serde::Deserialize;

/// `GET /v1/lanes`.
#[derive(Debug, Deserialize)]
pub(crate) struct Lanes {
    pub(crate) lanes: Vec<ShownLane>,
}

/// A lane that the origin shows to this courier.
#[derive(Debug, Deserialize)]
pub(crate) struct ShownLane {
    pub(crate) lane: LaneId,
}

/// `GET /v1/inbox/{gateway}/{slug}/{epoch}/state`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct InboxState {
    /// The next leaf wanted.
    pub(crate) size: u64,
    /// Size of the last checkpoint that the destination saw.
    #[serde(default)]
    pub(crate) seen: u64,
    #[serde(default)]
    pub(crate) frozen: bool,
    /// The lowest leaf that is held because the evidence that came with it did not close.
    #[serde(default)]
    pub(crate) evidence: Option<u64>,
}

/// Why a lane does not move on: its ledger has to come to `height` first.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) reason: String,
    #[serde(default)]
    pub(crate) ledger: Option<LedgerId>,
    #[serde(default)]
    pub(crate) height: Option<u64>,
}

/// The answer to a page. The counts are leaves.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct PageAnswer {
    /// The next leaf wanted.
    pub(crate) size: u64,
    #[serde(default)]
    pub(crate) admitted: u64,
    #[serde(default)]
    pub(crate) held: u64,
    #[serde(default)]
    pub(crate) sealed: u64,
    #[serde(default)]
    pub(crate) known: u64,
    #[serde(default)]
    pub(crate) waiting: Option<Waiting>,
    /// Size of the last checkpoint seen, where the gateway says it; without it the state is asked again.
    #[serde(default)]
    pub(crate) seen: Option<u64>,
}

impl PageAnswer {
    /// Whether another courier was faster. Leaves about no record (a definition, a coverage) are in none of the counts: a
    /// page of them is new all the same.
    pub(crate) const fn was_known(&self) -> bool {
        self.admitted == 0 && self.held == 0 && self.sealed == 0 && self.known > 0
    }
}

/// `GET /v1/inbox/ledgers`.
#[derive(Debug, Deserialize)]
pub(crate) struct InboxLedgers {
    pub(crate) ledgers: Vec<InboxLedger>,
}

/// What the destination wants of one ledger.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct InboxLedger {
    pub(crate) ledger: LedgerId,
    /// The next height wanted.
    pub(crate) wants: u64,
    #[serde(default)]
    pub(crate) frozen: bool,
    #[serde(default)]
    pub(crate) expired: bool,
}

/// The answer to updates.
#[derive(Debug, Deserialize)]
pub(crate) struct UpdatesAnswer {
    /// The next height wanted.
    pub(crate) wants: u64,
}

/// A refusal as RFC 9457 tells it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) detail: Option<String>,
}

/// The size that a page's checkpoint claims. For the gauge of how far the origin is, and for nothing else: whether it is
/// true, the destination decides.
pub(crate) fn claimed_size(page: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Head {
        checkpoint: String,
    }
    let head: Head = serde_json::from_slice(page).ok()?;
    size_of_note(&head.checkpoint)
}

/// The size that a checkpoint claims, read likewise and believed as little.
pub(crate) fn size_of_note(note: &str) -> Option<u64> {
    note.lines().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_claimed_size_is_the_second_line_of_the_note_or_nothing() {
        assert_eq!(claimed_size(br#"{"page":1,"checkpoint":"land.example/a/1\n42\nroot\n","join":[]}"#), Some(42));
        for page in [&b"{}"[..], b"not json", br#"{"checkpoint":"one line"}"#, br#"{"checkpoint":"a\n-1\n"}"#] {
            assert_eq!(claimed_size(page), None);
        }
    }

    #[test]
    fn answers_are_read_with_members_that_a_later_gateway_adds() {
        let text = r#"{"size":7,"admitted":2,"held":0,"sealed":1,"known":0,"later":true,
                       "waiting":{"reason":"nearer-header","ledger":null,"height":null}}"#;
        let answer: PageAnswer = serde_json::from_str(text).unwrap();
        assert_eq!((answer.size, answer.admitted, answer.seen), (7, 2, None));
        assert_eq!(answer.waiting.unwrap().reason, "nearer-header");
    }
}
