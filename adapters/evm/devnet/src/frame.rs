//! JSON-RPC 2.0 itself: requests and batches in, answers out, whatever carries them.

use serde_json::{Value, json};

use crate::misbehave::Misbehave;
use crate::rpc::{Answer, RpcError};

/// Most requests in one batch.
const MAX_BATCH: usize = 1_000;

/// One request or a batch; nothing for notifications. `call` answers one method.
pub(crate) fn answer(
    body: &[u8],
    faults: &[Misbehave],
    call: &mut dyn FnMut(&str, &[Value]) -> Answer,
) -> Option<Value> {
    let no_batches = faults.iter().any(|fault| matches!(fault, Misbehave::WithoutBatches));
    match serde_json::from_slice(body) {
        Err(_) => Some(failure(&Value::Null, &RpcError::parse())),
        Ok(Value::Array(_)) if no_batches => Some(failure(&Value::Null, &RpcError::request("batches are off"))),
        Ok(Value::Array(requests)) if requests.is_empty() => {
            Some(failure(&Value::Null, &RpcError::request("empty batch")))
        }
        Ok(Value::Array(requests)) if requests.len() > MAX_BATCH => {
            Some(failure(&Value::Null, &RpcError::request("batch too large")))
        }
        Ok(Value::Array(requests)) => {
            let answers: Vec<Value> = requests.iter().filter_map(|request| one(request, faults, call)).collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(request) => one(&request, faults, call),
    }
}

fn one(request: &Value, faults: &[Misbehave], call: &mut dyn FnMut(&str, &[Value]) -> Answer) -> Option<Value> {
    let Some(method) = request.get("method").and_then(Value::as_str).filter(|_| request["jsonrpc"] == "2.0") else {
        return Some(failure(&Value::Null, &RpcError::request("expected jsonrpc 2.0 with a method")));
    };
    let id = request.get("id")?;
    let result = match request.get("params") {
        _ if is_missing(faults, method) => Err(RpcError::method(method)),
        None | Some(Value::Null) => call(method, &[]),
        Some(Value::Array(params)) => call(method, params),
        Some(_) => Err(RpcError::params("expected a list")),
    };
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(id, &error),
    })
}

fn is_missing(faults: &[Misbehave], method: &str) -> bool {
    faults
        .iter()
        .any(|fault| matches!(fault, Misbehave::WithoutMethods(names) if names.iter().any(|name| name == method)))
}

fn failure(id: &Value, error: &RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() })
}
