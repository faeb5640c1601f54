//! The ledger that runs: configuration, nodes, timer, and the handles that tests and the demo hold.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alloy_primitives::{Address, Bytes, U256};
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;

use crate::abi::EventCall;
use crate::chain::{Call, Chain};
use crate::error::DevnetError;
use crate::extra::Vote;
use crate::http;
use crate::keys::Key;
use crate::misbehave::Misbehave;
use crate::receipt::{Log, Receipt};
use crate::registry;
use crate::render;
use crate::rpc::{self, RpcError};
use crate::state::Change;
use crate::view::View;

/// Most validators a ledger may start with.
const MAX_VALIDATORS: usize = 100;

/// Keys made beside the first validators', so that new ones can be voted in and then seal.
const SPARE_KEYS: usize = 16;

/// What a ledger is made from. Equal configurations make equal ledgers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevnetConfig {
    /// Chain id of EIP-155.
    pub chain_id: u64,
    /// Validators at genesis, 1 to 100.
    pub validators: usize,
    /// All keys come from it, and so does the genesis hash.
    pub seed: [u8; 32],
    /// A block each time this has passed; none means that only [`Devnet::mine`] makes blocks. Where it is under a
    /// second, empty blocks still come once a second at most, since header times are whole seconds that must rise.
    pub block_time: Option<Duration>,
    /// Pending votes fall at each multiple of it; 1 or more.
    pub epoch: u64,
    /// Unix seconds of the genesis block.
    pub genesis_time: u64,
    /// Port of the first node on 127.0.0.1; 0 picks a free one.
    pub port: u16,
}

impl Default for DevnetConfig {
    /// Four validators, manual blocks, 2026-01-01.
    fn default() -> Self {
        Self {
            chain_id: 20_260,
            validators: 4,
            seed: [0; 32],
            block_time: None,
            epoch: 30_000,
            genesis_time: 1_767_225_600,
            port: 0,
        }
    }
}

/// A running ledger. Clones are handles to the same one; it stops when the last is dropped.
#[derive(Clone)]
pub struct Devnet {
    shared: Arc<Shared>,
    running: Arc<Running>,
    genesis_hash: [u8; 32],
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
    /// Validators at genesis in ascending order, then the spare ones.
    addresses: Vec<Address>,
    /// Rung whenever a node may have a new head to show.
    heads: watch::Sender<()>,
}

#[derive(Clone, Default)]
struct Node {
    port: u16,
    faults: Vec<Misbehave>,
    branch: Option<Arc<Mutex<Chain>>>,
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
    pub(crate) fn faults(&self, node: usize) -> Vec<Misbehave> {
        lock(&self.nodes).get(node).map(|node| node.faults.clone()).unwrap_or_default()
    }

    /// Says when to look for new heads.
    pub(crate) fn heads(&self) -> watch::Receiver<()> {
        self.heads.subscribe()
    }

    fn ring(&self) {
        self.heads.send_replace(());
    }

    /// Answers one JSON-RPC call of one node. The `devnet_` methods are ours: they let another process write.
    pub(crate) fn call(&self, node: usize, method: &str, params: &[Value]) -> Result<Value, RpcError> {
        match method {
            "devnet_mine" => self.mine(0).map(render::data).map_err(RpcError::server),
            "devnet_deployRegistry" => Ok(render::data(self.deploy_registry())),
            "devnet_emitEvent" => self.emit_by_rpc(params),
            _ => self.with_view(node, |view| rpc::call(view, method, params)),
        }
    }

    fn emit_by_rpc(&self, params: &[Value]) -> Result<Value, RpcError> {
        let [contract, signature, args] = params else {
            return Err(RpcError::params("expected contract, event signature, list of strings"));
        };
        let strings = |value: &Value| value.as_array()?.iter().map(|v| v.as_str().map(str::to_owned)).collect();
        let (Some(signature), Some(args)) = (signature.as_str(), strings(args)) else {
            return Err(RpcError::params("expected an event signature and a list of strings"));
        };
        let event = EventCall { signature: signature.to_owned(), args };
        let call = event_call(rpc::address(contract)?, &event).map_err(RpcError::server)?;
        Ok(render::data(lock(&self.chain).submit(call)))
    }

