//! The ledger that runs: configuration, nodes, timer, and the handles that tests and the demo hold.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::app::Command;
use crate::block::Block;
use crate::chain::{Chain, Genesis};
use crate::error::DevnetError;
use crate::frame;
use crate::http;
use crate::keys::{Address, Key};
use crate::merkle::Hash;
use crate::misbehave::Misbehave;
use crate::params::{BytesAs, Params};
use crate::render;
use crate::rpc::{self, Answer, RpcError};
use crate::validators::Update;
use crate::view::View;

/// Most validators a ledger may start with.
const MAX_VALIDATORS: usize = 300;

/// Keys made beside the first validators', so that new ones can be given power and then vote.
const SPARE_KEYS: usize = 16;

/// Letters of the longest chain id (`types/genesis.go`, `MaxChainIDLen`).
const MAX_CHAIN_ID: usize = 50;

/// Seconds of [`Devnet::anchor`], ten years: validators of a development ledger stay answerable as long as anybody looks at it.
pub const TRUSTING_PERIOD: u64 = 10 * 365 * 86_400;

/// What a ledger is made from. Equal configurations make equal ledgers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevnetConfig {
    /// Name of the network, 1 to 50 letters.
    pub chain_id: String,
    /// Validators at genesis, 1 to 300.
    pub validators: usize,
    /// Power of each at genesis, above 0.
    pub power: u32,
    /// All keys come from it, and so does the hash of the first block.
    pub seed: [u8; 32],
    /// A block each time this has passed; none means that only [`Devnet::mine`] makes blocks.
    pub block_time: Option<Duration>,
    /// Unix seconds of the first block.
    pub genesis_time: u64,
    /// Queries and proofs are answered for the states of so many heights, 1 or more.
    pub states: usize,
    /// Port of the first node on 127.0.0.1; 0 picks a free one.
    pub port: u16,
}

impl Default for DevnetConfig {
    /// Four validators of power 1, manual blocks, 2026-01-01, a thousand states.
    fn default() -> Self {
        Self {
            chain_id: "hufu-devnet".to_owned(),
            validators: 4,
            power: 1,
            seed: [0; 32],
            block_time: None,
            genesis_time: 1_767_225_600,
            states: 1_000,
            port: 0,
        }
    }
}

/// A running ledger, whose first block is there from the start. Clones are handles to the same one; it stops when the
/// last is dropped.
#[derive(Clone)]
pub struct Devnet {
    shared: Arc<Shared>,
    running: Arc<Running>,
    genesis_hash: Hash,
}

impl fmt::Debug for Devnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Devnet({})", self.url())
    }
}

/// What the serving tasks share. They must not hold [`Running`], or the ledger would keep itself alive.
pub(crate) struct Shared {
    chain: Mutex<Chain>,
    nodes: Mutex<Vec<Node>>,
    /// Validators at genesis, then the spare ones.
    keys: Vec<Key>,
    /// Whether votes carry the time of the clock, because a timer makes blocks.
    by_clock: bool,
    /// Rung whenever a node may have a new block to show.
    heads: watch::Sender<()>,
}

#[derive(Clone, Default)]
struct Node {
    port: u16,
    faults: Vec<Misbehave>,
    branch: Option<Branch>,
}

/// What a node holds in place of the ledger's own blocks.
#[derive(Clone)]
enum Branch {
    /// Another history from some height on.
    Whole(Arc<Mutex<Chain>>),
    /// Another block of one height.
    One(Arc<Block>),
}

/// Dropping a sender ends its task.
#[derive(Default)]
struct Running {
    endpoints: Mutex<Vec<Option<oneshot::Sender<()>>>>,
    timer: Mutex<Option<oneshot::Sender<()>>>,
}

