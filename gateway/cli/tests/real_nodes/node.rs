//! One node: its folder, its ports, its process.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use tokio::process::{Child, Command};

use crate::ports;
use crate::rpc::Rpc;

/// Lines of a node's log that a failing test shows.
const TAIL: usize = 15;

/// One signer of a Clique network.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) signer: String,
    pub(crate) rpc: Rpc,
    geth: PathBuf,
    folder: PathBuf,
    http: u16,
    engine: u16,
    child: Mutex<Option<Child>>,
}

/// What every node of one network is told.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    pub(crate) network: u64,
    pub(crate) peers: usize,
    /// Unlocked beside the node's own signer.
    pub(crate) account: String,
    pub(crate) password: PathBuf,
}

impl Node {
    /// A node that is not started yet. `folder` holds its keys and the genesis state.
    pub(crate) fn new(name: String, signer: String, geth: &Path, folder: PathBuf, peers: usize) -> Self {
        let (http, engine) = (ports::free(), ports::free());
        // There are no flags for these two: the address on which peers are awaited (the flag for the port means every
        // address), and the share of peers that a node may dial itself, a third by default. With all of it nobody may
        // call in but trusted peers, which all of them are. A greater number of peers would let one in; but a node
        // that has fewer than it may have waits ten seconds before it catches up with those.
        let config = format!(
            "[Node.P2P]\nListenAddr = \"127.0.0.1:{}\"\nDialRatio = 1\nMaxPeers = {peers}\nNoDiscovery = true\n",
            ports::free()
        );
        std::fs::write(folder.join("node.toml"), config).unwrap();
        let rpc = Rpc::new(format!("http://127.0.0.1:{http}"));
        Self { name, signer, rpc, geth: geth.to_owned(), folder, http, engine, child: Mutex::new(None) }
    }

    /// Starts the process and returns its id. It does not seal yet.
    pub(crate) fn spawn(&self, shared: &Shared) -> u32 {
        let log = || -> File { OpenOptions::new().create(true).append(true).open(self.log_path()).unwrap() };
        let child = Command::new(&self.geth)
            .arg("--config")
            .arg(self.folder.join("node.toml"))
            .arg("--datadir")
            .arg(&self.folder)
            .arg("--password")
            .arg(&shared.password)
            .args(["--unlock", &format!("{},{}", self.signer, shared.account), "--allow-insecure-unlock", "--lightkdf"])
            .args(["--networkid", &shared.network.to_string(), "--maxpeers", &shared.peers.to_string()])
            .args(["--nodiscover", "--nat", "none", "--netrestrict", "127.0.0.0/8", "--ipcdisable"])
            // Every block's state goes to disk at once: a killed node goes on where it was, not at genesis.
            .args(["--syncmode", "full", "--gcmode", "archive", "--state.scheme", "hash", "--snapshot=false"])
            .args(["--cache", "64", "--verbosity", "3", "--miner.etherbase", &self.signer])
            .args(["--http", "--http.addr", "127.0.0.1", "--http.port", &self.http.to_string()])
            .args(["--http.api", "eth,net,debug,clique,admin,miner"])
            .args(["--authrpc.addr", "127.0.0.1", "--authrpc.port", &self.engine.to_string()])
            .stdin(Stdio::null())
            .stdout(log())
            .stderr(log())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let before = self.child.lock().unwrap().replace(child);
        assert!(before.is_none(), "{} is running already", self.name);
        pid
    }

    /// SIGKILL. Returns the id of the process that is gone.
    pub(crate) async fn kill(&self) -> u32 {
        let mut child = self.child.lock().unwrap().take().unwrap_or_else(|| panic!("{} is not running", self.name));
        let pid = child.id().unwrap_or_else(|| panic!("{} ended by itself", self.name));
        child.kill().await.unwrap();
        pid
    }

    /// Whether it was started and not killed since.
    pub(crate) fn is_running(&self) -> bool {
        self.child.lock().unwrap().is_some()
    }

    /// If the process has ended by itself: how. There is no point in waiting for its answer then.
    pub(crate) fn ended(&self) -> Option<String> {
        let mut child = self.child.lock().unwrap();
        let status = child.as_mut()?.try_wait().ok()??;
        Some(format!("{} ended by itself: {status}\n{}", self.name, self.log_tail()))
    }

    /// The last lines of its log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("node.log")
    }
}
