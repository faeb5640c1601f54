//! What a ledger family implements to be read. Asynchronous, does I/O, holds credentials and cursors, and is trusted for
//! nothing: whatever it returns is judged by a light client before anything is signed or stored.
//!
//! Absent here as yet: the plugin protocol and its process host (docs/coverage.md).

use async_trait::async_trait;
use hufu_adapters_light_client::{Selector, Step, TrustedBlock};
use hufu_schemas_core::Height;
use serde::Serialize;

/// What a source says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceDescription {
    /// The ledger family.
    pub family: String,
    /// The nodes asked, as an operator names them; never with credentials.
    pub nodes: Vec<NodeStatus>,
}

/// How one node of a source stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatus {
    /// Its name in the configuration.
    pub name: String,
    /// The height it last claimed.
    pub height: Option<Height>,
    /// Why it is not asked at present: `behind`, `forked`, `lying`, `unreachable`, `wrong-ledger`; `None` when it is.
    pub benched: Option<&'static str>,
}

/// Native evidence of one block, as the family's light client wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEvidence {
    /// The block.
    pub height: Height,
    /// The family's evidence (for EVM: the RLP list of all consensus receipts). `None` when the trusted block itself
    /// excludes the selector, so that nothing had to be fetched.
    pub evidence: Option<Vec<u8>>,
}

/// Why a source could not answer, by who must act.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Nobody answered; trying again later may help.
    #[error("no node answered ({nodes}): {detail}")]
    Unavailable {
        /// The nodes asked.
        nodes: String,
        /// The last fault.
        detail: String,
    },
    /// The nodes are not that far yet; trying again later helps.
    #[error("expected height {wanted}, the nodes are at {at}")]
    Behind {
        /// Height asked for.
        wanted: Height,
        /// Best height claimed.
        at: Height,
    },
    /// Nodes refuse us: an operator must mend credentials or limits.
    #[error("node {node} refuses: {detail}")]
    Denied {
        /// The node.
        node: String,
        /// Its words.
        detail: String,
    },
    /// A node answers in a form that is not the protocol's.
    #[error("node {node} answers badly: expected {expected}, got {got}")]
    Malformed {
        /// The node.
        node: String,
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
    },
    /// The node does not keep what is asked for: an operator must add an archive node.
    #[error("no node holds {what}: add one that keeps history")]
    Pruned {
        /// What is missing.
        what: String,
    },
    /// The evidence of this block is beyond what is read, and every node that could give it says so: asking again does not
    /// help, and no node is at fault. A lane says it of the block and goes on.
    #[error("the evidence of block {height} is beyond what is read: {detail}")]
    TooLarge {
        /// The block, the first of those asked for.
        height: Height,
        /// Who says what.
        detail: String,
    },
}

impl SourceError {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Behind { .. } => "behind",
            Self::Denied { .. } => "denied",
            Self::Malformed { .. } => "malformed",
            Self::Pruned { .. } => "pruned",
            Self::TooLarge { .. } => "too-large",
        }
    }
}

/// How far a source has come that is far behind its nodes. For logs and metrics alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The last height that the reader has taken.
    pub height: Height,
    /// The best height that the nodes claim.
    pub target: Height,
    /// Blocks a second, lately.
    pub blocks_per_second: u64,
    /// Seconds until the target at that pace; `None` while the pace is not known or is zero.
    pub remaining_seconds: Option<u64>,
}

/// Reads one ledger. Pull only: the gateway sets the pace.
#[async_trait]
pub trait Source: Send + Sync {
    /// Who is asked and how they stand.
    fn describe(&self) -> SourceDescription;

    /// How a back-fill gets on; `None` near the tip, and for sources that do not measure it.
    fn progress(&self) -> Option<Progress> {
        None
    }

    /// Ends when there may be something new, so that a reader at the tip need not wait out its poll. A hint and no more:
    /// it may come for nothing and it may never come, so it is always raced against a timer.
    async fn hint(&self) {
        std::future::pending().await
    }

    /// The best height any healthy node claims.
    async fn tip(&self) -> Result<Height, SourceError>;

    /// Up to `limit` steps from height `from` on, in order without gaps, for [`hufu_adapters_light_client::DynLightClient::advance`].
    /// Empty when the nodes are not that far. On a probabilistic ledger they reach up to the tip, unconfirmed ones too.
    async fn steps(&self, from: Height, limit: usize) -> Result<Vec<Step>, SourceError>;

    /// The evidence of these trusted blocks for this selector, in the order asked. [`SourceError::TooLarge`] names the
    /// first block that cannot be read; those before it can be asked for again without it.
    async fn evidence(&self, blocks: &[TrustedBlock], selector: &Selector) -> Result<Vec<BlockEvidence>, SourceError>;

    /// Tells the source that what it returned from `node` was refused by the light client, so that the node is benched
    /// and counted. `steps` returned for `from` are attributed to the node that served them last.
    fn refused(&self, reason: &str);

    /// Steps of the same height from *other* nodes than the one that served last, to compare with the trusted block
    /// there: a verified conflict freezes, a mere difference benches (never here: the light client decides).
    ///
    /// A node that is not that far answers for the last height it has. One that is benched for another story is asked
    /// too, whether it served last or not: its story may be well signed.
    async fn others(&self, height: Height) -> Result<Vec<Step>, SourceError>;

    /// What one node, by its name in [`Source::describe`], holds at a height, or at its last one where it is not that far.
    /// Asked to find where a node left the trusted branch; it benches nobody for what it shows. `None` where the node does
    /// not say, and from sources of families that need no such search.
    async fn held_by(&self, _node: &str, _height: Height) -> Option<Step> {
        None
    }
}
