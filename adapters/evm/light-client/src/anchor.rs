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
/// Blocks that a better branch may undo on a ledger that is never final, unless the anchor says otherwise; and the most
/// that an anchor may say. A branch is judged from up to twice as many blocks below the head and must outweigh what it
/// undoes, so 128 of them need a delivery of 256 + 128 headers and those that confirm it: within the 512 of one update.
pub const DEFAULT_REORGANISATION_LIMIT: u64 = 64;
/// The most that an anchor may say.
pub const MAX_REORGANISATION_LIMIT: u64 = 128;
/// Confirmations that an anchor may ask for where nobody seals; see [`MAX_REORGANISATION_LIMIT`] for the arithmetic.
const MAX_UNSEALED_CONFIRMATIONS: u32 = 64;
/// How long a head may be extended after its block's time, unless the anchor says otherwise: 14 days in seconds.
pub const DEFAULT_TRUSTED_FOR: u64 = 14 * 86_400;

/// How blocks are agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consensus {
    /// Final at once by a quorum of seals, with the validators in the header.
    Bft(Kind),
    /// Clique.
    Clique,
    /// Nobody seals: headers are linked by their hashes, and which of two chains holds is the node's word. For test
    /// networks, and for departments that answer for their own node. Never more than `attested`.
    Unsealed,
}

impl Consensus {
    /// Every kind whose blocks somebody seals.
    pub const ALL: [Self; 4] = [Self::Bft(Kind::Qbft), Self::Bft(Kind::Ibft2), Self::Bft(Kind::Ibft1), Self::Clique];

    /// The name in anchors.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bft(kind) => kind.as_str(),
            Self::Clique => "clique",
            Self::Unsealed => "unsealed",
        }
    }

    /// What may be said of a block that was accepted.
    pub const fn finality(self) -> Finality {
        match self {
            Self::Bft(_) => Finality::BftFinal,
            Self::Clique => Finality::Probabilistic,
            Self::Unsealed => Finality::Unsealed,
        }
    }

    /// Whether trusted blocks may be undone by a better branch.
    pub const fn reorganises(self) -> bool {
        match self {
            Self::Bft(_) => false,
            Self::Clique | Self::Unsealed => true,
        }
    }
}

/// Whether headers may be left out between two that are trusted; see docs/evm.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skipping {
    /// Every header is followed.
    Off,
    /// A higher header is believed where this share of the trusted validators sealed it, beside its own quorum.
    On(Share),
}

/// How many of the trusted validators must have sealed a header that is skipped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// More than a third: one of them at least is honest while fewer than a third are faulty.
    MoreThanAThird,
    /// ceil(2n/3): nobody who could not forge the next header can forge one that is skipped to.
    TwoThirds,
}

impl Skipping {
    pub(crate) fn is_on(self) -> bool {
        self != Self::Off
    }
}

impl Share {
    /// Of so many trusted validators. A set of fewer than four tolerates no faulty member: there it is the quorum.
    pub fn need(self, validators: usize) -> usize {
        let quorum = validators.saturating_mul(2).div_ceil(3);
        match self {
            Self::MoreThanAThird if validators >= 4 => validators / 3 + 1,
            _ => quorum,
        }
    }
}

/// An operator's anchor. There is no default and no "latest": height and hash are always named.
///
/// As JSON: `{"family": "evm", "consensus": "qbft", "height": 0, "hash": "0x…"}` (`consensus` is one of
/// `qbft`, `ibft2`, `ibft1`, `clique`, `unsealed`) and optionally
/// - `genesis`: hash of block 0, which names the ledger; needed where `height` is not 0;
/// - `chain_id`: what nodes must answer. Headers do not carry it, so it proves nothing;
/// - `epoch`: blocks between two falls of all votes, 30,000 by default;
/// - `validators`: the set in force after the anchor block, ascending. Without it the block's own list is taken, which
///   the hash covers;
/// - `confirmations`: on Clique distinct signers on top, never fewer than a majority; on an unsealed ledger blocks on top,
///   at least 1, and never left out;
/// - `reorganisation_limit` (Clique, unsealed): how many trusted blocks a better branch may undo, 64 by default, at most
///   128. A deeper one stops the ledger until an operator anchors it anew;
/// - `skipping` (QBFT, IBFT 2.0): `false` by default; `true` or `"two-thirds"` lets a higher header be believed without
///   those between, where more than a third, or two thirds, of the trusted validators sealed it. The operator states
///   with it that these keys seal this ledger alone and that its nodes check the list in a proposal (docs/evm.md);
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
    pub(crate) reorganisation_limit: u64,
    pub(crate) trusted_for: u64,
    pub(crate) skipping: Skipping,
}

