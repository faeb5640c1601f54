//! `hufu map`: what a mapping file says, and what it makes of events.

mod written_tests;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_mapping::{Applied, Draft, Finding, Lineage, Mapping, MappingError, Severity, TestOutcome};
use hufu_schemas_registry::{Fault, Registry, Schema};
use serde::Serialize;
use serde_json::{Value, json};

use super::schema::Department;
use crate::answer::{Answer, misuse};
use crate::files::{self, SMALL_FILE};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu map check mapping.yaml                       faults with file:line:column, and what a reviewer should see
  hufu map test mapping.yaml                        the tests in the file; the drafts' bodies by their schema
  hufu map test --schemas land/schemas mapping.yaml
  hufu map explain mapping.yaml                     where each place of the record comes from
  hufu map run mapping.yaml --input event.json      one decoded event to a draft; stdin without --input";

/// Check, test, explain and apply mapping files.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Map {
    /// Say what is wrong with mapping files, or worth a look.
    #[command(after_help = EXAMPLES)]
    Check(Files),
    /// Run the tests that mapping files carry, and judge their drafts' bodies by the schemas.
    #[command(after_help = EXAMPLES)]
    Test(Files),
    /// Print, for each place of the record, what it is made of.
    #[command(after_help = EXAMPLES)]
    Explain(Files),
    #[command(after_help = EXAMPLES)]
    Run(Run),
}

/// Mapping files.
#[derive(Debug, clap::Args)]
pub(crate) struct Files {
    /// Mapping files.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    department: Department,
}

/// Apply a mapping to one decoded event and print the draft.
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// The mapping file.
    file: PathBuf,
    /// The event as decoded JSON; stdin without it.
    #[arg(long, value_name = "FILE", default_value = "-")]
    input: PathBuf,
}

pub(crate) fn run(command: &Map, out: &Output) -> anyhow::Result<Answer> {
    match command {
        Map::Check(args) => each(args, out, check),
        Map::Test(args) => each(args, out, test),
        Map::Explain(args) => each(args, out, explain),
        Map::Run(args) => apply(args, out),
    }
}

type Read = Result<Mapping, Vec<MappingError>>;

fn read(path: &Path) -> anyhow::Result<Read> {
    Ok(Mapping::parse_yaml(&path.display().to_string(), &files::read(path, SMALL_FILE)?))
}

/// A file that is no mapping ends its turn, whatever was asked of it.
fn each(
    args: &Files,
    out: &Output,
    act: fn(&Path, &Mapping, &Registry, &Output) -> anyhow::Result<bool>,
) -> anyhow::Result<Answer> {
    let registry = args.department.registry()?;
    let mut all = true;
    for path in &args.files {
        all &= match read(path)? {
            Ok(mapping) => act(path, &mapping, &registry, out)?,
            Err(errors) => refused(path, &errors, out)?,
        };
    }
    Ok(Answer::of(all))
}

fn refused(path: &Path, errors: &[MappingError], out: &Output) -> anyhow::Result<bool> {
    out.show(&json!({ "file": path, "ok": false, "errors": errors }), || lines(errors))?;
    Ok(false)
}

fn lines<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().fold(String::new(), |mut words, item| {
        let _ = writeln!(words, "{item}");
        words
    })
}

/// The body schema that a mapping writes for.
fn target<'r>(mapping: &Mapping, registry: &'r Registry) -> Option<&'r Schema> {
    let target = mapping.target();
    let ending = format!("/{}", target.schema());
    registry
        .list()
        .find(|schema| schema.body_name() == Some(target.record_type()) && schema.reference().id.ends_with(&ending))
}

fn unknown_target(mapping: &Mapping) -> String {
    let target = mapping.target();
    format!(
        "/target: expected a record type and version of this release, got {} {}",
        target.record_type(),
        target.schema()
    )
}

fn check(path: &Path, mapping: &Mapping, registry: &Registry, out: &Output) -> anyhow::Result<bool> {
    let schema = target(mapping, registry);
    let findings = mapping.check(schema.map(Schema::document));
    let unknown = schema.is_none().then(|| unknown_target(mapping));
    let ok = unknown.is_none() && findings.iter().all(|finding| finding.severity < Severity::Error);
    let value = json!({
        "file": path, "ok": ok, "id": mapping.id(), "version": mapping.version(), "digest": mapping.digest(),
        "findings": findings, "error": unknown,
    });
    out.show(&value, || {
        let head = format!("{}: {} {} digest {}\n", path.display(), mapping.id(), mapping.version(), mapping.digest());
        head + &lines(unknown.iter().map(|words| format!("  error: {words}"))) + &lines(findings.iter().map(found))
    })?;
    Ok(ok)
}

fn found(finding: &Finding) -> String {
    let severity = if finding.severity < Severity::Error { "warning" } else { "error" };
    let rule = finding.rule.map(|rule| format!(" (rule {rule})")).unwrap_or_default();
    format!("  {severity}: {}: {}: {}{rule}", finding.subject, finding.code, finding.detail)
}