/// A holder that panicked leaves a chain that is still whole: blocks are appended in one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn node(&self, node: usize) -> Node {
        lock(&self.nodes).get(node).cloned().unwrap_or_default()
    }

    pub(crate) fn faults(&self, node: usize) -> Vec<Misbehave> {
        self.node(node).faults
    }

    /// Says when to look for new blocks.
    pub(crate) fn heads(&self) -> watch::Receiver<()> {
        self.heads.subscribe()
    }

    fn ring(&self) {
        self.heads.send_replace(());
    }

    /// Answers one method of one node.
    pub(crate) fn call(&self, node: usize, method: &str, params: &Params) -> Answer {
        match method {
            "abci_query" => self.query(node, params),
            "broadcast_tx_async" | "broadcast_tx_sync" => self.broadcast(params),
            "broadcast_tx_commit" => self.broadcast_and_commit(params),
            _ => self.with_view(node, |view| rpc::call(view, method, params)),
        }
    }

    fn query(&self, node: usize, params: &Params) -> Answer {
        let faults = self.faults(node);
        let other = faults.iter().find_map(|fault| match fault {
            Misbehave::OtherApplication(devnet) => Some(Arc::clone(&devnet.shared)),
            _ => None,
        });
        match other {
            Some(other) => other.with_view(0, |view| rpc::query(view, params, &faults)),
            None => self.with_view(node, |view| rpc::query(view, params, &faults)),
        }
    }

    /// Checks a transaction as the application does before it is let in, and queues it.
    fn let_in(&self, tx: &[u8]) -> Result<Hash, (Hash, String)> {
        let hash = crate::merkle::sha256(&[tx]);
        Command::parse(tx).map_err(|log| (hash, log))?;
        Ok(lock(&self.chain).submit(tx.to_vec()))
    }

    fn broadcast(&self, params: &Params) -> Answer {
        let tx = self.new_tx(params)?;
        let answer = |code: u32, log: &str, hash: &Hash| json!({ "code": code, "data": "", "log": log, "codespace": "", "hash": render::upper_hex(hash) });
        Ok(match self.let_in(&tx) {
            Ok(hash) => answer(0, "", &hash),
            Err((hash, log)) => answer(crate::app::CODE_UNREADABLE, &log, &hash),
        })
    }

    /// A real node's answer comes with the block; here the block is made at once.
    fn broadcast_and_commit(&self, params: &Params) -> Answer {
        let tx = self.new_tx(params)?;
        let check = |code: u32, log: &str, wanted: &str| {
            json!({
                "code": code, "data": null, "log": log, "info": "", "gas_wanted": wanted, "gas_used": "0", "events": [],
                "codespace": "",
            })
        };
        let hash = match self.let_in(&tx) {
            Ok(hash) => hash,
            Err((hash, log)) => {
                return Ok(json!({
                    "check_tx": check(crate::app::CODE_UNREADABLE, &log, "0"),
                    "tx_result": check(0, "", "0"),
                    "hash": render::upper_hex(&hash),
                    "height": "0",
                }));
            }
        };
        let block = self.mine(self.now()).map_err(RpcError::internal)?;
        let place = lock(&self.chain).place(&hash);
        let result = place.and_then(|(_, index)| block.results.get(index));
        let result = result.ok_or_else(|| RpcError::internal("timed out waiting for tx to be included in a block"))?;
        Ok(json!({
            "check_tx": check(0, "", "1"),
            "tx_result": render::tx_result(result),
            "hash": render::upper_hex(&hash),
            "height": block.header.height.to_string(),
        }))
    }

    fn new_tx(&self, params: &Params) -> Result<Vec<u8>, RpcError> {
        let tx = params.bytes("tx", BytesAs::Base64)?;
        if lock(&self.chain).knows(&tx) {
            return Err(RpcError::internal("tx already exists in cache"));
        }
        Ok(tx)
    }

    fn now(&self) -> Duration {
        if self.by_clock { wall_clock() } else { Duration::ZERO }
    }

    /// Shows the ledger as this node tells it.
    pub(crate) fn with_view<T>(&self, index: usize, show: impl FnOnce(&View<'_>) -> T) -> T {
        let node = self.node(index);
        let other = node.faults.iter().find_map(|fault| match fault {
            Misbehave::OtherNetwork(devnet) => Some(Arc::clone(&devnet.shared)),
            _ => None,
        });
        let view = |chain: &Chain, sibling: Option<Arc<Block>>| {
            let (faults, port) = (node.faults.as_slice(), node.port);
            show(&View { chain, sibling, faults, node: index, port })
        };
        if let Some(other) = other {
            return view(&lock(&other.chain), None);
        }
        match node.branch.clone() {
            None => view(&lock(&self.chain), None),
            Some(Branch::One(block)) => view(&lock(&self.chain), Some(block)),
            Some(Branch::Whole(branch)) => {
                let mut branch = lock(&branch);
                self.catch_up(&mut branch);
                view(&branch, None)
            }
        }
    }

    /// A branch grows with the ledger, by empty blocks of the same times.
    fn catch_up(&self, branch: &mut Chain) {
        let chain = lock(&self.chain);
        while let Some(block) = chain.at(branch.height() + 1) {
            if branch.mine(block.voted_at).is_err() {
                return;
            }
        }
    }

    fn mine(&self, voted_at: Duration) -> Result<Arc<Block>, DevnetError> {
        let mined = lock(&self.chain).mine(voted_at);
        self.ring();
        mined
    }
}

