//! JSON-RPC over WebSocket: the methods of HTTP, and announcements of new headers.

use futures_util::{SinkExt as _, StreamExt as _};
use hufu_cometbft_devnet::Misbehave;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::client::{DEADLINE, result};
use crate::support::{devnet, mine};

const NEW_HEADERS: &str = "tm.event='NewBlockHeader'";

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn open(url: &str) -> Result<Self, Error> {
        let address = url.strip_prefix("ws://").unwrap().strip_suffix("/websocket").unwrap();
        let stream = TcpStream::connect(address).await?;
        Ok(Self(tokio_tungstenite::client_async(url, stream).await?.0))
    }

    async fn next(&mut self) -> Value {
        let next = tokio::time::timeout(DEADLINE, self.0.next()).await.expect("a message within the deadline");
        serde_json::from_str(next.expect("an open socket").unwrap().to_text().unwrap()).unwrap()
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        self.0.send(Message::text(request.to_string())).await.unwrap();
        self.next().await
    }
}

#[tokio::test]
async fn a_socket_answers_as_http_does() {
    let devnet = devnet().await;
    mine(&devnet, 2);
    let mut client = Client::open(&devnet.ws_url()).await.unwrap();
    for method in ["health", "status", "genesis", "commit", "validators", "block"] {
        assert_eq!(client.call(method, json!({})).await["result"], result(&devnet.url(), method).await, "{method}");
    }
    assert_eq!(client.call("nope", json!({})).await["error"]["code"], -32601);
}

#[tokio::test]
async fn new_headers_are_announced_in_order() {
    let devnet = devnet().await;
    let mut client = Client::open(&devnet.ws_url()).await.unwrap();
    assert_eq!(
        client.call("subscribe", json!({ "query": NEW_HEADERS })).await,
        json!({ "jsonrpc": "2.0", "id": 7, "result": {} })
    );
    mine(&devnet, 3);
    for height in 2..=4 {
        let news = client.next().await;
        let header = result(&devnet.url(), &format!("header?height={height}")).await["header"].take();
        let told = json!({ "jsonrpc": "2.0", "id": 7, "result": {
            "query": NEW_HEADERS,
            "data": { "type": "tendermint/event/NewBlockHeader", "value": { "header": header } },
            "events": { "tm.event": ["NewBlockHeader"] },
        } });
        assert_eq!(news, told);
    }
    assert_eq!(client.call("unsubscribe", json!({ "query": NEW_HEADERS })).await["result"], json!({}));
    mine(&devnet, 1);
    // Nothing is announced between.
    assert_eq!(client.call("health", json!({})).await["result"], json!({}));
}

#[tokio::test]
async fn subscriptions_are_refused_as_real_nodes_refuse_them() {
    let devnet = devnet().await;
    let mut client = Client::open(&devnet.ws_url()).await.unwrap();
    let data = |answer: Value| answer["error"]["data"].as_str().unwrap().to_owned();
    assert!(data(client.call("subscribe", json!({ "query": "bogus" })).await).starts_with("failed to parse query"));
    client.call("subscribe", json!([NEW_HEADERS])).await;
    assert_eq!(data(client.call("subscribe", json!({ "query": NEW_HEADERS })).await), "already subscribed");
    client.call("unsubscribe_all", json!({})).await;
    assert_eq!(data(client.call("unsubscribe", json!({ "query": NEW_HEADERS })).await), "subscription not found");
}

#[tokio::test]
async fn a_node_that_goes_down_ends_its_sockets() {
    let devnet = devnet().await;
    let node = devnet.add_node().await.unwrap();
    let mut client = Client::open(&node.ws_url()).await.unwrap();
    client.call("health", json!({})).await;
    node.stop();
    let end = async { while let Some(Ok(_)) = client.0.next().await {} };
    tokio::time::timeout(DEADLINE, end).await.expect("the end of the socket within the deadline");
    node.misbehave(Misbehave::Status(503)).unwrap();
    node.start().await.unwrap();
    assert!(matches!(Client::open(&node.ws_url()).await, Err(Error::Http(_))));
}
