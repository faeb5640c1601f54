//! What a node answers to `eth_getProof`: an account and slots of it, with the proofs of both.
//!
//! The proofs decide. Beside them a node says in plain fields what they prove; [`GetProof::verify`] recomputes that and
//! refuses an answer that contradicts itself, so that nothing which reads the plain fields is misled either.
//! Source: EIP-1186. Seen on GoQuorum 24.4.1 and go-ethereum (the shared vectors).

use crate::account::{Account, EMPTY_CODE_HASH, verify_account, verify_slot};
use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::keccak::Hash32;
use crate::proof::MAX_NODE_BYTES;
use crate::trie::EMPTY_ROOT;
use crate::uint::U256;
use hufu_adapters_light_client::Budget;
use serde::{Deserialize, Deserializer, de};

/// Bytes of one answer: [`MAX_SLOTS`] proofs of eight full branches would be 4.5 MiB of hex.
pub const MAX_ANSWER_BYTES: usize = 8 << 20;
/// Slots of one answer.
pub const MAX_SLOTS: usize = 512;

/// One answer, read but not believed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetProof {
    address: Address,
    account_proof: Vec<NodeBytes>,
    balance: Word,
    code_hash: Hash32,
    nonce: Word,
    storage_hash: Hash32,
    storage_proof: Vec<SlotProof>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct SlotProof {
    key: Word,
    value: Word,
    proof: Vec<NodeBytes>,
}

/// What an answer proved: made by [`GetProof::verify`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenState {
    address: Address,
    account: Option<Account>,
    slots: Vec<(Hash32, U256)>,
}

impl ProvenState {
    /// The address that was asked for.
    pub fn address(&self) -> Address {
        self.address
    }

    /// The account, or `None` where it is proven that there is none.
    pub fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// The slots that were asked for, in that order, with their values.
    pub fn slots(&self) -> &[(Hash32, U256)] {
        &self.slots
    }
}

impl GetProof {
    /// Reads the `result` of an answer. Fields beyond those of EIP-1186 are passed over.
    ///
    /// # Errors
    /// [`Fault`] if it is too large, no such JSON, or has a field twice.
    pub fn parse(json: &[u8]) -> Result<Self, Fault> {
        if json.len() > MAX_ANSWER_BYTES {
            let expected = format!("an answer of at most {MAX_ANSWER_BYTES} bytes");
            return Err(Fault::new(Reason::TooLarge, expected, json.len()));
        }
        let answer: Self = serde_json::from_slice(json)
            .map_err(|error| Fault::new(Reason::ProofAnswer, "the result of eth_getProof", error))?;
        if answer.storage_proof.len() > MAX_SLOTS {
            let got = answer.storage_proof.len();
            return Err(Fault::new(Reason::TooLarge, format!("at most {MAX_SLOTS} slots"), got));
        }
        Ok(answer)
    }

    /// The nodes of the account's proof, as they came.
    pub fn account_nodes(&self) -> Vec<&[u8]> {
        self.account_proof.iter().map(AsRef::as_ref).collect()
    }

    /// The nodes of a slot's proof, as they came; none where the answer does not speak of it.
    pub fn slot_nodes(&self, slot: Hash32) -> Vec<&[u8]> {
        let answer = self.storage_proof.iter().find(|answer| answer.key.0.as_bytes() == slot.as_bytes());
        answer.map(|answer| answer.proof.iter().map(AsRef::as_ref).collect()).unwrap_or_default()
    }

