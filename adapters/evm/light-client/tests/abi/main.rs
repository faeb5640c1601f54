//! The ABI decoder against an encoder that others wrote (`alloy-dyn-abi`): random types, random values, damaged data.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "helpers of tests state facts too")]

mod shape;

use alloy_dyn_abi::{DynSolType, DynSolValue};
use hufu_evm_light_client::decoder::DecodedLog;
use hufu_evm_light_client::{Address, EvmDecoder, Fault, keccak256, rlp};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};
use shape::{Entropy, Shape, shapes};

/// An event with one value for each argument.
#[derive(Debug, Clone)]
struct Case {
    anonymous: bool,
    /// Types, and which are indexed.
    arguments: Vec<(Shape, bool)>,
    values: Vec<DynSolValue>,
}

impl Case {
    fn signature(&self) -> String {
        let types: Vec<String> = self.arguments.iter().map(|(shape, _)| shape.signature()).collect();
        format!("Said({})", types.join(","))
    }

    fn decoder(&self) -> EvmDecoder {
        let inputs: Vec<Value> = (0..)
            .zip(&self.arguments)
            .map(|(place, (shape, indexed)): (usize, _)| {
                let mut input = shape.input(&format!("a{place}"));
                input["indexed"] = json!(indexed);
                input
            })
            .collect();
        let event = json!({ "type": "event", "name": "Said", "inputs": inputs, "anonymous": self.anonymous });
        let source = json!({ "family": "evm", "contract": Address::ZERO, "event": "Said", "abi": [event] });
        EvmDecoder::from_source(&source).unwrap()
    }

    fn topics(&self) -> Vec<[u8; 32]> {
        let own = (!self.anonymous).then(|| *keccak256(self.signature().as_bytes()).as_bytes());
        let indexed = self.arguments.iter().zip(&self.values).filter(|((_, indexed), _)| *indexed);
        own.into_iter().chain(indexed.map(|(_, value)| value.encode_topic().0)).collect()
    }

    fn data(&self) -> Vec<u8> {
        encode(self.plain().map(|(_, _, value)| value.clone()).collect())
    }

    /// Place, type and value of what stands in the data.
    fn plain(&self) -> impl Iterator<Item = (usize, &Shape, &DynSolValue)> {
        let all = self.arguments.iter().zip(&self.values).enumerate();
        all.filter(|(_, ((_, indexed), _))| !indexed).map(|(place, ((shape, _), value))| (place, shape, value))
    }

    fn expected(&self) -> Value {
        let all = self.arguments.iter().zip(&self.values).enumerate();
        let args = all.map(|(place, ((shape, indexed), value))| {
            let hashed = *indexed && !shape.is_word();
            let hash = || json!({ "hash": value.encode_topic().to_string() });
            (format!("a{place}"), if hashed { hash() } else { shape.json(value) })
        });
        Value::Object(args.collect())
    }
}

fn encode(values: Vec<DynSolValue>) -> Vec<u8> {
    if values.is_empty() { Vec::new() } else { DynSolValue::Tuple(values).abi_encode_params() }
}

fn decode(decoder: &EvmDecoder, topics: &[[u8; 32]], data: &[u8]) -> Result<DecodedLog, Fault> {
    let mut list = Vec::new();
    topics.iter().for_each(|topic| rlp::write_string(topic, &mut list));
    let mut items = Vec::new();
    rlp::write_string(Address::ZERO.as_bytes(), &mut items);
    rlp::write_list(&list, &mut items);
    rlp::write_string(data, &mut items);
    let mut log = Vec::new();
    rlp::write_list(&items, &mut log);
    decoder.decode_log(&log)
}

fn cases() -> impl Strategy<Value = Case> {
    (any::<bool>(), vec((shapes(), any::<bool>()), 0..6), vec(any::<u8>(), 1..600)).prop_map(
        |(anonymous, mut arguments, bytes)| {
            let mut room = if anonymous { 4 } else { 3 };
            for (_, indexed) in &mut arguments {
                *indexed &= room > 0;
                room -= usize::from(*indexed);
            }
            let mut entropy = Entropy::new(bytes);
            let values = arguments.iter().map(|(shape, _)| shape.value(&mut entropy)).collect();
            Case { anonymous, arguments, values }
        },
    )
}

/// What may happen to bytes on their way.
#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Word(prop::sample::Index, [u8; 32]),
    /// One word written over another: offsets and lengths that are good elsewhere.
    Copy(prop::sample::Index, prop::sample::Index),
    Insert(prop::sample::Index),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
}

