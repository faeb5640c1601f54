//! The native bytes of one item: canonical JSON around the ledger's own bytes, with what was proven of them.

use crate::fault::{Fault, Reason};
use crate::hash::Hash32;
use crate::results::TxResult;
use crate::selector::HexBytes;
use crate::text;
use hufu_schemas_core::canonical::to_canonical;
use serde::{Deserialize, Serialize};

/// One event as a node tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its attributes, in the node's order.
    pub attributes: Vec<Attribute>,
}

/// One attribute of an event, as the node writes it (0.34 nodes write both in base64).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// One item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Native {
    /// A transaction that succeeded.
    Transaction {
        /// The ledger's bytes.
        #[serde(with = "text::base64")]
        tx: Vec<u8>,
        /// Its result.
        result: TxResult,
    },
    /// One message of a transaction that succeeded. The rest of the transaction is named by its hash alone: a transaction
    /// of many messages would be repeated with each of them.
    Message {
        /// SHA-256 of the transaction.
        tx: Hash32,
        /// Which of its messages.
        message: u32,
        /// The message's type.
        type_url: String,
        /// The message's bytes.
        value: Base64,
    },
    /// A transaction that succeeded whose body we do not read: it may hold messages of the lane.
    Unreadable {
        /// SHA-256 of the transaction.
        tx: Hash32,
        /// What is wrong with it.
        fault: String,
    },
    /// A key of the state after the block that changed it.
    State {
        /// Where the key lives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        store: Option<String>,
        /// The key.
        key: HexBytes,
        /// The new value, base64; none where the key was removed.
        value: Option<Base64>,
    },
    /// A value that was added under a running number.
    Sequence {
        /// Where the key lives.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        store: Option<String>,
        /// The number.
        #[serde(with = "text::decimal")]
        sequence: u64,
        /// The key.
        key: HexBytes,
        /// The value.
        value: Base64,
    },
    /// An event, which a node tells and nothing commits to.
    Event {
        /// SHA-256 of the transaction that it is said to come from.
        tx: Hash32,
        /// The event.
        event: Event,
    },
}

/// Bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Base64(#[serde(with = "text::base64")] pub Vec<u8>);

impl Native {
    /// The bytes whose digest names the item.
    pub fn write(&self) -> Vec<u8> {
        // Enums of strings and small numbers always serialise.
        to_canonical(&serde_json::to_value(self).unwrap_or_default())
    }

    /// Reads what [`Native::write`] wrote.
    ///
    /// # Errors
    /// [`Fault`] if the bytes are anything else.
    pub fn read(bytes: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(bytes).map_err(|fault| Fault::new(Reason::Native, "an item of this family", fault))
    }
}
