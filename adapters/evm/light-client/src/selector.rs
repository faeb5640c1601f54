//! Which logs a lane is about: contracts, and of each the first topics of its events.
//!
//! Of an anonymous event there is no such topic. Its logs are those with as many topics as it has indexed arguments,
//! except those whose first topic is that of a named event known to be another.

use crate::address::Address;
use crate::bloom::Bloom;
use crate::fault::{Fault, Reason};
use crate::keccak::Hash32;
use crate::pin::Pin;
use crate::receipt::{self, Log};
use hufu_adapters_light_client::Selector;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;

/// First topics that a selector may name of one contract.
pub const MAX_TOPICS: usize = 256;
/// Contracts that one selector may name.
pub const MAX_CONTRACTS: usize = 64;
/// Topics of the whole selector, those of exceptions among them: 768 × 69 bytes are 52 KiB of a definition, which may
/// have 256, and no list of it is longer than the 1,000 items that one may have.
pub const MAX_HASHES: usize = 768;

/// The logs of one contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContractLogs {
    contract: Address,
    topics: Vec<Hash32>,
    /// Numbers of topics of anonymous events.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    anonymous: Vec<usize>,
    /// First topics that no log of an anonymous event has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    except: Vec<Hash32>,
    /// What is pinned of its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pin: Option<Pin>,
}

impl ContractLogs {
    /// Logs of `contract` whose first topic is one of `topics`; order and repetition of `topics` do not matter.
    pub fn named(contract: Address, mut topics: Vec<Hash32>) -> Self {
        topics.sort_unstable();
        topics.dedup();
        Self { contract, topics, anonymous: Vec::new(), except: Vec::new(), pin: None }
    }

    /// Also logs with one of these numbers of topics, unless their first is one of `except`.
    #[must_use]
    pub fn and_anonymous(self, mut counts: Vec<usize>, mut except: Vec<Hash32>) -> Self {
        counts.sort_unstable();
        counts.dedup();
        except.sort_unstable();
        except.dedup();
        // What is selected anyway is no exception, and without anonymous events there is nothing to except from.
        except.retain(|topic| !counts.is_empty() && self.topics.binary_search(topic).is_err());
        Self { anonymous: counts, except, ..self }
    }

    /// Its one spelling.
    fn canonical(&self) -> Self {
        let logs = Self::named(self.contract, self.topics.clone());
        Self { pin: self.pin, ..logs.and_anonymous(self.anonymous.clone(), self.except.clone()) }
    }

    fn require_limits(&self) -> Result<(), Fault> {
        let (topics, counts) = (self.topics.len(), &self.anonymous);
        if topics > MAX_TOPICS || (topics == 0 && counts.is_empty()) {
            return Err(Fault::new(Reason::Selector, format!("1 to {MAX_TOPICS} topics"), topics));
        }
        self.pin.map(Pin::checked).transpose()?;
        match counts.iter().find(|count| **count > receipt::MAX_TOPICS) {
            None => Ok(()),
            Some(count) => {
                let expected = format!("anonymous events of at most {} topics", receipt::MAX_TOPICS);
                Err(Fault::new(Reason::Selector, expected, count))
            }
        }
    }

    fn matches(&self, log: &Log<'_>) -> bool {
        let first_of =
            |topics: &[Hash32]| log.topics().first().is_some_and(|first| topics.binary_search(first).is_ok());
        let is_anonymous = || self.anonymous.contains(&log.topics().len()) && !first_of(&self.except);
        log.address() == self.contract && (first_of(&self.topics) || is_anonymous())
    }

    /// Anonymous events are excluded by their contract alone: their topics are values of arguments.
    fn is_excluded_by(&self, bloom: &Bloom) -> bool {
        let no_topic = || !self.topics.iter().any(|topic| bloom.may_contain(topic.as_bytes()));
        !bloom.may_contain(self.contract.as_bytes()) || (self.anonymous.is_empty() && no_topic())
    }
}