impl Devnet {
    /// Starts a ledger with one node and its first block. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`DevnetError::Config`] for values out of range, [`DevnetError::Listen`] when no port can be opened.
    pub async fn start(config: DevnetConfig) -> Result<Self, DevnetError> {
        check(&config)?;
        let count = config.validators + SPARE_KEYS;
        let keys: Vec<Key> = (0..count as u64).map(|index| Key::derive(&config.seed, index)).collect();
        let first = keys.iter().take(config.validators);
        let genesis = Genesis {
            chain_id: config.chain_id,
            time: Duration::from_secs(config.genesis_time),
            validators: first.map(|key| Update { public_key: key.public(), power: config.power.into() }).collect(),
        };
        let chain = Chain::new(genesis, keys.clone(), config.states)?;
        let genesis_hash = chain.at(1).map(|block| block.header.hash()).unwrap_or_default();
        let shared = Arc::new(Shared {
            chain: Mutex::new(chain),
            nodes: Mutex::default(),
            keys,
            by_clock: config.block_time.is_some(),
            heads: watch::Sender::new(()),
        });
        let devnet = Self { shared, running: Arc::default(), genesis_hash };
        devnet.open_node(config.port).await?;
        if let Some(block_time) = config.block_time {
            devnet.start_timer(block_time);
        }
        Ok(devnet)
    }

