//! What the operator states about a ledger: the one thing that is believed without proof.

use crate::fault::{Fault, Reason};
use crate::hash::Hash32;
use crate::header::MAX_CHAIN_ID;
use crate::keys::Kind;
use crate::verify::{Rules, TrustLevel};
use hufu_adapters_light_client::ConfigurationFault;
use hufu_schemas_core::LedgerId;
use serde_json::{Map, Value};

/// The family's name in anchors and ledger ids.
pub const FAMILY: &str = "cometbft";
/// Seconds by which a header may be ahead of the clock, unless the anchor says otherwise: what CometBFT's own light
/// client takes (light/client.go, `defaultMaxClockDrift`).
pub const DEFAULT_CLOCK_DRIFT: u64 = 10;

/// An operator's anchor. There is no default and no "latest": height, hash and trusting period are always named.
///
/// As JSON: `{"family": "cometbft", "chain_id": "…", "height": 1, "hash": "64 hex", "trusting_period": 1209600}` and
/// optionally
/// - `genesis`: hash of the header of the ledger's first block, which names the ledger; needed where `height` is not 1
///   (docs/decisions/0010);
/// - `clock_drift`: seconds by which a header may be ahead of the clock, 10 by default;
/// - `trust_level`: `"1/3"` by default, up to `"1/1"`: how much of a known validator set must have signed a header
///   that is not the next one;
/// - `keys`: kinds of validators' keys, `["ed25519"]` by default; also `secp256k1` and `sm2`;
/// - `skipping`: `true` lets heights be passed over whose headers are not shown. Nothing can be proven in those blocks,
///   so it is for following heads alone; `false` by default.
///
/// `trusting_period`, in seconds, must be shorter than the time in which the ledger can still punish validators for what
/// they signed (for the Cosmos SDK: the unbonding time; two thirds of it are usual).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    pub(crate) ledger: LedgerId,
    pub(crate) height: u64,
    pub(crate) hash: Hash32,
    pub(crate) rules: Rules,
    pub(crate) skipping: bool,
}

const KEYS: [&str; 10] = [
    "family",
    "chain_id",
    "height",
    "hash",
    "genesis",
    "trusting_period",
    "clock_drift",
    "trust_level",
    "keys",
    "skipping",
];

impl Anchor {
    /// Reads an operator's anchor.
    ///
    /// # Errors
    /// [`ConfigurationFault`] with the pointer of what is missing, unknown or contradictory.
    pub fn parse(value: &Value) -> Result<Self, ConfigurationFault> {
        let object = Object::open(value)?;
        let family = object.need("family", "\"cometbft\"", text)?;
        if family != FAMILY {
            return Err(fault("/family", "\"cometbft\"", &family));
        }
        let height = object.need("height", "a height above 0", positive)?;
        let hash = object.need("hash", "64 hex digits", hash)?;
        let genesis = match (height, object.may("genesis", "64 hex digits", self::hash)?) {
            (1, Some(genesis)) if genesis != hash => {
                return Err(fault("/genesis", &hash.to_string(), &genesis.to_string()));
            }
            (1, None) => hash,
            (_, Some(genesis)) => genesis,
            (_, None) => {
                return Err(fault(
                    "/genesis",
                    "the hash of the ledger's first block, since the height is not 1",
                    "nothing",
                ));
            }
        };
        let ledger = LedgerId::of_genesis(FAMILY, genesis.as_bytes())
            .map_err(|error| fault("/genesis", "the hash of a block", &error.to_string()))?;
        let chain_id = object.need("chain_id", &format!("1 to {MAX_CHAIN_ID} letters"), chain_id)?;
        let rules = Rules {
            chain_id,
            kinds: object
                .may("keys", "a list of ed25519, secp256k1 and sm2", kinds)?
                .unwrap_or_else(|| vec![Kind::Ed25519]),
            trust_level: object.may("trust_level", "a fraction from 1/3 to 1/1", level)?.unwrap_or(TrustLevel::THIRD),
            trusting_period: object.need("trusting_period", "seconds above 0", positive)?,
            clock_drift: object.may("clock_drift", "seconds, at most 3600", drift)?.unwrap_or(DEFAULT_CLOCK_DRIFT),
        };
        let skipping = object.may("skipping", "true or false", Value::as_bool)?.unwrap_or(false);
        Ok(Self { ledger, height, hash, rules, skipping })
    }

    /// The ledger's name: the first half of the hash of its first block.
    pub const fn ledger(&self) -> &LedgerId {
        &self.ledger
    }

