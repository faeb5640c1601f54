//! From a proven native item to a record: decode, map, assemble, conform.
//!
//! Both sides run this very code. The origin runs it before it states anything, the receiver runs it again on the bytes
//! its own light client proved, so what is verified is what is stored (design, section 3). Nothing here depends on who
//! reads or when: two gateways on one ledger make the same record ids.

use std::collections::BTreeMap;
use std::sync::Arc;

use hufu_adapters_light_client::{Decoded, Decoder, DynLightClient, Family, Proven, Selector};
use hufu_schemas_core::canonical::to_canonical;
use hufu_schemas_core::page::{Document, DocumentKind};
use hufu_schemas_core::statement::{Definition, VersionedName};
use hufu_schemas_core::{Digest, Record, SchemaRef};
use hufu_schemas_mapping::{Applied, Draft, Mapping};
use hufu_schemas_registry::{Fault, Registry, content_id};
use serde_json::{Map, Value, json};

/// The ledger families this gateway was built with, by name. There is one table of them, in gateway/server.
#[derive(Clone, Default)]
pub struct Families(BTreeMap<&'static str, Arc<dyn Family>>);

impl Families {
    /// A table of families.
    pub fn new(families: impl IntoIterator<Item = Arc<dyn Family>>) -> Self {
        Self(families.into_iter().map(|family| (family.name(), family)).collect())
    }

    /// The family of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Family>> {
        self.0.get(name)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.keys().copied()
    }

    /// A light client for an operator's anchor, whose `family` member says which family.
    pub fn client(&self, anchor: &Value) -> Result<Box<dyn DynLightClient>, ReaderFault> {
        let name = anchor.get("family").and_then(Value::as_str).unwrap_or_default();
        let family = self.get(name).ok_or_else(|| self.unknown(name))?;
        family.client(anchor).map_err(|fault| ReaderFault::Anchor(fault.to_string()))
    }

    fn unknown(&self, name: &str) -> ReaderFault {
        let known = self.names().collect::<Vec<_>>().join(", ");
        ReaderFault::Family { expected: known, got: name.chars().take(64).collect() }
    }
}

impl std::fmt::Debug for Families {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Reads proven items of one lane definition into records.
pub struct LaneReader {
    decoder: Box<dyn Decoder>,
    mapping: Mapping,
    schema: SchemaRef,
    registry: Registry,
    documents: Vec<Document>,
}

/// Why a definition cannot be read by this gateway. Its records are held until an operator or an update acts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReaderFault {
    /// No such family in this build.
    #[error("expected a ledger family of this build ({expected}), got {got:?}")]
    Family {
        /// Families of this build.
        expected: String,
        /// The family named.
        got: String,
    },
    /// The operator's anchor has a mistake.
    #[error("the anchor has a mistake: {0}")]
    Anchor(String),
    /// The mapping is not here, or what is here is another.
    #[error("expected the mapping {expected}, got {got}")]
    Mapping {
        /// The digest that the definition names.
        expected: Digest,
        /// What is here.
        got: String,
    },
    /// The decoder or selector that the mapping gives is not the one that the definition fixes.
    #[error("the definition and its mapping disagree about the {what}: expected {expected}, got {got}")]
    Disagree {
        /// Decoder, selector or schemas.
        what: &'static str,
        /// As defined.
        expected: String,
        /// As the mapping gives.
        got: String,
    },
    /// A schema that the definition names is not here.
    #[error("expected the schema {id} with content id {content_id}, got none")]
    Schema {
        /// Its id.
        id: String,
        /// Its content id.
        content_id: Digest,
    },
    /// A department's schema cannot be used.
    #[error("a department's schema is refused: {0}")]
    Department(String),
}

impl ReaderFault {
    /// The metric label.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Family { .. } => "unknown-family",
            Self::Anchor(_) => "anchor-mistake",
            Self::Mapping { .. } => "unknown-mapping",
            Self::Disagree { .. } => "definition-disagrees",
            Self::Schema { .. } => "unknown-schema",
            Self::Department(_) => "schema-refused",
        }
    }
}

