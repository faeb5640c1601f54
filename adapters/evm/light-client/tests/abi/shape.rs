//! Random types of the ABI, and values of them: for the oracle, as our JSON, and back.

use alloy_dyn_abi::{DynSolType, DynSolValue};
use alloy_primitives::{Address, B256, Function, I256, U256};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A type. The oracle knows no `fixed`: there it is an integer of the same width, which is how it is encoded.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Uint(usize),
    Int(usize),
    Ufixed(usize, usize),
    Fixed(usize, usize),
    FixedBytes(usize),
    Address,
    Bool,
    Function,
    Bytes,
    String,
    Array(Box<Shape>),
    FixedArray(Box<Shape>, usize),
    Tuple(Vec<Shape>),
}

pub(crate) fn shapes() -> impl Strategy<Value = Shape> {
    let bits = || (1usize..=32).prop_map(|bytes| bytes * 8);
    let leaf = prop_oneof![
        2 => bits().prop_map(Shape::Uint),
        2 => bits().prop_map(Shape::Int),
        1 => (bits(), 1usize..=80).prop_map(|(bits, decimals)| Shape::Ufixed(bits, decimals)),
        1 => (bits(), 1usize..=80).prop_map(|(bits, decimals)| Shape::Fixed(bits, decimals)),
        1 => (1usize..=32).prop_map(Shape::FixedBytes),
        1 => Just(Shape::Address),
        1 => Just(Shape::Bool),
        1 => Just(Shape::Function),
        2 => Just(Shape::Bytes),
        3 => Just(Shape::String),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|element| Shape::Array(Box::new(element))),
            (inner.clone(), 1usize..4).prop_map(|(element, length)| Shape::FixedArray(Box::new(element), length)),
            vec(inner, 1..5).prop_map(Shape::Tuple),
        ]
    })
}

/// Bytes that values are made of, again from the start when they are used up.
pub(crate) struct Entropy {
    bytes: Vec<u8>,
    at: usize,
}

impl Entropy {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    fn byte(&mut self) -> u8 {
        let byte = self.bytes[self.at % self.bytes.len()];
        self.at += 1;
        byte
    }

    fn below(&mut self, most: usize) -> usize {
        usize::from(self.byte()) % most
    }

    /// Often at an edge: zeros, ones, the least and the largest number.
    fn take(&mut self, count: usize) -> Vec<u8> {
        let mode = self.below(8);
        (0..count)
            .map(|place| match (mode, place) {
                (0, _) => 0,
                (1, _) => 0xff,
                (2, 0) => 0x80,
                (3, 0) => 0x7f,
                (2, _) => 0,
                (3, _) => 0xff,
                _ => self.byte(),
            })
            .collect()
    }
}

impl Shape {
    /// The type as signatures spell it.
    pub(crate) fn signature(&self) -> String {
        match self {
            Self::Tuple(fields) => {
                let fields: Vec<String> = fields.iter().map(Self::signature).collect();
                format!("({})", fields.join(","))
            }
            Self::Array(element) => format!("{}[]", element.signature()),
            Self::FixedArray(element, length) => format!("{}[{length}]", element.signature()),
            _ => self.leaf(),
        }
    }

    fn leaf(&self) -> String {
        match self {
            Self::Uint(bits) => format!("uint{bits}"),
            Self::Int(bits) => format!("int{bits}"),
            Self::Ufixed(bits, decimals) => format!("ufixed{bits}x{decimals}"),
            Self::Fixed(bits, decimals) => format!("fixed{bits}x{decimals}"),
            Self::FixedBytes(length) => format!("bytes{length}"),
            Self::Address => "address".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Function => "function".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            _ => "string".to_owned(),
        }
    }

