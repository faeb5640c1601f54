//! Server-sent events. Each subscriber has one task that pulls from the backend into a small buffer; whoever does not
//! take for a while is disconnected and comes back with `Last-Event-ID`. So a slow subscriber costs a few events of
//! memory and never delays another.

use std::convert::Infallible;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::stream::unfold;
use hufu_schemas_core::LaneId;
use prometheus::IntGauge;
use serde::Deserialize;
use std::time::Duration;
use tokio::sync::mpsc::error::SendTimeoutError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use super::extract::Query;
use super::guard;
use super::problem::Problem;
use super::shell::Shell;
use crate::backend::{Event, EventFilter, LONGEST_WAIT};

/// Events that wait for one subscriber.
const BUFFER: usize = 64;
/// So that a silent stream is not taken for a dead one by whatever stands between.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Ends one connection at once, from within a request.
#[derive(Debug, Clone)]
pub(super) struct Closer(pub(super) CancellationToken);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventParameters {
    #[serde(rename = "type")]
    record_type: Option<String>,
    lane: Option<LaneId>,
}

/// `GET /v1/events`. Without `Last-Event-ID` it begins with the first event there is.
pub(super) async fn subscribe(
    State(shell): State<Shell>,
    Extension(closer): Extension<Closer>,
    Query(asked): Query<EventParameters>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let after = last_event_id(&headers)?;
    let Ok(slot) = shell.waiting.clone().try_acquire_owned() else { return Err(guard::no_slot("subscribers")) };
    if shell.common.stop.is_cancelled() {
        return Err(guard::going_down());
    }
    let filter = EventFilter { record_type: asked.record_type, lane: asked.lane };
    let (sender, receiver) = mpsc::channel(BUFFER);
    let subscriber = Counted::new(shell.metrics().subscribers.clone());
    let tasks = shell.common.tasks.clone();
    tasks.spawn(Feed { shell, filter, sender, closer, _slot: slot, _subscriber: subscriber }.run(after));
    let events = unfold(receiver, |mut receiver| async {
        let event: Event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(written(&event)), receiver))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let offset = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let fault = || Problem::malformed("Last-Event-ID").between("the `id:` of an event", format_args!("{value:?}"));
    offset.map(Some).ok_or_else(fault)
}

fn written(event: &Event) -> sse::Event {
    // serde_json writes no line ends, so that one event is one `data:` line.
    sse::Event::default().id(event.offset.to_string()).data(event.cloud_event.to_string())
}

/// Counts a subscriber for as long as it lives.
struct Counted(IntGauge);

impl Counted {
    fn new(gauge: IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

struct Feed {
    shell: Shell,
    filter: EventFilter,
    sender: mpsc::Sender<Event>,
    closer: Closer,
    _slot: OwnedSemaphorePermit,
    _subscriber: Counted,
}

impl Feed {
    async fn run(self, mut after: Option<u64>) {
        loop {
            let next = tokio::select! {
                next = self.shell.backend().next_events(&self.filter, after, BUFFER, LONGEST_WAIT) => next,
                () = self.sender.closed() => return,
                () = self.shell.common.stop.cancelled() => return,
            };
            let batch = match next {
                Ok(batch) => batch,
                Err(problem) => {
                    // The subscriber sees the stream end, and comes back to where it was.
                    tracing::warn!(%problem, "a subscription ends");
                    return;
                }
            };
            let last = batch.events.last().map(|event| event.offset);
            for event in batch.events {
                if !self.deliver(event).await {
                    return;
                }
            }
            after = batch.scanned.max(last).or(after);
        }
    }

    /// Whether the subscriber is still there.
    async fn deliver(&self, event: Event) -> bool {
        let sent = tokio::select! {
            sent = self.sender.send_timeout(event, self.shell.limits().stall) => sent,
            () = self.shell.common.stop.cancelled() => return false,
        };
        match sent {
            Ok(()) => true,
            Err(SendTimeoutError::Closed(_)) => false,
            Err(SendTimeoutError::Timeout(_)) => {
                self.shell.metrics().reject("http", "slow-subscriber");
                // Ending the stream would wait behind the very bytes that are not taken.
                self.closer.0.cancel();
                false
            }
        }
    }
}
