//! Consensus receipts: what the receipts trie holds, and the logs in them.
//!
//! A receipt is `[status, cumulativeGasUsed, logsBloom, [log…]]`, in front of it a type byte 01 to 04 for typed
//! transactions; a log is `[address, [topic…], data]`. Receipts from before Byzantium carry a state root in place of
//! the status: such a receipt does not say whether its transaction succeeded, and is refused.

pub mod json;

use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::keccak::Hash32;
use crate::rlp::{Item, Reader};
use crate::trie;

/// Bytes of one block's receipts.
pub const MAX_EVIDENCE_BYTES: usize = 32 << 20;
/// The shortest log: a list (1) of an address (21), no topics (1) and no data (1).
const MIN_LOG_BYTES: usize = 24;
/// Logs of one receipt: as many as fit into the evidence, so that a count never refuses what its bytes allow. A log costs
/// 375 gas, and some networks give a block billions. Each takes 80 bytes while it is read: 107 MiB for one receipt.
pub const MAX_LOGS: usize = MAX_EVIDENCE_BYTES / MIN_LOG_BYTES;
/// The shortest receipt as a string of the evidence: two headers (3 + 3), status (1), gas (1), filter (259), no logs (1).
const MIN_RECEIPT_BYTES: usize = 268;
// As many receipts as fit into the evidence make a trie.
const _: () = assert!(MAX_EVIDENCE_BYTES / MIN_RECEIPT_BYTES <= trie::MAX_ITEMS);
/// Topics of one log: there are opcodes LOG0 to LOG4 and no more.
pub const MAX_TOPICS: usize = 4;

/// One log, borrowed from its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log<'a> {
    raw: &'a [u8],
    address: Address,
    topics: Vec<Hash32>,
    data: &'a [u8],
}

impl<'a> Log<'a> {
    /// Reads exactly one log.
    ///
    /// # Errors
    /// [`Fault`] if it is not canonical, has more than four topics, or is followed by anything.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut items = Reader::whole_list(bytes)?;
        let address = Address::new(items.fixed()?);
        let mut list = items.list()?;
        let mut topics = Vec::new();
        while !list.is_empty() {
            if topics.len() == MAX_TOPICS {
                return Err(Fault::new(Reason::Receipt, format!("at most {MAX_TOPICS} topics"), "one more"));
            }
            topics.push(Hash32::new(list.fixed()?));
        }
        let data = items.string()?;
        items.end()?;
        Ok(Self { raw: bytes, address, topics, data })
    }

    /// The log's own RLP: the native item of this family.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The contract that spoke.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Topics; the first of a named event is the hash of its signature.
    pub fn topics(&self) -> &[Hash32] {
        &self.topics
    }

    /// ABI-encoded arguments that are not indexed.
    pub fn data(&self) -> &'a [u8] {
        self.data
    }
}

/// One receipt, borrowed from the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt<'a> {
    kind: u8,
    success: bool,
    cumulative_gas_used: u64,
    bloom: [u8; 256],
    logs: Vec<Log<'a>>,
}

impl<'a> Receipt<'a> {
    /// Reads exactly one receipt in its consensus encoding.
    ///
    /// # Errors
    /// [`Fault`] if the type is unknown, the status is not 0 or 1, a failed transaction has logs, or the bytes are not
    /// canonical.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let (kind, body) = split_kind(bytes)?;
        let mut items = Reader::whole_list(body)?;
        let success = read_status(&mut items)?;
        let cumulative_gas_used = items.u64()?;
        let bloom = items.fixed()?;
        let logs = read_logs(items.list()?)?;
        items.end()?;
        if !success && !logs.is_empty() {
            return Err(Fault::new(Reason::Receipt, "no log of a failed transaction", format!("{} logs", logs.len())));
        }
        Ok(Self { kind, success, cumulative_gas_used, bloom, logs })
    }

    /// The transaction's type: 0 for legacy, 1 to 4.
    pub fn kind(&self) -> u8 {
        self.kind
    }

    /// Whether the transaction succeeded.
    pub fn success(&self) -> bool {
        self.success
    }

    /// Gas used by the block up to and with this transaction.
    pub fn cumulative_gas_used(&self) -> u64 {
        self.cumulative_gas_used
    }

    /// The filter over this receipt's logs.
    pub fn bloom(&self) -> &[u8; 256] {
        &self.bloom
    }

    /// Its logs, in order.
    pub fn logs(&self) -> &[Log<'a>] {
        &self.logs
    }
}

