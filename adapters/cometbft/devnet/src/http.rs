//! JSON-RPC over HTTP on the loopback interface: by URI, by POST, and a WebSocket at `/websocket`; and the ways in which a
//! node's transport can fail.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

use crate::devnet::Shared;
use crate::misbehave::Misbehave;
use crate::params::Params;
use crate::rpc::{METHODS, parameters};
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
    let router = Router::new()
        .route("/", get(index).post(by_post))
        .route("/websocket", get(socket::upgrade))
        .route("/{method}", get(by_uri))
        .with_state(Endpoint { shared, node, open });
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

/// What can be asked, as real nodes list it.
async fn index(State(endpoint): State<Endpoint>) -> Response {
    let faults = endpoint.shared.faults(endpoint.node);
    if let Some(response) = refusal(&faults) {
        return response;
    }
    let line = |(method, names): &(&str, &[&str])| {
        let names: Vec<String> = names.iter().map(|name| format!("{name}=_")).collect();
        format!("/{method}?{}<br>", names.join("&amp;"))
    };
    let lines: Vec<String> =
        METHODS.iter().filter(|(method, _)| !frame::is_missing(&faults, method)).map(line).collect();
    Html(format!("<html><body><br>Available endpoints:<br><br>{}</body></html>", lines.concat())).into_response()
}

async fn by_uri(
    State(endpoint): State<Endpoint>,
    Path(method): Path<String>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let faults = endpoint.shared.faults(endpoint.node);
    if let Some(response) = refusal(&faults) {
        return response;
    }
    if parameters(&method).is_none() || frame::is_missing(&faults, &method) {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    let params = Params::Uri(query.into_iter().collect());
    let answer = endpoint.shared.call(endpoint.node, &method, &params);
    let status = if answer.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    deliver(status, &frame::envelope(&json!(frame::URI_ID), answer), &faults)
}

async fn by_post(State(endpoint): State<Endpoint>, body: Bytes) -> Response {
    let faults = endpoint.shared.faults(endpoint.node);
    if let Some(response) = refusal(&faults) {
        return response;
    }
    let mut call = |method: &str, params: &Params| endpoint.shared.call(endpoint.node, method, params);
    match frame::answer(&body, &faults, &mut call) {
        Ok(Some(answer)) => deliver(StatusCode::OK, &answer, &faults),
        Ok(None) => StatusCode::OK.into_response(),
        Err(error) => deliver(StatusCode::INTERNAL_SERVER_ERROR, &frame::envelope(&Value::Null, Err(error)), &faults),
    }
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

/// Sends the answer as the node's transport faults would have it.
fn deliver(status: StatusCode, answer: &Value, faults: &[Misbehave]) -> Response {
    let mut text = answer.to_string();
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
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
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
