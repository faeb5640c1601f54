//! What a lane's leaves say: canonical JSON in-toto Statements v1 with one of six predicate types (design, decision 1).
//!
//! The digest of an entry is taken over the statement's bytes as they came; [`Statement::parse`] therefore takes
//! canonical bytes only, so that a statement has one spelling.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::canonical::{JsonFault, parse_canonical, to_canonical};
use crate::digest::Digest;
use crate::ids::{BlockHash, Height, LedgerId, Position, RecordKey, SchemaRef};
use crate::lane::{Entry, KeyTag, TagKey};
use crate::limits::JsonLimits;
use crate::record::RecordId;
use crate::time::Timestamp;

/// in-toto Statement v1 (in-toto attestation framework, spec/v1/statement.md).
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// Predicate types are this and the leaf's kind and `/v1`.
const PREDICATE_BASE: &str = "https://hufu.example/leaf/";

/// A leaf's statement with its exact bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    leaf: Leaf,
    bytes: Vec<u8>,
}

/// What a leaf says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaf {
    /// What the lane carries, from a height on. Leaf 0 is one.
    Definition(Definition),
    /// One record.
    Record(RecordLeaf),
    /// Blocks that were read whole.
    Covered(Covered),
    /// An item that matched and could not be mapped.
    Skipped(Skipped),
    /// A leaf whose block was undone, on a ledger that is never final.
    Retract(Retract),
    /// The key that signs this lane's checkpoints from here on.
    Key(KeyChange),
}

/// Fixes, from a height on, what a lane carries and how it is read (decision 2). The receiver's operator pins its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Definition {
    /// The ledger.
    pub ledger: LedgerId,
    /// Blocks below this height are not of this definition.
    pub from_height: Height,
    /// Which native items: contract or namespace and what else the family selects by.
    pub selector: Value,
    /// Which decoder.
    pub decoder: VersionedName,
    /// The one mapping, by digest; tables and ABI are inside.
    pub mapping: Digest,
    /// The record schemas the mapping targets, and those of `generic` payloads.
    pub schemas: Vec<SchemaRef>,
    /// The key under which record keys are tagged.
    pub tag_key: TagKey,
}

impl Definition {
    /// What the receiver's operator pins: the digest of the canonical definition, without the leaf's salt.
    pub fn digest(&self) -> Digest {
        Digest::of(&to_canonical(&serde_json::to_value(self).unwrap_or(Value::Null)))
    }
}

/// A name with a version: a decoder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionedName {
    /// For instance `evm-abi`.
    pub name: String,
    /// The version.
    pub version: u32,
}

/// What the origin says of one record (decision 4). The record's key and id stand in the statement's subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordLeaf {
    /// The stable key.
    pub key: RecordKey,
    /// The record's id.
    pub id: RecordId,
    /// Where it comes from.
    pub origin: RecordOrigin,
}

/// The predicate of a record leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordOrigin {
    /// The ledger.
    pub ledger: LedgerId,
    /// Where on it.
    pub position: Position,
    /// Identity of the block.
    pub block_hash: BlockHash,
    /// Which of the events that the native item decodes to; 0 for most.
    pub item: u32,
    /// The body's schema.
    pub schema: SchemaRef,
    /// The decoder that read it.
    pub decoder: VersionedName,
    /// The mapping that shaped it.
    pub mapping: Digest,
    /// When the origin gateway saw it. Never part of the record: two gateways see at two times.
    pub observed_at: Timestamp,
}

/// Blocks `from..=to` were read whole and held `matches` items of the lane (decision 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Covered {
    /// The ledger.
    pub ledger: LedgerId,
    /// First block.
    pub from: Height,
    /// Last block.
    pub to: Height,
    /// Identity of the last block.
    pub to_hash: BlockHash,
    /// Items that the selector matched in them, mapped or skipped. What a block holds that nobody could read is not known
    /// and not counted; a `skipped` leaf about that block says so.
    pub matches: u64,
}

/// An item that matched and could not become a record: said with its reason, never silence (decision 3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Skipped {
    /// The ledger.
    pub ledger: LedgerId,
    /// Where on it.
    pub position: Position,
    /// Identity of the block.
    pub block_hash: BlockHash,
    /// Which of the events that the native item decodes to; 0 when decoding itself failed.
    pub item: u32,
    /// Digest of the native item; of a block that could not be read at all, the block's hash.
    pub native: Digest,
    /// The label of the fault.
    pub reason: String,
    /// The fault in words, without personal data: pointers and codes.
    pub detail: String,
}

