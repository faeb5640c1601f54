//! A Clique network of real go-ethereum nodes, and the registry contract on it.
//!
//! Every method takes `&self`: a test may emit events in one task and kill nodes in another.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;

use crate::guard::RealNodes;
use crate::node::{Node, Shared};
use crate::registry::{self, Call};
use crate::rpc::{self, hex_bytes, hex_quantity};
use crate::wait::until;

/// Chain id and network id. It proves nothing: two networks of this suite share it and differ in their genesis.
pub(crate) const CHAIN_ID: u64 = 20_212;

/// A process starts, reads its keys and answers.
const START: Duration = Duration::from_secs(60);
/// A peer that could not be reached is dialled again after 35 seconds.
const CONNECT: Duration = Duration::from_secs(90);
/// Two of three signers may wait for the third (see [`CliqueNetwork::kill`]), which must then start and catch up.
const BLOCKS: Duration = Duration::from_secs(120);
/// How often a transaction that is not in a block yet is sent once more: the node that had it may have been killed.
const RESEND: Duration = Duration::from_secs(2);

/// A running network. Dropping it kills every node and removes their folders.
#[derive(Debug)]
pub(crate) struct CliqueNetwork {
    nodes: Vec<Node>,
    shared: Shared,
    genesis_hash: String,
    registry: OnceLock<String>,
    nonce: AtomicU64,
    _folder: TempDir,
}

/// One call of the contract and where its event stands.
#[derive(Debug, Clone)]
pub(crate) struct Emitted {
    /// What was called.
    pub(crate) call: Call,
    /// Hash of the transaction, `0x…`; it stays when the transaction moves to another block.
    pub(crate) transaction: String,
    /// What the node says of it now.
    pub(crate) receipt: Receipt,
}

/// What a node says of a transaction in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// Height of the block.
    pub(crate) block: u64,
    /// Hash of the block, `0x…`.
    pub(crate) block_hash: String,
    /// Index of the transaction in its block.
    pub(crate) index: u64,
    /// 1 when it succeeded, 0 when it was reverted.
    pub(crate) status: u64,
    /// The address of the contract that it made, `0x…`.
    pub(crate) contract: Option<String>,
    /// Its one log, if it has one.
    pub(crate) log: Option<Log>,
}

/// What a contract emitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Log {
    /// The contract, `0x…`.
    pub(crate) address: String,
    /// Topics, `0x…`.
    pub(crate) topics: Vec<String>,
    /// The arguments in ABI encoding.
    pub(crate) data: Vec<u8>,
}

/// A signed transaction that may be sent any number of times.
#[derive(Debug, Clone)]
struct Signed {
    hash: String,
    raw: String,
}

impl CliqueNetwork {
    /// Starts `signers` nodes, each with a key of its own, a second a block, every fork up to London from genesis on.
    /// Returns when block 1 stands.
    ///
    /// # Panics
    /// If any step takes longer than its deadline, with the last lines of the logs.
    pub(crate) async fn start(real: &RealNodes, signers: usize) -> Self {
        let began = Instant::now();
        let folder = tempfile::Builder::new().prefix("hufu-real-nodes.").tempdir().unwrap();
        let geth = real.program();
        let password = folder.path().join("password");
        std::fs::write(&password, "not a secret").unwrap();

        let keys = folder.path().join("registrar");
        let account = new_account(geth, &keys, &password).await;
        let mut prepared = Vec::new();
        for index in 0..signers {
            let data = folder.path().join(format!("node{index}"));
            let signer = new_account(geth, &data.join("keystore"), &password).await;
            copy_files(&keys, &data.join("keystore"));
            prepared.push((signer, data));
        }
        // By address, as they take turns: node i is in turn at every height h with h mod n = i.
        prepared.sort();
        let genesis = folder.path().join("genesis.json");
        let addresses: Vec<&str> = prepared.iter().map(|(signer, _)| signer.as_str()).collect();
        std::fs::write(&genesis, genesis_of(&addresses, &account).to_string()).unwrap();
        for (_, data) in &prepared {
            run(Command::new(geth).arg("--datadir").arg(data).args(["--state.scheme", "hash", "init"]).arg(&genesis))
                .await;
        }

        let peers = signers.saturating_sub(1);
        let nodes = prepared.into_iter().enumerate();
        let nodes: Vec<Node> = nodes
            .map(|(index, (signer, data))| Node::new(format!("node {index}"), signer, geth, data, peers))
            .collect();
        let shared = Shared { network: CHAIN_ID, peers, account, password };
        let prepared = began.elapsed();
        let mut network = Self {
            nodes,
            shared,
            genesis_hash: String::new(),
            registry: OnceLock::new(),
            nonce: AtomicU64::new(0),
            _folder: folder,
        };
        network.genesis_hash = network.start_all().await;
        let answering = began.elapsed();
        network.wait_for_height(1).await;
        let sealed = began.elapsed();
        println!(
            "clique: {signers} signers: keys and genesis {prepared:.1?}, connected {answering:.1?}, block 1 {sealed:.1?}"
        );
        network
    }

