//! The methods that only read, with the words in which real nodes refuse (CometBFT 0.38, `rpc/core`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::app::{self, STORE};
use crate::block::Block;
use crate::chain::{Chain, MAX_BLOCK_BYTES, MAX_BLOCK_GAS};
use crate::header::BLOCK_PROTOCOL;
use crate::merkle::{Hash, sha256};
use crate::misbehave::Misbehave;
use crate::params::{BytesAs, Params};
use crate::render;
use crate::time::rfc3339;
use crate::view::View;

/// What the node says it is.
const SOFTWARE: &str = "0.38.17";
/// Validators on one page where none are asked for, and most of them (`rpc/core/env.go`).
const PER_PAGE: i64 = 30;
const MOST_PER_PAGE: i64 = 100;
/// Most blocks of one `/blockchain` (`rpc/core/blocks.go`).
const MOST_METAS: u64 = 20;

/// Codes of the application's query, as of the one that real nodes run.
const CODE_PATH: u32 = 3;
const CODE_HEIGHT: u32 = 4;

/// Every method over HTTP, with its parameters in order.
pub(crate) const METHODS: [(&str, &[&str]); 16] = [
    ("health", &[]),
    ("status", &[]),
    ("genesis", &[]),
    ("abci_info", &[]),
    ("blockchain", &["minHeight", "maxHeight"]),
    ("header", &["height"]),
    ("block", &["height"]),
    ("block_results", &["height"]),
    ("commit", &["height"]),
    ("validators", &["height", "page", "per_page"]),
    ("consensus_params", &["height"]),
    ("tx", &["hash", "prove"]),
    ("abci_query", &["path", "data", "height", "prove"]),
    ("broadcast_tx_async", &["tx"]),
    ("broadcast_tx_sync", &["tx"]),
    ("broadcast_tx_commit", &["tx"]),
];

/// A method's parameters; none where it does not exist.
pub(crate) fn parameters(method: &str) -> Option<&'static [&'static str]> {
    METHODS.iter().find(|(name, _)| *name == method).map(|(_, names)| *names)
}

/// A refusal in the form of JSON-RPC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RpcError {
    code: i32,
    message: &'static str,
    data: Option<String>,
}

pub(crate) type Answer = Result<Value, RpcError>;

impl RpcError {
    pub(crate) fn internal(data: impl std::fmt::Display) -> Self {
        Self { code: -32_603, message: "Internal error", data: Some(data.to_string()) }
    }

    pub(crate) fn params(data: &str) -> Self {
        Self { code: -32_602, message: "Invalid params", data: Some(data.to_owned()) }
    }

    pub(crate) const fn method() -> Self {
        Self { code: -32_601, message: "Method not found", data: None }
    }

    pub(crate) fn request(data: &str) -> Self {
        Self { code: -32_600, message: "Invalid Request", data: Some(data.to_owned()) }
    }

    pub(crate) fn parse(data: impl std::fmt::Display) -> Self {
        let data = format!("error unmarshaling request: {data}");
        Self { code: -32_700, message: "Parse error. Invalid JSON", data: Some(data) }
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut error = BTreeMap::from([("code", json!(self.code)), ("message", json!(self.message))]);
        error.extend(self.data.as_ref().map(|data| ("data", json!(data))));
        json!(error)
    }
}

/// Answers a method that only reads.
pub(crate) fn call(view: &View<'_>, method: &str, params: &Params) -> Answer {
    match method {
        "health" => Ok(json!({})),
        "status" => status(view),
        "genesis" => Ok(json!({ "genesis": genesis(view.chain) })),
        "abci_info" => info(view),
        "blockchain" => blockchain(view, params),
        "header" => Ok(json!({ "header": render::header(&asked(view, params)?.header) })),
        "block" => {
            let block = asked(view, params)?;
            Ok(render::block(block, view.txs(block)))
        }
        "block_results" => {
            let block = asked(view, params)?;
            Ok(render::block_results(block, &view.results(block)))
        }
        "commit" => {
            let block = asked(view, params)?;
            let canonical = block.header.height < view.height();
            Ok(render::signed_header(&block.header, &view.commit(block), canonical))
        }
        "validators" => validators(view, params),
        "consensus_params" => {
            let height = height(view, params, view.height() + 1)?;
            Ok(json!({ "block_height": height.to_string(), "consensus_params": consensus_params() }))
        }
        "tx" => tx(view, params),
        _ => Err(RpcError::method()),
    }
}