/// Contracts and the logs of each that are meant. As JSON, for one contract `{"contract": "0x…", "topics": ["0x…", …]}`,
/// with `"anonymous": [2, …]` and `"except": ["0x…", …]` where it has anonymous events and with `"pin": {…}` where its
/// code is pinned ([`Pin`]); for several
/// `{"contracts": [{"contract": "0x…", …}, …]}`, ascending by address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSelector {
    contracts: Vec<ContractLogs>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Several {
    contracts: Vec<ContractLogs>,
}

impl LogSelector {
    /// Logs of `contract` whose first topic is one of `topics`; order and repetition of `topics` do not matter.
    ///
    /// # Errors
    /// [`Fault`] if no topic is named, or more than [`MAX_TOPICS`].
    pub fn new(contract: Address, topics: Vec<Hash32>) -> Result<Self, Fault> {
        Self::of(vec![ContractLogs::named(contract, topics)])
    }

    /// Logs of several contracts, in any order.
    ///
    /// # Errors
    /// [`Fault`] if there is no contract, one twice, one without events, or more of anything than its limit.
    pub fn of(mut contracts: Vec<ContractLogs>) -> Result<Self, Fault> {
        contracts.sort_unstable_by_key(|logs| logs.contract);
        if contracts.is_empty() || contracts.len() > MAX_CONTRACTS {
            return Err(Fault::new(Reason::Selector, format!("1 to {MAX_CONTRACTS} contracts"), contracts.len()));
        }
        let mut pairs = contracts.iter().zip(contracts.iter().skip(1));
        if let Some((twice, _)) = pairs.find(|(one, next)| one.contract == next.contract) {
            return Err(Fault::new(Reason::Selector, "each contract once", twice.contract));
        }
        contracts.iter().try_for_each(ContractLogs::require_limits)?;
        let hashes: usize = contracts.iter().map(|logs| logs.topics.len() + logs.except.len()).sum();
        if hashes > MAX_HASHES {
            return Err(Fault::new(Reason::Selector, format!("at most {MAX_HASHES} topics in all"), hashes));
        }
        Ok(Self { contracts })
    }

    /// The same logs, of contracts whose code is pinned.
    ///
    /// # Errors
    /// [`Fault`] if a contract is not among those that are read.
    pub fn pinned(mut self, pins: &BTreeMap<Address, Pin>) -> Result<Self, Fault> {
        for (contract, pin) in pins {
            let logs = self.contracts.iter_mut().find(|logs| logs.contract == *contract);
            let logs = logs.ok_or_else(|| Fault::new(Reason::Selector, "a contract that is read", contract))?;
            logs.pin = Some(*pin);
        }
        Ok(self)
    }

    /// Whether the code of any contract is pinned.
    pub fn has_pins(&self) -> bool {
        self.contracts.iter().any(|logs| logs.pin.is_some())
    }

    /// What is pinned of a contract's code.
    pub fn pin(&self, contract: Address) -> Option<&Pin> {
        let found = self.contracts.binary_search_by_key(&contract, |logs| logs.contract);
        found.ok().and_then(|place| self.contracts.get(place)).and_then(|logs| logs.pin.as_ref())
    }

    /// Reads the family's selector.
    ///
    /// # Errors
    /// [`Fault`] if it has another shape, or lists that are not strictly ascending: there is one spelling.
    pub fn read(selector: &Selector) -> Result<Self, Fault> {
        let value = selector.value();
        let contracts = if value.get("contracts").is_some() {
            Several::deserialize(value).map(|several| several.contracts)
        } else {
            ContractLogs::deserialize(value).map(|logs| vec![logs])
        };
        let contracts = contracts.map_err(|fault| Fault::new(Reason::Selector, "{contract, topics}", fault))?;
        let canonical = Self::of(contracts.iter().map(ContractLogs::canonical).collect())?;
        if canonical.contracts != contracts || canonical.to_selector() != *selector {
            return Err(Fault::new(Reason::Selector, "contracts and topics strictly ascending", "another spelling"));
        }
        Ok(canonical)
    }

