//! `hufu gateway`: a gateway, until it is asked to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use hufu_gateway_server::clock::{Clock as _, SystemClock};
use hufu_gateway_server::config::{ConfigFault, GatewayConfig, TlsMaterials};
use hufu_gateway_server::gateway::{Gateway, StartFault};
use hufu_gateway_server::http::Server;
use hufu_gateway_server::http::server::Addresses;
use hufu_gateway_server::plan;
use hufu_gateway_server::telemetry::Metrics;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::answer::{Answer, misuse};
use crate::commands::running::{self, LogFormat};
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu gateway --config gateway.toml
  hufu gateway --config gateway.toml --log-format json

Once it listens it prints one line of JSON on stdout: its name, process id, and where it listens (a port 0 of the
configuration is then the real one). Logs go to stderr. SIGTERM or ctrl-c: running requests are finished, then it ends with
status 0; a second one ends it at once.";

/// Run a gateway: read its ledgers, publish its lanes, take in what others publish.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The gateway's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How logs are written to stderr. RUST_LOG chooses what is logged.
    #[arg(long, value_enum, default_value_t = LogFormat::Human)]
    log_format: LogFormat,
}

/// For running requests to finish: a long poll takes 30 s at most, and is answered at once when the gateway goes down.
const DRAIN: Duration = Duration::from_secs(20);
/// For a step that is under way to be stored.
const LAST_STEPS: Duration = Duration::from_secs(10);
/// The status of a process that a second signal ended (128 + SIGINT, as shells write it).
const INTERRUPTED: i32 = 130;

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let config = GatewayConfig::load(&args.config).map_err(|fault| args.faulty(&[fault.to_string()]))?;
    // Libraries that choose a provider by themselves find this one; another is not in the build.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    running::log(args.log_format);
    running::runtime()?.block_on(serve(args, config, out))?;
    Ok(Answer::Yes)
}

impl Args {
    /// Everything that is wrong, a line each.
    fn faulty(&self, faults: &[String]) -> anyhow::Error {
        let file = self.config.display();
        let message = format!("the gateway does not start:\n{}", faults.join("\n"));
        misuse(message, format!("mend it and check with: hufu check-config {file}"))
    }

    fn faults(&self, faults: &[ConfigFault]) -> anyhow::Error {
        self.faulty(&faults.iter().map(ToString::to_string).collect::<Vec<_>>())
    }
}

async fn serve(args: &Args, config: GatewayConfig, out: &Output) -> anyhow::Result<()> {
    let clock = Arc::new(SystemClock);
    // The same look as `hufu check-config`: an expired certificate or a missing database stops a start too.
    let faults = plan::check(&config, clock.now());
    if !faults.is_empty() {
        return Err(args.faults(&faults));
    }
    let materials = config.materials().map_err(|faults| args.faults(&faults))?;
    let tls = TlsMaterials {
        certificates: materials.tls.certificates.clone(),
        key: materials.tls.key.clone_key(),
        authorities: materials.tls.authorities.clone(),
    };
    let metrics = Metrics::new().context("metrics")?;
    let assembled =
        Gateway::assemble(&config, materials, clock, Arc::new(metrics.clone())).await.map_err(|fault| match fault {
            StartFault::Configuration(faults) => args.faults(&faults),
            other => anyhow::Error::new(other),
        })?;
    let server = Server::start(&config, &tls, Arc::clone(&assembled.gateway) as _, metrics).await?;
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    assembled.start(&tasks, &stop);
    let asked_to_stop = running::listening_for_stop().await;
    announce(&config, server.addresses(), out)?;

    let failed = tokio::select! {
        () = asked_to_stop => None,
        fault = assembled.store_failed() => Some(fault),
    };
    tracing::info!("going down: running requests are finished first; a second signal ends at once");
    tokio::spawn(async {
        running::asked_to_stop().await;
        std::process::exit(INTERRUPTED);
    });
    let drained = server.shutdown(DRAIN).await;
    stop.cancel();
    tasks.close();
    let finished = tokio::time::timeout(LAST_STEPS, tasks.wait()).await.is_ok();
    assembled.close().await;
    tracing::info!(drained, finished, "down");
    match failed {
        // After a failed write nothing that is in memory can be believed; the next start recovers from the file.
        Some(fault) => {
            Err(anyhow::Error::new(fault).context("the database cannot be written: mend the disk and start again"))
        }
        None => Ok(()),
    }
}

/// One line of JSON, with or without `--json`: whoever starts a gateway learns its ports from it.
fn announce(config: &GatewayConfig, at: Addresses, out: &Output) -> anyhow::Result<()> {
    let line = json!({
        "gateway": config.name,
        "pid": std::process::id(),
        "listening": { "peers": at.peers, "applications": at.applications, "monitoring": at.monitoring },
    });
    out.show(&line, || line.to_string())?;
    out.flush()
}