    /// The type as a JSON ABI spells it.
    pub(crate) fn input(&self, name: &str) -> Value {
        match self {
            Self::Tuple(fields) => {
                let components: Vec<Value> =
                    fields.iter().enumerate().map(|(place, field)| field.input(&format!("f{place}"))).collect();
                json!({ "name": name, "type": "tuple", "components": components })
            }
            Self::Array(element) => element.suffixed(name, "[]"),
            Self::FixedArray(element, length) => element.suffixed(name, &format!("[{length}]")),
            _ => json!({ "name": name, "type": self.leaf() }),
        }
    }

    fn suffixed(&self, name: &str, suffix: &str) -> Value {
        let mut input = self.input(name);
        input["type"] = json!(format!("{}{suffix}", input["type"].as_str().unwrap()));
        input
    }

    pub(crate) fn is_word(&self) -> bool {
        !matches!(self, Self::Bytes | Self::String | Self::Array(_) | Self::FixedArray(..) | Self::Tuple(_))
    }

    pub(crate) fn oracle(&self) -> DynSolType {
        match self {
            Self::Uint(bits) | Self::Ufixed(bits, _) => DynSolType::Uint(*bits),
            Self::Int(bits) | Self::Fixed(bits, _) => DynSolType::Int(*bits),
            Self::FixedBytes(length) => DynSolType::FixedBytes(*length),
            Self::Address => DynSolType::Address,
            Self::Bool => DynSolType::Bool,
            Self::Function => DynSolType::Function,
            Self::Bytes => DynSolType::Bytes,
            Self::String => DynSolType::String,
            Self::Array(element) => DynSolType::Array(Box::new(element.oracle())),
            Self::FixedArray(element, length) => DynSolType::FixedArray(Box::new(element.oracle()), *length),
            Self::Tuple(fields) => DynSolType::Tuple(fields.iter().map(Self::oracle).collect()),
        }
    }

    /// A value of the type.
    pub(crate) fn value(&self, entropy: &mut Entropy) -> DynSolValue {
        match self {
            Self::Uint(bits) | Self::Ufixed(bits, _) => {
                DynSolValue::Uint(U256::from_be_slice(&entropy.take(bits / 8)), *bits)
            }
            Self::Int(bits) | Self::Fixed(bits, _) => {
                let number = I256::from_raw(U256::from_be_slice(&entropy.take(bits / 8)));
                let unused = 256 - bits;
                DynSolValue::Int((number << unused).asr(unused), *bits)
            }
            Self::FixedBytes(length) => {
                DynSolValue::FixedBytes(B256::right_padding_from(&entropy.take(*length)), *length)
            }
            Self::Address => DynSolValue::Address(Address::from_slice(&entropy.take(20))),
            Self::Bool => DynSolValue::Bool(entropy.below(2) == 1),
            Self::Function => DynSolValue::Function(Function::from_slice(&entropy.take(24))),
            Self::Bytes => {
                let length = entropy.below(70);
                DynSolValue::Bytes(entropy.take(length))
            }
            Self::String => {
                let length = entropy.below(40);
                let letters = ['a', '"', '\0', '\u{7f}', 'é', '不', '😀', '\u{ffff}'];
                DynSolValue::String((0..length).map(|_| letters[entropy.below(letters.len())]).collect())
            }
            Self::Array(element) => {
                let length = entropy.below(4);
                DynSolValue::Array((0..length).map(|_| element.value(entropy)).collect())
            }
            Self::FixedArray(element, length) => {
                DynSolValue::FixedArray((0..*length).map(|_| element.value(entropy)).collect())
            }
            Self::Tuple(fields) => DynSolValue::Tuple(fields.iter().map(|field| field.value(entropy)).collect()),
        }
    }

