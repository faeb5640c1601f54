//! `hufu held`: leaves that came in and were not believed yet.

use std::fmt::Write as _;

use clap::Subcommand;
use hufu_schemas_core::LaneId;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::client::{Target, list, shown};
use crate::commands::running;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu held list --config gateway.toml --token-file operator.token
  hufu held list --lane notary.example/certificates/1 --config gateway.toml --token-file operator.token
  hufu held retry --config gateway.toml --token-file operator.token

A held leaf blocks nothing behind it. It is tried again by itself when the policy changes. The token needs the scope
operate.";

/// See which leaves are held and why, and have them tried again.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Held {
    #[command(after_help = EXAMPLES)]
    List(List),
    #[command(after_help = EXAMPLES)]
    Retry(Retry),
}

/// Held leaves with their reasons.
#[derive(Debug, clap::Args)]
pub(crate) struct List {
    /// Only of this lane.
    #[arg(long)]
    lane: Option<LaneId>,
    /// Go on where an earlier list ended: its `next`.
    #[arg(long, value_name = "NEXT")]
    after: Option<String>,
    /// Most leaves of one list.
    #[arg(long, default_value_t = 100)]
    limit: u16,
    #[command(flatten)]
    target: Target,
}

/// Try held leaves again, under the policy as it is now. Exit 1 when any is still held.
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    /// Only of this lane.
    #[arg(long)]
    lane: Option<LaneId>,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(command: &Held, out: &Output) -> anyhow::Result<Answer> {
    match command {
        Held::List(args) => show(args, out),
        Held::Retry(args) => retry(args, out),
    }
}

fn show(args: &List, out: &Output) -> anyhow::Result<Answer> {
    let (lane, limit) = (args.lane.as_ref().map(ToString::to_string), args.limit.to_string());
    let asked = [("lane", lane.as_deref()), ("cursor", args.after.as_deref()), ("limit", Some(limit.as_str()))];
    let query: Vec<(&str, &str)> = asked.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    let client = args.target.client()?;
    let answer = running::runtime()?.block_on(client.get(&["v1", "held"], &query))?;
    out.show(&answer, || in_words(&answer))?;
    Ok(Answer::Yes)
}

fn in_words(answer: &Value) -> String {
    let held = list(answer, "held");
    if held.is_empty() {
        return "nothing is held".to_owned();
    }
    let mut words = String::new();
    for leaf in held {
        let member = |key: &str| shown(leaf, key);
        let (lane, sequence, reason) = (member("/lane"), member("/sequence"), member("/reason"));
        let (since, tries) = (member("/since"), member("/tries"));
        let _ = writeln!(words, "{lane} leaf {sequence}  {reason}  since {since}, tried {tries} times");
        let _ = writeln!(words, "  {}", member("/detail"));
    }
    if answer.get("next").is_some_and(|next| !next.is_null()) {
        let _ = writeln!(words, "more: --after {}", shown(answer, "/next"));
    }
    words
}

fn retry(args: &Retry, out: &Output) -> anyhow::Result<Answer> {
    let body = match &args.lane {
        Some(lane) => json!({ "lane": lane }),
        None => json!({}),
    };
    let client = args.target.client()?;
    let answer = running::runtime()?.block_on(client.post(&["v1", "held", "retry"], &body))?;
    out.show(&answer, || {
        let member = |key: &str| shown(&answer, key);
        format!("{} tried, {} admitted, {} still held", member("/tried"), member("/admitted"), member("/held"))
    })?;
    Ok(Answer::of(answer.get("held").and_then(Value::as_u64) == Some(0)))
}