    /// The form that stands in a lane's definition.
    pub fn to_selector(&self) -> Selector {
        Selector::new(match self.contracts.as_slice() {
            [one] => json!(one),
            several => json!({ "contracts": several }),
        })
    }

    /// The contract; where there are several, all of them in words.
    pub fn contract(&self) -> String {
        let addresses: Vec<String> = self.contracts.iter().map(|logs| logs.contract.to_string()).collect();
        addresses.join(" or ")
    }

    /// Whether this log is one of those meant.
    pub fn matches(&self, log: &Log<'_>) -> bool {
        let found = self.contracts.binary_search_by_key(&log.address(), |logs| logs.contract);
        found.ok().and_then(|place| self.contracts.get(place)).is_some_and(|logs| logs.matches(log))
    }

    /// Whether a block with this filter certainly has no such log.
    pub fn is_excluded_by(&self, bloom: &Bloom) -> bool {
        self.contracts.iter().all(|logs| logs.is_excluded_by(bloom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rlp;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use serde_json::Value;

    fn topic(number: u8) -> Hash32 {
        Hash32::new([number; 32])
    }

    fn address(number: u8) -> Address {
        Address::new([number; 20])
    }

    fn reason(value: Value) -> &'static str {
        LogSelector::read(&Selector::new(value)).unwrap_err().reason()
    }

    #[test]
    fn one_contract_is_spelled_as_it_always_was() {
        let one = LogSelector::new(address(1), vec![topic(2), topic(1), topic(2)]).unwrap();
        let spelled = json!({ "contract": address(1), "topics": [topic(1), topic(2)] });
        assert_eq!(one.to_selector().value(), &spelled);
        assert_eq!(LogSelector::read(&one.to_selector()).unwrap(), one);
        assert_eq!(one.contract(), address(1).to_string());
    }

    #[test]
    fn one_spelling() {
        let logs = |number: u8| json!({ "contract": address(number), "topics": [topic(1)] });
        assert!(LogSelector::read(&Selector::new(json!({ "contracts": [logs(1), logs(2)] }))).is_ok());
        for value in [
            json!({ "contract": address(1), "topics": [topic(2), topic(1)] }),
            json!({ "contract": address(1), "topics": [topic(1), topic(1)] }),
            json!({ "contract": address(1), "topics": [topic(1)], "anonymous": [] }),
            json!({ "contract": address(1), "topics": [topic(1)], "anonymous": [2, 1] }),
            json!({ "contract": address(1), "topics": [topic(1)], "except": [topic(2)] }),
            json!({ "contract": address(1), "topics": [topic(1)], "anonymous": [1], "except": [topic(1)] }),
            json!({ "contracts": [logs(1)] }),
            json!({ "contracts": [logs(2), logs(1)] }),
            json!({ "contracts": [logs(1), logs(1)] }),
        ] {
            assert_eq!(reason(value.clone()), "selector-malformed", "{value}");
        }
    }

    #[test]
    fn a_selector_of_another_shape_or_beyond_its_limits() {
        let topics: Vec<Hash32> = (0..200).map(topic).collect();
        let many = |number: u8| json!({ "contract": address(number), "topics": topics });
        for value in [
            json!({}),
            json!({ "contract": "0x00", "topics": [topic(1)] }),
            json!({ "contract": Address::ZERO, "topics": [] }),
            json!({ "contract": Address::ZERO, "topics": [topic(1)], "more": 1 }),
            json!({ "contract": Address::ZERO, "topics": [], "anonymous": [5] }),
            json!({ "contracts": [] }),
            json!({ "contracts": [many(1), many(2), many(3), many(4)] }),
            json!({ "contracts": [many(1), many(2)], "contract": address(1) }),
        ] {
            assert_eq!(reason(value.clone()), "selector-malformed", "{value}");
        }
        let contracts: Vec<_> = (0..=64).map(|number| ContractLogs::named(address(number), vec![topic(1)])).collect();
        assert!(LogSelector::of(contracts).is_err());
    }

    #[test]
    fn a_filter_excludes_only_what_is_not_there() {
        let selector = LogSelector::new(address(1), vec![topic(1), topic(2)]).unwrap();
        let mut bloom = Bloom::empty();
        assert!(selector.is_excluded_by(&bloom));
        bloom.insert(&[1; 20]);
        assert!(selector.is_excluded_by(&bloom));
        bloom.insert(&[2; 32]);
        assert!(!selector.is_excluded_by(&bloom));
    }

    #[test]
    fn a_contract_beside_the_topic_of_another_one_is_excluded() {
        let pairs =
            [(1, 1), (2, 2)].map(|(contract, event)| ContractLogs::named(address(contract), vec![topic(event)]));
        let selector = LogSelector::of(pairs.to_vec()).unwrap();
        let mut bloom = Bloom::empty();
        bloom.insert(&[1; 20]);
        bloom.insert(&[2; 32]);
        assert!(selector.is_excluded_by(&bloom), "no contract has its own event there");
        bloom.insert(&[2; 20]);
        assert!(!selector.is_excluded_by(&bloom));
    }

    fn log_bytes(contract: Address, topics: &[Hash32]) -> Vec<u8> {
        let mut list = Vec::new();
        topics.iter().for_each(|topic| rlp::write_string(topic.as_bytes(), &mut list));
        let mut items = Vec::new();
        rlp::write_string(contract.as_bytes(), &mut items);
        rlp::write_list(&list, &mut items);
        rlp::write_string(&[], &mut items);
        let mut out = Vec::new();
        rlp::write_list(&items, &mut out);
        out
    }

    #[test]
    fn anonymous_logs_by_their_number_of_topics_and_never_another_named_event() {
        let logs = ContractLogs::named(address(1), vec![topic(1)]).and_anonymous(vec![2, 0], vec![topic(9), topic(1)]);
        let selector = LogSelector::of(vec![logs]).unwrap();
        assert_eq!(LogSelector::read(&selector.to_selector()).unwrap(), selector);
        for (contract, topics, expected) in [
            (1, vec![topic(1)], true),
            (1, vec![topic(2)], false),
            (1, vec![], true),
            (1, vec![topic(2), topic(3)], true),
            (1, vec![topic(9), topic(3)], false),
            (1, vec![topic(1), topic(3)], true),
            (2, vec![topic(2), topic(3)], false),
        ] {
            let bytes = log_bytes(address(contract), &topics);
            assert_eq!(selector.matches(&Log::parse(&bytes).unwrap()), expected, "{contract} {topics:?}");
        }
    }

    fn selectors() -> impl Strategy<Value = LogSelector> {
        let small = || vec(0u8..6, 0..4);
        let logs = (small(), vec(0usize..=4, 0..2), small());
        btree_map(0u8..4, logs, 1..4).prop_filter_map("a contract without events", |contracts| {
            let hashes = |numbers: Vec<u8>| numbers.into_iter().map(topic).collect();
            let logs = contracts.into_iter().map(|(contract, (topics, counts, except))| {
                ContractLogs::named(address(contract), hashes(topics)).and_anonymous(counts, hashes(except))
            });
            LogSelector::of(logs.collect()).ok()
        })
    }

    proptest! {
        /// What a filter excludes would be believed absent without a look at the receipts.
        #[test]
        fn a_block_with_a_matching_log_is_never_excluded(
            selector in selectors(), contract in 0u8..4, topics in vec(0u8..6, 0..=4), noise in vec(any::<u8>(), 0..3)
        ) {
            let topics: Vec<Hash32> = topics.into_iter().map(topic).collect();
            let bytes = log_bytes(address(contract), &topics);
            let mut bloom = Bloom::empty();
            noise.iter().for_each(|number| bloom.insert(&[*number; 20]));
            bloom.insert(&[contract; 20]);
            topics.iter().for_each(|topic| bloom.insert(topic.as_bytes()));
            prop_assert!(!selector.matches(&Log::parse(&bytes).unwrap()) || !selector.is_excluded_by(&bloom));
            prop_assert_eq!(LogSelector::read(&selector.to_selector()).unwrap(), selector);
        }
    }
}
