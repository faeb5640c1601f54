//! JSON-RPC over WebSocket: the methods of HTTP, and subscriptions.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hufu_evm_devnet::registry::CLEARANCE_GRANTED;
use hufu_evm_devnet::{Devnet, Misbehave};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{call, devnet, header_from_json, number, word};

/// Longest wait for one message; only a fault of the server can use it up.
const DEADLINE: Duration = Duration::from_secs(20);
const CLEARANCE: [&str; 6] = ["TAX-1", "911101066976941872", "11430000006122244L", "2025", "无欠税", "20260105"];

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn open(url: &str) -> Result<Self, Error> {
        let stream = TcpStream::connect(url.strip_prefix("ws://").unwrap()).await?;
        Ok(Self(tokio_tungstenite::client_async(url, stream).await?.0))
    }

    async fn send(&mut self, body: &Value) {
        self.0.send(Message::text(body.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Value {
        let next = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("a message within the deadline");
        serde_json::from_str(next.expect("an open socket").unwrap().to_text().unwrap()).unwrap()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })).await;
        self.next().await
    }

    async fn subscribe(&mut self, params: Value) -> Value {
        self.call("eth_subscribe", params).await["result"].take()
    }

    /// The next notification: subscription and result.
    async fn news(&mut self) -> (Value, Value) {
        let mut message = self.next().await;
        assert_eq!(message["method"], "eth_subscription", "{message}");
        (message["params"]["subscription"].take(), message["params"]["result"].take())
    }

    async fn ends(mut self) {
        let end = async { while let Some(Ok(_)) = self.0.next().await {} };
        tokio::time::timeout(DEADLINE, end).await.expect("the end of the socket within the deadline");
    }
}

async fn ledger() -> (Devnet, [u8; 20], Client) {
    let devnet = devnet(4, 100).await;
    let contract = devnet.deploy_registry();
    devnet.mine().unwrap();
    let client = Client::open(&devnet.ws_url()).await.unwrap();
    (devnet, contract, client)
}

#[tokio::test]
async fn a_socket_answers_as_http_does() {
    let (devnet, _, mut client) = ledger().await;
    for (method, params) in [
        ("eth_chainId", json!([])),
        ("eth_blockNumber", json!([])),
        ("eth_getBlockByNumber", json!(["0x1", true])),
        ("eth_getBlockReceipts", json!(["0x1"])),
        ("debug_getRawHeader", json!(["0x1"])),
    ] {
        let told = client.call(method, params.clone()).await;
        assert_eq!(told["result"], call(&devnet.url(), method, params).await, "{method}");
    }
    let batch: Vec<Value> =
        (0..3).map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_chainId", "params": [] })).collect();
    client.send(&Value::Array(batch)).await;
    assert_eq!(client.next().await.as_array().unwrap().len(), 3);
    client.0.send(Message::text("{nonsense")).await.unwrap();
    assert_eq!(client.next().await["error"]["code"], -32_700);
    assert_eq!(client.call("eth_nothing", json!([])).await["error"]["code"], -32_601);
}

#[tokio::test]
async fn every_new_head_is_announced_once_in_order_as_the_header_that_it_is() {
    let (devnet, _, mut client) = ledger().await;
    let id = client.subscribe(json!(["newHeads"])).await;
    for _ in 0..3 {
        devnet.mine().unwrap();
    }
    for height in 2..=4 {
        let (subscription, head) = client.news().await;
        assert_eq!((subscription, number(&head["number"])), (id.clone(), height));
        assert_eq!(Some(header_from_json(&head).to_rlp()), devnet.header_rlp(height));
        assert_eq!(Some(word(&head["hash"]).0), devnet.block_hash(height));
        assert!(head.get("transactions").is_none(), "a head has no body");
    }
}

