//! One node: exchanges repeated where that can help, batches split where they are too large, methods it lacks
//! remembered, answers turned into headers and receipts.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hufu_evm_light_client::header::Header;
use hufu_evm_light_client::keccak::Hash32;
use hufu_evm_light_client::trie::MAX_ITEMS;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::blocks::{BlockJson, TransactionsJson, possible_hashes};
use crate::config::{ConfigFault, Limits, NodeConfig, Patience};
use crate::hex_json::{Text, Unreadable, clip};
use crate::receipts::ReceiptJson;
use crate::rpc::{self, Answer, Call, RpcError, Unanswered, quantity};
use crate::standing::{Bench, jitter};
use crate::transport::{Transport, Trouble};

const RAW_HEADER: &str = "debug_getRawHeader";
const BLOCK: &str = "eth_getBlockByNumber";
const RAW_RECEIPTS: &str = "debug_getRawReceipts";
const BLOCK_RECEIPTS: &str = "eth_getBlockReceipts";
const RECEIPT: &str = "eth_getTransactionReceipt";

/// Why one node did not serve.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NodeFault {
    #[error("{0}")]
    Unreachable(String),
    #[error("{detail}, asks to wait {} s", wait.as_secs())]
    Busy { detail: String, wait: Duration },
    #[error("refuses us: {0}")]
    Denied(String),
    #[error("answers badly: expected {expected}, got {got}")]
    Malformed { expected: String, got: String },
    #[error("does not keep {0}")]
    Pruned(String),
    #[error("is behind: expected height {wanted}, is at {at}")]
    Behind { wanted: u64, at: u64 },
    #[error("is on another fork: {0}")]
    Forked(String),
    #[error("is lying: {0}")]
    Lying(String),
    #[error("belongs to another ledger: {0}")]
    WrongLedger(String),
}

impl NodeFault {
    fn malformed(expected: impl Into<String>, got: impl Into<String>) -> Self {
        Self::Malformed { expected: expected.into(), got: got.into() }
    }

    /// Under which word it is benched.
    pub(crate) const fn bench(&self) -> Bench {
        match self {
            Self::Unreachable(_) | Self::Busy { .. } | Self::Denied(_) | Self::Malformed { .. } | Self::Pruned(_) => {
                Bench::Unreachable
            }
            Self::Behind { .. } => Bench::Behind,
            Self::Forked(_) => Bench::Forked,
            Self::Lying(_) => Bench::Lying,
            Self::WrongLedger(_) => Bench::WrongLedger,
        }
    }

    pub(crate) const fn asks_to_wait(&self) -> Option<Duration> {
        match self {
            Self::Busy { wait, .. } => Some(*wait),
            _ => None,
        }
    }
}

impl From<Unreadable> for NodeFault {
    fn from(fault: Unreadable) -> Self {
        Self::malformed(format!("{}: {}", fault.field, fault.expected), fault.got)
    }
}

/// An exchange that failed after every repetition.
enum Failed {
    /// A smaller batch may do better.
    TooMuch(NodeFault),
    Node(NodeFault),
}

/// One node of the ledger.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    transport: Transport,
    patience: Patience,
    limits: Limits,
    learnt: Mutex<Learnt>,
}

/// What we found out about it.
#[derive(Debug)]
struct Learnt {
    /// Methods that it does not offer.
    lacks: BTreeSet<&'static str>,
    /// Requests of a batch that it takes.
    batch: usize,
    /// When its genesis was last found to be ours.
    checked: Option<Instant>,
    tip: Option<(u64, Instant)>,
}

