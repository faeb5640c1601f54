//! The source over all nodes: who is asked next, what is checked before it is handed on, who is benched for what.
//!
//! One node is asked at a time, and the one that served last is asked first: a ledger read from one place is read in
//! one version. What a node says is checked against itself (links, roots) and against blocks that the light client has
//! trusted meanwhile; a node that contradicts is benched for a growing time and the next one is asked. Nothing here
//! decides what is true, and least of all an announcement of a new head (`heads.rs`): it only makes us ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use futures_util::future::join_all;
use hufu_adapters_light_client::{Selector, Step, TrustedBlock};
use hufu_adapters_nodes::fault::nobody_served;
use hufu_adapters_nodes::hint::{self, Bell, Socket};
use hufu_adapters_nodes::progress::Meter;
use hufu_adapters_nodes::standing::{Bench, Standing, jitter};
use hufu_adapters_source::{BlockEvidence, NodeStatus, Progress, Source, SourceDescription, SourceError};
use hufu_evm_light_client::anchor::FAMILY;
use hufu_evm_light_client::block_state::BlockState;
use hufu_evm_light_client::fault::Reason;
use hufu_evm_light_client::receipt::{MAX_EVIDENCE_BYTES, open_evidence, write_evidence};
use hufu_evm_light_client::{Hash32, Header, needs_evidence};
use hufu_schemas_core::Height;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::blocks::possible_hashes;
use crate::config::{ConfigFault, EvmSourceConfig};
use crate::control::Pins;
use crate::heads::DIALECT;
use crate::node::{Node, NodeFault};
use crate::slots::Slots;

/// The light client's label for a branch that does not outweigh what is trusted.
const BRANCH_NOT_BETTER: &str = "branch-not-better";
/// Hashes of trusted blocks that are remembered to tell forked nodes; the lowest are forgotten first.
const TRUSTED_MOST: usize = 4_096;

/// An EVM ledger read over JSON-RPC from several nodes.
#[derive(Debug)]
pub struct EvmSource {
    config: EvmSourceConfig,
    nodes: Vec<Node>,
    view: Mutex<View>,
    sockets: Vec<Arc<Socket>>,
    bell: Arc<Bell>,
    /// The tasks behind the sockets, from the first question on: before it there may be no runtime.
    listening: OnceLock<JoinSet<()>>,
}

/// What changes.
#[derive(Debug)]
struct View {
    standings: Vec<Standing>,
    /// The node that served last.
    served: Option<usize>,
    /// Blocks that the light client trusts, as the gateway showed them to us.
    trusted: BTreeMap<u64, Hash32>,
    meter: Meter,
}

impl EvmSource {
    /// A source that has asked nobody yet.
    ///
    /// # Errors
    /// [`ConfigFault`] for a configuration that cannot work: no node, two of one name, `https` before the process has
    /// installed a TLS provider.
    pub fn new(config: EvmSourceConfig) -> Result<Self, ConfigFault> {
        config.check()?;
        let bell = Arc::<Bell>::default();
        let (mut nodes, mut sockets) = (Vec::with_capacity(config.nodes.len()), Vec::new());
        for node in &config.nodes {
            nodes.push(Node::new(node, &config.patience, &config.limits, Arc::clone(&bell))?);
            sockets.extend(Socket::of(node, &config.patience, DIALECT)?.map(Arc::new));
        }
        let standings = vec![Standing::default(); nodes.len()];
        let view = View { standings, served: None, trusted: BTreeMap::new(), meter: Meter::default() };
        Ok(Self { config, nodes, view: Mutex::new(view), sockets, bell, listening: OnceLock::new() })
    }

    fn listen(&self) {
        self.listening.get_or_init(|| hint::listen(&self.sockets, &self.bell));
    }

    fn view(&self) -> MutexGuard<'_, View> {
        // Each change is one step: a holder that panicked left nothing half done.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The nodes to ask, in turn: who served last, the others, and at the end those that are merely behind.
    fn in_turn(&self) -> Vec<(usize, &Node)> {
        let view = self.view();
        let now = Instant::now();
        let mut order: Vec<(u8, usize)> = Vec::with_capacity(self.nodes.len());
        for (at, standing) in view.standings.iter().enumerate() {
            match standing.benched(now) {
                None => order.push((u8::from(view.served != Some(at)), at)),
                Some(Bench::Behind) => order.push((2, at)),
                Some(_) => {}
            }
        }
        order.sort_unstable();
        order.into_iter().filter_map(|(_, at)| self.nodes.get(at).map(|node| (at, node))).collect()
    }

