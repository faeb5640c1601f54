//! Four real validators of CometBFT on loopback, each with an application whose every key can be proven.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::guard::RealNodes;
use crate::ports;
use crate::rpc::Rpc;
use crate::wait::until;

/// Validators of a network.
const VALIDATORS: usize = 4;
/// Processes start, find each other and make blocks; after a restart the application is played all blocks again.
const PATIENCE: Duration = Duration::from_secs(40);
/// Lines of a node's log that a failing test shows.
const TAIL: usize = 12;

/// The folders of a network before its first start: keys and genesis. Networks of one such set are each other's forks.
pub(crate) struct Homes {
    programs: PathBuf,
    folder: Arc<TempDir>,
    pub(crate) chain_id: String,
}

impl Homes {
    /// Makes keys and genesis. A block follows the one before after `pause`.
    pub(crate) async fn new(real: &RealNodes, chain_id: &str, pause: &str) -> Self {
        let homes = Self {
            programs: real.program().to_owned(),
            folder: Arc::new(tempfile::Builder::new().prefix("hufu-cometbft.").tempdir().unwrap()),
            chain_id: chain_id.to_owned(),
        };
        let made = homes.folder.path().join("made");
        let count = VALIDATORS.to_string();
        homes
            .cometbft(&[
                "testnet",
                "--v",
                &count,
                "--o",
                made.to_str().unwrap(),
                "--populate-persistent-peers=false",
                "--starting-ip-address",
                "127.0.0.1",
            ])
            .await;
        for index in 0..VALIDATORS {
            homes.configure(&made.join(format!("node{index}/config")), pause);
        }
        homes
    }

    fn configure(&self, config: &Path, pause: &str) {
        let file = config.join("config.toml");
        let settings = [
            ("timeout_commit", pause),
            // A proposer that is down is passed over after this long.
            ("timeout_propose", "500ms"),
            ("addr_book_strict", ""),
            ("allow_duplicate_ip", ""),
        ];
        let lines = fs::read_to_string(&file).unwrap();
        let changed: Vec<String> = lines
            .lines()
            .map(|line| match settings.iter().find(|(name, _)| line.starts_with(&format!("{name} = "))) {
                Some(("addr_book_strict", _)) => "addr_book_strict = false".to_owned(),
                Some(("allow_duplicate_ip", _)) => "allow_duplicate_ip = true".to_owned(),
                Some((name, value)) => format!("{name} = \"{value}\""),
                None => line.to_owned(),
            })
            .collect();
        fs::write(&file, changed.join("\n")).unwrap();
        let file = config.join("genesis.json");
        let mut genesis: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        genesis["chain_id"] = json!(self.chain_id);
        fs::write(&file, genesis.to_string()).unwrap();
    }

    async fn cometbft(&self, args: &[&str]) -> String {
        let output =
            Command::new(self.programs.join("cometbft")).args(args).stdin(Stdio::null()).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cometbft {} ended with {}: {said}", args.join(" "), output.status);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A network of these keys that has made no block yet, under a name of its own.
    pub(crate) async fn network(&self, name: &str) -> Network {
        let (mut nodes, mut peers) = (Vec::new(), Vec::new());
        for index in 0..VALIDATORS {
            let home = self.folder.path().join(name).join(format!("node{index}"));
            copy(&self.folder.path().join(format!("made/node{index}")), &home);
            let text = home.to_str().unwrap();
            let id = self.cometbft(&["show-node-id", "--home", text]).await;
            let key: Value = serde_json::from_str(&self.cometbft(&["show-validator", "--home", text]).await).unwrap();
            let node = Node::new(format!("{name}{index}"), self.programs.clone(), home, key["value"].as_str().unwrap());
            peers.push(format!("{id}@127.0.0.1:{}", node.p2p));
            nodes.push(node);
        }
        Network { nodes, peers: peers.join(","), _folder: Arc::clone(&self.folder) }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// One validator with its application.
struct Node {
    name: String,
    programs: PathBuf,
    home: PathBuf,
    /// The validator's public key, base64.
    key: String,
    rpc: Rpc,
    p2p: u16,
    app: u16,
    rpc_port: u16,
    running: Mutex<Option<[Child; 2]>>,
}

impl Node {
    fn new(name: String, programs: PathBuf, home: PathBuf, key: &str) -> Self {
        let (p2p, app, rpc_port) = (ports::free(), ports::free(), ports::free());
        let rpc = Rpc::new(format!("http://127.0.0.1:{rpc_port}"));
        Self { name, programs, home, key: key.to_owned(), rpc, p2p, app, rpc_port, running: Mutex::new(None) }
    }

    fn start(&self, peers: &str) -> u32 {
        let log = || OpenOptions::new().create(true).append(true).open(self.home.join("node.log")).unwrap();
        let address = |port: u16| format!("tcp://127.0.0.1:{port}");
        let spawn = |program: &str, args: &[&str]| {
            Command::new(self.programs.join(program))
                .args(args)
                .stdin(Stdio::null())
                .stdout(log())
                .stderr(log())
                .kill_on_drop(true)
                .spawn()
                .unwrap()
        };
        let (app, home) = (address(self.app), self.home.to_str().unwrap());
        let application = spawn("notices-app", &[&app]);
        let (p2p, rpc) = (address(self.p2p), address(self.rpc_port));
        let node = spawn(
            "cometbft",
            &[
                "start",
                "--home",
                home,
                "--proxy_app",
                &app,
                "--p2p.laddr",
                &p2p,
                "--rpc.laddr",
                &rpc,
                "--p2p.persistent_peers",
                peers,
            ],
        );
        let pid = node.id().unwrap();
        let before = self.running.lock().unwrap().replace([application, node]);
        assert!(before.is_none(), "{} is running already", self.name);
        pid
    }

    async fn kill(&self) -> u32 {
        let [mut application, mut node] =
            self.running.lock().unwrap().take().unwrap_or_else(|| panic!("{} is not running", self.name));
        let pid = node.id().unwrap_or_else(|| panic!("{} ended by itself: {}", self.name, self.log_tail()));
        node.kill().await.unwrap();
        application.kill().await.unwrap();
        pid
    }

    fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.home.join("node.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- end of the log of {}\n{}", self.name, self.log_tail());
        }
    }
}

/// A network. Dropping it kills every process.
pub(crate) struct Network {
    nodes: Vec<Node>,
    peers: String,
    _folder: Arc<TempDir>,
}

impl Network {
    /// Starts every validator and waits for the second block.
    pub(crate) async fn start(&self) {
        for node in 0..self.nodes.len() {
            self.start_node(node);
        }
        self.reach(2).await;
    }