    async fn start_all(&self) -> String {
        for (index, node) in self.nodes.iter().enumerate() {
            let pid = node.spawn(&self.shared);
            println!("clique: node {index} is process {pid}, signer {}, {}", node.signer, node.rpc.url());
        }
        let mut genesis = Vec::new();
        for node in &self.nodes {
            genesis.push(answering(node).await);
        }
        genesis.dedup();
        assert_eq!(genesis.len(), 1, "the nodes have different genesis blocks");
        for index in 1..self.nodes.len() {
            self.connect(index, 0..index).await;
        }
        // Only now: whoever seals alone makes a block 1 of its own.
        for node in &self.nodes {
            seal(node).await;
        }
        genesis.swap_remove(0)
    }

    /// JSON-RPC addresses, in the order of the signers.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.rpc.url().to_owned()).collect()
    }

    /// The signers' addresses, ascending.
    pub(crate) fn signers(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.signer.clone()).collect()
    }

    /// Hash of block 0, `0x…`.
    pub(crate) fn genesis_hash(&self) -> &str {
        &self.genesis_hash
    }

    /// The signers of the last block that node 0 has, ascending.
    pub(crate) async fn signers_now(&self) -> Vec<String> {
        let answer = self.nodes[0].rpc.call("clique_getSigners", json!(["latest"])).await.unwrap();
        let mut signers: Vec<String> = answer.as_array().unwrap().iter().map(text).collect();
        signers.sort();
        signers
    }

    /// Has these nodes vote about a signer, and waits until the vote has passed.
    pub(crate) async fn vote(&self, voters: &[usize], candidate: &str, add: bool) {
        let began = Instant::now();
        for &voter in voters {
            self.nodes[voter].rpc.call("clique_propose", json!([candidate, add])).await.unwrap();
        }
        until(&format!("{candidate} to be voted {}", if add { "in" } else { "out" }), BLOCKS, async || {
            let signers = self.signers_now().await;
            if signers.iter().any(|signer| signer == candidate) == add { Ok(()) } else { Err(format!("{signers:?}")) }
        })
        .await;
        for &voter in voters {
            self.nodes[voter].rpc.call("clique_discard", json!([candidate])).await.unwrap();
        }
        let (way, height) = (if add { "in" } else { "out" }, self.height().await);
        println!(
            "clique: {candidate} is voted {way} by nodes {voters:?} at height {height}, after {:.1?}",
            began.elapsed()
        );
    }

    /// SIGKILL to node `index`.
    ///
    /// The others go on as long as they are a majority. Two of three can, rarely, come to a halt: where both sealed the
    /// same height at the same moment, neither may seal again until the third takes a side. Restarting it resolves that.
    pub(crate) async fn kill(&self, index: usize) {
        let height = self.height().await;
        let pid = self.nodes[index].kill().await;
        println!("clique: node {index}: SIGKILL to process {pid} at height {height}");
    }

    /// Starts a killed node again, with its folder and its ports. Returns when it answers, has its peers, has caught up
    /// with them and seals again.
    pub(crate) async fn restart(&self, index: usize) {
        let began = Instant::now();
        let node = &self.nodes[index];
        let pid = node.spawn(&self.shared);
        assert_eq!(answering(node).await, self.genesis_hash, "node {index} came back with another genesis");
        let others: Vec<usize> = (0..self.nodes.len()).filter(|&other| other != index).collect();
        let others: Vec<usize> = others.into_iter().filter(|&other| self.nodes[other].is_running()).collect();
        self.connect(index, others.iter().copied()).await;
        until(&format!("node {index} to catch up"), CONNECT, async || {
            let own = height(node).await?;
            for &other in &others {
                let due = height(&self.nodes[other]).await?;
                if own < due {
                    return Err(format!("height {own}, node {other} is at {due}"));
                }
            }
            Ok(())
        })
        .await;
        seal(node).await;
        println!("clique: node {index} is back as process {pid} after {:.1?}", began.elapsed());
    }

    async fn connect(&self, index: usize, others: impl IntoIterator<Item = usize>) {
        let node = &self.nodes[index];
        let mut due = 0;
        for other in others {
            let peer = &self.nodes[other];
            let (ours, theirs) = (enode(node).await, enode(peer).await);
            node.rpc.call("admin_addTrustedPeer", json!([theirs])).await.unwrap();
            peer.rpc.call("admin_addTrustedPeer", json!([ours])).await.unwrap();
            node.rpc.call("admin_addPeer", json!([theirs])).await.unwrap();
            due += 1;
        }
        until(&format!("node {index} to have {due} peers"), CONNECT, async || {
            match node.rpc.quantity("net_peerCount", json!([])).await? {
                count if count >= due => Ok(()),
                count => Err(format!("{count} peers")),
            }
        })
        .await;
    }

    /// The greatest height that a running node has. On a probabilistic ledger its last blocks may yet change.
    ///
    /// # Panics
    /// If no node answers.
    pub(crate) async fn height(&self) -> u64 {
        let mut heights = Vec::new();
        for node in self.running() {
            heights.extend(height(node).await);
        }
        heights.into_iter().max().expect("a running node that answers")
    }

    /// Waits until every running node has a block at this height.
    pub(crate) async fn wait_for_height(&self, due: u64) {
        until(&format!("every running node to reach height {due}"), BLOCKS, async || {
            for node in self.running() {
                match height(node).await? {
                    height if height >= due => {}
                    height => return Err(format!("{} is at {height}", node.name)),
                }
            }
            Ok(())
        })
        .await;
    }

    /// Deploys the registry contract and returns its address, `0x…`. The account that may write to it is held by every
    /// node, so that calls go on when any of them is killed.
    pub(crate) async fn deploy_registry(&self) -> String {
        let signed = self.sign(None, &registry::bytecode(), true).await;
        let receipt = self.receipt(&signed).await;
        assert_eq!(receipt.status, 1, "the contract was not deployed");
        let address = receipt.contract.expect("a contract's address");
        self.registry.set(address.clone()).expect("one registry a network");
        address
    }

    /// Calls `changeCertificate` (see [`Call::certificate`]) and waits until the call is in a block.
    pub(crate) async fn change_certificate(&self, args: &[&str; 10]) -> Emitted {
        self.emit(Call::certificate(args)).await
    }

    /// Calls `changePropertyRight` (see [`Call::property_right`]) and waits until the call is in a block.
    pub(crate) async fn change_property_right(&self, args: &[&str; 8]) -> Emitted {
        self.emit(Call::property_right(args)).await
    }

    /// Makes one call and waits until it is in a block.
    pub(crate) async fn emit(&self, call: Call) -> Emitted {
        self.emit_all(vec![call]).await.swap_remove(0)
    }

    /// Sends all calls before it waits for the first, so that several share a block. The ledger takes them in this order.
    ///
    /// # Panics
    /// If a call fails, emits anything but its one event, or is in no block in time.
    pub(crate) async fn emit_all(&self, calls: Vec<Call>) -> Vec<Emitted> {
        let registry = self.registry.get().expect("deploy_registry comes first").clone();
        let mut sent = Vec::new();
        for call in calls {
            // Both kinds of transaction, since their receipts are encoded in two ways.
            let typed = call.event == "CertificateChanged";
            let signed = self.sign(Some(&registry), &call.data, typed).await;
            self.send(&signed).await;
            sent.push((call, signed));
        }
        let mut emitted = Vec::new();
        for (call, signed) in sent {
            let receipt = self.receipt(&signed).await;
            require_emitted(&call, &registry, &receipt);
            emitted.push(Emitted { call, transaction: signed.hash, receipt });
        }
        emitted
    }

    /// Waits until `confirmations` blocks stand on top of the event's block on every running node, and returns where it
    /// stands then: a reorganisation may have moved it.
    pub(crate) async fn buried(&self, emitted: &Emitted, confirmations: u64) -> Emitted {
        let what = format!("{} under {confirmations} blocks", emitted.transaction);
        let receipt = until(&what, BLOCKS, async || {
            let mut found = Vec::new();
            for node in self.running() {
                let receipt = find_receipt(node, &emitted.transaction).await?;
                match height(node).await? {
                    height if height >= receipt.block + confirmations => found.push(receipt),
                    height => return Err(format!("{}: in block {} of {height}", node.name, receipt.block)),
                }
            }
            found.dedup();
            if found.len() == 1 { Ok(found.swap_remove(0)) } else { Err(format!("the nodes differ: {found:?}")) }
        })
        .await;
        Emitted { receipt, ..emitted.clone() }
    }

    /// Every header from genesis to the last block of node `index`, as RLP, one chain by construction: read from the tip
    /// back to its parents, so that a reorganisation meanwhile does no harm.
    pub(crate) async fn raw_headers(&self, index: usize) -> Vec<RawHeader> {
        let rpc = &self.nodes[index].rpc;
        let mut block = rpc.call("eth_getBlockByNumber", json!(["latest", false])).await.unwrap();
        let mut headers = Vec::new();
        loop {
            let height = rpc::quantity(&block["number"]).unwrap();
            let hash = text(&block["hash"]);
            let raw = rpc.call("debug_getRawHeader", json!([hash])).await.unwrap();
            headers.push(RawHeader { height, hash, bytes: rpc::bytes(&raw).unwrap() });
            if height == 0 {
                break;
            }
            block = rpc.call("eth_getBlockByHash", json!([block["parentHash"], false])).await.unwrap();
        }
        headers.reverse();
        headers
    }

    /// The raw receipts of every transaction of a block, in order, as the receipts trie holds them.
    pub(crate) async fn raw_receipts(&self, index: usize, block_hash: &str) -> Vec<Vec<u8>> {
        let answer = self.nodes[index].rpc.call("debug_getRawReceipts", json!([block_hash])).await.unwrap();
        // A block without transactions is answered with null by some versions.
        answer.as_array().map(|list| list.iter().map(|raw| rpc::bytes(raw).unwrap()).collect()).unwrap_or_default()
    }

    /// Who sealed a block, as node `index` says.
    pub(crate) async fn sealer(&self, index: usize, block_hash: &str) -> String {
        text(&self.nodes[index].rpc.call("clique_getSigner", json!([block_hash])).await.unwrap())
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_running())
    }

    /// Signed with the next nonce, so that calls are taken in the order in which they were signed, by whichever node
    /// they reach.
    async fn sign(&self, to: Option<&str>, data: &[u8], typed: bool) -> Signed {
        let nonce = self.nonce.fetch_add(1, Ordering::Relaxed);
        let mut transaction = json!({
            "from": self.shared.account,
            "nonce": hex_quantity(nonce),
            "gas": hex_quantity(3_000_000),
            "data": hex_bytes(data),
        });
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        // In wei; the base fee begins at 1e9 and falls.
        if typed {
            transaction["maxFeePerGas"] = json!(hex_quantity(20_000_000_000));
            transaction["maxPriorityFeePerGas"] = json!(hex_quantity(2_000_000_000));
        } else {
            transaction["gasPrice"] = json!(hex_quantity(20_000_000_000));
        }
        until("a node to sign a transaction", START, async || {
            let mut last = "no node is running".to_owned();
            for node in self.running() {
                match node.rpc.call("eth_signTransaction", json!([transaction])).await {
                    Ok(answer) => {
                        return Ok(Signed { hash: text(&answer["tx"]["hash"]), raw: text(&answer["raw"]) });
                    }
                    Err(fault) => last = fault,
                }
            }
            Err(last)
        })
        .await
    }

    /// Offers it to every running node. That some already know it, or have it in a block, is as good as taking it; a
    /// transaction that none takes shows when its receipt is awaited.
    async fn send(&self, signed: &Signed) -> String {
        let mut answers = Vec::new();
        for node in self.running() {
            answers.extend(node.rpc.call("eth_sendRawTransaction", json!([signed.raw])).await.err());
        }
        answers.join("; ")
    }

    async fn receipt(&self, signed: &Signed) -> Receipt {
        let mut said = self.send(signed).await;
        let mut sent = Instant::now();
        until(&format!("transaction {} in a block", signed.hash), BLOCKS, async || {
            for node in self.running() {
                if let Ok(receipt) = find_receipt(node, &signed.hash).await {
                    return Ok(receipt);
                }
            }
            if sent.elapsed() >= RESEND {
                said = self.send(signed).await;
                sent = Instant::now();
            }
            Err(format!("in none; nodes said: {said}"))
        })
        .await
    }
}

