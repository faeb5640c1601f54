//! Why a record is believed, and how much of the lane was seen. Shown beside the finality class, never merged with it.

use hufu_adapters_light_client::{Proven, Standing};
use serde::{Deserialize, Serialize};

/// Why a record is believed (design, section 2). Ordered: more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Assurance {
    /// The origin's word alone.
    Attested,
    /// On the ledger by light client; the content was recomputed by attesters, not by the receiver.
    Anchored,
    /// On the ledger by light client; the content was recomputed by the receiver.
    Proven,
}

impl Assurance {
    /// What a light client's finding is worth once its content was recomputed: what the ledger does not commit to, and
    /// what stands in a block that nobody signed, is somebody's word.
    pub const fn of(proven: &Proven) -> Self {
        match proven.standing() {
            Standing::Proven => Self::Proven,
            Standing::Said => Self::Attested,
        }
    }

    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Attested => "attested",
            Self::Anchored => "anchored",
            Self::Proven => "proven",
        }
    }
}

/// What is known not to be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    /// No leaf of the lane is missing.
    Log,
    /// No matching event of the covered blocks is missing either.
    Ledger,
}

impl Completeness {
    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Ledger => "ledger",
        }
    }
}