/// Takes back one leaf of this lane: a `record`, `skipped` or `covered` leaf whose block a reorganisation undid.
///
/// Each such leaf at or above `from` is taken back by a leaf of its own; once none is left there, the lane goes on at
/// `from`, with the branch that holds now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retract {
    /// The ledger.
    pub ledger: LedgerId,
    /// The height at which the lane goes on.
    pub from: Height,
    /// Sequence of the leaf that is taken back.
    pub sequence: u64,
    /// Digest of its statement.
    pub statement: Digest,
    /// Its record, where it is a record leaf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordId>,
    /// Why.
    pub reason: RetractReason,
}

/// Why a leaf is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RetractReason {
    /// The ledger left the branch that its block stood on.
    Reorganised,
}

impl RetractReason {
    /// The text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reorganised => "reorganised",
        }
    }
}

/// A new checkpoint key for this lane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyChange {
    /// The new key as C2SP vkey.
    pub key: String,
}

/// Why bytes are not a statement of a lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementFault {
    /// Not canonical JSON within the limits.
    #[error(transparent)]
    Json(#[from] JsonFault),
    /// JSON of another shape.
    #[error("not a statement: expected {expected}, got {got}")]
    Shape {
        /// What was expected.
        expected: &'static str,
        /// What stands there.
        got: String,
    },
}

impl StatementFault {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        "statement-malformed"
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Value,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Subject {
    name: String,
    digest: SubjectDigest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubjectDigest {
    sha256: Digest,
}

fn shape(expected: &'static str, got: impl ToString) -> StatementFault {
    StatementFault::Shape { expected, got: got.to_string().chars().take(160).collect() }
}

impl Leaf {
    /// The kind's name, as in the predicate type.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Definition(_) => "definition",
            Self::Record(_) => "record",
            Self::Covered(_) => "covered",
            Self::Skipped(_) => "skipped",
            Self::Retract(_) => "retract",
            Self::Key(_) => "key",
        }
    }

    /// The in-toto subject: a name and a digest that the leaf is about.
    fn subject(&self) -> Subject {
        let (name, sha256) = match self {
            Self::Definition(it) => (it.ledger.to_string(), it.digest()),
            Self::Record(it) => (it.key.to_string(), it.id.digest()),
            Self::Covered(it) => (format!("{}/{}", it.ledger, it.to), Digest::from_bytes(*it.to_hash.as_bytes())),
            Self::Skipped(it) => (format!("{}/{}", it.ledger, it.position.sortable()), it.native),
            Self::Retract(it) => (it.sequence.to_string(), it.statement),
            Self::Key(it) => (it.key.clone(), Digest::of(it.key.as_bytes())),
        };
        Subject { name, digest: SubjectDigest { sha256 } }
    }

    fn predicate(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Definition(it) => serde_json::to_value(it),
            Self::Record(it) => serde_json::to_value(&it.origin),
            Self::Covered(it) => serde_json::to_value(it),
            Self::Skipped(it) => serde_json::to_value(it),
            Self::Retract(it) => serde_json::to_value(it),
            Self::Key(it) => serde_json::to_value(it),
        }
    }

    /// The position on the ledger, for leaves that have one.
    pub const fn position(&self) -> Option<Position> {
        match self {
            Self::Record(it) => Some(it.origin.position),
            Self::Skipped(it) => Some(it.position),
            _ => None,
        }
    }

    /// (position, decoded index): what rises strictly in a lane (decision 4).
    pub const fn order(&self) -> Option<(Position, u32)> {
        match self {
            Self::Record(it) => Some((it.origin.position, it.origin.item)),
            Self::Skipped(it) => Some((it.position, it.item)),
            _ => None,
        }
    }
}

impl Statement {
    /// Makes a statement. `salt` is 16 bytes that the caller drew at random, so that a sealed leaf cannot be guessed.
    pub fn make(leaf: Leaf, salt: [u8; 16]) -> Result<Self, StatementFault> {
        let mut predicate = leaf.predicate().map_err(|fault| shape("a predicate that serialises", fault))?;
        if let Value::Object(members) = &mut predicate {
            members.insert("salt".to_owned(), Value::String(hex::encode(salt)));
        }
        let value = json!({
            "_type": STATEMENT_TYPE,
            "subject": [leaf.subject()],
            "predicateType": format!("{PREDICATE_BASE}{}/v1", leaf.kind()),
            "predicate": predicate,
        });
        let bytes = to_canonical(&value);
        // What we write, every reader must read: numbers beyond 2^53 (heights) are caught here, at the writer.
        Self::parse(&bytes)
    }

