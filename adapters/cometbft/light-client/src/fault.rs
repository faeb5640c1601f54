//! Why bytes of this family are refused: a label from a closed set, what was expected, what came.

use hufu_adapters_light_client::{DecodeFault, Rejection};
use std::fmt;
use thiserror::Error;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// The closed set of metric labels of this family.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// The label.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }
        }
    };
}

reasons! {
    /// A step is not the JSON that this family writes.
    Step = "step-malformed",
    /// A node's answer is not of the due shape.
    Rpc = "rpc-malformed",
    /// Bytes, lists or numbers beyond their named limit.
    TooLarge = "too-large",
    /// Work beyond the caller's budget.
    Budget = "budget-exhausted",
    /// A header of another network.
    ChainId = "chain-id",
    /// A block protocol that is not known.
    BlockVersion = "block-version",
    /// A height of zero, beyond 2^63, or not the one that the step claims.
    Height = "height-unexpected",
    /// A time before 1970, after 9999, or not later than the block before.
    Time = "time-not-rising",
    /// The commit is for another block than the header.
    CommitBlock = "commit-for-another-block",
    /// The commit is for another height than the header.
    CommitHeight = "commit-height",
    /// The commit does not have one entry for each validator.
    CommitCount = "commit-count",
    /// A commit entry that is none of absent, commit and nil, or is shaped as another.
    CommitEntry = "commit-entry",
    /// A commit entry whose address is not that of the validator at its index.
    CommitAddress = "commit-address",
    /// One validator's vote stands twice.
    DoubleVote = "double-vote",
    /// A signature does not verify.
    Signature = "signature-invalid",
    /// No more than two thirds of the power signed.
    Quorum = "signers-below-quorum",
    /// The validators are not those of the header.
    ValidatorsHash = "validators-hash",
    /// The next validators are not those that the header names.
    NextValidatorsHash = "next-validators-hash",
    /// The header's validators are not those that the trusted header named as next.
    ValidatorsUnexpected = "validators-unexpected",
    /// A step leaves its validators out and they are not known either.
    ValidatorsMissing = "validators-missing",
    /// A validator set that is empty or too large.
    ValidatorsCount = "validators-count",
    /// One validator stands twice in a set.
    ValidatorRepeated = "validator-repeated",
    /// A voting power of zero, or powers beyond what the ledger allows together.
    Power = "voting-power",
    /// A key of a kind that the anchor does not allow.
    KeyKind = "key-kind",
    /// Bytes that are no key.
    Key = "key-malformed",
    /// A header that does not follow the one before by hash.
    HashChain = "hash-chain",
    /// The block is not the anchor's.
    AnchorHash = "anchor-hash",
    /// A stored block state is not one that this client wrote.
    BlockState = "block-state-unreadable",
    /// A selector is malformed.
    Selector = "selector-malformed",
    /// Evidence is not the JSON that this family writes.
    Evidence = "evidence-malformed",
    /// Evidence that shows a part was given where all of the block is needed.
    EvidencePart = "evidence-not-whole",
    /// Transactions are not those of the header.
    DataHash = "data-hash",
    /// Results are not those of the next header.
    ResultsHash = "results-hash",
    /// There are not as many results as transactions.
    ResultsCount = "results-count",
    /// A Merkle proof has a wrong index, total or number of aunts.
    MerkleShape = "merkle-shape",
    /// A Merkle proof names another leaf than the one proven.
    MerkleLeaf = "merkle-leaf",
    /// A Merkle proof leads to another root.
    MerkleRoot = "merkle-root",
    /// An ICS-23 proof cannot be read.
    ProofBytes = "proof-malformed",
    /// A proof operator of a kind that is not accepted.
    ProofOperator = "proof-operator",
    /// An ICS-23 operation that breaks the specification of its tree.
    ProofSpec = "proof-spec",
    /// An ICS-23 proof deeper than any tree.
    ProofDepth = "proof-depth",
    /// An ICS-23 proof that is about another key.
    ProofKey = "proof-key",
    /// An ICS-23 proof that is about another value.
    ProofValue = "proof-value",
    /// An ICS-23 proof that leads to another root, or neighbours that are none.
    ProofRoot = "proof-root",
    /// A key with an empty value, which ICS-23 cannot prove (`LeafOp.Apply`): no node can show better.
    ValueEmpty = "value-empty",
    /// An item that was asked for is not in the block.
    ItemMissing = "item-missing",
    /// An item that was asked for is not what the selector names.
    ItemOfAnother = "item-not-selected",
    /// A transaction whose body is not read: what it holds is not known.
    Unreadable = "unreadable",
    /// Proven bytes that are not what the decoder reads.
    Native = "native-malformed",
    /// A protobuf message that is not of its descriptor, or not well formed.
    Protobuf = "protobuf-malformed",
    /// A descriptor set that cannot be used.
    Descriptor = "descriptor-malformed",
    /// JSON in a transaction or in the state that cannot be read.
    Json = "json-malformed",
}

/// A refusal with what was expected and what came.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}: expected {expected}, got {got}", reason.as_str())]
pub struct Fault {
    reason: Reason,
    expected: String,
    got: String,
}

impl Fault {
    /// A refusal.
    pub fn new(reason: Reason, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self { reason, expected: expected.to_string(), got: got.to_string() }
    }

    /// Which of the closed set.
    pub const fn kind(&self) -> Reason {
        self.reason
    }

    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        self.reason.as_str()
    }

    /// What was expected.
    pub fn expected(&self) -> &str {
        &self.expected
    }

    /// What came.
    pub fn got(&self) -> &str {
        &self.got
    }
}

impl From<Fault> for Rejection {
    fn from(fault: Fault) -> Self {
        Self::new(fault.reason.as_str(), fault.expected, fault.got)
    }
}

impl From<Fault> for DecodeFault {
    fn from(fault: Fault) -> Self {
        Self { reason: fault.reason.as_str(), expected: fault.expected, got: fault.got }
    }
}
