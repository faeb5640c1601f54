//! Receipts as JSON-RPC gives them, compared with headers. A node's word counts for nothing: the receipts of a block must
//! rebuild the root that the sealed header carries.
//!
//! The file is read once, receipt by receipt. Of each block its rebuilt root alone is kept, so memory does not grow with
//! receipts: a block's receipts are held while they are read, and 48 bytes a block after that.

mod stream;

use std::collections::BTreeMap;
use std::path::Path;

use hufu_evm_light_client::receipt::MAX_EVIDENCE_BYTES;
use hufu_evm_light_client::receipt::json::ReceiptJson;
use hufu_evm_light_client::trie::{self, EMPTY_ROOT, MAX_ITEMS};
use hufu_evm_light_client::{Hash32, Header};

use super::body::said;
use crate::answer::misuse;
use crate::files;
use crate::output::Output;

/// Blocks whose receipts one audit compares: 4,194,304 × 48 bytes are 192 MiB.
const MAX_BLOCKS: usize = 4 << 20;
/// Receipts between two looks at the terminal.
const PROGRESS_EVERY: u64 = 10_000;

/// Of each block the root that its given receipts rebuild.
pub(super) struct GivenReceipts(BTreeMap<u64, Given>);

/// The receipts of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given {
    root: Hash32,
    count: u32,
}

/// What comparing one block's receipts gave.
pub(super) enum Compared {
    /// They are the header's.
    Same,
    /// They are not, and why.
    Wrong(String),
    /// The block has receipts, and none were given.
    Missing,
}

impl GivenReceipts {
    /// Reads a file: receipts in any nesting, one JSON value or one after the other, those of one block together.
    pub(super) fn read(path: &Path, out: &Output) -> anyhow::Result<Self> {
        let mut reading = Reading::new(MAX_BLOCKS);
        let mut count = 0u64;
        let read = stream::each_receipt(files::open(path)?, &mut |receipt| {
            count += 1;
            if count.is_multiple_of(PROGRESS_EVERY) {
                out.progress(|| format!("{count} receipts read"));
            }
            reading.take(receipt)
        });
        out.progress_done();
        let given = read.and_then(|()| reading.finish());
        given.map(Self).map_err(|words| {
            let next =
                "give receipts as eth_getBlockReceipts or eth_getTransactionReceipt answer, those of a block together";
            misuse(format!("{}: {words}", path.display()), next)
        })
    }

    /// Compares a block's receipts with its header.
    pub(super) fn compare(&self, header: &Header) -> Compared {
        let fields = header.fields();
        match self.0.get(&fields.number) {
            None if fields.receipts_root == EMPTY_ROOT => Compared::Same,
            None => Compared::Missing,
            Some(given) if given.root == fields.receipts_root => Compared::Same,
            Some(Given { root, count }) => {
                let due = fields.receipts_root;
                Compared::Wrong(format!("receipts-root: expected {due}, got {root} from {count} receipts"))
            }
        }
    }
}

/// The block that is being read, and those that were.
struct Reading {
    done: BTreeMap<u64, Given>,
    most_blocks: usize,
    height: u64,
    open: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

impl Reading {
    fn new(most_blocks: usize) -> Self {
        Self { done: BTreeMap::new(), most_blocks, height: 0, open: BTreeMap::new(), bytes: 0 }
    }

    fn take(&mut self, receipt: &ReceiptJson<'_>) -> Result<(), String> {
        let place = receipt.place().and_then(|place| Ok((place, receipt.to_consensus()?)));
        let ((height, index), raw) = place.map_err(|fault| format!("a receipt: {}", said(&fault)))?;
        if height != self.height {
            self.close()?;
            self.height = height;
        }
        self.bytes = self.bytes.saturating_add(raw.len());
        if self.bytes > MAX_EVIDENCE_BYTES || self.open.len() == MAX_ITEMS {
            let limit = format!("{MAX_ITEMS} receipts and {MAX_EVIDENCE_BYTES} bytes");
            return Err(format!("too-large: expected at most {limit} of block {height}, got more"));
        }
        match self.open.insert(index, raw) {
            None => Ok(()),
            Some(_) => Err(format!("expected each receipt once, got transaction {index} of block {height} twice")),
        }
    }