    /// Parses foreign bytes.
    pub fn parse(bytes: &[u8]) -> Result<Self, StatementFault> {
        let value = parse_canonical(bytes, &JsonLimits::RECORD)?;
        let wire: Wire = serde_json::from_value(value).map_err(|fault| shape("an in-toto statement", fault))?;
        if wire.kind != STATEMENT_TYPE {
            return Err(shape(STATEMENT_TYPE, wire.kind));
        }
        let kind = wire.predicate_type.strip_prefix(PREDICATE_BASE).and_then(|rest| rest.strip_suffix("/v1"));
        let kind = kind.ok_or_else(|| shape("a predicate type of ours", &wire.predicate_type))?;
        let [subject] = <[Subject; 1]>::try_from(wire.subject).map_err(|many| shape("one subject", many.len()))?;
        let predicate = without_salt(wire.predicate)?;
        let leaf = Self::read_leaf(kind, &subject, predicate)?;
        let expected = leaf.subject();
        if expected.name != subject.name || expected.digest.sha256 != subject.digest.sha256 {
            return Err(shape("the subject that the predicate is about", subject.name));
        }
        Ok(Self { leaf, bytes: bytes.to_vec() })
    }

    fn read_leaf(kind: &str, subject: &Subject, predicate: Value) -> Result<Leaf, StatementFault> {
        fn read<T: serde::de::DeserializeOwned>(predicate: Value) -> Result<T, StatementFault> {
            serde_json::from_value(predicate).map_err(|fault| shape("the predicate of its kind", fault))
        }
        Ok(match kind {
            "definition" => Leaf::Definition(read(predicate)?),
            "record" => Leaf::Record(RecordLeaf {
                key: RecordKey::parse(&subject.name).map_err(|fault| shape("a record key", fault))?,
                id: RecordId::from_digest(subject.digest.sha256),
                origin: read(predicate)?,
            }),
            "covered" => {
                let covered: Covered = read(predicate)?;
                if covered.from > covered.to {
                    return Err(shape("blocks from..to in order", format!("{}..{}", covered.from, covered.to)));
                }
                Leaf::Covered(covered)
            }
            "skipped" => Leaf::Skipped(read(predicate)?),
            "retract" => Leaf::Retract(read(predicate)?),
            "key" => Leaf::Key(read(predicate)?),
            other => return Err(shape("a kind of leaf", other)),
        })
    }

    /// What it says.
    pub const fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// Its bytes, which the entry's digest is taken over.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The entry that stands for it in a lane whose tag key is `tag_key`.
    pub fn entry(&self, tag_key: &TagKey) -> Entry {
        Entry::new(self.tag(tag_key), self.digest())
    }

    /// The tag its entry must carry. A retraction is about a key too, but the leaf does not know it; its `sequence`
    /// leads there.
    pub fn tag(&self, tag_key: &TagKey) -> KeyTag {
        match &self.leaf {
            Leaf::Record(record) => tag_key.tag(&record.key),
            _ => KeyTag::NONE,
        }
    }
}

