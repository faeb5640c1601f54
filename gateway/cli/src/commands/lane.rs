//! `hufu lane`: lanes of a gateway, and which of their definitions are accepted.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;
use hufu_gateway_server::config::GatewayConfig;
use hufu_gateway_verify::TrustPolicy;
use hufu_schemas_core::{Digest, LaneId};
use serde_json::{Value, json};

use crate::answer::{Answer, misuse};
use crate::client::{Target, list, shown};
use crate::commands::running;
use crate::files;
use crate::output::Output;
use crate::policy_file::{self, PolicyFile};

const EXAMPLES: &str = "\
Examples:
  hufu lane list --config gateway.toml --token-file operator.token
  hufu lane accept notary.example/certificates/1 DIGEST --policy policy.toml
  hufu lane freeze notary.example/certificates/1 --reason \"under review\" --config gateway.toml --token-file operator.token
  hufu lane thaw notary.example/certificates/1 --reason \"review is over\" --config gateway.toml --token-file operator.token

accept edits the policy file, which a running gateway reads again within seconds; the others ask the running gateway, and
freeze and thaw need a token with the scope operate.";

/// List lanes, accept their definitions, stop and release them.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Lane {
    #[command(after_help = EXAMPLES)]
    List(List),
    #[command(after_help = EXAMPLES)]
    Accept(Accept),
    #[command(after_help = EXAMPLES)]
    Freeze(Act),
    #[command(after_help = EXAMPLES)]
    Thaw(Act),
}

/// Lanes with their size, checkpoint and definitions.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// The policy that says which definitions are accepted [default: as --config says].
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

/// Accept a definition of a lane: records under it are no longer held. Read the definition first.
///
/// Adds the digest to `definitions` of that [[lane]] of the policy file; everything else in the file stays as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Accept {
    /// The lane, such as notary.example/certificates/1.
    lane: LaneId,
    /// The definition's digest, as `hufu lane list` and `hufu held list` show it.
    digest: String,
    /// The policy file.
    #[arg(long, value_name = "FILE", required_unless_present = "config", conflicts_with = "config")]
    policy: Option<PathBuf>,
    /// The gateway's configuration, which names the policy file.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Stop a lane, or let it go on. The reason stands in the gateway's operator log.
#[derive(Debug, clap::Args)]
pub(crate) struct Act {
    /// The lane, such as notary.example/certificates/1.
    lane: LaneId,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(command: &Lane, out: &Output) -> anyhow::Result<Answer> {
    match command {
        Lane::List(args) => show(args, out),
        Lane::Accept(args) => accept(args, out),
        Lane::Freeze(args) => act("freeze", args, out),
        Lane::Thaw(args) => act("thaw", args, out),
    }
}

fn show(args: &List, out: &Output) -> anyhow::Result<Answer> {
    let policy = args.policy()?;
    let client = args.target.client()?;
    let mut answer = running::runtime()?.block_on(client.get(&["v1", "lanes"], &[]))?;
    if let Some(policy) = &policy {
        mark_accepted(&mut answer, policy);
    }
    out.show(&answer, || in_words(&answer))?;
    Ok(Answer::Yes)
}

impl List {
    fn policy(&self) -> anyhow::Result<Option<TrustPolicy>> {
        let path = match (&self.policy, self.target.config()?) {
            (Some(path), _) => path.clone(),
            (None, Some(config)) => config.policy.path,
            (None, None) => return Ok(None),
        };
        policy_file::parse(&path, &files::read_text(&path)?).map(Some)
    }
}

/// Says beside each lane that others publish which of its definitions the policy accepts.
fn mark_accepted(answer: &mut Value, policy: &TrustPolicy) {
    let Some(lanes) = answer.get_mut("lanes").and_then(Value::as_array_mut) else { return };
    for shown in lanes.iter_mut().filter(|shown| shown.get("role") != Some(&json!("published"))) {
        let lane = shown.get("lane").and_then(Value::as_str).and_then(|text| LaneId::parse(text).ok());
        let accepted = lane.and_then(|lane| policy.lane(&lane)).map_or(&[][..], |lane| &lane.definitions);
        let accepted: Vec<Value> =
            list(shown, "definitions").iter().filter(|it| holds(accepted, it)).cloned().collect();
        if let Some(members) = shown.as_object_mut() {
            members.insert("accepted".to_owned(), Value::Array(accepted));
        }
    }
}

fn holds(accepted: &[Digest], definition: &Value) -> bool {
    definition.as_str().and_then(|text| Digest::from_hex(text).ok()).is_some_and(|digest| accepted.contains(&digest))
}

fn in_words(answer: &Value) -> String {
    let lanes = list(answer, "lanes");
    if lanes.is_empty() {
        return "no lanes".to_owned();
    }
    let mut words = String::new();
    for lane in lanes {
        let member = |key: &str| shown(lane, key);
        let (name, role, size) = (member("/lane"), member("/role"), member("/size"));
        let (checkpoint, time) = (member("/checkpoint"), member("/checkpointTime"));
        let _ = writeln!(words, "{name}  {role}  {size} leaves  checkpoint {checkpoint} at {time}");
        if let Some(derived) = lane.get("derived").filter(|derived| !derived.is_null()) {
            let _ = writeln!(words, "  completeness {}", complete(derived));
        }
        for definition in list(lane, "definitions") {
            let _ = writeln!(words, "  definition {}  {}", shown(definition, ""), standing(lane, definition));
        }
        if lane.get("frozen").is_some_and(|frozen| !frozen.is_null()) {
            let _ = writeln!(words, "  FROZEN: {}", member("/frozen"));
        }
    }
    words
}

/// Which blocks this gateway has looked into by itself, and which it could not.
fn complete(derived: &Value) -> String {
    let is_null = |key: &str| derived.pointer(key).is_none_or(Value::is_null);
    let member = |key: &str| shown(derived, key);
    let mut words = match is_null("/from") {
        true => "log: no block derived yet".to_owned(),
        false => format!("ledger: blocks {} to {}", member("/from"), member("/to")),
    };
    if !is_null("/broken") {
        let _ = write!(words, "; log since then: {}", member("/broken"));
    }
    if !is_null("/gap") {
        let _ =
            write!(words, "; log: blocks {} to {} ({})", member("/gap/from"), member("/gap/to"), member("/gap/reason"));
    }
    words
}

fn standing(lane: &Value, definition: &Value) -> &'static str {
    if lane.get("role") == Some(&json!("published")) {
        return "our own";
    }
    match lane.get("accepted").and_then(Value::as_array) {
        Some(accepted) if accepted.contains(definition) => "accepted",
        Some(_) => "NOT accepted: its records are held",
        None => "(give --policy to see whether it is accepted)",
    }
}

