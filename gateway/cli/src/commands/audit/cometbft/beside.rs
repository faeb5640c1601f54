//! What was captured beside headers, held against them: transactions, results, keys of the state.
//!
//! | captured | leads to |
//! |---|---|
//! | `block` | `data_hash` of its own header |
//! | `tx` with proof | `data_hash` of its block's header |
//! | `block_results`: code, data and gas | `last_results_hash` of the header *above* |
//! | `abci_query` with proof | `app_hash` of the header *above* |
//!
//! Events, logs and code spaces lead to nothing: they are a node's word and are not looked at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hufu_adapters_light_client::Budget;
use hufu_cometbft_light_client::hash::sha256;
use hufu_cometbft_light_client::rpc::evidence;
use hufu_cometbft_light_client::{Hash32, Header, merkle, results};
use serde_json::Value;

use super::candidate::Candidate;
use super::capture::Capture;
use crate::output::Output;

/// How many answers of one kind were held against a header.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    proven: u64,
    wrong: u64,
    /// The node gave no proof.
    bare: u64,
}

/// What came of all of them.
pub(super) struct Beside<'a> {
    capture: &'a Capture,
    out: &'a Output,
    transactions: Tally,
    results: Tally,
    keys: Tally,
}

/// What one answer shows.
enum Shown {
    Proven(String),
    Wrong(String),
    Bare(String),
}

impl Tally {
    fn add(&mut self, shown: &Shown) {
        *match shown {
            Shown::Proven(_) => &mut self.proven,
            Shown::Wrong(_) => &mut self.wrong,
            Shown::Bare(_) => &mut self.bare,
        } += 1;
    }

    fn words(self, what: &str, given: usize) -> String {
        let Self { proven, wrong, bare } = self;
        let open = (given as u64).saturating_sub(proven + wrong);
        let bare = if bare == 0 { String::new() } else { format!(" ({bare} without proof)") };
        format!("{what}: {proven} proven, {wrong} wrong, {open} open{bare}")
    }
}

impl<'a> Beside<'a> {
    pub(super) fn new(capture: &'a Capture, out: &'a Output) -> Self {
        let (transactions, results, keys) = Default::default();
        Self { capture, out, transactions, results, keys }
    }

