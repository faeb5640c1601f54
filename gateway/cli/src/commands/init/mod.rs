//! `hufu init`: a folder that a department can start from.

pub(crate) mod certificate;

use std::fs;
use std::path::{Path, PathBuf};

use hufu_gateway_store::Store;
use hufu_schemas_core::GatewayId;
use serde_json::json;

use super::{key, running};
use crate::answer::{Answer, misuse};
use crate::files::{write_public, write_secret};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu init land --name land.example
  hufu check-config land/gateway.toml

Makes gateway.toml and policy.toml with comments, keys, a database, the mappings of this release to copy from, and TRIAL
certificates for this machine. Nothing is trusted until you name it in policy.toml.";

/// Make a folder to start a gateway from.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder; it must be new or empty.
    dir: PathBuf,
    /// The gateway's name in lower case, such as land.example. It can never change: lanes carry it.
    #[arg(long)]
    name: String,
}

const GATEWAY: &str = include_str!("gateway.toml");
const POLICY: &str = include_str!("policy.toml");
/// As gateway.toml names it.
const DATABASE: &str = "hufu.db";

const MAPPINGS: [(&str, &str); 6] = [
    ("certificate.yaml", include_str!("../../../../../schemas/mappings/certificate.yaml")),
    ("certificate-state.yaml", include_str!("../../../../../schemas/mappings/certificate-state.yaml")),
    ("clearance.yaml", include_str!("../../../../../schemas/mappings/clearance.yaml")),
    ("enforcement-notice.yaml", include_str!("../../../../../schemas/mappings/enforcement-notice.yaml")),
    ("food-trace.yaml", include_str!("../../../../../schemas/mappings/food-trace.yaml")),
    ("property-right.yaml", include_str!("../../../../../schemas/mappings/property-right.yaml")),
];

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let name = GatewayId::parse(&args.name)
        .map_err(|fault| misuse(fault.to_string(), "give a name such as land.example: --name land.example"))?;
    require_empty(&args.dir)?;
    let seed = key::random()?;
    let vkey = key::vkey(name.as_str(), &seed)?;
    let tag = key::random()?;
    let trial = certificate::trial(name.as_str())?;
    let dir = |inner: &str| args.dir.join(inner);
    for folder in ["", "keys", "tls", "mappings", "schemas"] {
        let folder = dir(folder);
        fs::create_dir_all(&folder).map_err(|error| {
            misuse(format!("cannot make {}: {error}", folder.display()), "give a place that can be written")
        })?;
    }
    write_public(&dir("gateway.toml"), GATEWAY.replace("{name}", name.as_str()).as_bytes())?;
    write_public(&dir("policy.toml"), POLICY.replace("{name}", name.as_str()).as_bytes())?;
    write_secret(&dir("keys/log.key"), &key::key_file(&seed))?;
    write_secret(&dir("keys/tag.key"), &key::key_file(&tag))?;
    write_public(&dir("tls/trial-ca.pem"), trial.authority.as_bytes())?;
    write_pair(&dir("tls"), "trial-server", &trial.server)?;
    write_pair(&dir("tls"), "trial-relayer", &trial.relayer)?;
    for (file, text) in MAPPINGS {
        write_public(&dir("mappings").join(file), text.as_bytes())?;
    }
    running::runtime()?.block_on(create_database(&dir(DATABASE)))?;
    let config = dir("gateway.toml");
    let value = json!({ "dir": args.dir, "config": config, "name": name, "vkey": vkey, "trialCertificates": true });
    out.show(&value, || {
        format!(
            "{} is ready.\nOther gateways put this line into log_keys of their policy:\n  {vkey}\n\
             The certificates in tls/ are for a TRIAL on this machine: replace them before real use.\n\
             Next: name your ledger in gateway.toml and its anchor in policy.toml, then\n  hufu check-config {}",
            args.dir.display(),
            config.display(),
        )
    })?;
    Ok(Answer::Yes)
}

async fn create_database(path: &Path) -> anyhow::Result<()> {
    let store = Store::create(path).await?;
    store.close().await;
    Ok(())
}

fn require_empty(dir: &Path) -> anyhow::Result<()> {
    let refused = |words: String| misuse(format!("{}: {words}", dir.display()), "give a folder that is new or empty");
    match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused("expected a new or empty folder, got one with files".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused(error.to_string())),
    }
}

fn write_pair(dir: &Path, name: &str, pem: &certificate::Pem) -> anyhow::Result<()> {
    write_public(&dir.join(format!("{name}.pem")), pem.certificate.as_bytes())?;
    write_secret(&dir.join(format!("{name}.key")), pem.key.as_bytes())
}
