//! What the operator states about a ledger: the one thing that is believed without proof.

use crate::address::Address;
use crate::bft::Kind;
use crate::fault::{Fault, Reason};
use crate::keccak::Hash32;
use crate::tally::{MAX_VALIDATORS, check_ascending};
use hufu_adapters_light_client::{ConfigurationFault, Finality};
use hufu_schemas_core::LedgerId;
use serde_json::{Map, Value};

/// The family's name in anchors and ledger ids.
pub const FAMILY: &str = "evm";
/// Blocks between two falls of all pending votes, unless the anchor says otherwise: the default of every known client.
pub const DEFAULT_EPOCH: u64 = 30_000;
/// How long a head may be extended after its block's time, unless the anchor says otherwise: 14 days in seconds.
pub const DEFAULT_TRUSTED_FOR: u64 = 14 * 86_400;

/// How blocks are agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consensus {
    /// Final at once by a quorum of seals, with the validators in the header.
    Bft(Kind),
    /// Clique.
    Clique,
}

impl Consensus {
    /// All that are built.
    pub const ALL: [Self; 4] = [Self::Bft(Kind::Qbft), Self::Bft(Kind::Ibft2), Self::Bft(Kind::Ibft1), Self::Clique];

    /// The name in anchors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bft(kind) => kind.as_str(),
            Self::Clique => "clique",
        }
    }

    /// What may be said of a block that was accepted.
    pub const fn finality(self) -> Finality {
        match self {
            Self::Bft(_) => Finality::BftFinal,
            Self::Clique => Finality::Probabilistic,
        }
    }
}

/// An operator's anchor. There is no default and no "latest": height and hash are always named.
///
/// As JSON: `{"family": "evm", "consensus": "qbft", "height": 0, "hash": "0x…"}` (`consensus` is one of
/// `qbft`, `ibft2`, `ibft1`, `clique`) and optionally
/// - `genesis`: hash of block 0, which names the ledger; needed where `height` is not 0;
/// - `chain_id`: what nodes must answer. Headers do not carry it, so it proves nothing;
/// - `epoch`: blocks between two falls of all votes, 30,000 by default;
/// - `validators`: the set in force after the anchor block, ascending. Without it the block's own list is taken, which
///   the hash covers;
/// - `confirmations` (Clique): distinct signers on top, never fewer than a majority;
/// - `trusted_for`: seconds after a head's block time in which it may be extended, 14 days by default. A head at genesis
///   does not expire: the operator's word is its only age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    pub(crate) consensus: Consensus,
    pub(crate) ledger: LedgerId,
    pub(crate) chain_id: Option<u64>,
    pub(crate) height: u64,
    pub(crate) hash: Hash32,
    pub(crate) epoch: u64,
    pub(crate) validators: Option<Vec<Address>>,
    pub(crate) confirmations: u32,
    pub(crate) trusted_for: u64,
}

const KEYS: [&str; 10] = [
    "family",
    "consensus",
    "chain_id",
    "height",
    "hash",
    "genesis",
    "epoch",
    "validators",
    "confirmations",
    "trusted_for",
];

impl Anchor {
    /// Reads an operator's anchor.
    ///
    /// # Errors
    /// [`ConfigurationFault`] with the pointer of what is missing, unknown or contradictory.
    pub fn parse(value: &Value) -> Result<Self, ConfigurationFault> {
        let object = Object::open(value)?;
        let family: String = object.need("family", "\"evm\"", text)?;
        if family != FAMILY {
            return Err(fault("/family", "\"evm\"", &family));
        }
        let consensus = object.need("consensus", "\"qbft\", \"ibft2\", \"ibft1\" or \"clique\"", consensus)?;
        let height = object.need("height", "a height", number)?;
        let hash = object.need("hash", "0x and 64 hex digits", parsed::<Hash32>)?;
        let genesis = object.may("genesis", "0x and 64 hex digits", parsed::<Hash32>)?;
        let genesis = match (height, genesis) {
            (0, None) => hash,
            (0, Some(genesis)) if genesis != hash => {
                return Err(fault("/genesis", &hash.to_string(), &genesis.to_string()));
            }
            (_, Some(genesis)) => genesis,
            (_, None) => return Err(fault("/genesis", "the genesis hash, since the height is not 0", "nothing")),
        };
        let ledger = LedgerId::of_genesis(FAMILY, genesis.as_bytes())
            .map_err(|error| fault("/genesis", "a genesis hash", &error.to_string()))?;
        let epoch = object.may("epoch", "a number of blocks above 0", positive)?.unwrap_or(DEFAULT_EPOCH);
        let confirmations = object.may("confirmations", "a number of distinct signers", small)?.unwrap_or(0);
        if consensus.finality() == Finality::BftFinal && confirmations != 0 {
            return Err(fault("/confirmations", "nothing: such a block is final at once", &confirmations.to_string()));
        }
        if consensus == Consensus::Clique && height % epoch != 0 {
            let expected = format!("genesis or an epoch block (a multiple of {epoch}), where no vote is pending");
            return Err(fault("/height", &expected, &height.to_string()));
        }
        Ok(Self {
            consensus,
            ledger,
            chain_id: object.may("chain_id", "a number", number)?,
            height,
            hash,
            epoch,
            validators: object.may("validators", "addresses, strictly ascending", validators)?,
            confirmations,
            trusted_for: object.may("trusted_for", "seconds above 0", positive)?.unwrap_or(DEFAULT_TRUSTED_FOR),
        })
    }

