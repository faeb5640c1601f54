//! JSON-RPC 2.0 itself: requests and batches in, answers out, whatever carries them.

use serde_json::{Value, json};

use crate::misbehave::Misbehave;
use crate::params::Params;
use crate::rpc::{Answer, RpcError, parameters};

/// Most requests in one batch.
const MAX_BATCH: usize = 1_000;

/// The answer to a request over a URI carries this id.
pub(crate) const URI_ID: i64 = -1;

/// One request or a batch; nothing for notifications. `call` answers one method that exists.
pub(crate) fn answer(
    body: &[u8],
    faults: &[Misbehave],
    call: &mut dyn FnMut(&str, &Params) -> Answer,
) -> Result<Option<Value>, RpcError> {
    match serde_json::from_slice(body) {
        Err(error) => Err(RpcError::parse(error)),
        Ok(Value::Array(requests)) if requests.len() > MAX_BATCH => Err(RpcError::request("batch too large")),
        Ok(Value::Array(requests)) => {
            let answers: Vec<Value> = requests.iter().filter_map(|request| one(request, faults, call)).collect();
            Ok((!answers.is_empty()).then_some(Value::Array(answers)))
        }
        Ok(request) => Ok(one(&request, faults, call)),
    }
}

fn one(request: &Value, faults: &[Misbehave], call: &mut dyn FnMut(&str, &Params) -> Answer) -> Option<Value> {
    let Some(method) = request.get("method").and_then(Value::as_str) else {
        return Some(envelope(&Value::Null, Err(RpcError::request("expected a method"))));
    };
    // Without an id it is a notification, which nobody answers.
    let id = request.get("id").filter(|id| !id.is_null())?;
    let answer = match parameters(method).filter(|_| !is_missing(faults, method)) {
        Some(names) => Params::of_json(request.get("params"), names).and_then(|params| call(method, &params)),
        None => Err(RpcError::method()),
    };
    Some(envelope(id, answer))
}

pub(crate) fn is_missing(faults: &[Misbehave], method: &str) -> bool {
    faults
        .iter()
        .any(|fault| matches!(fault, Misbehave::WithoutMethods(names) if names.iter().any(|name| name == method)))
}

/// An answer as it is sent.
pub(crate) fn envelope(id: &Value, answer: Answer) -> Value {
    match answer {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() }),
    }
}