    /// Shows the ledger as this node tells it.
    pub(crate) fn with_view<T>(&self, node: usize, show: impl FnOnce(&View<'_>) -> T) -> T {
        let Node { faults, branch, .. } = lock(&self.nodes).get(node).cloned().unwrap_or_default();
        let other = faults.iter().find_map(|fault| match fault {
            Misbehave::OtherNetwork(devnet) => Some(Arc::clone(&devnet.shared)),
            _ => None,
        });
        if let Some(other) = other {
            return show(&View::new(&lock(&other.chain), node, &faults));
        }
        let Some(branch) = branch else {
            return show(&View::new(&lock(&self.chain), node, &faults));
        };
        let mut branch = lock(&branch);
        self.catch_up(&mut branch);
        show(&View::new(&branch, node, &faults))
    }

    /// A branch grows with the ledger, by empty blocks of the same times.
    fn catch_up(&self, branch: &mut Chain) {
        let chain = lock(&self.chain);
        while let Some(block) = chain.at(branch.height().saturating_add(1)) {
            if branch.mine(block.block.header.timestamp).is_err() {
                return;
            }
        }
    }

    fn mine(&self, not_before: u64) -> Result<[u8; 32], DevnetError> {
        let mined = lock(&self.chain).mine(not_before).map(Into::into);
        self.ring();
        mined
    }

    fn deploy_registry(&self) -> [u8; 20] {
        lock(&self.chain).deploy(registry::creation_code(), registry::runtime_code()).into()
    }

    /// Each tick makes a block, except an empty one within the second of its parent.
    fn tick(&self, now: u64) {
        let mut chain = lock(&self.chain);
        if now <= chain.head().block.header.timestamp && chain.pending() == 0 {
            return;
        }
        if let Err(error) = chain.mine(now) {
            tracing::debug!(%error, "no block made");
        }
        drop(chain);
        self.ring();
    }
}

/// The transaction that makes a contract emit one event.
fn event_call(contract: Address, event: &EventCall) -> Result<Call, DevnetError> {
    let (topic, data) = event.encode()?;
    let log = Log { address: contract, topics: vec![topic], data };
    Ok(Call::new(contract, registry::call_data(event), vec![log]))
}

impl Devnet {
    /// Starts a ledger with one node. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`DevnetError::Config`] for values out of range, [`DevnetError::Listen`] when no port can be opened.
    pub async fn start(config: DevnetConfig) -> Result<Self, DevnetError> {
        check(&config)?;
        let (chain, addresses) = new_chain(&config);
        let genesis_hash = chain.head().hash.into();
        let shared = Arc::new(Shared {
            chain: Mutex::new(chain),
            nodes: Mutex::default(),
            addresses,
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
                    _ = ticks.tick() => shared.tick(wall_clock()),
                }
            }
        });
    }

    /// Opens a further endpoint of the same network; it is honest until told otherwise.
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

    /// JSON-RPC URL of the first node.
    pub fn url(&self) -> String {
        node_url(&self.shared, 0)
    }

    /// WebSocket URL of the first node: the same methods, and subscriptions.
    pub fn ws_url(&self) -> String {
        self.first_node().ws_url()
    }

    /// Hash of block 0.
    pub fn genesis_hash(&self) -> [u8; 32] {
        self.genesis_hash
    }

    /// Chain id of EIP-155.
    pub fn chain_id(&self) -> u64 {
        lock(&self.shared.chain).chain_id()
    }

    /// The set that seals the next block, ascending.
    pub fn validators(&self) -> Vec<[u8; 20]> {
        lock(&self.shared.chain).head().tally.validators().iter().map(|v| (*v).into()).collect()
    }

    /// Addresses whose keys the ledger holds: the validators at genesis in ascending order, then 16 spare ones that
    /// can be voted in. Indices of [`Devnet::stop_validator`] count here.
    pub fn known_validators(&self) -> Vec<[u8; 20]> {
        self.shared.addresses.iter().map(|address| (*address).into()).collect()
    }

    /// The account that sends every transaction, and the registrar of every registry.
    pub fn registrar(&self) -> [u8; 20] {
        lock(&self.shared.chain).registrar().into()
    }

    /// Number of the last block.
    pub fn height(&self) -> u64 {
        lock(&self.shared.chain).height()
    }

    /// Hash of a block.
    pub fn block_hash(&self, height: u64) -> Option<[u8; 32]> {
        lock(&self.shared.chain).at(height).map(|block| block.hash.into())
    }

    /// Deploys the registry contract in the next block and gives its address.
    pub fn deploy_registry(&self) -> [u8; 20] {
        self.shared.deploy_registry()
    }

    /// Queues one event of a contract for the next block and gives the transaction's hash. The contract need not be
    /// deployed: then it is one without code that emits.
    ///
    /// # Errors
    /// [`DevnetError::Abi`] when the call cannot be encoded.
    pub fn emit(&self, contract: [u8; 20], event: &EventCall) -> Result<[u8; 32], DevnetError> {
        Ok(self.submit(event_call(contract.into(), event)?))
    }

    /// The same from borrowed parts: `emit_event(contract, "Granted(string,string)", &["a", "b"])`.
    ///
    /// # Errors
    /// [`DevnetError::Abi`] when the call cannot be encoded.
    pub fn emit_event(&self, contract: [u8; 20], signature: &str, args: &[&str]) -> Result<[u8; 32], DevnetError> {
        self.emit(contract, &EventCall::new(signature, args))
    }

    /// Queues a log with any topics and data.
    pub fn emit_log(&self, address: [u8; 20], topics: &[[u8; 32]], data: &[u8]) -> [u8; 32] {
        let address = Address::from(address);
        let topics = topics.iter().map(|topic| (*topic).into()).collect();
        let log = Log { address, topics, data: Bytes::copy_from_slice(data) };
        self.submit(Call::new(address, Bytes::new(), vec![log]))
    }

    /// Queues any transaction: several logs, none, or one that fails.
    pub fn submit(&self, call: Call) -> [u8; 32] {
        lock(&self.shared.chain).submit(call).into()
    }

    /// Puts this code at an address in the next block, as an upgrade would; empty code takes it away and leaves the
    /// storage.
    pub fn set_code(&self, address: [u8; 20], code: &[u8]) {
        self.change(Change::Code(address.into(), Bytes::copy_from_slice(code)));
    }

    /// Puts a number (big-endian) into a slot of an account in the next block; zero clears it.
    pub fn set_storage(&self, address: [u8; 20], slot: [u8; 32], value: [u8; 32]) {
        self.change(Change::Slot(address.into(), slot.into(), U256::from_be_bytes(value)));
    }

    /// Takes an account away in the next block, with code and storage, as after SELFDESTRUCT.
    pub fn destroy(&self, address: [u8; 20]) {
        self.change(Change::Destroy(address.into()));
    }

    fn change(&self, change: Change) {
        lock(&self.shared.chain).change(change);
    }

    /// The code at an address after a block; `None` where there is none or the block is not known.
    pub fn code(&self, height: u64, address: [u8; 20]) -> Option<Vec<u8>> {
        Some(lock(&self.shared.chain).at(height)?.code(&address.into())?.to_vec())
    }

    /// Makes the next block one second after its parent and gives its hash.
    ///
    /// # Errors
    /// [`DevnetError::NoQuorum`] when too few validators run; what is queued stays queued.
    pub fn mine(&self) -> Result<[u8; 32], DevnetError> {
        self.shared.mine(0)
    }

    /// Makes the next block at this time (Unix seconds), or one second after its parent where that is later.
    ///
    /// # Errors
    /// [`DevnetError::NoQuorum`], as [`Devnet::mine`].
    pub fn mine_at(&self, time: u64) -> Result<[u8; 32], DevnetError> {
        self.shared.mine(time)
    }

    /// From now on nobody seals blocks: a ledger that stands on its node's word alone. Before the first block, or its
    /// headers do not link by their bytes.
    pub fn seal_no_more(&self) {
        lock(&self.shared.chain).seal_no_more();
    }

    /// Leaves the branch from height `from` (1 or more) on: the next block is another one of that height. What was queued
    /// is dropped.
    pub fn reorganise(&self, from: u64) {
        let mut chain = lock(&self.shared.chain);
        *chain = chain.branch(from);
    }

    /// Every validator votes for the change when it proposes, until the change is made.
    pub fn vote(&self, candidate: [u8; 20], add: bool) {
        let mut chain = lock(&self.shared.chain);
        let vote = Vote { candidate: candidate.into(), add };
        self.shared.addresses.iter().for_each(|voter| chain.wish(*voter, vote));
    }

    /// One validator alone votes for the change.
    ///
    /// # Errors
    /// [`DevnetError::Index`] when [`Devnet::known_validators`] has no such place.
    pub fn vote_by(&self, validator: usize, candidate: [u8; 20], add: bool) -> Result<(), DevnetError> {
        let voter = self.known(validator)?;
        lock(&self.shared.chain).wish(voter, Vote { candidate: candidate.into(), add });
        Ok(())
    }

    /// Stops a validator: it neither proposes nor seals.
    ///
    /// # Errors
    /// [`DevnetError::Index`] when [`Devnet::known_validators`] has no such place.
    pub fn stop_validator(&self, validator: usize) -> Result<(), DevnetError> {
        let address = self.known(validator)?;
        lock(&self.shared.chain).set_running(address, false);
        Ok(())
    }

    /// Starts a stopped validator again.
    ///
    /// # Errors
    /// [`DevnetError::Index`] when [`Devnet::known_validators`] has no such place.
    pub fn start_validator(&self, validator: usize) -> Result<(), DevnetError> {
        let address = self.known(validator)?;
        lock(&self.shared.chain).set_running(address, true);
        Ok(())
    }

    fn known(&self, index: usize) -> Result<Address, DevnetError> {
        let addresses = &self.shared.addresses;
        addresses.get(index).copied().ok_or(DevnetError::Index { count: addresses.len(), got: index })
    }

    /// A block's bytes as the first node holds them.
    pub fn block_rlp(&self, height: u64) -> Option<Vec<u8>> {
        self.first_node().block_rlp(height)
    }

    /// A header's bytes as the first node holds them.
    pub fn header_rlp(&self, height: u64) -> Option<Vec<u8>> {
        self.first_node().header_rlp(height)
    }

    /// A block's receipts in consensus encoding as the first node holds them.
    pub fn receipts_rlp(&self, height: u64) -> Option<Vec<Vec<u8>>> {
        self.first_node().receipts_rlp(height)
    }
}

