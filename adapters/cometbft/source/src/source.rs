//! The source over all nodes: who is asked next, what is checked before it is handed on, who is benched for what.
//!
//! One node is asked at a time (the primary), and the one that served last is asked first: a ledger read from one place
//! is read in one version. The others are its witnesses: what they hold at a trusted height is handed to the light
//! client, which freezes where two blocks of one height are signed. A node that contradicts itself or what is trusted is
//! benched for a growing time. Nothing here decides what is true, and least of all an announcement (`heads.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use async_trait::async_trait;
use futures_util::future::join_all;
use hufu_adapters_light_client::{Selector, Step, TrustedBlock};
use hufu_adapters_nodes::NodeFault;
use hufu_adapters_nodes::fault::nobody_served;
use hufu_adapters_nodes::hint::{self, Bell, Socket};
use hufu_adapters_nodes::progress::Meter;
use hufu_adapters_nodes::standing::{Bench, Standing, jitter};
use hufu_adapters_nodes::transport::Room;
use hufu_adapters_source::{BlockEvidence, NodeStatus, Progress, Source, SourceDescription, SourceError};
use hufu_cometbft_light_client::Hash32;
use hufu_cometbft_light_client::anchor::FAMILY;
use hufu_cometbft_light_client::block_state::BlockState;
use hufu_schemas_core::Height;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::config::{CometbftSourceConfig, ConfigFault};
use crate::evidence::{LastNumbers, Shower, Wanted, wanted};
use crate::heads::DIALECT;
use crate::node::{Claim, Node};
use crate::sets::Sets;
use crate::steps::{Seen, Steps, rival};

/// Blocks that are remembered to tell forked nodes; the lowest are forgotten first.
const REMEMBERED: usize = 4_096;

/// A CometBFT ledger read over its RPC from several nodes.
#[derive(Debug)]
pub struct CometbftSource {
    config: CometbftSourceConfig,
    nodes: Vec<Node>,
    sets: Sets,
    numbers: LastNumbers,
    view: Mutex<View>,
    sockets: Vec<Arc<Socket>>,
    bell: Arc<Bell>,
    /// The tasks behind the sockets, from the first question on: before it there may be no runtime.
    listening: OnceLock<JoinSet<()>>,
}

/// A block's hash, and the hash of those who sign it.
#[derive(Debug, Clone, Copy)]
struct Known {
    hash: Hash32,
    validators: Hash32,
}

/// What changes.
#[derive(Debug)]
struct View {
    standings: Vec<Standing>,
    /// The node that served last.
    served: Option<usize>,
    /// Blocks that the light client trusts, as the gateway showed them to us.
    trusted: BTreeMap<u64, Known>,
    /// Blocks that were handed on. Whether they became trusted is not known.
    handed: BTreeMap<u64, Known>,
    meter: Meter,
    /// From where heights were passed over last.
    jumped_from: Option<u64>,
}

fn remember(blocks: &mut BTreeMap<u64, Known>, height: u64, known: Known) {
    blocks.insert(height, known);
    while blocks.len() > REMEMBERED {
        blocks.pop_first();
    }
}

impl CometbftSource {
    /// A source that has asked nobody yet.
    ///
    /// # Errors
    /// [`ConfigFault`] for a configuration that cannot work: no node, two of one name, `https` before the process has
    /// installed a TLS provider.
    pub fn new(config: CometbftSourceConfig) -> Result<Self, ConfigFault> {
        config.check()?;
        let bell = Arc::<Bell>::default();
        let (mut nodes, mut sockets) = (Vec::with_capacity(config.nodes.len()), Vec::new());
        for node in &config.nodes {
            nodes.push(Node::new(node, &config.patience, &config.limits, Arc::clone(&bell))?);
            sockets.extend(Socket::of(node, &config.patience, DIALECT)?.map(Arc::new));
        }
        let view = View {
            standings: vec![Standing::default(); nodes.len()],
            served: None,
            trusted: BTreeMap::new(),
            handed: BTreeMap::new(),
            meter: Meter::default(),
            jumped_from: None,
        };
        Ok(Self {
            config,
            nodes,
            sets: Sets::default(),
            numbers: LastNumbers::default(),
            view: Mutex::new(view),
            sockets,
            bell,
            listening: OnceLock::new(),
        })
    }

    fn listen(&self) {
        self.listening.get_or_init(|| hint::listen(&self.sockets, &self.bell));
    }