    /// Rebuilds the root of the block that was read, and lets its receipts go.
    fn close(&mut self) -> Result<(), String> {
        let (height, open) = (self.height, std::mem::take(&mut self.open));
        self.bytes = 0;
        if open.is_empty() {
            return Ok(());
        }
        if self.done.len() == self.most_blocks {
            let most = self.most_blocks;
            return Err(format!(
                "too-large: expected receipts of at most {most} blocks, got more; audit fewer at a time"
            ));
        }
        let values: Vec<&[u8]> = open.values().map(Vec::as_slice).collect();
        let root = trie::ordered_root(&values).map_err(|fault| said(&fault))?;
        let count = u32::try_from(values.len()).unwrap_or(u32::MAX);
        match self.done.insert(height, Given { root, count }) {
            None => Ok(()),
            Some(_) => Err(format!("expected the receipts of block {height} together, got them in two places")),
        }
    }

    fn finish(mut self) -> Result<BTreeMap<u64, Given>, String> {
        self.close()?;
        if self.done.is_empty() {
            return Err("expected receipts, got none".to_owned());
        }
        Ok(self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn receipt(height: u64, index: u64) -> Value {
        json!({
            "blockNumber": format!("{height:#x}"), "transactionIndex": format!("{index:#x}"), "status": "0x1",
            "cumulativeGasUsed": "0x5208", "logsBloom": format!("0x{}", "00".repeat(256)), "logs": [],
        })
    }

    fn read(text: &str, most_blocks: usize) -> Result<BTreeMap<u64, Given>, String> {
        let mut reading = Reading::new(most_blocks);
        let bytes: Box<dyn std::io::Read> = Box::new(std::io::Cursor::new(text.to_owned().into_bytes()));
        stream::each_receipt(bytes, &mut |receipt| reading.take(receipt))?;
        reading.finish()
    }

    #[test]
    fn receipts_in_any_nesting_and_one_after_the_other() {
        let [a, b, c] = [receipt(1, 0), receipt(1, 1), receipt(7, 0)];
        let nested = json!({ "1": { "receipts": [a, b], "count": 2 }, "7": [[{ "id": 3, "result": c }]] }).to_string();
        let lines = format!("{a}\n{b}\n\n{c}");
        let answers = json!([{ "jsonrpc": "2.0", "result": [b, a] }, { "result": [c], "error": null }]).to_string();
        let one = read(&nested, 9).unwrap();
        assert_eq!(one.keys().copied().collect::<Vec<_>>(), [1, 7]);
        assert_eq!(one[&1].count, 2);
        assert_eq!(read(&lines, 9).unwrap(), one);
        assert_eq!(read(&answers, 9).unwrap(), one, "the index says the order");
    }

    #[test]
    fn a_receipt_twice_and_a_block_in_two_places() {
        let [a, b] = [receipt(1, 0), receipt(2, 0)];
        assert!(read(&format!("{a}{a}"), 9).unwrap_err().contains("twice"));
        assert!(read(&format!("{a}{b}{}", receipt(1, 1)), 9).unwrap_err().contains("two places"));
    }

    #[test]
    fn more_blocks_than_are_kept() {
        let all: String = (1..4).map(|height| receipt(height, 0).to_string()).collect();
        assert_eq!(read(&all, 3).unwrap().len(), 3);
        assert!(read(&all, 2).unwrap_err().starts_with("too-large"));
    }

    #[test]
    fn what_is_no_receipt() {
        let mut pending = receipt(1, 0);
        pending["blockNumber"] = Value::Null;
        for (text, words) in [
            (String::new(), "got none"),
            ("[1, {\"a\": \"b\"}, null]".to_owned(), "got none"),
            ("[".to_owned(), "EOF"),
            (pending.to_string(), "blockNumber"),
            (receipt(1, 0).to_string().replace("0x5208", "5208"), "cumulativeGasUsed"),
            (receipt(1, 0).to_string().replacen('{', "{\"status\": \"0x0\",", 1), "status"),
        ] {
            let refused = read(&text, 9).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
    }
}