    /// Benches a node. One that merely lacks history, or has a block too large for us, stays: it serves other heights.
    fn bench(&self, at: usize, fault: &NodeFault) {
        let Some(node) = self.nodes.get(at) else { return };
        if fault.is_no_fault_of_its_own() {
            return;
        }
        tracing::warn!(node = node.name(), benched = fault.bench().as_str(), %fault, "node benched");
        node.forget();
        let mut view = self.view();
        if let Some(standing) = view.standings.get_mut(at) {
            standing.bench(fault.clone(), Instant::now(), &self.config.patience, jitter());
        }
    }

    fn served(&self, at: usize) {
        self.view().served = Some(at);
    }

    /// The error when nobody served: by who must act.
    fn nobody(&self, asked: Vec<(usize, NodeFault)>) -> SourceError {
        let mut faults = asked;
        {
            let view = self.view();
            let now = Instant::now();
            for (at, standing) in view.standings.iter().enumerate() {
                if let Some(fault) = standing.fault(now)
                    && faults.iter().all(|(asked, _)| *asked != at)
                {
                    faults.push((at, fault.clone()));
                }
            }
        }
        let nodes: Vec<&str> = self.nodes.iter().map(Node::name).collect();
        nobody_served(faults, &nodes)
    }

    /// The height a node claims, once it has shown that it belongs to this ledger.
    async fn claim(&self, at: usize, node: &Node, wanted: Option<u64>) -> Result<u64, NodeFault> {
        node.check(Hash32::new(self.config.genesis), self.config.chain_id).await?;
        let tip = node.tip(wanted).await?;
        if let Some(standing) = self.view().standings.get_mut(at) {
            standing.height = Some(Height::new(tip));
        }
        Ok(tip)
    }

    /// Benches who is too far behind the best claim. A claim that leaves others behind must first be made good: a node
    /// that names a height it cannot show would otherwise silence all honest ones.
    async fn judge_claims(&self, mut claims: Vec<(usize, u64)>) -> Option<u64> {
        loop {
            let (at, best) = claims.iter().copied().max_by_key(|(_, tip)| *tip)?;
            let lag = self.config.limits.lag;
            let behind = |tip: u64| tip.saturating_add(lag) < best;
            if claims.iter().any(|(_, tip)| behind(*tip))
                && let Err(fault) = self.show(at, best).await
            {
                self.bench(at, &fault);
                claims.retain(|(other, _)| *other != at);
                continue;
            }
            for (at, tip) in &claims {
                if behind(*tip) {
                    self.bench(*at, &NodeFault::Behind { wanted: best, at: *tip });
                } else if let Some(standing) = self.view().standings.get_mut(*at) {
                    standing.no_longer_behind(Instant::now());
                }
            }
            return Some(best);
        }
    }

    async fn show(&self, at: usize, height: u64) -> Result<(), NodeFault> {
        let Some(node) = self.nodes.get(at) else { return Ok(()) };
        match node.headers(&[height]).await?.pop().flatten() {
            Some(_) => Ok(()),
            None => Err(NodeFault::Lying(format!("claims height {height} and does not show it"))),
        }
    }

    /// Steps from one node, checked. Empty when it is not that far.
    async fn steps_from(&self, at: usize, node: &Node, from: u64, limit: usize) -> Result<Vec<Step>, NodeFault> {
        let last = from.saturating_add(u64::try_from(limit).unwrap_or(u64::MAX) - 1);
        let tip = self.claim(at, node, Some(last)).await?;
        let trusted = self.view().trusted.last_key_value().map_or(0, |(height, _)| *height);
        if tip.saturating_add(self.config.limits.lag) < trusted && !node.claims_of_old() {
            return Err(NodeFault::Behind { wanted: trusted, at: tip });
        }
        if tip < from {
            return Ok(Vec::new());
        }
        self.measure(from.saturating_sub(1), tip);
        let heights: Vec<u64> = (from..=last.min(tip)).collect();
        let mut headers = self.known_headers(node, &heights).await?;
        if broken_link(&headers).is_some() {
            // The node may have reorganised between two batches: it gets a second chance, in one go.
            headers = self.known_headers(node, &heights).await?;
        }
        if let Some(broken) = broken_link(&headers) {
            return Err(NodeFault::Lying(broken));
        }
        self.check_against_trusted(&headers)?;
        Ok(headers.into_iter().map(step_of).collect())
    }

