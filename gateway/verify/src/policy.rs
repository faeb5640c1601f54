//! The operator's trust policy: one TOML file (design, decision 10). Anchors, peers, log keys, definitions, authority and
//! the least that is accepted come from here and from nowhere else. What is not named is not trusted: no anchor, no key,
//! no definition means refuse.

use std::collections::BTreeMap;
use std::ops::Range;

use hufu_adapters_light_client::{Control, Finality};
use hufu_schemas_core::canonical::to_canonical;
use hufu_schemas_core::signature::NoteKey;
use hufu_schemas_core::{Digest, GatewayId, LaneId, LedgerId, Record};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::assurance::{Assurance, Completeness};

/// What an operator trusts.
#[derive(Debug, Clone)]
pub struct TrustPolicy {
    anchors: BTreeMap<LedgerId, Anchored>,
    peers: BTreeMap<GatewayId, PeerPolicy>,
    lanes: BTreeMap<LaneId, LanePolicy>,
    digest: Digest,
}

/// An anchor as it stands in the file.
#[derive(Debug, Clone)]
struct Anchored {
    anchor: Value,
    /// Line and column, from 1.
    place: (usize, usize),
}

/// A gateway whose lanes may be taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerPolicy {
    /// Keys that sign its lanes' checkpoints; any one of them.
    pub log_keys: Vec<NoteKey>,
    /// The organisation it speaks for: what quorums count.
    pub organisation: String,
}

/// What is accepted from one lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LanePolicy {
    /// Definitions the operator has read and accepted, by digest. A record under another definition is held.
    pub definitions: Vec<Digest>,
    /// Record types.
    pub types: Vec<String>,
    /// Issuers, by unified social credit code.
    pub issuers: Vec<String>,
    /// Jurisdictions, as prefixes of GB/T 2260 codes; empty: any.
    pub jurisdictions: Vec<String>,
    /// Life-cycle events; empty: any.
    pub events: Vec<String>,
    /// The least assurance.
    pub least_assurance: Assurance,
    /// Who may at most be able to change the code that makes the items: with [`Control::Fixed`] nobody.
    pub least_control: Control,
    /// Finality classes accepted.
    pub finality: Vec<Finality>,
    /// The least completeness.
    pub completeness: Completeness,
    /// Seconds after which an answer from this lane says `stale`.
    pub staleness: u64,
    /// Whether leaves may stay sealed. Otherwise a page with a sealed leaf is refused: a courier could withhold.
    pub sealed: bool,
}

/// A mistake in a policy file, with its line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct PolicyFault {
    /// The file's name as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What was expected and what stands there.
    pub message: String,
}

/// Why a record may not come by a lane: who said it has no authority over it. The leaf is held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: expected {expected}, got {got}")]
pub struct NoAuthority {
    reason: &'static str,
    what: &'static str,
    expected: String,
    got: String,
}

impl NoAuthority {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        self.reason
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    policy: u32,
    #[serde(default)]
    ledger: Vec<toml::Spanned<LedgerEntry>>,
    #[serde(default)]
    peer: Vec<toml::Spanned<PeerEntry>>,
    #[serde(default)]
    lane: Vec<toml::Spanned<LaneEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerEntry {
    id: toml::Spanned<String>,
    anchor: toml::Spanned<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerEntry {
    gateway: toml::Spanned<String>,
    organisation: String,
    log_keys: Vec<toml::Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaneEntry {
    id: toml::Spanned<String>,
    #[serde(default)]
    definitions: Vec<toml::Spanned<String>>,
    types: Vec<String>,
    issuers: Vec<String>,
    #[serde(default)]
    jurisdictions: Vec<String>,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default = "proven")]
    least_assurance: Assurance,
    #[serde(default = "issuer_controlled")]
    least_control: Control,
    #[serde(default = "bft_final")]
    finality: Vec<Finality>,
    #[serde(default = "log_complete")]
    completeness: Completeness,
    #[serde(default = "ten_minutes")]
    staleness_seconds: u64,
    #[serde(default)]
    sealed: bool,
}

const fn proven() -> Assurance {
    Assurance::Proven
}

const fn issuer_controlled() -> Control {
    Control::IssuerControlled
}

fn bft_final() -> Vec<Finality> {
    vec![Finality::BftFinal]
}

const fn log_complete() -> Completeness {
    Completeness::Log
}

const fn ten_minutes() -> u64 {
    600
}

/// Turns byte offsets of a text into lines and columns for people.
struct Places<'a> {
    file: &'a str,
    text: &'a str,
}

