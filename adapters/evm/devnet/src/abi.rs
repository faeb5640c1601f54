//! ABI encoding of events and calls whose parameters are all strings, and the events of the registry contract.

use alloy_primitives::{B256, Bytes, keccak256};

const WORD: usize = 32;

/// An event to emit: its signature and one string for each parameter, none of them indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventCall {
    /// For example `ClearanceGranted(string,string)`: canonical, without spaces or parameter names.
    pub signature: String,
    /// The arguments in order.
    pub args: Vec<String>,
}

impl EventCall {
    /// An event call from borrowed parts.
    pub fn new(signature: &str, args: &[&str]) -> Self {
        Self { signature: signature.to_owned(), args: args.iter().map(|arg| (*arg).to_owned()).collect() }
    }

    /// Topic and data of the log.
    ///
    /// # Errors
    /// When the signature is not of this form, or the arguments are not as many as it names.
    pub fn encode(&self) -> Result<(B256, Bytes), AbiError> {
        let arity = arity(&self.signature)?;
        if arity != self.args.len() {
            return Err(AbiError::Arguments { expected: arity, got: self.args.len() });
        }
        Ok((keccak256(&self.signature), encode_strings(&self.args).into()))
    }
}

/// Why an event call cannot be encoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AbiError {
    /// The signature is not `Name(string,…)`.
    #[error("event signature: expected Name(string,…), got {got:?}")]
    Signature {
        /// What was given.
        got: String,
    },
    /// Too few or too many arguments.
    #[error("arguments: expected {expected}, got {got}")]
    Arguments {
        /// Parameters in the signature.
        expected: usize,
        /// Arguments given.
        got: usize,
    },
}

/// How many parameters an all-string signature has.
fn arity(signature: &str) -> Result<usize, AbiError> {
    let refuse = || AbiError::Signature { got: signature.to_owned() };
    let (name, rest) = signature.split_once('(').ok_or_else(refuse)?;
    let params = rest.strip_suffix(')').ok_or_else(refuse)?;
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(refuse());
    }
    if params.is_empty() {
        return Ok(0);
    }
    if params.split(',').any(|param| param != "string") {
        return Err(refuse());
    }
    Ok(params.split(',').count())
}

/// The four bytes that choose a function.
pub fn selector(signature: &str) -> [u8; 4] {
    let hash = keccak256(signature);
    let mut out = [0; 4];
    out.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
    out
}

/// The ABI encoding of a tuple of strings: one offset each, then length and padded bytes of each.
pub fn encode_strings<T: AsRef<str>>(args: &[T]) -> Vec<u8> {
    let mut head = Vec::with_capacity(args.len() * WORD);
    let mut tail = Vec::new();
    for arg in args {
        let bytes = arg.as_ref().as_bytes();
        head.extend(word(args.len() * WORD + tail.len()));
        tail.extend(word(bytes.len()));
        tail.extend_from_slice(bytes);
        tail.resize(tail.len().next_multiple_of(WORD), 0);
    }
    head.extend(tail);
    head
}

fn word(value: usize) -> [u8; WORD] {
    alloy_primitives::U256::from(value).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry;

    /// Calls that were run in an EVM (see the contract's README).
    #[test]
    fn logs_and_call_data_are_those_the_contract_really_made() {
        let calls: serde_json::Value =
            serde_json::from_str(include_str!("../../contracts/Registry.calls.json")).unwrap();
        let calls = calls.as_array().unwrap();
        assert_eq!(calls.len(), 4);
        for call in calls {
            let args: Vec<&str> = call["args"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
            let event = EventCall::new(call["event"].as_str().unwrap(), &args);
            let (topic, data) = event.encode().unwrap();
            assert_eq!(format!("{topic:#x}"), call["topics"][0]);
            assert_eq!(format!("{data:#x}"), call["data"]);
            assert_eq!(format!("{:#x}", registry::call_data(&event)), call["calldata"]);
        }
    }

    #[test]
    fn signatures_with_other_types_names_or_spaces_are_refused() {
        for bad in ["", "A", "(string)", "A(uint256)", "A(string, string)", "A(string,)", "A(string", "A B(string)"] {
            assert!(EventCall::new(bad, &[]).encode().is_err(), "{bad:?}");
        }
        assert!(EventCall::new("Nothing()", &[]).encode().is_ok());
    }

    #[test]
    fn a_wrong_number_of_arguments_is_refused() {
        let refused = EventCall::new("A(string,string)", &["one"]).encode();
        assert_eq!(refused, Err(AbiError::Arguments { expected: 2, got: 1 }));
    }
}