impl Drop for CliqueNetwork {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for node in &self.nodes {
            println!("--- end of the log of {}\n{}", node.name, node.log_tail());
        }
    }
}

/// One header as a node serves it.
#[derive(Debug, Clone)]
pub(crate) struct RawHeader {
    /// Its height.
    pub(crate) height: u64,
    /// Its hash as the node says, `0x…`.
    pub(crate) hash: String,
    /// Its RLP.
    pub(crate) bytes: Vec<u8>,
}

fn genesis_of(signers: &[&str], account: &str) -> Value {
    let vanity = "00".repeat(32);
    let seal = "00".repeat(65);
    let listed: String = signers.iter().map(|signer| signer.trim_start_matches("0x")).collect();
    let forks = ["homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul"];
    let mut config = json!({ "chainId": CHAIN_ID, "clique": { "period": 1, "epoch": 30_000 } });
    for fork in forks.iter().chain(&["berlin", "london"]) {
        config[format!("{fork}Block")] = json!(0);
    }
    let mut alloc = json!({});
    for funded in signers.iter().chain(&[account]) {
        alloc[*funded] = json!({ "balance": "0xd3c21bcecceda1000000" });
    }
    json!({
        "config": config,
        "difficulty": "1",
        "gasLimit": "30000000",
        "extradata": format!("0x{vanity}{listed}{seal}"),
        "alloc": alloc,
    })
}

