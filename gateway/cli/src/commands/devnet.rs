//! `hufu devnet`: a small ledger in this process, to try things on.

use std::time::Duration;

use clap::Subcommand;
use hufu_schemas_core::{Digest, LedgerId};
use serde_json::json;

use super::running;
use crate::answer::{Answer, misuse};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu devnet evm                                          four validators, a block a second, a free port
  hufu devnet evm --validators 7 --block-milliseconds 200 --port 8545
  hufu devnet evm --seed land                              the same keys and genesis hash each time
  hufu devnet cometbft --port 26657                        put a notice with:
    curl 'http://127.0.0.1:26657/broadcast_tx_commit?tx=\"put%20notice/1=in-force\"'";

/// Run a development ledger until ctrl-c. Its keys come from the seed: never put anything of value on it.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Devnet {
    #[command(after_help = EXAMPLES)]
    Evm(Evm),
    #[command(after_help = EXAMPLES)]
    Cometbft(Cometbft),
}

/// A QBFT ledger with JSON-RPC over HTTP on 127.0.0.1.
#[derive(Debug, clap::Args)]
pub(crate) struct Evm {
    #[command(flatten)]
    common: Common,
}

/// A CometBFT ledger with its RPC over HTTP on 127.0.0.1, and an application that keeps notices by key.
#[derive(Debug, clap::Args)]
pub(crate) struct Cometbft {
    #[command(flatten)]
    common: Common,
    /// Name of the network, 1 to 50 letters.
    #[arg(long, default_value = "hufu-devnet")]
    chain_id: String,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// Validators at genesis, at least 1; at most 100 of an EVM ledger, 300 of a CometBFT one.
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

impl Common {
    fn seed(&self) -> [u8; 32] {
        *Digest::of(self.seed.as_bytes()).as_bytes()
    }

    const fn block_time(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.block_milliseconds))
    }
}

pub(crate) fn run(command: &Devnet, out: &Output) -> anyhow::Result<Answer> {
    match command {
        Devnet::Evm(args) => evm(args, out),
        Devnet::Cometbft(args) => cometbft(args, out),
    }
}

fn evm(Evm { common }: &Evm, out: &Output) -> anyhow::Result<Answer> {
    let config = hufu_evm_devnet::DevnetConfig {
        validators: common.validators,
        block_time: common.block_time(),
        port: common.port,
        seed: common.seed(),
        ..Default::default()
    };
    let epoch = config.epoch;
    let mut shown = Ok(());
    let ready = |devnet: &hufu_evm_devnet::Devnet| shown = announce_evm(devnet, epoch, out);
    running::runtime()?
        .block_on(async { hufu_evm_devnet::run(config, ready, running::listening_for_stop().await).await })
        .map_err(|error| misuse(format!("the ledger did not start: {error}"), "see: hufu devnet evm --help"))?;
    shown?;
    Ok(Answer::Yes)
}

fn announce_evm(devnet: &hufu_evm_devnet::Devnet, epoch: u64, out: &Output) -> anyhow::Result<()> {
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

fn cometbft(args: &Cometbft, out: &Output) -> anyhow::Result<Answer> {
    let common = &args.common;
    let config = hufu_cometbft_devnet::DevnetConfig {
        chain_id: args.chain_id.clone(),
        validators: common.validators,
        block_time: common.block_time(),
        port: common.port,
        seed: common.seed(),
        ..Default::default()
    };
    let mut shown = Ok(());
    let ready = |devnet: &hufu_cometbft_devnet::Devnet| shown = announce_cometbft(devnet, out);
    running::runtime()?
        .block_on(async { hufu_cometbft_devnet::run(config, ready, running::listening_for_stop().await).await })
        .map_err(|error| misuse(format!("the ledger did not start: {error}"), "see: hufu devnet cometbft --help"))?;
    shown?;
    Ok(Answer::Yes)
}

fn announce_cometbft(devnet: &hufu_cometbft_devnet::Devnet, out: &Output) -> anyhow::Result<()> {
    let hash = hex::encode_upper(devnet.genesis_hash());
    let ledger = LedgerId::of_genesis("cometbft", &devnet.genesis_hash())?;
    let chain_id = devnet.chain_id();
    let address = |(key, _): &([u8; 32], i64)| hex::encode_upper(hufu_cometbft_devnet::keys::address(key));
    let validators: Vec<String> = devnet.validators().iter().map(address).collect();
    let trusting_period = hufu_cometbft_devnet::TRUSTING_PERIOD;
    // As TOML quotes text: a chain id may hold any letter.
    let quoted = toml::Value::String(chain_id.clone());
    let anchor = format!(
        "[[ledger]]\nid = \"{ledger}\"\nanchor = {{ family = \"cometbft\", chain_id = {quoted}, height = 1, \
         hash = \"{hash}\", trusting_period = {trusting_period} }}"
    );
    let value = json!({
        "url": devnet.url(), "chainId": chain_id, "ledger": ledger, "genesisHash": hash, "validators": validators,
        "policyToml": anchor,
    });
    out.show(&value, || {
        format!(
            "RPC          {}\nchain id     {chain_id}\nfirst block  {hash}\nvalidators   {}\n\n\
             To trust this ledger, put this into policy.toml:\n\n{anchor}\n\nctrl-c stops it.",
            devnet.url(),
            validators.join("\n             "),
        )
    })?;
    out.flush()
}
