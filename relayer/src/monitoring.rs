//! `/metrics` and `/healthz`: plain HTTP, for loopback or a closed network. Nothing that is carried shows here.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Serves until the process ends.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>, stop: CancellationToken) {
    let router = Router::new().route("/metrics", get(render)).route("/healthz", get(healthy)).with_state(metrics);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(fault) = served {
        tracing::error!(%fault, "monitoring ended");
    }
}

async fn render(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics.render())
}

/// A courier without its gateways is healthy: it waits for them. Whether it gets anywhere, the metrics tell.
async fn healthy() -> &'static str {
    "ok\n"
}
