//! Layers that every request passes: metrics, the panic catcher, slots and time.

use std::any::Any;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tokio::time::timeout;

use super::extract::wait;
use super::problem::{Problem, ProblemCode};
use super::shell::Shell;

/// When a request that found no slot may come again.
const BUSY: Duration = Duration::from_secs(1);
/// When a client of a gateway that goes down may look for its successor.
const RESTART: Duration = Duration::from_secs(5);

/// Counts and times requests. The route is the pattern and never the path: a path would let strangers make series.
pub(super) async fn measured(State(shell): State<Shell>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let started = Instant::now();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let (metrics, listener) = (shell.metrics(), shell.name.as_str());
    let status = response.status();
    metrics.http_requests.with_label_values(&[listener, route, status.as_str()]).inc();
    metrics.http_request_duration.with_label_values(&[listener, route]).observe(started.elapsed().as_secs_f64());
    // What was verified and refused is counted where it was verified, as `page` or `ledger`.
    if let Some(code) =
        response.extensions().get::<ProblemCode>().filter(|code| !matches!(code, ProblemCode::Refused(_)))
    {
        metrics.reject("http", code.as_str());
    }
    response
}

/// A handler's panic is one failed request, not a dead connection.
#[expect(clippy::needless_pass_by_value, reason = "the layer gives the payload away")]
pub(super) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("(not a text)"), "a request handler panicked");
    Problem::internal().into_response()
}

/// For requests that are answered at once: one of the slots, and `limits.request` of time.
pub(super) async fn prompt(State(shell): State<Shell>, request: Request, next: Next) -> Response {
    let Ok(_slot) = shell.running.try_acquire() else { return busy("requests") };
    match timeout(shell.limits().request, next.run(request)).await {
        Ok(response) => response,
        Err(_) => too_slow(),
    }
}

/// For long polls: one of the slots for those who wait, what they asked to wait and then the usual time. A gateway that
/// goes down does not wait with them.
pub(super) async fn patient(State(shell): State<Shell>, request: Request, next: Next) -> Response {
    let Ok(_slot) = shell.waiting.try_acquire() else { return busy("long polls") };
    let limit = asked_wait(&request) + shell.limits().request;
    tokio::select! {
        answer = timeout(limit, next.run(request)) => answer.unwrap_or_else(|_| too_slow()),
        () = shell.common.stop.cancelled() => going_down().into_response(),
    }
}

fn asked_wait(request: &Request) -> Duration {
    #[derive(Deserialize)]
    struct Asked {
        wait: Option<u64>,
    }
    // A wait that is no number is the handler's to refuse.
    axum::extract::Query::<Asked>::try_from_uri(request.uri()).map_or(Duration::ZERO, |asked| wait(asked.0.wait))
}

fn busy(what: &str) -> Response {
    no_slot(what).into_response()
}

/// There is no slot for this.
pub(super) fn no_slot(what: &str) -> Problem {
    Problem::new(ProblemCode::Busy, format!("this listener answers as many {what} as it may")).after(BUSY)
}

pub(super) fn going_down() -> Problem {
    Problem::new(ProblemCode::ShuttingDown, "this gateway is going down").after(RESTART)
}

fn too_slow() -> Response {
    Problem::new(ProblemCode::TimedOut, "the request took longer than it may").after(BUSY).into_response()
}

/// For paths that no route has.
pub(super) async fn no_route() -> Problem {
    Problem::new(ProblemCode::NoSuchRoute, "see docs/http-api.md for the routes of this listener")
}

/// For routes that do not take the method.
pub(super) async fn no_method() -> Problem {
    Problem::new(ProblemCode::MethodNotAllowed, "see docs/http-api.md for the methods of this route")
}
