//! The closed world of schemas, and the two passes that judge a record by them.

use std::collections::BTreeMap;
use std::sync::Arc;

use hufu_schemas_core::record::RecordFault;
use hufu_schemas_core::{ContentId, Record, SchemaRef};
use serde_json::{Map, Value};

use crate::fault::{Fault, MAX_FAULTS, shown};
use crate::lint::{SchemaFault, SchemaRefused};
use crate::quality::{Notes, QualityNote};
use crate::rules;
use crate::schema::{Kind, Schema};

/// The envelope of this release.
const ENVELOPE: &str = include_str!("../../records/envelope/1.0.json");

/// The record bodies of this release.
const BODIES: [&str; 3] = [
    include_str!("../../records/e-certificate/1.0.json"),
    include_str!("../../records/property-right/1.0.json"),
    include_str!("../../records/generic/1.0.json"),
];

/// Every schema this process knows. There is no other: nothing is ever fetched.
#[derive(Debug, Clone)]
pub struct Registry {
    envelope: Arc<Schema>,
    /// Bodies and payloads, by id.
    by_id: BTreeMap<String, Arc<Schema>>,
    by_content_id: BTreeMap<ContentId, Arc<Schema>>,
}

impl Registry {
    /// The schemas of this release.
    ///
    /// # Errors
    /// Never in a released build: the tests load every file. The type says so because a library does not panic.
    pub fn builtin() -> Result<Self, SchemaRefused> {
        let envelope = Arc::new(Schema::builtin(ENVELOPE)?);
        let mut registry = Self { envelope, by_id: BTreeMap::new(), by_content_id: BTreeMap::new() };
        for file in BODIES {
            registry.insert("(builtin)", Schema::builtin(file)?)?;
        }
        Ok(registry)
    }

    /// Adds payload schemas of `generic` records, as (name for error texts, document).
    ///
    /// # Errors
    /// The first schema that is open, reaches outside, names an unknown format or keyword, is too large, is no valid
    /// JSON Schema 2020-12, or has an id that is taken.
    pub fn with_department_schemas(mut self, schemas: Vec<(String, Value)>) -> Result<Self, SchemaRefused> {
        for (name, document) in schemas {
            let schema = Schema::department(&name, document)?;
            self.insert(&name, schema)?;
        }
        Ok(self)
    }

    fn insert(&mut self, name: &str, schema: Schema) -> Result<(), SchemaRefused> {
        let SchemaRef { id, content_id } = schema.reference().clone();
        if self.by_id.contains_key(&id) {
            let fault = SchemaFault::Duplicate { got: id };
            return Err(SchemaRefused { name: name.to_owned(), pointer: "/$id".to_owned(), fault });
        }
        let schema = Arc::new(schema);
        self.by_content_id.insert(content_id, Arc::clone(&schema));
        self.by_id.insert(id, schema);
        Ok(())
    }

    /// The envelope schema.
    pub fn envelope(&self) -> &Schema {
        &self.envelope
    }

    /// The body or payload schema of an id.
    pub fn schema(&self, id: &str) -> Option<&Schema> {
        self.by_id.get(id).map(AsRef::as_ref)
    }

    /// The body or payload schema of a content id.
    pub fn by_content_id(&self, content_id: &ContentId) -> Option<&Schema> {
        self.by_content_id.get(content_id).map(AsRef::as_ref)
    }

    /// Every body and payload schema, by id.
    pub fn list(&self) -> impl Iterator<Item = &Schema> {
        self.by_id.values().map(AsRef::as_ref)
    }

    /// Makes a record of a draft: seals it, then judges what came out. `envelope` holds every member but `recordId`,
    /// `commitment` and `body`.
    ///
    /// # Errors
    /// Every fault found, at most [`MAX_FAULTS`].
    pub fn conform(&self, envelope: Map<String, Value>, body: Value) -> Result<Record, Vec<Fault>> {
        // What is no object of the right form cannot be sealed; say what is wrong with it by the schema, not by a seal.
        let unsealed = |fault: RecordFault| vec![of_record(&fault)];
        let record = Record::seal(envelope, body).map_err(unsealed)?;
        let faults = self.check(&record.to_json());
        if faults.is_empty() { Ok(record) } else { Err(faults) }
    }

    /// Reads a record that somebody else made: its form, then that its id and commitment close.
    ///
    /// # Errors
    /// Every fault found, at most [`MAX_FAULTS`].
    pub fn read(&self, document: Value) -> Result<Record, Vec<Fault>> {
        let faults = self.check(&document);
        if !faults.is_empty() {
            return Err(faults);
        }
        Record::open(document).map_err(|fault| vec![of_record(&fault)])
    }

    /// First pass: the faults of an envelope, by its schema and by the rules between its fields. The body is not looked
    /// at. At most [`MAX_FAULTS`].
    pub fn validate_envelope(&self, document: &Value) -> Vec<Fault> {
        let faults = self.envelope.faults(document);
        // The rules between fields rely on form.
        if faults.is_empty() { rules::envelope(document) } else { faults }
    }

    /// Second pass: the faults of a body by the schema that its envelope names. Pointers start at the body. At most
    /// [`MAX_FAULTS`].
    pub fn validate_body(&self, reference: &SchemaRef, body: &Value) -> Vec<Fault> {
        match self.named(reference, Kind::Body, "schema") {
            Ok(schema) => self.body_faults(schema, body),
            Err(fault) => vec![fault.below("/schema")],
        }
    }

