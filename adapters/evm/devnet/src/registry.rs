//! The registry contract that demo and tests use: its events, the functions that emit them, and its code.

use alloy_primitives::{B256, Bytes, hex};

use crate::abi::{EventCall, encode_strings, selector};

/// One electronic certificate.
pub const CERTIFICATE_CHANGED: &str =
    "CertificateChanged(string,string,string,string,string,string,string,string,string,string)";

/// One right in one property unit.
pub const PROPERTY_RIGHT_CHANGED: &str =
    "PropertyRightChanged(string,string,string,string,string,string,string,string)";

/// One tax clearance.
pub const CLEARANCE_GRANTED: &str = "ClearanceGranted(string,string,string,string,string,string)";

/// The contract's ABI as JSON text.
pub const ABI: &str = include_str!("../../contracts/Registry.abi.json");

const CREATION_HEX: &str = include_str!("../../contracts/Registry.bin");
const RUNTIME_HEX: &str = include_str!("../../contracts/Registry.runtime.bin");

/// Where the contract keeps the account that deployed it: `address public registrar`, its only variable.
pub const REGISTRAR_SLOT: B256 = B256::ZERO;

/// The one function that only reads: it gives [`REGISTRAR_SLOT`].
pub const REGISTRAR: &str = "registrar()";

/// Event name and the function that emits it.
const FUNCTIONS: [(&str, &str); 3] = [
    ("CertificateChanged", "changeCertificate"),
    ("PropertyRightChanged", "changePropertyRight"),
    ("ClearanceGranted", "grantClearance"),
];

/// The code that a deployment sends.
pub fn creation_code() -> Bytes {
    decode(CREATION_HEX)
}

/// The code that stands on the ledger afterwards.
pub fn runtime_code() -> Bytes {
    decode(RUNTIME_HEX)
}

/// The files are part of this source; the tests decode them.
fn decode(text: &str) -> Bytes {
    hex::decode(text.trim()).unwrap_or_default().into()
}

/// The call that would make the contract emit this event. An event the contract does not know is called by its own
/// signature, since some call data must stand in the transaction.
pub fn call_data(event: &EventCall) -> Bytes {
    let function = FUNCTIONS
        .iter()
        .find_map(|(name, function)| {
            let params = event.signature.strip_prefix(name).filter(|rest| rest.starts_with('('))?;
            Some(format!("{function}{params}"))
        })
        .unwrap_or_else(|| event.signature.clone());
    [selector(&function).as_slice(), &encode_strings(&event.args)].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::keccak256;

    #[test]
    fn the_events_are_those_of_the_abi() {
        let abi: serde_json::Value = serde_json::from_str(ABI).unwrap();
        let signature = |entry: &serde_json::Value| {
            let params: Vec<_> =
                entry["inputs"].as_array().unwrap().iter().map(|i| i["type"].as_str().unwrap()).collect();
            format!("{}({})", entry["name"].as_str().unwrap(), params.join(","))
        };
        let mut events: Vec<_> =
            abi.as_array().unwrap().iter().filter(|e| e["type"] == "event").map(signature).collect();
        events.sort();
        assert_eq!(events, [CERTIFICATE_CHANGED, CLEARANCE_GRANTED, PROPERTY_RIGHT_CHANGED]);
    }

    #[test]
    fn the_code_is_the_committed_one() {
        assert_eq!(
            format!("{:#x}", keccak256(runtime_code())),
            "0x64b08f57d86f0326bdbb019c73adb6877c6b4e12797762158c878b9fcd567f93"
        );
        let (creation, runtime) = (creation_code(), runtime_code());
        assert!(creation.windows(runtime.len()).any(|part| part == runtime.as_ref()));
    }
}
