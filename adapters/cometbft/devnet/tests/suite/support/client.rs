//! An HTTP client of a few lines, so that the server is not tested with the library it is built from.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest wait for one answer; only a fault of the server can use it up.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What came over the wire.
pub(crate) struct Raw {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Raw {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends a request and reads until the server closes (HTTP/1.0: no chunks).
async fn exchange(url: &str, request: String) -> std::io::Result<Raw> {
    let address = url.strip_prefix("http://").unwrap();
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(DEADLINE, exchange).await.expect("an answer within the deadline")?;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Ok(Raw { status, head: head.to_lowercase(), body: body.to_owned() })
}

/// `GET /path`, as it is written.
pub(crate) async fn get(url: &str, path: &str) -> std::io::Result<Raw> {
    exchange(url, format!("GET /{path} HTTP/1.0\r\n\r\n")).await
}

pub(crate) async fn post(url: &str, body: &str) -> std::io::Result<Raw> {
    let length = body.len();
    let head = format!("POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n");
    exchange(url, head + body).await
}

/// The whole answer to a POST of one call.
pub(crate) async fn answer(url: &str, method: &str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    post(url, &request.to_string()).await.unwrap().json()
}

/// The result of a GET that must succeed.
pub(crate) async fn result(url: &str, path: &str) -> Value {
    let raw = get(url, path).await.unwrap();
    assert_eq!(raw.status, 200, "{path}: {}", raw.body);
    raw.json()["result"].take()
}

/// What a GET that must fail says.
pub(crate) async fn refusal(url: &str, path: &str) -> String {
    let raw = get(url, path).await.unwrap();
    assert_eq!(raw.status, 500, "{path}: {}", raw.body);
    raw.json()["error"]["data"].as_str().unwrap().to_owned()
}