/// One RPC endpoint of a ledger. It keeps the ledger running.
#[derive(Debug, Clone)]
pub struct NodeHandle {
    devnet: Devnet,
    index: usize,
}

impl NodeHandle {
    /// JSON-RPC URL of this node.
    pub fn url(&self) -> String {
        node_url(&self.devnet.shared, self.index)
    }

    /// WebSocket URL of this node.
    pub fn ws_url(&self) -> String {
        self.url().replacen("http", "ws", 1)
    }

    /// Adds a misbehaviour to those that already hold. A second fork replaces the first.
    ///
    /// # Errors
    /// For a fork: [`DevnetError::Height`] when the ledger has no such block, [`DevnetError::Abi`] when an event
    /// cannot be encoded, [`DevnetError::NoQuorum`] when too few validators run to seal twice.
    pub fn misbehave(&self, fault: Misbehave) -> Result<(), DevnetError> {
        let branch = match &fault {
            Misbehave::Fork { from, events } => Some(self.branch(*from, events)?),
            _ => None,
        };
        let mut nodes = lock(&self.devnet.shared.nodes);
        if let Some(node) = nodes.get_mut(self.index) {
            node.faults.push(fault);
            node.branch = branch.map(|branch| Arc::new(Mutex::new(branch))).or_else(|| node.branch.take());
        }
        drop(nodes);
        self.devnet.shared.ring();
        Ok(())
    }