    /// Starts one validator; returns its process id.
    pub(crate) fn start_node(&self, node: usize) -> u32 {
        self.nodes[node].start(&self.peers)
    }

    /// SIGKILL to a validator and its application; returns the validator's process id.
    pub(crate) async fn kill(&self, node: usize) -> u32 {
        self.nodes[node].kill().await
    }

    /// Where a node answers.
    pub(crate) fn url(&self, node: usize) -> String {
        self.nodes[node].rpc.url().to_owned()
    }

    /// The last height of the first node.
    pub(crate) async fn height(&self) -> u64 {
        until("a height", PATIENCE, async || self.height_now().await).await
    }

    async fn height_now(&self) -> Result<u64, String> {
        let status = self.nodes[0].rpc.call("status", json!({})).await?;
        Ok(status["sync_info"]["latest_block_height"].as_str().unwrap().parse().unwrap())
    }

    /// Waits for a height at the first node; returns the one that it has then.
    pub(crate) async fn reach(&self, height: u64) -> u64 {
        until(&format!("height {height}"), PATIENCE, async || match self.height_now().await? {
            now if now >= height => Ok(now),
            now => Err(format!("{now}")),
        })
        .await
    }

    /// Hash of a block, as the first node spells it.
    pub(crate) async fn hash(&self, height: u64) -> String {
        let commit = self.nodes[0].rpc.call("commit", json!({ "height": height.to_string() })).await.unwrap();
        commit["signed_header"]["commit"]["block_id"]["hash"].as_str().unwrap().to_owned()
    }

    /// How many validators voted for a block.
    pub(crate) async fn votes(&self, height: u64) -> usize {
        let commit = self.nodes[0].rpc.call("commit", json!({ "height": height.to_string() })).await.unwrap();
        let entries = commit["signed_header"]["commit"]["signatures"].as_array().unwrap().clone();
        entries.iter().filter(|entry| entry["block_id_flag"] == 2).count()
    }

    /// Addresses of those who sign the height above the last, with their powers.
    pub(crate) async fn validators(&self) -> Vec<(String, u64)> {
        let answer = self.nodes[0].rpc.call("validators", json!({ "per_page": "100" })).await.unwrap();
        let entries = answer["validators"].as_array().unwrap();
        let read = |entry: &Value| {
            let power = entry["voting_power"].as_str().unwrap().parse().unwrap();
            (entry["address"].as_str().unwrap().to_owned(), power)
        };
        entries.iter().map(read).collect()
    }

    /// Headers, votes and validators of all heights up to one, as the first node answers, one a line.
    pub(crate) async fn capture(&self, last: u64) -> String {
        let mut lines = String::new();
        for height in 1..=last {
            for (method, params) in [
                ("commit", json!({ "height": height.to_string() })),
                ("validators", json!({ "height": height.to_string(), "per_page": "100" })),
            ] {
                let answer = self.nodes[0].rpc.call(method, params).await.unwrap();
                lines += &(json!({ "result": answer }).to_string() + "\n");
            }
        }
        lines
    }

    /// Sends a transaction to the first node and waits until it is in a block; returns the block's height.
    pub(crate) async fn send(&self, tx: &[u8]) -> u64 {
        let text = STANDARD.encode(tx);
        let rpc = &self.nodes[0].rpc;
        let sent = until("a node to take a transaction", PATIENCE, async || {
            let answer = rpc.call("broadcast_tx_sync", json!({ "tx": text })).await?;
            assert_eq!(answer["code"], 0, "{answer}");
            Ok(answer["hash"].as_str().unwrap().to_owned())
        })
        .await;
        let hash = STANDARD.encode(hex::decode(sent).unwrap());
        until("a transaction to be in a block", PATIENCE, async || {
            let found = rpc.call("tx", json!({ "hash": hash, "prove": false })).await?;
            assert_eq!(found["tx_result"]["code"], 0, "{found}");
            Ok(found["height"].as_str().unwrap().parse().unwrap())
        })
        .await
    }

    /// Changes a validator's power; 0 removes it.
    pub(crate) async fn set_power(&self, node: usize, power: u64) -> u64 {
        self.send(format!("val=ed25519!{}!{power}", self.nodes[node].key).as_bytes()).await
    }
}
