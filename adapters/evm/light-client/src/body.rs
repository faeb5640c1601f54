//! A whole block as nodes store and export it: `[header, transactions, ommers, …]`.
//!
//! The light client needs headers only. A ledger export holds whole blocks, and there the body must be what the header
//! commits to.

use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::keccak::keccak256;
use crate::rlp::{self, Item, Reader, RlpFault};
use crate::trie;

/// A block whose transactions and ommers are those of its header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WholeBlock {
    header: Header,
    transactions: usize,
}

impl WholeBlock {
    /// Reads exactly one block.
    ///
    /// # Errors
    /// [`Fault`] if it is not canonical, or if transactions or ommers do not give the hashes in the header. Withdrawals
    /// are refused: no permissioned kind has them.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        rlp::check(bytes)?;
        let mut items = Reader::whole_list(bytes)?;
        let header = Header::parse(items.raw()?)?;
        let transactions = read_transactions(items.list()?)?;
        let ommers = items.raw()?;
        items.end()?;
        let root = trie::ordered_root(&transactions)?;
        if root != header.fields().transactions_root {
            return Err(Fault::new(
                Reason::Body,
                format!("transactionsRoot {}", header.fields().transactions_root),
                root,
            ));
        }
        if keccak256(ommers) != header.fields().ommers_hash {
            let expected = format!("ommersHash {}", header.fields().ommers_hash);
            return Err(Fault::new(Reason::Body, expected, keccak256(ommers)));
        }
        Ok(Self { header, transactions: transactions.len() })
    }

    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How many transactions it holds.
    pub fn transactions(&self) -> usize {
        self.transactions
    }
}

/// Legacy transactions stand in the body as lists, typed ones as strings; the trie holds the list or the string's content.
fn read_transactions(mut list: Reader<'_>) -> Result<Vec<&[u8]>, Fault> {
    let mut transactions = Vec::new();
    while !list.is_empty() {
        if transactions.len() == trie::MAX_ITEMS {
            return Err(RlpFault::TooMany { expected: trie::MAX_ITEMS }.into());
        }
        let mut ahead = list.clone();
        let raw = list.raw()?;
        transactions.push(match ahead.item()? {
            Item::String(typed) => typed,
            Item::List(_) => raw,
        });
    }
    Ok(transactions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::HeaderDraft;

    fn block(transactions: &[u8], ommers: &[u8]) -> Vec<u8> {
        let mut items = HeaderDraft::default().encode();
        rlp::write_list(transactions, &mut items);
        rlp::write_list(ommers, &mut items);
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }

    #[test]
    fn an_empty_block() {
        assert_eq!(WholeBlock::parse(&block(&[], &[])).unwrap().transactions(), 0);
    }

    #[test]
    fn a_body_that_the_header_does_not_commit_to() {
        assert_eq!(WholeBlock::parse(&block(&[0xc1, 0x01], &[])).unwrap_err().reason(), "body-not-of-header");
        assert_eq!(WholeBlock::parse(&block(&[], &[0xc0])).unwrap_err().reason(), "body-not-of-header");
    }
}
