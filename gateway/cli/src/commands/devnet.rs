//! `hufu devnet`: a small ledger in this process, to try things on.

use std::time::Duration;

use clap::Subcommand;
use hufu_evm_devnet::DevnetConfig;
use hufu_schemas_core::{Digest, LedgerId};
use serde_json::json;

use super::running;
use crate::answer::{Answer, misuse};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu devnet evm                                          four validators, a block a second, a free port
  hufu devnet evm --validators 7 --block-milliseconds 200 --port 8545
  hufu devnet evm --seed land                              the same keys and genesis hash each time";

/// Run a development ledger until ctrl-c. Its keys come from the seed: never put anything of value on it.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Devnet {
    #[command(after_help = EXAMPLES)]
    Evm(Evm),
}

/// A QBFT ledger with JSON-RPC over HTTP on 127.0.0.1.
#[derive(Debug, clap::Args)]
pub(crate) struct Evm {
    /// Validators at genesis, 1 to 100.
    #[arg(long, default_value_t = 4)]
    validators: usize,
    /// Time between blocks in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    block_milliseconds: u64,
    /// Port on 127.0.0.1; 0 picks a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Any text; all keys and the genesis hash come from it.
    #[arg(long, default_value = "hufu devnet")]
    seed: String,
}

pub(crate) fn run(command: &Devnet, out: &Output) -> anyhow::Result<Answer> {
    let Devnet::Evm(args) = command;
    let config = DevnetConfig {
        validators: args.validators,
        block_time: Some(Duration::from_millis(args.block_milliseconds)),
        port: args.port,
        seed: *Digest::of(args.seed.as_bytes()).as_bytes(),
        ..DevnetConfig::default()
    };
    let epoch = config.epoch;
    let mut shown = Ok(());
    let ready = |devnet: &hufu_evm_devnet::Devnet| shown = announce(devnet, epoch, out);
    running::runtime()?
        .block_on(hufu_evm_devnet::run(config, ready, running::asked_to_stop()))
        .map_err(|error| misuse(format!("the ledger did not start: {error}"), "see: hufu devnet evm --help"))?;
    shown?;
    Ok(Answer::Yes)
}

fn announce(devnet: &hufu_evm_devnet::Devnet, epoch: u64, out: &Output) -> anyhow::Result<()> {
    let hash = format!("0x{}", hex::encode(devnet.genesis_hash()));
    let validators: Vec<String> = devnet.validators().iter().map(|it| format!("0x{}", hex::encode(it))).collect();
    let ledger = LedgerId::of_genesis("evm", &devnet.genesis_hash())?;
    let chain_id = devnet.chain_id();
    let anchor = format!(
        "[[ledger]]\nid = \"{ledger}\"\nanchor = {{ family = \"evm\", consensus = \"qbft\", chain_id = {chain_id}, \
         height = 0, hash = \"{hash}\", epoch = {epoch} }}"
    );
    let value = json!({
        "url": devnet.url(), "chainId": chain_id, "ledger": ledger, "genesisHash": hash, "validators": validators,
        "policyToml": anchor,
    });
    out.show(&value, || {
        format!(
            "JSON-RPC     {}\nchain id     {chain_id}\ngenesis      {hash}\nvalidators   {}\n\n\
             To trust this ledger, put this into policy.toml:\n\n{anchor}\n\nctrl-c stops it.",
            devnet.url(),
            validators.join("\n             "),
        )
    })?;
    out.flush()
}