    /// What was captured and what came of it; `None` where nothing was. What is *open* stands at a height whose header,
    /// or the header above it, was not final here.
    pub(super) fn words(&self) -> Option<String> {
        let given = |count: fn(&super::capture::Heard) -> usize| self.capture.all().map(count).sum::<usize>();
        let counts = [
            (self.transactions, "transactions", given(|heard| heard.transactions.len())),
            (self.results, "results of blocks", given(|heard| heard.results.len())),
            (self.keys, "keys", given(|heard| heard.keys.len())),
        ];
        let words: Vec<String> = counts
            .into_iter()
            .filter(|(_, _, given)| *given > 0)
            .map(|(tally, what, given)| tally.words(what, given))
            .collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// Compares the captured blocks and transactions of a final header with it; in words what is wrong first.
    pub(super) fn check_own(&mut self, candidate: &Candidate) -> anyhow::Result<Result<(), String>> {
        let header = &candidate.header;
        let mut verdict = Ok(());
        for place in &candidate.blocks {
            verdict = verdict.and(check_data(&self.capture.answer(*place)?, header));
        }
        self.check_transactions(header, verdict)
    }

    /// The same for a header of which the block was passed over at first.
    pub(super) fn check_transactions(
        &mut self,
        header: &Header,
        mut verdict: Result<(), String>,
    ) -> anyhow::Result<Result<(), String>> {
        for place in self.capture.at(header.height).map(|heard| heard.transactions.as_slice()).unwrap_or_default() {
            let shown = transaction(&self.capture.answer(*place)?, header);
            self.transactions.add(&shown);
            verdict = verdict.and(self.tell(shown));
        }
        Ok(verdict)
    }

    /// Compares what was captured of the results and of the state after a block with the final header above it.
    pub(super) fn check_by_above(&mut self, height: u64, above: &Header) -> anyhow::Result<Result<(), String>> {
        let mut verdict = Ok(());
        let Some(heard) = self.capture.at(height) else { return Ok(verdict) };
        for place in &heard.results {
            let shown = block_results(&self.capture.answer(*place)?, height, above);
            self.results.add(&shown);
            verdict = verdict.and(self.tell(shown));
        }
        for place in &heard.keys {
            let shown = key(&self.capture.answer(*place)?, height, above);
            self.keys.add(&shown);
            verdict = verdict.and(self.tell(shown));
        }
        Ok(verdict)
    }

    fn tell(&self, shown: Shown) -> Result<(), String> {
        match shown {
            Shown::Proven(words) => {
                self.out.tell(&format!("{words}: proven"));
                Ok(())
            }
            Shown::Bare(words) => {
                self.out.tell(&format!("{words}: the node gave no proof, and so this is its word"));
                Ok(())
            }
            Shown::Wrong(words) => {
                self.out.tell(&format!("WRONG {words}"));
                Err(words)
            }
        }
    }
}

/// Transactions of a block under its own header.
fn check_data(answer: &Value, header: &Header) -> Result<(), String> {
    let txs = answer.pointer("/block/data/txs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let hashes: Option<Vec<[u8; 32]>> =
        txs.iter().map(|tx| STANDARD.decode(tx.as_str()?).ok().map(|tx| *sha256(&tx).as_bytes())).collect();
    let Some(hashes) = hashes else {
        return Err(format!("rpc-malformed: expected the transactions of block {} in base64", header.height));
    };
    check_root("data-hash", header.data_hash, merkle::root(&hashes))
}

fn check_root(label: &str, due: Option<Hash32>, got: Hash32) -> Result<(), String> {
    // Nodes write no hash at all for some empty trees.
    if due == Some(got) || due.is_none() && got == sha256(b"") {
        return Ok(());
    }
    let due = due.map_or_else(|| "none".to_owned(), |due| due.to_string());
    Err(format!("{label}: expected {due}, got {got}"))
}

fn transaction(answer: &Value, header: &Header) -> Shown {
    let said = answer.get("hash").and_then(Value::as_str).unwrap_or("?");
    let name = format!("transaction {said} in block {}", header.height);
    if answer.get("proof").is_none_or(Value::is_null) {
        return Shown::Bare(name);
    }
    let included = match evidence::included(answer) {
        Ok(included) => included,
        Err(fault) => return Shown::Wrong(format!("{name}: {fault}")),
    };
    let hash = sha256(&included.tx);
    if said != hash.to_string() {
        return Shown::Wrong(format!("{name}: transaction-hash: expected {hash}, got {said}"));
    }
    let root = header.data_hash.unwrap_or_else(|| sha256(b""));
    match included.proof.verify(hash.as_bytes(), root) {
        Ok(()) => Shown::Proven(format!("{name}, {} of {}", included.proof.index, included.proof.total)),
        Err(fault) => Shown::Wrong(format!("{name}: {fault}")),
    }
}

fn block_results(answer: &Value, height: u64, above: &Header) -> Shown {
    let list = answer.get("txs_results").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let name = format!("results of block {height}, of {} transactions", list.len());
    let read: Result<Vec<_>, _> = list.iter().map(evidence::tx_result).collect();
    match read {
        Ok(read) => match check_root("results-hash", above.last_results_hash, results::root(&read)) {
            Ok(()) => Shown::Proven(name),
            Err(words) => Shown::Wrong(format!("{name}: {words}")),
        },
        Err(fault) => Shown::Wrong(format!("{name}: {fault}")),
    }
}

fn key(answer: &Value, height: u64, above: &Header) -> Shown {
    let ops = ["proofOps", "proof_ops"].into_iter().find_map(|name| answer.get("response")?.get(name)?.get("ops"));
    let name = format!("key {} after block {height}", text(answer.pointer("/response/key")));
    let Some(ops) = ops.and_then(Value::as_array) else { return Shown::Bare(name) };
    // Which store it is the proof says itself: it closes only where app_hash holds that store.
    let outer = (ops.len() > 1).then(|| ops.last()).flatten();
    let store = outer.map(|op| STANDARD.decode(op.get("key").and_then(Value::as_str).unwrap_or_default()));
    let store = store.map(|bytes| bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default());
    let name = store.as_ref().map_or_else(|| name.clone(), |store| format!("{name} in store {store}"));
    let queried = match evidence::queried(answer) {
        Ok(queried) => queried,
        Err(fault) => return Shown::Wrong(format!("{name}: {fault}")),
    };
    let budget = &mut Budget::for_evidence();
    match queried.proof.verify(store.as_deref(), &queried.key, &above.app_hash, budget) {
        Ok(Some(value)) => Shown::Proven(format!("{name} = {}", plain(value))),
        Ok(None) => Shown::Proven(format!("{name} is absent")),
        Err(fault) => Shown::Wrong(format!("{name}: {fault}")),
    }
}

/// Base64 as a person reads it.
fn text(value: Option<&Value>) -> String {
    STANDARD
        .decode(value.and_then(Value::as_str).unwrap_or_default())
        .map_or_else(|_| "?".to_owned(), |bytes| plain(&bytes))
}

/// Letters of a value that are shown.
const MOST_SHOWN: usize = 120;

/// Text where it is text without control characters, hex otherwise; the beginning of long ones.
fn plain(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control));
    let whole = text.map_or_else(|| format!("0x{}", hex::encode(bytes)), str::to_owned);
    let cut: String = whole.chars().take(MOST_SHOWN).collect();
    if cut.len() < whole.len() { format!("{cut}…") } else { cut }
}
