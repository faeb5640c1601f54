//! A node with the blocks of a devnet and with ways of its own: each request is first shown to a rule.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use hufu_evm_devnet::Devnet;
use serde_json::{Value, json};

/// Says what a node does with a request in place of answering it; the number counts requests from 0.
type Rule = Box<dyn Fn(usize, &[Value]) -> Option<Response> + Send + Sync>;
/// Says what a node does with one call of a request.
type CallRule = Box<dyn Fn(&str, u64) -> Option<Value> + Send + Sync>;

/// What was asked of it, and what it does.
pub(crate) struct Fake {
    devnet: Devnet,
    rule: Rule,
    call_rule: CallRule,
    asked: AtomicUsize,
    /// The number of calls of each request.
    pub(crate) batches: Mutex<Vec<usize>>,
    running: AtomicUsize,
    /// Most requests at once.
    pub(crate) at_once: AtomicUsize,
    /// Requests about headers wait until so many are there.
    together: usize,
}

impl Fake {
    pub(crate) fn of(devnet: &Devnet) -> Self {
        Self {
            devnet: devnet.clone(),
            rule: Box::new(|_, _| None),
            call_rule: Box::new(|_, _| None),
            asked: AtomicUsize::new(0),
            batches: Mutex::default(),
            running: AtomicUsize::new(0),
            at_once: AtomicUsize::new(0),
            together: 1,
        }
    }

    pub(crate) fn rule(mut self, rule: impl Fn(usize, &[Value]) -> Option<Response> + Send + Sync + 'static) -> Self {
        self.rule = Box::new(rule);
        self
    }

    /// `rule` gets the method and the height (0 where the call names none) and gives the members of an answer.
    pub(crate) fn calls(mut self, rule: impl Fn(&str, u64) -> Option<Value> + Send + Sync + 'static) -> Self {
        self.call_rule = Box::new(rule);
        self
    }

    /// Batches wait until so many are there at once.
    pub(crate) fn together(mut self, requests: usize) -> Self {
        self.together = requests;
        self
    }

    pub(crate) async fn serve(self) -> (Arc<Self>, String) {
        let fake = Arc::new(self);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/", post(answer)).with_state(Arc::clone(&fake));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, url)
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn one(&self, call: &Value) -> Value {
        let (method, text) = (call["method"].as_str().unwrap(), call["params"][0].as_str().unwrap_or("0x0"));
        let height = u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or(0);
        let hex = |bytes: Vec<u8>| format!("0x{}", hex::encode(bytes));
        let result = || match method {
            "eth_blockNumber" => json!({ "result": format!("{:#x}", self.devnet.height()) }),
            "debug_getRawHeader" => json!({ "result": self.devnet.header_rlp(height).map(hex) }),
            "debug_getRawReceipts" => {
                let receipts = self.devnet.receipts_rlp(height);
                json!({ "result": receipts.map(|list| list.into_iter().map(hex).collect::<Vec<_>>()) })
            }
            "eth_getBlockByNumber" => json!({ "result": null }),
            _ => json!({ "error": { "code": -32601, "message": "no" } }),
        };
        let mut answer = (self.call_rule)(method, height).unwrap_or_else(result);
        answer["jsonrpc"] = json!("2.0");
        answer["id"] = call["id"].clone();
        answer
    }
}

async fn answer(State(fake): State<Arc<Fake>>, Json(body): Json<Value>) -> Response {
    let turn = fake.asked.fetch_add(1, Ordering::SeqCst);
    let (calls, is_batch) = match body {
        Value::Array(calls) => (calls, true),
        call => (vec![call], false),
    };
    fake.batches.lock().unwrap().push(calls.len());
    if let Some(response) = (fake.rule)(turn, &calls) {
        return response;
    }
    let running = fake.running.fetch_add(1, Ordering::SeqCst) + 1;
    fake.at_once.fetch_max(running, Ordering::SeqCst);
    if is_batch {
        crate::support::until("requests that come together", || fake.at_once.load(Ordering::SeqCst) >= fake.together)
            .await;
    }
    let mut answers: Vec<Value> = calls.iter().map(|call| fake.one(call)).collect();
    fake.running.fetch_sub(1, Ordering::SeqCst);
    match is_batch {
        true => Json(Value::Array(answers)).into_response(),
        false => Json(answers.remove(0)).into_response(),
    }
}

/// A status with headers.
pub(crate) fn status(code: u16, headers: &[(&str, &str)]) -> Response {
    let mut response = StatusCode::from_u16(code).unwrap().into_response();
    for (name, value) in headers {
        let name = axum::http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// One JSON-RPC error for the whole request.
pub(crate) fn error(error: Value) -> Response {
    Json(json!({ "jsonrpc": "2.0", "id": null, "error": error })).into_response()
}
