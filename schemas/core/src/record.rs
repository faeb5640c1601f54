//! Records: an envelope, which is the identity, and a body, which the envelope commits to.
//!
//! The record id is the digest of the canonical envelope without `recordId`, `body` and `quality`. So a body may be
//! withheld or erased and the id, the log and every proof still hold (records.md 3.3). That the JSON conforms to its
//! schema is the registry's business; that id and commitment close is checked here, always.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::canonical::to_canonical;
use crate::digest::Digest;
use crate::ids::{RecordKey, SchemaRef};

/// `urn:grec:sha-256:<43 characters base64url>` (records.md 3.3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordId(Digest);

const ID_PREFIX: &str = "urn:grec:sha-256:";

/// Members of a record that its id does not cover: the id itself, what the id commits to otherwise, and what a receiver
/// recomputes.
const OUTSIDE_THE_ID: [&str; 3] = ["recordId", "body", "quality"];

impl RecordId {
    /// Wraps the digest of an envelope.
    pub const fn from_digest(digest: Digest) -> Self {
        Self(digest)
    }

    /// The digest of the envelope.
    pub const fn digest(&self) -> Digest {
        self.0
    }

    /// Parses the one spelling.
    pub fn parse(text: &str) -> Result<Self, RecordFault> {
        let bytes = text.strip_prefix(ID_PREFIX).and_then(|rest| BASE64URL.decode(rest).ok());
        let bytes: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok());
        let id = bytes.map(|bytes| Self(Digest::from_bytes(bytes)));
        id.filter(|id| id.to_string() == text)
            .ok_or_else(|| RecordFault::form("recordId", "urn:grec:sha-256:<43 base64url characters>", text))
    }

    fn of(envelope: &Map<String, Value>) -> Self {
        let mut covered = envelope.clone();
        for name in OUTSIDE_THE_ID {
            covered.remove(name);
        }
        Self(Digest::of(&to_canonical(&Value::Object(covered))))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{ID_PREFIX}{}", BASE64URL.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordId({self})")
    }
}

impl TryFrom<String> for RecordId {
    type Error = RecordFault;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<RecordId> for String {
    fn from(id: RecordId) -> Self {
        id.to_string()
    }
}

/// How an envelope binds its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// Digest of the canonical body.
    #[serde(rename = "jcs-1")]
    Jcs1,
    /// Root of a salted field tree. Its name is reserved; opening one is absent as yet (docs/coverage.md).
    #[serde(rename = "fmt-1")]
    Fmt1,
}

/// The `commitment` member of an envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    /// How.
    pub profile: Profile,
    /// `sha-256`.
    pub alg: String,
    /// The digest or root.
    pub value: Digest,
    /// Leaves of the field tree (`fmt-1`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub leaves: Option<u64>,
}

impl Commitment {
    /// Binds a whole body.
    pub fn jcs_1(body: &Value) -> Self {
        Self { profile: Profile::Jcs1, alg: "sha-256".to_owned(), value: Digest::of(&to_canonical(body)), leaves: None }
    }
}

/// Why JSON is not a record whose identity closes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// A member is missing or of another form.
    #[error("/{member}: expected {expected}, got {got}")]
    Form {
        /// Top-level member.
        member: String,
        /// What was expected.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
    /// The id is not the digest of the envelope.
    #[error("/recordId: expected {expected}, the digest of this envelope, got {got}")]
    Id {
        /// Recomputed.
        expected: RecordId,
        /// Given.
        got: RecordId,
    },
    /// The body is not the one the envelope commits to.
    #[error("/commitment: the envelope commits to {expected}, this body is {got}")]
    Body {
        /// Committed.
        expected: Digest,
        /// Of the body given.
        got: Digest,
    },
    /// A body under a profile that cannot be opened here.
    #[error("/commitment: a body under fmt-1 cannot be opened by this version; ask for the record without its body")]
    Profile,
}

impl RecordFault {
    fn form(member: &str, expected: &'static str, got: impl ToString) -> Self {
        Self::Form { member: member.to_owned(), expected, got: got.to_string().chars().take(160).collect() }
    }

    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Form { .. } => "record-form",
            Self::Id { .. } => "record-id",
            Self::Body { .. } => "record-commitment",
            Self::Profile => "record-profile",
        }
    }
}

/// A record whose id is the digest of its envelope and whose body, when it is there, is the one committed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    envelope: Map<String, Value>,
    body: Option<Value>,
    id: RecordId,
    key: RecordKey,
    schema: SchemaRef,
}

impl Record {
    /// Seals a draft: commits to `body` under `jcs-1` and computes the id. `envelope` holds every envelope member but
    /// `recordId`, `commitment` and `body`.
    pub fn seal(mut envelope: Map<String, Value>, body: Value) -> Result<Self, RecordFault> {
        envelope.remove("quality");
        envelope.insert("commitment".to_owned(), json!(Commitment::jcs_1(&body)));
        let id = RecordId::of(&envelope);
        envelope.insert("recordId".to_owned(), Value::String(id.to_string()));
        envelope.insert("body".to_owned(), body);
        Self::open(Value::Object(envelope))
    }

