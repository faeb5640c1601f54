//! One event of an ABI: its topics and its arguments.

use super::data::{decode_data, decode_topic};
use super::kind::{Param, read_params, tuple_signature};
use super::{Entry, MAX_DATA_BYTES};
use crate::fault::{Fault, Reason};
use crate::keccak::{Hash32, keccak256};
use crate::receipt::{Log, MAX_TOPICS};
use serde_json::{Map, Value};

/// One event of an ABI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    name: String,
    signature: String,
    /// Nothing for an anonymous event.
    topic: Option<Hash32>,
    arguments: Vec<Argument>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Argument {
    param: Param,
    indexed: bool,
}

impl Event {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its signature, `Name(type,type)`.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Keccak-256 of the signature: the first topic of its logs. `None` for an anonymous event, which has none.
    pub fn topic(&self) -> Option<Hash32> {
        self.topic
    }

    /// Topics of its logs: the signature's, unless it is anonymous, and one for each indexed argument.
    pub fn topics_due(&self) -> usize {
        usize::from(self.topic.is_some()) + self.arguments.iter().filter(|argument| argument.indexed).count()
    }

    pub(super) fn is(&self, wanted: &str) -> bool {
        self.name == wanted || self.signature == wanted
    }

    pub(super) fn read(entry: &Entry) -> Result<Self, Fault> {
        let params = read_params(entry.inputs.iter(), 0)?;
        if entry.name.is_empty() {
            return Err(Fault::new(Reason::Abi, "an event with a name", "no name"));
        }
        let signature = format!("{}{}", entry.name, tuple_signature(&params));
        let topic = (!entry.anonymous).then(|| keccak256(signature.as_bytes()));
        let marks = entry.inputs.iter().map(|input| input.indexed);
        let arguments = params.into_iter().zip(marks).map(|(param, indexed)| Argument { param, indexed }).collect();
        let event = Self { name: entry.name.clone(), signature, topic, arguments };
        let (due, own) = (event.topics_due(), usize::from(event.topic.is_some()));
        if due > MAX_TOPICS {
            let expected = format!("at most {} indexed arguments", MAX_TOPICS - own);
            return Err(Fault::new(Reason::Abi, expected, due - own));
        }
        Ok(event)
    }

    pub(super) fn decode(&self, log: &Log<'_>) -> Result<Map<String, Value>, Fault> {
        let due = self.topics_due();
        if log.topics().len() != due {
            return Err(Fault::new(Reason::Topics, format!("{due} topics of {}", self.signature), log.topics().len()));
        }
        if log.data().len() > MAX_DATA_BYTES {
            let expected = format!("event data of at most {MAX_DATA_BYTES} bytes");
            return Err(Fault::new(Reason::TooLarge, expected, log.data().len()));
        }
        let plain: Vec<&Param> =
            self.arguments.iter().filter(|argument| !argument.indexed).map(|argument| &argument.param).collect();
        let mut values = decode_data(&plain, log.data())?.into_iter();
        let mut topics = log.topics().iter().skip(usize::from(self.topic.is_some()));
        let mut args = Map::new();
        for Argument { param, indexed } in &self.arguments {
            let value = if *indexed {
                topics.next().map(|topic| decode_topic(param, topic)).transpose()?
            } else {
                values.next()
            };
            args.insert(param.name.clone(), value.unwrap_or_default());
        }
        Ok(args)
    }
}