    fn view(&self) -> MutexGuard<'_, View> {
        // Each change is one step: a holder that panicked left nothing half done.
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn room(&self) -> Room {
        Room::new(self.config.limits.held_bytes)
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

    /// Benches a node. One that merely lacks history stays, for it serves other heights, and so does one that has a block
    /// too large for anybody.
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
    fn nobody(&self, mut faults: Vec<(usize, NodeFault)>) -> SourceError {
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

    /// What a node claims, once it has shown that it belongs to this ledger.
    async fn claim(&self, at: usize, node: &Node, wanted: Option<u64>, room: &Room) -> Result<Claim, NodeFault> {
        node.check(&self.config.anchor, room).await?;
        let claim = node.claim(wanted, room).await?;
        if let Some(standing) = self.view().standings.get_mut(at) {
            standing.height = Some(Height::new(claim.tip));
        }
        Ok(claim)
    }

    /// Benches who is too far behind the best claim. A claim that leaves others behind must first be made good: a node
    /// that names a height it cannot show would otherwise silence all honest ones.
    async fn judge_claims(&self, mut claims: Vec<(usize, u64)>) -> Option<u64> {
        loop {
            let (at, best) = claims.iter().copied().max_by_key(|(_, tip)| *tip)?;
            let behind = |tip: u64| tip.saturating_add(self.config.limits.lag) < best;
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
        match node.signed_header(height, &self.room()).await {
            Ok(_) => Ok(()),
            Err(NodeFault::Unreachable(detail)) => Err(NodeFault::Unreachable(detail)),
            Err(fault) => Err(NodeFault::Lying(format!("claims height {height} and does not show it: {fault}"))),
        }
    }

    fn asking<'a>(&'a self, node: &'a Node, room: &'a Room) -> Steps<'a> {
        let Self { sets, config, .. } = self;
        Steps { node, anchor: &config.anchor, sets, in_flight: config.limits.in_flight, room }
    }

    /// Steps from one node, checked. Empty when it is not that far.
    async fn steps_from(&self, at: usize, node: &Node, from: u64, limit: usize) -> Result<Vec<Step>, NodeFault> {
        let room = self.room();
        let last = from.saturating_add(u64::try_from(limit).unwrap_or(u64::MAX) - 1);
        let claim = self.claim(at, node, Some(last), &room).await?;
        let trusted = self.view().trusted.last_key_value().map_or(0, |(height, _)| *height);
        if claim.tip.saturating_add(self.config.limits.lag) < trusted && !node.claims_of_old() {
            return Err(NodeFault::Behind { wanted: trusted, at: claim.tip });
        }
        if claim.tip < from {
            return Ok(Vec::new());
        }
        if from < claim.base {
            return Err(NodeFault::Pruned(format!("block {from}: it keeps blocks from {} on", claim.base)));
        }
        self.measure(from.saturating_sub(1), claim.tip);
        let asking = self.asking(node, &room);
        let told = match self.config.anchor.may_skip() {
            true => {
                // Asked for again, from where steps were given: a reader whose head came from elsewhere may not know who
                // signs next, and then judges no far step. The adjacent one shows them.
                let adjacent = self.view().jumped_from == Some(from);
                asking.jump(from, claim.tip, limit, adjacent).await
            }
            false => asking.each(from, last.min(claim.tip)).await,
        };
        let (steps, seen) = match told {
            Err(fault @ NodeFault::Behind { .. }) => {
                node.forget_tip();
                return Err(fault);
            }
            told => told?,
        };
        self.check_against_trusted(&seen)?;
        let mut view = self.view();
        view.jumped_from = self.config.anchor.may_skip().then_some(from);
        for it in seen {
            remember(&mut view.handed, it.height, Known { hash: it.hash, validators: it.validators });
        }
        Ok(steps)
    }

    /// Notes how far the reader has come, and says so now and then.
    fn measure(&self, height: u64, target: u64) {
        let news = self.view().meter.at(height, target, Instant::now());
        if let Some(news) = news {
            news.tell();
        }
    }

    /// Headers of trusted heights must be the trusted ones, and those above must stand on them.
    fn check_against_trusted(&self, seen: &[Seen]) -> Result<(), NodeFault> {
        let view = self.view();
        for it in seen {
            let below = it.height.checked_sub(1).and_then(|below| view.trusted.get(&below));
            if let (Some(below), Some(parent)) = (below, it.parent)
                && parent != below.hash
            {
                return Err(forked(it.height, &format!("parent {}", below.hash), parent));
            }
            if let Some(trusted) = view.trusted.get(&it.height).filter(|trusted| trusted.hash != it.hash) {
                return Err(forked(it.height, &format!("hash {}", trusted.hash), it.hash));
            }
        }
        Ok(())
    }

    fn trust(&self, blocks: &[TrustedBlock]) {
        let mut view = self.view();
        for block in blocks {
            let Ok(state) = BlockState::read(block.state()) else { continue };
            let known = Known { hash: Hash32::new(*block.hash().as_bytes()), validators: state.validators_hash };
            remember(&mut view.trusted, block.height().get(), known);
        }
    }

    /// Evidence of these blocks from one node, as far as it goes; with what stopped it.
    async fn evidence_from(&self, node: &Node, at: usize, open: &mut [Wanted]) -> Result<(), NodeFault> {
        let highest = open.iter().map(|block| block.height).max();
        let claim = self.claim(at, node, highest, &self.room()).await?;
        if let Some(wanted) = highest.filter(|highest| claim.tip < *highest) {
            return Err(NodeFault::Behind { wanted, at: claim.tip });
        }
        for part in open.chunks_mut(self.config.limits.evidence_blocks) {
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

    /// Asks each node for what is still open; with what stopped those that did not give all.
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

    async fn evidence_of(&self, node: &Node, part: &mut [Wanted]) -> Result<(), NodeFault> {
        let room = self.room();
        let shower = Shower { node, config: &self.config, numbers: &self.numbers, room: &room };
        let open: Vec<&mut Wanted> = part.iter_mut().filter(|block| block.evidence.is_none()).collect();
        let told = join_all(open.iter().map(|block| shower.show(block))).await;
        // The first of the faults: a block is named as too large only where those below it are there.
        let mut fault = None;
        for (block, told) in open.into_iter().zip(told) {
            match told {
                Ok(evidence) => block.evidence = Some(evidence),
                Err(no) => fault = fault.or(Some(no)),
            }
        }
        fault.map_or(Ok(()), Err)
    }

    /// A node's header of one height, for comparison. A node that contradicts a trusted block is benched, but what it
    /// said is handed on all the same: if it is well signed it is evidence.
    async fn other(&self, at: usize, node: &Node, height: u64) -> Option<Step> {
        let room = self.room();
        let told = async {
            self.claim(at, node, Some(height), &room).await.map(drop).or_else(but_forked)?;
            let asking = self.asking(node, &room);
            let light = asking.light(node.signed_header(height, &room).await?).await?;
            Ok::<_, NodeFault>((Seen::of(&light.signed), light))
        };
        let (seen, light) = match told.await {
            Ok(told) => told,
            Err(fault) => {
                self.bench(at, &fault);
                return None;
            }
        };
        let mut forked = self.check_against_trusted(std::slice::from_ref(&seen)).err();
        let known = {
            let view = self.view();
            view.trusted.get(&height).or_else(|| view.handed.get(&height)).copied()
        };
        if let Some(known) = known.filter(|known| known.hash != seen.hash) {
            forked = forked.or_else(|| Some(self::forked(height, &format!("hash {}", known.hash), seen.hash)));
        }
        let ours = match known.filter(|known| known.validators != seen.validators) {
            Some(known) => self.our_set(height, known.validators).await,
            None => None,
        };
        if let Some(fault) = forked {
            self.bench(at, &fault);
        }
        Some(rival(light, ours))
    }

    /// The validators of a height by the header that is trusted: a rival that names others is judged by them too.
    async fn our_set(&self, height: u64, hash: Hash32) -> Option<hufu_cometbft_light_client::ValidatorSet> {
        if let Some(set) = self.sets.known(hash) {
            return Some(set);
        }
        let served = self.view().served;
        let node = served.and_then(|at| self.nodes.get(at))?;
        self.sets.get(node, height, hash, &self.room()).await.ok()
    }
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

/// A node whose first blocks are others under the same chain id is one of whom a comparison wants to hear.
fn but_forked(fault: NodeFault) -> Result<(), NodeFault> {
    match fault {
        NodeFault::Forked(_) => Ok(()),
        fault => Err(fault),
    }
}

fn forked(height: u64, expected: &str, got: Hash32) -> NodeFault {
    NodeFault::Forked(format!("block {height}: expected {expected}, got {got}"))
}

#[async_trait]
impl Source for CometbftSource {
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
        let room = self.room();
        let answers = join_all(asked.iter().map(|(at, node)| self.claim(*at, node, None, &room))).await;
        let (mut claims, mut old) = (Vec::with_capacity(answers.len()), Vec::new());
        let mut faults = Vec::new();
        for ((at, node), answer) in asked.into_iter().zip(answers) {
            match answer {
                Ok(claim) if node.claims_of_old() => old.push((at, claim.tip)),
                Ok(claim) => claims.push((at, claim.tip)),
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
        // No ledger has a block 0, and nodes would answer for the latest.
        let from = from.get().max(1);
        let mut at_the_tip = false;
        let mut faults = Vec::new();
        for (at, node) in self.in_turn() {
            match self.steps_from(at, node, from, limit).await {
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
        self.trust(blocks);
        let plan = blocks.iter().map(|block| wanted(block, selector)).collect::<Result<Vec<_>, _>>()?;
        let asked: Vec<bool> = plan.iter().map(Option::is_some).collect();
        let mut open: Vec<Wanted> = plan.into_iter().flatten().collect();
        loop {
            let left = still_open(&open);
            let faults = self.ask_for_evidence(&mut open).await;
            let too_large = faults.iter().any(|(_, fault)| matches!(fault, NodeFault::BlockTooLarge { .. }));
            match still_open(&open) {
                0 => break,
                // One gave what another finds too large: the other may give what follows.
                now if now < left && too_large => {}
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
        let served = {
            let mut view = self.view();
            // What was refused must not be held against the others.
            view.handed.clear();
            view.served.take()
        };
        if let Some(at) = served {
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
}