    fn body_faults(&self, schema: &Schema, body: &Value) -> Vec<Fault> {
        let faults = schema.faults(body);
        if !faults.is_empty() {
            return faults;
        }
        match schema.body_name() {
            Some("generic") => self.payload_faults(body),
            Some(name) => rules::body(name, body),
            None => Vec::new(),
        }
    }

    fn payload_faults(&self, body: &Value) -> Vec<Fault> {
        match self.payload(body) {
            Ok((schema, payload)) => schema.faults(payload).into_iter().map(|fault| fault.below("/payload")).collect(),
            Err(fault) => vec![fault],
        }
    }

    /// The schema and the payload of a `generic` body whose form is right.
    fn payload<'a>(&'a self, body: &'a Value) -> Result<(&'a Schema, &'a Value), Fault> {
        let named = body.get("payloadSchema").unwrap_or(&Value::Null);
        let schema = self
            .named(&reference(named), Kind::Payload, "payloadSchema")
            .map_err(|fault| fault.below("/payloadSchema"))?;
        Ok((schema, body.get("payload").unwrap_or(&Value::Null)))
    }

    /// A schema that is known under both names. The content id decides; the id must be its own.
    fn named(&self, reference: &SchemaRef, kind: Kind, rule: &str) -> Result<&Schema, Fault> {
        let found = self.by_content_id(&reference.content_id).filter(|schema| schema.kind() == kind);
        let Some(schema) = found else {
            let got = format!("{}, which nobody supplied", reference.content_id);
            return Err(Fault::new("/contentId", rule, "the content id of a schema of this registry", got));
        };
        if schema.reference().id != reference.id {
            let got = shown(&Value::String(reference.id.clone()));
            return Err(Fault::new("/id", rule, format!("{:?}, whose content id this is", schema.reference().id), got));
        }
        Ok(schema)
    }

    /// Both passes over a whole document, and the rules between envelope and body. No faults means that it conforms. A
    /// body that is withheld or erased is not missed. At most [`MAX_FAULTS`].
    pub fn check(&self, document: &Value) -> Vec<Fault> {
        let mut faults = self.validate_envelope(document);
        if faults.is_empty() {
            faults = self.second_pass(document);
        }
        faults.truncate(MAX_FAULTS);
        faults
    }

    fn second_pass(&self, document: &Value) -> Vec<Fault> {
        let named = document.get("schema").unwrap_or(&Value::Null);
        let schema = match self.named(&reference(named), Kind::Body, "schema") {
            Ok(schema) => schema,
            Err(fault) => return vec![fault.below("/schema")],
        };
        let Some(body) = document.get("body") else { return Vec::new() };
        let faults = self.body_faults(schema, body);
        if !faults.is_empty() {
            return faults.into_iter().map(|fault| fault.below("/body")).collect();
        }
        let mut faults = rules::joined(schema.body_name().unwrap_or_default(), document, body);
        faults.extend(personal(schema, body, document, "/body"));
        if let Ok((schema, payload)) = self.payload(body) {
            faults.extend(personal(schema, payload, document, "/body/payload"));
        }
        faults
    }

    /// What is doubtful about a record, computed anew. Sorted by code and path, at most [`crate::MAX_NOTES`].
    pub fn quality(&self, record: &Record) -> Vec<QualityNote> {
        let document = &record.to_json();
        let mut notes = Notes::default();
        notes.of_schema(self.envelope.document(), document, "");
        let named = document.get("schema").unwrap_or(&Value::Null);
        let schema = self.named(&reference(named), Kind::Body, "schema");
        if let (Some(body), Ok(schema)) = (document.get("body"), schema) {
            notes.of_schema(schema.document(), body, "/body");
            if let Ok((schema, payload)) = self.payload(body) {
                notes.of_schema(schema.document(), payload, "/body/payload");
            }
        }
        notes.of_document(document);
        notes.finish()
    }
}

fn personal(schema: &Schema, value: &Value, document: &Value, prefix: &str) -> Vec<Fault> {
    if !schema.marks_personal() {
        return Vec::new();
    }
    let faults = rules::personal(schema.document(), value, document);
    faults.into_iter().map(|fault| fault.below(prefix)).collect()
}

/// The two names of a schema; what is not a reference names a schema that does not exist.
fn reference(named: &Value) -> SchemaRef {
    let text = |name: &str| named.get(name).and_then(Value::as_str).unwrap_or_default();
    let content_id = ContentId::from_hex(text("contentId")).unwrap_or(ContentId::from_bytes([0; 32]));
    SchemaRef { id: text("id").to_owned(), content_id }
}

/// A seal that does not close, said as a fault of the document.
fn of_record(fault: &RecordFault) -> Fault {
    match fault {
        RecordFault::Form { member, expected, got } => {
            let pointer = if member.is_empty() { String::new() } else { format!("/{member}") };
            let keyword = if member.is_empty() { "type" } else { member };
            Fault::new(&pointer, keyword, *expected, got)
        }
        RecordFault::Id { expected, got } => Fault::new("/recordId", "recordId", expected.to_string(), got.to_string()),
        RecordFault::Body { expected, got } => Fault::new(
            "/commitment/value",
            "commitment",
            format!("{got}, the digest of this body"),
            expected.to_string(),
        ),
        RecordFault::Profile => Fault::new(
            "/commitment/profile",
            "commitment",
            "jcs-1, or the record without its body",
            "fmt-1 with a body",
        ),
    }
}
