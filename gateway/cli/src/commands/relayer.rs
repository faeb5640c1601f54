//! `hufu relayer`: the courier, until it is asked to stop.

use std::path::PathBuf;
use std::sync::Arc;

use hufu_relayer::{Relayer, RelayerConfig, SystemClock};
use tokio_util::sync::CancellationToken;

use crate::answer::{Answer, misuse};
use crate::commands::running::{self, LogFormat};
use crate::files;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu relayer --config relayer.toml
  hufu relayer --config relayer.toml --log-format json

relayer.toml:
  [relayer]
  name = \"city-1\"
  certificate = \"relayer.pem\"
  key = \"relayer.key\"
  authorities = \"authorities.pem\"
  monitoring = \"127.0.0.1:9464\"

  [[pair]]
  origin = \"https://land.example:7001\"
  destination = \"https://tax.example:7001\"";

/// Carry pages between gateways. It holds no key that makes anything true; run two, kill one, nothing is lost.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The courier's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How logs are written to stderr. RUST_LOG chooses what is logged.
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let text = files::read_text(&args.config)?;
    let config = RelayerConfig::parse(&args.config.display().to_string(), &text)
        .map_err(|fault| misuse(fault.to_string(), "mend that line; an example stands in: hufu relayer --help"))?;
    running::log(args.log_format);
    let courier = Relayer::new(config, Arc::new(SystemClock))
        .map_err(|fault| misuse(fault.to_string(), "see certificate, key and authorities in the configuration"))?;
    out.flush()?;
    running::runtime()?.block_on(async {
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let asked_to_stop = running::listening_for_stop().await;
        tokio::spawn(async move {
            asked_to_stop.await;
            stop.cancel();
        });
        courier.run(shutdown).await
    })?;
    Ok(Answer::Yes)
}