fn split_kind(bytes: &[u8]) -> Result<(u8, &[u8]), Fault> {
    match bytes.split_first() {
        Some((kind @ 1..=4, body)) => Ok((*kind, body)),
        Some((0xc0..=0xff, _)) => Ok((0, bytes)),
        Some((other, _)) => {
            Err(Fault::new(Reason::Receipt, "a receipt of type 01 to 04 or a list", format!("first byte {other:02x}")))
        }
        None => Err(Fault::new(Reason::Receipt, "a receipt", "no bytes")),
    }
}

fn read_status(items: &mut Reader<'_>) -> Result<bool, Fault> {
    match items.item()? {
        Item::String([]) => Ok(false),
        Item::String([1]) => Ok(true),
        Item::String(root) if root.len() == 32 => {
            let expected = "a status (receipts from before Byzantium say nothing of success and are not supported)";
            Err(Fault::new(Reason::ReceiptWithoutStatus, expected, "a state root"))
        }
        other => Err(Fault::new(Reason::Receipt, "status 0 or 1", format!("{other:02x?}"))),
    }
}

fn read_logs(mut list: Reader<'_>) -> Result<Vec<Log<'_>>, Fault> {
    let mut logs = Vec::new();
    while !list.is_empty() {
        if logs.len() == MAX_LOGS {
            return Err(Fault::new(Reason::TooLarge, format!("at most {MAX_LOGS} logs"), "one more"));
        }
        logs.push(Log::parse(list.raw()?)?);
    }
    Ok(logs)
}

/// Splits a block's evidence, an RLP list of the raw receipts as strings, and checks that they rebuild `root`.
///
/// # Errors
/// [`Fault`] if the evidence is too large or malformed, or if its receipts make another root.
pub fn open_evidence(evidence: &[u8], root: Hash32) -> Result<Vec<&[u8]>, Fault> {
    if evidence.len() > MAX_EVIDENCE_BYTES {
        let expected = format!("evidence of at most {MAX_EVIDENCE_BYTES} bytes");
        return Err(Fault::new(Reason::TooLarge, expected, evidence.len()));
    }
    let mut list = Reader::whole_list(evidence)?;
    let mut receipts = Vec::new();
    while !list.is_empty() {
        if receipts.len() == trie::MAX_ITEMS {
            return Err(Fault::new(Reason::TooLarge, format!("at most {} receipts", trie::MAX_ITEMS), "one more"));
        }
        receipts.push(list.string()?);
    }
    let rebuilt = trie::ordered_root(&receipts)?;
    if rebuilt != root {
        return Err(Fault::new(Reason::ReceiptsRoot, root, format!("{rebuilt} from {} receipts", receipts.len())));
    }
    Ok(receipts)
}

/// Builds a block's evidence from the raw receipts of all its transactions, in order.
pub fn write_evidence<R: AsRef<[u8]>>(receipts: impl IntoIterator<Item = R>) -> Vec<u8> {
    let mut items = Vec::new();
    receipts.into_iter().for_each(|receipt| crate::rlp::write_string(receipt.as_ref(), &mut items));
    let mut out = Vec::with_capacity(items.len() + 5);
    crate::rlp::write_list(&items, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rlp;
    use proptest::prelude::*;

    fn log(topics: usize) -> Vec<u8> {
        let mut list = Vec::new();
        (0..topics).for_each(|_| rlp::write_string(&[9; 32], &mut list));
        let mut items = Vec::new();
        rlp::write_string(&[5; 20], &mut items);
        rlp::write_list(&list, &mut items);
        rlp::write_string(b"data", &mut items);
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }

    fn receipt(status: &[u8], logs: &[Vec<u8>]) -> Vec<u8> {
        let mut items = Vec::new();
        rlp::write_string(status, &mut items);
        rlp::write_u64(21_000, &mut items);
        rlp::write_string(&[0; 256], &mut items);
        rlp::write_list(&logs.concat(), &mut items);
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }

    fn typed(kind: u8, receipt: &[u8]) -> Vec<u8> {
        [&[kind], receipt].concat()
    }

    #[test]
    fn legacy_and_typed() {
        let body = receipt(&[1], &[log(0), log(4)]);
        for kind in 0..=4 {
            let bytes = if kind == 0 { body.clone() } else { typed(kind, &body) };
            let receipt = Receipt::parse(&bytes).unwrap();
            assert_eq!((receipt.kind(), receipt.success(), receipt.logs().len()), (kind, true, 2));
            assert_eq!(receipt.logs()[1].raw(), log(4));
        }
    }

    #[test]
    fn an_unknown_type() {
        for kind in [0x00, 0x05, 0x7f, 0x80, 0xbf] {
            assert_eq!(Receipt::parse(&typed(kind, &receipt(&[1], &[]))).unwrap_err().reason(), "receipt-malformed");
        }
        assert_eq!(Receipt::parse(&[]).unwrap_err().reason(), "receipt-malformed");
    }

    #[test]
    fn a_state_root_in_place_of_a_status() {
        assert_eq!(Receipt::parse(&receipt(&[7; 32], &[])).unwrap_err().reason(), "receipt-without-status");
    }

    #[test]
    fn a_status_that_is_neither_zero_nor_one() {
        for status in [&[2][..], &[0], &[1, 1]] {
            assert_eq!(Receipt::parse(&receipt(status, &[])).unwrap_err().reason(), "receipt-malformed");
        }
    }

    #[test]
    fn logs_of_a_failed_transaction() {
        assert!(Receipt::parse(&receipt(&[], &[])).is_ok());
        assert_eq!(Receipt::parse(&receipt(&[], &[log(1)])).unwrap_err().reason(), "receipt-malformed");
    }

    #[test]
    fn a_fifth_topic() {
        assert_eq!(Receipt::parse(&receipt(&[1], &[log(5)])).unwrap_err().reason(), "receipt-malformed");
    }

    /// 25 million gas, of a block that may have billions.
    #[test]
    fn one_log_more_than_65536_in_a_transaction_stops_nobody() {
        let mut one = Vec::new();
        rlp::write_string(&[5; 20], &mut one);
        one.extend([0xc0, 0x80]);
        let mut shortest = Vec::new();
        rlp::write_list(&one, &mut shortest);
        assert_eq!(shortest.len(), MIN_LOG_BYTES);
        let crowded = receipt(&[1], &vec![shortest; 65_537]);
        assert_eq!(Receipt::parse(&crowded).unwrap().logs().len(), 65_537);
        let root = trie::ordered_root(&[&crowded]).unwrap();
        assert_eq!(open_evidence(&write_evidence([&crowded]), root).unwrap(), [&crowded[..]]);
    }

    #[test]
    fn one_transaction_more_than_65536_in_a_block_stops_nobody() {
        let mut shortest = Vec::new();
        rlp::write_list(&[&[0x80, 0x80, 0xb9, 1, 0][..], &[0; 256], &[0xc0]].concat(), &mut shortest);
        let crowd = vec![&shortest[..]; 65_537];
        assert_eq!(write_evidence([&shortest]).len() - 3, MIN_RECEIPT_BYTES);
        let root = trie::ordered_root(&crowd).unwrap();
        assert_eq!(open_evidence(&write_evidence(&crowd), root).unwrap().len(), 65_537);
    }

    #[test]
    fn what_is_beyond_the_bytes_is_said_to_be_too_large() {
        let fault = open_evidence(&vec![0; MAX_EVIDENCE_BYTES + 1], trie::EMPTY_ROOT).unwrap_err();
        assert!(hufu_adapters_light_client::Rejection::from(fault).is_limit());
    }

    #[test]
    fn trailing_bytes() {
        let mut bytes = receipt(&[1], &[]);
        bytes.push(0);
        assert_eq!(Receipt::parse(&bytes).unwrap_err().reason(), "rlp-trailing-bytes");
        let mut bytes = log(1);
        bytes.push(0x80);
        assert_eq!(Log::parse(&bytes).unwrap_err().reason(), "rlp-trailing-bytes");
    }

    #[test]
    fn receipts_that_do_not_rebuild_the_root() {
        let one = receipt(&[1], &[log(1)]);
        let two = receipt(&[1], &[log(2)]);
        let root = trie::ordered_root(&[&one, &two]).unwrap();
        assert_eq!(open_evidence(&write_evidence([&one, &two]), root).unwrap(), [&one[..], &two[..]]);
        for wrong in [vec![&two, &one], vec![&one], vec![&one, &two, &two], vec![&one, &one], vec![]] {
            let fault = open_evidence(&write_evidence(wrong), root).unwrap_err();
            assert_eq!(fault.reason(), "receipts-root");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Receipt::parse(&bytes);
            let _ = Log::parse(&bytes);
            let _ = open_evidence(&bytes, trie::EMPTY_ROOT);
        }

        #[test]
        fn a_changed_receipt_is_refused_or_differs(at in any::<usize>(), bit in 0u8..8) {
            let good = receipt(&[1], &[log(2)]);
            let mut bad = good.clone();
            let at = at % bad.len();
            bad[at] ^= 1 << bit;
            if let Ok(read) = Receipt::parse(&bad) {
                prop_assert_ne!(read, Receipt::parse(&good).unwrap());
            }
        }
    }
}
