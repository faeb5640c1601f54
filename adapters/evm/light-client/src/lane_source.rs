//! The `source` section of a mapping: which contracts a lane reads, and which of their events.
//!
//! One contract:
//! `{"family": "evm", "contract": "0x…", "event": "Name" | "events": ["Name", "Name(type)"], "abi": […]}`.
//! Several, each with the same members except `family`; an `abi` beside them is for those that have none of their own:
//! `{"family": "evm", "abi": […], "contracts": [{"contract": "0x…"}, {"contract": "0x…", "events": ["Name"], "abi": […]}]}`.
//!
//! A contract's members may pin its code, `"code": "0x…"` and `"implementation": {…}` ([`crate::pin`]).
//!
//! Without `event` and `events` all named events of the ABI are meant. An anonymous event is read only where it is
//! named here.

use crate::abi::Abi;
use crate::address::Address;
use crate::anchor::{FAMILY, brief, fault};
use crate::pin::Pin;
use crate::selector::MAX_CONTRACTS;
use hufu_adapters_light_client::ConfigurationFault;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

type Section = Map<String, Value>;

/// A contract with the events of it that are read.
pub type Contract = (Address, Abi);

/// Reads the section.
///
/// # Errors
/// [`ConfigurationFault`] with the pointer of what is missing, unknown or wrong.
pub fn read(source: &Value) -> Result<Vec<Contract>, ConfigurationFault> {
    let section = object(source, "")?;
    require_known(
        section,
        "",
        &["family", "contract", "event", "events", "abi", "contracts", "code", "implementation"],
    )?;
    let family = need(section, "", "family", "\"evm\"")?;
    if family != FAMILY {
        return Err(fault("/family", "\"evm\"", &brief(family)));
    }
    match section.get("contracts") {
        None => Ok(vec![read_contract(section, "", None)?]),
        Some(several) => read_several(section, several),
    }
}

fn read_several(section: &Section, several: &Value) -> Result<Vec<Contract>, ConfigurationFault> {
    if ["contract", "event", "events", "code", "implementation"].iter().any(|key| section.contains_key(*key)) {
        return Err(fault("/contracts", "contracts, or contract with its events", "both"));
    }
    let due = format!("a list of 1 to {MAX_CONTRACTS} contracts");
    let list = several.as_array().filter(|list| !list.is_empty() && list.len() <= MAX_CONTRACTS);
    let list = list.ok_or_else(|| fault("/contracts", &due, &brief(several)))?;
    let shared = section.get("abi");
    if shared.is_some() && list.iter().all(|entry| entry.get("abi").is_some()) {
        return Err(fault("/abi", "no abi where each contract has its own", "one that nobody reads"));
    }
    let entries = list.iter().enumerate().map(|(place, entry)| {
        let at = format!("/contracts/{place}");
        let entry = object(entry, &at)?;
        require_known(entry, &at, &["contract", "event", "events", "abi", "code", "implementation"])?;
        read_contract(entry, &at, shared)
    });
    entries.collect()
}

/// What the section pins of its contracts' code.
///
/// # Errors
/// [`ConfigurationFault`] with the pointer of what is wrong. What [`read`] refuses may be passed over.
pub fn pins(source: &Value) -> Result<BTreeMap<Address, Pin>, ConfigurationFault> {
    let several = source.get("contracts").and_then(Value::as_array);
    let sections: Vec<(String, &Value)> = match several {
        None => vec![(String::new(), source)],
        Some(list) => list.iter().enumerate().map(|(place, entry)| (format!("/contracts/{place}"), entry)).collect(),
    };
    let mut pins = BTreeMap::new();
    for (at, section) in sections {
        let contract = section.get("contract").and_then(Value::as_str).and_then(|text| text.parse().ok());
        if let (Some(contract), Some(pin)) = (contract, read_pin(section, &at)?) {
            pins.insert(contract, pin);
        }
    }
    Ok(pins)
}

fn read_pin(section: &Value, at: &str) -> Result<Option<Pin>, ConfigurationFault> {
    let place = |key: &str| format!("{at}/{key}");
    let behind = section.get("implementation");
    let Some(code) = section.get("code") else {
        return match behind {
            None => Ok(None),
            Some(_) => Err(fault(&place("code"), "the proxy's own code beside its implementation", "nothing")),
        };
    };
    let hash = code.as_str().and_then(|text| text.parse().ok());
    let hash =
        hash.ok_or_else(|| fault(&place("code"), "0x and 64 hex digits, Keccak-256 of the code", &brief(code)))?;
    let behind = behind.map(Deserialize::deserialize).transpose();
    let behind = behind.map_err(|error| {
        fault(&place("implementation"), "{slot, address, code}, of a known form of proxy", &error.to_string())
    })?;
    Pin::new(hash, behind).map(Some).map_err(|error| fault(&place("code"), error.expected(), error.got()))
}