    /// Notes how far the reader has come, and says so now and then.
    fn measure(&self, height: u64, target: u64) {
        let news = self.view().meter.at(height, target, Instant::now());
        if let Some(news) = news {
            news.tell();
        }
    }

    /// The headers up to the first that the node does not have.
    async fn known_headers(&self, node: &Node, heights: &[u64]) -> Result<Vec<Header>, NodeFault> {
        let found: Vec<Header> = node.headers(heights).await?.into_iter().map_while(|header| header).collect();
        let Some(from) = heights.first().filter(|_| found.is_empty()) else { return Ok(found) };
        node.forget_tip();
        Err(self.absent(node, *from, "header").await)
    }

    /// What it means that a node has nothing for this height: it is not that far, it no longer is, or it boasts.
    async fn absent(&self, node: &Node, height: u64, what: &str) -> NodeFault {
        let tip = match node.tip(None).await {
            Ok(tip) => tip,
            Err(fault) => return fault,
        };
        // Nodes prune from below: what lies a little above a block seen lately, and a little below what the node claims,
        // has not come yet.
        let near = tip.saturating_sub(height) <= self.config.limits.lag;
        if tip < height || (near && self.lately(height)) {
            return NodeFault::Behind { wanted: height, at: tip.min(height.saturating_sub(1)) };
        }
        match node.headers(&[tip]).await.map(|mut headers| headers.pop().flatten()) {
            Ok(Some(_)) => NodeFault::Pruned(format!("the {what} of block {height}, though it is at height {tip}")),
            Ok(None) => NodeFault::Lying(format!("claims height {tip} and does not show it")),
            Err(fault) => fault,
        }
    }

    fn lately(&self, height: u64) -> bool {
        self.view().trusted.last_key_value().is_some_and(|(trusted, _)| *trusted < height)
    }

    /// Headers of trusted heights must be the trusted ones, and the first must stand on the trusted one below it. Where
    /// trusted blocks may be undone the light client compares branches instead.
    fn check_against_trusted(&self, headers: &[Header]) -> Result<(), NodeFault> {
        if self.config.reorganises {
            return Ok(());
        }
        let view = self.view();
        if let Some(first) = headers.first()
            && let Some(below) = first.fields().number.checked_sub(1).and_then(|below| view.trusted.get(&below))
            && first.fields().parent_hash != *below
        {
            let (number, parent) = (first.fields().number, first.fields().parent_hash);
            return Err(NodeFault::Forked(format!("block {number}: expected parent {below}, got {parent}")));
        }
        for header in headers {
            if let Some(trusted) = view.trusted.get(&header.fields().number) {
                require_hash(header, *trusted)?;
            }
        }
        Ok(())
    }

    fn remember(&self, blocks: &[TrustedBlock]) {
        let mut view = self.view();
        for block in blocks {
            view.trusted.insert(block.height().get(), Hash32::new(*block.hash().as_bytes()));
        }
        while view.trusted.len() > TRUSTED_MOST {
            view.trusted.pop_first();
        }
    }

    /// Evidence of these blocks from one node, as far as it goes; with what stopped it.
    async fn evidence_from(&self, node: &Node, at: usize, wanted: &mut [Wanted]) -> Result<(), NodeFault> {
        self.claim(at, node, wanted.iter().map(|block| block.height).max()).await?;
        let limits = &self.config.limits;
        for part in wanted.chunks_mut(limits.receipts_batch.saturating_mul(limits.in_flight)) {
            match self.evidence_of(node, part).await {
                // Together they were too much: a block at a time.
                Err(NodeFault::TooLarge(_)) => {
                    for block in part {
                        let height = block.height;
                        let told = self.evidence_of(node, std::slice::from_mut(block)).await;
                        told.map_err(|fault| of_one_block(height, fault))?;
                    }
                }
                told => told?,
            }
        }
        Ok(())
    }