    fn start_timer(&self, block_time: Duration) {
        let (stop, mut stopped) = oneshot::channel();
        *lock(&self.running.timer) = Some(stop);
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(block_time);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = &mut stopped => return,
                    _ = ticks.tick() => if let Err(error) = shared.mine(wall_clock()) {
                        tracing::debug!(%error, "no block made");
                    },
                }
            }
        });
    }

    /// Opens a further endpoint of the same network, such as a witness; it is honest until told otherwise.
    ///
    /// # Errors
    /// [`DevnetError::Listen`] when no port can be opened.
    pub async fn add_node(&self) -> Result<NodeHandle, DevnetError> {
        self.open_node(0).await
    }

    async fn open_node(&self, port: u16) -> Result<NodeHandle, DevnetError> {
        let (listener, port) = http::listen(port).await?;
        let index = {
            let mut nodes = lock(&self.shared.nodes);
            nodes.push(Node { port, ..Node::default() });
            nodes.len() - 1
        };
        self.serve(listener, index);
        Ok(NodeHandle { devnet: self.clone(), index })
    }

    fn serve(&self, listener: tokio::net::TcpListener, index: usize) {
        let (stop, stopped) = oneshot::channel();
        let mut endpoints = lock(&self.running.endpoints);
        if endpoints.len() <= index {
            endpoints.resize_with(index + 1, || None);
        }
        if let Some(slot) = endpoints.get_mut(index) {
            *slot = Some(stop);
        }
        http::serve(listener, Arc::clone(&self.shared), index, stopped);
    }

    /// The first node, whose URL is [`Devnet::url`].
    pub fn first_node(&self) -> NodeHandle {
        NodeHandle { devnet: self.clone(), index: 0 }
    }

    /// URL of the first node, without a path.
    pub fn url(&self) -> String {
        self.first_node().url()
    }

    /// WebSocket URL of the first node.
    pub fn ws_url(&self) -> String {
        self.first_node().ws_url()
    }

    /// Hash of the first block's header, which names the ledger.
    pub const fn genesis_hash(&self) -> [u8; 32] {
        self.genesis_hash
    }

    /// Name of the network.
    pub fn chain_id(&self) -> String {
        lock(&self.shared.chain).genesis().chain_id.clone()
    }

    /// An anchor at the first block, in the form in which operators state one. Its trusting period is ten years.
    pub fn anchor(&self) -> Value {
        json!({
            "family": "cometbft",
            "chain_id": self.chain_id(),
            "height": 1,
            "hash": hex::encode(self.genesis_hash),
            "trusting_period": TRUSTING_PERIOD,
        })
    }

    /// Public keys and powers of those who vote on the next block, in the set's order.
    pub fn validators(&self) -> Vec<([u8; 32], i64)> {
        let chain = lock(&self.shared.chain);
        let set = chain.validators_at(chain.height() + 1);
        set.map(|set| set.validators().iter().map(|it| (it.public_key, it.power)).collect()).unwrap_or_default()
    }

    /// Public keys that the ledger holds: the validators at genesis in the genesis file's order, then 16 spare ones that
    /// can be given power. Indices of [`Devnet::set_power`] and [`Devnet::stop_validator`] count here.
    pub fn known_validators(&self) -> Vec<[u8; 32]> {
        self.shared.keys.iter().map(Key::public).collect()
    }

    /// Height of the last block.
    pub fn height(&self) -> u64 {
        lock(&self.shared.chain).height()
    }

    /// Hash of a block's header.
    pub fn block_hash(&self, height: u64) -> Option<[u8; 32]> {
        lock(&self.shared.chain).at(height).map(|block| block.header.hash())
    }

    /// A block with everything it led to.
    pub fn block(&self, height: u64) -> Option<Arc<Block>> {
        lock(&self.shared.chain).at(height).cloned()
    }

    /// Queues `put KEY=VALUE` for the next block and gives the transaction's hash.
    ///
    /// # Errors
    /// [`DevnetError::Transaction`] for an empty key or value, or a key with `=`.
    pub fn put(&self, key: &str, value: &str) -> Result<[u8; 32], DevnetError> {
        if key.contains('=') {
            return Err(DevnetError::Transaction(format!("expected a key without =, got {key:?}")));
        }
        self.send(&format!("put {key}={value}"))
    }

    /// Queues `delete KEY` for the next block and gives the transaction's hash.
    ///
    /// # Errors
    /// None now; the application takes any key.
    pub fn delete(&self, key: &str) -> Result<[u8; 32], DevnetError> {
        self.send(&format!("delete {key}"))
    }

    /// Queues the transaction that gives a validator a power; 0 removes it. In force two blocks after the block that holds
    /// it.
    ///
    /// # Errors
    /// [`DevnetError::Index`] when [`Devnet::known_validators`] has no such place.
    pub fn set_power(&self, validator: usize, power: u32) -> Result<[u8; 32], DevnetError> {
        let update = Update { public_key: self.known(validator)?.public(), power: power.into() };
        Ok(self.submit(&Command::set_power(&update)))
    }

    /// Queues a transaction that the application can read.
    ///
    /// # Errors
    /// [`DevnetError::Transaction`] where it cannot.
    pub fn send(&self, tx: &str) -> Result<[u8; 32], DevnetError> {
        self.shared.let_in(tx.as_bytes()).map_err(|(_, log)| DevnetError::Transaction(log))
    }

    /// Queues any bytes, as a proposer that does not ask the application first.
    pub fn submit(&self, tx: &[u8]) -> [u8; 32] {
        lock(&self.shared.chain).submit(tx.to_vec())
    }

    /// Makes the next block, whose votes are given a second after its own time, and gives its header's hash.
    ///
    /// # Errors
    /// [`DevnetError::NoQuorum`] when too little power votes, [`DevnetError::Halted`] when a change of validators cannot
    /// be; what is queued stays queued.
    pub fn mine(&self) -> Result<[u8; 32], DevnetError> {
        self.mine_at(Duration::ZERO)
    }

    /// Makes the next block with votes given at this time since 1970, or as soon after its own time as can be. It is the
    /// time of the *next* header, which is the median of these votes.
    ///
    /// # Errors
    /// As [`Devnet::mine`].
    pub fn mine_at(&self, voted_at: Duration) -> Result<[u8; 32], DevnetError> {
        Ok(self.shared.mine(voted_at)?.header.hash())
    }

    /// Stops a validator: it neither proposes nor votes, and its entries are absent.
    ///
    /// # Errors
    /// [`DevnetError::Index`] when [`Devnet::known_validators`] has no such place.
    pub fn stop_validator(&self, validator: usize) -> Result<(), DevnetError> {
        let address = self.known(validator)?.address();
        lock(&self.shared.chain).set_running(address, false);
        Ok(())
    }

    /// A validator votes for no block from now on: its entries are nil.
    ///
    /// # Errors
    /// [`DevnetError::Index`] when [`Devnet::known_validators`] has no such place.
    pub fn vote_nil(&self, validator: usize) -> Result<(), DevnetError> {
        let address = self.known(validator)?.address();
        lock(&self.shared.chain).vote_nil(address);
        Ok(())
    }

    /// A stopped validator, or one that voted nil, votes for blocks again.
    ///
    /// # Errors
    /// [`DevnetError::Index`] when [`Devnet::known_validators`] has no such place.
    pub fn start_validator(&self, validator: usize) -> Result<(), DevnetError> {
        let address = self.known(validator)?.address();
        lock(&self.shared.chain).set_running(address, true);
        Ok(())
    }

    fn known(&self, index: usize) -> Result<&Key, DevnetError> {
        let keys = &self.shared.keys;
        keys.get(index).ok_or(DevnetError::Index { count: keys.len(), got: index })
    }

    /// Address of a validator by its place in [`Devnet::known_validators`].
    pub fn address(&self, validator: usize) -> Option<Address> {
        self.shared.keys.get(validator).map(Key::address)
    }
}

