//! `hufu key`: secrets of a gateway, made here and shown never.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use hufu_schemas_core::Digest;
use hufu_schemas_core::signature::NoteSigner;
use serde_json::json;

use crate::answer::{Answer, misuse};
use crate::files;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu key new --out land/keys/log.key --name land.example     signs checkpoints; prints the public half
  hufu key new --kind tag --out land/keys/tag.key              hides record keys in a lane's entries
  hufu key new --kind token                                    a bearer token for an application, printed once
  hufu key new --kind tls --out land/tls/server.key --name land.example
  hufu key show land/keys/log.key --name land.example";

/// Make keys, and show their public halves.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Key {
    #[command(after_help = EXAMPLES)]
    New(New),
    #[command(after_help = EXAMPLES)]
    Show(Show),
}

/// Make a new key. An existing file is never overwritten.
#[derive(Debug, clap::Args)]
pub(crate) struct New {
    /// What it is for.
    #[arg(long, value_enum, default_value_t = Kind::Log)]
    kind: Kind,
    /// Where the secret goes (mode 0600). A token without --out is printed instead.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The gateway's name, such as land.example; log and tls keys need it.
    #[arg(long)]
    name: Option<String>,
}

/// Print the public half of a log key, as other gateways' policies name it.
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// The key file.
    file: PathBuf,
    /// The gateway's name: it is part of the public half.
    #[arg(long)]
    name: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Ed25519 seed that signs checkpoints.
    Log,
    /// HMAC key of a lane's entries.
    Tag,
    /// Bearer token of an application.
    Token,
    /// TLS private key, with a certificate signing request beside it.
    Tls,
}

pub(crate) fn run(command: &Key, out: &Output) -> anyhow::Result<Answer> {
    match command {
        Key::New(new) => match new.kind {
            Kind::Log => new_log(new, out),
            Kind::Tag => new_tag(new, out),
            Kind::Token => new_token(new, out),
            Kind::Tls => new_tls(new, out),
        }?,
        Key::Show(show) => {
            let vkey = vkey(&show.name, &files::read_key(&show.file)?)?;
            out.show(&json!({ "name": show.name, "vkey": vkey }), || vkey.clone())?;
        }
    }
    Ok(Answer::Yes)
}

impl New {
    fn out(&self) -> anyhow::Result<&Path> {
        self.out.as_deref().ok_or_else(|| misuse("expected --out FILE, got none", "say where the key goes: --out FILE"))
    }

    fn name(&self) -> anyhow::Result<&str> {
        let missing = || misuse("expected --name, got none", "say whose key it is: --name land.example");
        self.name.as_deref().ok_or_else(missing)
    }
}

/// 32 bytes from the operating system.
pub(crate) fn random() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the operating system gives no randomness: {error}"))?;
    Ok(bytes)
}

/// A key file's content.
pub(crate) fn key_file(key: &[u8; 32]) -> Vec<u8> {
    format!("{}\n", hex::encode(key)).into_bytes()
}

/// The public half of a log key: a C2SP verifier key.
pub(crate) fn vkey(name: &str, seed: &[u8; 32]) -> anyhow::Result<String> {
    let signer = NoteSigner::from_seed(name, seed)
        .map_err(|fault| misuse(fault.to_string(), "give the gateway's name, such as land.example"))?;
    Ok(signer.verifier().to_string())
}

fn new_log(new: &New, out: &Output) -> anyhow::Result<()> {
    let (path, name) = (new.out()?, new.name()?);
    let seed = random()?;
    let vkey = vkey(name, &seed)?;
    files::write_secret(path, &key_file(&seed))?;
    let shown = json!({ "kind": "log", "file": path, "name": name, "vkey": vkey });
    out.show(&shown, || format!("{vkey}\nOther gateways put this line into log_keys of their policy."))
}

fn new_tag(new: &New, out: &Output) -> anyhow::Result<()> {
    let path = new.out()?;
    files::write_secret(path, &key_file(&random()?))?;
    out.show(&json!({ "kind": "tag", "file": path }), || format!("wrote {}", path.display()))
}

/// The configuration holds the digest alone, so whoever reads it cannot speak as the application.
fn new_token(new: &New, out: &Output) -> anyhow::Result<()> {
    let token = format!("hufu_{}", hex::encode(random()?));
    let digest = Digest::of(token.as_bytes()).to_hex();
    if let Some(path) = &new.out {
        files::write_secret(path, format!("{token}\n").as_bytes())?;
        let shown = json!({ "kind": "token", "file": path, "token_sha256": digest });
        return out.show(&shown, || format!("token_sha256 = \"{digest}\"\nThe token is in {}.", path.display()));
    }
    let shown = json!({ "kind": "token", "token": token, "token_sha256": digest });
    out.show(&shown, || format!("{token}\ntoken_sha256 = \"{digest}\"\nThe token is not kept anywhere: copy it now."))
}

fn new_tls(new: &New, out: &Output) -> anyhow::Result<()> {
    let (path, name) = (new.out()?, new.name()?);
    let key = rcgen::KeyPair::generate()?;
    let request = super::init::certificate::server(name)?.serialize_request(&key)?.pem()?;
    files::write_secret(path, key.serialize_pem().as_bytes())?;
    let request_path = path.with_extension("csr");
    files::write_public(&request_path, request.as_bytes())?;
    let shown = json!({ "kind": "tls", "file": path, "request": request_path, "name": name });
    out.show(&shown, || format!("wrote {}\nHave your authority sign {}.", path.display(), request_path.display()))
}