    /// Asks each node in turn for what is still open; what stopped each.
    async fn ask_for_evidence(&self, open: &mut [Wanted]) -> Vec<(usize, NodeFault)> {
        let mut faults = Vec::new();
        for (at, node) in self.in_turn() {
            if still_open(open) == 0 {
                break;
            }
            match self.evidence_from(node, at, open).await {
                Ok(()) => self.served(at),
                Err(fault) => {
                    self.bench(at, &fault);
                    faults.push((at, fault));
                }
            }
        }
        faults
    }

    async fn evidence_of(&self, node: &Node, wanted: &mut [Wanted]) -> Result<(), NodeFault> {
        for block in wanted.iter_mut().filter(|block| block.evidence.is_none()) {
            if let Some(slots) = &block.slots {
                block.evidence = Some(match slots.show(node, block.height).await {
                    Err(NodeFault::Lying(fault)) => return Err(forked_or_lying(node, block, fault).await),
                    shown => shown?,
                });
            }
        }
        let mut open: Vec<&mut Wanted> = wanted.iter_mut().filter(|block| block.evidence.is_none()).collect();
        let heights: Vec<u64> = open.iter().map(|block| block.height).collect();
        let receipts = node.receipts(&heights).await?;
        for (block, receipts) in open.iter_mut().zip(receipts) {
            let Some(receipts) = receipts else {
                node.forget_tip();
                return Err(self.absent(node, block.height, "receipts").await);
            };
            let evidence = write_evidence(&receipts);
            if let Err(fault) = open_evidence(&evidence, block.receipts_root) {
                if fault.reason() == Reason::TooLarge.as_str() {
                    return Err(NodeFault::TooLarge(MAX_EVIDENCE_BYTES));
                }
                return Err(match forked_or_lying(node, block, fault.to_string()).await {
                    // It is asked again, after the others: its branch may be what the light client follows next.
                    NodeFault::Forked(_) if self.config.reorganises => {
                        NodeFault::Behind { wanted: block.height, at: block.height.saturating_sub(1) }
                    }
                    fault => fault,
                });
            }
            let evidence = match &block.pins {
                None => evidence,
                Some(pins) => match pins.show(node, block.height, &receipts, evidence).await {
                    Err(NodeFault::Lying(fault)) => return Err(forked_or_lying(node, block, fault).await),
                    shown => shown?,
                },
            };
            // With what shows the code of contracts.
            if evidence.len() > MAX_EVIDENCE_BYTES {
                return Err(NodeFault::TooLarge(MAX_EVIDENCE_BYTES));
            }
            block.evidence = Some(evidence);
        }
        Ok(())
    }

    /// A node's header of one height, for comparison. A node that contradicts a trusted block is benched, but what it
    /// said is handed on all the same: if it is well signed it is evidence.
    async fn other(&self, at: usize, node: &Node, height: u64) -> Option<Step> {
        let header = self.shown(at, node, height).await?;
        if let Err(fault) = self.check_against_trusted(std::slice::from_ref(&header)) {
            self.bench(at, &fault);
        }
        Some(step_of(header))
    }

    /// A node's header of one height, or of its last one where it is not that far.
    async fn shown(&self, at: usize, node: &Node, height: u64) -> Option<Header> {
        let asked = async {
            let tip = self.claim(at, node, Some(height)).await?;
            Ok(node.headers(&[height.min(tip)]).await?.pop().flatten())
        };
        match asked.await {
            Ok(header) => header,
            Err(fault) => {
                self.bench(at, &fault);
                None
            }
        }
    }
}

/// A trusted block whose receipts are to be fetched.
struct Wanted {
    height: u64,
    hash: Hash32,
    receipts_root: Hash32,
    /// What the lane pins of contracts' code, where it does.
    pins: Option<Pins>,
    /// The slots that the lane follows in place of events, where it does.
    slots: Option<Slots>,
    evidence: Option<Vec<u8>>,
}

fn still_open(wanted: &[Wanted]) -> usize {
    wanted.iter().filter(|block| block.evidence.is_none()).count()
}

