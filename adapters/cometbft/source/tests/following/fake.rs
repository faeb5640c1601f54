//! A server that gives real nodes' recorded answers byte for byte, and has ways of its own: each request is first shown to a
//! rule.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};

type Rule = Box<dyn Fn(&Fake, &str, &Value) -> Option<Response> + Send + Sync>;

pub(crate) struct Fake {
    folder: PathBuf,
    rule: Rule,
    /// The last height that is recorded. The recorded status was asked a little later and names a higher one.
    pub(crate) last: u64,
    /// Methods that were asked.
    pub(crate) asked: Mutex<Vec<String>>,
}

pub(crate) fn recordings(line: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../schemas/vectors/cometbft").join(format!("real-{line}"))
}

pub(crate) fn read(folder: &Path, name: &str) -> Option<Vec<u8>> {
    std::fs::read(folder.join(format!("{name}.json"))).ok()
}

pub(crate) fn json_of(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&read(folder, name).unwrap()).unwrap()
}

impl Fake {
    /// `folder` holds the commits and validators, up to `last`; the status is that of the whole recording.
    pub(crate) fn of(folder: PathBuf, last: u64) -> Self {
        Self { folder, rule: Box::new(|_, _, _| None), last, asked: Mutex::default() }
    }

    /// `rule` gets the method and its parameters and may answer in place of the recording.
    pub(crate) fn rule(
        mut self,
        rule: impl Fn(&Self, &str, &Value) -> Option<Response> + Send + Sync + 'static,
    ) -> Self {
        self.rule = Box::new(rule);
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

    pub(crate) fn status(&self) -> Value {
        let home = if self.folder.ends_with("fork") { self.folder.parent().unwrap() } else { &self.folder };
        let mut status = json_of(home, "status");
        status["result"]["sync_info"]["latest_block_height"] = json!(self.last.to_string());
        status
    }

    /// The recorded answer.
    pub(crate) fn recorded(&self, method: &str, params: &Value) -> Vec<u8> {
        if method == "status" {
            return self.status().to_string().into_bytes();
        }
        let height: u64 = params["height"].as_str().unwrap().parse().unwrap();
        let found = read(&self.folder, &format!("{height:03}.{method}")).filter(|_| height <= self.last);
        found.unwrap_or_else(|| {
            let words =
                format!("height {height} must be less than or equal to the current blockchain height {}", self.last);
            refusal(&words).to_string().into_bytes()
        })
    }
}

pub(crate) fn refusal(words: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": -1, "error": { "code": -32603, "message": "Internal error", "data": words } })
}

pub(crate) fn bytes(body: impl Into<Vec<u8>>) -> Response {
    Bytes::from(body.into()).into_response()
}

pub(crate) fn status(code: u16) -> Response {
    StatusCode::from_u16(code).unwrap().into_response()
}

async fn answer(State(fake): State<Arc<Fake>>, body: Bytes) -> Response {
    let call: Value = serde_json::from_slice(&body).unwrap();
    let (method, params) = (call["method"].as_str().unwrap(), &call["params"]);
    fake.asked.lock().unwrap().push(method.to_owned());
    (fake.rule)(&fake, method, params).unwrap_or_else(|| bytes(fake.recorded(method, params)))
}