impl Node {
    pub(crate) fn new(config: &NodeConfig, patience: &Patience, limits: &Limits) -> Result<Self, ConfigFault> {
        let learnt = Learnt { lacks: BTreeSet::new(), batch: limits.batch, checked: None, tip: None };
        Ok(Self {
            name: config.name.clone(),
            transport: Transport::new(config, patience, limits)?,
            patience: patience.clone(),
            limits: *limits,
            learnt: Mutex::new(learnt),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        // Each change is one assignment: a holder that panicked left nothing half done.
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a fault everything that was learnt is learnt anew: the name may lead to another machine by now.
    pub(crate) fn forget(&self) {
        let batch = self.limits.batch;
        *self.learnt() = Learnt { lacks: BTreeSet::new(), batch, checked: None, tip: None };
    }

    /// Makes sure that the node belongs to the ledger whose genesis hashes to `genesis`.
    pub(crate) async fn check(&self, genesis: Hash32, chain_id: Option<u64>) -> Result<(), NodeFault> {
        if self.learnt().checked.is_some_and(|at| at.elapsed() < self.patience.recheck) {
            return Ok(());
        }
        self.forget();
        let header = self.headers(&[0]).await?.pop().flatten();
        let header = header.ok_or_else(|| NodeFault::malformed("the header of block 0", "null"))?;
        let hashes = possible_hashes(&header);
        if !hashes.contains(&genesis) {
            let got = hashes.first().map(ToString::to_string).unwrap_or_default();
            return Err(NodeFault::WrongLedger(format!("expected genesis {genesis}, got {got}")));
        }
        if let Some(expected) = chain_id {
            let got = self.number("eth_chainId").await?;
            if got != expected {
                return Err(NodeFault::WrongLedger(format!("expected chain id {expected}, got {got}")));
            }
        }
        self.learnt().checked = Some(Instant::now());
        Ok(())
    }

    /// The height it claims. Asked anew when the last answer is older than the poll time, unless that answer already
    /// reaches `wanted`.
    pub(crate) async fn tip(&self, wanted: Option<u64>) -> Result<u64, NodeFault> {
        if let Some((tip, at)) = self.learnt().tip
            && (at.elapsed() < self.patience.poll || wanted.is_some_and(|wanted| tip >= wanted))
        {
            return Ok(tip);
        }
        let tip = self.number("eth_blockNumber").await?;
        self.learnt().tip = Some((tip, Instant::now()));
        Ok(tip)
    }

    /// The next question for the height is put to the node itself.
    pub(crate) fn forget_tip(&self) {
        self.learnt().tip = None;
    }

    async fn number(&self, method: &'static str) -> Result<u64, NodeFault> {
        let answer = self.ask(&[Call::new(method, json!([]))], 1).await?.pop();
        match answer {
            Some(Ok(Some(raw))) => Ok(open::<Text<'_>>(method, &raw)?.number(method)?),
            Some(Err(error)) => Err(refused(method, &error)),
            _ => Err(NodeFault::malformed(format!("a number from {method}"), "null")),
        }
    }

    /// The headers of these heights; `None` where the node has none. Their bytes are the node's own where it hands out
    /// bytes, else made again from its JSON.
    pub(crate) async fn headers(&self, heights: &[u64]) -> Result<Vec<Option<Header>>, NodeFault> {
        let raw = self.offered(RAW_HEADER, heights, self.limits.batch, |height| Call::at(RAW_HEADER, height)).await?;
        let mut found = Vec::with_capacity(heights.len());
        for (height, raw) in heights.iter().zip(raw) {
            found.push(match raw {
                Some(raw) => Some(header_of(*height, &open::<Text<'_>>(RAW_HEADER, &raw)?.data(RAW_HEADER)?)?),
                None => None,
            });
        }
        let missing: Vec<u64> =
            heights.iter().zip(&found).filter(|(_, header)| header.is_none()).map(|(height, _)| *height).collect();
        let mut told = self.blocks(&missing).await?.into_iter();
        for (height, slot) in heights.iter().zip(&mut found).filter(|(_, slot)| slot.is_none()) {
            if let Some(raw) = told.next().flatten() {
                *slot = Some(header_of(*height, &open::<BlockJson<'_>>(BLOCK, &raw)?.to_rlp()?)?);
            }
        }
        Ok(found)
    }

    async fn blocks(&self, heights: &[u64]) -> Result<Vec<Option<Box<RawValue>>>, NodeFault> {
        let call = |height: &u64| Call::new(BLOCK, json!([quantity(*height), false]));
        let calls: Vec<Call> = heights.iter().map(call).collect();
        let answers = self.ask(&calls, self.limits.batch).await?;
        answers.into_iter().map(|answer| unless_pruned(BLOCK, answer)).collect()
    }

    /// The consensus receipts of these blocks, in order of transactions; `None` where the node has none. Three ways,
    /// from the one that costs least to the one that every node offers.
    pub(crate) async fn receipts(&self, heights: &[u64]) -> Result<Vec<Option<Vec<Vec<u8>>>>, NodeFault> {
        let batch = self.limits.receipts_batch;
        let mut found: Vec<Option<Vec<Vec<u8>>>> = heights.iter().map(|_| None).collect();
        for (method, read) in [(RAW_RECEIPTS, raw_receipts as fn(&RawValue) -> _), (BLOCK_RECEIPTS, json_receipts)] {
            let missing = missing(heights, &found);
            let answers = self.offered(method, &missing, batch, |height| Call::at(method, height)).await?;
            for (slot, raw) in found.iter_mut().filter(|slot| slot.is_none()).zip(answers) {
                *slot = raw.map(|raw| read(&raw)).transpose()?;
            }
        }
        let missing = missing(heights, &found);
        let told = self.blocks(&missing).await?;
        for (slot, block) in found.iter_mut().filter(|slot| slot.is_none()).zip(told) {
            *slot = match block {
                Some(block) => self.each_receipt(&block).await?,
                None => None,
            };
        }
        Ok(found)
    }

    /// Receipt by receipt. `None` if one is missing.
    async fn each_receipt(&self, block: &RawValue) -> Result<Option<Vec<Vec<u8>>>, NodeFault> {
        let hashes = open::<TransactionsJson<'_>>(BLOCK, block)?.transactions;
        if hashes.len() > MAX_ITEMS {
            return Err(NodeFault::malformed(format!("at most {MAX_ITEMS} transactions"), hashes.len().to_string()));
        }
        let mut calls = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let hash = hash.fixed::<32>("transactions")?;
            calls.push(Call::new(RECEIPT, json!([format!("0x{}", hex::encode(hash))])));
        }
        let mut receipts = Vec::with_capacity(calls.len());
        for answer in self.ask(&calls, self.limits.batch).await? {
            match unless_pruned(RECEIPT, answer)? {
                Some(raw) => receipts.push(open::<ReceiptJson<'_>>(RECEIPT, &raw)?.to_consensus()?),
                None => return Ok(None),
            }
        }
        Ok(Some(receipts))
    }

    /// Asks a method that not every node offers, once for each height. `None` where it gave nothing or an error: the
    /// next way is tried then, and says what is the matter.
    async fn offered(
        &self,
        method: &'static str,
        heights: &[u64],
        batch: usize,
        call: impl Fn(u64) -> Call,
    ) -> Result<Vec<Option<Box<RawValue>>>, NodeFault> {
        let nothing = || heights.iter().map(|_| None).collect();
        if heights.is_empty() || self.learnt().lacks.contains(method) {
            return Ok(nothing());
        }
        let calls: Vec<Call> = heights.iter().map(|height| call(*height)).collect();
        let told = self.ask(&calls, batch).await?;
        if told.iter().any(|answer| answer.as_ref().is_err_and(RpcError::is_missing_method)) {
            tracing::debug!(node = self.name, method, "the node does not offer this");
            self.learnt().lacks.insert(method);
            return Ok(nothing());
        }
        Ok(told.into_iter().map(|answer| answer.ok().flatten()).collect())
    }

    /// Answers to all calls, in batches of at most `most`.
    async fn ask(&self, calls: &[Call], most: usize) -> Result<Vec<Answer>, NodeFault> {
        let mut answers = Vec::with_capacity(calls.len());
        let mut most = most.min(self.learnt().batch).max(1);
        let mut rest = calls;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(most));
            match self.exchange(now).await {
                Ok(told) => {
                    answers.extend(told);
                    rest = later;
                }
                Err(Failed::TooMuch(_)) if now.len() > 1 => most = now.len() / 2,
                Err(Failed::TooMuch(fault) | Failed::Node(fault)) => return Err(fault),
            }
        }
        Ok(answers)
    }

    async fn exchange(&self, calls: &[Call]) -> Result<Vec<Answer>, Failed> {
        let body = self.post(&rpc::write(calls)).await?;
        rpc::read(&body, calls.len()).map_err(|fault| match fault {
            Unanswered::Refused(error) => {
                // It will say so again: smaller batches from now on.
                self.learnt().batch = (calls.len() / 2).max(1);
                Failed::TooMuch(NodeFault::malformed("an answer to a batch", error_text(&error)))
            }
            Unanswered::Malformed { expected, got } => Failed::Node(NodeFault::Malformed { expected, got }),
        })
    }

    /// Repeats an exchange that failed in a way that passes.
    async fn post(&self, body: &str) -> Result<Vec<u8>, Failed> {
        let mut pause = self.patience.backoff;
        let mut left = self.patience.retries;
        loop {
            let (detail, wait) = match self.transport.post(body.to_owned()).await {
                Ok(body) => return Ok(body),
                Err(Trouble::Passing { detail, wait }) => (detail, wait),
                Err(trouble) => return Err(lasting(trouble)),
            };
            if let Some(wait) = wait.filter(|wait| *wait > self.patience.backoff_most) {
                return Err(Failed::Node(NodeFault::Busy { detail, wait }));
            }
            if left == 0 {
                return Err(Failed::Node(NodeFault::Unreachable(detail)));
            }
            left -= 1;
            tokio::time::sleep(wait.unwrap_or_default().max(pause.mul_f64(jitter()))).await;
            pause = pause.saturating_mul(2).min(self.patience.backoff_most);
        }
    }
}

/// What repeating the same does not mend.
fn lasting(trouble: Trouble) -> Failed {
    match trouble {
        Trouble::Passing { detail, .. } => Failed::Node(NodeFault::Unreachable(detail)),
        Trouble::Timeout(time) => Failed::Node(NodeFault::Unreachable(format!("no whole answer in {time:?}"))),
        Trouble::Denied(detail) => Failed::Node(NodeFault::Denied(detail)),
        Trouble::Status(code) => Failed::TooMuch(NodeFault::malformed("status 200", format!("status {code}"))),
        Trouble::Oversize(most) => Failed::TooMuch(NodeFault::malformed(format!("at most {most} bytes"), "more")),
    }
}

fn missing<T>(heights: &[u64], found: &[Option<T>]) -> Vec<u64> {
    heights.iter().zip(found).filter(|(_, found)| found.is_none()).map(|(height, _)| *height).collect()
}

fn error_text(error: &RpcError) -> String {
    format!("error {}: {}", error.code, error.message)
}

fn refused(method: &str, error: &RpcError) -> NodeFault {
    NodeFault::malformed(format!("an answer to {method}"), error_text(error))
}

/// A result, nothing, or the fault. What a node has pruned it does not have.
fn unless_pruned(method: &str, answer: Answer) -> Result<Option<Box<RawValue>>, NodeFault> {
    match answer {
        Ok(result) => Ok(result),
        Err(error) if error.is_pruned() => Ok(None),
        Err(error) => Err(refused(method, &error)),
    }
}

fn open<'a, T: Deserialize<'a>>(method: &str, raw: &'a RawValue) -> Result<T, NodeFault> {
    serde_json::from_str(raw.get())
        .map_err(|error| NodeFault::malformed(format!("a result of {method}"), clip(&error.to_string())))
}

fn header_of(height: u64, bytes: &[u8]) -> Result<Header, NodeFault> {
    let header = Header::parse(bytes).map_err(|fault| NodeFault::malformed("a header", fault.to_string()))?;
    if header.fields().number != height {
        let got = format!("that of height {}", header.fields().number);
        return Err(NodeFault::malformed(format!("the header of height {height}"), got));
    }
    Ok(header)
}

fn raw_receipts(raw: &RawValue) -> Result<Vec<Vec<u8>>, NodeFault> {
    let texts: Vec<Text<'_>> = open(RAW_RECEIPTS, raw)?;
    Ok(texts.iter().map(|text| text.data(RAW_RECEIPTS)).collect::<Result<_, _>>()?)
}

fn json_receipts(raw: &RawValue) -> Result<Vec<Vec<u8>>, NodeFault> {
    let receipts: Vec<ReceiptJson<'_>> = open(BLOCK_RECEIPTS, raw)?;
    Ok(receipts.iter().map(ReceiptJson::to_consensus).collect::<Result<_, _>>()?)
}