    /// What the answer proves under `state_root` of `address` and of `slots`, which are what was asked for: a node does
    /// not choose what it answers about.
    ///
    /// # Errors
    /// [`Fault`] if it answers about anything else, if a proof does not close, or if its plain fields say otherwise.
    pub fn verify(
        &self,
        state_root: Hash32,
        address: Address,
        slots: &[Hash32],
        budget: &mut Budget,
    ) -> Result<ProvenState, Fault> {
        if self.address != address {
            return Err(Fault::new(Reason::ItemOfAnother, address, self.address));
        }
        let account = verify_account(state_root, address, &self.account_proof, budget)?;
        self.require_claims(account.as_ref())?;
        let storage_root = account.map_or(EMPTY_ROOT, |account| account.storage_root());
        if self.storage_proof.len() > slots.len() {
            let got = format!("{} slots", self.storage_proof.len());
            return Err(Fault::new(Reason::ProofUnused, format!("{} slots, as asked for", slots.len()), got));
        }
        let slots = slots.iter().map(|slot| Ok((*slot, self.slot(storage_root, *slot, budget)?)));
        Ok(ProvenState { address, account, slots: slots.collect::<Result<_, Fault>>()? })
    }

    fn slot(&self, storage_root: Hash32, slot: Hash32, budget: &mut Budget) -> Result<U256, Fault> {
        let answer = self.storage_proof.iter().find(|answer| answer.key.0.as_bytes() == slot.as_bytes());
        let answer = answer.ok_or_else(|| Fault::new(Reason::ItemMissing, format!("slot {slot}"), "no such entry"))?;
        let value = verify_slot(storage_root, slot, &answer.proof, budget)?;
        claim(&format!("slot {slot}"), value, answer.value.0)?;
        Ok(value)
    }

    fn require_claims(&self, account: Option<&Account>) -> Result<(), Fault> {
        let Some(account) = account else { return self.require_nothing_claimed() };
        claim("nonce", U256::from(account.nonce()), self.nonce.0)?;
        claim("balance", account.balance(), self.balance.0)?;
        claim("storageHash", account.storage_root(), self.storage_hash)?;
        claim("codeHash", account.code_hash(), self.code_hash)
    }

    /// Of an account that is not there nodes say either that all of it is zero, or that it has no code and no storage.
    fn require_nothing_claimed(&self) -> Result<(), Fault> {
        claim("nonce", U256::default(), self.nonce.0)?;
        claim("balance", U256::default(), self.balance.0)?;
        if self.storage_hash != Hash32::ZERO {
            claim("storageHash", EMPTY_ROOT, self.storage_hash)?;
        }
        if self.code_hash != Hash32::ZERO {
            claim("codeHash", EMPTY_CODE_HASH, self.code_hash)?;
        }
        Ok(())
    }
}

fn claim<T: PartialEq + std::fmt::Display>(field: &str, proven: T, claimed: T) -> Result<(), Fault> {
    if proven == claimed {
        return Ok(());
    }
    Err(Fault::new(Reason::ProofClaim, format!("{field} {proven}"), claimed))
}

/// A node of a proof: `0x` and an even number of digits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct NodeBytes(Vec<u8>);

impl AsRef<[u8]> for NodeBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for NodeBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = digits::<D::Error>(&text, 2 * MAX_NODE_BYTES)?;
        hex::decode(digits).map(Self).map_err(de::Error::custom)
    }
}

/// A number of at most 32 bytes: `0x` and 1 to 64 digits. Nodes differ in whether they pad keys and values with zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word(U256);

impl<'de> Deserialize<'de> for Word {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = digits::<D::Error>(&text, 64)?;
        if digits.is_empty() {
            return Err(de::Error::custom("expected 1 to 64 hex digits, got none"));
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(format!("{digits:0>64}"), &mut bytes).map_err(de::Error::custom)?;
        Ok(Self(U256::new(bytes)))
    }
}