/// One embedded test, with what the schema says of its draft.
#[derive(Debug, Serialize)]
struct Tested {
    #[serde(flatten)]
    outcome: TestOutcome,
    /// Faults of the draft's body by its schema.
    #[serde(rename = "bodyFaults")]
    body_faults: Vec<Fault>,
    /// Why the body was not judged, where it was not.
    #[serde(rename = "bodyNotJudged")]
    not_judged: Option<String>,
}

impl Tested {
    fn words(&self) -> String {
        let passed = if self.outcome.passed && self.body_faults.is_empty() { "ok  " } else { "FAIL" };
        let mut words = format!("  {passed} {}", self.outcome.name);
        for detail in self.outcome.detail.iter().chain(&self.not_judged) {
            let _ = write!(words, "\n         {detail}");
        }
        for fault in &self.body_faults {
            let _ = write!(words, "\n         body {fault}");
        }
        words
    }
}

fn test(path: &Path, mapping: &Mapping, registry: &Registry, out: &Output) -> anyhow::Result<bool> {
    let inputs = written_tests::inputs(&files::read_text(path)?);
    let outcomes = mapping.run_tests();
    let tests: Vec<Tested> = outcomes
        .into_iter()
        .zip(inputs.iter().map(Some).chain(std::iter::repeat(None)))
        .map(|(outcome, input)| judge(outcome, input, mapping, registry))
        .collect();
    let ok = !tests.is_empty() && tests.iter().all(|test| test.outcome.passed && test.body_faults.is_empty());
    let next = tests.is_empty().then_some("the mapping carries no tests: add some under tests:");
    out.show(&json!({ "file": path, "ok": ok, "tests": tests, "next": next }), || {
        format!("{}:\n{}{}", path.display(), lines(tests.iter().map(Tested::words)), next.unwrap_or_default())
    })?;
    Ok(ok)
}

fn judge(outcome: TestOutcome, input: Option<&Value>, mapping: &Mapping, registry: &Registry) -> Tested {
    let draft = input.and_then(|input| mapping.apply(input).ok()).and_then(|applied| match applied {
        Applied::Draft(draft) => Some(draft),
        Applied::NotMatched { .. } => None,
    });
    let (body_faults, not_judged) = draft.map(|draft| body_faults(&draft, mapping, registry)).unwrap_or_default();
    Tested { outcome, body_faults, not_judged }
}

fn body_faults(draft: &Draft, mapping: &Mapping, registry: &Registry) -> (Vec<Fault>, Option<String>) {
    let Some(schema) = target(mapping, registry) else { return (Vec::new(), Some(unknown_target(mapping))) };
    let faults = registry.validate_body(schema.reference(), draft.json.get("body").unwrap_or(&Value::Null));
    // The payload of a generic record is judged by the department's own schema, which may simply not be given here.
    match faults.as_slice() {
        [only] if only.keyword == "payloadSchema" => {
            (Vec::new(), Some(format!("payload not judged: {only}; give its folder with --schemas DIR")))
        }
        _ => (faults, None),
    }
}

fn explain(path: &Path, mapping: &Mapping, _: &Registry, out: &Output) -> anyhow::Result<bool> {
    let lineage = mapping.explain();
    let value = json!({ "file": path, "id": mapping.id(), "digest": mapping.digest(), "places": lineage });
    out.show(&value, || format!("{}:\n{}", path.display(), lines(lineage.iter().map(explained))))?;
    Ok(true)
}

fn explained(place: &Lineage) -> String {
    let mut from = place.from.join(", ");
    if let Some(constant) = &place.constant {
        let _ = write!(from, "constant {constant}");
    }
    for op in &place.ops {
        let _ = write!(from, " | {op}");
    }
    if let Some(default) = &place.default {
        let _ = write!(from, ", or {default}");
    }
    let optional = if place.optional { " (may be absent)" } else { "" };
    format!("  rule {}  {} <- {from}{optional}", place.rule, place.target)
}

fn apply(args: &Run, out: &Output) -> anyhow::Result<Answer> {
    let mapping = match read(&args.file)? {
        Ok(mapping) => mapping,
        Err(errors) => return Ok(Answer::of(refused(&args.file, &errors, out)?)),
    };
    let input = files::parse_json(&args.input, &JsonLimits::RECORD)?.map_err(|fault| {
        misuse(
            format!("{}: {fault}", args.input.display()),
            "give the event as one JSON object, as the decoder writes it",
        )
    })?;
    match mapping.apply(&input) {
        Ok(Applied::Draft(draft)) => {
            out.show(&draft.json, || format!("{:#}", draft.json))?;
            Ok(Answer::Yes)
        }
        Ok(Applied::NotMatched { reason }) => {
            out.show(&json!({ "notMatched": reason }), || format!("no record: {reason}"))?;
            Ok(Answer::No)
        }
        Err(fault) => {
            out.show(&json!({ "fault": fault }), || format!("no record: {fault}"))?;
            Ok(Answer::No)
        }
    }
}