impl Damage {
    fn apply(&self, data: &mut Vec<u8>) {
        if data.len() < 32 {
            return;
        }
        let word = |at: &prop::sample::Index| at.index(data.len() / 32) * 32;
        match self {
            Self::Flip(at, bit) => {
                let at = at.index(data.len());
                data[at] ^= 1 << (bit % 8);
            }
            Self::Word(at, bytes) => {
                let at = word(at);
                data[at..at + 32].copy_from_slice(bytes);
            }
            Self::Copy(from, to) => {
                let (from, to) = (word(from), word(to));
                data.copy_within(from..from + 32, to);
            }
            Self::Insert(at) => {
                let at = word(at);
                data.splice(at..at, [0; 32]);
            }
            Self::Remove(at) => {
                let at = word(at);
                data.drain(at..at + 32);
            }
            Self::Cut(at) => data.truncate(at.index(data.len())),
        }
    }
}

fn damages() -> impl Strategy<Value = Damage> {
    let index = any::<prop::sample::Index>;
    let number = (0u16..400).prop_map(|number| {
        let mut small = [0; 32];
        small[30..].copy_from_slice(&number.to_be_bytes());
        small
    });
    prop_oneof![
        4 => (index(), any::<u8>()).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        2 => (index(), number).prop_map(|(at, word)| Damage::Word(at, word)),
        1 => (index(), any::<[u8; 32]>()).prop_map(|(at, word)| Damage::Word(at, word)),
        2 => (index(), index()).prop_map(|(from, to)| Damage::Copy(from, to)),
        1 => index().prop_map(Damage::Insert),
        1 => index().prop_map(Damage::Remove),
        1 => index().prop_map(Damage::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_the_oracle_encodes_is_decoded(case in cases()) {
        let decoded = decode(&case.decoder(), &case.topics(), &case.data());
        let decoded = decoded.map_err(|fault| TestCaseError::fail(format!("{}: {fault}", case.signature())))?;
        prop_assert_eq!(&decoded.value["args"], &case.expected(), "{}", case.signature());
        prop_assert_eq!(decoded.event, "Said");
    }

    /// Refused, or the one value that these very bytes are the encoding of; and the oracle reads the same one.
    #[test]
    fn damaged_data_is_refused_or_is_the_encoding_of_what_is_read(
        case in cases(), damages in vec(damages(), 1..4)
    ) {
        let mut data = case.data();
        damages.iter().for_each(|damage| damage.apply(&mut data));
        let Ok(decoded) = decode(&case.decoder(), &case.topics(), &data) else { return Ok(()) };
        let args = &decoded.value["args"];
        let back: Vec<DynSolValue> = case.plain().map(|(place, shape, _)| shape.back(&args[format!("a{place}")])).collect();
        prop_assert_eq!(encode(back.clone()), data.clone(), "{}", case.signature());
        if !back.is_empty() {
            let types = DynSolType::Tuple(case.plain().map(|(_, shape, _)| shape.oracle()).collect());
            prop_assert_eq!(types.abi_decode_params(&data).unwrap(), DynSolValue::Tuple(back));
        }
    }

    #[test]
    fn a_damaged_topic_is_refused_or_is_the_encoding_of_what_is_read(
        case in cases(), at in any::<prop::sample::Index>(), byte in 0usize..32, bit in 0u8..8
    ) {
        let mut topics = case.topics();
        prop_assume!(!topics.is_empty());
        let at = at.index(topics.len());
        topics[at][byte] ^= 1 << bit;
        let Ok(decoded) = decode(&case.decoder(), &topics, &case.data()) else { return Ok(()) };
        let own = usize::from(!case.anonymous);
        prop_assert!(at >= own, "the topic of another event");
        let (place, (shape, _)) =
            case.arguments.iter().enumerate().filter(|(_, (_, indexed))| *indexed).nth(at - own).unwrap();
        let read = &decoded.value["args"][format!("a{place}")];
        let again = if shape.is_word() { shape.word(read) } else { read["hash"].as_str().unwrap().to_owned() };
        prop_assert_eq!(again, format!("0x{}", hex::encode(topics[at])));
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(case in cases(), data in vec(any::<u8>(), 0..400)) {
        let _ = decode(&case.decoder(), &case.topics(), &data);
    }
}