fn accept(args: &Accept, out: &Output) -> anyhow::Result<Answer> {
    let digest = Digest::from_hex(&args.digest)
        .map_err(|fault| misuse(fault.to_string(), "give the digest as hufu lane list shows it"))?;
    let path = policy_path(args.policy.as_ref(), args.config.as_ref())?;
    let mut file = PolicyFile::read(&path)?;
    let changed = file.accept(&args.lane, digest)?;
    if changed {
        file.write()?;
    }
    let lane = &args.lane;
    let value = json!({ "lane": lane, "definition": digest, "policy": path, "changed": changed });
    out.show(&value, || {
        let path = path.display();
        if changed {
            format!(
                "{path}: definition {digest} of {lane} is accepted\n\
                 A running gateway reads the file again within seconds, and tries held leaves again."
            )
        } else {
            format!("nothing changed: {path} accepts definition {digest} of {lane} already")
        }
    })?;
    Ok(Answer::Yes)
}

/// The policy file: as named, or as the configuration names it.
pub(crate) fn policy_path(policy: Option<&PathBuf>, config: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    match (policy, config) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(config)) => GatewayConfig::load(config)
            .map(|config| config.policy.path)
            .map_err(|fault| misuse(fault.to_string(), format!("see: hufu check-config {}", config.display()))),
        (None, None) => Err(misuse("expected --policy FILE or --config FILE, got neither", "name the policy file")),
    }
}

fn act(verb: &str, args: &Act, out: &Output) -> anyhow::Result<Answer> {
    let client = args.target.client()?;
    let body = json!({ "lane": args.lane, "reason": args.reason });
    let answer = running::runtime()?.block_on(client.post(&["v1", "lanes", verb], &body))?;
    out.show(&answer, || format!("{} is {}", args.lane, if verb == "freeze" { "frozen" } else { "no longer frozen" }))?;
    Ok(Answer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_says_which_definitions_wait_for_the_operator() {
        let (known, unknown) = (Digest::of(b"known"), Digest::of(b"unknown"));
        let key = hufu_schemas_core::signature::NoteSigner::from_seed("land.example", &[7; 32]).unwrap();
        let policy = format!(
            "policy = 1\n[[peer]]\ngateway = \"land.example\"\norganisation = \"x\"\nlog_keys = [\"{}\"]\n[[lane]]\n\
             id = \"land.example/rights/1\"\ndefinitions = [\"{known}\"]\ntypes = [\"t\"]\nissuers = [\"i\"]\n",
            key.verifier()
        );
        let policy = TrustPolicy::parse("policy.toml", &policy).unwrap();
        let mut answer = json!({"lanes": [
            {"lane": "land.example/rights/1", "role": "inbox", "definitions": [known, unknown], "size": 3,
             "checkpoint": 3, "checkpointTime": "2026-11-21T10:00:00Z", "frozen": "two checkpoints of one size"},
            {"lane": "tax.example/own/1", "role": "published", "definitions": [unknown], "size": 1, "frozen": null},
        ]});
        assert!(in_words(&answer).contains("(give --policy"), "{}", in_words(&answer));
        mark_accepted(&mut answer, &policy);
        let words = in_words(&answer);
        assert!(words.contains(&format!("{known}  accepted")), "{words}");
        assert!(words.contains(&format!("{unknown}  NOT accepted")), "{words}");
        assert!(words.contains(&format!("{unknown}  our own")), "{words}");
        assert_eq!(words.matches("FROZEN: two checkpoints").count(), 1, "{words}");
        assert_eq!(in_words(&json!({"lanes": []})), "no lanes");
    }

    #[test]
    fn a_lane_says_which_blocks_were_derived_and_which_were_not() {
        let derived =
            |derived: Value| in_words(&json!({"lanes": [{"lane": "l", "role": "inbox", "derived": derived}]}));
        let words = derived(json!({"from": 1, "to": 300, "broken": null, "gap": null}));
        assert!(words.contains("completeness ledger: blocks 1 to 300\n"), "{words}");
        let gap = json!({"from": 5, "to": 9, "reason": "sealed-leaf"});
        let words = derived(json!({"from": 10, "to": 12, "broken": "evidence-missing", "gap": gap}));
        let expected = "ledger: blocks 10 to 12; log since then: evidence-missing; log: blocks 5 to 9 (sealed-leaf)";
        assert!(words.contains(expected), "{words}");
        assert!(derived(json!({"from": null, "to": null})).contains("log: no block derived yet"));
        assert!(!derived(Value::Null).contains("completeness"));
    }
}
