//! The JSON-RPC methods, each answered from one node's [`View`].

use alloy_primitives::{Address, B256, Bytes};
use serde_json::{Value, json};

use crate::render::{self, data, quantity};
use crate::view::{Told, View};

/// Most blocks one `eth_getLogs` may span.
const MAX_LOG_RANGE: u64 = 10_000;

/// An error object of JSON-RPC 2.0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RpcError {
    code: i64,
    message: String,
}

impl RpcError {
    pub(crate) fn parse() -> Self {
        Self { code: -32_700, message: "parse error".to_owned() }
    }

    pub(crate) fn request(why: &str) -> Self {
        Self { code: -32_600, message: format!("invalid request: {why}") }
    }

    pub(crate) fn method(name: &str) -> Self {
        Self { code: -32_601, message: format!("the method {name} does not exist/is not available") }
    }

    pub(crate) fn params(why: &str) -> Self {
        Self { code: -32_602, message: format!("invalid params: {why}") }
    }

    pub(crate) fn server(why: impl ToString) -> Self {
        Self { code: -32_000, message: why.to_string() }
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({ "code": self.code, "message": self.message })
    }
}

type Answer = Result<Value, RpcError>;

/// Answers one method.
pub(crate) fn call(view: &View<'_>, method: &str, params: &[Value]) -> Answer {
    match method {
        "eth_chainId" => Ok(quantity(view.chain_id())),
        "net_version" => Ok(json!(view.chain_id().to_string())),
        "web3_clientVersion" => Ok(json!("hufu-evm-devnet/v0.1.0")),
        "eth_syncing" => Ok(json!(false)),
        "eth_blockNumber" => Ok(quantity(view.height())),
        "eth_getBlockByNumber" => get_block(view, block_at(view, params.first())?, params),
        "eth_getBlockByHash" => get_block(view, view.block_by_hash(&hash(params.first())?), params),
        "eth_getBlockReceipts" => Ok(block_receipts(view, block_at(view, params.first())?)),
        "eth_getTransactionReceipt" => {
            Ok(one(view, params, |told, index| render::receipt(told, index, view.registrar()))?)
        }
        "eth_getTransactionByHash" => {
            Ok(one(view, params, |told, index| render::transaction(told, index, view.chain_id()))?)
        }
        "eth_getLogs" => get_logs(view, params.first().unwrap_or(&Value::Null)),
        "eth_getCode" => get_code(view, params),
        "debug_getRawHeader" => Ok(data(known(view, params.first())?.header.to_rlp())),
        "debug_getRawBlock" => Ok(data(known(view, params.first())?.to_block().to_rlp())),
        "debug_getRawReceipts" => raw_receipts(view, &known(view, params.first())?),
        "debug_getBlockRlp" => get_block_rlp(view, params.first()),
        "qbft_getValidatorsByBlockNumber" => validators(&known(view, params.first())?),
        _ => Err(RpcError::method(method)),
    }
}

fn get_block(view: &View<'_>, told: Option<Told<'_>>, params: &[Value]) -> Answer {
    let full = match params.get(1) {
        None | Some(Value::Null) => false,
        Some(value) => value.as_bool().ok_or_else(|| RpcError::params("expected true or false"))?,
    };
    Ok(told.map_or(Value::Null, |told| render::block(&told, view.chain_id(), full)))
}

fn one(view: &View<'_>, params: &[Value], show: impl Fn(&Told<'_>, usize) -> Option<Value>) -> Answer {
    let found = view.transaction(&hash(params.first())?);
    Ok(found.and_then(|(told, index)| show(&told, index)).unwrap_or(Value::Null))
}

fn block_receipts(view: &View<'_>, told: Option<Told<'_>>) -> Value {
    let Some(told) = told else { return Value::Null };
    let count = view.receipts_admitted(told.receipts.len());
    (0..count).filter_map(|index| render::receipt(&told, index, view.registrar())).collect()
}

fn raw_receipts(view: &View<'_>, told: &Told<'_>) -> Answer {
    let count = view.receipts_admitted(told.receipts.len());
    Ok(told.receipts.iter().take(count).map(|receipt| data(receipt.to_consensus())).collect())
}

/// The list in the header: the set that seals this very block.
fn validators(told: &Told<'_>) -> Answer {
    let extra = told.header.extra().map_err(RpcError::server)?;
    Ok(extra.validators.iter().map(data).collect())
}

/// The older call of the Geth 1.10 line: a plain number in, hex without prefix out.
fn get_block_rlp(view: &View<'_>, param: Option<&Value>) -> Answer {
    let height = param.and_then(Value::as_u64).ok_or_else(|| RpcError::params("expected a number"))?;
    let told = view.block(height).ok_or_else(|| RpcError::server(format!("block #{height} not found")))?;
    Ok(json!(alloy_primitives::hex::encode(told.to_block().to_rlp())))
}