fn digits<E: de::Error>(text: &str, most: usize) -> Result<&str, E> {
    let digits = text.strip_prefix("0x").ok_or_else(|| E::custom("expected 0x and hex digits"))?;
    if digits.len() > most {
        return Err(E::custom(format_args!("expected at most {most} hex digits, got {}", digits.len())));
    }
    Ok(digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// An account that is not there, in a state with nothing in it.
    fn absent() -> Value {
        json!({
            "address": Address::new([0xde; 20]), "accountProof": [], "balance": "0x0", "nonce": "0x0",
            "codeHash": EMPTY_CODE_HASH, "storageHash": EMPTY_ROOT,
            "storageProof": [{"key": "0x2", "value": "0x0", "proof": []}],
        })
    }

    fn slot(number: u8) -> Hash32 {
        let mut bytes = [0; 32];
        bytes[31] = number;
        Hash32::new(bytes)
    }

    fn verify(value: &Value, slots: &[Hash32]) -> Result<ProvenState, Fault> {
        let answer = GetProof::parse(value.to_string().as_bytes())?;
        answer.verify(EMPTY_ROOT, Address::new([0xde; 20]), slots, &mut Budget::for_evidence())
    }

    fn refused(value: &Value) -> &'static str {
        verify(value, &[slot(2)]).unwrap_err().reason()
    }

    #[test]
    fn an_absent_account_has_no_storage() {
        let state = verify(&absent(), &[slot(2)]).unwrap();
        assert_eq!((state.account(), state.slots()), (None, &[(slot(2), U256::default())][..]));
        let mut zeros = absent();
        zeros["codeHash"] = json!(Hash32::ZERO);
        zeros["storageHash"] = json!(Hash32::ZERO);
        zeros["storageProof"][0]["key"] = json!(slot(2));
        assert_eq!(verify(&zeros, &[slot(2)]).unwrap(), state);
    }

    #[test]
    fn an_absent_account_with_claims() {
        for (field, value) in [
            ("nonce", json!("0x1")),
            ("balance", json!("0x1")),
            ("codeHash", json!(Hash32::new([1; 32]))),
            ("storageHash", json!(Hash32::new([1; 32]))),
        ] {
            let mut answer = absent();
            answer[field] = value;
            assert_eq!(refused(&answer), "proof-claim", "{field}");
        }
        let mut answer = absent();
        answer["storageProof"][0]["value"] = json!("0x1");
        assert_eq!(refused(&answer), "proof-claim");
    }

    #[test]
    fn an_answer_to_another_question() {
        let mut other = absent();
        other["address"] = json!(Address::new([0xdd; 20]));
        assert_eq!(refused(&other), "item-not-selected");
        assert_eq!(verify(&absent(), &[]).unwrap_err().reason(), "proof-unused-nodes");
        assert_eq!(verify(&absent(), &[slot(3)]).unwrap_err().reason(), "item-missing");
        assert_eq!(verify(&absent(), &[slot(2), slot(3)]).unwrap_err().reason(), "item-missing");
    }

    #[test]
    fn text_that_is_no_answer() {
        for (pointer, value) in [
            ("/balance", json!("0x")),
            ("/balance", json!("0")),
            ("/balance", json!(0)),
            ("/nonce", json!(format!("0x{}", "1".repeat(65)))),
            ("/accountProof", json!(["0x0"])),
            ("/accountProof", json!(["80"])),
            ("/accountProof", json!([format!("0x{}", "00".repeat(MAX_NODE_BYTES + 1))])),
            ("/storageProof/0/key", json!("0xgg")),
            ("/storageProof/0/key", json!("0xé")),
            ("/codeHash", json!("0x00")),
            ("/storageProof", json!(null)),
        ] {
            let mut answer = absent();
            *answer.pointer_mut(pointer).unwrap() = value;
            assert_eq!(refused(&answer), "proof-answer-malformed", "{pointer}");
        }
    }

    #[test]
    fn a_field_twice() {
        let twice = absent().to_string().replacen('{', "{\"nonce\":\"0x0\",", 1);
        assert_eq!(GetProof::parse(twice.as_bytes()).unwrap_err().reason(), "proof-answer-malformed");
    }

    #[test]
    fn too_large() {
        assert_eq!(GetProof::parse(&vec![b' '; MAX_ANSWER_BYTES + 1]).unwrap_err().reason(), "too-large");
        let mut answer = absent();
        let one = answer["storageProof"][0].clone();
        answer["storageProof"] = json!(vec![one; MAX_SLOTS + 1]);
        assert_eq!(refused(&answer), "too-large");
    }
}
