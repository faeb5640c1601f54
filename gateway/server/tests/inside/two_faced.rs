//! A node that passes on what an honest one says, except that it shows one block on a parent of its own when it is asked
//! for that block alone, and does not have the block when it is asked for it together with those below.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};

/// Height 0 is never asked for alone after the start, so it stands for no lie at all.
const HONEST: u64 = 0;

pub(crate) struct TwoFaced {
    pub(crate) url: String,
    face: Arc<Face>,
}

struct Face {
    honest: String,
    client: reqwest::Client,
    lie_at: AtomicU64,
    lied: AtomicBool,
}

impl TwoFaced {
    pub(crate) async fn before(honest: &str) -> Self {
        // Another test may have been quicker.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let lie_at = AtomicU64::new(HONEST);
        let face = Arc::new(Face { honest: honest.to_owned(), client, lie_at, lied: AtomicBool::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/", post(answer)).with_state(Arc::clone(&face));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, face }
    }

    /// From now on it claims this height and lies about it.
    pub(crate) fn lie_at(&self, height: u64) {
        self.face.lie_at.store(height, Ordering::SeqCst);
    }

    pub(crate) fn has_lied(&self) -> bool {
        self.face.lied.load(Ordering::SeqCst)
    }
}

async fn answer(State(face): State<Arc<Face>>, Json(asked): Json<Value>) -> Json<Value> {
    let sent = face.client.post(&face.honest).json(&asked).send().await.unwrap();
    let mut told: Value = sent.json().await.unwrap();
    let lie_at = face.lie_at.load(Ordering::SeqCst);
    if lie_at == HONEST {
        return Json(told);
    }
    let alone = asked.as_array().is_none_or(|calls| calls.len() == 1);
    let calls = asked.as_array().cloned().unwrap_or_else(|| vec![asked.clone()]);
    for call in &calls {
        let answer = match &mut told {
            Value::Array(answers) => answers.iter_mut().find(|answer| answer["id"] == call["id"]).unwrap(),
            one => one,
        };
        twist(&face, call, answer, lie_at, alone);
    }
    Json(told)
}

fn twist(face: &Face, call: &Value, answer: &mut Value, lie_at: u64, alone: bool) {
    let height = call["params"][0].as_str().and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
    match (call["method"].as_str().unwrap(), height) {
        ("eth_blockNumber", _) => answer["result"] = json!(format!("{lie_at:#x}")),
        // So that every header is asked for as JSON, in one way.
        ("debug_getRawHeader", _) => {
            let error = json!({"code": -32601, "message": "no such method"});
            *answer = json!({"jsonrpc": "2.0", "id": call["id"], "error": error});
        }
        ("eth_getBlockByNumber", Some(height)) if height == lie_at && alone => {
            // The hash that is said beside it does not matter: the header is hashed anew.
            answer["result"]["parentHash"] = json!(format!("0x{}", "77".repeat(32)));
            face.lied.store(true, Ordering::SeqCst);
        }
        ("eth_getBlockByNumber", Some(height)) if height >= lie_at => answer["result"] = Value::Null,
        _ => {}
    }
}
