//! One HTTP exchange with one node, bounded in time and bytes; and the opening of its WebSocket.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::header::{
    CONNECTION, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Response, StatusCode, Upgraded};
use rustls::crypto::CryptoProvider;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::Url;

use crate::config::{ConfigFault, NodeConfig, Patience};

/// An exchange that gave no body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It may pass: refused connection, 5xx.
    Passing {
        /// What happened.
        detail: String,
        /// What the node asks for.
        wait: Option<Duration>,
    },
    /// 429: we ask too much.
    TooOften {
        /// What happened.
        detail: String,
        /// What the node asks for.
        wait: Option<Duration>,
    },
    /// The time was spent; trying the same again would spend it again.
    Timeout(Duration),
    /// 401 or 403.
    Denied(String),
    /// Any other status that is no success; a smaller batch may do better.
    Status(u16),
    /// The answer is larger than we read; a smaller batch may do better.
    Oversize(usize),
}

/// Room for the answers to one question, however many exchanges it takes and however many run at once.
#[derive(Debug)]
pub struct Room(AtomicUsize);

impl Room {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    fn take(&self, bytes: usize) -> bool {
        self.0.try_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes)).is_ok()
    }
}

/// A body as far as it was read. What is not read to its end, for whatever reason, gives its room back.
struct Reading<'a> {
    room: &'a Room,
    body: Vec<u8>,
}

impl Reading<'_> {
    fn finish(mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.room.0.fetch_add(self.body.len(), Ordering::AcqRel);
    }
}

/// The HTTP side of a node.
#[derive(Debug)]
pub struct Transport {
    client: Client,
    url: Url,
    headers: HeaderMap,
    request: Duration,
    response_bytes: usize,
}

impl Transport {
    /// Answers of at most `response_bytes` are read.
    ///
    /// # Errors
    /// [`ConfigFault`] for a header that cannot be sent, or `https` before the process has a TLS provider.
    pub fn new(node: &NodeConfig, patience: &Patience, response_bytes: usize) -> Result<Self, ConfigFault> {
        let mut headers = own_headers(node)?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self {
            client: client(node, &node.url, patience, Client::builder())?,
            url: node.url.clone(),
            headers,
            request: patience.request,
            response_bytes,
        })
    }

    /// Sends `body` and reads the answer whole, as far as there is `room`.
    ///
    /// # Errors
    /// [`Trouble`], by what may help.
    pub async fn post(&self, body: String, room: &Room) -> Result<Vec<u8>, Trouble> {
        let exchange = async {
            let sent = self.client.post(self.url.clone()).headers(self.headers.clone()).body(body).send().await;
            let response = sent.map_err(passing)?;
            judge_status(&response)?;
            self.read(response, room).await
        };
        tokio::time::timeout(self.request, exchange).await.unwrap_or(Err(Trouble::Timeout(self.request)))
    }

    /// Reads piece by piece, so that neither a length that lies nor an answer without end is ever held.
    async fn read(&self, mut response: Response, room: &Room) -> Result<Vec<u8>, Trouble> {
        let oversize = Trouble::Oversize(self.response_bytes);
        if response.content_length().is_some_and(|length| length > self.response_bytes as u64) {
            return Err(oversize);
        }
        let mut reading = Reading { room, body: Vec::new() };
        while let Some(piece) = response.chunk().await.map_err(passing)? {
            if reading.body.len() + piece.len() > self.response_bytes || !room.take(piece.len()) {
                return Err(oversize);
            }
            reading.body.extend_from_slice(&piece);
        }
        Ok(reading.finish())
    }
}

fn own_headers(node: &NodeConfig) -> Result<HeaderMap, ConfigFault> {
    let mut headers = HeaderMap::new();
    for (name, value) in &node.headers {
        let fault = || ConfigFault::new(&node.name, "a header name and a value in ASCII", name);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| fault())?;
        let mut value = HeaderValue::from_str(value.reveal()).map_err(|_| fault())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// The opening of a WebSocket (RFC 6455, section 4.1), over the same HTTP and TLS as everything else.
#[derive(Debug)]
pub struct Upgrade {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

impl Upgrade {
    /// `url` is `ws` or `wss`.
    ///
    /// # Errors
    /// As [`Transport::new`].
    pub fn new(node: &NodeConfig, url: &Url, patience: &Patience) -> Result<Self, ConfigFault> {
        let http = url.as_str().replacen("ws", "http", 1);
        let url = Url::parse(&http).map_err(|fault| ConfigFault::new(&node.name, "a ws or wss URL", &fault))?;
        // HTTP/2 opens sockets in another way, which nodes do not offer.
        let client = client(node, &url, patience, Client::builder().http1_only())?;
        let mut headers = own_headers(node)?;
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        Ok(Self { client, url, headers })
    }

    /// The open connection.
    ///
    /// # Errors
    /// Why there is none, in words without the address.
    pub async fn open(&self) -> Result<Upgraded, String> {
        let key = generate_key();
        let request = self.client.get(self.url.clone()).headers(self.headers.clone()).header(SEC_WEBSOCKET_KEY, &key);
        let response = request.send().await.map_err(chain)?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(format!("expected status 101, got {}", response.status().as_u16()));
        }
        let expected = derive_accept_key(key.as_bytes());
        if response.headers().get(SEC_WEBSOCKET_ACCEPT).is_none_or(|accept| accept.as_bytes() != expected.as_bytes()) {
            return Err("expected sec-websocket-accept for our key, got another".to_owned());
        }
        response.upgrade().await.map_err(chain)
    }
}

fn passing(error: reqwest::Error) -> Trouble {
    Trouble::Passing { detail: chain(error), wait: None }
}

/// An error with its causes. The URL may hold a key, so it leaves the error first.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut detail = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        detail = format!("{detail}: {inner}");
        cause = inner.source();
    }
    detail
}