    /// How blocks are agreed.
    pub fn consensus(&self) -> Consensus {
        self.consensus
    }

    /// The ledger's name: the first half of its genesis hash.
    pub fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    /// The chain id that nodes must answer, where the operator named one.
    pub fn chain_id(&self) -> Option<u64> {
        self.chain_id
    }

    /// Height of the anchor block.
    pub fn height(&self) -> u64 {
        self.height
    }

    /// Hash of the anchor block.
    pub fn hash(&self) -> Hash32 {
        self.hash
    }

    /// Asserts that a block is the anchor's.
    pub(crate) fn require(&self, hash: Hash32) -> Result<(), Fault> {
        if hash == self.hash {
            return Ok(());
        }
        Err(Fault::new(Reason::AnchorHash, self.hash, hash))
    }
}

/// A JSON object read key by key, so that a fault can point at the key.
struct Object<'a>(&'a Map<String, Value>);

impl<'a> Object<'a> {
    fn open(value: &'a Value) -> Result<Self, ConfigurationFault> {
        let map = value.as_object().ok_or_else(|| fault("", "an object", &brief(value)))?;
        match map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            Some(key) => Err(fault(&format!("/{key}"), &format!("one of {}", KEYS.join(", ")), "another key")),
            None => Ok(Self(map)),
        }
    }

    /// An absent key and `null` are the same.
    fn may<T>(
        &self,
        key: &str,
        due: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ConfigurationFault> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| fault(&format!("/{key}"), due, &brief(value))),
        }
    }

    fn need<T>(&self, key: &str, due: &str, read: impl Fn(&Value) -> Option<T>) -> Result<T, ConfigurationFault> {
        self.may(key, due, read)?.ok_or_else(|| fault(&format!("/{key}"), due, "nothing"))
    }
}

pub(crate) fn fault(pointer: &str, expected: &str, got: &str) -> ConfigurationFault {
    ConfigurationFault { pointer: pointer.to_owned(), expected: expected.to_owned(), got: got.to_owned() }
}

pub(crate) fn brief(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64()
}

fn positive(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number > 0)
}

fn small(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= 1_024)
}

fn parsed<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

fn consensus(value: &Value) -> Option<Consensus> {
    Consensus::ALL.into_iter().find(|kind| value.as_str() == Some(kind.as_str()))
}

fn validators(value: &Value) -> Option<Vec<Address>> {
    let list = value.as_array().filter(|list| !list.is_empty() && list.len() <= MAX_VALIDATORS)?;
    let addresses: Vec<Address> = list.iter().map(parsed).collect::<Option<_>>()?;
    check_ascending(&addresses).is_ok().then_some(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hash(number: u8) -> String {
        Hash32::new([number; 32]).to_string()
    }

    fn with(key: &str, value: Value) -> Result<Anchor, ConfigurationFault> {
        let mut anchor = json!({ "family": "evm", "consensus": "qbft", "height": 0, "hash": hash(1) });
        anchor[key] = value;
        Anchor::parse(&anchor)
    }

    #[test]
    fn a_ledger_is_named_by_its_genesis() {
        let anchor = with("chain_id", json!(7)).unwrap();
        assert_eq!(anchor.ledger().as_str(), "evm:01010101010101010101010101010101");
        let later = json!({ "family": "evm", "consensus": "qbft", "height": 9, "hash": hash(2), "genesis": hash(1) });
        assert_eq!(Anchor::parse(&later).unwrap().ledger(), anchor.ledger());
    }

    #[test]
    fn an_anchor_above_genesis_that_does_not_name_its_ledger() {
        assert_eq!(with("height", json!(9)).unwrap_err().pointer, "/genesis");
        assert_eq!(with("genesis", json!(hash(2))).unwrap_err().pointer, "/genesis");
    }

    #[test]
    fn keys_with_a_typo_and_values_of_another_kind() {
        for (key, value) in [
            ("validator", json!([])),
            ("family", json!("fabric")),
            ("consensus", json!("ibft3")),
            ("height", json!("latest")),
            ("height", json!(-1)),
            ("hash", json!("latest")),
            ("hash", Value::Null),
            ("epoch", json!(0)),
            ("confirmations", json!(2)),
            ("trusted_for", json!(0)),
            ("validators", json!([])),
            ("validators", json!([Address::new([2; 20]), Address::new([1; 20])])),
        ] {
            assert_eq!(with(key, value.clone()).unwrap_err().pointer, format!("/{key}"), "{value}");
        }
        assert!(Anchor::parse(&json!("latest")).is_err());
    }

    #[test]
    fn every_kind_by_its_name() {
        for kind in Consensus::ALL {
            assert_eq!(with("consensus", json!(kind.as_str())).unwrap().consensus(), kind);
        }
        for kind in ["ibft2", "ibft1"] {
            let anchor = json!({
                "family": "evm", "consensus": kind, "height": 0, "hash": hash(1), "confirmations": 2,
            });
            assert_eq!(Anchor::parse(&anchor).unwrap_err().pointer, "/confirmations");
        }
    }

    #[test]
    fn a_clique_anchor_between_epochs() {
        let anchor =
            json!({ "family": "evm", "consensus": "clique", "height": 9, "hash": hash(2), "genesis": hash(1) });
        assert_eq!(Anchor::parse(&anchor).unwrap_err().pointer, "/height");
    }
}