/// One RPC endpoint of a ledger. It keeps the ledger running.
#[derive(Debug, Clone)]
pub struct NodeHandle {
    devnet: Devnet,
    index: usize,
}

impl NodeHandle {
    /// URL of this node, without a path.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.devnet.shared.node(self.index).port)
    }

    /// WebSocket URL of this node.
    pub fn ws_url(&self) -> String {
        format!("{}/websocket", self.url().replacen("http", "ws", 1))
    }

    /// One answer of this node, envelope and all, as HTTP would carry it: `ask("commit", &json!({"height": "3"}))`.
    /// Faults of transport do not apply.
    pub fn ask(&self, method: &str, params: &Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": frame::URI_ID, "method": method, "params": params });
        let shared = &self.devnet.shared;
        let mut call = |method: &str, params: &Params| shared.call(self.index, method, params);
        let answer = frame::answer(request.to_string().as_bytes(), &shared.faults(self.index), &mut call);
        answer.ok().flatten().unwrap_or_default()
    }

    /// Adds a misbehaviour to those that already hold. Another history or block replaces the one before.
    ///
    /// # Errors
    /// Where blocks are to differ: [`DevnetError::Height`] outside 2 and the present height,
    /// [`DevnetError::Transaction`] when the application cannot read one.
    pub fn misbehave(&self, fault: Misbehave) -> Result<(), DevnetError> {
        let branch = self.branch(&fault)?;
        let mut nodes = lock(&self.devnet.shared.nodes);
        if let Some(node) = nodes.get_mut(self.index) {
            node.faults.push(fault);
            node.branch = branch.or_else(|| node.branch.take());
        }
        drop(nodes);
        self.devnet.shared.ring();
        Ok(())
    }

    fn branch(&self, fault: &Misbehave) -> Result<Option<Branch>, DevnetError> {
        let chain = lock(&self.devnet.shared.chain);
        let other = match fault {
            Misbehave::DoubleSign { height, txs } => {
                let block = another(&chain, *height, None, txs)?;
                return Ok(block.at(*height).cloned().map(Branch::One));
            }
            Misbehave::Fork { from, txs } => another(&chain, *from, None, txs)?,
            Misbehave::RetiredValidators { from, of, txs } => another(&chain, *from, Some(*of), txs)?,
            _ => return Ok(None),
        };
        Ok(Some(Branch::Whole(Arc::new(Mutex::new(other)))))
    }

    /// Makes the node honest again.
    pub fn behave(&self) {
        if let Some(node) = lock(&self.devnet.shared.nodes).get_mut(self.index) {
            node.faults.clear();
            node.branch = None;
        }
        self.devnet.shared.ring();
    }

    /// Closes the port, as a node that went down.
    pub fn stop(&self) {
        if let Some(slot) = lock(&self.devnet.running.endpoints).get_mut(self.index) {
            *slot = None;
        }
    }

    /// Opens the same port again after [`NodeHandle::stop`].
    ///
    /// # Errors
    /// [`DevnetError::Listen`] when the port is taken, by this node itself too.
    pub async fn start(&self) -> Result<(), DevnetError> {
        let port = self.devnet.shared.node(self.index).port;
        let (listener, _) = http::listen(port).await?;
        self.devnet.serve(listener, self.index);
        Ok(())
    }

    /// Height of the last block that this node admits to.
    pub fn height(&self) -> u64 {
        self.devnet.shared.with_view(self.index, |view| view.height())
    }
}

