//! `hufu schema`: the closed world of schemas, and whether a document conforms.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_registry::{Fault, Kind, QualityNote, Registry};
use serde::Serialize;
use serde_json::json;

use crate::answer::{Answer, misuse};
use crate::files;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu schema list
  hufu schema show e-certificate
  hufu schema validate record.json                          a whole record: envelope, body, ids
  hufu schema validate --body e-certificate body.json       a body alone
  hufu schema validate --schemas land/schemas record.json   with payload schemas of your own folder";

/// List, show and apply record schemas.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Schema {
    #[command(after_help = EXAMPLES)]
    List(List),
    #[command(after_help = EXAMPLES)]
    Show(Show),
    #[command(after_help = EXAMPLES)]
    Validate(Validate),
}

/// List every schema this program knows.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    department: Department,
}

/// Print one schema.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// Its name (e-certificate, envelope), its id, or its content id.
    name: String,
    #[command(flatten)]
    department: Department,
}

/// Judge record documents, or with --body their bodies. Prints each fault with its JSON Pointer, and what is doubtful.
#[derive(Debug, clap::Args)]
pub(crate) struct Validate {
    /// JSON files, `-` for stdin.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// The files are bodies of this record type.
    #[arg(long, value_name = "NAME")]
    body: Option<String>,
    #[command(flatten)]
    department: Department,
}

/// A department's own payload schemas.
#[derive(Debug, clap::Args)]
pub(crate) struct Department {
    /// A folder of payload schemas of `generic` records.
    #[arg(long, value_name = "DIR")]
    pub(crate) schemas: Option<PathBuf>,
}

impl Department {
    /// The schemas of this release and of the folder.
    pub(crate) fn registry(&self) -> anyhow::Result<Registry> {
        files::registry(self.schemas.as_deref())
    }
}

pub(crate) fn run(command: &Schema, out: &Output) -> anyhow::Result<Answer> {
    match command {
        Schema::List(list) => self::list(&list.department.registry()?, out),
        Schema::Show(show) => self::show(&show.department.registry()?, &show.name, out),
        Schema::Validate(validate) => self::validate(validate, out),
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Envelope => "envelope",
        Kind::Body => "body",
        Kind::Payload => "payload",
    }
}

fn list(registry: &Registry, out: &Output) -> anyhow::Result<Answer> {
    for schema in std::iter::once(registry.envelope()).chain(registry.list()) {
        let reference = schema.reference();
        let row = json!({
            "name": schema.body_name(), "kind": kind(schema.kind()), "id": reference.id,
            "contentId": reference.content_id, "title": schema.title(),
        });
        out.show(&row, || format!("{:<9}{}  {}", kind(schema.kind()), reference.content_id, reference.id))?;
    }
    Ok(Answer::Yes)
}

fn show(registry: &Registry, name: &str, out: &Output) -> anyhow::Result<Answer> {
    let schema = find(registry, name)?;
    let document = schema.document();
    out.show(document, || format!("{document:#}"))?;
    Ok(Answer::Yes)
}

/// A schema by any of its names.
pub(crate) fn find<'r>(registry: &'r Registry, name: &str) -> anyhow::Result<&'r hufu_schemas_registry::Schema> {
    if name == "envelope" {
        return Ok(registry.envelope());
    }
    let all = || std::iter::once(registry.envelope()).chain(registry.list());
    let found = all().find(|schema| {
        let reference = schema.reference();
        schema.body_name() == Some(name) || reference.id == name || reference.content_id.to_string() == name
    });
    found.ok_or_else(|| {
        let known: Vec<&str> = registry.list().filter_map(hufu_schemas_registry::Schema::body_name).collect();
        let message = format!("expected the name of a schema (envelope, {}), got {name:?}", known.join(", "));
        misuse(message, "see: hufu schema list")
    })
}

/// What was found out about one file.
#[derive(Debug, Serialize)]
struct Judgement {
    file: String,
    valid: bool,
    faults: Vec<Fault>,
    quality: Vec<QualityNote>,
}

impl Judgement {
    fn faulty(path: &Path, faults: Vec<Fault>) -> Self {
        Self { file: path.display().to_string(), valid: faults.is_empty(), faults, quality: Vec::new() }
    }

    fn words(&self) -> String {
        let mut words = format!("{}: {}", self.file, if self.valid { "valid" } else { "not valid" });
        for fault in &self.faults {
            let _ = write!(words, "\n  {fault}");
        }
        for note in &self.quality {
            let _ = write!(words, "\n  doubtful: {}: {} ({})", note.path, note.detail, note.code);
        }
        words
    }
}

fn validate(args: &Validate, out: &Output) -> anyhow::Result<Answer> {
    let registry = args.department.registry()?;
    let mut all_valid = true;
    for path in &args.files {
        let judgement = match &args.body {
            Some(name) => judge_body(&registry, name, path)?,
            None => judge_record(&registry, path)?,
        };
        all_valid &= judgement.valid;
        out.show(&judgement, || judgement.words())?;
    }
    Ok(Answer::of(all_valid))
}

fn judge_record(registry: &Registry, path: &Path) -> anyhow::Result<Judgement> {
    let document = match files::parse_json(path, &JsonLimits::RECORD)? {
        Ok(document) => document,
        Err(fault) => return Ok(Judgement::faulty(path, vec![not_json(&fault)])),
    };
    Ok(match registry.read(document) {
        Ok(record) => Judgement { quality: registry.quality(&record), ..Judgement::faulty(path, Vec::new()) },
        Err(faults) => Judgement::faulty(path, faults),
    })
}

fn judge_body(registry: &Registry, name: &str, path: &Path) -> anyhow::Result<Judgement> {
    let schema = find(registry, name)?;
    if schema.kind() != Kind::Body {
        let message = format!("expected a record type after --body, got the {} {name:?}", kind(schema.kind()));
        return Err(misuse(message, "see: hufu schema list"));
    }
    Ok(match files::parse_json(path, &JsonLimits::RECORD)? {
        Ok(body) => Judgement::faulty(path, registry.validate_body(schema.reference(), &body)),
        Err(fault) => Judgement::faulty(path, vec![not_json(&fault)]),
    })
}

fn not_json(fault: &hufu_schemas_core::canonical::JsonFault) -> Fault {
    Fault {
        pointer: String::new(),
        keyword: fault.reason().to_owned(),
        expected: "one JSON document that has a canonical form".to_owned(),
        got: fault.to_string(),
    }
}