    /// Height of the anchor block.
    pub const fn height(&self) -> u64 {
        self.height
    }

    /// Hash of the anchor block's header.
    pub const fn hash(&self) -> Hash32 {
        self.hash
    }

    /// How headers are judged.
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Whether heights may be passed over whose headers are not shown.
    pub const fn may_skip(&self) -> bool {
        self.skipping
    }

    /// Asserts that a block is the anchor's.
    pub(crate) fn require(&self, hash: Hash32) -> Result<(), Fault> {
        if hash == self.hash { Ok(()) } else { Err(Fault::new(Reason::AnchorHash, self.hash, hash)) }
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

fn positive(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number > 0 && i64::try_from(*number).is_ok())
}

fn hash(value: &Value) -> Option<Hash32> {
    value.as_str()?.parse().ok()
}

fn chain_id(value: &Value) -> Option<String> {
    text(value).filter(|id| !id.is_empty() && id.len() <= MAX_CHAIN_ID)
}

fn drift(value: &Value) -> Option<u64> {
    value.as_u64().filter(|seconds| *seconds <= 3_600)
}

fn level(value: &Value) -> Option<TrustLevel> {
    let (numerator, denominator) = value.as_str()?.split_once('/')?;
    TrustLevel::new(numerator.parse().ok()?, denominator.parse().ok()?)
}

fn kinds(value: &Value) -> Option<Vec<Kind>> {
    let list = value.as_array().filter(|list| !list.is_empty() && list.len() <= Kind::ALL.len())?;
    list.iter().map(|name| Kind::ALL.into_iter().find(|kind| name.as_str() == Some(kind.as_str()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const HASH: &str = "0101010101010101010101010101010101010101010101010101010101010101";
    const OTHER: &str = "0202020202020202020202020202020202020202020202020202020202020202";

    fn with(key: &str, value: Value) -> Result<Anchor, ConfigurationFault> {
        let mut anchor = json!({
            "family": "cometbft", "chain_id": "land-1", "height": 1, "hash": HASH, "trusting_period": 1_209_600,
        });
        anchor[key] = value;
        Anchor::parse(&anchor)
    }

    #[test]
    fn a_ledger_is_named_by_the_hash_of_its_first_block() {
        let first = with("clock_drift", json!(5)).unwrap();
        assert_eq!(first.ledger().as_str(), "cometbft:01010101010101010101010101010101");
        let later = json!({
            "family": "cometbft", "chain_id": "land-1", "height": 9, "hash": OTHER, "genesis": HASH, "trusting_period": 60,
        });
        assert_eq!(Anchor::parse(&later).unwrap().ledger(), first.ledger());
    }

    #[test]
    fn an_anchor_above_the_first_block_that_does_not_name_its_ledger() {
        assert_eq!(with("height", json!(9)).unwrap_err().pointer, "/genesis");
        assert_eq!(with("genesis", json!(OTHER)).unwrap_err().pointer, "/genesis");
    }

    #[test]
    fn keys_with_a_typo_and_values_of_another_kind() {
        for (key, value) in [
            ("chainid", json!("land-1")),
            ("family", json!("evm")),
            ("chain_id", json!("")),
            ("chain_id", json!("x".repeat(51))),
            ("height", json!(0)),
            ("height", json!("latest")),
            ("hash", json!("latest")),
            ("hash", Value::Null),
            ("trusting_period", json!(0)),
            ("trusting_period", Value::Null),
            ("clock_drift", json!(-1)),
            ("clock_drift", json!(86_400)),
            ("trust_level", json!("1/4")),
            ("trust_level", json!("2/1")),
            ("trust_level", json!("0/0")),
            ("trust_level", json!("third")),
            ("keys", json!([])),
            ("keys", json!(["bls12381"])),
            ("skipping", json!("yes")),
        ] {
            assert_eq!(with(key, value.clone()).unwrap_err().pointer, format!("/{key}"), "{value}");
        }
        assert!(Anchor::parse(&json!("latest")).is_err());
    }

    #[test]
    fn what_may_be_said_is_read() {
        let anchor = with("keys", json!(["ed25519", "sm2"])).unwrap();
        assert_eq!(anchor.rules().kinds, [Kind::Ed25519, Kind::Sm2]);
        assert_eq!(with("trust_level", json!("2/3")).unwrap().rules().trust_level, TrustLevel::new(2, 3).unwrap());
        assert!(with("skipping", json!(true)).unwrap().skipping);
    }
}