    fn branch(&self, from: u64, events: &[([u8; 20], EventCall)]) -> Result<Chain, DevnetError> {
        let chain = lock(&self.devnet.shared.chain);
        let Some(block) = chain.at(from).filter(|_| from > 0) else {
            return Err(DevnetError::Height { head: chain.height(), got: from });
        };
        let mut branch = chain.branch(from);
        for (contract, event) in events {
            branch.submit(event_call((*contract).into(), event)?);
        }
        branch.mine(block.block.header.timestamp)?;
        Ok(branch)
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
        let port = lock(&self.devnet.shared.nodes).get(self.index).map_or(0, |node| node.port);
        let (listener, _) = http::listen(port).await?;
        self.devnet.serve(listener, self.index);
        Ok(())
    }

    /// Number of the last block this node admits to.
    pub fn height(&self) -> u64 {
        self.devnet.shared.with_view(self.index, |view| view.height())
    }

    /// A block's bytes as this node tells them.
    pub fn block_rlp(&self, height: u64) -> Option<Vec<u8>> {
        self.devnet.shared.with_view(self.index, |view| Some(view.block(height)?.to_block().to_rlp()))
    }

    /// A header's bytes as this node tells them.
    pub fn header_rlp(&self, height: u64) -> Option<Vec<u8>> {
        self.devnet.shared.with_view(self.index, |view| Some(view.block(height)?.header.to_rlp()))
    }

