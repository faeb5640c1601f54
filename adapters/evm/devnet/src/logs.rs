//! Which logs a filter wants: for `eth_getLogs` and for subscriptions.

use alloy_primitives::{Address, B256};
use serde_json::Value;

use crate::receipt::Log;
use crate::render;
use crate::rpc::{self, Answer, RpcError};
use crate::view::{Told, View};

/// Most blocks one `eth_getLogs` may span.
const MAX_RANGE: u64 = 10_000;

/// Most alternatives of one place, and most places: what geth takes.
const MAX_CHOICES: usize = 1_000;

/// Addresses and topics; an empty list restricts nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogFilter {
    addresses: Vec<Address>,
    topics: Vec<Vec<B256>>,
}

impl LogFilter {
    /// Reads `address` and `topics` of a filter object; other members are another's business.
    pub(crate) fn parse(filter: &Value) -> Result<Self, RpcError> {
        let addresses = any_of(filter.get("address"), rpc::address)?;
        let topics = match filter.get("topics") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(places)) if places.len() <= MAX_CHOICES => {
                places.iter().map(|place| any_of(Some(place), rpc::word)).collect::<Result<Vec<_>, _>>()?
            }
            Some(_) => return Err(RpcError::params("topics: expected a list")),
        };
        Ok(Self { addresses, topics })
    }

    fn wants(&self, log: &Log) -> bool {
        matches_any(&self.addresses, &log.address)
            && self.topics.len() <= log.topics.len()
            && self.topics.iter().zip(&log.topics).all(|(place, topic)| matches_any(place, topic))
    }

    /// The wanted logs of one block, as JSON-RPC shows them.
    pub(crate) fn of_block(&self, told: &Told<'_>) -> Vec<Value> {
        let mut found = Vec::new();
        for (index, receipt) in told.receipts.iter().enumerate() {
            let shown = render::logs(told, index).into_iter().zip(&receipt.logs);
            found.extend(shown.filter_map(|(shown, log)| self.wants(log).then_some(shown)));
        }
        found
    }
}

/// `eth_getLogs`.
pub(crate) fn get(view: &View<'_>, filter: &Value) -> Answer {
    let (from, to) = range(view, filter)?;
    if to.saturating_sub(from) >= MAX_RANGE {
        return Err(RpcError::params("the range spans too many blocks"));
    }
    let wanted = LogFilter::parse(filter)?;
    let blocks = (from..=to).map_while(|height| view.block(height));
    let mut found: Vec<Value> = blocks.flat_map(|told| wanted.of_block(&told)).collect();
    view.admit_logs(&mut found);
    Ok(Value::Array(found))
}

fn range(view: &View<'_>, filter: &Value) -> Result<(u64, u64), RpcError> {
    let filter = filter.as_object().ok_or_else(|| RpcError::params("expected a filter object"))?;
    if let Some(wanted) = filter.get("blockHash") {
        let told = view.block_by_hash(&rpc::hash(Some(wanted))?);
        return told.map(|told| (told.number(), told.number())).ok_or_else(|| RpcError::server("unknown block"));
    }
    let end = |name: &str| match filter.get(name) {
        None | Some(Value::Null) => Ok(view.height()),
        Some(value) => rpc::height(view, value),
    };
    Ok((end("fromBlock")?, end("toBlock")?.min(view.height())))
}

/// No restriction, one value, or a list of which one must fit.
fn any_of<T>(value: Option<&Value>, parse: fn(&Value) -> Result<T, RpcError>) -> Result<Vec<T>, RpcError> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) if values.len() <= MAX_CHOICES => values.iter().map(parse).collect(),
        Some(Value::Array(_)) => Err(RpcError::params("too many alternatives")),
        Some(value) => Ok(vec![parse(value)?]),
    }
}

fn matches_any<T: PartialEq>(wanted: &[T], value: &T) -> bool {
    wanted.is_empty() || wanted.contains(value)
}
