//! One node: exchanges repeated where that can help, batches split where they are too large, methods it lacks
//! remembered, answers turned into headers and receipts.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hufu_adapters_nodes::hint::Bell;
use hufu_adapters_nodes::transport::Room;
use hufu_adapters_nodes::{Line, Unserved};
use hufu_evm_light_client::header::Header;
use hufu_evm_light_client::keccak::Hash32;
use hufu_evm_light_client::receipt::MAX_EVIDENCE_BYTES;
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

const RAW_HEADER: &str = "debug_getRawHeader";
const BLOCK: &str = "eth_getBlockByNumber";
const RAW_RECEIPTS: &str = "debug_getRawReceipts";
const BLOCK_RECEIPTS: &str = "eth_getBlockReceipts";
const RECEIPT: &str = "eth_getTransactionReceipt";

/// Full batches that a node must take before it is given twice as large ones again. Twice as many after each refusal, up
/// to the second number: what was refused is not asked for again at once, and a bad hour is not held against it for long.
const GROW_AFTER: u32 = 16;
const GROW_AFTER_MOST: u32 = 256;

pub(crate) use hufu_adapters_nodes::NodeFault;

impl From<Unreadable> for NodeFault {
    fn from(fault: Unreadable) -> Self {
        Self::malformed(format!("{}: {}", fault.field, fault.expected), fault.got)
    }
}

/// One node of the ledger.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    line: Line,
    patience: Patience,
    limits: Limits,
    bell: Arc<Bell>,
    learnt: Mutex<Learnt>,
}

/// What we found out about it.
#[derive(Debug)]
struct Learnt {
    /// Methods that it does not offer.
    lacks: BTreeSet<&'static str>,
    batch: BatchSize,
    /// When its genesis was last found to be ours.
    checked: Option<Instant>,
    tip: Option<Tip>,
}

/// A height as it was claimed, when, and how often heads had been announced by then.
#[derive(Debug, Clone, Copy)]
struct Tip {
    height: u64,
    at: Instant,
    rung: u64,
}

/// Requests of a batch that a node takes, as far as we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct BatchSize {
    now: usize,
    most: usize,
    taken: u32,
    grow_after: u32,
}

impl BatchSize {
    const fn new(most: usize) -> Self {
        Self { now: most, most, taken: 0, grow_after: GROW_AFTER }
    }

    /// A batch of so many requests was too much.
    fn refused(&mut self, requests: usize) {
        self.taken = 0;
        let less = (requests / 2).max(1);
        if less < self.now {
            self.now = less;
            self.grow_after = self.grow_after.saturating_mul(2).min(GROW_AFTER_MOST);
        }
    }

    /// A batch of so many requests was answered.
    fn answered(&mut self, requests: usize) {
        if requests < self.now || self.now >= self.most {
            return;
        }
        self.taken = self.taken.saturating_add(1);
        if self.taken >= self.grow_after {
            self.now = self.now.saturating_mul(2).min(self.most);
            self.taken = 0;
        }
        if self.now == self.most {
            self.grow_after = GROW_AFTER;
        }
    }
}