/// The height asked for, or the latest; in the words of `Environment.getHeight`.
fn height(view: &View<'_>, params: &Params, latest: u64) -> Result<u64, RpcError> {
    let Some(asked) = params.number("height")? else { return Ok(latest) };
    let Some(height) = u64::try_from(asked).ok().filter(|height| *height > 0) else {
        return Err(RpcError::internal(format!("height must be greater than 0, but got {asked}")));
    };
    if height > latest {
        let said = format!("height {height} must be less than or equal to the current blockchain height {latest}");
        return Err(RpcError::internal(said));
    }
    let base = view.base();
    if height < base {
        return Err(RpcError::internal(format!("height {height} is not available, lowest height is {base}")));
    }
    Ok(height)
}

fn asked<'a>(view: &'a View<'_>, params: &Params) -> Result<&'a Block, RpcError> {
    let height = height(view, params, view.height())?;
    kept(view, height)
}

fn kept<'a>(view: &'a View<'_>, height: u64) -> Result<&'a Block, RpcError> {
    view.block(height).ok_or_else(|| RpcError::internal(format!("could not find block #{height}")))
}

fn validators(view: &View<'_>, params: &Params) -> Answer {
    // The set of the next height is known already.
    let height = height(view, params, view.height() + 1)?;
    let set = view.validators(height);
    let set = set.ok_or_else(|| RpcError::internal(format!("could not find validator set for height #{height}")))?;
    let all = set.validators();
    let per_page = match params.count("per_page")? {
        None => PER_PAGE,
        Some(few) if few < 1 => PER_PAGE,
        Some(many) => many.min(MOST_PER_PAGE),
    };
    let per_page = usize::try_from(per_page).map_err(RpcError::internal)?;
    let pages = all.len().div_ceil(per_page).max(1);
    let page = params.count("page")?.unwrap_or(1);
    let Some(skipped) = usize::try_from(page).ok().filter(|page| (1..=pages).contains(page)).map(|page| page - 1)
    else {
        return Err(RpcError::internal(format!("page should be within [1, {pages}] range, given {page}")));
    };
    let shown: Vec<Value> = all.iter().skip(skipped * per_page).take(per_page).map(render::validator).collect();
    Ok(json!({
        "block_height": height.to_string(),
        "count": shown.len().to_string(),
        "total": all.len().to_string(),
        "validators": shown,
    }))
}

fn blockchain(view: &View<'_>, params: &Params) -> Answer {
    let bound = |name| -> Result<u64, RpcError> {
        let number = params.number(name)?.unwrap_or(0);
        u64::try_from(number).map_err(|_| RpcError::internal("heights must be non-negative"))
    };
    let (low, high) = (bound("minHeight")?, bound("maxHeight")?);
    let high = if high == 0 { view.height() } else { high.min(view.height()) };
    let low = low.max(view.base()).max((high + 1).saturating_sub(MOST_METAS));
    if low > high {
        return Err(RpcError::internal(format!("min height {low} can't be greater than max height {high}")));
    }
    let metas: Vec<Value> = (low..=high).rev().filter_map(|height| view.block(height)).map(render::meta).collect();
    Ok(json!({ "last_height": view.height().to_string(), "block_metas": metas }))
}

fn tx(view: &View<'_>, params: &Params) -> Answer {
    let hash = params.bytes("hash", BytesAs::Base64)?;
    let missing = || RpcError::internal(format!("tx ({}) not found", hex::encode_upper(&hash)));
    let known = Hash::try_from(hash.as_slice()).ok().and_then(|hash| view.chain.place(&hash));
    let (height, index) = known.ok_or_else(missing)?;
    let block = view.block(height).ok_or_else(missing)?;
    let results = view.results(block);
    let prove = params.truth("prove")? && !view.has(|fault| matches!(fault, Misbehave::WithoutProofs));
    let result = results.get(index).ok_or_else(missing)?;
    render::tx(block, index, result, prove).ok_or_else(missing)
}

