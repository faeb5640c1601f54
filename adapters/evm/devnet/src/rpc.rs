//! The JSON-RPC methods, each answered from one node's [`View`].

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::{Value, json};

use crate::abi;
use crate::logs;
use crate::registry;
use crate::render::{self, data, quantity};
use crate::view::{Told, View};

/// Most slots one `eth_getProof` may ask for.
const MAX_PROOF_SLOTS: usize = 1_024;

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

/// A result or an error.
pub(crate) type Answer = Result<Value, RpcError>;

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
        "eth_getBlockTransactionCountByNumber" => Ok(transaction_count(block_at(view, params.first())?)),
        "eth_getBlockTransactionCountByHash" => Ok(transaction_count(view.block_by_hash(&hash(params.first())?))),
        "eth_getLogs" => logs::get(view, params.first().unwrap_or(&Value::Null)),
        "eth_getCode" => get_code(view, params),
        "eth_getBalance" => known(view, params.get(1)).map(|_| quantity(0)),
        "eth_getTransactionCount" => get_transaction_count(view, params),
        "eth_getStorageAt" => get_storage_at(view, params),
        "eth_getProof" => get_proof(view, params),
        "eth_call" => eth_call(view, params),
        "eth_gasPrice" => Ok(quantity(0)),
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

fn transaction_count(told: Option<Told<'_>>) -> Value {
    told.map_or(Value::Null, |told| quantity(told.sealed.block.transactions.len() as u64))
}

fn get_code(view: &View<'_>, params: &[Value]) -> Answer {
    let address = address_at(params, 0)?;
    let told = known(view, params.get(1))?;
    Ok(data(told.sealed.code(&address).unwrap_or(&Bytes::new())))
}

/// Nothing waits long here, so that `pending` too counts what stands in blocks.
fn get_transaction_count(view: &View<'_>, params: &[Value]) -> Answer {
    let address = address_at(params, 0)?;
    let told = known(view, params.get(1))?;
    Ok(quantity(told.sealed.state.get(&address).map_or(0, |account| account.nonce)))
}

fn get_storage_at(view: &View<'_>, params: &[Value]) -> Answer {
    let address = address_at(params, 0)?;
    let slot = slot(params.get(1).unwrap_or(&Value::Null))?;
    let told = known(view, params.get(2))?;
    Ok(data(B256::from(told.sealed.state.slot(&address, &slot))))
}

/// EIP-1186. The keys are shown as they were asked for.
fn get_proof(view: &View<'_>, params: &[Value]) -> Answer {
    let address = address_at(params, 0)?;
    let keys = params.get(1).and_then(Value::as_array).ok_or_else(|| RpcError::params("expected a list of slots"))?;
    if keys.len() > MAX_PROOF_SLOTS {
        return Err(RpcError::params("too many slots"));
    }
    let told = known(view, params.get(2))?;
    let state = &told.sealed.state;
    let mut storage = Vec::with_capacity(keys.len());
    for key in keys {
        let slot = slot(key)?;
        let value = render::wide(state.slot(&address, &slot));
        let proof: Vec<Value> = state.prove_slot(&address, &slot).iter().map(data).collect();
        storage.push(json!({ "key": key, "value": value, "proof": proof }));
    }
    let account = state.get(&address).cloned().unwrap_or_default();
    Ok(json!({
        "address": data(address),
        "accountProof": state.prove_account(&address).iter().map(data).collect::<Vec<_>>(),
        "balance": quantity(0),
        "nonce": quantity(account.nonce),
        "codeHash": data(account.code_hash()),
        "storageHash": data(account.storage_root()),
        "storageProof": storage,
    }))
}

/// What can be said without an EVM: an account without code gives nothing, and the registry says who deployed it.
fn eth_call(view: &View<'_>, params: &[Value]) -> Answer {
    let call = params.first().and_then(Value::as_object).ok_or_else(|| RpcError::params("expected a call object"))?;
    let told = known(view, params.get(1))?;
    let Some(to) = call.get("to").filter(|to| !to.is_null()) else {
        return Err(RpcError::server("this ledger runs no EVM: it creates no contract in eth_call"));
    };
    let to = address(to)?;
    let input = match call.get("input").or_else(|| call.get("data")) {
        None | Some(Value::Null) => Bytes::new(),
        Some(input) => parse(input, "expected call data in hex")?,
    };
    match told.sealed.code(&to) {
        None => Ok(data([])),
        Some(code) if *code == registry::runtime_code() && **input == abi::selector(registry::REGISTRAR) => {
            Ok(data(B256::from(told.sealed.state.slot(&to, &registry::REGISTRAR_SLOT))))
        }
        Some(_) => Err(RpcError::server("this ledger runs no EVM: of calls it knows the registry's registrar() alone")),
    }
}

pub(crate) fn known<'a>(view: &View<'a>, param: Option<&Value>) -> Result<Told<'a>, RpcError> {
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
pub(crate) fn height(view: &View<'_>, value: &Value) -> Result<u64, RpcError> {
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

pub(crate) fn hash(param: Option<&Value>) -> Result<B256, RpcError> {
    word(param.unwrap_or(&Value::Null))
}

pub(crate) fn word(value: &Value) -> Result<B256, RpcError> {
    parse(value, "expected 32 bytes in hex")
}

fn address_at(params: &[Value], place: usize) -> Result<Address, RpcError> {
    address(params.get(place).unwrap_or(&Value::Null))
}

/// A slot as a word, or as a number with or without leading zeros.
fn slot(value: &Value) -> Result<B256, RpcError> {
    let refuse = || RpcError::params("expected a slot: at most 32 bytes in hex");
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x")).ok_or_else(refuse)?;
    let number = if digits.is_empty() { Err(()) } else { U256::from_str_radix(digits, 16).map_err(drop) };
    number.map(B256::from).map_err(|()| refuse())
}

pub(crate) fn address(value: &Value) -> Result<Address, RpcError> {
    parse(value, "expected 20 bytes in hex")
}

fn parse<T: std::str::FromStr>(value: &Value, expected: &str) -> Result<T, RpcError> {
    let text = value.as_str().filter(|text| text.starts_with("0x"));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| RpcError::params(expected))
}
