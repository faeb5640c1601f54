//! Accounts and their storage, proven under a block's state root.
//!
//! An account stands under Keccak-256 of its address as `[nonce, balance, storage root, code hash]`, a slot under
//! Keccak-256 of its 32-byte number as the RLP of its value without leading zeros. A slot of zero is not in the trie:
//! its absence is its value. Source: yellow paper, section 4.1.

use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::proof::{hash_bytes, verify_inclusion};
use crate::rlp::Reader;
use crate::uint::U256;
use hufu_adapters_light_client::Budget;

/// Code hash of an account without code: Keccak-256 of nothing.
pub const EMPTY_CODE_HASH: Hash32 = Hash32::new([
    0xc5, 0xd2, 0x46, 0x01, 0x86, 0xf7, 0x23, 0x3c, 0x92, 0x7e, 0x7d, 0xb2, 0xdc, 0xc7, 0x03, 0xc0, 0xe5, 0x00, 0xb6,
    0x53, 0xca, 0x82, 0x27, 0x3b, 0x7b, 0xfa, 0xd8, 0x04, 0x5d, 0x85, 0xa4, 0x70,
]);

/// What the state trie says of one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    nonce: u64,
    balance: U256,
    storage_root: Hash32,
    code_hash: Hash32,
}

impl Account {
    /// Reads exactly one account.
    ///
    /// # Errors
    /// [`Fault`] if it is not canonical, has another shape, or names 32 zero bytes as a hash.
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let mut items = Reader::whole_list(bytes).map_err(malformed)?;
        let account = Self {
            nonce: items.u64().map_err(malformed)?,
            balance: U256::from_be_slice(items.scalar(32).map_err(malformed)?).unwrap_or_default(),
            storage_root: Hash32::new(items.fixed().map_err(malformed)?),
            code_hash: Hash32::new(items.fixed().map_err(malformed)?),
        };
        items.end().map_err(malformed)?;
        if [account.storage_root, account.code_hash].contains(&Hash32::ZERO) {
            return Err(Fault::new(Reason::ProofZeroHash, "hashes of storage and code", Hash32::ZERO));
        }
        Ok(account)
    }

    /// Transactions sent, or contracts made.
    pub fn nonce(&self) -> u64 {
        self.nonce
    }

    /// Balance in wei.
    pub fn balance(&self) -> U256 {
        self.balance
    }

    /// Root of the account's storage trie.
    pub fn storage_root(&self) -> Hash32 {
        self.storage_root
    }

    /// Keccak-256 of the account's code. It says what code stands in *this* block's state: whether the code can be
    /// changed, or was another between two blocks, it does not say.
    pub fn code_hash(&self) -> Hash32 {
        self.code_hash
    }

    /// Whether the account has code.
    pub fn has_code(&self) -> bool {
        self.code_hash != EMPTY_CODE_HASH
    }

    /// Asserts that `code` is the account's.
    ///
    /// # Errors
    /// [`Fault`] `code-hash` if it is other code, or beyond the budget.
    pub fn require_code(&self, code: &[u8], budget: &mut Budget) -> Result<(), Fault> {
        hash_bytes(code.len(), budget)?;
        self.require_code_hash(keccak256(code))
    }

    /// Asserts that the account's code is the one `pinned` by an operator.
    ///
    /// # Errors
    /// [`Fault`] `code-hash` otherwise.
    pub fn require_code_hash(&self, pinned: Hash32) -> Result<(), Fault> {
        if self.code_hash == pinned {
            return Ok(());
        }
        Err(Fault::new(Reason::CodeHash, pinned, self.code_hash))
    }
}

fn malformed(fault: crate::rlp::RlpFault) -> Fault {
    Fault::new(Reason::Account, "[nonce, balance, storage root, code hash]", fault)
}

/// The account at `address` under `state_root`; `None` where it is proven that there is none.
///
/// # Errors
/// [`Fault`] as for [`verify_inclusion`], and if what stands there is no account.
pub fn verify_account<N: AsRef<[u8]>>(
    state_root: Hash32,
    address: Address,
    nodes: &[N],
    budget: &mut Budget,
) -> Result<Option<Account>, Fault> {
    let key = keccak256(address.as_bytes());
    verify_inclusion(state_root, key.as_bytes(), nodes, budget)?.map(Account::parse).transpose()
}

/// The value of `slot` (its 32 bytes before hashing) under an account's `storage_root`: zero where absence is proven.
///
/// # Errors
/// [`Fault`] as for [`verify_inclusion`], and if what stands there is no value of a slot.
pub fn verify_slot<N: AsRef<[u8]>>(
    storage_root: Hash32,
    slot: Hash32,
    nodes: &[N],
    budget: &mut Budget,
) -> Result<U256, Fault> {
    let key = keccak256(slot.as_bytes());
    match verify_inclusion(storage_root, key.as_bytes(), nodes, budget)? {
        None => Ok(U256::default()),
        Some(value) => parse_slot(value),
    }
}

