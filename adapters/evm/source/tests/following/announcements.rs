//! Announcements of new heads over WebSocket: a hint that wakes, and that can do no harm.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use hufu_adapters_source::Source as _;
use hufu_evm_devnet::Devnet;
use hufu_evm_source::{EvmSource, NodeConfig, Secret};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use crate::support::{DEADLINE, at, benched, config, devnet, node, until};

const TIP: u64 = 8;
/// So long that only an announcement can be why a height is asked for again.
const NEVER: Duration = Duration::from_secs(3_600);

/// What a socket does after it was asked for a subscription.
#[derive(Debug, Clone, Copy)]
enum Way {
    Garbage,
    Binary,
    Flood,
    TooLong,
    Closes,
    Resets,
    Refuses,
    /// Accepts the subscription, and then neither speaks nor answers a ping.
    Silent,
    /// Announces heads that nobody has, again and again but not too often.
    Lies,
}

/// A server of sockets that all go one way; counts how often it was called.
async fn sockets(way: Way) -> (Arc<AtomicUsize>, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let calls = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(go(stream, way));
        }
    });
    (calls, url)
}

async fn go(stream: TcpStream, way: Way) -> Option<()> {
    let mut socket = tokio_tungstenite::accept_async(stream).await.ok()?;
    socket.next().await?.ok()?;
    match way {
        Way::Garbage => socket.send(Message::text("<html>it works</html>")).await.ok()?,
        Way::Binary => socket.send(Message::binary(vec![0xff; 64])).await.ok()?,
        Way::TooLong => socket.send(Message::text("7".repeat(1 << 20))).await.ok()?,
        Way::Closes => socket.close(None).await.ok()?,
        Way::Resets => return None,
        Way::Refuses => {
            let error = json!({ "code": -32601, "message": "notifications not supported" });
            send(&mut socket, json!({ "jsonrpc": "2.0", "id": 1, "error": error })).await?;
        }
        Way::Silent => {
            accept(&mut socket).await?;
            tokio::time::sleep(NEVER).await;
        }
        Way::Flood => {
            accept(&mut socket).await?;
            loop {
                head(&mut socket).await?;
            }
        }
        Way::Lies => {
            accept(&mut socket).await?;
            loop {
                head(&mut socket).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    // The other side is to end it.
    while socket.next().await?.is_ok() {}
    Some(())
}

async fn send(socket: &mut WebSocketStream<TcpStream>, body: serde_json::Value) -> Option<()> {
    socket.send(Message::text(body.to_string())).await.ok()
}

async fn accept(socket: &mut WebSocketStream<TcpStream>) -> Option<()> {
    send(socket, json!({ "jsonrpc": "2.0", "id": 1, "result": "0xab" })).await
}

async fn head(socket: &mut WebSocketStream<TcpStream>) -> Option<()> {
    let params = json!({ "subscription": "0xab", "result": { "number": "0xffffff", "hash": "0x00" } });
    send(socket, json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params })).await
}

fn one(devnet: &Devnet, ws: &str) -> NodeConfig {
    node("one", &devnet.url()).with_ws(ws).unwrap()
}

async fn heard(source: &EvmSource) {
    timeout(DEADLINE, source.hint()).await.expect("an announcement within the deadline");
}

/// Mines until a block is announced: the first ones may fall into the time in which the socket is opened.
async fn mine_until_heard(devnet: &Devnet, source: &EvmSource) {
    let mining = async {
        loop {
            devnet.mine().unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = heard(source) => {}
        () = mining => {}
    }
}

#[tokio::test]
async fn an_announced_head_is_asked_for_at_once_though_the_poll_is_an_hour_away() {
    let devnet = devnet(TIP).await;
    let mut config = config(&devnet, vec![one(&devnet, &devnet.ws_url())]);
    config.patience.poll = NEVER;
    let source = EvmSource::new(config).unwrap();
    assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1);
    mine_until_heard(&devnet, &source).await;
    assert!(!source.steps(at(TIP + 1), 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn without_a_socket_nothing_wakes_and_the_poll_finds_the_same() {
    let devnet = devnet(TIP).await;
    let mut config = config(&devnet, vec![node("one", &devnet.url())]);
    config.patience.poll = Duration::from_millis(50);
    let source = EvmSource::new(config).unwrap();
    source.steps(at(0), 100).await.unwrap();
    devnet.mine().unwrap();
    tokio::select! {
        () = source.hint() => panic!("nobody announces anything"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    assert_eq!(source.steps(at(TIP + 1), 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_socket_of_one_node_wakes_the_question_to_another() {
    let devnet = devnet(TIP).await;
    let second = devnet.add_node().await.unwrap();
    let second = node("two", &second.url()).with_ws(&second.ws_url()).unwrap();
    let mut config = config(&devnet, vec![node("one", &devnet.url()), second]);
    config.patience.poll = NEVER;
    let source = EvmSource::new(config).unwrap();
    source.steps(at(0), 100).await.unwrap();
    assert_eq!(source.tip().await.unwrap(), at(TIP), "now both heights are known, for an hour");
    mine_until_heard(&devnet, &source).await;
    assert!(!source.steps(at(TIP + 1), 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_socket_comes_back_with_its_node() {
    let devnet = devnet(TIP).await;
    let announcing = devnet.add_node().await.unwrap();
    let source = EvmSource::new(config(&devnet, vec![one(&devnet, &announcing.ws_url())])).unwrap();
    mine_until_heard(&devnet, &source).await;
    announcing.stop();
    let restart = async {
        while announcing.start().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, restart).await.expect("the port to be free again");
    // What rang before the node went down.
    let _ = timeout(Duration::from_millis(200), source.hint()).await;
    mine_until_heard(&devnet, &source).await;
}

#[tokio::test]
async fn a_bad_socket_costs_nothing_but_time_and_is_opened_anew() {
    for way in
        [Way::Garbage, Way::Binary, Way::Flood, Way::TooLong, Way::Closes, Way::Resets, Way::Refuses, Way::Silent]
    {
        let devnet = devnet(TIP).await;
        let (calls, url) = sockets(way).await;
        let mut config = config(&devnet, vec![one(&devnet, &url)]);
        config.patience.socket_silence = Duration::from_millis(300);
        let source = EvmSource::new(config).unwrap();
        assert_eq!(source.steps(at(0), 100).await.unwrap().len() as u64, TIP + 1, "{way:?}");
        until(&format!("a second call after {way:?}"), || calls.load(Ordering::SeqCst) >= 2).await;
        devnet.mine().unwrap();
        assert_eq!(source.steps(at(TIP + 1), 100).await.unwrap().len(), 1, "{way:?}");
        assert_eq!(benched(&source, "one"), None, "a socket benches nobody");
    }
}

#[tokio::test]
async fn heads_that_nobody_has_are_not_believed() {
    let devnet = devnet(TIP).await;
    let (calls, url) = sockets(Way::Lies).await;
    let source = EvmSource::new(config(&devnet, vec![one(&devnet, &url)])).unwrap();
    for _ in 0..3 {
        heard(&source).await;
        assert_eq!(source.tip().await.unwrap(), at(TIP));
        assert!(source.steps(at(TIP + 1), 100).await.unwrap().is_empty());
    }
    assert_eq!((calls.load(Ordering::SeqCst), benched(&source, "one")), (1, None));
}

#[tokio::test]
async fn a_source_that_is_dropped_hangs_up() {
    let devnet = devnet(TIP).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let source = EvmSource::new(config(&devnet, vec![one(&devnet, &url)])).unwrap();
    source.tip().await.unwrap();
    let (stream, _) = timeout(DEADLINE, listener.accept()).await.expect("a call").unwrap();
    let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().to_text().unwrap().contains("newHeads"));
    drop(source);
    let end = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(DEADLINE, end).await.expect("the end of the socket");
}

#[tokio::test]
async fn the_credentials_of_a_node_go_with_its_socket() {
    let devnet = devnet(TIP).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut node = one(&devnet, &format!("ws://{}/socket", listener.local_addr().unwrap()));
    node.headers.push(("authorization".to_owned(), Secret::new("Bearer secret")));
    let source = EvmSource::new(config(&devnet, vec![node])).unwrap();
    source.tip().await.unwrap();
    let (stream, _) = timeout(DEADLINE, listener.accept()).await.expect("a call").unwrap();
    #[expect(clippy::result_large_err, reason = "the library's own signature")]
    let look = |request: &Request, response: Response| {
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        assert_eq!(request.uri().path(), "/socket");
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(stream, look).await.unwrap();
}
