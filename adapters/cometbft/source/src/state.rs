//! Proofs of keys of the state, and of values under running numbers, at the two ends of a block.
//!
//! The state after block H is what `abci_query` answers at height H; the header of H + 1 commits to it.

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hufu_adapters_nodes::NodeFault;
use hufu_adapters_nodes::transport::Room;
use hufu_cometbft_light_client::block_state::BlockState;
use hufu_cometbft_light_client::evidence::state::{Change, Sequence, StateProof};
use hufu_cometbft_light_client::rpc::evidence::queried;
use hufu_cometbft_light_client::selector::HexBytes;
use serde_json::Value;

use crate::node::{Node, unreadable};
use crate::rpc::clip;

/// Values that are asked for at a time, once a block is seen to have added several.
const VALUES_AT_ONCE: usize = 16;

/// Asks one node about one store.
pub(crate) struct Keys<'a> {
    pub(crate) node: &'a Node,
    /// Path of `abci_query`.
    pub(crate) path: String,
    pub(crate) in_flight: usize,
    /// Values of one block that are fetched.
    pub(crate) most: usize,
    pub(crate) room: &'a Room,
}

impl Keys<'_> {
    /// Proofs of each key before and after a block.
    pub(crate) async fn changes(
        &self,
        keys: &[HexBytes],
        height: u64,
        state: &BlockState,
    ) -> Result<Vec<Change>, NodeFault> {
        let before = state_before(height, state)?;
        let one = async |key: &HexBytes| {
            let after = self.prove(&key.0, height).await?;
            let before = match before {
                Some(before) => Some(self.prove(&key.0, before).await?),
                None => None,
            };
            Ok(Change { before, after })
        };
        stream::iter(keys.iter().map(one)).buffered(self.in_flight).try_collect().await
    }

    /// What a block added under running numbers. `guess` is where the numbers may have stood before it: a good one saves
    /// questions, a bad one costs some.
    pub(crate) async fn sequence(
        &self,
        numbers: Numbers<'_>,
        guess: u64,
        height: u64,
        state: &BlockState,
    ) -> Result<Sequence, NodeFault> {
        let before = state_before(height, state)?;
        let next = match before {
            Some(before) => self.first_free(numbers, guess, before).await?,
            None => numbers.first,
        };
        let (mut before_last, mut before_next) = (None, None);
        if let Some(before) = before {
            if let Some(last) = next.checked_sub(1).filter(|_| next > numbers.first) {
                before_last = Some(self.prove(&numbers.key(last), before).await?);
            }
            before_next = Some(self.prove(&numbers.key(next), before).await?);
        }
        let (values, after_next) = self.values(numbers, next, height).await?;
        Ok(Sequence { next, before_last, before_next, values, after_next })
    }

    /// Proofs of the values from `next` on, and that the number after them is free.
    async fn values(
        &self,
        numbers: Numbers<'_>,
        next: u64,
        height: u64,
    ) -> Result<(Vec<StateProof>, StateProof), NodeFault> {
        let mut values = Vec::new();
        let (mut from, mut together) = (next, 1);
        loop {
            let end = from.checked_add(together as u64).ok_or_else(beyond)?;
            let asked = (from..end).map(async |number| self.prove(&numbers.key(number), height).await);
            let proofs: Vec<StateProof> = stream::iter(asked).buffered(self.in_flight).try_collect().await?;
            for proof in proofs {
                if proof.value.is_none() {
                    return Ok((values, proof));
                }
                if values.len() >= self.most {
                    let detail = format!("more than {} values under running numbers", self.most);
                    return Err(NodeFault::BlockTooLarge { height, detail });
                }
                values.push(proof);
            }
            (from, together) = (end, (together * 2).min(VALUES_AT_ONCE));
        }
    }

    /// The first number that holds nothing at this height, where those below hold something: at most 64 doublings and 64
    /// halvings.
    async fn first_free(&self, numbers: Numbers<'_>, guess: u64, height: u64) -> Result<u64, NodeFault> {
        let first = numbers.first;
        let guess = guess.max(first);
        let held = async |number: u64| self.holds(&numbers.key(number), height).await;
        let (mut low, mut high, mut step) = (guess, guess, 1_u64);
        if held(guess).await? {
            loop {
                high = low.checked_add(step).ok_or_else(beyond)?;
                if !held(high).await? {
                    break;
                }
                (low, step) = (high, step.saturating_mul(2));
            }
        } else {
            loop {
                if high == first {
                    return Ok(first);
                }
                low = high.saturating_sub(step).max(first);
                if held(low).await? {
                    break;
                }
                (high, step) = (low, step.saturating_mul(2));
            }
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if held(middle).await? {
                low = middle;
            } else {
                high = middle;
            }
        }
        Ok(high)
    }

    /// A key's value or absence after a block, with its proof.
    async fn prove(&self, key: &[u8], height: u64) -> Result<StateProof, NodeFault> {
        let answer = self.ask(key, height, true).await?;
        let found = queried(&answer).map_err(|fault| unreadable(&fault))?;
        if (found.height, found.key.as_slice()) != (height, key) {
            let got = format!("one of key {} at height {}", clip(&hex::encode(&found.key)), found.height);
            return Err(NodeFault::malformed(format!("a proof of key {} at height {height}", hex::encode(key)), got));
        }
        Ok(found.proof)
    }

    /// Whether a key has a value after a block, in the node's word.
    async fn holds(&self, key: &[u8], height: u64) -> Result<bool, NodeFault> {
        let answer = self.ask(key, height, false).await?;
        let value = answer.pointer("/response/value").and_then(Value::as_str);
        Ok(value.is_some_and(|value| !value.is_empty()))
    }

    async fn ask(&self, key: &[u8], height: u64, prove: bool) -> Result<Value, NodeFault> {
        let answer = self.node.query(&self.path, key, Some(height), prove, self.room).await?;
        match refusal(&answer) {
            None => Ok(answer),
            Some(words) => Err(self.refused(key, height, words).await),
        }
    }

    /// What it means that the application refuses: the height has not come, it is no longer kept, or nothing is answered
    /// at this path. Its codes are its own affair, so the same is asked of the latest state.
    async fn refused(&self, key: &[u8], height: u64, words: String) -> NodeFault {
        match self.node.claim(Some(height), self.room).await {
            Err(fault) => return fault,
            Ok(claim) if claim.tip < height => return NodeFault::Behind { wanted: height, at: claim.tip },
            Ok(_) => {}
        }
        match self.node.query(&self.path, key, None, false, self.room).await {
            Err(fault) => fault,
            Ok(answer) if refusal(&answer).is_none() => {
                NodeFault::Pruned(format!("the state after block {height} ({words})"))
            }
            Ok(_) => NodeFault::malformed(format!("an answer to abci_query at {:?}", self.path), words),
        }
    }
}

/// Keys of a prefix and a running number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers<'a> {
    pub(crate) prefix: &'a [u8],
    pub(crate) first: u64,
}

impl Numbers<'_> {
    fn key(self, number: u64) -> Vec<u8> {
        [self.prefix, &number.to_be_bytes()].concat()
    }
}

/// The height at which the state before a block is asked for; `None` where the ledger had none.
fn state_before(height: u64, state: &BlockState) -> Result<Option<u64>, NodeFault> {
    if state.app_hash_before.is_empty() {
        return Ok(None);
    }
    // Height 0 would be the latest state.
    let before = height.checked_sub(1).filter(|before| *before > 0);
    before
        .map(Some)
        .ok_or_else(|| NodeFault::Pruned("the state before block 1, of which nodes prove nothing".to_owned()))
}

/// The application's words, where it refuses.
fn refusal(answer: &Value) -> Option<String> {
    let code = answer.pointer("/response/code").and_then(Value::as_u64).unwrap_or(0);
    let words = answer.pointer("/response/log").and_then(Value::as_str).unwrap_or_default();
    (code != 0).then(|| clip(&format!("code {code}: {words}")))
}

fn beyond() -> NodeFault {
    NodeFault::malformed("running numbers of 64 bits", "greater ones")
}
