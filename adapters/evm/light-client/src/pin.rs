//! What a lane's definition pins of a contract: its code, and of a proxy the code behind it.
//!
//! As JSON, in a mapping's `source` beside `contract`, and under `pin` in a selector:
//! `"code": "0x<Keccak-256 of the runtime code>"`, and for a proxy
//! `"implementation": {"slot": "eip-1967", "address": "0x…", "code": "0x…"}`.

use crate::address::Address;
use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::uint::U256;
use serde::{Deserialize, Serialize};

/// The code of one contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    code: Hash32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    implementation: Option<Implementation>,
}

/// The contract whose code a proxy runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Implementation {
    /// Where the proxy says which contract it is.
    pub slot: Form,
    /// Its address; of a beacon, the beacon's.
    pub address: Address,
    /// Keccak-256 of its code.
    pub code: Hash32,
}

/// The known forms of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// EIP-1967: the implementation's address in a slot of the proxy.
    #[serde(rename = "eip-1967")]
    Eip1967,
    /// EIP-1967: the address of a beacon, which names the implementation. What the beacon names is its own business, which
    /// no proof here shows.
    #[serde(rename = "eip-1967-beacon")]
    Eip1967Beacon,
    /// EIP-1822: the implementation's address in another slot.
    #[serde(rename = "eip-1822")]
    Eip1822,
    /// EIP-1167: the implementation's address in the proxy's code, for good.
    #[serde(rename = "eip-1167")]
    Eip1167,
}

impl Form {
    /// The slot of the proxy's storage that holds the address; `None` where its code does.
    pub const fn slot(self) -> Option<Hash32> {
        match self {
            // Keccak-256 of "eip1967.proxy.implementation", less one.
            Self::Eip1967 => Some(Hash32::new([
                0x36, 0x08, 0x94, 0xa1, 0x3b, 0xa1, 0xa3, 0x21, 0x06, 0x67, 0xc8, 0x28, 0x49, 0x2d, 0xb9, 0x8d, 0xca,
                0x3e, 0x20, 0x76, 0xcc, 0x37, 0x35, 0xa9, 0x20, 0xa3, 0xca, 0x50, 0x5d, 0x38, 0x2b, 0xbc,
            ])),
            // Keccak-256 of "eip1967.proxy.beacon", less one.
            Self::Eip1967Beacon => Some(Hash32::new([
                0xa3, 0xf0, 0xad, 0x74, 0xe5, 0x42, 0x3a, 0xeb, 0xfd, 0x80, 0xd3, 0xef, 0x43, 0x46, 0x57, 0x83, 0x35,
                0xa9, 0xa7, 0x2a, 0xea, 0xee, 0x59, 0xff, 0x6c, 0xb3, 0x58, 0x2b, 0x35, 0x13, 0x3d, 0x50,
            ])),
            // Keccak-256 of "PROXIABLE".
            Self::Eip1822 => Some(Hash32::new([
                0xc5, 0xf1, 0x6f, 0x0f, 0xcc, 0x63, 0x9f, 0xa4, 0x8a, 0x69, 0x47, 0x83, 0x6d, 0x98, 0x50, 0xf5, 0x04,
                0x79, 0x85, 0x23, 0xbf, 0x8c, 0x9a, 0x3a, 0x87, 0xd5, 0x87, 0x6c, 0xf6, 0x22, 0xbc, 0xf7,
            ])),
            Self::Eip1167 => None,
        }
    }
}

impl Pin {
    /// A pin of code, and of the code behind a proxy.
    ///
    /// # Errors
    /// [`Fault`] for a minimal proxy whose code is not that of EIP-1167 for the implementation's address.
    pub fn new(code: Hash32, implementation: Option<Implementation>) -> Result<Self, Fault> {
        if let Some(Implementation { slot: Form::Eip1167, address, .. }) = implementation {
            let due = keccak256(&minimal_proxy(address));
            if due != code {
                return Err(Fault::new(Reason::Selector, format!("code {due}, of EIP-1167 for {address}"), code));
            }
        }
        Ok(Self { code, implementation })
    }

    /// The same, where a pin was read from a definition.
    ///
    /// # Errors
    /// As for [`Pin::new`].
    pub fn checked(self) -> Result<Self, Fault> {
        Self::new(self.code, self.implementation)
    }

    /// Keccak-256 of the contract's own code.
    pub const fn code(&self) -> Hash32 {
        self.code
    }

    /// The contract behind a proxy.
    pub const fn implementation(&self) -> Option<&Implementation> {
        self.implementation.as_ref()
    }

    /// Address and code hash of the contract whose code decides whether the contract itself can become another; `None`
    /// where a slot decides, which somebody can write.
    pub fn decisive(&self, contract: Address) -> Option<(Address, Hash32)> {
        match self.implementation {
            None => Some((contract, self.code)),
            Some(behind) if behind.slot.slot().is_none() => Some((behind.address, behind.code)),
            Some(_) => None,
        }
    }
}

/// The whole code of a minimal proxy (EIP-1167).
pub fn minimal_proxy(implementation: Address) -> Vec<u8> {
    const BEFORE: [u8; 10] = [0x36, 0x3d, 0x3d, 0x37, 0x3d, 0x3d, 0x3d, 0x36, 0x3d, 0x73];
    const AFTER: [u8; 15] = [0x5a, 0xf4, 0x3d, 0x82, 0x80, 0x3e, 0x90, 0x3d, 0x91, 0x60, 0x2b, 0x57, 0xfd, 0x5b, 0xf3];
    [&BEFORE[..], implementation.as_bytes(), &AFTER].concat()
}

/// An address as it stands in a slot.
pub fn word_of(address: Address) -> U256 {
    U256::from_be_slice(address.as_bytes()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn less_one(text: &str) -> Hash32 {
        let mut hash = *keccak256(text.as_bytes()).as_bytes();
        // None of the two hashes ends in a zero byte.
        hash[31] -= 1;
        Hash32::new(hash)
    }

    #[test]
    fn the_slots_are_those_of_their_standards() {
        assert_eq!(Form::Eip1967.slot(), Some(less_one("eip1967.proxy.implementation")));
        assert_eq!(Form::Eip1967Beacon.slot(), Some(less_one("eip1967.proxy.beacon")));
        assert_eq!(Form::Eip1822.slot(), Some(keccak256(b"PROXIABLE")));
        assert_eq!(Form::Eip1167.slot(), None);
    }

    #[test]
    fn a_minimal_proxy_of_another_contract() {
        let (code, address) = (Hash32::new([1; 32]), Address::new([7; 20]));
        let behind = Implementation { slot: Form::Eip1167, address, code };
        assert_eq!(minimal_proxy(address).len(), 45);
        assert!(Pin::new(keccak256(&minimal_proxy(address)), Some(behind)).is_ok());
        let other = Pin::new(keccak256(&minimal_proxy(Address::new([8; 20]))), Some(behind));
        assert_eq!(other.unwrap_err().reason(), "selector-malformed");
    }

    #[test]
    fn one_spelling() {
        let (code, address) = (Hash32::new([1; 32]), Address::new([7; 20]));
        let alone = Pin::new(code, None).unwrap();
        assert_eq!(json!(alone), json!({ "code": code }));
        let behind = Implementation { slot: Form::Eip1822, address, code };
        let proxy = Pin::new(code, Some(behind)).unwrap();
        let spelled = json!({
            "code": code, "implementation": { "slot": "eip-1822", "address": address, "code": code },
        });
        assert_eq!(json!(proxy), spelled);
        assert_eq!(serde_json::from_value::<Pin>(spelled).unwrap(), proxy);
    }
}