/// Makes a key and returns its address, `0x…` in lower case.
async fn new_account(geth: &Path, keystore: &Path, password: &Path) -> String {
    run(Command::new(geth)
        .args(["account", "new", "--lightkdf", "--keystore"])
        .arg(keystore)
        .arg("--password")
        .arg(password))
    .await;
    let key: PathBuf = std::fs::read_dir(keystore).unwrap().next().expect("one key file").unwrap().path();
    let key: Value = serde_json::from_str(&std::fs::read_to_string(key).unwrap()).unwrap();
    format!("0x{}", text(&key["address"]))
}

fn copy_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

async fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} ended with {}: {said}", command.as_std(), output.status);
}

/// Waits for a node's first answer: the hash of its genesis block.
async fn answering(node: &Node) -> String {
    until(&format!("{} to answer", node.name), START, async || {
        if let Some(how) = node.ended() {
            panic!("{how}");
        }
        Ok(text(&node.rpc.call("eth_getBlockByNumber", json!(["0x0", false])).await?["hash"]))
    })
    .await
}

/// How other nodes reach this one. It listens on loopback alone, so the address in it is the right one.
async fn enode(node: &Node) -> String {
    until(&format!("{} to say who it is", node.name), START, async || {
        Ok(text(&node.rpc.call("admin_nodeInfo", json!([])).await?["enode"]))
    })
    .await
}

