//! JSON-RPC 2.0 over HTTP on the loopback interface, and the ways a node's transport can fail. A WebSocket is opened at
//! the same address.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt;
use futures_util::stream;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::devnet::Shared;
use crate::misbehave::Misbehave;
use crate::{frame, socket};

/// Which node of which ledger answers.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) shared: Arc<Shared>,
    pub(crate) node: usize,
    /// Its sender is dropped when the node goes down; sockets end then, which the HTTP server would wait for.
    pub(crate) open: watch::Receiver<()>,
}

/// Opens a port; 0 picks a free one.
pub(crate) async fn listen(port: u16) -> std::io::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

/// Serves until `stop` fires or its sender is dropped.
pub(crate) fn serve(listener: TcpListener, shared: Arc<Shared>, node: usize, stop: oneshot::Receiver<()>) {
    let (closing, open) = watch::channel(());
    let router =
        Router::new().route("/", post(handle).get(socket::upgrade)).with_state(Endpoint { shared, node, open });
    // Small answers must not wait for the acknowledgement of the one before.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    tokio::spawn(async move {
        let stopped = async {
            // Either way it is time to end: a message, or nobody left who could send one.
            let _ = stop.await;
            drop(closing);
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
            tracing::warn!(node, %error, "endpoint ended");
        }
    });
}

async fn handle(State(endpoint): State<Endpoint>, body: Bytes) -> Response {
    let faults = endpoint.shared.faults(endpoint.node);
    if let Some(response) = refusal(&faults) {
        return response;
    }
    let mut call = |method: &str, params: &[_]| endpoint.shared.call(endpoint.node, method, params);
    let Some(answer) = frame::answer(&body, &faults, &mut call) else {
        return StatusCode::OK.into_response();
    };
    deliver(answer.to_string(), &faults)
}

/// The misbehaviours that give no JSON at all.
pub(crate) fn refusal(faults: &[Misbehave]) -> Option<Response> {
    faults.iter().find_map(|fault| match fault {
        Misbehave::Html => Some(Html("<html><body><h1>Bad gateway</h1></body></html>").into_response()),
        Misbehave::Status(code) => {
            Some(StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response())
        }
        _ => None,
    })
}

/// Sends the text as the node's transport faults would have it.
fn deliver(mut text: String, faults: &[Misbehave]) -> Response {
    let mut drip = None;
    for fault in faults {
        match fault {
            Misbehave::Truncated => text = cut_in_half(&text),
            Misbehave::Oversized { padding } => text.insert_str(0, &" ".repeat(*padding)),
            Misbehave::SlowDrip { bytes, every } => drip = Some((*bytes, *every)),
            _ => {}
        }
    }
    let body = match drip {
        Some((bytes, every)) => dripping(text.into(), bytes.max(1), every),
        None => Body::from(text),
    };
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn cut_in_half(text: &str) -> String {
    let middle = text.len() / 2;
    let end = (0..=middle).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

fn dripping(text: Bytes, bytes: usize, every: Duration) -> Body {
    Body::from_stream(stream::unfold(text, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        tokio::time::sleep(every).await;
        let piece = rest.split_to(bytes.min(rest.len()));
        Some((Ok::<_, std::convert::Infallible>(piece), rest))
    }))
}