    /// A block's receipts in consensus encoding as this node tells them.
    pub fn receipts_rlp(&self, height: u64) -> Option<Vec<Vec<u8>>> {
        self.devnet.shared.with_view(self.index, |view| {
            let told = view.block(height)?;
            let count = view.receipts_admitted(told.receipts.len());
            Some(told.receipts.iter().take(count).map(Receipt::to_consensus).collect())
        })
    }
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
    if config.validators == 0 || config.validators > MAX_VALIDATORS {
        return Err(DevnetError::Config { expected: "1 to 100 validators", got: config.validators as u64 });
    }
    if config.epoch == 0 {
        return Err(DevnetError::Config { expected: "an epoch of 1 block or more", got: 0 });
    }
    if config.block_time.is_some_and(|time| time.is_zero()) {
        return Err(DevnetError::Config { expected: "a block time above zero, or none", got: 0 });
    }
    Ok(())
}

fn new_chain(config: &DevnetConfig) -> (Chain, Vec<Address>) {
    let count = config.validators + SPARE_KEYS;
    let keys: Vec<Key> = (0..count as u64).map(|index| Key::derive(&config.seed, "validator", index)).collect();
    let mut addresses: Vec<Address> = keys.iter().map(Key::address).collect();
    let (first, _) = addresses.split_at_mut(config.validators);
    first.sort_unstable();
    let chain = Chain::new(&config.seed, config.chain_id, config.epoch, config.genesis_time, first, keys);
    (chain, addresses)
}

fn node_url(shared: &Shared, node: usize) -> String {
    let port = lock(&shared.nodes).get(node).map_or(0, |node| node.port);
    format!("http://127.0.0.1:{port}")
}

/// Unix seconds: the one place that reads a clock, for the timer alone.
#[expect(
    clippy::disallowed_methods,
    reason = "a ledger of its own has a clock of its own; blocks take it as an argument"
)]
fn wall_clock() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |time| time.as_secs())
}
