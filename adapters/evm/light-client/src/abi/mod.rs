//! Events decoded by their JSON ABI, strictly: what is accepted has exactly one encoding.
//!
//! | module | subject |
//! |---|---|
//! | [`event`] | one event of an ABI, its topics, named and anonymous |
//! | `kind` | types: how they are spelled, how many words they take |
//! | `word` | values of one word of 32 bytes, and their padding |
//! | [`slot`] | values as they stand in storage |
//! | `data` | heads, tails, offsets, lengths: the data of a log |
//!
//! Canonical encoding puts the tail of each dynamic value right behind the one before it. So offsets are not followed
//! but *checked*: each must point where the next tail starts, nothing may lie between values or after them, and all
//! padding must be what its type demands. Source: Solidity ABI specification, "formal specification of the encoding".
//!
//! As JSON: integers are decimal strings (they can be larger than any JSON number), `fixed` and `ufixed` exact decimal
//! text without zeros at its end, addresses, bytes and functions (an address and a selector, 24 bytes) lower-case hex
//! with `0x`, tuples objects by field name, arrays arrays. An indexed argument of a dynamic or composed type is only a
//! hash on the ledger and is given as `{"hash": "0x…"}`. An argument without a name is `arg0`, `arg1`, … by place.
//!
//! An *anonymous* event has no topic of its own: any log of the contract with as many topics as the event has indexed
//! arguments may be one. So it is read only where it is asked for by name, and never taken from a log whose first topic
//! is that of a named event of the same ABI.
//!
//! Faults name the argument and never repeat a value: a fault may be published as the reason of a skipped leaf.

mod data;
pub mod event;
mod kind;
pub mod slot;
mod word;

use crate::fault::{Fault, Reason};
use crate::keccak::Hash32;
use crate::receipt::Log;
use serde::Deserialize;
use serde_json::{Map, Value};

pub use event::Event;

/// Bytes of the largest event data decoded. Each value takes at least one word of them, or is the one field of a tuple
/// that does, so there are at most 32,768 words × [`MAX_DEPTH`] values.
pub const MAX_DATA_BYTES: usize = 1 << 20;
/// Events of one ABI.
pub const MAX_EVENTS: usize = 1_024;
/// Arguments of one event, or fields of one tuple.
pub const MAX_PARAMS: usize = 64;
/// Bytes of an argument's or field's name. It stands once in the JSON for each value, of which there can be 262,144:
/// 32 MiB of names.
pub const MAX_NAME_BYTES: usize = 128;
/// How deep arrays and tuples nest in one type.
pub const MAX_DEPTH: usize = 8;
/// Words (32 bytes) of the largest type of fixed size: as much as [`MAX_DATA_BYTES`] can hold.
pub const MAX_STATIC_WORDS: usize = MAX_DATA_BYTES / WORD;
/// Bytes of one word.
const WORD: usize = 32;

/// An event's arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct DecodedEvent {
    /// Its name, or its signature where two of the events that are read bear the name.
    pub name: String,
    /// Its arguments by name.
    pub args: Map<String, Value>,
}

/// The events of a contract that are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abi {
    events: Vec<Event>,
    /// First topics of the named events of this ABI that are not read.
    others: Vec<Hash32>,
    /// Anonymous events that nobody has asked for.
    unread: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    inputs: Vec<Input>,
    #[serde(default)]
    anonymous: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Input {
    #[serde(default)]
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    indexed: bool,
    #[serde(default)]
    components: Vec<Input>,
}

impl Abi {
    /// Reads all named events of a JSON ABI; functions, errors and constructors are passed over, anonymous events wait
    /// for [`Abi::only`].
    ///
    /// # Errors
    /// [`Fault`] if it is no ABI, has two events of one signature, types that are unknown or beyond the limits, or two
    /// arguments of one name.
    pub fn parse(value: &Value) -> Result<Self, Fault> {
        let entries = Vec::<Entry>::deserialize(value)
            .map_err(|error| Fault::new(Reason::Abi, "a JSON ABI: a list of entries", error))?;
        let entries = entries.into_iter().filter(|entry| entry.kind == "event");
        let (unread, named): (Vec<Entry>, Vec<Entry>) = entries.partition(|entry| entry.anonymous);
        let mut events: Vec<Event> = Vec::new();
        for entry in &named {
            if events.len() == MAX_EVENTS {
                return Err(Fault::new(Reason::Abi, format!("at most {MAX_EVENTS} events"), "one more"));
            }
            let event = Event::read(entry)?;
            if events.iter().any(|other| other.signature() == event.signature()) {
                return Err(Fault::new(Reason::Abi, "each event once", event.signature()));
            }
            events.push(event);
        }
        Ok(Self { events, others: Vec::new(), unread })
    }