/// What became of one decoded event.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which of the events that the native item decodes to.
    pub item: u32,
    /// A record, or why there is none.
    pub result: Result<Record, Unreadable>,
}

/// Why a proven item is no record. Becomes a `skipped` leaf at the origin; published, so it never repeats a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Unreadable {
    /// The label.
    pub reason: String,
    /// Pointers and codes.
    pub detail: String,
}

impl LaneReader {
    /// A reader for what a department's own mapping defines: the origin's way.
    pub fn of_mapping(
        mapping: Mapping,
        department: &[(String, Value)],
        families: &Families,
        registry: &Registry,
    ) -> Result<Self, ReaderFault> {
        let family = families.get(mapping.family()).ok_or_else(|| families.unknown(mapping.family()))?;
        let decoder = family.decoder(mapping.source()).map_err(|fault| ReaderFault::Disagree {
            what: "source",
            expected: format!("{} at {}", fault.expected, fault.pointer),
            got: fault.got,
        })?;
        let (name, version) = (mapping.target().record_type(), mapping.target().schema());
        let schema = registry
            .list()
            .find(|schema| {
                schema.body_name() == Some(name) && schema.reference().id.rsplit('/').next() == Some(version)
            })
            .map(|schema| schema.reference().clone())
            .ok_or_else(|| ReaderFault::Schema { id: format!("{name}/{version}"), content_id: Digest::of(&[]) })?;
        let mut documents = vec![Document {
            kind: DocumentKind::Mapping,
            digest: mapping.digest(),
            json: without_tests(mapping.document()),
        }];
        documents.extend(department.iter().map(|(_, json)| Document {
            kind: DocumentKind::Schema,
            digest: content_id(json),
            json: json.clone(),
        }));
        let registry = registry
            .clone()
            .with_department_schemas(department.to_vec())
            .map_err(|fault| ReaderFault::Department(fault.to_string()))?;
        Ok(Self { decoder, mapping, schema, registry, documents })
    }

    /// A reader for a definition that a peer made: the receiver's way. `documents` are the mapping and schemas that came
    /// with it; digests are recomputed here, and nothing the definition fixes may differ.
    pub fn of_definition(
        definition: &Definition,
        documents: &[Document],
        families: &Families,
        registry: &Registry,
    ) -> Result<Self, ReaderFault> {
        let mapping = find_mapping(definition, documents)?;
        let department = find_schemas(definition, documents, registry)?;
        let reader = Self::of_mapping(mapping, &department, families, registry)?;
        reader.require_agreement(definition)?;
        Ok(reader)
    }

    /// The definition this reader stands for.
    pub fn definition(
        &self,
        ledger: hufu_schemas_core::LedgerId,
        from_height: hufu_schemas_core::Height,
        tag_key: hufu_schemas_core::lane::TagKey,
    ) -> Definition {
        Definition {
            ledger,
            from_height,
            selector: self.decoder.selector().value().clone(),
            decoder: self.decoder_version(),
            mapping: self.mapping.digest(),
            schemas: self.schemas(),
            tag_key,
        }
    }

    fn require_agreement(&self, definition: &Definition) -> Result<(), ReaderFault> {
        let disagree = |what, expected: String, got: String| Err(ReaderFault::Disagree { what, expected, got });
        let ours = self.decoder_version();
        if definition.decoder != ours {
            return disagree("decoder", format!("{:?}", definition.decoder), format!("{ours:?}"));
        }
        let selector = self.decoder.selector();
        if to_canonical(selector.value()) != to_canonical(&definition.selector) {
            return disagree("selector", definition.selector.to_string(), selector.value().to_string());
        }
        if self.schemas() != definition.schemas {
            return disagree("schemas", format!("{:?}", definition.schemas), format!("{:?}", self.schemas()));
        }
        if self.mapping.family() != definition.ledger.family() {
            return disagree("family", definition.ledger.family().to_owned(), self.mapping.family().to_owned());
        }
        Ok(())
    }