/// Too much, where one block alone was asked for, is the block's.
fn of_one_block(height: u64, fault: NodeFault) -> NodeFault {
    match fault {
        NodeFault::TooLarge(most) => NodeFault::BlockTooLarge { height, detail: format!("more than {most} bytes") },
        other => other,
    }
}

/// What receipts a block needs for this selector; `None` when the block itself excludes it.
fn wanted(block: &TrustedBlock, selector: &Selector) -> Result<Option<Wanted>, SourceError> {
    let state = block.state();
    // A selector that cannot be read excludes nothing; the light client will say what is wrong with it.
    if !needs_evidence(state, selector).unwrap_or(true) {
        return Ok(None);
    }
    let receipts_root = BlockState::read(state).map_err(|fault| foreign(block, &fault.to_string()))?.receipts_root;
    let hash = Hash32::new(*block.hash().as_bytes());
    let (pins, slots) = (Pins::of(block, selector), Slots::of(block, selector));
    Ok(Some(Wanted { height: block.height().get(), hash, receipts_root, pins, slots, evidence: None }))
}

fn foreign(block: &TrustedBlock, got: &str) -> SourceError {
    SourceError::Malformed {
        node: format!("trusted block {} of {}", block.height(), block.ledger()),
        expected: "a block that this family's light client trusted".to_owned(),
        got: got.to_owned(),
    }
}

/// Receipts that do not rebuild the trusted root: those of another block of that height, or of none.
async fn forked_or_lying(node: &Node, block: &Wanted, fault: String) -> NodeFault {
    match node.headers(&[block.height]).await.ok().and_then(|mut headers| headers.pop().flatten()) {
        Some(header) => match require_hash(&header, block.hash) {
            Err(forked) => forked,
            Ok(()) => NodeFault::Lying(format!("receipts of block {}: {fault}", block.height)),
        },
        None => NodeFault::Lying(format!("receipts of block {} without its header: {fault}", block.height)),
    }
}

fn require_hash(header: &Header, trusted: Hash32) -> Result<(), NodeFault> {
    let hashes = possible_hashes(header);
    if hashes.contains(&trusted) {
        return Ok(());
    }
    // The last of the possible hashes is that of the most particular rule.
    let got = hashes.last().map(ToString::to_string).unwrap_or_default();
    Err(NodeFault::Forked(format!("block {}: expected hash {trusted}, got {got}", header.fields().number)))
}

/// Where two headers do not link, if anywhere.
fn broken_link(headers: &[Header]) -> Option<String> {
    let pairs = headers.iter().zip(headers.iter().skip(1));
    pairs.into_iter().find_map(|(header, next)| {
        let parent = next.fields().parent_hash;
        if possible_hashes(header).contains(&parent) {
            return None;
        }
        let number = next.fields().number;
        Some(format!("block {number} names parent {parent}, which its header of the height below does not hash to"))
    })
}

fn step_of(header: Header) -> Step {
    Step { height: Height::new(header.fields().number), bytes: header.raw().to_vec() }
}

#[async_trait]
impl Source for EvmSource {
    fn describe(&self) -> SourceDescription {
        let view = self.view();
        let now = Instant::now();
        let status = |(node, standing): (&Node, &Standing)| NodeStatus {
            name: node.name().to_owned(),
            height: standing.height,
            benched: standing.benched(now).map(Bench::as_str),
        };
        SourceDescription {
            family: FAMILY.to_owned(),
            nodes: self.nodes.iter().zip(&view.standings).map(status).collect(),
        }
    }

    fn progress(&self) -> Option<Progress> {
        self.view().meter.progress()
    }

    async fn hint(&self) {
        self.listen();
        self.bell.heard().await;
    }

    async fn tip(&self) -> Result<Height, SourceError> {
        self.listen();
        let asked = self.in_turn();
        let answers = join_all(asked.iter().map(|(at, node)| self.claim(*at, node, None))).await;
        let (mut claims, mut old) = (Vec::with_capacity(answers.len()), Vec::new());
        let mut faults = Vec::new();
        for ((at, node), answer) in asked.into_iter().zip(answers) {
            match answer {
                Ok(tip) if node.claims_of_old() => old.push((at, tip)),
                Ok(tip) => claims.push((at, tip)),
                Err(fault) => {
                    self.bench(at, &fault);
                    faults.push((at, fault));
                }
            }
        }
        let claims = if claims.is_empty() { old } else { claims };
        self.judge_claims(claims).await.map(Height::new).ok_or_else(|| self.nobody(faults))
    }

