//! `hufu verify`: an evidence file, offline, step by step.

use std::fmt::Write as _;
use std::path::PathBuf;

use hufu_gateway_server::clock::{Clock as _, SystemClock};
use hufu_gateway_server::families;
use hufu_gateway_verify::TrustPolicy;
use hufu_gateway_verify::evidence::{self, Checked, EvidenceVerdict};
use hufu_schemas_core::Timestamp;
use hufu_schemas_core::evidence::Evidence;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_registry::Registry;
use serde_json::{Value, json};

use crate::answer::{Answer, misuse};
use crate::client::printable;
use crate::files;
use crate::output::Output;
use crate::policy_file;

const EXAMPLES: &str = "\
Examples:
  hufu verify evidence.json --policy policy.toml
  hufu verify evidence.json --policy policy.toml --at 2027-01-31T00:00:00Z
  hufu verify - --policy policy.toml --json < evidence.json

Reads these two files and nothing else; no network. Whom to trust (anchors, log keys, accepted definitions) comes from the
policy alone: what the evidence file says of itself is compared, never believed.";

/// Verify an evidence file offline. Says each step and what it compared, then why the record is believed.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The evidence file, `-` for stdin.
    evidence: PathBuf,
    /// Whom you trust, and for what.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Judge as at this time, such as 2027-01-31T00:00:00Z, instead of now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let now = args.now()?;
    let policy = policy_file::parse(&args.policy, &files::read_text(&args.policy)?)?;
    let bytes = files::read(&args.evidence, u64::try_from(JsonLimits::EVIDENCE.bytes).unwrap_or(u64::MAX))?;
    let verdict = judge(&bytes, &policy, now)?;
    out.show(&in_json(&verdict, now), || in_words(&verdict))?;
    Ok(Answer::of(verdict.record.is_some()))
}

impl Args {
    fn now(&self) -> anyhow::Result<Timestamp> {
        let Some(text) = &self.at else { return Ok(SystemClock.now()) };
        Timestamp::from_rfc3339_utc(text).ok_or_else(|| {
            misuse(format!("expected a time for --at, got {text:?}"), "write it in UTC, such as 2027-01-31T00:00:00Z")
        })
    }
}

/// Bytes that are no evidence file are a failed first step: the answer is no, as for any other forgery.
fn judge(bytes: &[u8], policy: &TrustPolicy, now: Timestamp) -> anyhow::Result<EvidenceVerdict> {
    let evidence = match Evidence::parse(bytes) {
        Ok(evidence) => evidence,
        Err(fault) => {
            let step = Checked { step: "evidence file", holds: false, compared: fault.to_string() };
            return Ok(EvidenceVerdict { steps: vec![step], record: None, reason: Some(fault.reason()) });
        }
    };
    // A payload schema of the department travels in the file, under the digest that the lane's definition names.
    Ok(evidence::verify(&evidence, policy, &families::families(), &Registry::builtin()?, now))
}

fn in_json(verdict: &EvidenceVerdict, at: Timestamp) -> Value {
    let basis = verdict.record.as_ref().map(|record| record.basis());
    json!({
        "steps": verdict.steps,
        "record": verdict.record.as_ref().map(|record| record.record().id()),
        "assurance": basis.map(|basis| basis.assurance),
        "control": basis.map(|basis| basis.control),
        "finality": basis.map(|basis| basis.finality),
        "completeness": basis.map(|basis| basis.completeness),
        "reason": verdict.reason,
        "at": at.to_string(),
    })
}

fn in_words(verdict: &EvidenceVerdict) -> String {
    let mut words = String::new();
    for checked in &verdict.steps {
        let mark = if checked.holds { '✓' } else { '✗' };
        // What was compared may repeat what a forger wrote.
        let _ = writeln!(words, "{mark} {:<22} {}", checked.step, printable(&checked.compared, 500));
    }
    let Some(record) = &verdict.record else {
        let _ = write!(words, "\nnot believed: {}", verdict.reason.unwrap_or("a step does not hold"));
        return words;
    };
    let basis = record.basis();
    let _ = write!(
        words,
        "\nrecord        {}\nassurance     {}\ncontrol       {}\nfinality      {}\ncompleteness  {}",
        record.record().id(),
        basis.assurance.as_str(),
        basis.control.as_str(),
        basis.finality.as_str(),
        basis.completeness.as_str()
    );
    words
}
