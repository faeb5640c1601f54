//! Types of the ABI: read from their canonical spelling, with what decoding asks of them counted once.

use super::{Input, MAX_DEPTH, MAX_NAME_BYTES, MAX_PARAMS, MAX_STATIC_WORDS, WORD};
use crate::fault::{Fault, Reason};
use std::fmt;

/// Digits behind the point of the largest `fixed` type.
const MAX_DECIMALS: usize = 80;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Type {
    kind: Kind,
    dynamic: bool,
    head_words: usize,
}

/// What a type is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// One word.
    Word(Word),
    Bytes,
    String,
    Array(Box<Type>),
    FixedArray(Box<Type>, usize),
    Tuple(Vec<Param>),
}

/// A type whose value is one word. `bytes` is the width of the value in it, 1 to 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Uint { bytes: usize },
    Int { bytes: usize },
    Ufixed { bytes: usize, decimals: usize },
    Fixed { bytes: usize, decimals: usize },
    Address,
    Bool,
    FixedBytes { bytes: usize },
    Function,
}

/// A named type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Param {
    pub(super) name: String,
    pub(super) kind: Type,
}

impl Type {
    /// Reads a type, by its text and, for tuples, its components.
    pub(super) fn read(text: &str, components: &[Input], depth: usize) -> Result<Self, Fault> {
        if depth >= MAX_DEPTH {
            return Err(Fault::new(Reason::Abi, format!("types nested at most {MAX_DEPTH} deep"), text));
        }
        let fault = || Fault::new(Reason::Abi, "a supported type in canonical spelling", text);
        let kind = match text.strip_suffix(']') {
            None => Kind::read_plain(text, components, depth)?.ok_or_else(fault)?,
            Some(inner) => {
                let (element, length) = inner.rsplit_once('[').ok_or_else(fault)?;
                let element = Box::new(Self::read(element, components, depth + 1)?);
                if length.is_empty() {
                    Kind::Array(element)
                } else {
                    Kind::FixedArray(element, canonical_number(length, MAX_STATIC_WORDS).ok_or_else(fault)?)
                }
            }
        };
        Self::of(kind).ok_or_else(fault)
    }

    /// `None` if it takes more words than any data can hold.
    fn of(kind: Kind) -> Option<Self> {
        let dynamic = kind.is_dynamic();
        let head_words = if dynamic { 1 } else { kind.static_words()? };
        (head_words <= MAX_STATIC_WORDS).then_some(Self { kind, dynamic, head_words })
    }

    pub(super) fn kind(&self) -> &Kind {
        &self.kind
    }

    /// Whether its value stands in the tail, behind an offset.
    pub(super) fn is_dynamic(&self) -> bool {
        self.dynamic
    }

    /// Words that the value takes in the head of what holds it: one for an offset, or the whole value. At least one,
    /// so that a length can be held against the bytes that are there.
    pub(super) fn head_words(&self) -> usize {
        self.head_words
    }
}

impl Kind {
    fn read_plain(text: &str, components: &[Input], depth: usize) -> Result<Option<Self>, Fault> {
        Ok(match text {
            "bytes" => Some(Self::Bytes),
            "string" => Some(Self::String),
            // A tuple without fields would take no bytes, and an array of such could be of any length.
            "tuple" if !components.is_empty() => {
                let fields = components.iter();
                Some(Self::Tuple(read_params(fields, depth + 1)?))
            }
            _ => Word::read(text).map(Self::Word),
        })
    }

    fn is_dynamic(&self) -> bool {
        match self {
            Self::Bytes | Self::String | Self::Array(_) => true,
            Self::FixedArray(element, _) => element.dynamic,
            Self::Tuple(params) => params.iter().any(|param| param.kind.dynamic),
            Self::Word(_) => false,
        }
    }

    fn static_words(&self) -> Option<usize> {
        match self {
            Self::FixedArray(element, length) => element.head_words.checked_mul(*length),
            Self::Tuple(params) => params.iter().try_fold(0usize, |sum, param| sum.checked_add(param.kind.head_words)),
            _ => Some(1),
        }
    }
}

impl Word {
    fn read(text: &str) -> Option<Self> {
        match text {
            "address" => return Some(Self::Address),
            "bool" => return Some(Self::Bool),
            "function" => return Some(Self::Function),
            _ => {}
        }
        if let Some(size) = text.strip_prefix("ufixed") {
            return decimal(size).map(|(bytes, decimals)| Self::Ufixed { bytes, decimals });
        }
        if let Some(size) = text.strip_prefix("fixed") {
            return decimal(size).map(|(bytes, decimals)| Self::Fixed { bytes, decimals });
        }
        if let Some(bits) = text.strip_prefix("uint") {
            return width(bits).map(|bytes| Self::Uint { bytes });
        }
        if let Some(bits) = text.strip_prefix("int") {
            return width(bits).map(|bytes| Self::Int { bytes });
        }
        let bytes = text.strip_prefix("bytes")?;
        canonical_number(bytes, WORD).map(|bytes| Self::FixedBytes { bytes })
    }
}