fn get_code(view: &View<'_>, params: &[Value]) -> Answer {
    let address = address(params.first().unwrap_or(&Value::Null))?;
    let told = known(view, params.get(1))?;
    Ok(data(told.sealed.code(&address).unwrap_or(&Bytes::new())))
}

fn get_logs(view: &View<'_>, filter: &Value) -> Answer {
    let (from, to) = log_range(view, filter)?;
    if to.saturating_sub(from) >= MAX_LOG_RANGE {
        return Err(RpcError::params("the range spans too many blocks"));
    }
    let addresses = any_of(filter.get("address"), address)?;
    let topics = match filter.get("topics") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(places)) => {
            places.iter().map(|place| any_of(Some(place), word)).collect::<Result<Vec<_>, _>>()?
        }
        Some(_) => return Err(RpcError::params("topics: expected a list")),
    };
    let mut found = Vec::new();
    for told in (from..=to).map_while(|height| view.block(height)) {
        for (index, receipt) in told.receipts.iter().enumerate() {
            let wanted = receipt.logs.iter().map(|log| {
                matches_any(&addresses, &log.address)
                    && topics.len() <= log.topics.len()
                    && topics.iter().zip(&log.topics).all(|(place, topic)| matches_any(place, topic))
            });
            let shown = render::logs(&told, index).into_iter().zip(wanted);
            found.extend(shown.filter_map(|(log, wanted)| wanted.then_some(log)));
        }
    }
    view.admit_logs(&mut found);
    Ok(Value::Array(found))
}

fn log_range(view: &View<'_>, filter: &Value) -> Result<(u64, u64), RpcError> {
    let filter = filter.as_object().ok_or_else(|| RpcError::params("expected a filter object"))?;
    if let Some(wanted) = filter.get("blockHash") {
        let told = view.block_by_hash(&hash(Some(wanted))?);
        return told.map(|told| (told.number(), told.number())).ok_or_else(|| RpcError::server("unknown block"));
    }
    let end = |name: &str| match filter.get(name) {
        None | Some(Value::Null) => Ok(view.height()),
        Some(value) => height(view, value),
    };
    Ok((end("fromBlock")?, end("toBlock")?.min(view.height())))
}

/// No restriction, one value, or a list of which one must fit.
fn any_of<T>(value: Option<&Value>, parse: fn(&Value) -> Result<T, RpcError>) -> Result<Vec<T>, RpcError> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) => values.iter().map(parse).collect(),
        Some(value) => Ok(vec![parse(value)?]),
    }
}

fn matches_any<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}

fn known<'a>(view: &View<'a>, param: Option<&Value>) -> Result<Told<'a>, RpcError> {
    block_at(view, param)?.ok_or_else(|| RpcError::server("header not found"))
}

/// A height, a tag, a hash, or the object form of EIP-1898.
fn block_at<'a>(view: &View<'a>, param: Option<&Value>) -> Result<Option<Told<'a>>, RpcError> {
    let param = param.unwrap_or(&Value::Null);
    if let Some(wanted) = param.get("blockHash") {
        return Ok(view.block_by_hash(&hash(Some(wanted))?));
    }
    if param.as_str().is_some_and(|text| text.len() == 66) {
        return Ok(view.block_by_hash(&hash(Some(param))?));
    }
    let number = param.get("blockNumber").unwrap_or(param);
    Ok(view.block(height(view, number)?))
}

/// Every block is final here, so all tags but one name the last.
fn height(view: &View<'_>, value: &Value) -> Result<u64, RpcError> {
    match value.as_str() {
        Some("latest" | "pending" | "safe" | "finalized") => Ok(view.height()),
        Some("earliest") => Ok(0),
        Some(text) => number(text),
        None => Err(RpcError::params("expected a block number or tag")),
    }
}

fn number(text: &str) -> Result<u64, RpcError> {
    let digits = text.strip_prefix("0x").ok_or_else(|| RpcError::params("hex string without 0x prefix"))?;
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(RpcError::params("hex number with leading zero digits"));
    }
    u64::from_str_radix(digits, 16).map_err(|_| RpcError::params("expected a hex number of at most 64 bits"))
}

fn hash(param: Option<&Value>) -> Result<B256, RpcError> {
    word(param.unwrap_or(&Value::Null))
}

fn word(value: &Value) -> Result<B256, RpcError> {
    parse(value, "expected 32 bytes in hex")
}

pub(crate) fn address(value: &Value) -> Result<Address, RpcError> {
    parse(value, "expected 20 bytes in hex")
}

fn parse<T: std::str::FromStr>(value: &Value, expected: &str) -> Result<T, RpcError> {
    let text = value.as_str().filter(|text| text.starts_with("0x"));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| RpcError::params(expected))
}