/// The application's query: `path`, `data`, `height`, `prove`.
pub(crate) fn query(view: &View<'_>, params: &Params, faults: &[Misbehave]) -> Answer {
    let path = params.text("path")?;
    let data = params.bytes("data", BytesAs::Hex)?;
    let asked = params.number("height")?.unwrap_or(0);
    if path != format!("/store/{STORE}/key") {
        return Ok(render::query_refused(CODE_PATH, &format!("expected the path /store/{STORE}/key")));
    }
    let Some((height, state)) = u64::try_from(asked).ok().and_then(|height| view.state(height)) else {
        let (low, high) = (view.oldest_state(), view.height());
        let said = format!("only the states of heights {low} to {high} are kept, asked was {asked}");
        return Ok(render::query_refused(CODE_HEIGHT, &said));
    };
    let has = |wanted: fn(&Misbehave) -> bool| faults.iter().any(wanted);
    let mut value = state.get(&data).map(<[u8]>::to_vec);
    if has(|fault| matches!(fault, Misbehave::AlteredState))
        && let Some(last) = value.as_mut().and_then(|value| value.last_mut())
    {
        *last ^= 1;
    }
    let prove = params.truth("prove")? && !has(|fault| matches!(fault, Misbehave::WithoutProofs));
    let proof = prove.then(|| state.prove(&data));
    Ok(render::query(height, &data, value.as_deref(), proof.as_ref().map(<[_; 2]>::as_slice)))
}

fn info(view: &View<'_>) -> Answer {
    let last = kept(view, view.height())?;
    Ok(json!({ "response": {
        "data": STORE,
        "version": "1",
        "app_version": app::VERSION.to_string(),
        "last_block_height": last.header.height.to_string(),
        "last_block_app_hash": render::bytes(&last.app_hash),
    } }))
}

fn status(view: &View<'_>) -> Answer {
    let (last, first) = (kept(view, view.height())?, kept(view, view.base())?);
    let genesis = view.chain.genesis();
    let own = genesis.validators.get(view.node % genesis.validators.len().max(1));
    let own = own.ok_or_else(|| RpcError::internal("no validators"))?;
    let power = last.validators.validators().iter().find(|it| it.public_key == own.public_key).map_or(0, |it| it.power);
    let id = sha256(&[b"node", &own.public_key, &(view.node as u64).to_be_bytes()]);
    Ok(json!({
        "node_info": {
            "protocol_version": {
                "p2p": "8", "block": BLOCK_PROTOCOL.to_string(), "app": app::VERSION.to_string(),
            },
            "id": hex::encode(id.get(..20).unwrap_or_default()),
            "listen_addr": "tcp://127.0.0.1:0",
            "network": genesis.chain_id,
            "version": SOFTWARE,
            "channels": "40202122233038606100",
            "moniker": format!("node{}", view.node),
            "other": { "tx_index": "on", "rpc_address": format!("tcp://127.0.0.1:{}", view.port) },
        },
        "sync_info": {
            "latest_block_hash": render::upper_hex(&last.id.hash),
            "latest_app_hash": render::upper_hex(&last.app_hash),
            "latest_block_height": last.header.height.to_string(),
            "latest_block_time": rfc3339(Some(last.header.time)),
            "earliest_block_hash": render::upper_hex(&first.id.hash),
            "earliest_app_hash": render::upper_hex(&first.header.app_hash),
            "earliest_block_height": first.header.height.to_string(),
            "earliest_block_time": rfc3339(Some(first.header.time)),
            "catching_up": false,
        },
        "validator_info": render::own_validator(own, power),
    }))
}

fn genesis(chain: &Chain) -> Value {
    let genesis = chain.genesis();
    let validators = genesis.validators.iter().enumerate();
    json!({
        "genesis_time": rfc3339(Some(genesis.time)),
        "chain_id": genesis.chain_id,
        "initial_height": "1",
        "consensus_params": consensus_params(),
        "validators": validators.map(|(number, it)| render::genesis_validator(number, it)).collect::<Vec<_>>(),
        "app_hash": "",
    })
}

fn consensus_params() -> Value {
    json!({
        "block": { "max_bytes": MAX_BLOCK_BYTES.to_string(), "max_gas": MAX_BLOCK_GAS.to_string() },
        "evidence": {
            "max_age_num_blocks": "100000", "max_age_duration": "172800000000000", "max_bytes": "1048576",
        },
        "validator": { "pub_key_types": ["ed25519"] },
        "version": { "app": "0" },
        "abci": { "vote_extensions_enable_height": "0" },
    })
}
