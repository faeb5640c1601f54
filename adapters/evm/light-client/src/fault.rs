//! Why bytes of this family are refused: a label from a closed set, what was expected, what came.

use crate::rlp::RlpFault;
use crate::seal::SealFault;
use hufu_adapters_light_client::{DecodeFault, Rejection};
use std::fmt;
use thiserror::Error;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal,)*) => {
        /// The closed set of metric labels of this family, beside those of [`RlpFault`] and [`SealFault`].
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
            /// Bytes are not canonical RLP of the due shape.
            Rlp(&'static str),
            /// A seal names nobody.
            Seal(&'static str),
            /// Signers do not make the quorum.
            Quorum(&'static str),
        }

        impl Reason {
            /// The label.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                    Self::Rlp(label) | Self::Seal(label) | Self::Quorum(label) => label,
                }
            }
        }
    };
}

reasons! {
    /// A header has fields that no fork up to Prague has, or too few.
    HeaderFields = "header-fields",
    /// Bytes, lists or numbers beyond their named limit.
    TooLarge = "too-large",
    /// extraData does not have the layout of the consensus kind.
    ExtraData = "extra-data",
    /// mixHash, nonce, difficulty or ommers are not what the consensus kind fixes.
    FixedField = "header-fixed-field",
    /// The validators of a header are not strictly ascending.
    ValidatorsOrder = "validators-out-of-order",
    /// The validators of a header are not the set that the votes lead to.
    ValidatorsUnexpected = "validators-unexpected",
    /// A validator set would be empty or too large.
    ValidatorsCount = "validators-count",
    /// A contract keeps the validator set, and the header does not list it.
    ValidatorContract = "validators-in-contract",
    /// The round of a header does not fit.
    Round = "round-too-large",
    /// The block's author is not a validator.
    AuthorNotValidator = "author-not-a-validator",
    /// The author signed again too soon.
    SignedRecently = "signer-too-recent",
    /// Difficulty does not say whether the author was in turn.
    Difficulty = "difficulty-out-of-turn",
    /// A vote is not one of the two forms.
    Vote = "vote-malformed",
    /// Height is not the one due.
    Height = "height-unexpected",
    /// The header does not follow the trusted one.
    Parent = "parent-hash",
    /// A branch that leaves what is trusted further back than an anchor allows.
    TooDeep = "reorganisation-too-deep",
    /// Time does not rise.
    Time = "time-not-rising",
    /// More gas used than allowed.
    Gas = "gas-above-limit",
    /// The block is not the anchor's.
    AnchorHash = "anchor-hash",
    /// The validators that the anchor names are not those of its block.
    AnchorValidators = "anchor-validators",
    /// An anchor that cannot be followed.
    Anchor = "anchor-unusable",
    /// Transactions or ommers are not those of the header.
    Body = "body-not-of-header",
    /// A receipt is not of a known form.
    Receipt = "receipt-malformed",
    /// A receipt from before Byzantium, which has a state root and no status.
    ReceiptWithoutStatus = "receipt-without-status",
    /// Receipts do not rebuild the root.
    ReceiptsRoot = "receipts-root",
    /// A proof holds no node, and the trie is not empty.
    ProofEmpty = "proof-empty",
    /// A root or a child that is 32 zero bytes, of which no preimage is known.
    ProofZeroHash = "proof-zero-hash",
    /// A proof ends before the key's path does.
    ProofTruncated = "proof-truncated",
    /// A node does not have the hash by which its parent names it.
    ProofHash = "proof-node-hash",
    /// A proof holds nodes that the key's path does not reach.
    ProofUnused = "proof-unused-nodes",
    /// A node is no leaf, extension or branch.
    ProofNode = "proof-node-malformed",
    /// An extension that shares no nibble.
    ProofExtension = "proof-extension-empty",
    /// A key that ends inside the trie, or goes on below a leaf.
    ProofPath = "proof-path-leftover",
    /// A node that no trie with these leaves would hold.
    ProofForm = "proof-not-canonical",
    /// Work beyond the caller's budget.
    Budget = "budget-exhausted",
    /// What the state trie holds is no account.
    Account = "account-malformed",
    /// What a storage trie holds is no slot's value.
    Slot = "slot-malformed",
    /// Code is not what the account's code hash names.
    CodeHash = "code-hash",
    /// An `eth_getProof` answer cannot be read.
    ProofAnswer = "proof-answer-malformed",
    /// A node claims beside its proof what the proof does not say.
    ProofClaim = "proof-claim",
    /// A slot's change is asked of a block of which the state before is not known.
    ParentState = "parent-state-unknown",
    /// An item that was asked for is not in the block.
    ItemMissing = "item-missing",
    /// An item that was asked for is not what the selector names.
    ItemOfAnother = "item-not-selected",
    /// A selector is malformed.
    Selector = "selector-malformed",
    /// A stored block state is not one this client wrote.
    BlockState = "block-state-unreadable",
    /// An ABI is malformed or beyond what is supported.
    Abi = "abi-malformed",
    /// No event of the ABI that is read has these topics.
    UnknownEvent = "event-unknown",
    /// A log has too few or too many topics for its event.
    Topics = "event-topics",
    /// Event data ends early.
    DataShort = "event-data-short",
    /// Event data goes on after its last value.
    DataTrailing = "event-data-trailing",
    /// An offset does not point where canonical encoding puts it.
    DataOffset = "event-data-offset",
    /// Padding is not what the type demands.
    DataPadding = "event-data-padding",
    /// A length is beyond what is there.
    DataLength = "event-data-length",
    /// A string is not UTF-8.
    DataUtf8 = "event-data-utf8",
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

    /// The same refusal, saying where.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.expected = format!("{} in {place}", self.expected);
        self
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

impl From<RlpFault> for Fault {
    fn from(fault: RlpFault) -> Self {
        Self::new(Reason::Rlp(fault.reason()), "canonical RLP of the due shape", fault)
    }
}

impl From<SealFault> for Fault {
    fn from(fault: SealFault) -> Self {
        Self::new(Reason::Seal(fault.reason()), "a seal that names its signer", fault)
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