fn judge_status(response: &Response) -> Result<(), Trouble> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let detail = format!("status {status}");
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Trouble::Denied(detail),
        StatusCode::TOO_MANY_REQUESTS => Trouble::TooOften { detail, wait: retry_after(response.headers()) },
        _ if status.is_server_error() => Trouble::Passing { detail, wait: retry_after(response.headers()) },
        _ => Trouble::Status(status.as_u16()),
    })
}

/// Both forms of RFC 9110, section 10.2.3: seconds, or a date. A date counts from the answer's own `Date`: our clock and
/// the node's need not agree.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).map(|date| date.timestamp().as_second()).ok();
    let until = date(text)?;
    let now = date(headers.get(DATE)?.to_str().ok()?)?;
    Some(Duration::from_secs(u64::try_from(until.saturating_sub(now)).unwrap_or(0)))
}

/// No redirects (an answer from elsewhere is no answer) and no proxy from the environment (an operator writes what is
/// asked, and where).
fn client(node: &NodeConfig, url: &Url, patience: &Patience, builder: ClientBuilder) -> Result<Client, ConfigFault> {
    let fault = |error: reqwest::Error| ConfigFault::new(&node.name, "a usable HTTP client", &error.without_url());
    let mut builder = builder.redirect(Policy::none()).no_proxy().connect_timeout(patience.connect);
    if let Some(pem) = &node.authorities {
        builder = builder.tls_certs_merge(Certificate::from_pem_bundle(pem).map_err(fault)?);
    }
    if CryptoProvider::get_default().is_none() {
        if url.scheme() != "http" {
            return Err(ConfigFault::new(&node.name, "a TLS provider installed before https or wss is used", &"none"));
        }
        builder = builder.tls_backend_preconfigured(tls_that_trusts_nobody(&node.name)?);
    }
    builder.build().map_err(fault)
}

/// The client will not be built without TLS of some kind; where only `http` is asked it gets one without authorities.
fn tls_that_trusts_nobody(name: &str) -> Result<rustls::ClientConfig, ConfigFault> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let config = rustls::ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| ConfigFault::new(name, "TLS 1.2 or 1.3", &error))?;
    Ok(config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_needs_no_tls_provider_and_https_says_that_it_does() {
        let patience = Patience::default();
        let http = NodeConfig::new("a", "http://127.0.0.1:1").unwrap();
        assert!(Transport::new(&http, &patience, 1).is_ok());
        let https = NodeConfig::new("a", "https://127.0.0.1:1").unwrap();
        assert!(CryptoProvider::get_default().is_none(), "expected no test to install a provider");
        assert!(Transport::new(&https, &patience, 1).unwrap_err().to_string().contains("TLS provider"));
        let [ws, wss] = ["ws://127.0.0.1:1/a", "wss://127.0.0.1:1/a"].map(|url| Url::parse(url).unwrap());
        assert_eq!(Upgrade::new(&http, &ws, &patience).unwrap().url.as_str(), "http://127.0.0.1:1/a");
        assert!(Upgrade::new(&http, &wss, &patience).unwrap_err().to_string().contains("TLS provider"));
    }

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_a_date_on_the_nodes_own_clock() {
        let now = "Sun, 06 Nov 1994 08:49:37 GMT";
        let wait = |after: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, after.parse().unwrap());
            date.map(|date| headers.insert(DATE, date.parse().unwrap()));
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120", None), Some(120));
        assert_eq!(wait(" 7 ", Some(now)), Some(7));
        assert_eq!(wait("Sun, 06 Nov 1994 08:51:07 GMT", Some(now)), Some(90));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", Some(now)), Some(0), "a date that is past");
        assert_eq!(wait("Sun, 06 Nov 1994 08:51:07 GMT", None), None, "no clock to compare with");
        for odd in ["soon", "-1", "1.5", "99999999999999999999", ""] {
            assert_eq!(wait(odd, Some(now)), None, "{odd:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn room_is_taken_once() {
        let room = Room::new(10);
        assert!(room.take(6) && !room.take(5) && room.take(4) && !room.take(1));
    }

    #[test]
    fn an_answer_that_is_cut_gives_its_room_back_and_one_that_is_read_keeps_it() {
        let room = Room::new(10);
        assert!(room.take(6));
        drop(Reading { room: &room, body: vec![0; 6] });
        assert!(room.take(10));
        assert_eq!(Reading { room: &room, body: vec![0; 10] }.finish().len(), 10);
        assert!(!room.take(1));
    }

    #[test]
    fn a_header_that_cannot_be_sent() {
        let mut node = NodeConfig::new("a", "http://127.0.0.1:1").unwrap();
        node.headers.push(("x y".to_owned(), crate::config::Secret::new("v")));
        assert!(Transport::new(&node, &Patience::default(), 1).is_err());
    }
}