    async fn steps(&self, from: Height, limit: usize) -> Result<Vec<Step>, SourceError> {
        self.listen();
        let limit = limit.min(self.config.limits.steps);
        if limit == 0 {
            return Ok(Vec::new());
        }
        let mut at_the_tip = false;
        let mut faults = Vec::new();
        for (at, node) in self.in_turn() {
            match self.steps_from(at, node, from.get(), limit).await {
                Ok(steps) if steps.is_empty() => at_the_tip = true,
                Ok(steps) => {
                    self.served(at);
                    return Ok(steps);
                }
                Err(fault) => {
                    self.bench(at, &fault);
                    faults.push((at, fault));
                }
            }
        }
        let pruned = faults.iter().any(|(_, fault)| matches!(fault, NodeFault::Pruned(_)));
        if at_the_tip && !pruned {
            return Ok(Vec::new());
        }
        Err(self.nobody(faults))
    }

    async fn evidence(&self, blocks: &[TrustedBlock], selector: &Selector) -> Result<Vec<BlockEvidence>, SourceError> {
        self.remember(blocks);
        let plan = blocks.iter().map(|block| wanted(block, selector)).collect::<Result<Vec<_>, _>>()?;
        let asked: Vec<bool> = plan.iter().map(Option::is_some).collect();
        let mut open: Vec<Wanted> = plan.into_iter().flatten().collect();
        loop {
            let left = still_open(&open);
            let faults = self.ask_for_evidence(&mut open).await;
            match still_open(&open) {
                0 => break,
                // One gave what another finds too large: the other may give what follows.
                now if now < left
                    && faults.iter().any(|(_, fault)| matches!(fault, NodeFault::BlockTooLarge { .. })) => {}
                _ => return Err(self.nobody(faults)),
            }
        }
        let mut fetched = open.into_iter().filter_map(|block| block.evidence);
        let evidence = |(block, asked): (&TrustedBlock, bool)| BlockEvidence {
            height: block.height(),
            evidence: if asked { fetched.next() } else { None },
        };
        Ok(blocks.iter().zip(asked).map(evidence).collect())
    }

    fn refused(&self, reason: &str) {
        // A lane over slots that begins too low: no node can mend that.
        if reason == Reason::ParentState.as_str() {
            return;
        }
        let served = self.view().served.take();
        let Some(at) = served else { return };
        if reason == BRANCH_NOT_BETTER {
            // The rest of its branch may still come: it is asked again, after the others.
            let trusted = self.view().trusted.last_key_value().map_or(0, |(height, _)| *height);
            self.bench(at, &NodeFault::Behind { wanted: trusted, at: trusted.saturating_sub(1) });
        } else {
            self.bench(at, &NodeFault::Lying(format!("the light client refused it: {reason}")));
        }
    }

    async fn others(&self, height: Height) -> Result<Vec<Step>, SourceError> {
        let asked: Vec<(usize, &Node)> = {
            let view = self.view();
            let now = Instant::now();
            let asked = |at: usize| match view.standings.get(at).and_then(|standing| standing.benched(now)) {
                Some(Bench::Unreachable | Bench::WrongLedger) => false,
                // Its story may be well signed, also where it served last and went over to it.
                Some(Bench::Forked | Bench::Lying) => true,
                Some(Bench::Behind) | None => view.served != Some(at),
            };
            // A comparison can wait for the next time; what else these nodes are asked for should not wait for it.
            self.nodes.iter().enumerate().filter(|(at, node)| asked(*at) && !node.is_spent()).collect()
        };
        let told = join_all(asked.into_iter().map(|(at, node)| self.other(at, node, height.get()))).await;
        Ok(told.into_iter().flatten().collect())
    }

    async fn held_by(&self, node: &str, height: Height) -> Option<Step> {
        let (at, node) = self.nodes.iter().enumerate().find(|(_, known)| known.name() == node)?;
        self.shown(at, node, height.get()).await.map(step_of)
    }
}
