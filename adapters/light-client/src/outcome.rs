//! Yes, not yet, no.

use std::fmt;

use hufu_schemas_core::{BlockHash, Height, Timestamp};
use serde::{Deserialize, Serialize};

/// The answer of a light client.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Outcome<T> {
    /// Yes, and this is what it proves.
    Accept(T),
    /// Come back with more; nothing is wrong with what was given.
    NotYet(Shortfall),
    /// Never. Kept with its bytes.
    Reject(Rejection),
}

/// What is missing for an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Shortfall {
    /// Headers from this height on.
    #[error("expected headers from height {from} on")]
    Headers {
        /// The first height wanted.
        from: Height,
    },
    /// Blocks on top, by enough distinct signers.
    #[error("expected {need} confirmations, got {have}")]
    Confirmations {
        /// Seen so far.
        have: u32,
        /// Needed.
        need: u32,
    },
    /// A branch that would undo trusted blocks, and does not outweigh them.
    #[error(
        "a branch from block {from} on: expected more than {need}, which is the weight of the trusted blocks that it would undo, got {have}"
    )]
    Branch {
        /// The first block that it would undo.
        from: Height,
        /// Its weight by its confirmed blocks.
        have: u64,
        /// The weight of what it would undo.
        need: u64,
    },
    /// The evidence of this block (for EVM: its receipts).
    #[error("expected the evidence of block {height}, got none")]
    Evidence {
        /// The block.
        height: Height,
    },
    /// The block is later than this gateway's clock allows.
    #[error("the block's time {block} is ahead of this clock, {now}")]
    Ahead {
        /// The block's time.
        block: Timestamp,
        /// The caller's clock.
        now: Timestamp,
    },
    /// The head is too old to be extended: keys that signed then may have leaked since. An operator re-anchors.
    #[error("the trusted head expired at {until}, it is {now}: an operator must anchor the ledger anew")]
    Expired {
        /// When trust ended.
        until: Timestamp,
        /// The caller's clock.
        now: Timestamp,
    },
}

impl Shortfall {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Headers { .. } => "headers-wanted",
            Self::Confirmations { .. } => "confirmations-wanted",
            Self::Branch { .. } => "branch-not-better",
            Self::Evidence { .. } => "evidence-wanted",
            Self::Ahead { .. } => "ahead-of-clock",
            Self::Expired { .. } => "head-expired",
        }
    }
}

/// Why bytes are refused for good: a label from the family's closed list, with what was expected and what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    reason: &'static str,
    height: Option<Height>,
    expected: String,
    got: String,
}

/// No text of a rejection is longer: it is stored, logged and shown.
const TEXT_MOST: usize = 400;

impl Rejection {
    /// A refusal. `reason` is the metric label, a literal of the code that refuses.
    pub fn new(reason: &'static str, expected: impl Into<String>, got: impl Into<String>) -> Self {
        let clip =
            |text: String| if text.len() > TEXT_MOST { text.chars().take(TEXT_MOST / 4).collect() } else { text };
        Self { reason, height: None, expected: clip(expected.into()), got: clip(got.into()) }
    }

    /// Says at which height.
    #[must_use]
    pub fn at(mut self, height: Height) -> Self {
        self.height = self.height.or(Some(height));
        self
    }

    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }

    /// Whether bytes or work are beyond a limit of ours: nothing is said about who gave them.
    pub fn is_limit(&self) -> bool {
        matches!(self.reason, "too-large" | "budget-exhausted")
    }

    /// What was expected.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What came.
    pub fn got(&self) -> &str {
        &self.got
    }

    /// The height, where there is one.
    pub const fn height(&self) -> Option<Height> {
        self.height
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, got {}", self.reason, self.expected, self.got)?;
        match self.height {
            Some(height) => write!(f, " (height {height})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Rejection {}

/// Two artefacts that cannot both be true, each verified. The client or lane freezes, both are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Misbehaviour {
    /// Where.
    pub height: Height,
    /// The block this gateway trusts.
    pub trusted: BlockHash,
    /// The other block, as well signed.
    pub other: BlockHash,
    /// Who signed the other block.
    pub signers: Vec<String>,
}

impl<T> Outcome<T> {
    /// Changes what was accepted.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Self::Accept(value) => Outcome::Accept(change(value)),
            Self::NotYet(shortfall) => Outcome::NotYet(shortfall),
            Self::Reject(rejection) => Outcome::Reject(rejection),
        }
    }

    /// What was accepted, if it was.
    pub fn accepted(self) -> Option<T> {
        match self {
            Self::Accept(value) => Some(value),
            _ => None,
        }
    }
}

impl<T> From<Rejection> for Outcome<T> {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection)
    }
}

/// For use with `?` inside a light client: either kind of "no".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Not yet.
    NotYet(Shortfall),
    /// Never.
    Reject(Rejection),
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection)
    }
}

impl From<Shortfall> for Refusal {
    fn from(shortfall: Shortfall) -> Self {
        Self::NotYet(shortfall)
    }
}

impl<T> From<Result<T, Refusal>> for Outcome<T> {
    fn from(result: Result<T, Refusal>) -> Self {
        match result {
            Ok(value) => Self::Accept(value),
            Err(Refusal::NotYet(shortfall)) => Self::NotYet(shortfall),
            Err(Refusal::Reject(rejection)) => Self::Reject(rejection),
        }
    }
}

impl<T> From<Outcome<T>> for Result<T, Refusal> {
    fn from(outcome: Outcome<T>) -> Self {
        match outcome {
            Outcome::Accept(value) => Ok(value),
            Outcome::NotYet(shortfall) => Err(Refusal::NotYet(shortfall)),
            Outcome::Reject(rejection) => Err(Refusal::Reject(rejection)),
        }
    }
}