impl Node {
    pub(crate) fn new(
        config: &NodeConfig,
        patience: &Patience,
        limits: &Limits,
        bell: Arc<Bell>,
    ) -> Result<Self, ConfigFault> {
        let line = Line::new(config, patience, limits.response_bytes)?;
        let most = line.pace().map_or(limits.batch, |pace| limits.batch.min(pace.batch()));
        let batch = BatchSize::new(most);
        let learnt = Learnt { lacks: BTreeSet::new(), batch, checked: None, tip: None };
        Ok(Self {
            name: config.name.clone(),
            line,
            patience: patience.clone(),
            limits: *limits,
            bell,
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

    /// After a fault what was learnt is learnt anew: the name may lead to another machine by now. The size of batches
    /// stays, and grows by itself.
    pub(crate) fn forget(&self) {
        let mut learnt = self.learnt();
        *learnt = Learnt { lacks: BTreeSet::new(), batch: learnt.batch, checked: None, tip: None };
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

    /// The height it claims. Asked anew when the last answer is older than the poll time or than an announcement of a
    /// new head, unless that answer already reaches `wanted` or the node is not to be asked so often.
    pub(crate) async fn tip(&self, wanted: Option<u64>) -> Result<u64, NodeFault> {
        // Counted before the question: what is announced meanwhile may be missing from the answer.
        let rung = self.bell.count();
        let known = self.learnt().tip;
        let serves = |tip: &Tip| {
            self.is_fresh(*tip, rung) || self.is_too_soon(*tip) || wanted.is_some_and(|wanted| tip.height >= wanted)
        };
        if let Some(tip) = known.filter(serves) {
            return Ok(tip.height);
        }
        let height = self.number("eth_blockNumber").await?;
        self.learnt().tip = Some(Tip { height, at: Instant::now(), rung });
        Ok(height)
    }

    fn is_fresh(&self, tip: Tip, rung: u64) -> bool {
        tip.rung == rung && tip.at.elapsed() < self.patience.poll
    }

    fn is_too_soon(&self, tip: Tip) -> bool {
        self.line.pace().is_some_and(|pace| tip.at.elapsed() < pace.poll_least())
    }

    /// Whether the height that it claims is an old one, because it is not to be asked so often: no fault of its own.
    pub(crate) fn claims_of_old(&self) -> bool {
        let rung = self.bell.count();
        self.learnt().tip.is_some_and(|tip| self.is_too_soon(tip) && !self.is_fresh(tip, rung))
    }

    /// Whether it is asked as much as its operator allows, so that what can wait should.
    pub(crate) fn is_spent(&self) -> bool {
        self.line.is_spent()
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
        answers.into_iter().map(|answer| unless_not_held(BLOCK, answer)).collect()
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
            // So many receipts are more than these bytes.
            return Err(NodeFault::TooLarge(MAX_EVIDENCE_BYTES));
        }
        let mut calls = Vec::with_capacity(hashes.len());
        for hash in hashes {
            let hash = hash.fixed::<32>("transactions")?;
            calls.push(Call::new(RECEIPT, json!([format!("0x{}", hex::encode(hash))])));
        }
        let mut receipts = Vec::with_capacity(calls.len());
        for answer in self.ask(&calls, self.limits.batch).await? {
            match unless_not_held(RECEIPT, answer)? {
                Some(raw) => receipts.push(open::<ReceiptJson<'_>>(RECEIPT, &raw)?.to_consensus()?),
                None => return Ok(None),
            }
        }
        Ok(Some(receipts))
    }

    /// Answers about the state of blocks, one a call; `None` where the node does not keep it.
    pub(crate) async fn state(&self, calls: &[Call]) -> Result<Vec<Option<Box<RawValue>>>, NodeFault> {
        let answers = self.ask(calls, self.limits.batch).await?;
        calls.iter().zip(answers).map(|(call, answer)| unless_not_held(call.method, answer)).collect()
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

    /// Answers to all calls, in batches of at most `most`, several at a time. Where that is too much, in turn.
    async fn ask(&self, calls: &[Call], most: usize) -> Result<Vec<Answer>, NodeFault> {
        let most = most.min(self.learnt().batch.now).max(1);
        if calls.len() > most && self.limits.in_flight > 1 {
            let room = Room::new(self.limits.held_bytes);
            let parts: Vec<_> = calls.chunks(most).map(|part| self.exchange(part, &room)).collect();
            let told: Result<Vec<Vec<Answer>>, Unserved> =
                stream::iter(parts).buffered(self.limits.in_flight).try_collect().await;
            match told {
                Ok(told) => return Ok(told.into_iter().flatten().collect()),
                Err(Unserved::Node(fault)) => return Err(fault),
                Err(Unserved::TooMuch(fault)) => tracing::debug!(node = self.name, %fault, "batches are asked in turn"),
            }
        }
        self.ask_in_turn(calls, most).await
    }

    async fn ask_in_turn(&self, calls: &[Call], mut most: usize) -> Result<Vec<Answer>, NodeFault> {
        let room = Room::new(self.limits.held_bytes);
        let mut answers = Vec::with_capacity(calls.len());
        let mut rest = calls;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(most));
            match self.exchange(now, &room).await {
                Ok(told) => {
                    answers.extend(told);
                    rest = later;
                }
                Err(Unserved::TooMuch(_)) if now.len() > 1 => most = now.len() / 2,
                Err(Unserved::TooMuch(fault) | Unserved::Node(fault)) => return Err(fault),
            }
        }
        Ok(answers)
    }

    async fn exchange(&self, calls: &[Call], room: &Room) -> Result<Vec<Answer>, Unserved> {
        let too_often = || self.learnt().batch.refused(calls.len());
        let body = self.line.post(&rpc::write(calls), calls.len(), room, too_often).await?;
        let told = match rpc::read(&body, calls.len()) {
            Ok(told) => told,
            Err(Unanswered::Refused(error)) if error.is_limit() => return Err(self.limited(&error, calls.len())),
            Err(Unanswered::Refused(error)) => {
                // It will say so again: smaller batches from now on.
                self.learnt().batch.refused(calls.len());
                return Err(Unserved::TooMuch(NodeFault::malformed("an answer to a batch", error_text(&error))));
            }
            Err(Unanswered::Malformed { expected, got }) => {
                return Err(Unserved::Node(NodeFault::Malformed { expected, got }));
            }
        };
        if let Some(Err(error)) = told.iter().find(|answer| answer.as_ref().is_err_and(RpcError::is_limit)) {
            return Err(self.limited(error, calls.len()));
        }
        self.learnt().batch.answered(calls.len());
        Ok(told)
    }

    /// We ask too much: smaller batches from now on, and none for a while.
    fn limited(&self, error: &RpcError, requests: usize) -> Unserved {
        self.learnt().batch.refused(requests);
        let wait = error.wait.unwrap_or(self.patience.rest);
        Unserved::Node(NodeFault::Busy { detail: error_text(error), wait })
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
fn unless_not_held(method: &str, answer: Answer) -> Result<Option<Box<RawValue>>, NodeFault> {
    match answer {
        Ok(result) => Ok(result),
        Err(error) if error.is_not_held() => Ok(None),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_halve_when_refused_and_grow_again_ever_more_slowly() {
        let mut size = BatchSize::new(64);
        size.refused(64);
        assert_eq!(size.now, 32);
        size.refused(32);
        assert_eq!(size.now, 16);
        let grown = |size: &mut BatchSize| {
            let full = size.now;
            (1..=10_000).find(|_| {
                size.answered(full);
                size.now > full
            })
        };
        assert_eq!(grown(&mut size), Some(GROW_AFTER * 4));
        assert_eq!(size.now, 32);
        for requests in [32, 32, 16, 8, 4, 2, 1, 1] {
            size.refused(requests);
        }
        assert_eq!((size.now, size.grow_after), (1, GROW_AFTER_MOST));
        assert!((0..7).all(|_| size.now == 64 || grown(&mut size).is_some()));
        assert_eq!(size, BatchSize::new(64));
    }

    #[test]
    fn small_batches_say_nothing_of_large_ones() {
        let mut size = BatchSize::new(64);
        size.refused(64);
        (0..1_000).for_each(|_| size.answered(31));
        assert_eq!(size.now, 32);
        (0..1_000).for_each(|_| size.answered(32));
        assert_eq!(size.now, 64);
        size.refused(8);
        assert_eq!(size.now, 4, "a smaller one that was refused counts");
    }
}