    /// The events that are read, in the order of the ABI, anonymous ones last.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// First topics of named events of this ABI that are not read: no log with one of them is an anonymous event.
    pub fn others(&self) -> &[Hash32] {
        &self.others
    }

    /// Keeps only these events, named by name or by signature. Where a named and an anonymous event fit, it is the
    /// named one.
    ///
    /// # Errors
    /// [`Fault`] if one names no event, or several, or if two anonymous events have the same number of topics, by which
    /// alone they can be told apart.
    pub fn only(mut self, wanted: &[String]) -> Result<Self, Fault> {
        let mut anonymous: Vec<Event> = Vec::new();
        for want in wanted {
            let found = self.events.iter().filter(|event| event.is(want)).count();
            let hidden = if found == 0 { self.find_anonymous(want)? } else { Vec::new() };
            if found + hidden.len() != 1 {
                let expected = format!("one event {want} (a name that is used twice needs its signature)");
                return Err(Fault::new(Reason::Abi, expected, format!("{} such events", found + hidden.len())));
            }
            let new = hidden.into_iter().find(|event| !anonymous.contains(event));
            anonymous.extend(new);
        }
        require_apart(&anonymous)?;
        let (kept, others): (Vec<Event>, Vec<Event>) =
            self.events.into_iter().partition(|event| wanted.iter().any(|want| event.is(want)));
        self.others = others.iter().filter_map(Event::topic).collect();
        self.events = kept;
        self.events.append(&mut anonymous);
        Ok(self)
    }

    fn find_anonymous(&self, want: &str) -> Result<Vec<Event>, Fault> {
        let name = want.split('(').next().unwrap_or_default();
        let events = self.unread.iter().filter(|entry| entry.name == name).map(Event::read);
        let events: Vec<Event> = events.collect::<Result<_, _>>()?;
        Ok(events.into_iter().filter(|event| event.is(want)).collect())
    }

    /// Decodes a log.
    ///
    /// # Errors
    /// [`Fault`] if it is none of the events that are read, or topics or data are not its canonical encoding.
    pub fn decode(&self, log: &Log<'_>) -> Result<DecodedEvent, Fault> {
        let event = self.event_of(log)?;
        let overloaded = self.events.iter().filter(|other| other.name() == event.name()).count() > 1;
        let name = if overloaded { event.signature() } else { event.name() };
        Ok(DecodedEvent { name: name.to_owned(), args: event.decode(log)? })
    }

    fn event_of(&self, log: &Log<'_>) -> Result<&Event, Fault> {
        let first = log.topics().first();
        let named = first.and_then(|first| self.events.iter().find(|event| event.topic() == Some(*first)));
        let is_other = first.is_some_and(|first| self.others.contains(first));
        let anonymous = || {
            let mut fitting = self.events.iter().filter(|event| event.topic().is_none());
            fitting.find(|event| !is_other && event.topics_due() == log.topics().len())
        };
        named.or_else(anonymous).ok_or_else(|| {
            Fault::new(Reason::UnknownEvent, "the topics of an event of the ABI", format!("first topic {first:?}"))
        })
    }
}

fn require_apart(anonymous: &[Event]) -> Result<(), Fault> {
    for (place, event) in anonymous.iter().enumerate() {
        let mut before = anonymous.iter().take(place);
        if let Some(twin) = before.find(|other| other.topics_due() == event.topics_due()) {
            let got = format!("{} and {}", twin.signature(), event.signature());
            return Err(Fault::new(Reason::Abi, "anonymous events of different numbers of indexed arguments", got));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
