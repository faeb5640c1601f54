//! Whether what stands beside a header in its block is what the header commits to.

use hufu_evm_light_client::Header;
use hufu_evm_light_client::fault::Fault;
use hufu_evm_light_client::rlp::{Item, Reader};
use hufu_evm_light_client::trie::{self, MAX_ITEMS};

/// A block taken apart: `[header, [transaction…], [ommer…]]`, from Shanghai on with `[withdrawal…]`.
pub(super) struct Block<'a> {
    pub(super) header: &'a [u8],
    rest: Reader<'a>,
}

impl<'a> Block<'a> {
    /// Opens exactly one block; the body is not looked at yet.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, String> {
        let mut items = Reader::whole_list(bytes).map_err(|fault| shape(&fault))?;
        let header = items.raw().map_err(|fault| shape(&fault))?;
        Ok(Self { header, rest: items })
    }

    /// Compares the body with the header's roots.
    pub(super) fn check_body(&self, header: &Header) -> Result<(), String> {
        let mut rest = self.rest.clone();
        let transactions = values(rest.list().map_err(|fault| shape(&fault))?)?;
        let root = trie::ordered_root(&transactions).map_err(|fault| said(&fault))?;
        let fields = header.fields();
        if root != fields.transactions_root {
            return Err(format!("transactions-root: expected {}, got {root}", fields.transactions_root));
        }
        let ommers = rest.list().map_err(|fault| shape(&fault))?;
        if !ommers.is_empty() {
            return Err("ommers: expected none on a permissioned ledger, got some".to_owned());
        }
        match (fields.withdrawals_root, rest.is_empty()) {
            (None, true) => Ok(()),
            (None, false) => Err("block-shape: expected three items, got more".to_owned()),
            (Some(due), _) => {
                let withdrawals = values(rest.list().map_err(|fault| shape(&fault))?)?;
                let root = trie::ordered_root(&withdrawals).map_err(|fault| said(&fault))?;
                rest.end().map_err(|fault| shape(&fault))?;
                if root == due { Ok(()) } else { Err(format!("withdrawals-root: expected {due}, got {root}")) }
            }
        }
    }
}

/// What the trie holds of each item: a list as it stands (legacy), a string's content (typed).
fn values(mut list: Reader<'_>) -> Result<Vec<&[u8]>, String> {
    let mut values = Vec::new();
    while !list.is_empty() {
        if values.len() == MAX_ITEMS {
            return Err(format!("too-large: expected at most {MAX_ITEMS} items, got more"));
        }
        let mut same = list.clone();
        let raw = list.raw().map_err(|fault| shape(&fault))?;
        values.push(match same.item().map_err(|fault| shape(&fault))? {
            Item::String(content) => content,
            Item::List(_) => raw,
        });
    }
    Ok(values)
}

fn shape(fault: &hufu_evm_light_client::rlp::RlpFault) -> String {
    format!("{}: {fault}", fault.reason())
}

/// A fault with its label.
pub(super) fn said(fault: &Fault) -> String {
    format!("{}: expected {}, got {}", fault.reason(), fault.expected(), fault.got())
}