    /// Target schema first, then payload schemas in the order of their content ids.
    fn schemas(&self) -> Vec<SchemaRef> {
        let payloads = self.documents.iter().filter(|document| document.kind == DocumentKind::Schema);
        let mut payloads: Vec<SchemaRef> = payloads
            .filter_map(|document| self.registry.by_content_id(&document.digest))
            .map(|schema| schema.reference().clone())
            .collect();
        payloads.sort_by_key(|schema| schema.content_id);
        std::iter::once(self.schema.clone()).chain(payloads).collect()
    }

    fn decoder_version(&self) -> VersionedName {
        let version = self.decoder.version();
        VersionedName { name: version.name, version: version.version }
    }

    /// Which native items this reader reads.
    pub fn selector(&self) -> &Selector {
        self.decoder.selector()
    }

    /// The mapping.
    pub const fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The schema of the records it makes.
    pub const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The registry with the department's schemas.
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Mapping and schemas, to travel with the definition.
    pub fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Reads one proven item. An item that does not decode is one reading of index 0.
    pub fn read(&self, proven: &Proven) -> Vec<Reading> {
        let decoded = match self.decoder.decode(proven) {
            Ok(decoded) => decoded,
            Err(fault) => {
                let detail = format!("expected {}", fault.expected);
                let result = Err(Unreadable { reason: fault.reason.to_owned(), detail });
                return vec![Reading { item: 0, result }];
            }
        };
        let indexed = (0u32..).zip(&decoded);
        indexed.map(|(item, event)| Reading { item, result: self.read_event(proven, item, event) }).collect()
    }

    /// How many readings [`LaneReader::read`] gives, without making them.
    pub fn count(&self, proven: &Proven) -> u32 {
        self.decoder.decode(proven).map_or(1, |decoded| u32::try_from(decoded.len()).unwrap_or(u32::MAX))
    }

    fn read_event(&self, proven: &Proven, item: u32, event: &Decoded) -> Result<Record, Unreadable> {
        let unreadable = |reason: &str, detail: String| Unreadable { reason: reason.to_owned(), detail };
        let draft = match self.mapping.apply(&event.value) {
            Ok(Applied::Draft(draft)) => draft,
            Ok(Applied::NotMatched { reason }) => return Err(unreadable("not-matched", reason)),
            Err(fault) => return Err(unreadable("mapping", format!("{} {}", fault.path, fault.reason()))),
        };
        let (envelope, body) = self
            .assemble(proven, item, event, draft)
            .ok_or_else(|| unreadable("mapping", "the draft is no object with a body".to_owned()))?;
        self.registry.conform(envelope, body).map_err(|faults| unreadable("schema", words(&faults)))
    }

    /// Adds what a mapping may never write (decision 5): identity, schema and provenance.
    fn assemble(
        &self,
        proven: &Proven,
        item: u32,
        event: &Decoded,
        draft: Draft,
    ) -> Option<(Map<String, Value>, Value)> {
        let Value::Object(mut envelope) = draft.json else { return None };
        let body = envelope.remove("body")?;
        let position = proven.position();
        let time = proven.time().to_string();
        let provenance = json!({
            "kind": "chain",
            "chain": {"id": proven.ledger(), "framework": proven.ledger().family()},
            "height": position.height.to_string(),
            "blockHash": proven.block_hash(),
            "txIndex": position.transaction,
            "eventIndex": position.event,
            "item": item,
            "contract": event.contract,
            "eventName": event.event,
            "time": time,
            "position": position.sortable(),
            "rawDigest": {"alg": "sha-256", "value": proven.native_digest()},
            "mapping": {
                "id": self.mapping.id(),
                "version": self.mapping.version(),
                "digest": self.mapping.digest(),
            },
        });
        let fixed = [
            ("envelope", json!("1")),
            ("schema", json!(self.schema)),
            ("type", json!(self.mapping.target().record_type())),
            ("recordedAt", json!(time)),
            ("provenance", provenance),
        ];
        envelope.extend(fixed.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Some((envelope, body))
    }
}

impl std::fmt::Debug for LaneReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LaneReader({} {})", self.mapping.id(), self.mapping.digest())
    }
}