/// Takes the 16 bytes of salt out of a predicate; they hide it, they say nothing.
fn without_salt(predicate: Value) -> Result<Value, StatementFault> {
    let Value::Object(mut members) = predicate else { return Err(shape("a predicate object", "another type")) };
    let salt = members.remove("salt");
    let good = salt.as_ref().and_then(Value::as_str).is_some_and(|salt| {
        salt.len() == 32 && salt.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    });
    if good {
        Ok(Value::Object(members))
    } else {
        Err(shape("a salt of 32 lower-case hex digits", salt.unwrap_or(Value::Null)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> LedgerId {
        LedgerId::of_genesis("evm", &[1; 32]).unwrap()
    }

    fn definition() -> Definition {
        Definition {
            ledger: ledger(),
            from_height: Height::new(1),
            selector: json!({"contract": "0x01"}),
            decoder: VersionedName { name: "evm-abi".into(), version: 1 },
            mapping: Digest::of(b"mapping"),
            schemas: vec![SchemaRef { id: "s".into(), content_id: Digest::of(b"s") }],
            tag_key: TagKey::from_bytes([5; 32]),
        }
    }

    fn position() -> Position {
        Position { height: Height::new(7), transaction: 1, event: 2 }
    }

    fn leaves() -> Vec<Leaf> {
        let id = RecordId::from_digest(Digest::of(b"record"));
        let hash = BlockHash::from_bytes([9; 32]);
        vec![
            Leaf::Definition(definition()),
            Leaf::Record(RecordLeaf {
                key: RecordKey::parse("e-certificate:91350100M000100Y43:A").unwrap(),
                id,
                origin: RecordOrigin {
                    ledger: ledger(),
                    position: position(),
                    block_hash: hash,
                    item: 0,
                    schema: SchemaRef { id: "s".into(), content_id: Digest::of(b"s") },
                    decoder: VersionedName { name: "evm-abi".into(), version: 1 },
                    mapping: Digest::of(b"mapping"),
                    observed_at: Timestamp::from_seconds(1).unwrap(),
                },
            }),
            Leaf::Covered(Covered {
                ledger: ledger(),
                from: Height::new(1),
                to: Height::new(7),
                to_hash: hash,
                matches: 3,
            }),
            Leaf::Skipped(Skipped {
                ledger: ledger(),
                position: position(),
                block_hash: hash,
                item: 0,
                native: Digest::of(b"n"),
                reason: "mapping".into(),
                detail: "/x".into(),
            }),
            Leaf::Retract(Retract {
                ledger: ledger(),
                from: Height::new(7),
                sequence: 4,
                statement: Digest::of(b"statement"),
                record: Some(id),
                reason: RetractReason::Reorganised,
            }),
            Leaf::Key(KeyChange { key: "k".into() }),
        ]
    }

    #[test]
    fn decision_1_six_kinds_of_leaf_round_trip_as_canonical_in_toto_statements() {
        let kinds: Vec<_> = leaves().iter().map(Leaf::kind).collect();
        assert_eq!(kinds, ["definition", "record", "covered", "skipped", "retract", "key"]);
        for leaf in leaves() {
            let statement = Statement::make(leaf.clone(), [3; 16]).unwrap();
            assert_eq!(statement.leaf(), &leaf);
            assert_eq!(Statement::parse(statement.bytes()).unwrap(), statement);
            let value: Value = serde_json::from_slice(statement.bytes()).unwrap();
            assert_eq!(value["_type"], "https://in-toto.io/Statement/v1");
            let about_a_key = matches!(leaf, Leaf::Record(_));
            assert_eq!(statement.entry(&definition().tag_key).tag() != KeyTag::NONE, about_a_key);
        }
    }

    #[test]
    fn decision_1_salt_hides_a_statement_that_could_be_guessed() {
        let leaf = leaves().remove(1);
        let one = Statement::make(leaf.clone(), [1; 16]).unwrap();
        let other = Statement::make(leaf, [2; 16]).unwrap();
        assert_ne!(one.digest(), other.digest());
    }

    #[test]
    fn decision_2_the_definition_digest_does_not_depend_on_the_salt() {
        let mut changed = definition();
        changed.mapping = Digest::of(b"another mapping");
        assert_eq!(definition().digest(), definition().digest());
        assert_ne!(definition().digest(), changed.digest());
    }

    #[test]
    fn another_spelling_subject_or_salt_is_refused() {
        let statement = Statement::make(leaves().remove(1), [3; 16]).unwrap();
        let text = String::from_utf8(statement.bytes().to_vec()).unwrap();
        for changed in [
            text.replace("\",\"", "\" ,\""),
            text.replace("0303", "03"),
            text.replace("leaf/record/", "leaf/rumour/"),
            text.replace("\"transaction\":1", "\"transaction\":1.0"),
            text.replace("\"transaction\":1", "\"transaction\":-1"),
            format!("{text} "),
        ] {
            assert_ne!(changed, text);
            assert!(Statement::parse(changed.as_bytes()).is_err(), "{changed}");
        }
        let covered = Statement::make(leaves().remove(2), [3; 16]).unwrap();
        let text = String::from_utf8(covered.bytes().to_vec()).unwrap();
        let other_subject = text.replace(&format!("{}/7", ledger()), &format!("{}/8", ledger()));
        assert!(Statement::parse(other_subject.as_bytes()).unwrap_err().to_string().contains("subject"));
    }
}
