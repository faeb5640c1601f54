//! A gateway that is both ends of the `peers` interface: it serves lanes and ledgers of its own, takes in others', and
//! writes down every delivery. It judges nothing but order.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use hufu_relayer::{Metrics, Pace, Relayer, RelayerConfig, SystemClock};
use hufu_schemas_core::limits::UPDATE_STEPS;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const LANE: &str = "land.example/property-rights/1";
pub(crate) const OTHER_LANE: &str = "land.example/mortgages/1";
pub(crate) const LEDGER: &str = "evm:00000000000000000000000000000001";
/// A condition that does not come true within this is a failure.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a gateway answers to the next delivery instead of taking it.
#[derive(Debug, Clone)]
pub(crate) struct Refuse {
    pub(crate) status: u16,
    pub(crate) code: &'static str,
    pub(crate) retry_after: Option<u64>,
}

impl Refuse {
    pub(crate) const fn with(status: u16, code: &'static str) -> Self {
        Self { status, code, retry_after: None }
    }
}

/// A delivery as it came.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) at: Instant,
    pub(crate) to: String,
    pub(crate) body: Bytes,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    /// Leaves of own lanes.
    pub(crate) lanes: BTreeMap<String, Vec<String>>,
    /// Leaves of lanes taken in.
    pub(crate) inbox: BTreeMap<String, Vec<String>>,
    /// Updates of own ledgers: height = index.
    pub(crate) ledger: Vec<String>,
    /// The height wanted next, where updates are wanted.
    pub(crate) wants: Option<u64>,
    /// Steps from above this height do not link: the branch is wanted from here on. Forgotten once it came.
    pub(crate) branch_from: Option<u64>,
    /// The branch is no better, and left.
    pub(crate) leaves_branch: bool,
    /// Leaf n of a lane waits until the ledger has come past height n.
    pub(crate) leaves_wait_for_ledger: bool,
    pub(crate) frozen: bool,
    /// Refusals of deliveries to a lane, one each, before any is taken.
    pub(crate) refusals: BTreeMap<String, VecDeque<Refuse>>,
    /// Lanes whose every delivery is refused.
    pub(crate) always: BTreeMap<String, Refuse>,
    pub(crate) page_padding: usize,
    pub(crate) pages_served: Vec<Bytes>,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) states_asked: usize,
    pub(crate) page_limits: Vec<u64>,
    /// The notes of own lanes.
    pub(crate) checkpoints: BTreeMap<String, String>,
    /// Checkpoints as they came, by lane.
    pub(crate) notes: Vec<(String, String)>,
    /// Refusals of checkpoints, one each, before any is taken.
    pub(crate) note_refusals: VecDeque<Refuse>,
    /// The held leaf whose evidence is wanted.
    pub(crate) evidence: Option<u64>,
    /// No page releases that leaf.
    pub(crate) evidence_never_closes: bool,
    /// Updates are answered as if compressed, where that is asked for.
    pub(crate) zips: bool,
    /// How many deliveries of updates came so.
    pub(crate) zipped: usize,
    /// Such updates are not taken.
    pub(crate) refuses_zipped: bool,
    /// Steps of one update that its budget is enough for; `None`: for as many as a gateway takes at all.
    pub(crate) steps_most: Option<usize>,
}

/// The gateway; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fake {
    inner: Arc<Mutex<Inner>>,
    changed: Arc<Notify>,
}

#[derive(Deserialize)]
struct Range {
    from: usize,
    limit: usize,
    wait: u64,
}

impl Fake {
    pub(crate) fn with_lane(lane: &str, leaves: usize) -> Self {
        let fake = Self::default();
        fake.grow(lane, leaves);
        fake
    }

    pub(crate) fn wanting(lanes: &[&str]) -> Self {
        let fake = Self::default();
        fake.edit(|inner| inner.inbox = lanes.iter().map(|lane| ((*lane).to_owned(), Vec::new())).collect());
        fake
    }

    pub(crate) fn grow(&self, lane: &str, leaves: usize) {
        self.edit(|inner| {
            let log = inner.lanes.entry(lane.to_owned()).or_default();
            (0..leaves).for_each(|_| log.push(format!("{lane}#{}", log.len())));
        });
    }