    /// The value as our decoder should give it.
    pub(crate) fn json(&self, value: &DynSolValue) -> Value {
        match (self, value) {
            (Self::Ufixed(_, decimals), DynSolValue::Uint(number, _)) => json!(pointed(&number.to_string(), *decimals)),
            (Self::Fixed(_, decimals), DynSolValue::Int(number, _)) => json!(pointed(&number.to_string(), *decimals)),
            (_, DynSolValue::Uint(number, _)) => json!(number.to_string()),
            (_, DynSolValue::Int(number, _)) => json!(number.to_string()),
            (_, DynSolValue::FixedBytes(word, length)) => json!(hexed(&word[..*length])),
            (_, DynSolValue::Address(address)) => json!(hexed(address.as_slice())),
            (_, DynSolValue::Bool(truth)) => json!(truth),
            (_, DynSolValue::Function(function)) => json!(hexed(function.as_slice())),
            (_, DynSolValue::Bytes(bytes)) => json!(hexed(bytes)),
            (_, DynSolValue::String(text)) => json!(text),
            (
                Self::Array(element) | Self::FixedArray(element, _),
                DynSolValue::Array(values) | DynSolValue::FixedArray(values),
            ) => Value::Array(values.iter().map(|value| element.json(value)).collect()),
            (Self::Tuple(fields), DynSolValue::Tuple(values)) => {
                let fields = fields.iter().zip(values).enumerate();
                let fields: Map<String, Value> =
                    fields.map(|(place, (field, value))| (format!("f{place}"), field.json(value))).collect();
                Value::Object(fields)
            }
            other => panic!("a value of its type, got {other:?}"),
        }
    }

    /// The value that our JSON says.
    pub(crate) fn back(&self, json: &Value) -> DynSolValue {
        let text = || json.as_str().unwrap();
        let bytes = || hex::decode(text().strip_prefix("0x").unwrap()).unwrap();
        let unsigned = |digits: &str| U256::from_str_radix(digits, 10).unwrap();
        let signed = |digits: &str| I256::from_dec_str(digits).unwrap();
        let elements = |element: &Self| json.as_array().unwrap().iter().map(|value| element.back(value)).collect();
        match self {
            Self::Uint(bits) => DynSolValue::Uint(unsigned(text()), *bits),
            Self::Int(bits) => DynSolValue::Int(signed(text()), *bits),
            Self::Ufixed(bits, decimals) => DynSolValue::Uint(unsigned(&unpointed(text(), *decimals)), *bits),
            Self::Fixed(bits, decimals) => DynSolValue::Int(signed(&unpointed(text(), *decimals)), *bits),
            Self::FixedBytes(length) => {
                assert_eq!(bytes().len(), *length);
                DynSolValue::FixedBytes(B256::right_padding_from(&bytes()), *length)
            }
            Self::Address => DynSolValue::Address(Address::from_slice(&bytes())),
            Self::Bool => DynSolValue::Bool(json.as_bool().unwrap()),
            Self::Function => DynSolValue::Function(Function::from_slice(&bytes())),
            Self::Bytes => DynSolValue::Bytes(bytes()),
            Self::String => DynSolValue::String(text().to_owned()),
            Self::Array(element) => DynSolValue::Array(elements(element)),
            Self::FixedArray(element, _) => DynSolValue::FixedArray(elements(element)),
            Self::Tuple(fields) => {
                let fields = fields.iter().enumerate();
                DynSolValue::Tuple(fields.map(|(place, field)| field.back(&json[format!("f{place}")])).collect())
            }
        }
    }

    /// The word that encodes what our JSON says.
    pub(crate) fn word(&self, json: &Value) -> String {
        hexed(self.back(json).as_word().unwrap().as_slice())
    }
}

fn hexed(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}

/// Long division by hand: the integer over a power of ten, the shortest exact way.
fn pointed(integer: &str, decimals: usize) -> String {
    let magnitude = integer.trim_start_matches('-');
    let padded = format!("{}{magnitude}", "0".repeat((decimals + 1).saturating_sub(magnitude.len())));
    let mut text = padded;
    text.insert(text.len() - decimals, '.');
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{}{text}", if integer.starts_with('-') { "-" } else { "" })
}

fn unpointed(text: &str, decimals: usize) -> String {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    format!("{whole}{rest:0<decimals$}")
}
