//! Transactions with their results: the same index in two trees, of data_hash in the block's own header and of
//! last_results_hash in the header above (ledgers.md 4.3).

use super::Found;
use crate::block_state::BlockState;
use crate::cosmos::{self, Inside, Message};
use crate::fault::{Fault, Reason};
use crate::hash::{Hash32, sha256};
use crate::merkle::{self, Proof};
use crate::native::{Base64, Event, Native};
use crate::results::{self, TxResult};
use crate::text;
use hufu_adapters_light_client::{ItemRef, Standing};
use serde::{Deserialize, Serialize};

/// Transactions of one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Transactions {
    /// All of them, in order: both trees are rebuilt.
    Whole(Vec<Executed>),
    /// Some of them, each with its path in both trees.
    Parts(Vec<Part>),
}

/// A transaction with its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Executed {
    /// The ledger's bytes.
    #[serde(with = "text::base64")]
    pub tx: Vec<u8>,
    /// Its result.
    pub result: TxResult,
    /// Its events, as the node tells them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Event>,
}

impl Executed {
    fn open(&self, index: u32) -> Opened<'_> {
        Opened { index, tx: &self.tx, result: &self.result, events: &self.events }
    }
}

/// A transaction with its result and the path of each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The ledger's bytes.
    #[serde(with = "text::base64")]
    pub tx: Vec<u8>,
    /// Its path under data_hash.
    pub proof: Proof,
    /// Its result.
    pub result: TxResult,
    /// The result's path under last_results_hash of the header above.
    pub result_proof: Proof,
}

/// One transaction whose place and result were shown.
pub(super) struct Opened<'a> {
    index: u32,
    tx: &'a [u8],
    result: &'a TxResult,
    events: &'a [Event],
}

impl Transactions {
    /// Closes the evidence under a block.
    pub(super) fn open(&self, state: &BlockState, whole: bool) -> Result<Vec<Opened<'_>>, Fault> {
        match self {
            Self::Whole(all) => {
                require_whole(all, state)?;
                let open = |(index, it)| Executed::open(it, index);
                Ok((0..).zip(all).map(open).collect())
            }
            Self::Parts(_) if whole => {
                Err(Fault::new(Reason::EvidencePart, "all transactions of the block", "some of them"))
            }
            Self::Parts(parts) => parts.iter().map(|part| part.open(state)).collect(),
        }
    }
}

fn require_whole(all: &[Executed], state: &BlockState) -> Result<(), Fault> {
    if all.len() > merkle::MAX_LEAVES {
        return Err(Fault::new(Reason::TooLarge, format!("at most {} transactions", merkle::MAX_LEAVES), all.len()));
    }
    let leaves: Vec<Hash32> = all.iter().map(|it| sha256(&it.tx)).collect();
    let leaves: Vec<&[u8; 32]> = leaves.iter().map(Hash32::as_bytes).collect();
    require_root(Reason::DataHash, state.data_hash, merkle::root(&leaves))?;
    require_root(Reason::ResultsHash, state.results_hash, results::root(all.iter().map(|it| &it.result)))
}

fn require_root(reason: Reason, due: Option<Hash32>, got: Hash32) -> Result<(), Fault> {
    if due == Some(got) {
        return Ok(());
    }
    Err(Fault::new(reason, due.map_or_else(|| "no root".to_owned(), |due| due.to_string()), got))
}

impl Part {
    fn open(&self, state: &BlockState) -> Result<Opened<'_>, Fault> {
        let (data, results) = match (state.data_hash, state.results_hash) {
            (Some(data), Some(results)) => (data, results),
            _ => return Err(Fault::new(Reason::DataHash, "a block with transactions", "one without")),
        };
        self.proof.verify(sha256(&self.tx).as_bytes(), data)?;
        self.result_proof.verify(&self.result.encode(), results)?;
        if (self.proof.index, self.proof.total) != (self.result_proof.index, self.result_proof.total) {
            let expected = format!("the result at index {} of {}", self.proof.index, self.proof.total);
            let got = format!("index {} of {}", self.result_proof.index, self.result_proof.total);
            return Err(Fault::new(Reason::ResultsCount, expected, got));
        }
        let index =
            u32::try_from(self.proof.index).map_err(|_| Fault::new(Reason::TooLarge, "an index of 32 bits", "more"))?;
        Ok(Opened { index, tx: &self.tx, result: &self.result, events: &[] })
    }
}

