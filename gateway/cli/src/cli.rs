//! What can be typed. One line a command here, one file a command in [`crate::commands`].

use clap::{Parser, Subcommand};

use crate::answer::Answer;
use crate::commands::{
    audit, bench, check_config, demo, devnet, evidence, gateway, held, init, key, lane, ledger, map, relayer, schema,
    subscribe, verify,
};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu demo                                 three departments, ledgers of two families, one terminal; no set-up
  hufu init land --name land.example        a folder to start a gateway from
  hufu check-config land/gateway.toml       every fault, with file, line and column
  hufu schema validate record.json          is this a record?
  hufu map test mapping.yaml                run the tests that a mapping carries
  hufu audit evm --anchor anchor.toml blocks.rlp
  hufu verify evidence.json --policy policy.toml
  hufu gateway --config land/gateway.toml

Exit status: 0 yes, 1 no, 2 the command was not understood or cannot be carried out as given.
Results go to stdout (one JSON value a line with --json), everything else to stderr.";

/// Hufu 虎符: a gateway between government ledgers. A record is believed where its proof closes, not because of who
/// carried it.
#[derive(Debug, Parser)]
#[command(name = "hufu", version, arg_required_else_help = true, after_help = EXAMPLES, max_term_width = 120)]
pub(crate) struct Cli {
    /// Print results as JSON, one value a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command table.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Demo(demo::Args),
    Init(init::Args),
    CheckConfig(check_config::Args),
    Gateway(gateway::Args),
    Relayer(relayer::Args),
    Verify(verify::Args),
    Evidence(evidence::Args),
    Subscribe(subscribe::Args),
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    #[command(subcommand)]
    Lane(lane::Lane),
    #[command(subcommand)]
    Held(held::Held),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Bench(bench::Bench),
    #[command(subcommand)]
    Schema(schema::Schema),
    #[command(subcommand)]
    Map(map::Map),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    Devnet(devnet::Devnet),
}

impl Command {
    /// Carries the command out.
    pub(crate) fn run(&self, out: &Output) -> anyhow::Result<Answer> {
        match self {
            Self::Demo(args) => demo::run(args, out),
            Self::Init(args) => init::run(args, out),
            Self::CheckConfig(args) => check_config::run(args, out),
            Self::Gateway(args) => gateway::run(args, out),
            Self::Relayer(args) => relayer::run(args, out),
            Self::Verify(args) => verify::run(args, out),
            Self::Evidence(args) => evidence::run(args, out),
            Self::Subscribe(args) => subscribe::run(args, out),
            Self::Ledger(command) => ledger::run(command, out),
            Self::Lane(command) => lane::run(command, out),
            Self::Held(command) => held::run(command, out),
            Self::Audit(command) => audit::run(command, out),
            Self::Bench(command) => bench::run(command, out),
            Self::Schema(command) => schema::run(command, out),
            Self::Map(command) => map::run(command, out),
            Self::Key(command) => key::run(command, out),
            Self::Devnet(command) => devnet::run(command, out),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_table_is_sound() {
        super::Cli::command().debug_assert();
    }
}