impl Places<'_> {
    fn fault(&self, span: Option<Range<usize>>, message: impl Into<String>) -> PolicyFault {
        let (line, column) = self.place(span);
        PolicyFault { file: self.file.to_owned(), line, column, message: message.into() }
    }

    fn place(&self, span: Option<Range<usize>>) -> (usize, usize) {
        let before = self.text.get(..span.map_or(0, |span| span.start)).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        (line, before.rsplit('\n').next().unwrap_or("").chars().count() + 1)
    }

    fn parse<T, E: std::fmt::Display>(
        &self,
        text: &toml::Spanned<String>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, PolicyFault> {
        parse(text.get_ref()).map_err(|fault| self.fault(Some(text.span()), fault.to_string()))
    }
}

impl TrustPolicy {
    /// Parses a policy file. `file` is its name, for errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, PolicyFault> {
        let places = Places { file, text };
        let read: PolicyFile =
            toml::from_str(text).map_err(|fault| places.fault(fault.span(), fault.message().to_owned()))?;
        if read.policy != 1 {
            return Err(places.fault(None, format!("expected policy = 1, got {}", read.policy)));
        }
        let anchors =
            read.ledger.iter().map(|entry| anchor(&places, entry.get_ref())).collect::<Result<Vec<_>, _>>()?;
        let peers = read.peer.iter().map(|entry| peer(&places, entry.get_ref())).collect::<Result<Vec<_>, _>>()?;
        let lanes = read.lane.iter().map(|entry| lane(&places, entry.get_ref())).collect::<Result<Vec<_>, _>>()?;
        let anchors = unique(anchors, read.ledger.iter().map(toml::Spanned::span), &places)?;
        let peers: BTreeMap<GatewayId, PeerPolicy> = unique(peers, read.peer.iter().map(toml::Spanned::span), &places)?;
        let lanes: BTreeMap<LaneId, LanePolicy> = unique(lanes, read.lane.iter().map(toml::Spanned::span), &places)?;
        for (entry, id) in
            read.lane.iter().zip(read.lane.iter().filter_map(|it| LaneId::parse(it.get_ref().id.get_ref()).ok()))
        {
            if !peers.contains_key(id.gateway()) {
                let message = format!("lane {id} is of gateway {}, which no [[peer]] names", id.gateway());
                return Err(places.fault(Some(entry.get_ref().id.span()), message));
            }
        }
        let digest = Digest::of(text.as_bytes());
        Ok(Self { anchors, peers, lanes, digest })
    }

    /// The anchor of a ledger.
    pub fn anchor(&self, ledger: &LedgerId) -> Option<&Value> {
        self.anchors.get(ledger).map(|it| &it.anchor)
    }

    /// Every anchored ledger.
    pub fn anchors(&self) -> impl Iterator<Item = (&LedgerId, &Value)> {
        self.anchors.iter().map(|(ledger, it)| (ledger, &it.anchor))
    }

    /// Line and column of a ledger's anchor in the file, from 1: for what its family finds wrong with it.
    pub fn anchor_place(&self, ledger: &LedgerId) -> Option<(usize, usize)> {
        self.anchors.get(ledger).map(|it| it.place)
    }

    /// A peer.
    pub fn peer(&self, gateway: &GatewayId) -> Option<&PeerPolicy> {
        self.peers.get(gateway)
    }

    /// Every peer.
    pub fn peers(&self) -> impl Iterator<Item = (&GatewayId, &PeerPolicy)> {
        self.peers.iter()
    }

    /// What is accepted from a lane; `None`: nothing.
    pub fn lane(&self, lane: &LaneId) -> Option<&LanePolicy> {
        self.lanes.get(lane)
    }

    /// Every lane.
    pub fn lanes(&self) -> impl Iterator<Item = (&LaneId, &LanePolicy)> {
        self.lanes.iter()
    }

    /// Digest of the file: kept beside every record, so that an auditor sees under which rules it was believed.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

fn anchor(places: &Places<'_>, entry: &LedgerEntry) -> Result<(LedgerId, Anchored), PolicyFault> {
    let id = places.parse(&entry.id, LedgerId::parse)?;
    let anchor = entry.anchor.get_ref();
    let family = anchor.get("family").and_then(Value::as_str).unwrap_or_default();
    if family != id.family() {
        let message = format!("expected anchor.family = {:?} for ledger {id}, got {family:?}", id.family());
        return Err(places.fault(Some(entry.id.span()), message));
    }
    Ok((id, Anchored { anchor: anchor.clone(), place: places.place(Some(entry.anchor.span())) }))
}

