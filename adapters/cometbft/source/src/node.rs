//! One node: what is asked of it, a few requests at a time, and what its refusals mean.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hufu_adapters_nodes::hint::Bell;
use hufu_adapters_nodes::transport::Room;
use hufu_adapters_nodes::{Line, NodeFault, Unserved};
use hufu_cometbft_light_client::rpc::light;
use hufu_cometbft_light_client::validators::MAX_VALIDATORS;
use hufu_cometbft_light_client::{Anchor, Fault, SignedHeader, ValidatorSet};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::config::{ConfigFault, Limits, NodeConfig, Patience};
use crate::rpc;

/// Validators asked for on one page: the most that nodes give (`rpc/core/env.go`, `maxPerPage`).
const PER_PAGE: usize = 100;
/// Pages of one set: nodes that give fewer a page give 30 at least (`defaultPerPage`).
const MAX_PAGES: usize = MAX_VALIDATORS / 30 + 1;

/// One node of the ledger.
#[derive(Debug)]
pub(crate) struct Node {
    name: String,
    line: Line,
    patience: Patience,
    in_flight: Semaphore,
    bell: Arc<Bell>,
    learnt: Mutex<Learnt>,
}

/// What we found out about it.
#[derive(Debug, Default)]
struct Learnt {
    /// When its blocks were last found to be our ledger's.
    checked: Option<Instant>,
    claim: Option<(Claim, Instant, u64)>,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The network's name.
    pub(crate) network: String,
    /// Its last height.
    pub(crate) tip: u64,
    /// The lowest height that it keeps.
    pub(crate) base: u64,
}

impl Claim {
    pub(crate) fn read(status: &Value) -> Result<Self, NodeFault> {
        let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str);
        let height = |key: &str| text(&format!("/sync_info/{key}")).and_then(|height| height.parse().ok());
        let claim = || {
            Some(Self {
                network: text("/node_info/network")?.to_owned(),
                tip: height("latest_block_height")?,
                base: height("earliest_block_height")?,
            })
        };
        claim().ok_or_else(|| {
            NodeFault::malformed("a status with network, latest and earliest height", rpc::clip(&status.to_string()))
        })
    }
}

/// The light client's word on an answer that it cannot read.
pub(crate) fn unreadable(fault: &Fault) -> NodeFault {
    NodeFault::malformed(fault.expected(), rpc::clip(fault.got()))
}

/// What is asked at one height.
fn at(height: u64) -> Value {
    json!({ "height": height.to_string() })
}

