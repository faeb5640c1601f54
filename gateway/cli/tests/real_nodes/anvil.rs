//! A real development node that seals nothing, and reorganises when told to.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::guard::RealNodes;
use crate::ports;
use crate::registry::{self, Call};
use crate::rpc::{self, Rpc, hex_bytes, hex_quantity};
use crate::wait::until;

/// Chain id. It proves nothing.
pub(crate) const CHAIN_ID: u64 = 20_213;
const START: Duration = Duration::from_secs(30);
const BLOCKS: Duration = Duration::from_secs(30);

/// A running node, a second a block. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Anvil {
    rpc: Rpc,
    account: String,
    genesis_hash: String,
    folder: TempDir,
    _child: Child,
}

impl Anvil {
    /// Starts it. Returns when it answers.
    pub(crate) async fn start(real: &RealNodes) -> Self {
        let folder = tempfile::Builder::new().prefix("hufu-anvil.").tempdir().unwrap();
        let port = ports::free();
        let log = File::create(folder.path().join("node.log")).unwrap();
        let child = Command::new(real.program())
            .args(["--host", "127.0.0.1", "--port", &port.to_string(), "--chain-id", &CHAIN_ID.to_string()])
            .args(["--block-time", "1"])
            .stdin(Stdio::null())
            .stderr(log.try_clone().unwrap())
            .stdout(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let rpc = Rpc::new(format!("http://127.0.0.1:{port}"));
        let genesis = until("the node to answer", START, async || {
            let block = rpc.call("eth_getBlockByNumber", json!(["0x0", false])).await?;
            block["hash"].as_str().map(str::to_owned).ok_or_else(|| format!("got {block}"))
        })
        .await;
        let accounts = rpc.call("eth_accounts", json!([])).await.unwrap();
        println!("anvil: process {pid}, {}, genesis {genesis}", rpc.url());
        let account = accounts[0].as_str().unwrap().to_owned();
        Self { rpc, account, genesis_hash: genesis, folder, _child: child }
    }

    pub(crate) fn url(&self) -> String {
        self.rpc.url().to_owned()
    }

    /// Hash of block 0, `0x…`.
    pub(crate) fn genesis_hash(&self) -> &str {
        &self.genesis_hash
    }

    pub(crate) async fn height(&self) -> u64 {
        self.rpc.quantity("eth_blockNumber", json!([])).await.unwrap()
    }

    pub(crate) async fn wait_for_height(&self, due: u64) {
        until(&format!("height {due}"), BLOCKS, async || match self.height().await {
            height if height >= due => Ok(()),
            height => Err(format!("height {height}")),
        })
        .await;
    }

    /// Deploys the registry contract; its address.
    pub(crate) async fn deploy_registry(&self) -> String {
        let receipt = self.send(None, &registry::bytecode()).await;
        receipt["contractAddress"].as_str().expect("a contract's address").to_owned()
    }

    /// Makes one call and waits until it is in a block, whose height it returns.
    pub(crate) async fn emit(&self, registry: &str, call: &Call) -> u64 {
        let receipt = self.send(Some(registry), &call.data).await;
        assert_eq!(receipt["logs"][0]["topics"][0], call.topic.as_str(), "{receipt}");
        rpc::quantity(&receipt["blockNumber"]).unwrap()
    }

    async fn send(&self, to: Option<&str>, data: &[u8]) -> Value {
        let gas = hex_quantity(3_000_000);
        let transaction = json!({ "from": self.account, "to": to, "data": hex_bytes(data), "gas": gas });
        let hash = self.rpc.call("eth_sendTransaction", json!([transaction])).await.unwrap();
        let receipt = until("the transaction to be in a block", BLOCKS, async || {
            let receipt = self.rpc.call("eth_getTransactionReceipt", json!([hash])).await?;
            if receipt.is_null() { Err("not yet".to_owned()) } else { Ok(receipt) }
        })
        .await;
        assert_eq!(receipt["status"], "0x1", "{receipt}");
        receipt
    }

    /// Puts as many other blocks in place of the last `depth`, without their transactions.
    pub(crate) async fn reorganise(&self, depth: u64) {
        let before = self.height().await;
        self.rpc.call("anvil_reorg", json!([depth, []])).await.unwrap();
        println!("anvil: the last {depth} of {before} blocks are other ones now");
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("node.log")
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            println!("--- end of the node's log\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
        }
    }
}