/// A node answers before its keys are unlocked, and a first seal that fails for want of a key is not tried again: so the
/// signer's key must sign something first. (All three failed so once, on a busy machine, and block 1 never came.)
async fn seal(node: &Node) {
    until(&format!("{} to unlock its key", node.name), START, async || {
        node.rpc.call("eth_sign", json!([node.signer, "0x00"])).await
    })
    .await;
    node.rpc.call("miner_start", json!([])).await.unwrap();
}

async fn height(node: &Node) -> Result<u64, String> {
    node.rpc.quantity("eth_blockNumber", json!([])).await
}

async fn find_receipt(node: &Node, transaction: &str) -> Result<Receipt, String> {
    let receipt = node.rpc.call("eth_getTransactionReceipt", json!([transaction])).await?;
    if receipt.is_null() {
        return Err(format!("{}: not in a block", node.name));
    }
    let logs = receipt["logs"].as_array().unwrap();
    assert!(logs.len() <= 1, "expected at most one log, got {}", logs.len());
    let log = logs.first().map(|log| Log {
        address: text(&log["address"]),
        topics: log["topics"].as_array().unwrap().iter().map(text).collect(),
        data: rpc::bytes(&log["data"]).unwrap(),
    });
    Ok(Receipt {
        block: rpc::quantity(&receipt["blockNumber"]).unwrap(),
        block_hash: text(&receipt["blockHash"]),
        index: rpc::quantity(&receipt["transactionIndex"]).unwrap(),
        status: rpc::quantity(&receipt["status"]).unwrap(),
        contract: receipt["contractAddress"].as_str().map(str::to_owned),
        log,
    })
}

fn require_emitted(call: &Call, registry: &str, receipt: &Receipt) {
    assert_eq!(receipt.status, 1, "{} was reverted", call.event);
    let log = receipt.log.as_ref().unwrap_or_else(|| panic!("{} emitted nothing", call.event));
    assert_eq!((log.address.as_str(), &log.topics), (registry, &vec![call.topic.clone()]));
    // The event has the function's arguments, so its data is the call data without the selector.
    assert_eq!(log.data, call.data[4..], "{} emitted other arguments", call.event);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("expected text, got {value}")).to_owned()
}