fn peer(places: &Places<'_>, entry: &PeerEntry) -> Result<(GatewayId, PeerPolicy), PolicyFault> {
    let gateway = places.parse(&entry.gateway, GatewayId::parse)?;
    let log_keys = entry.log_keys.iter().map(|key| places.parse(key, NoteKey::parse)).collect::<Result<Vec<_>, _>>()?;
    if log_keys.is_empty() {
        return Err(places.fault(Some(entry.gateway.span()), "expected at least one log key, got none"));
    }
    Ok((gateway, PeerPolicy { log_keys, organisation: entry.organisation.clone() }))
}

fn lane(places: &Places<'_>, entry: &LaneEntry) -> Result<(LaneId, LanePolicy), PolicyFault> {
    let id = places.parse(&entry.id, LaneId::parse)?;
    let empty = [
        ("types", entry.types.is_empty()),
        ("issuers", entry.issuers.is_empty()),
        ("finality", entry.finality.is_empty()),
    ];
    if let Some((name, _)) = empty.into_iter().find(|(_, empty)| *empty) {
        return Err(places.fault(Some(entry.id.span()), format!("expected at least one of {name}, got none")));
    }
    let definitions =
        entry.definitions.iter().map(|digest| places.parse(digest, Digest::from_hex)).collect::<Result<Vec<_>, _>>()?;
    let policy = LanePolicy {
        definitions,
        types: entry.types.clone(),
        issuers: entry.issuers.clone(),
        jurisdictions: entry.jurisdictions.clone(),
        events: entry.events.clone(),
        least_assurance: entry.least_assurance,
        least_control: entry.least_control,
        finality: entry.finality.clone(),
        completeness: entry.completeness,
        staleness: entry.staleness_seconds,
        sealed: entry.sealed,
    };
    Ok((id, policy))
}

fn unique<K: Ord + std::fmt::Display, V>(
    entries: Vec<(K, V)>,
    spans: impl Iterator<Item = Range<usize>>,
    places: &Places<'_>,
) -> Result<BTreeMap<K, V>, PolicyFault> {
    let mut map = BTreeMap::new();
    for ((key, value), span) in entries.into_iter().zip(spans) {
        if map.contains_key(&key) {
            return Err(places.fault(Some(span), format!("{key} stands here a second time")));
        }
        map.insert(key, value);
    }
    Ok(map)
}

impl LanePolicy {
    /// Whether the lane may speak about this record: its type, issuer, jurisdiction and event, and that the key it speaks
    /// about belongs to the issuer who speaks (decision 5).
    pub fn authorises(&self, record: &Record) -> Result<(), NoAuthority> {
        let key = record.key();
        let issuer = record.text_at("/issuer/uscc").unwrap_or_default();
        let record_type = record.text_at("/type").unwrap_or_default();
        let deny = |reason, what, expected: String, got: &str| {
            Err(NoAuthority { reason, what, expected, got: got.chars().take(120).collect() })
        };
        if key.record_type() != record_type {
            return deny("key-of-another-type", "the key's type", record_type.to_owned(), key.record_type());
        }
        if key.issuer() != issuer {
            return deny("key-of-another-issuer", "the key's issuer", issuer.to_owned(), key.issuer());
        }
        if !self.types.iter().any(|it| it == record_type) {
            return deny("type-not-of-this-lane", "record type", self.types.join(" or "), record_type);
        }
        if !self.issuers.iter().any(|it| it == issuer) {
            return deny("issuer-not-of-this-lane", "issuer", self.issuers.join(" or "), issuer);
        }
        let place = record.text_at("/jurisdiction/code").unwrap_or_default();
        if !self.jurisdictions.is_empty() && !self.jurisdictions.iter().any(|prefix| place.starts_with(prefix)) {
            return deny("jurisdiction-not-of-this-lane", "jurisdiction", self.jurisdictions.join(" or "), place);
        }
        let event = record.text_at("/event").unwrap_or_default();
        if !self.events.is_empty() && !self.events.iter().any(|it| it == event) {
            return deny("event-not-of-this-lane", "event", self.events.join(" or "), event);
        }
        Ok(())
    }

