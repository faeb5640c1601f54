//! `hufu ledger`: what a gateway believes of ledgers, and an operator's decisions about it.

mod anchor;

use std::fmt::Write as _;

use clap::Subcommand;
use hufu_schemas_core::LedgerId;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::client::{Target, list, shown};
use crate::commands::running;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu ledger status --config gateway.toml --token-file operator.token
  hufu ledger thaw LEDGER --reason \"the second block was a test\" --config gateway.toml --token-file operator.token
  hufu ledger anchor LEDGER anchor.toml --config gateway.toml          with the gateway stopped
  hufu ledger anchor LEDGER anchor.toml --policy policy.toml           before the first start

LEDGER is the family and the first 32 hex digits of the genesis hash, such as evm:00000000000000000000000000000000.";

/// See how far ledgers are followed, release one that is frozen, anchor one anew.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Ledger {
    #[command(after_help = EXAMPLES)]
    Status(Status),
    #[command(after_help = EXAMPLES)]
    Thaw(Thaw),
    #[command(after_help = anchor::EXAMPLES)]
    Anchor(anchor::Args),
}

/// Heads, wants and validators of every ledger that the policy anchors.
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    target: Target,
}

/// Let a frozen ledger's head move again. The reason stands in the gateway's operator log; the token needs the scope
/// operate.
#[derive(Debug, clap::Args)]
pub(crate) struct Thaw {
    /// The ledger.
    ledger: LedgerId,
    /// Why.
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    target: Target,
}

pub(crate) fn run(command: &Ledger, out: &Output) -> anyhow::Result<Answer> {
    match command {
        Ledger::Status(args) => status(args, out),
        Ledger::Thaw(args) => thaw(args, out),
        Ledger::Anchor(args) => anchor::run(args, out),
    }
}

fn status(args: &Status, out: &Output) -> anyhow::Result<Answer> {
    let client = args.target.client()?;
    let answer = running::runtime()?.block_on(client.get(&["v1", "ledgers"], &[]))?;
    out.show(&answer, || in_words(&answer))?;
    Ok(Answer::Yes)
}

fn in_words(answer: &Value) -> String {
    let ledgers = list(answer, "ledgers");
    if ledgers.is_empty() {
        return "the policy anchors no ledger".to_owned();
    }
    let mut words = String::new();
    for ledger in ledgers {
        let member = |key: &str| shown(ledger, key);
        let _ = writeln!(words, "{}", member("/ledger"));
        let _ = match ledger.get("head") {
            None | Some(Value::Null) => writeln!(words, "  head           at the anchor, no header seen yet"),
            Some(_) => writeln!(words, "  head           {} {}", member("/head/height"), member("/head/hash")),
        };
        let _ = writeln!(words, "  wants          {}", member("/wants"));
        let _ = writeln!(words, "  trusted until  {}", member("/trustedUntil"));
        let _ = writeln!(words, "  validators     {}", list(ledger, "validators").len());
        let source = if ledger.get("source").is_some_and(|it| !it.is_null()) { "read here" } else { "by relayers" };
        let _ = writeln!(words, "  source         {source}");
        if ledger.get("frozen").is_some_and(|frozen| !frozen.is_null()) {
            let _ = writeln!(words, "  FROZEN: {}", member("/frozen"));
        }
    }
    words
}

fn thaw(args: &Thaw, out: &Output) -> anyhow::Result<Answer> {
    let client = args.target.client()?;
    let body = json!({ "ledger": args.ledger, "reason": args.reason });
    let answer = running::runtime()?.block_on(client.post(&["v1", "ledgers", "thaw"], &body))?;
    out.show(&answer, || format!("{} is no longer frozen", args.ledger))?;
    Ok(Answer::Yes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_says_how_far_it_is_and_that_it_is_frozen() {
        let answer = json!({"ledgers": [
            {"ledger": "sim:aa", "head": {"height": 7, "hash": "0b"}, "wants": 8, "trustedUntil": null,
             "validators": ["a", "b"], "frozen": "two blocks of height 7", "source": null},
            {"ledger": "sim:bb", "head": null, "wants": 0, "validators": [], "frozen": null, "source": {"family": "sim"}},
        ]});
        let words = in_words(&answer);
        for part in ["head           7 0b", "validators     2", "FROZEN: two blocks", "no header seen", "read here"] {
            assert!(words.contains(part), "{part} in {words}");
        }
        assert_eq!(words.matches("FROZEN").count(), 1);
    }
}