/// Bytes of all items of one block in a lane of transactions. A block of 21 MiB has no more in its messages; what is beyond
/// is many small items, each of which costs [`ITEM_BYTES`] beside its own.
pub const MAX_NATIVE_BYTES: usize = 64 << 20;
/// What an item takes beside the ledger's bytes: a digest of 64 letters, names of fields, numbers, its place.
const ITEM_BYTES: usize = 256;

/// Items as they are found, within [`MAX_NATIVE_BYTES`].
#[derive(Default)]
struct Selected {
    found: Vec<Found>,
    bytes: usize,
}

impl Selected {
    /// Makes room for an item of so many bytes of the ledger, before they are copied.
    fn room(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(ITEM_BYTES);
        if self.bytes <= MAX_NATIVE_BYTES {
            return Ok(());
        }
        Err(Fault::new(Reason::TooLarge, format!("items of at most {MAX_NATIVE_BYTES} bytes in a block"), "more"))
    }

    fn push(&mut self, transaction: u32, event: u32, native: Native) {
        self.found.push(Found { at: ItemRef { transaction, event }, native, standing: Standing::Proven });
    }
}

/// What the lane is about, of transactions that succeeded. One that failed changed nothing but fees, and where its bytes
/// are no transaction of the Cosmos SDK (0.38 proposers may inject some) it has no messages. One that may be such a
/// transaction and is not read is an item of its own, which no decoder reads: the lane says that it was passed over.
pub(super) fn select(items: &[Opened<'_>], messages: Option<&[String]>) -> Result<Vec<Found>, Fault> {
    let mut selected = Selected::default();
    for item in items.iter().filter(|item| item.result.is_success()) {
        let Some(names) = messages else {
            selected.room(item.tx.len().saturating_add(item.result.data.len()))?;
            selected.push(item.index, 0, Native::Transaction { tx: item.tx.to_vec(), result: item.result.clone() });
            continue;
        };
        match cosmos::inside(item.tx)? {
            Inside::Messages(inside) => select_messages(item, &inside, names, &mut selected)?,
            Inside::Unreadable(fault) => {
                selected.room(0)?;
                let native = Native::Unreadable { tx: sha256(item.tx), fault: fault.to_string() };
                selected.push(item.index, 0, native);
            }
            Inside::Other => {}
        }
    }
    Ok(selected.found)
}

fn select_messages(
    item: &Opened<'_>,
    inside: &[Message<'_>],
    names: &[String],
    selected: &mut Selected,
) -> Result<(), Fault> {
    let tx = sha256(item.tx);
    for (number, message) in (0..).zip(inside) {
        if names.binary_search_by(|name| name.as_str().cmp(message.type_url)).is_err() {
            continue;
        }
        selected.room(message.type_url.len().saturating_add(message.value.len()))?;
        let (type_url, value) = (message.type_url.to_owned(), Base64(message.value.to_vec()));
        selected.push(item.index, number, Native::Message { tx, message: number, type_url, value });
    }
    Ok(())
}

/// Events of these types, of transactions that succeeded. The transaction's place is proven, the event is not.
pub(super) fn select_events(items: &[Opened<'_>], types: &[String]) -> Vec<Found> {
    let mut found = Vec::new();
    for item in items.iter().filter(|item| item.result.is_success()) {
        for (number, event) in (0..).zip(item.events) {
            if types.binary_search(&event.kind).is_ok() {
                let native = Native::Event { tx: sha256(item.tx), event: event.clone() };
                let at = ItemRef { transaction: item.index, event: number };
                found.push(Found { at, native, standing: Standing::Said });
            }
        }
    }
    found
}

/// Evidence of some transactions of a block, cut out of the whole.
pub fn cut(all: &[Executed], indexes: &[usize]) -> Transactions {
    let leaves: Vec<[u8; 32]> = all.iter().map(|it| *sha256(&it.tx).as_bytes()).collect();
    let results: Vec<Vec<u8>> = all.iter().map(|it| it.result.encode()).collect();
    let (proofs, result_proofs) = (merkle::prove_all(&leaves), merkle::prove_all(&results));
    let part = |index: &usize| {
        let it = all.get(*index)?;
        let (proof, result_proof) = (proofs.get(*index)?.clone(), result_proofs.get(*index)?.clone());
        Some(Part { tx: it.tx.clone(), proof, result: it.result.clone(), result_proof })
    };
    Transactions::Parts(indexes.iter().filter_map(part).collect())
}
