//! Why a node did not serve.

use std::time::Duration;

use hufu_adapters_source::SourceError;
use hufu_schemas_core::Height;

use crate::standing::Bench;

/// Why one node did not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeFault {
    /// No answer, or none that could be read whole.
    #[error("{0}")]
    Unreachable(String),
    /// It says that we ask too much, or that it cannot serve for a while.
    #[error("{detail}, asks to wait {} s", wait.as_secs())]
    Busy {
        /// Its words.
        detail: String,
        /// How long to stay away.
        wait: Duration,
    },
    /// It refuses us.
    #[error("refuses us: {0}")]
    Denied(String),
    /// Its answer is not in the form of the protocol.
    #[error("answers badly: expected {expected}, got {got}")]
    Malformed {
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
    },
    /// Its answer is larger than we read.
    #[error("answers with more than {0} bytes")]
    TooLarge(usize),
    /// One block's evidence, by itself, is beyond what is read. A user of the ledger can bring that about: no fault of
    /// the node's.
    #[error("has evidence of block {height} that is {detail}")]
    BlockTooLarge {
        /// The block.
        height: u64,
        /// Beyond what.
        detail: String,
    },
    /// It does not keep what is asked for.
    #[error("does not keep {0}")]
    Pruned(String),
    /// It is not that far yet.
    #[error("is behind: expected height {wanted}, is at {at}")]
    Behind {
        /// Height asked for.
        wanted: u64,
        /// Height it has.
        at: u64,
    },
    /// It holds another block than the trusted one.
    #[error("is on another fork: {0}")]
    Forked(String),
    /// What it says does not hold together.
    #[error("is lying: {0}")]
    Lying(String),
    /// It belongs to another ledger.
    #[error("belongs to another ledger: {0}")]
    WrongLedger(String),
}

impl NodeFault {
    /// What was expected in an answer, and what came.
    pub fn malformed(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Malformed { expected: expected.into(), got: got.into() }
    }

    /// Under which word it is benched.
    pub const fn bench(&self) -> Bench {
        match self {
            Self::Unreachable(_)
            | Self::Busy { .. }
            | Self::Denied(_)
            | Self::Malformed { .. }
            | Self::TooLarge(_)
            | Self::BlockTooLarge { .. }
            | Self::Pruned(_) => Bench::Unreachable,
            Self::Behind { .. } => Bench::Behind,
            Self::Forked(_) => Bench::Forked,
            Self::Lying(_) => Bench::Lying,
            Self::WrongLedger(_) => Bench::WrongLedger,
        }
    }

    /// Whether the node stays in service: it merely lacks history, or one block is too large for anybody.
    pub const fn is_no_fault_of_its_own(&self) -> bool {
        matches!(self, Self::Pruned(_) | Self::BlockTooLarge { .. })
    }

    /// How long the node asks us to stay away, where it does.
    pub const fn asks_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Busy { wait, .. } => Some(*wait),
            _ => None,
        }
    }
}

/// Which of several faults is reported: what may pass first, then what an operator can mend.
const fn urgency(fault: &NodeFault) -> u8 {
    match fault {
        NodeFault::Unreachable(_) | NodeFault::Busy { .. } => 0,
        NodeFault::Denied(_) => 1,
        NodeFault::Malformed { .. } | NodeFault::TooLarge(_) => 2,
        NodeFault::Pruned(_) => 3,
        NodeFault::Behind { .. } => 4,
        NodeFault::Forked(_) | NodeFault::Lying(_) | NodeFault::WrongLedger(_) => 5,
        NodeFault::BlockTooLarge { .. } => 6,
    }
}

/// The block that is too large for everybody: one node alone must not be able to say so, or a lying one could have a block
/// passed over. While another node is merely out of reach or behind, it may still give the evidence.
fn too_large(faults: &[(usize, NodeFault)]) -> Option<u64> {
    let mut large = None;
    for (_, fault) in faults {
        match fault {
            NodeFault::BlockTooLarge { height, .. } if large.is_none_or(|known| known == *height) => {
                large = Some(*height);
            }
            NodeFault::Pruned(_) | NodeFault::Forked(_) | NodeFault::Lying(_) | NodeFault::WrongLedger(_) => {}
            _ => return None,
        }
    }
    large
}

/// The error of a source when nobody served, by who must act. `faults` name the node by its place in `nodes`.
pub fn nobody_served(mut faults: Vec<(usize, NodeFault)>, nodes: &[&str]) -> SourceError {
    faults.sort_by_key(|(_, fault)| urgency(fault));
    let name = |at: usize| nodes.get(at).copied().unwrap_or_default().to_owned();
    let told: Vec<String> = faults.iter().map(|(at, fault)| format!("{} {fault}", name(*at))).collect();
    if let Some(height) = too_large(&faults) {
        return SourceError::TooLarge { height: Height::new(height), detail: told.join("; ") };
    }
    match faults.into_iter().next() {
        Some((_, NodeFault::Pruned(what))) => SourceError::Pruned { what },
        Some((_, NodeFault::Behind { wanted, at })) => {
            SourceError::Behind { wanted: Height::new(wanted), at: Height::new(at) }
        }
        Some((at, NodeFault::Denied(detail))) => SourceError::Denied { node: name(at), detail },
        Some((at, NodeFault::Malformed { expected, got })) => SourceError::Malformed { node: name(at), expected, got },
        Some((at, NodeFault::TooLarge(most))) => {
            SourceError::Malformed { node: name(at), expected: format!("at most {most} bytes"), got: "more".to_owned() }
        }
        _ => SourceError::Unavailable { nodes: nodes.join(", "), detail: told.join("; ") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_alone_cannot_have_a_block_passed_over() {
        let large = |at, height| (at, NodeFault::BlockTooLarge { height, detail: "more".to_owned() });
        let nodes = ["a", "b"];
        for other in [
            NodeFault::Unreachable("refused".to_owned()),
            NodeFault::Behind { wanted: 7, at: 6 },
            NodeFault::Denied("401".to_owned()),
            NodeFault::malformed("json", "html"),
        ] {
            let told = nobody_served(vec![large(0, 7), (1, other.clone())], &nodes);
            assert_ne!(told.reason(), "too-large", "{other}");
        }
        assert_ne!(nobody_served(vec![large(0, 7), large(1, 8)], &nodes).reason(), "too-large", "of another block");
        for faults in [vec![large(0, 7)], vec![large(0, 7), large(1, 7)]] {
            let told = nobody_served(faults, &nodes);
            assert!(matches!(told, SourceError::TooLarge { height, .. } if height.get() == 7), "{told}");
        }
        let liar = (1, NodeFault::Lying("x".to_owned()));
        assert_eq!(nobody_served(vec![large(0, 7), liar], &nodes).reason(), "too-large", "a liar is asked no more");
    }

    #[test]
    fn what_may_pass_is_reported_before_what_an_operator_must_mend() {
        let pruned = || (0, NodeFault::Pruned("block 7".to_owned()));
        let down = (1, NodeFault::Unreachable("refused".to_owned()));
        assert_eq!(nobody_served(vec![pruned(), down], &["a", "b"]).reason(), "unavailable");
        assert_eq!(nobody_served(vec![pruned()], &["a"]), SourceError::Pruned { what: "block 7".to_owned() });
        let large = nobody_served(vec![(0, NodeFault::TooLarge(9))], &["a"]);
        assert_eq!(large.to_string(), "node a answers badly: expected at most 9 bytes, got more");
    }
}