    /// Reads a record and checks that id and commitment close. Quality notes are dropped: the reader recomputes them.
    pub fn open(record: Value) -> Result<Self, RecordFault> {
        let Value::Object(mut envelope) = record else {
            return Err(RecordFault::form("", "a record object", "another type"));
        };
        envelope.remove("quality");
        let body = envelope.remove("body");
        let id = RecordId::parse(text(&envelope, "recordId")?)?;
        let expected = RecordId::of(&envelope);
        if id != expected {
            return Err(RecordFault::Id { expected, got: id });
        }
        let key = RecordKey::parse(text(&envelope, "recordKey")?)
            .map_err(|fault| RecordFault::form("recordKey", "a record key", fault))?;
        let schema: SchemaRef = member(&envelope, "schema", "{id, contentId}")?;
        let commitment: Commitment = member(&envelope, "commitment", "{profile, alg, value}")?;
        if let Some(body) = &body {
            check_body(&commitment, body)?;
        }
        Ok(Self { envelope, body, id, key, schema })
    }

    /// The id.
    pub const fn id(&self) -> RecordId {
        self.id
    }

    /// The stable key over all versions.
    pub const fn key(&self) -> &RecordKey {
        &self.key
    }

    /// The body's schema.
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The envelope, with `recordId`, without body.
    pub const fn envelope(&self) -> &Map<String, Value> {
        &self.envelope
    }

    /// The body, unless it is withheld or erased.
    pub const fn body(&self) -> Option<&Value> {
        self.body.as_ref()
    }

    /// A text at a JSON pointer of the envelope, for instance `/issuer/uscc`.
    pub fn text_at(&self, pointer: &str) -> Option<&str> {
        let mut parts = pointer.strip_prefix('/')?.split('/');
        let first = self.envelope.get(parts.next()?)?;
        parts.try_fold(first, |value, part| value.get(part))?.as_str()
    }

    /// The record with its body withheld; the id stays.
    #[must_use]
    pub fn without_body(&self) -> Self {
        Self { body: None, ..self.clone() }
    }

    /// The whole record as JSON.
    pub fn to_json(&self) -> Value {
        let mut whole = self.envelope.clone();
        if let Some(body) = &self.body {
            whole.insert("body".to_owned(), body.clone());
        }
        Value::Object(whole)
    }
}

fn check_body(commitment: &Commitment, body: &Value) -> Result<(), RecordFault> {
    if commitment.profile == Profile::Fmt1 {
        return Err(RecordFault::Profile);
    }
    if commitment.alg != "sha-256" {
        return Err(RecordFault::form("commitment", "alg sha-256", &commitment.alg));
    }
    let got = Digest::of(&to_canonical(body));
    if got == commitment.value { Ok(()) } else { Err(RecordFault::Body { expected: commitment.value, got }) }
}

fn text<'a>(envelope: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, RecordFault> {
    let value = envelope.get(name);
    value.and_then(Value::as_str).ok_or_else(|| RecordFault::form(name, "a text", value.unwrap_or(&Value::Null)))
}

fn member<T: serde::de::DeserializeOwned>(
    envelope: &Map<String, Value>,
    name: &'static str,
    expected: &'static str,
) -> Result<T, RecordFault> {
    let value = envelope.get(name).cloned().unwrap_or(Value::Null);
    serde_json::from_value(value).map_err(|fault| RecordFault::form(name, expected, fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft() -> Map<String, Value> {
        let schema =
            SchemaRef { id: "https://schemas.hufu.example/records/x/1.0".into(), content_id: Digest::of(b"x") };
        let draft = json!({
            "envelope": "1", "recordKey": "x:91350100M000100Y43:1", "type": "x", "schema": schema,
            "issuer": {"uscc": "91350100M000100Y43"}
        });
        draft.as_object().unwrap().clone()
    }

    #[test]
    fn a_record_whose_body_is_withheld_or_erased_still_verifies() {
        let whole = Record::seal(draft(), json!({"a": 1})).unwrap();
        let withheld = Record::open(whole.without_body().to_json()).unwrap();
        assert_eq!(withheld.id(), whole.id());
        assert_eq!(withheld.body(), None);
        assert_eq!(whole.text_at("/issuer/uscc"), Some("91350100M000100Y43"));
    }

    #[test]
    fn two_sealings_of_one_draft_have_one_id_and_quality_is_outside_it() {
        let one = Record::seal(draft(), json!({"a": 1})).unwrap();
        let mut noted = one.to_json();
        noted["quality"] = json!([{"code": "check-digit"}]);
        assert_eq!(Record::open(noted).unwrap(), one);
        assert_eq!(RecordId::parse(&one.id().to_string()), Ok(one.id()));
        assert_ne!(Record::seal(draft(), json!({"a": 2})).unwrap().id(), one.id());
    }

    #[test]
    fn changed_envelope_changed_body_and_unknown_profile_are_refused() {
        let record = Record::seal(draft(), json!({"a": 1})).unwrap().to_json();
        let change = |pointer: &str, value: Value| {
            let mut changed = record.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            Record::open(changed).unwrap_err().reason()
        };
        assert_eq!(change("/issuer/uscc", json!("another")), "record-id");
        assert_eq!(change("/body/a", json!(2)), "record-commitment");
        assert_eq!(change("/commitment/value", json!("00".repeat(32))), "record-id");
        assert_eq!(change("/recordId", json!("urn:grec:sha-256:x")), "record-form");
    }

    /// The door for fmt-1: its envelope is a record without a body; a body under it is not opened by guessing.
    #[test]
    fn fmt_1_is_carried_and_never_opened_blindly() {
        let mut envelope = draft();
        envelope.insert(
            "commitment".into(),
            json!({"profile": "fmt-1", "alg": "sha-256", "value": Digest::of(b"r"), "leaves": 4}),
        );
        let id = RecordId::of(&envelope);
        envelope.insert("recordId".into(), json!(id));
        assert!(Record::open(Value::Object(envelope.clone())).is_ok());
        envelope.insert("body".into(), json!({}));
        assert_eq!(Record::open(Value::Object(envelope)), Err(RecordFault::Profile));
    }
}
