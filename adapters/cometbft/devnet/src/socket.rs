//! JSON-RPC over WebSocket: every method of HTTP, and `subscribe` to new headers (CometBFT 0.38, `rpc/core/events.go`).

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

use crate::http::{self, Endpoint};
use crate::rpc::{Answer, RpcError};
use crate::{frame, render};

/// A batch of 1,000 requests of 1 KiB each.
const MAX_MESSAGE_BYTES: usize = 1 << 20;

/// Subscriptions of one socket (`max_subscriptions_per_client` of a fresh configuration).
const MAX_SUBSCRIPTIONS: usize = 5;

/// The one query that is understood, without blanks.
const NEW_HEADERS: &str = "tm.event='NewBlockHeader'";

type Raw = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// Answers `GET /websocket`: the handshake of RFC 6455, section 4.2.
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
        [(header::CONNECTION, "Upgrade"), (header::UPGRADE, "websocket"), (header::SEC_WEBSOCKET_ACCEPT, &accept)];
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
    /// Queries as the client wrote them, with the id of the request that asked, which announcements repeat.
    subscriptions: BTreeMap<String, Value>,
    /// The last block that was announced.
    announced: u64,
}

impl Socket {
    fn new(endpoint: Endpoint) -> Self {
        let announced = endpoint.shared.with_view(endpoint.node, |view| view.height());
        Self { endpoint, subscriptions: BTreeMap::new(), announced }
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
        match self.answer(&message.into_data()) {
            Some(answer) => out.send(Message::text(answer.to_string())).await,
            None => Ok(()),
        }
    }

    fn answer(&mut self, body: &[u8]) -> Option<Value> {
        if let Some(answer) = self.subscription(body) {
            return Some(answer);
        }
        let endpoint = &self.endpoint;
        let faults = endpoint.shared.faults(endpoint.node);
        frame::answer(body, &faults, &mut |method, params| endpoint.shared.call(endpoint.node, method, params))
            .unwrap_or_else(|error| Some(frame::envelope(&Value::Null, Err(error))))
    }

    /// The answer to `subscribe`, `unsubscribe` and `unsubscribe_all`, which exist on sockets alone.
    fn subscription(&mut self, body: &[u8]) -> Option<Value> {
        let request: Value = serde_json::from_slice(body).ok()?;
        let (method, id) = (request.get("method")?.as_str()?, request.get("id")?);
        let query = || match request.get("params") {
            Some(Value::Array(list)) => list.first().and_then(Value::as_str),
            Some(params) => params.get("query").and_then(Value::as_str),
            None => None,
        };
        let answer = match method {
            "subscribe" => self.subscribe(query().unwrap_or_default(), id),
            "unsubscribe" => self.unsubscribe(query().unwrap_or_default()),
            "unsubscribe_all" => {
                self.subscriptions.clear();
                Ok(json!({}))
            }
            _ => return None,
        };
        Some(frame::envelope(id, answer))
    }

    fn subscribe(&mut self, query: &str, id: &Value) -> Answer {
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            let said = format!("max_subscriptions_per_client {MAX_SUBSCRIPTIONS} reached");
            return Err(RpcError::internal(said));
        }
        let bare: String = query.chars().filter(|letter| !letter.is_whitespace()).collect();
        if bare != NEW_HEADERS {
            let said = format!("failed to parse query: this ledger announces {NEW_HEADERS}, got {query:?}");
            return Err(RpcError::internal(said));
        }
        if self.subscriptions.contains_key(query) {
            return Err(RpcError::internal("already subscribed"));
        }
        self.subscriptions.insert(query.to_owned(), id.clone());
        Ok(json!({}))
    }

    fn unsubscribe(&mut self, query: &str) -> Answer {
        let known = self.subscriptions.remove(query);
        known.map(|_| json!({})).ok_or_else(|| RpcError::internal("subscription not found"))
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
        let (height, headers) = shared.with_view(node, |view| {
            let height = view.height();
            let blocks = (self.announced.saturating_add(1)..=height).filter_map(|height| view.block(height));
            (height, blocks.map(|block| render::header(&block.header)).collect::<Vec<_>>())
        });
        self.announced = height;
        let told = |header: &Value, query: &str, id: &Value| {
            let data = json!({ "type": "tendermint/event/NewBlockHeader", "value": { "header": header } });
            let events = json!({ "tm.event": ["NewBlockHeader"] });
            frame::envelope(id, Ok(json!({ "query": query, "data": data, "events": events })))
        };
        let each = |header| self.subscriptions.iter().map(move |(query, id)| told(header, query, id));
        headers.iter().flat_map(each).collect()
    }
}