    pub(crate) fn edit<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let done = change(&mut self.look());
        self.changed.notify_waiters();
        done
    }

    pub(crate) fn look(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn has(&self, lane: &str) -> usize {
        self.look().inbox.get(lane).map_or(0, Vec::len)
    }

    pub(crate) async fn until(&self, what: &str, condition: impl Fn(&Inner) -> bool) {
        let reached = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if condition(&self.look()) {
                    return;
                }
                changed.await;
            }
        };
        let in_time = tokio::time::timeout(DEADLINE, reached).await;
        let Inner { inbox, wants, deliveries, page_limits, .. } = &*self.look();
        let sizes: Vec<_> = inbox.iter().map(|(lane, leaves)| (lane, leaves.len())).collect();
        let deliveries: Vec<_> = deliveries.iter().map(|delivery| (&delivery.to, delivery.body.len())).collect();
        assert!(
            in_time.is_ok(),
            "waited {DEADLINE:?} until {what}: has {sizes:?}, wants {wants:?}, got {deliveries:?}, was asked {page_limits:?}"
        );
    }

    pub(crate) fn router(&self) -> Router {
        Router::new()
            .route("/v1/lanes", get(lanes))
            .route("/v1/lanes/{slug}/{epoch}/pages", get(page))
            .route("/v1/lanes/{slug}/{epoch}/checkpoint", get(checkpoint))
            .route("/v1/ledgers/{id}/updates", get(updates))
            .route("/v1/inbox/{gateway}/{slug}/{epoch}/state", get(state))
            .route("/v1/inbox/{gateway}/{slug}/{epoch}/pages", post(take_page))
            .route("/v1/inbox/{gateway}/{slug}/{epoch}/checkpoint", post(take_checkpoint))
            .route("/v1/inbox/ledgers", get(ledgers))
            .route("/v1/inbox/ledgers/{id}/updates", post(take_updates))
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone())
    }

    /// Serves plain HTTP on loopback.
    pub(crate) async fn serve(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        format!("http://{address}")
    }

    /// The answer once there is one, or 204 after `wait` seconds.
    async fn poll(&self, wait: u64, mut find: impl FnMut(&mut Inner) -> Option<Response>) -> Response {
        let answered = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(answer) = find(&mut self.look()) {
                    return answer;
                }
                changed.await;
            }
        };
        let answer = tokio::time::timeout(Duration::from_secs(wait), answered).await;
        self.changed.notify_waiters();
        answer.unwrap_or_else(|_| StatusCode::NO_CONTENT.into_response())
    }
}

async fn lanes(State(fake): State<Fake>) -> Response {
    let lanes: Vec<_> = fake.look().lanes.keys().map(|lane| json!({"lane": lane, "more": 1})).collect();
    json_of(&json!({ "lanes": lanes }))
}

async fn page(
    State(fake): State<Fake>,
    Path((slug, epoch)): Path<(String, u32)>,
    Query(range): Query<Range>,
) -> Response {
    let lane = format!("land.example/{slug}/{epoch}");
    let answer = fake.poll(range.wait, |inner| {
        inner.page_limits.push(range.limit as u64);
        let Some(leaves) = inner.lanes.get(&lane) else { return Some(problem(&Refuse::with(404, "unknown-lane"))) };
        let carried: Vec<_> = leaves.iter().skip(range.from).take(range.limit).collect();
        if carried.is_empty() {
            return None;
        }
        let padding = " ".repeat(inner.page_padding * carried.len());
        let checkpoint = format!("{lane}\n{}\nroot\n", leaves.len());
        // Spaces and order as no serializer writes them: whoever writes the page anew shows.
        let from = range.from;
        let page = format!(
            "{{ \"lane\":\"{lane}\",  \"from\" : {from},{padding}\"checkpoint\":{},\"leaves\":{} }}\n",
            json!(checkpoint),
            json!(carried)
        );
        let page = Bytes::from(page);
        inner.pages_served.push(page.clone());
        Some(page.into_response())
    });
    answer.await
}

/// A stand-in for compression, which nobody on the way may undo or do.
fn turned(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().rev().copied().collect()
}

async fn updates(
    State(fake): State<Fake>,
    Path(id): Path<String>,
    Query(range): Query<Range>,
    headers: HeaderMap,
) -> Response {
    let asked = headers.get(ACCEPT_ENCODING).is_some_and(|coding| coding == "gzip");
    let answer = fake.poll(range.wait, |inner| {
        let steps: Vec<_> = inner.ledger.iter().enumerate().skip(range.from).take(range.limit).collect();
        let steps: Vec<_> = steps.iter().map(|(height, bytes)| json!({"height": height, "bytes": bytes})).collect();
        if steps.is_empty() {
            return None;
        }
        let update = json!({"ledger": id, "steps": steps});
        match inner.zips && asked {
            true => Some(([(CONTENT_ENCODING, "gzip")], turned(update.to_string().as_bytes())).into_response()),
            false => Some(json_of(&update)),
        }
    });
    answer.await
}

