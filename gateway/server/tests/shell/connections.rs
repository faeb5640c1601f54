//! Below HTTP: too many connections, and clients that dawdle.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hufu_gateway_server::config::Limits;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::{READER, World, client_config, until, within};

async fn connected(world: &World, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    let config = client_config(&world.authority, None, alpn);
    let stream = TcpStream::connect(world.applications_address()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
}

/// Whatever comes until the other side closes, in order or not.
async fn rest(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    let _ = within("the connection to be closed", stream.read_to_end(&mut bytes)).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_at_once() {
    let world = World::with(Limits { connections: 2, ..Limits::default() }).await;
    let (one, _two) = (connected(&world, &[]).await, connected(&world, &[]).await);
    let mut third = TcpStream::connect(world.applications_address()).await.unwrap();
    assert_eq!(rest(&mut third).await, "");
    assert_eq!(world.rejections("connection", "too-many-connections"), 1);
    // A place that is given back can be had.
    drop(one);
    let client = world.as_application();
    let started = Instant::now();
    loop {
        let answer = client.get(world.applications("/v1/peers")).bearer_auth(READER).send().await;
        if answer.is_ok_and(|answer| answer.status() == 200) {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "waited for a free place");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let world = World::with(Limits { connections_per_address: 1, ..Limits::default() }).await;
    let _one = connected(&world, &[]).await;
    let mut second = TcpStream::connect(world.applications_address()).await.unwrap();
    assert_eq!(rest(&mut second).await, "");
    assert_eq!(world.rejections("connection", "too-many-connections-of-one-address"), 1);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let world = World::with(Limits { handshake: Duration::from_millis(100), ..Limits::default() }).await;
    let mut silent = TcpStream::connect(world.applications_address()).await.unwrap();
    rest(&mut silent).await;
    until("it to be counted", || world.rejections("connection", "handshake-too-slow") == 1).await;
}

#[tokio::test]
async fn a_slowloris_head_is_cut_off() {
    let world = World::with(Limits { header: Duration::from_millis(200), ..Limits::default() }).await;
    let mut slow = connected(&world, &[b"http/1.1"]).await;
    slow.write_all(b"GET /v1/peers HTTP/1.1\r\nhost: localhost\r\nx-dawdle: ").await.unwrap();
    let started = Instant::now();
    // One byte now and then would keep a naive timer from ever running out.
    let (mut reader, mut writer) = tokio::io::split(slow);
    let drip = tokio::spawn(async move {
        while writer.write_all(b"a").await.is_ok() && writer.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let answer = rest(&mut reader).await;
    drip.abort();
    assert!(!answer.contains(" 200 "), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let world = World::with(Limits { header: Duration::from_millis(200), ..Limits::default() }).await;
    let mut idle = connected(&world, &[b"http/1.1"]).await;
    rest(&mut idle).await;
}

#[tokio::test]
async fn too_many_and_too_long_headers_are_refused() {
    let world = World::new().await;
    let many = (0..65).fold(String::new(), |text, number| text + &format!("x-{number}: 1\r\n"));
    let long = format!("x-long: {}\r\n", "y".repeat(17 << 10));
    for headers in [many, long] {
        let mut stream = connected(&world, &[b"http/1.1"]).await;
        let request = format!("GET /v1/peers HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn an_old_connection_is_drained() {
    let world = World::with(Limits { connection_age: Duration::from_millis(100), ..Limits::default() }).await;
    let mut old = connected(&world, &[b"http/1.1"]).await;
    old.write_all(b"GET /v1/peers HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer a-reader's-token\r\n\r\n")
        .await
        .unwrap();
    let answer = rest(&mut old).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}
