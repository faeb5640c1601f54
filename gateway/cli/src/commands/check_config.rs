//! `hufu check-config`: everything a start does but binding the port.

use std::path::PathBuf;

use hufu_gateway_server::clock::{Clock as _, SystemClock};
use hufu_gateway_server::config::{ConfigFault, GatewayConfig};
use hufu_gateway_server::plan;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu check-config land/gateway.toml
  hufu check-config --json land/gateway.toml && systemctl restart hufu-gateway

Checks the configuration and every file it names: policy and anchors, settings of nodes, keys and their modes, schemas,
mappings, certificates and their dates, the database's presence. A mistake in the text itself is reported alone; mend it and check again.";

/// Check a gateway's configuration and every file it names. Prints all faults with file, line and column.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The gateway's configuration.
    file: PathBuf,
}

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let (name, faults) = match GatewayConfig::load(&args.file) {
        Ok(config) => (Some(config.name.to_string()), plan::check(&config, SystemClock.now())),
        Err(fault) => (None, vec![fault]),
    };
    let file = args.file.display().to_string();
    let rows: Vec<Value> = faults.iter().map(row).collect();
    out.show(&json!({ "file": file, "gateway": name, "ok": faults.is_empty(), "faults": rows }), || {
        if faults.is_empty() {
            return format!("{file}: ok");
        }
        faults.iter().map(|fault| format!("{fault}\n")).collect()
    })?;
    Ok(Answer::of(faults.is_empty()))
}

fn row(fault: &ConfigFault) -> Value {
    json!({ "file": fault.file, "line": fault.line, "column": fault.column, "message": fault.message })
}
