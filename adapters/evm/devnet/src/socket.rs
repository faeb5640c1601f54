//! JSON-RPC 2.0 over WebSocket: every method of HTTP, and `eth_subscribe` to new heads and to logs.
//!
//! Source of the forms: the publish and subscribe interface of go-ethereum, on which clients rely.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::frame;
use crate::http::{self, Endpoint};
use crate::logs::LogFilter;
use crate::render;
use crate::rpc::{Answer, RpcError};

/// A batch of 1,000 requests of 1 KiB each.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Subscriptions of one socket.
const MAX_SUBSCRIPTIONS: usize = 64;

type Raw = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Answers `GET /`: the handshake of RFC 6455, section 4.2.
pub(crate) async fn upgrade(State(endpoint): State<Endpoint>, mut request: Request) -> Response {
    if let Some(response) = http::refusal(&endpoint.shared.faults(endpoint.node)) {
        return response;
    }
    let Some(accept) = accept_key(request.headers()) else {
        return (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "websocket")]).into_response();
    };
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(io) = upgrading.await else { return };
        let config = WebSocketConfig::default().max_message_size(Some(MAX_MESSAGE_BYTES));
        let raw = Raw::from_raw_socket(TokioIo::new(io), Role::Server, Some(config)).await;
        if let Err(error) = Socket::new(endpoint).run(raw).await {
            tracing::debug!(%error, "socket ended");
        }
    });
    let headers =
        [(header::CONNECTION, "upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_ACCEPT, &accept)];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

fn accept_key(headers: &HeaderMap) -> Option<String> {
    let says = |name, word: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word))
    };
    let wanted = says(header::UPGRADE, "websocket") && says(header::SEC_WEBSOCKET_VERSION, "13");
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|_| wanted)?;
    Some(derive_accept_key(key.as_bytes()))
}

/// What one client subscribed to.
struct Socket {
    endpoint: Endpoint,
    subscriptions: BTreeMap<u64, Wanted>,
    /// Ids are never given twice.
    given: u64,
    /// The last block that was announced.
    announced: u64,
}

enum Wanted {
    Heads,
    Logs(LogFilter),
}

impl Socket {
    fn new(endpoint: Endpoint) -> Self {
        let announced = endpoint.shared.with_view(endpoint.node, |view| view.height());
        Self { endpoint, subscriptions: BTreeMap::new(), given: 0, announced }
    }

    /// Until the client leaves or the node goes down.
    async fn run(mut self, raw: Raw) -> Result<(), Error> {
        let (mut out, mut messages) = raw.split();
        let mut heads = self.endpoint.shared.heads();
        let mut open = self.endpoint.open.clone();
        loop {
            tokio::select! {
                message = messages.next() => match message {
                    Some(message) => self.receive(message?, &mut out).await?,
                    None => return Ok(()),
                },
                changed = heads.changed() => match changed {
                    Ok(()) => self.announce(&mut out).await?,
                    Err(_) => return Ok(()),
                },
                _ = open.changed() => return out.close().await,
            }
        }
    }

    async fn receive(&mut self, message: Message, out: &mut SplitSink<Raw, Message>) -> Result<(), Error> {
        // Pings are answered, and a closing handshake is finished, by the library.
        let (Message::Text(_) | Message::Binary(_)) = &message else { return Ok(()) };
        let faults = self.endpoint.shared.faults(self.endpoint.node);
        let body = message.into_data();
        let answer = frame::answer(&body, &faults, &mut |method, params| self.call(method, params));
        match answer {
            Some(answer) => out.send(Message::text(answer.to_string())).await,
            None => Ok(()),
        }
    }

    fn call(&mut self, method: &str, params: &[Value]) -> Answer {
        match method {
            "eth_subscribe" => self.subscribe(params),
            "eth_unsubscribe" => self.unsubscribe(params),
            _ => self.endpoint.shared.call(self.endpoint.node, method, params),
        }
    }

    fn subscribe(&mut self, params: &[Value]) -> Answer {
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(RpcError::server("too many subscriptions"));
        }
        let wanted = match params.first().and_then(Value::as_str) {
            Some("newHeads") => Wanted::Heads,
            Some("logs") => Wanted::Logs(LogFilter::parse(params.get(1).unwrap_or(&Value::Null))?),
            _ => return Err(RpcError::params("expected newHeads or logs")),
        };
        self.given += 1;
        self.subscriptions.insert(self.given, wanted);
        Ok(render::quantity(self.given))
    }

    fn unsubscribe(&mut self, params: &[Value]) -> Answer {
        let id = params.first().and_then(Value::as_str).and_then(|text| text.strip_prefix("0x"));
        let id = id.and_then(|digits| u64::from_str_radix(digits, 16).ok());
        match id.and_then(|id| self.subscriptions.remove(&id)) {
            Some(_) => Ok(json!(true)),
            None => Err(RpcError::server("subscription not found")),
        }
    }

    /// Tells of every block above the last announced one. A node that went back announces again from where it is.
    async fn announce(&mut self, out: &mut SplitSink<Raw, Message>) -> Result<(), Error> {
        for news in self.news() {
            out.feed(Message::text(news.to_string())).await?;
        }
        out.flush().await
    }

    fn news(&mut self) -> Vec<Value> {
        let (shared, node) = (&self.endpoint.shared, self.endpoint.node);
        let (height, news) = shared.with_view(node, |view| {
            let height = view.height();
            let blocks = (self.announced.saturating_add(1)..=height).filter_map(|height| view.block(height));
            let mut news = Vec::new();
            for told in blocks {
                for (id, wanted) in &self.subscriptions {
                    let results = match wanted {
                        Wanted::Heads => vec![render::head(&told)],
                        Wanted::Logs(filter) => filter.of_block(&told),
                    };
                    news.extend(results.into_iter().map(|result| notification(*id, &result)));
                }
            }
            (height, news)
        });
        self.announced = height;
        news
    }
}

fn notification(id: u64, result: &Value) -> Value {
    let params = json!({ "subscription": render::quantity(id), "result": result });
    json!({ "jsonrpc": "2.0", "method": "eth_subscription", "params": params })
}
