//! The RLP lists that the layouts share: addresses and seals, each with its limit.

use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::rlp::{self, Reader, RlpFault};
use crate::seal::Seal;
use crate::tally::MAX_VALIDATORS;

/// What is asked for where a contract keeps the set, and what to do.
const LISTED: &str = "validators listed in extraData (block header mode). Validator contract mode is not followed: its set \
                      stands in the state of the block before, by a layout of the contract's own. Ask the ledger's \
                      operators for block header mode, or anchor it where that mode is in force";

/// Digest of a validator set: Keccak-256 of the RLP list of its addresses.
pub fn set_digest(validators: &[Address]) -> Hash32 {
    let mut list = Vec::new();
    write_addresses(validators, &mut list);
    keccak256(&list)
}

/// Reads a list of at least one address; its order is for the caller to check.
pub(crate) fn read_validators(mut list: Reader<'_>) -> Result<Vec<Address>, Fault> {
    let mut addresses = Vec::new();
    while !list.is_empty() {
        if addresses.len() == MAX_VALIDATORS {
            return Err(RlpFault::TooMany { expected: MAX_VALIDATORS }.into());
        }
        addresses.push(Address::new(list.fixed()?));
    }
    if addresses.is_empty() {
        return Err(Fault::new(Reason::ValidatorContract, LISTED, "an empty list: a contract keeps the set"));
    }
    Ok(addresses)
}

pub(crate) fn read_seals(mut list: Reader<'_>) -> Result<Vec<Seal>, Fault> {
    let mut seals = Vec::new();
    while !list.is_empty() {
        if seals.len() == MAX_VALIDATORS {
            return Err(RlpFault::TooMany { expected: MAX_VALIDATORS }.into());
        }
        seals.push(Seal::parse(list.string()?)?);
    }
    Ok(seals)
}

/// Asserts that nothing is left of a list of `count` items.
pub(crate) fn require_end(items: &Reader<'_>, count: &str) -> Result<(), Fault> {
    if items.is_empty() {
        return Ok(());
    }
    let got = format!("{} more bytes", items.rest().len());
    Err(Fault::new(Reason::ExtraData, format!("{count} items in extraData"), got))
}

pub(crate) fn write_addresses(addresses: &[Address], out: &mut Vec<u8>) {
    let mut list = Vec::with_capacity(addresses.len() * 21);
    addresses.iter().for_each(|address| rlp::write_string(address.as_bytes(), &mut list));
    rlp::write_list(&list, out);
}

pub(crate) fn write_seals(seals: &[Seal], out: &mut Vec<u8>) {
    let mut list = Vec::with_capacity(seals.len() * 67);
    seals.iter().for_each(|seal| rlp::write_string(seal.as_bytes(), &mut list));
    rlp::write_list(&list, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_beyond_their_limit() {
        let mut addresses = Vec::new();
        write_addresses(&vec![Address::ZERO; MAX_VALIDATORS + 1], &mut addresses);
        let list = Reader::whole_list(&addresses).unwrap();
        assert_eq!(read_validators(list).unwrap_err().reason(), RlpFault::TooMany { expected: 0 }.reason());
        let mut seals = Vec::new();
        write_seals(&vec![Seal::parse(&[0; 65]).unwrap(); MAX_VALIDATORS + 1], &mut seals);
        let list = Reader::whole_list(&seals).unwrap();
        assert_eq!(read_seals(list).unwrap_err().reason(), RlpFault::TooMany { expected: 0 }.reason());
    }
}