    /// Whether assurance, control, finality and completeness suffice.
    pub fn accepts(
        &self,
        assurance: Assurance,
        control: Control,
        finality: Finality,
        completeness: Completeness,
    ) -> Result<(), NoAuthority> {
        let deny = |reason, what, expected: String, got: &str| {
            Err(NoAuthority { reason, what, expected, got: got.to_owned() })
        };
        if assurance < self.least_assurance {
            return deny(
                "assurance-below-policy",
                "assurance",
                format!("at least {}", self.least_assurance.as_str()),
                assurance.as_str(),
            );
        }
        if control < self.least_control {
            let expected = format!("at least {}", self.least_control.as_str());
            return deny("issuer-controlled", "control of the code", expected, control.as_str());
        }
        if !self.finality.contains(&finality) {
            let expected: Vec<_> = self.finality.iter().map(|it| it.as_str()).collect();
            return deny("finality-not-accepted", "finality", expected.join(" or "), finality.as_str());
        }
        if completeness < self.completeness {
            return deny(
                "completeness-below-policy",
                "completeness",
                self.completeness.as_str().to_owned(),
                completeness.as_str(),
            );
        }
        Ok(())
    }
}

/// A short name of a JSON value for policies shown to people.
pub fn summary(policy: &TrustPolicy) -> Value {
    json!({
        "digest": policy.digest,
        "ledgers": policy.anchors.keys().collect::<Vec<_>>(),
        "peers": policy.peers.keys().collect::<Vec<_>>(),
        "lanes": policy.lanes.keys().collect::<Vec<_>>(),
        "canonicalAnchors": policy.anchors().map(|(_, anchor)| Digest::of(&to_canonical(anchor))).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hufu_schemas_core::signature::NoteSigner;

    fn key() -> String {
        NoteSigner::from_seed("land.example", &[1; 32]).unwrap().verifier().to_string()
    }

    fn policy() -> String {
        format!(
            "policy = 1\n\n[[ledger]]\nid = \"sim:00000000000000000000000000000000\"\nanchor = {{ family = \"sim\" }}\n\n\
             [[peer]]\ngateway = \"land.example\"\norganisation = \"land-registry\"\nlog_keys = [\"{}\"]\n\n\
             [[lane]]\nid = \"land.example/rights/1\"\ntypes = [\"property-right\"]\nissuers = [\"91350100M000100Y43\"]\n",
            key()
        )
    }

    #[test]
    fn decision_10_what_is_not_named_is_not_trusted() {
        let parsed = TrustPolicy::parse("policy.toml", &policy()).unwrap();
        let lane = parsed.lane(&LaneId::parse("land.example/rights/1").unwrap()).unwrap();
        assert!(lane.definitions.is_empty(), "no definition is accepted by default");
        assert_eq!(lane.least_assurance, Assurance::Proven);
        assert_eq!(lane.least_control, Control::IssuerControlled, "it is shown; refusing it is the operator's word");
        assert_eq!(lane.finality, [Finality::BftFinal]);
        assert!(!lane.sealed);
        assert!(parsed.lane(&LaneId::parse("land.example/rights/2").unwrap()).is_none());
        let empty = TrustPolicy::parse("policy.toml", "policy = 1").unwrap();
        assert_eq!((empty.anchors().count(), empty.peers().count(), empty.lanes().count()), (0, 0, 0));
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        for (from, to, line, words) in [
            ("issuers = ", "isuers = ", 15, "isuers"),
            ("land.example/rights/1", "land.example/rights", 13, "lane"),
            ("land.example/rights/1", "tax.example/rights/1", 13, "no [[peer]]"),
            ("sim:00", "evm:00", 4, "anchor.family"),
            ("land.example+", "lend.example+", 10, "key id"),
            ("policy = 1", "policy = 2", 1, "policy = 1"),
            ("types = [\"property-right\"]", "types = []", 13, "types"),
        ] {
            let fault = TrustPolicy::parse("policy.toml", &policy().replace(from, to)).unwrap_err();
            assert!(fault.message.contains(words), "{fault}");
            assert_eq!(fault.line, line, "{fault}");
        }
        let twice = format!("{}\n{}", policy(), "[[peer]]\ngateway = \"land.example\"\norganisation = \"x\"\n")
            + &format!("log_keys = [\"{}\"]\n", key());
        assert!(TrustPolicy::parse("p", &twice).unwrap_err().message.contains("second time"));
    }

    #[test]
    fn the_fingerprint_changes_with_the_rules() {
        let one = TrustPolicy::parse("p", &policy()).unwrap();
        let other = TrustPolicy::parse("p", &policy().replace("rights/1", "rights/2")).unwrap();
        assert_ne!(one.digest(), other.digest());
    }
}
