//! Which logs a lane is about: one contract, and the first topics of its events.

use crate::address::Address;
use crate::bloom::Bloom;
use crate::fault::{Fault, Reason};
use crate::keccak::Hash32;
use crate::receipt::Log;
use hufu_adapters_light_client::Selector;
use serde::{Deserialize, Serialize};

/// First topics that one selector may name.
pub const MAX_TOPICS: usize = 256;

/// A contract and the first topics of its events. As JSON: `{"contract": "0x…", "topics": ["0x…", …]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSelector {
    contract: Address,
    topics: Vec<Hash32>,
}

impl LogSelector {
    /// Logs of `contract` whose first topic is one of `topics`; order and repetition of `topics` do not matter.
    ///
    /// # Errors
    /// [`Fault`] if no topic is named, or more than [`MAX_TOPICS`].
    pub fn new(contract: Address, mut topics: Vec<Hash32>) -> Result<Self, Fault> {
        topics.sort_unstable();
        topics.dedup();
        if topics.is_empty() || topics.len() > MAX_TOPICS {
            return Err(Fault::new(Reason::Selector, format!("1 to {MAX_TOPICS} topics"), topics.len()));
        }
        Ok(Self { contract, topics })
    }

    /// Reads the family's selector.
    ///
    /// # Errors
    /// [`Fault`] if it has another shape, or topics that are not strictly ascending: there is one spelling.
    pub fn read(selector: &Selector) -> Result<Self, Fault> {
        let read: Self = Self::deserialize(selector.value())
            .map_err(|fault| Fault::new(Reason::Selector, "{contract, topics}", fault))?;
        let canonical = Self::new(read.contract, read.topics.clone())?;
        if canonical != read {
            return Err(Fault::new(Reason::Selector, "topics strictly ascending", "another order"));
        }
        Ok(read)
    }

    /// The form that stands in a lane's definition.
    pub fn to_selector(&self) -> Selector {
        Selector::new(serde_json::json!({ "contract": self.contract, "topics": self.topics }))
    }

    /// The contract.
    pub fn contract(&self) -> Address {
        self.contract
    }

    /// Whether this log is one of those meant.
    pub fn matches(&self, log: &Log<'_>) -> bool {
        log.address() == self.contract
            && log.topics().first().is_some_and(|topic| self.topics.binary_search(topic).is_ok())
    }

    /// Whether a block with this filter certainly has no such log.
    pub fn is_excluded_by(&self, bloom: &Bloom) -> bool {
        !bloom.may_contain(self.contract.as_bytes())
            || !self.topics.iter().any(|topic| bloom.may_contain(topic.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn topic(number: u8) -> Hash32 {
        Hash32::new([number; 32])
    }

    #[test]
    fn one_spelling() {
        let one = LogSelector::new(Address::new([1; 20]), vec![topic(2), topic(1), topic(2)]).unwrap();
        assert_eq!(LogSelector::read(&one.to_selector()).unwrap(), one);
        let unsorted = json!({ "contract": one.contract, "topics": [topic(2), topic(1)] });
        assert_eq!(LogSelector::read(&Selector::new(unsorted)).unwrap_err().reason(), "selector-malformed");
    }

    #[test]
    fn a_selector_of_another_shape() {
        for value in [
            json!({}),
            json!({ "contract": "0x00", "topics": [topic(1)] }),
            json!({ "contract": Address::ZERO, "topics": [] }),
            json!({ "contract": Address::ZERO, "topics": [topic(1)], "more": 1 }),
        ] {
            assert_eq!(LogSelector::read(&Selector::new(value)).unwrap_err().reason(), "selector-malformed");
        }
    }

    #[test]
    fn a_filter_excludes_only_what_is_not_there() {
        let selector = LogSelector::new(Address::new([1; 20]), vec![topic(1), topic(2)]).unwrap();
        let mut bloom = Bloom::empty();
        assert!(selector.is_excluded_by(&bloom));
        bloom.insert(&[1; 20]);
        assert!(selector.is_excluded_by(&bloom));
        bloom.insert(&[2; 32]);
        assert!(!selector.is_excluded_by(&bloom));
    }
}