fn parse_slot(value: &[u8]) -> Result<U256, Fault> {
    let bad = |got: &dyn std::fmt::Display| Fault::new(Reason::Slot, "a number from 1 to 2^256 - 1", got);
    let mut reader = Reader::new(value);
    let digits = reader.scalar(32).map_err(|fault| bad(&fault))?;
    reader.end().map_err(|fault| bad(&fault))?;
    match U256::from_be_slice(digits) {
        Some(number) if number != U256::default() => Ok(number),
        _ => Err(bad(&"zero, which a trie does not hold")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rlp;
    use crate::trie::EMPTY_ROOT;
    use proptest::prelude::*;

    fn encode(nonce: u64, balance: &[u8], storage_root: &[u8], code_hash: &[u8]) -> Vec<u8> {
        let mut items = Vec::new();
        rlp::write_u64(nonce, &mut items);
        [balance, storage_root, code_hash].into_iter().for_each(|item| rlp::write_string(item, &mut items));
        list(&items)
    }

    fn list(items: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        rlp::write_list(items, &mut out);
        out
    }

    fn refused(bytes: &[u8]) -> &'static str {
        Account::parse(bytes).unwrap_err().reason()
    }

    #[test]
    fn the_empty_code_hash() {
        assert_eq!(keccak256(&[]), EMPTY_CODE_HASH);
    }

    #[test]
    fn code_hash_changed() {
        let code = b"\x60\x80\x60\x40";
        let account = Account::parse(&encode(1, &[], EMPTY_ROOT.as_bytes(), keccak256(code).as_bytes())).unwrap();
        let mut budget = Budget::new(0, 100);
        account.require_code(code, &mut budget).unwrap();
        assert!(account.has_code());
        assert_eq!(account.require_code(b"\x60\x80\x60\x41", &mut budget).unwrap_err().reason(), "code-hash");
        assert_eq!(account.require_code_hash(EMPTY_CODE_HASH).unwrap_err().reason(), "code-hash");
        assert_eq!(account.require_code(&[0; 101], &mut budget).unwrap_err().reason(), "budget-exhausted");
    }

    #[test]
    fn zero_hash() {
        let hash = EMPTY_CODE_HASH;
        assert_eq!(refused(&encode(1, &[], &[0; 32], hash.as_bytes())), "proof-zero-hash");
        assert_eq!(refused(&encode(1, &[], EMPTY_ROOT.as_bytes(), &[0; 32])), "proof-zero-hash");
    }

    #[test]
    fn an_account_of_another_shape() {
        let hash = [7; 32];
        let good = encode(1, &[1], &hash, &hash);
        let mut longer = Reader::whole_list(&good).unwrap().rest().to_vec();
        longer.push(0x01);
        assert!(Account::parse(&good).is_ok());
        for bad in [
            encode(1, &[0, 1], &hash, &hash),
            encode(1, &[1; 33], &hash, &hash),
            encode(1, &[1], &hash[1..], &hash),
            encode(1, &[1], &hash, &[]),
            list(&longer),
            [&good[..], &[0]].concat(),
            good[..good.len() - 1].to_vec(),
            vec![0x80],
            Vec::new(),
        ] {
            assert_eq!(refused(&bad), "account-malformed", "{}", hex::encode(&bad));
        }
    }

    #[test]
    fn a_slot_that_is_no_number() {
        assert_eq!(parse_slot(&[0x1f]).unwrap(), U256::from(0x1f));
        for bad in [&[0x80][..], &[0x00], &[0x81, 0x1f], &[0x82, 0, 1], &[0xc0], &[0x1f, 0x1f], &[]] {
            assert_eq!(parse_slot(bad).unwrap_err().reason(), "slot-malformed", "{bad:02x?}");
        }
        assert_eq!(parse_slot(&[&[0xa1][..], &[1; 33]].concat()).unwrap_err().reason(), "slot-malformed");
    }

    proptest! {
        #[test]
        fn accounts_are_read_as_the_oracle_writes_them(
            nonce in any::<u64>(), balance in any::<[u8; 32]>(), root in any::<[u8; 32]>(), code in any::<[u8; 32]>()
        ) {
            let balance_oracle = alloy_primitives::U256::from_be_bytes(balance);
            let oracle = alloy_trie::TrieAccount {
                nonce, balance: balance_oracle, storage_root: root.into(), code_hash: code.into(),
            };
            let account = Account::parse(&alloy_rlp::encode(oracle)).unwrap();
            prop_assert_eq!(account.nonce(), nonce);
            prop_assert_eq!(account.balance(), U256::new(balance));
            prop_assert_eq!((account.storage_root(), account.code_hash()), (Hash32::new(root), Hash32::new(code)));
        }
    }
}