#[tokio::test]
async fn logs_come_by_their_filter_and_equal_those_of_a_search() {
    let (devnet, contract, mut client) = ledger().await;
    let address = format!("0x{}", hex::encode(contract));
    let wanted = client.subscribe(json!(["logs", { "address": address }])).await;
    let none = client.subscribe(json!(["logs", { "address": format!("0x{}", "11".repeat(20)) }])).await;
    assert_ne!(wanted, none);
    devnet.emit_log([2; 20], &[[3; 32]], b"other");
    devnet.emit_event(contract, CLEARANCE_GRANTED, &CLEARANCE).unwrap();
    devnet.emit_event(contract, CLEARANCE_GRANTED, &CLEARANCE).unwrap();
    devnet.mine().unwrap();
    let found = call(&devnet.url(), "eth_getLogs", json!([{ "address": address, "fromBlock": "0x2" }])).await;
    for log in found.as_array().unwrap() {
        assert_eq!(client.news().await, (wanted.clone(), log.clone()));
    }
    assert_eq!(found.as_array().unwrap().len(), 2);
    // Nothing else came before this answer.
    assert_eq!(client.call("eth_blockNumber", json!([])).await["result"], "0x2");
}

#[tokio::test]
async fn an_ended_subscription_is_silent_and_ends_once() {
    let (devnet, _, mut client) = ledger().await;
    let id = client.subscribe(json!(["newHeads"])).await;
    assert_eq!(client.call("eth_unsubscribe", json!([id])).await["result"], true);
    assert!(client.call("eth_unsubscribe", json!([id])).await.get("error").is_some());
    devnet.mine().unwrap();
    assert_eq!(client.call("eth_blockNumber", json!([])).await["result"], "0x2");
    assert!(client.call("eth_subscribe", json!(["syncing"])).await.get("error").is_some());
    for _ in 0..64 {
        client.subscribe(json!(["newHeads"])).await;
    }
    assert!(client.call("eth_subscribe", json!(["newHeads"])).await.get("error").is_some(), "a socket has its limit");
}

#[tokio::test]
async fn subscriptions_are_of_one_socket_and_of_no_http() {
    let (devnet, _, mut client) = ledger().await;
    client.subscribe(json!(["newHeads"])).await;
    let mut other = Client::open(&devnet.ws_url()).await.unwrap();
    devnet.mine().unwrap();
    client.news().await;
    assert_eq!(other.call("eth_blockNumber", json!([])).await["result"], "0x2");
    let body = crate::support::answer(&devnet.url(), "eth_subscribe", json!(["newHeads"])).await;
    assert_eq!(body["error"]["code"], -32_601);
}

#[tokio::test]
async fn a_node_that_goes_down_ends_its_sockets_and_a_ledger_that_is_dropped_too() {
    let (devnet, _, client) = ledger().await;
    let second = devnet.add_node().await.unwrap();
    let beside = Client::open(&second.ws_url()).await.unwrap();
    second.stop();
    beside.ends().await;
    drop((devnet, second));
    client.ends().await;
}

#[tokio::test]
async fn a_socket_tells_what_its_node_tells() {
    let (devnet, _, _) = ledger().await;
    let lagging = devnet.add_node().await.unwrap();
    lagging.misbehave(Misbehave::Lagging { by: 1 }).unwrap();
    let mut client = Client::open(&lagging.ws_url()).await.unwrap();
    client.subscribe(json!(["newHeads"])).await;
    devnet.mine().unwrap();
    assert_eq!(number(&client.news().await.1["number"]), 1);
    lagging.behave();
    assert_eq!(number(&client.news().await.1["number"]), 2);
    lagging.misbehave(Misbehave::Status(503)).unwrap();
    assert!(matches!(Client::open(&lagging.ws_url()).await, Err(Error::Http(answer)) if answer.status() == 503));
}

#[tokio::test]
async fn a_plain_get_is_told_what_to_do() {
    let devnet = devnet(1, 100).await;
    let stream = TcpStream::connect(devnet.url().strip_prefix("http://").unwrap()).await.unwrap();
    let mut stream = stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 426") || answer.starts_with("HTTP/1.1 426"), "{answer}");
}
