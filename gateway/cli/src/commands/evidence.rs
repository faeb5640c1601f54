//! `hufu evidence`: fetches an evidence file.

use std::path::PathBuf;

use hufu_schemas_core::evidence::Evidence;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_core::{Record, RecordId};
use serde_json::json;

use crate::answer::{Answer, misuse};
use crate::client::Access;
use crate::commands::running;
use crate::files;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu evidence https://tax.example:7402 urn:grec:sha-256:… --ca ca.pem --token-file token --out evidence.json
  hufu verify evidence.json --policy policy.toml

The file is fetched, not believed: hufu verify decides, on any machine and without a network.";

/// Fetch the evidence file of a record from a gateway.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The gateway's applications listener, such as https://tax.example:7402.
    url: String,
    /// The record's id: urn:grec:sha-256:…
    record_id: String,
    /// Where the file goes; without it, stdout. An existing file is never overwritten.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    access: Access,
}

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let id = RecordId::parse(&args.record_id)
        .map_err(|fault| misuse(fault.to_string(), "give the recordId of a record, as GET /v1/records lists it"))?;
    let client = args.access.client(&args.url)?;
    let path = ["v1", "records", &args.record_id, "evidence"];
    let bytes = running::runtime()?.block_on(client.bytes(&path, JsonLimits::EVIDENCE.bytes))?;
    let evidence = require_of(&bytes, &id)?;
    let Some(file) = &args.out else {
        out.show(&evidence, || String::from_utf8_lossy(&bytes).into_owned())?;
        return Ok(Answer::Yes);
    };
    files::write_public(file, &bytes)?;
    out.show(&json!({ "record": id, "file": file, "bytes": bytes.len() }), || {
        let file = file.display();
        format!("wrote {file} ({} bytes)\nnext: hufu verify {file} --policy policy.toml", bytes.len())
    })?;
    Ok(Answer::Yes)
}

/// An answer about something else is not kept under this record's name.
fn require_of(bytes: &[u8], id: &RecordId) -> anyhow::Result<Evidence> {
    let evidence = Evidence::parse(bytes)?;
    let record = Record::open(evidence.record.clone())?;
    anyhow::ensure!(record.id() == *id, "asked for evidence of {id}, got evidence of {}", record.id());
    Ok(evidence)
}
