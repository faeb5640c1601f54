//! `hufu ledger anchor`: an operator's new anchor, into the policy and, where a head is stored, into the database.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use hufu_adapters_light_client::DynLightClient;
use hufu_gateway_server::clock::{Clock as _, SystemClock};
use hufu_gateway_server::config::GatewayConfig;
use hufu_gateway_server::families;
use hufu_gateway_store::{Act, Store};
use hufu_schemas_core::{Height, LedgerId};
use serde_json::{Value, json};

use crate::answer::{Answer, misuse};
use crate::commands::running;
use crate::files;
use crate::output::Output;
use crate::policy_file::PolicyFile;

pub(super) const EXAMPLES: &str = "\
Examples:
  systemctl stop hufu-gateway
  hufu ledger anchor evm:00000000000000000000000000000000 anchor.toml --config gateway.toml --reason \"head expired\"
  systemctl start hufu-gateway

anchor.toml, as hufu audit takes it too:
  family = \"evm\"
  consensus = \"qbft\"
  height = 120000
  hash = \"0x…\"        a block that you know from a source you trust, never `latest` from a node
  genesis = \"0x…\"

With --policy the anchor is written into the policy file alone: enough before the first start. Where a gateway has followed
the ledger already, its database holds a head, and the anchor in the policy is not looked at any more: give --config and
STOP THE GATEWAY FIRST. The stored head is then replaced by the anchor, blocks and headers from the anchor's height on are
forgotten, and the change stands in the operator log. Records that were admitted stay. A frozen ledger stays frozen: see
hufu ledger thaw.";

/// Anchor a ledger anew: write the anchor into the policy and, with --config and the gateway stopped, replace the stored
/// head by it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The ledger; the anchor must be one of it.
    ledger: LedgerId,
    /// The anchor, in TOML.
    anchor: PathBuf,
    /// The policy file.
    #[arg(long, value_name = "FILE", required_unless_present = "config", conflicts_with = "config")]
    policy: Option<PathBuf>,
    /// The gateway's configuration, which names policy and database. The gateway must be stopped.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Why, for the operator log.
    #[arg(long, default_value = "re-anchored by an operator")]
    reason: String,
}

pub(super) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let anchor = read_anchor(args)?;
    let client = client(args, &anchor)?;
    let config = args.config()?;
    let path = match (&args.policy, &config) {
        (Some(path), _) => path.clone(),
        (None, Some(config)) => config.policy.path.clone(),
        (None, None) => return Err(misuse("expected --policy FILE or --config FILE, got neither", "name one of them")),
    };
    if let Some(config) = &config {
        require_stopped(config)?;
    }
    let mut file = PolicyFile::read(&path)?;
    let changed = file.anchor(&args.ledger, &anchor)?;
    let head_replaced = running::runtime()?.block_on(async {
        // Opened before anything is written: a database that cannot be used leaves both as they were.
        let store = match &config {
            Some(config) => Some(Store::open(&config.database.path).await?),
            None => None,
        };
        if changed {
            file.write()?;
        }
        let Some(store) = store else { return anyhow::Ok(false) };
        let replaced = replace_head(&store, args, client.as_ref()).await;
        store.close().await;
        replaced
    })?;
    tell(args, &path, changed, head_replaced, out)
}

impl Args {
    fn config(&self) -> anyhow::Result<Option<GatewayConfig>> {
        let Some(path) = &self.config else { return Ok(None) };
        let next = format!("see: hufu check-config {}", path.display());
        GatewayConfig::load(path).map(Some).map_err(|fault| misuse(fault.to_string(), next))
    }
}

fn read_anchor(args: &Args) -> anyhow::Result<Value> {
    let text = files::read_text(&args.anchor)?;
    toml::from_str(&text).map_err(|fault| {
        misuse(format!("{}: {fault}", args.anchor.display()), "see the example in: hufu ledger anchor --help")
    })
}

/// The light client that the anchor gives; the family says what is wrong with it.
fn client(args: &Args, anchor: &Value) -> anyhow::Result<Box<dyn DynLightClient>> {
    let refused = |words: String| {
        misuse(format!("{}: {words}", args.anchor.display()), "see the example in: hufu ledger anchor --help")
    };
    let client = families::families().client(anchor).map_err(|fault| refused(fault.to_string()))?;
    if *client.ledger() != args.ledger {
        return Err(refused(format!("expected an anchor of ledger {}, got one of {}", args.ledger, client.ledger())));
    }
    Ok(client)
}

/// Two writers of one head would each hold the other's for a fault.
fn require_stopped(config: &GatewayConfig) -> anyhow::Result<()> {
    let mut at = config.listen.peers;
    if at.ip().is_unspecified() {
        let here = if at.is_ipv4() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { IpAddr::V6(Ipv6Addr::LOCALHOST) };
        at = SocketAddr::new(here, at.port());
    }
    // A port left to the system cannot be looked at; --help says what to do first.
    if at.port() == 0 || TcpStream::connect_timeout(&at, Duration::from_secs(2)).is_err() {
        return Ok(());
    }
    let message = format!("a gateway is listening on {at}: its head cannot be replaced while it runs");
    Err(misuse(message, "stop the gateway, give the command again, start it"))
}

/// Whether there was a head to replace. Without one the gateway begins at the policy's anchor by itself.
async fn replace_head(store: &Store, args: &Args, client: &dyn DynLightClient) -> anyhow::Result<bool> {
    if store.head(&args.ledger).await?.is_none() {
        return Ok(false);
    }
    let who = std::env::var("USER").unwrap_or_else(|_| "operator".to_owned());
    let act = Act { who, at: SystemClock.now(), why: args.reason.clone() };
    let height = height(client)?;
    store.reanchor_ledger(&args.ledger, height, client.anchor(), act).await?;
    Ok(true)
}

/// The height of the anchor's block: before its header was seen, it is what the client wants.
fn height(client: &dyn DynLightClient) -> anyhow::Result<Height> {
    let facts = client.describe(&client.anchor()).accepted();
    let facts = facts.ok_or_else(|| anyhow::anyhow!("the light client does not know its own anchor"))?;
    Ok(facts.last.map_or(facts.wants, |(height, _)| height))
}

fn tell(args: &Args, policy: &PathBuf, changed: bool, head_replaced: bool, out: &Output) -> anyhow::Result<Answer> {
    let ledger = &args.ledger;
    let value = json!({ "ledger": ledger, "policy": policy, "changed": changed, "headReplaced": head_replaced });
    out.show(&value, || {
        let policy = policy.display();
        let written = match changed {
            true => format!("{policy}: ledger {ledger} is anchored anew"),
            false => format!("{policy}: nothing changed, ledger {ledger} is anchored there already"),
        };
        let head = match (head_replaced, args.config.is_some()) {
            (true, _) => "The stored head was replaced by the anchor. Start the gateway.",
            (false, true) => "No head was stored: the gateway begins at the anchor.",
            (false, false) => "Where a gateway has followed this ledger before, stop it and give --config instead.",
        };
        format!("{written}\n{head}")
    })?;
    Ok(Answer::Yes)
}
