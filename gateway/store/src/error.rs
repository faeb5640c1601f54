//! What can go wrong in the store, by who must act.

/// Why the store did not do what it was asked.
///
/// Cloneable, because one failed commit is the answer to every caller whose step was in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else moved first. The caller reads again, verifies again and tries again.
    #[error("{what} has moved: expected {expected}, got {got}")]
    Conflict {
        /// A lane's size, a ledger's head, a checkpoint.
        what: &'static str,
        /// What the caller's step stands on.
        expected: String,
        /// What the store holds.
        got: String,
    },
    /// The ledger or lane is frozen. An operator thaws it.
    #[error("{subject} is frozen: {why}")]
    Frozen {
        /// The ledger or lane.
        subject: String,
        /// Why it was frozen.
        why: String,
    },
    /// The step itself is not one that may be stored; trying again does not help. The caller is at fault.
    #[error("{what}: expected {expected}, got {got}")]
    Refused {
        /// What is wrong with it.
        what: &'static str,
        /// What was expected.
        expected: String,
        /// What came.
        got: String,
    },
    /// Another process holds the database longer than the busy timeout, or every reader is taken. Try again.
    #[error("the database is busy: {detail}")]
    Busy {
        /// In words.
        detail: String,
    },
    /// The database contradicts itself or us. Nothing was written; an operator looks.
    #[error("the database contradicts itself: {detail}")]
    Corrupt {
        /// In words.
        detail: String,
    },
    /// The disk failed or is full. The store accepts nothing more: after a failed sync the page cache cannot be
    /// believed, so the process stops and recovers from the file.
    #[error("the disk failed: {detail}")]
    Io {
        /// In words.
        detail: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Conflict { .. } => "store-conflict",
            Self::Frozen { .. } => "store-frozen",
            Self::Refused { .. } => "store-refused",
            Self::Busy { .. } => "store-busy",
            Self::Corrupt { .. } => "store-corrupt",
            Self::Io { .. } => "store-io",
            Self::Closed => "store-closed",
        }
    }

    /// Whether the same call may succeed later without anybody acting.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Conflict { .. } | Self::Busy { .. })
    }

    pub(crate) fn refused(what: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Refused { what, expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn conflict(what: &'static str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Conflict { what, expected: expected.to_string(), got: got.to_string() }
    }

    pub(crate) fn corrupt(detail: impl ToString) -> Self {
        Self::Corrupt { detail: detail.to_string() }
    }

    pub(crate) fn io(detail: impl ToString) -> Self {
        Self::Io { detail: detail.to_string() }
    }
}