async fn checkpoint(State(fake): State<Fake>, Path((slug, epoch)): Path<(String, u32)>) -> Response {
    let note = fake.look().checkpoints.get(&format!("land.example/{slug}/{epoch}")).cloned();
    note.map_or_else(|| problem(&Refuse::with(404, "no-such-lane")), IntoResponse::into_response)
}

async fn state(State(fake): State<Fake>, Path((gateway, slug, epoch)): Path<(String, String, u32)>) -> Response {
    let lane = format!("{gateway}/{slug}/{epoch}");
    fake.edit(|inner| {
        inner.states_asked += 1;
        state_of(inner, &lane)
    })
}

fn state_of(inner: &Inner, lane: &str) -> Response {
    let Some(leaves) = inner.inbox.get(lane) else { return problem(&Refuse::with(404, "unknown-lane")) };
    let (size, frozen, evidence) = (leaves.len(), inner.frozen, inner.evidence);
    let state = json!({
        "lane": lane, "size": size, "seen": size, "frozen": frozen, "waiting": null, "evidence": evidence,
    });
    json_of(&state)
}

async fn take_checkpoint(
    State(fake): State<Fake>,
    Path((gateway, slug, epoch)): Path<(String, String, u32)>,
    headers: HeaderMap,
    note: String,
) -> Response {
    let lane = format!("{gateway}/{slug}/{epoch}");
    assert!(headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/plain"), "{headers:?}");
    fake.edit(|inner| {
        inner.notes.push((lane.clone(), note));
        inner.note_refusals.pop_front().map_or_else(|| state_of(inner, &lane), |refusal| problem(&refusal))
    })
}

async fn take_page(
    State(fake): State<Fake>,
    Path((gateway, slug, epoch)): Path<(String, String, u32)>,
    body: Bytes,
) -> Response {
    let lane = format!("{gateway}/{slug}/{epoch}");
    fake.edit(|inner| {
        inner.deliveries.push(Delivery { at: Instant::now(), to: lane.clone(), body: body.clone() });
        let refusal = inner.refusals.get_mut(&lane).and_then(VecDeque::pop_front);
        if let Some(refusal) = refusal.or_else(|| inner.always.get(&lane).cloned()) {
            return problem(&refusal);
        }
        admit(inner, &lane, &body)
    })
}

fn admit(inner: &mut Inner, lane: &str, body: &[u8]) -> Response {
    let page: Value = serde_json::from_slice(body).unwrap();
    let from = page["from"].as_u64().unwrap() as usize;
    let reach = if inner.leaves_wait_for_ledger { inner.wants.unwrap_or(0) as usize } else { usize::MAX };
    let log = inner.inbox.get_mut(lane).unwrap();
    if from > log.len() {
        return problem(&Refuse::with(409, "leaf-gap"));
    }
    let leaves = page["leaves"].as_array().unwrap();
    let brings = |leaf: u64| (from..from + leaves.len()).contains(&(leaf as usize));
    if !inner.evidence_never_closes && inner.evidence.is_some_and(brings) {
        inner.evidence = None;
    }
    let (mut admitted, mut known, mut waiting) = (0, 0, Value::Null);
    for (index, leaf) in leaves.iter().enumerate() {
        let (index, leaf) = (from + index, leaf.as_str().unwrap());
        if index < log.len() {
            assert_eq!(log[index], leaf, "a known leaf came changed");
            known += 1;
        } else if index < reach {
            log.push(leaf.to_owned());
            admitted += 1;
        } else {
            waiting = json!({"reason": "nearer-header", "ledger": LEDGER, "height": index});
            break;
        }
    }
    let size = log.len();
    json_of(&json!({"size": size, "admitted": admitted, "held": 0, "sealed": 0, "known": known, "waiting": waiting}))
}

async fn ledgers(State(fake): State<Fake>) -> Response {
    let wants = fake.look().wants;
    let ledgers: Vec<_> = wants
        .iter()
        .map(|wants| json!({"ledger": LEDGER, "wants": wants, "frozen": false, "expired": false}))
        .collect();
    json_of(&json!({ "ledgers": ledgers }))
}

async fn take_updates(State(fake): State<Fake>, Path(id): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    fake.edit(|inner| {
        let body = match headers.get(CONTENT_ENCODING) {
            Some(coding) => {
                assert_eq!(coding, "gzip");
                inner.zipped += 1;
                if inner.refuses_zipped {
                    return problem(&Refuse::with(415, "unsupported-coding"));
                }
                Bytes::from(turned(&body))
            }
            None => body,
        };
        inner.deliveries.push(Delivery { at: Instant::now(), to: id.clone(), body: body.clone() });
        if let Some(refusal) = inner.refusals.get_mut(&id).and_then(VecDeque::pop_front) {
            return problem(&refusal);
        }
        let update: Value = serde_json::from_slice(&body).unwrap();
        let steps = update["steps"].as_array().unwrap();
        if steps.len() > UPDATE_STEPS {
            return problem(&Refuse::with(422, "update-malformed"));
        }
        if inner.steps_most.is_some_and(|most| steps.len() > most) {
            return problem(&Refuse::with(422, "budget-exhausted"));
        }
        let first = steps.first().unwrap()["height"].as_u64().unwrap();
        let last = steps.last().unwrap()["height"].as_u64().unwrap();
        match inner.branch_from {
            Some(from) if first > from => return json_of(&json!({ "wants": from })),
            Some(_) if inner.leaves_branch => return json_of(&json!({ "wants": inner.wants })),
            _ => inner.branch_from = None,
        }
        let wants = inner.wants.map(|wants| wants.max(last + 1));
        inner.wants = wants;
        json_of(&json!({ "wants": wants }))
    })
}

fn json_of(value: &Value) -> Response {
    value.to_string().into_response()
}

fn problem(refuse: &Refuse) -> Response {
    let code = refuse.code;
    let body =
        json!({"type": format!("urn:hufu:problem:{code}"), "title": "no", "status": refuse.status, "code": code});
    let mut response = (StatusCode::from_u16(refuse.status).unwrap(), body.to_string()).into_response();
    if let Some(seconds) = refuse.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// A pace for tests: nothing waits longer than it must.
pub(crate) fn quick() -> Pace {
    let ms = Duration::from_millis;
    Pace {
        long_poll: Duration::from_secs(1),
        slow_poll: ms(50),
        discovery: ms(50),
        backoff_first: ms(5),
        backoff_most: ms(50),
        ledger_first: ms(50),
        ledger_most: ms(100),
        evidence: ms(50),
        ..Pace::default()
    }
}

/// A courier that runs until it is stopped.
pub(crate) struct Running {
    stop: CancellationToken,
    task: JoinHandle<()>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Running {
    pub(crate) fn start(relayer: Relayer) -> Self {
        let (stop, metrics) = (CancellationToken::new(), relayer.metrics());
        let until = stop.clone();
        Self { stop, task: tokio::spawn(async move { relayer.run(until).await.unwrap() }), metrics }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        tokio::time::timeout(DEADLINE, self.task).await.expect("waited until the courier ended").unwrap();
    }

    /// Of a metric, the value of the one line that begins so.
    pub(crate) fn count(&self, line: &str) -> u64 {
        let text = self.metrics.render();
        let found = text.lines().find_map(|found| found.strip_prefix(line));
        found.map_or(0, |value| value.trim().parse().unwrap())
    }

    /// Until the value of the line that begins so is not zero.
    pub(crate) async fn until_counted(&self, line: &str) {
        self.until(line, || self.count(line) > 0).await;
    }

    /// Until the value of the line that begins so is `value`.
    pub(crate) async fn until_counts(&self, line: &str, value: u64) {
        self.until(line, || self.count(line) == value).await;
    }

    /// Until a line begins so.
    pub(crate) async fn until_shown(&self, line: &str) {
        self.until(line, || self.metrics.render().lines().any(|shown| shown.starts_with(line))).await;
    }

    async fn until(&self, line: &str, condition: impl Fn() -> bool) {
        let began = Instant::now();
        while !condition() {
            assert!(began.elapsed() < DEADLINE, "waited {DEADLINE:?} for {line}:\n{}", self.metrics.render());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

pub(crate) fn relayer(origin: &str, destination: &str, more: &str) -> Relayer {
    let text = format!(
        "[relayer]\nname = \"city-1\"\ninsecure_loopback = true\n\
         [[pair]]\norigin = \"{origin}\"\ndestination = \"{destination}\"\n{more}\n"
    );
    let config = RelayerConfig::parse("relayer.toml", &text).unwrap();
    Relayer::new(config, Arc::new(SystemClock)).unwrap().with_pace(quick())
}

/// A courier from `origin` to `destination`, running.
pub(crate) async fn carry(origin: &Fake, destination: &Fake, more: &str) -> Running {
    let (origin, destination) = (origin.serve().await, destination.serve().await);
    Running::start(relayer(&origin, &destination, more))
}