/// Reads the members about one contract, of a section or an entry at `at`.
fn read_contract(section: &Section, at: &str, shared: Option<&Value>) -> Result<Contract, ConfigurationFault> {
    let contract = need(section, at, "contract", "an address")?;
    let address = contract.as_str().and_then(|text| text.parse().ok());
    let address = address.ok_or_else(|| fault(&format!("{at}/contract"), "0x and 40 hex digits", &brief(contract)))?;
    let (place, abi) = match (section.get("abi"), shared) {
        (None, Some(shared)) => ("/abi".to_owned(), shared),
        _ => (format!("{at}/abi"), need(section, at, "abi", "the contract's JSON ABI")?),
    };
    let abi = Abi::parse(abi).map_err(|error| fault(&place, error.expected(), error.got()))?;
    let abi = match wanted_events(section, at)? {
        None => abi,
        Some((key, wanted)) => {
            abi.only(&wanted).map_err(|error| fault(&format!("{at}/{key}"), error.expected(), error.got()))?
        }
    };
    if abi.events().is_empty() {
        return Err(fault(&place, "an ABI with a named event", "none"));
    }
    Ok((address, abi))
}

type Wanted = Option<(&'static str, Vec<String>)>;

fn wanted_events(section: &Section, at: &str) -> Result<Wanted, ConfigurationFault> {
    let place = |key: &str| format!("{at}/{key}");
    match (section.get("event"), section.get("events")) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(fault(&place("events"), "either event or events", "both")),
        (Some(one), None) => {
            let name = one.as_str().ok_or_else(|| fault(&place("event"), "an event's name or signature", &brief(one)));
            Ok(Some(("event", vec![name?.to_owned()])))
        }
        (None, Some(many)) => {
            let names = many.as_array().filter(|names| !names.is_empty());
            let names = names.and_then(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
            names
                .map(|names| Some(("events", names)))
                .ok_or_else(|| fault(&place("events"), "a list of events' names or signatures", &brief(many)))
        }
    }
}

fn object<'v>(value: &'v Value, at: &str) -> Result<&'v Section, ConfigurationFault> {
    value.as_object().ok_or_else(|| fault(at, "an object", &brief(value)))
}

fn require_known(section: &Section, at: &str, known: &[&str]) -> Result<(), ConfigurationFault> {
    match section.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(fault(&format!("{at}/{key}"), &format!("one of {}", known.join(", ")), "another key")),
    }
}

fn need<'v>(section: &'v Section, at: &str, key: &str, due: &str) -> Result<&'v Value, ConfigurationFault> {
    section.get(key).ok_or_else(|| fault(&format!("{at}/{key}"), due, "nothing"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn abi(name: &str) -> Value {
        json!([{"type": "event", "name": name, "inputs": [{"name": "on", "type": "bool"}]}])
    }

    fn address(number: u8) -> Address {
        Address::new([number; 20])
    }

    fn one() -> Value {
        json!({ "family": "evm", "contract": address(1), "event": "Noted", "abi": abi("Noted") })
    }

    fn several() -> Value {
        json!({ "family": "evm", "abi": abi("Noted"), "contracts": [
            { "contract": address(1) },
            { "contract": address(2), "events": ["Struck"], "abi": abi("Struck") },
        ]})
    }

    fn pointer(mut source: Value, place: &str, value: Value) -> String {
        let (parent, key) = place.rsplit_once('/').unwrap();
        match source.pointer_mut(parent).unwrap() {
            Value::Array(entries) => entries[key.parse::<usize>().unwrap()] = value,
            section => section[key] = value,
        }
        read(&source).unwrap_err().pointer
    }

    #[test]
    fn one_contract_with_a_typo() {
        assert_eq!(read(&one()).unwrap().len(), 1);
        for (key, value, at) in [
            ("/contarct", json!("0x"), "/contarct"),
            ("/contracts", json!([{ "contract": address(2) }]), "/contracts"),
            ("/contract", json!("0x01"), "/contract"),
            ("/family", json!("fabric"), "/family"),
            ("/event", json!("Forgotten"), "/event"),
            ("/events", json!(["Noted"]), "/events"),
            ("/abi", json!({}), "/abi"),
            ("/abi", json!([]), "/event"),
        ] {
            assert_eq!(pointer(one(), key, value), at, "{key}");
        }
        assert_eq!(read(&json!({ "family": "evm", "contract": address(1), "abi": [] })).unwrap_err().pointer, "/abi");
    }

    #[test]
    fn several_contracts_each_with_its_abi_or_the_shared_one() {
        let read = read(&several()).unwrap();
        let events: Vec<_> = read.iter().map(|(contract, abi)| (*contract, abi.events()[0].signature())).collect();
        assert_eq!(events, [(address(1), "Noted(bool)"), (address(2), "Struck(bool)")]);
    }

    #[test]
    fn several_contracts_with_a_typo() {
        for (key, value, at) in [
            ("/contract", json!(address(1)), "/contracts"),
            ("/event", json!("Noted"), "/contracts"),
            ("/contracts", json!([]), "/contracts"),
            ("/contracts", json!("0x01"), "/contracts"),
            ("/contracts", json!(vec![json!({ "contract": address(1) }); 65]), "/contracts"),
            ("/contracts/0", json!("0x01"), "/contracts/0"),
            ("/contracts/0/family", json!("evm"), "/contracts/0/family"),
            ("/contracts/1/contract", json!("0x01"), "/contracts/1/contract"),
            ("/contracts/0/event", json!("Struck"), "/contracts/0/event"),
            ("/contracts/1/abi", json!({}), "/contracts/1/abi"),
            ("/contracts/0/abi", abi("Noted"), "/abi"),
            ("/abi", json!({}), "/abi"),
        ] {
            assert_eq!(pointer(several(), key, value), at, "{key}");
        }
        let mut bare = several();
        bare.as_object_mut().unwrap().remove("abi");
        assert_eq!(read(&bare).unwrap_err().pointer, "/contracts/0/abi");
    }
}
