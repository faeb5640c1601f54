//! JSON-RPC 2.0 over HTTP on the loopback interface, and the ways a node's transport can fail.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::devnet::Shared;
use crate::misbehave::Misbehave;
use crate::rpc::RpcError;

/// Most requests in one batch.
const MAX_BATCH: usize = 1_000;

/// Which node of which ledger answers.
#[derive(Clone)]
struct Endpoint {
    shared: Arc<Shared>,
    node: usize,
}

/// Opens a port; 0 picks a free one.
pub(crate) async fn listen(port: u16) -> std::io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Serves until `stop` fires or its sender is dropped.
pub(crate) fn serve(listener: TcpListener, shared: Arc<Shared>, node: usize, stop: oneshot::Receiver<()>) {
    let router = Router::new().route("/", post(handle)).with_state(Endpoint { shared, node });
    // Small answers must not wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(async move {
        let stopped = async {
            // Either way it is time to end: a message, or nobody left who could send one.
            let _ = stop.await;
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            tracing::warn!(node, %error, "endpoint ended");
        }
    });
}

async fn handle(State(endpoint): State<Endpoint>, body: Bytes) -> Response {
    let faults = endpoint.shared.faults(endpoint.node);
    if let Some(response) = refusal(&faults) {
        return response;
    }
    let Some(answer) = answer(&endpoint, &faults, &body) else {
        return StatusCode::OK.into_response();
    };
    deliver(answer.to_string(), &faults)
}

/// The misbehaviours that give no JSON at all.
fn refusal(faults: &[Misbehave]) -> Option<Response> {
    faults.iter().find_map(|fault| match fault {
        Misbehave::Html => Some(Html("<html><body><h1>Bad gateway</h1></body></html>").into_response()),
        Misbehave::Status(code) => {
            Some(StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response())
        }
        _ => None,
    })
}

/// One request or a batch; nothing for notifications.
fn answer(endpoint: &Endpoint, faults: &[Misbehave], body: &[u8]) -> Option<Value> {
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
            let answers: Vec<Value> =
                requests.iter().filter_map(|request| answer_one(endpoint, faults, request)).collect();
            (!answers.is_empty()).then_some(Value::Array(answers))
        }
        Ok(request) => answer_one(endpoint, faults, &request),
    }
}

fn answer_one(endpoint: &Endpoint, faults: &[Misbehave], request: &Value) -> Option<Value> {
    let Some(method) = request.get("method").and_then(Value::as_str).filter(|_| request["jsonrpc"] == "2.0") else {
        return Some(failure(&Value::Null, &RpcError::request("expected jsonrpc 2.0 with a method")));
    };
    let id = request.get("id")?;
    let result = match request.get("params") {
        None | Some(Value::Null) => dispatch(endpoint, faults, method, &[]),
        Some(Value::Array(params)) => dispatch(endpoint, faults, method, params),
        Some(_) => Err(RpcError::params("expected a list")),
    };
    Some(match result {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => failure(id, &error),
    })
}

fn dispatch(endpoint: &Endpoint, faults: &[Misbehave], method: &str, params: &[Value]) -> Result<Value, RpcError> {
    let missing = |fault: &Misbehave| matches!(fault, Misbehave::WithoutMethods(names) if names.iter().any(|name| name == method));
    if faults.iter().any(missing) {
        return Err(RpcError::method(method));
    }
    endpoint.shared.call(endpoint.node, method, params)
}

fn failure(id: &Value, error: &RpcError) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "error": error.to_json() })
}

/// Sends the text as the node's transport faults would have it.
fn deliver(mut text: String, faults: &[Misbehave]) -> Response {
    let mut drip = None;
    for fault in faults {
        match fault {
            Misbehave::Truncated => text = cut_in_half(&text),
            Misbehave::Oversized { padding } => text.insert_str(0, &" ".repeat(*padding)),
            Misbehave::SlowDrip { bytes, every } => drip = Some((*bytes, *every)),
            _ => {}
        }
    }
    let body = match drip {
        Some((bytes, every)) => dripping(text.into(), bytes.max(1), every),
        None => Body::from(text),
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn cut_in_half(text: &str) -> String {
    let middle = text.len() / 2;
    let end = (0..=middle).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

fn dripping(text: Bytes, bytes: usize, every: Duration) -> Body {
    Body::from_stream(stream::unfold(text, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let piece = rest.split_to(bytes.min(rest.len()));
        Some((Ok::<_, std::convert::Infallible>(piece), rest))
    }))
}