/// The spelling that signatures are hashed over.
impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Word(word) => word.fmt(f),
            Kind::Bytes => f.write_str("bytes"),
            Kind::String => f.write_str("string"),
            Kind::Array(element) => write!(f, "{element}[]"),
            Kind::FixedArray(element, length) => write!(f, "{element}[{length}]"),
            Kind::Tuple(params) => f.write_str(&tuple_signature(params)),
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uint { bytes } => write!(f, "uint{}", bytes * 8),
            Self::Int { bytes } => write!(f, "int{}", bytes * 8),
            Self::Ufixed { bytes, decimals } => write!(f, "ufixed{}x{decimals}", bytes * 8),
            Self::Fixed { bytes, decimals } => write!(f, "fixed{}x{decimals}", bytes * 8),
            Self::Address => f.write_str("address"),
            Self::Bool => f.write_str("bool"),
            Self::FixedBytes { bytes } => write!(f, "bytes{bytes}"),
            Self::Function => f.write_str("function"),
        }
    }
}

/// `(type,type)`.
pub(super) fn tuple_signature<'p>(params: impl IntoIterator<Item = &'p Param>) -> String {
    let types: Vec<String> = params.into_iter().map(|param| param.kind.to_string()).collect();
    format!("({})", types.join(","))
}

/// Reads arguments or fields.
pub(super) fn read_params<'i>(
    inputs: impl ExactSizeIterator<Item = &'i Input>,
    depth: usize,
) -> Result<Vec<Param>, Fault> {
    if inputs.len() > MAX_PARAMS {
        return Err(Fault::new(Reason::Abi, format!("at most {MAX_PARAMS} arguments or fields"), inputs.len()));
    }
    let mut params: Vec<Param> = Vec::with_capacity(inputs.len());
    for (place, input) in inputs.enumerate() {
        let name = if input.name.is_empty() { format!("arg{place}") } else { input.name.clone() };
        if name.len() > MAX_NAME_BYTES {
            return Err(Fault::new(Reason::Abi, format!("names of at most {MAX_NAME_BYTES} bytes"), name.len()));
        }
        if params.iter().any(|other| other.name == name) {
            return Err(Fault::new(Reason::Abi, "arguments of different names", name));
        }
        params.push(Param { name, kind: Type::read(&input.kind, &input.components, depth)? });
    }
    Ok(params)
}

/// Bytes of a width in bits: 8 to 256 in steps of 8.
fn width(bits: &str) -> Option<usize> {
    canonical_number(bits, 256).filter(|bits| bits % 8 == 0).map(|bits| bits / 8)
}

/// Bytes and digits behind the point, of `128x18`.
fn decimal(size: &str) -> Option<(usize, usize)> {
    let (bits, decimals) = size.split_once('x')?;
    Some((width(bits)?, canonical_number(decimals, MAX_DECIMALS)?))
}

fn canonical_number(digits: &str, most: usize) -> Option<usize> {
    let number: usize = digits.parse().ok()?;
    (number > 0 && number <= most && number.to_string() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read_and_written_back() {
        let widths = (8..=256).step_by(8);
        let integers = widths.flat_map(|bits| [format!("uint{bits}"), format!("int{bits}"), format!("fixed{bits}x80")]);
        let bytes = (1..=32).map(|length| format!("bytes{length}"));
        let others = ["address", "bool", "function", "bytes", "string", "ufixed8x1", "string[2][][3]", "uint8[32768]"];
        for text in integers.chain(bytes).chain(others.map(str::to_owned)) {
            assert_eq!(Type::read(&text, &[], 0).unwrap().to_string(), text);
        }
    }

    #[test]
    fn types_that_are_unknown_or_boundless() {
        for text in [
            "uint",
            "uint7",
            "uint264",
            "uint08",
            "int0",
            "bytes0",
            "bytes33",
            "fixed",
            "fixed128",
            "fixed128x0",
            "fixed128x81",
            "fixed127x18",
            "fixed128x018",
            "ufixed264x18",
            "function24",
            "uint8[0]",
            "uint8[01]",
            "uint8[",
            "uint8]",
            "tuple",
            "uint8[40000]",
            "uint8[1000][1000]",
            "",
            "Uint8",
            "uint8[][][][][][][][]",
        ] {
            assert_eq!(Type::read(text, &[], 0).unwrap_err().reason(), "abi-malformed", "{text}");
        }
    }

    #[test]
    fn a_name_that_would_be_repeated_a_million_times() {
        let input = |name: String| Input { name, kind: "bool".to_owned(), indexed: false, components: Vec::new() };
        assert!(read_params([input("n".repeat(MAX_NAME_BYTES))].iter(), 0).is_ok());
        let long = read_params([input("n".repeat(MAX_NAME_BYTES + 1))].iter(), 0);
        assert_eq!(long.unwrap_err().reason(), "abi-malformed");
    }
}
