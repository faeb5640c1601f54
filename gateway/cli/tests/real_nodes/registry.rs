//! The registry contract as a caller sees it: bytecode, call data, and what a call emits.
//!
//! Everything comes from the files beside the contract's source; the selectors and topics from `Registry.calls.json`,
//! which another EVM wrote, so that no hash is computed here.

use serde_json::Value;

const BYTECODE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../adapters/evm/contracts/Registry.bin"));
const CALLS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../adapters/evm/contracts/Registry.calls.json"));
const ABI: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../adapters/evm/contracts/Registry.abi.json"));

/// Bytes of an ABI word.
const WORD: usize = 32;

/// One call that emits one event with the same arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// The event's name, for instance `CertificateChanged`.
    pub(crate) event: String,
    /// The event's first topic, `0x…`.
    pub(crate) topic: String,
    /// The arguments, of the function and of the event.
    pub(crate) args: Vec<String>,
    /// The function's selector and its arguments.
    pub(crate) data: Vec<u8>,
}

impl Call {
    /// `changeCertificate`: certificateId, operation, classCode, className, number, name, holderUscc, issuerUscc,
    /// issuedOn, state.
    pub(crate) fn certificate(args: &[&str; 10]) -> Self {
        Self::new("CertificateChanged", args)
    }

    /// `changePropertyRight`: unitCode, operation, rightType, certificateNo, holderUscc, issuerUscc, registeredOn, area.
    pub(crate) fn property_right(args: &[&str; 8]) -> Self {
        Self::new("PropertyRightChanged", args)
    }

    fn new(event: &str, args: &[&str]) -> Self {
        let example = examples()
            .into_iter()
            .find(|call| call["event"].as_str().is_some_and(|text| text.starts_with(&format!("{event}("))))
            .unwrap_or_else(|| panic!("Registry.calls.json has no call that emits {event}"));
        let selector = &crate::rpc::bytes(&example["calldata"]).unwrap()[..4];
        Self {
            event: event.to_owned(),
            topic: example["topics"][0].as_str().unwrap().to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            data: [selector, &encode_strings(args)].concat(),
        }
    }
}

/// The ABI.
pub(crate) fn abi() -> Value {
    serde_json::from_str(ABI).unwrap()
}

/// The names of an event's arguments, in order.
pub(crate) fn argument_names(event: &str) -> Vec<String> {
    let abi = abi();
    let entry = abi.as_array().unwrap().iter().find(|entry| entry["type"] == "event" && entry["name"] == event);
    let inputs = entry.unwrap_or_else(|| panic!("the ABI has no event {event}"))["inputs"].as_array().unwrap();
    inputs.iter().map(|input| input["name"].as_str().unwrap().to_owned()).collect()
}

/// The data of the transaction that deploys the contract.
pub(crate) fn bytecode() -> Vec<u8> {
    hex::decode(BYTECODE.trim()).unwrap()
}

fn examples() -> Vec<Value> {
    serde_json::from_str(CALLS).unwrap()
}

/// ABI encoding of a tuple of strings: a word with the offset of each, then for each its length and its bytes, padded
/// to whole words.
fn encode_strings(args: &[&str]) -> Vec<u8> {
    let (mut offsets, mut tail) = (Vec::new(), Vec::new());
    for arg in args {
        offsets.extend(word(args.len() * WORD + tail.len()));
        tail.extend(word(arg.len()));
        tail.extend_from_slice(arg.as_bytes());
        tail.resize(tail.len().next_multiple_of(WORD), 0);
    }
    [offsets, tail].concat()
}

fn word(number: usize) -> [u8; WORD] {
    let mut word = [0; WORD];
    word[WORD - 8..].copy_from_slice(&u64::try_from(number).unwrap().to_be_bytes());
    word
}

#[test]
fn our_call_data_is_that_of_the_vendors_encoder() {
    let mut compared = 0;
    for example in examples() {
        let args: Vec<&str> = example["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let event = example["event"].as_str().unwrap().split('(').next().unwrap();
        let call = Call::new(event, &args);
        assert_eq!(crate::rpc::hex_bytes(&call.data), example["calldata"].as_str().unwrap());
        assert_eq!(call.topic, example["topics"][0].as_str().unwrap());
        compared += 1;
    }
    assert!(compared >= 4, "compared {compared} calls");
}