impl Node {
    pub(crate) fn new(
        config: &NodeConfig,
        patience: &Patience,
        limits: &Limits,
        bell: Arc<Bell>,
    ) -> Result<Self, ConfigFault> {
        Ok(Self {
            name: config.name.clone(),
            line: Line::new(config, patience, limits.response_bytes)?,
            patience: patience.clone(),
            in_flight: Semaphore::new(limits.in_flight),
            bell,
            learnt: Mutex::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        // Each change is one assignment: a holder that panicked left nothing half done.
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After a fault what was learnt is learnt anew: the name may lead to another machine by now.
    pub(crate) fn forget(&self) {
        *self.learnt() = Learnt::default();
    }

    /// The next question for the height is put to the node itself.
    pub(crate) fn forget_tip(&self) {
        self.learnt().claim = None;
    }

    /// Whether it is asked as much as its operator allows, so that what can wait should.
    pub(crate) fn is_spent(&self) -> bool {
        self.line.is_spent()
    }

    /// One call; a result, or what its refusal means by `refused`.
    async fn call(
        &self,
        method: &str,
        params: &Value,
        room: &Room,
        refused: impl FnOnce(&rpc::RpcError) -> NodeFault + Send,
    ) -> Result<Value, NodeFault> {
        let closed = |_| NodeFault::Unreachable("no longer asked".to_owned());
        let _turn = self.in_flight.acquire().await.map_err(closed)?;
        let body = self.line.post(&rpc::write(method, params), 1, room, || {}).await;
        let body = body.map_err(|(Unserved::TooMuch(fault) | Unserved::Node(fault))| fault)?;
        match rpc::read(&body)? {
            Ok(result) => Ok(result),
            Err(error) if error.is_limit() => Err(NodeFault::Busy { detail: error.text(), wait: self.patience.rest }),
            Err(error) => Err(refused(&error)),
        }
    }

    /// What it claims. Asked anew when the last answer is older than the poll time or than an announcement of a new
    /// header, unless that answer already reaches `wanted` or the node is not to be asked so often.
    pub(crate) async fn claim(&self, wanted: Option<u64>, room: &Room) -> Result<Claim, NodeFault> {
        // Counted before the question: what is announced meanwhile may be missing from the answer.
        let rung = self.bell.count();
        let known = self.learnt().claim.clone();
        if let Some((claim, asked, heard)) = known {
            let reaches = wanted.is_some_and(|wanted| claim.tip >= wanted);
            if reaches || self.is_fresh(asked, heard, rung) || self.is_too_soon(asked) {
                return Ok(claim);
            }
        }
        let refused = |error: &rpc::RpcError| NodeFault::malformed("a status", error.text());
        let claim = Claim::read(&self.call("status", &json!({}), room, refused).await?)?;
        self.learnt().claim = Some((claim.clone(), Instant::now(), rung));
        Ok(claim)
    }

    fn is_fresh(&self, asked: Instant, heard: u64, rung: u64) -> bool {
        heard == rung && asked.elapsed() < self.patience.poll
    }

    fn is_too_soon(&self, asked: Instant) -> bool {
        self.line.pace().is_some_and(|pace| asked.elapsed() < pace.poll_least())
    }

    /// Whether the height that it claims is an old one, because it is not to be asked so often: no fault of its own.
    pub(crate) fn claims_of_old(&self) -> bool {
        let rung = self.bell.count();
        let claim = self.learnt().claim.clone();
        claim.is_some_and(|(_, asked, heard)| self.is_too_soon(asked) && !self.is_fresh(asked, heard, rung))
    }

    /// Makes sure that the node belongs to the anchored ledger: by the network's name, and by the anchor's block where
    /// the node keeps it. Another block there under the same name is a fork: validators who signed for both have signed
    /// two blocks of one height.
    pub(crate) async fn check(&self, anchor: &Anchor, room: &Room) -> Result<(), NodeFault> {
        if self.learnt().checked.is_some_and(|at| at.elapsed() < self.patience.recheck) {
            return Ok(());
        }
        self.forget();
        let claim = self.claim(None, room).await?;
        let expected = &anchor.rules().chain_id;
        if claim.network != *expected {
            let got = rpc::clip(&claim.network);
            return Err(NodeFault::WrongLedger(format!("expected chain id {expected:?}, got {got:?}")));
        }
        if (claim.base..=claim.tip).contains(&anchor.height()) {
            let hash = self.signed_header(anchor.height(), room).await?.header.hash();
            if hash != anchor.hash() {
                let (height, anchor) = (anchor.height(), anchor.hash());
                return Err(NodeFault::Forked(format!("block {height}: expected hash {anchor}, got {hash}")));
            }
        }
        self.learnt().checked = Some(Instant::now());
        Ok(())
    }

    /// The header of a height with the votes for it.
    pub(crate) async fn signed_header(&self, height: u64, room: &Room) -> Result<SignedHeader, NodeFault> {
        let answer = self.call("commit", &at(height), room, |error| error.about("the commit", height)).await?;
        let signed = light::signed_header(&answer).map_err(|fault| unreadable(&fault))?;
        if signed.header.height != height {
            let got = format!("that of height {}", signed.header.height);
            return Err(NodeFault::malformed(format!("the commit of block {height}"), got));
        }
        Ok(signed)
    }

    /// The validators of a height, from all pages.
    pub(crate) async fn validators(&self, height: u64, room: &Room) -> Result<ValidatorSet, NodeFault> {
        let mut pages: Vec<Value> = Vec::new();
        let mut seen = 0;
        loop {
            let number = pages.len() + 1;
            let params = json!({
                "height": height.to_string(), "page": number.to_string(), "per_page": PER_PAGE.to_string(),
            });
            let page = self.call("validators", &params, room, |error| error.about("the validators", height)).await?;
            if page.get("block_height").and_then(Value::as_str) != Some(height.to_string().as_str()) {
                let got = page.get("block_height").map(ToString::to_string).unwrap_or_default();
                return Err(NodeFault::malformed(format!("validators of height {height}"), rpc::clip(&got)));
            }
            let total: Option<usize> = page.get("total").and_then(Value::as_str).and_then(|it| it.parse().ok());
            let total = total.filter(|total| (1..=MAX_VALIDATORS).contains(total)).ok_or_else(|| {
                let got = page.get("total").map(ToString::to_string).unwrap_or_default();
                NodeFault::malformed(format!("a total of 1 to {MAX_VALIDATORS} validators"), rpc::clip(&got))
            })?;
            let count = page.get("validators").and_then(Value::as_array).map_or(0, Vec::len);
            seen += count;
            pages.push(page);
            // What the pages hold together is judged below: repeated ones, and totals that do not add up.
            if count == 0 || seen >= total || pages.len() >= MAX_PAGES {
                return light::validators(&pages).map_err(|fault| unreadable(&fault));
            }
        }
    }

    /// The answers to `block` and `block_results`.
    pub(crate) async fn block(&self, height: u64, room: &Room) -> Result<(Value, Value), NodeFault> {
        let params = at(height);
        let block = self.call("block", &params, room, |error| error.about("the transactions", height));
        let results = self.call("block_results", &params, room, |error| error.about("the results", height));
        futures_util::future::try_join(block, results).await
    }

    /// The answer to `abci_query` for one key of the state after a block. `height` is above 0: 0 would be the latest.
    pub(crate) async fn query(
        &self,
        path: &str,
        key: &[u8],
        height: Option<u64>,
        prove: bool,
        room: &Room,
    ) -> Result<Value, NodeFault> {
        let params = json!({
            "path": path, "data": hex::encode(key), "height": height.unwrap_or(0).to_string(), "prove": prove,
        });
        let refused = |error: &rpc::RpcError| match height {
            Some(height) => error.about("the state", height),
            None => NodeFault::malformed("a query of the state", error.text()),
        };
        self.call("abci_query", &params, room, refused).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_that_says_too_little() {
        let good = json!({
            "node_info": { "network": "land-1" },
            "sync_info": { "latest_block_height": "9", "earliest_block_height": "2" },
        });
        assert_eq!(Claim::read(&good).unwrap(), Claim { network: "land-1".to_owned(), tip: 9, base: 2 });
        for (pointer, other) in [
            ("/node_info/network", Value::Null),
            ("/sync_info/latest_block_height", json!(9)),
            ("/sync_info/earliest_block_height", json!("-1")),
        ] {
            let mut bad = good.clone();
            *bad.pointer_mut(pointer).unwrap() = other;
            assert!(matches!(Claim::read(&bad), Err(NodeFault::Malformed { .. })), "{pointer}");
        }
    }
}