/// A mapping's tests do not count for its digest and need not travel.
fn without_tests(document: &Value) -> Value {
    let mut document = document.clone();
    if let Value::Object(members) = &mut document {
        members.remove("tests");
    }
    document
}

/// The documents that a definition names, among those that travelled: each is looked for under its own recomputed digest,
/// so what a courier altered or left out is found missing. Target schemas are built in and do not travel.
pub(crate) fn named_documents(
    definition: &Definition,
    documents: &[Document],
    registry: &Registry,
) -> Result<Vec<Document>, ReaderFault> {
    let expected = definition.mapping;
    let mapping = documents
        .iter()
        .filter(|it| it.kind == DocumentKind::Mapping && it.digest == expected)
        .find(|it| Digest::of(&to_canonical(&without_tests(&it.json))) == expected)
        .ok_or_else(|| ReaderFault::Mapping { expected, got: "none with that digest".to_owned() })?;
    let mut named = vec![Document { json: without_tests(&mapping.json), ..mapping.clone() }];
    for schema in definition.schemas.iter().skip(1) {
        let mut found = documents.iter().filter(|it| it.kind == DocumentKind::Schema && it.digest == schema.content_id);
        match found.find(|it| content_id(&it.json) == schema.content_id) {
            Some(document) => named.push(document.clone()),
            None if registry.by_content_id(&schema.content_id).is_some() => {}
            None => return Err(ReaderFault::Schema { id: schema.id.clone(), content_id: schema.content_id }),
        }
    }
    Ok(named)
}

fn find_mapping(definition: &Definition, documents: &[Document]) -> Result<Mapping, ReaderFault> {
    let expected = definition.mapping;
    let fault = |got: String| ReaderFault::Mapping { expected, got };
    let mut named = documents.iter().filter(|it| it.kind == DocumentKind::Mapping && it.digest == expected);
    let document = named.next().ok_or_else(|| fault("none".to_owned()))?;
    let mapping = Mapping::from_canonical(&document.json).map_err(|errors| {
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        fault(format!("a document that is no mapping: {first}"))
    })?;
    if mapping.digest() == expected { Ok(mapping) } else { Err(fault(mapping.digest().to_string())) }
}

/// The department schemas of a definition; those built in are found by content id and need not travel.
fn find_schemas(
    definition: &Definition,
    documents: &[Document],
    registry: &Registry,
) -> Result<Vec<(String, Value)>, ReaderFault> {
    let mut found = Vec::new();
    for schema in &definition.schemas {
        if registry.by_content_id(&schema.content_id).is_some() {
            continue;
        }
        let document = documents
            .iter()
            .filter(|it| it.kind == DocumentKind::Schema && it.digest == schema.content_id)
            .find(|it| content_id(&it.json) == schema.content_id)
            .ok_or_else(|| ReaderFault::Schema { id: schema.id.clone(), content_id: schema.content_id })?;
        found.push((schema.id.clone(), document.json.clone()));
    }
    Ok(found)
}

/// At most three faults in words, without the values: they may be published.
fn words(faults: &[Fault]) -> String {
    let first: Vec<String> =
        faults.iter().take(3).map(|fault| format!("{} {}", fault.pointer, fault.keyword)).collect();
    match faults.len().saturating_sub(first.len()) {
        0 => first.join("; "),
        more => format!("{}; and {more} more", first.join("; ")),
    }
}
