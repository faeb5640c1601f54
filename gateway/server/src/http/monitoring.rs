//! The `monitoring` listener: in the clear, without record data.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};

use super::guard;
use super::problem::Problem;
use super::shell::Shell;

pub(super) fn router(shell: &Shell) -> Router<Shell> {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthy))
        .route("/readyz", get(ready))
        .route_layer(middleware::from_fn_with_state(shell.clone(), guard::prompt))
        .fallback(guard::no_route)
        .method_not_allowed_fallback(guard::no_method)
}

async fn metrics(State(shell): State<Shell>) -> Result<Response, Problem> {
    shell.backend().observe().await;
    let text = shell.metrics().text().map_err(|fault| {
        tracing::error!(%fault, "the metrics cannot be written");
        Problem::internal()
    })?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The process answers; that is all it says.
async fn healthy() -> &'static str {
    "ok\n"
}

async fn ready(State(shell): State<Shell>) -> (StatusCode, String) {
    if shell.common.stop.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "going down\n".to_owned());
    }
    match shell.backend().ready().await {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