/// Another history from a height on: of the same validators, or of those of an earlier height.
fn another(chain: &Chain, from: u64, of: Option<u64>, txs: &[String]) -> Result<Chain, DevnetError> {
    let mut branch = chain.branch(from)?;
    if let Some(of) = of {
        let refuse = || DevnetError::Height { low: 1, high: chain.height(), got: of };
        branch.put_in_force(chain.validators_at(of).ok_or_else(refuse)?);
    }
    for tx in txs {
        Command::parse(tx.as_bytes()).map_err(DevnetError::Transaction)?;
        branch.submit(tx.clone().into_bytes());
    }
    if txs.is_empty() {
        // The same block would be no other block.
        branch.submit(format!("put branch={from}").into_bytes());
    }
    let voted_at = chain.at(from).map_or(Duration::ZERO, |block| block.voted_at);
    branch.mine(voted_at)?;
    Ok(branch)
}

/// Starts a ledger, tells `ready` about it, and keeps it running until `stop` ends: what `hufu devnet` does.
///
/// # Errors
/// As [`Devnet::start`].
pub async fn run(
    config: DevnetConfig,
    ready: impl FnOnce(&Devnet),
    stop: impl Future<Output = ()>,
) -> Result<(), DevnetError> {
    let devnet = Devnet::start(config).await?;
    ready(&devnet);
    stop.await;
    Ok(())
}

fn check(config: &DevnetConfig) -> Result<(), DevnetError> {
    let refuse = |expected, got: &dyn fmt::Display| Err(DevnetError::Config { expected, got: got.to_string() });
    if config.validators == 0 || config.validators > MAX_VALIDATORS {
        return refuse("1 to 300 validators", &config.validators);
    }
    if config.power == 0 {
        return refuse("a power above 0", &config.power);
    }
    if config.chain_id.is_empty() || config.chain_id.len() > MAX_CHAIN_ID {
        return refuse("a chain id of 1 to 50 letters", &config.chain_id);
    }
    if config.states == 0 {
        return refuse("the states of 1 height or more", &config.states);
    }
    if config.block_time.is_some_and(|time| time.is_zero()) {
        return refuse("a block time above zero, or none", &0);
    }
    Ok(())
}

/// Time since 1970: the one place that reads a clock, for the timer alone.
#[expect(
    clippy::disallowed_methods,
    reason = "a ledger of its own has a clock of its own; blocks take it as an argument"
)]
fn wall_clock() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
}
