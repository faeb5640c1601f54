//! `hufu bench`: what verification costs on this machine, beside what it cannot cost less than.

mod evm;
mod measure;

use clap::Subcommand;

use crate::answer::Answer;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu bench evm                                   headers, skipping, receipts and account proofs, five rounds
  hufu bench evm --geth /usr/local/bin/geth        beside go-ethereum's own import of one Clique export
  hufu bench evm --geth geth --export blocks.rlp --genesis genesis.json
  hufu --json bench evm --rounds 9                 one JSON value a row";

/// Measure what verification costs here.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Bench {
    #[command(after_help = EXAMPLES)]
    Evm(evm::Args),
}

pub(crate) fn run(command: &Bench, out: &Output) -> anyhow::Result<Answer> {
    let Bench::Evm(args) = command;
    evm::run(args, out)
}