const KEYS: [&str; 12] = [
    "family",
    "consensus",
    "chain_id",
    "height",
    "hash",
    "genesis",
    "epoch",
    "validators",
    "confirmations",
    "reorganisation_limit",
    "trusted_for",
    "skipping",
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
        let consensus =
            object.need("consensus", "\"qbft\", \"ibft2\", \"ibft1\", \"clique\" or \"unsealed\"", consensus)?;
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
        require_confirmations(consensus, confirmations)?;
        let due = format!("a number of blocks, at most {MAX_REORGANISATION_LIMIT}");
        let limit = object.may("reorganisation_limit", &due, reorganisation_limit)?;
        if let Some(limit) = limit.filter(|_| !consensus.reorganises()) {
            return Err(fault("/reorganisation_limit", "nothing: such a ledger never goes back", &limit.to_string()));
        }
        let validators = object.may("validators", "addresses, strictly ascending", validators)?;
        if consensus == Consensus::Unsealed && validators.is_some() {
            return Err(fault("/validators", "nothing: nobody seals the blocks of such a ledger", "addresses"));
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
            validators,
            confirmations,
            reorganisation_limit: limit.unwrap_or(DEFAULT_REORGANISATION_LIMIT),
            skipping: require_skipping(consensus, object.may("skipping", SKIPPING, skipping)?)?,
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

/// A block that is final at once waits for nothing; one that nobody sealed must have something on top.
fn require_confirmations(consensus: Consensus, confirmations: u32) -> Result<(), ConfigurationFault> {
    let got = confirmations.to_string();
    match consensus {
        Consensus::Bft(_) if confirmations != 0 => {
            Err(fault("/confirmations", "nothing: such a block is final at once", &got))
        }
        Consensus::Unsealed if !(1..=MAX_UNSEALED_CONFIRMATIONS).contains(&confirmations) => {
            Err(fault("/confirmations", &format!("1 to {MAX_UNSEALED_CONFIRMATIONS} blocks on top"), &got))
        }
        _ => Ok(()),
    }
}

const SKIPPING: &str = "true, false or \"two-thirds\"";

/// Only where a header carries a quorum of seals by validators who checked its list.
fn require_skipping(consensus: Consensus, asked: Option<Skipping>) -> Result<Skipping, ConfigurationFault> {
    let Some(asked @ Skipping::On(_)) = asked else { return Ok(Skipping::Off) };
    let why = match consensus {
        Consensus::Bft(Kind::Qbft | Kind::Ibft2) => return Ok(asked),
        Consensus::Bft(Kind::Ibft1) => {
            "false: nodes of legacy IBFT do not check the validators that a header lists, and its rule of locked blocks \
             lets honest validators seal two blocks of one height; follow every header"
        }
        Consensus::Clique => {
            "false: a Clique header carries one signer's seal and never a quorum's, so nobody vouches for it but the \
             headers between; follow every header"
        }
        Consensus::Unsealed => "false: nobody seals these headers, so nothing but their links tells them apart",
    };
    Err(fault("/skipping", why, "true"))
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

fn reorganisation_limit(value: &Value) -> Option<u64> {
    value.as_u64().filter(|number| *number <= MAX_REORGANISATION_LIMIT)
}

fn parsed<T: std::str::FromStr>(value: &Value) -> Option<T> {
    value.as_str()?.parse().ok()
}

fn skipping(value: &Value) -> Option<Skipping> {
    match value {
        Value::Bool(false) => Some(Skipping::Off),
        Value::Bool(true) => Some(Skipping::On(Share::MoreThanAThird)),
        other => (other.as_str() == Some("two-thirds")).then_some(Skipping::On(Share::TwoThirds)),
    }
}

fn consensus(value: &Value) -> Option<Consensus> {
    Consensus::ALL.into_iter().chain([Consensus::Unsealed]).find(|kind| value.as_str() == Some(kind.as_str()))
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
            ("reorganisation_limit", json!(2)),
            ("trusted_for", json!(0)),
            ("skipping", json!("third")),
            ("skipping", json!(1)),
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
    fn an_unsealed_ledger_waits_for_a_block_on_top_and_names_nobody() {
        let unsealed = |key: &str, value: Value| {
            let mut anchor = json!({
                "family": "evm", "consensus": "unsealed", "height": 0, "hash": hash(1), "confirmations": 3,
            });
            anchor[key] = value;
            Anchor::parse(&anchor)
        };
        assert_eq!(unsealed("chain_id", json!(7)).unwrap().consensus().finality(), Finality::Unsealed);
        for (key, value) in [
            ("confirmations", Value::Null),
            ("confirmations", json!(0)),
            ("confirmations", json!(65)),
            ("reorganisation_limit", json!(129)),
            ("validators", json!([Address::new([2; 20])])),
        ] {
            assert_eq!(unsealed(key, value.clone()).unwrap_err().pointer, format!("/{key}"), "{value}");
        }
    }

    #[test]
    fn skipping_is_an_operators_act_and_refused_with_words_where_no_quorum_vouches() {
        assert_eq!(with("skipping", Value::Null).unwrap().skipping, Skipping::Off);
        assert_eq!(with("skipping", json!(false)).unwrap().skipping, Skipping::Off);
        assert_eq!(with("skipping", json!(true)).unwrap().skipping, Skipping::On(Share::MoreThanAThird));
        assert_eq!(with("skipping", json!("two-thirds")).unwrap().skipping, Skipping::On(Share::TwoThirds));
        for (kind, word) in [("ibft1", "locked"), ("clique", "one signer"), ("unsealed", "nobody")] {
            let anchor = json!({
                "family": "evm", "consensus": kind, "height": 0, "hash": hash(1), "skipping": true,
                "confirmations": if kind == "unsealed" { 1 } else { 0 },
            });
            let refused = Anchor::parse(&anchor).unwrap_err();
            assert_eq!(refused.pointer, "/skipping");
            assert!(refused.expected.contains(word), "{refused}");
        }
    }

    #[test]
    fn shares_are_never_truncated() {
        for (validators, third, two_thirds) in
            [(1, 1, 1), (2, 2, 2), (3, 2, 2), (4, 2, 3), (5, 2, 4), (6, 3, 4), (7, 3, 5), (21, 8, 14), (100, 34, 67)]
        {
            assert_eq!(Share::MoreThanAThird.need(validators), third, "{validators}");
            assert_eq!(Share::TwoThirds.need(validators), two_thirds, "{validators}");
            assert!(third > (validators - 1) / 3, "more than may be faulty");
        }
    }

    #[test]
    fn a_clique_anchor_between_epochs() {
        let anchor =
            json!({ "family": "evm", "consensus": "clique", "height": 9, "hash": hash(2), "genesis": hash(1) });
        assert_eq!(Anchor::parse(&anchor).unwrap_err().pointer, "/height");
    }
}
