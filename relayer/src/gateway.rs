//! One gateway as the courier meets it: the `peers` interface of `docs/http-api.md`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hufu_schemas_core::limits::{NOTE_BYTES, PageLimits};
use hufu_schemas_core::{LaneId, LedgerId};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::answers::{InboxLedger, InboxLedgers, InboxState, Lanes, PageAnswer, UpdatesAnswer};
use crate::config::GatewayUrl;
use crate::metrics::Metrics;
use crate::pace::Pace;
use crate::trouble::{End, Refusal, Trouble, TroubleKind};

/// Bytes of a page or of a batch of updates.
const CARRIED_MOST: usize = PageLimits::DEFAULT.bytes;
/// Bytes of an answer that the courier reads itself: 4,096 lanes or ledgers of 256 bytes.
const ANSWER_MOST: usize = 1 << 20;
/// Bytes of a refusal that are read.
const PROBLEM_MOST: usize = 16 << 10;

const JSON: &str = "application/json";
/// The coding in which updates are carried.
const GZIP: &str = "gzip";

/// Updates as they came.
#[derive(Debug, Clone)]
pub(crate) struct Updates {
    body: Bytes,
    zipped: bool,
}

/// An answer's body with its coding.
struct Body {
    body: Bytes,
    coding: Option<String>,
}

/// One end of a pair.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    http: Client,
    base: String,
    end: End,
    pace: Pace,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
}

/// One HTTP client for all gateways: no proxies, no redirects, no authorities but those of `tls`.
pub(crate) fn http_client(tls: rustls::ClientConfig, pace: &Pace) -> Result<Client, reqwest::Error> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(pace.connect)
        .tcp_keepalive(Duration::from_secs(30))
        .tcp_nodelay(true)
        .build()
}

impl Gateway {
    pub(crate) fn new(
        http: Client,
        url: &GatewayUrl,
        end: End,
        pace: Pace,
        metrics: Arc<Metrics>,
        stop: CancellationToken,
    ) -> Self {
        Self { http, base: url.to_string(), end, pace, metrics, stop }
    }

    /// Lanes that the origin shows this courier.
    pub(crate) async fn lanes(&self) -> Result<Vec<LaneId>, Trouble> {
        let answer: Lanes = self.read_json("lanes", "/v1/lanes").await?;
        Ok(answer.lanes.into_iter().map(|shown| shown.lane).collect())
    }

    /// The page of `lane` from leaf `from` on; `None` when nothing followed within the long poll.
    pub(crate) async fn page(&self, lane: &LaneId, from: u64, limit: u64, seen: u64) -> Result<Option<Bytes>, Trouble> {
        self.page_within(self.pace.long_poll, lane, from, limit, seen).await
    }

    /// The page of leaves that are there already; `None` when they are not.
    pub(crate) async fn page_again(
        &self,
        lane: &LaneId,
        from: u64,
        limit: u64,
        seen: u64,
    ) -> Result<Option<Bytes>, Trouble> {
        self.page_within(Duration::ZERO, lane, from, limit, seen).await
    }

    async fn page_within(
        &self,
        wait: Duration,
        lane: &LaneId,
        from: u64,
        limit: u64,
        seen: u64,
    ) -> Result<Option<Bytes>, Trouble> {
        let (slug, epoch, wait) = (lane.slug(), lane.epoch(), wait.as_secs());
        let path = format!("/v1/lanes/{slug}/{epoch}/pages?from={from}&limit={limit}&seen={seen}&wait={wait}");
        self.read_carried("page", &path).await
    }

    /// The latest checkpoint of `lane`, a signed note; `None` when there is none.
    pub(crate) async fn checkpoint(&self, lane: &LaneId) -> Result<Option<Bytes>, Trouble> {
        let path = format!("/v1/lanes/{}/{}/checkpoint", lane.slug(), lane.epoch());
        self.read("checkpoint", &path, NOTE_BYTES).await
    }

    /// The updates of `ledger` from height `from` on, compressed where `zipped` and the gateway does so; `None` when
    /// nothing followed within the long poll.
    pub(crate) async fn updates(
        &self,
        ledger: &LedgerId,
        from: u64,
        limit: u64,
        zipped: bool,
    ) -> Result<Option<Updates>, Trouble> {
        let wait = self.pace.long_poll.as_secs();
        let path = format!("/v1/ledgers/{ledger}/updates?from={from}&limit={limit}&wait={wait}");
        let asked = self.asked(&path);
        let asked = if zipped { asked.header(ACCEPT_ENCODING, GZIP) } else { asked };
        let answer = self.until_stopped("updates", asked, CARRIED_MOST).await?;
        self.metrics.read(answer.as_ref().map_or(0, |answer| answer.body.len()));
        let Some(Body { body, coding }) = answer else { return Ok(None) };
        match coding.as_deref() {
            None => Ok(Some(Updates { body, zipped: false })),
            Some(GZIP) if zipped => Ok(Some(Updates { body, zipped: true })),
            Some(other) => {
                let words = format!("updates in the coding {other}, which was not asked for");
                Err(self.trouble(TroubleKind::Malformed(words)))
            }
        }
    }

    /// What the destination has of `lane`.
    pub(crate) async fn inbox_state(&self, lane: &LaneId) -> Result<InboxState, Trouble> {
        self.read_json("state", &format!("/v1/inbox/{lane}/state")).await
    }

    /// What the destination wants of which ledgers.
    pub(crate) async fn inbox_ledgers(&self) -> Result<Vec<InboxLedger>, Trouble> {
        let answer: InboxLedgers = self.read_json("ledgers", "/v1/inbox/ledgers").await?;
        Ok(answer.ledgers)
    }

    /// Delivers a page as it came.
    pub(crate) async fn deliver_page(&self, lane: &LaneId, page: Bytes) -> Result<PageAnswer, Trouble> {
        self.deliver("deliver-page", &format!("/v1/inbox/{lane}/pages"), page).await
    }

    /// Delivers a checkpoint as it came; returns what the destination has then.
    pub(crate) async fn deliver_checkpoint(&self, lane: &LaneId, note: Bytes) -> Result<InboxState, Trouble> {
        let path = format!("/v1/inbox/{lane}/checkpoint");
        self.post("deliver-checkpoint", &path, "text/plain; charset=utf-8", note).await
    }

    /// Delivers updates as they came, unpacked by nobody on the way; returns the height wanted next.
    pub(crate) async fn deliver_updates(&self, ledger: &LedgerId, updates: Updates) -> Result<u64, Trouble> {
        let path = format!("/v1/inbox/ledgers/{ledger}/updates");
        let bytes = updates.body.len();
        let post = self.posted(&path, JSON);
        let post = if updates.zipped { post.header(CONTENT_ENCODING, GZIP) } else { post };
        let answer: UpdatesAnswer = self.answered("deliver-updates", post.body(updates.body)).await?;
        self.metrics.written(bytes);
        Ok(answer.wants)
    }

    /// A trouble at this end.
    pub(crate) const fn trouble(&self, kind: TroubleKind) -> Trouble {
        Trouble { end: self.end, kind }
    }

    async fn read_json<T: DeserializeOwned>(&self, request: &'static str, path: &str) -> Result<T, Trouble> {
        let body = self.read(request, path, ANSWER_MOST).await?;
        self.parse(body.as_deref().unwrap_or_default())
    }

    async fn read_carried(&self, request: &'static str, path: &str) -> Result<Option<Bytes>, Trouble> {
        let body = self.read(request, path, CARRIED_MOST).await?;
        self.metrics.read(body.as_ref().map_or(0, Bytes::len));
        Ok(body)
    }

    async fn read(&self, request: &'static str, path: &str, most: usize) -> Result<Option<Bytes>, Trouble> {
        Ok(self.until_stopped(request, self.asked(path), most).await?.map(|answer| answer.body))
    }

    fn asked(&self, path: &str) -> RequestBuilder {
        self.http.get(format!("{}{path}", self.base)).timeout(self.pace.long_poll + self.pace.request)
    }

    /// Asks. Ends at once when the process does: a question half asked harms nobody.
    async fn until_stopped(
        &self,
        request: &'static str,
        asked: RequestBuilder,
        most: usize,
    ) -> Result<Option<Body>, Trouble> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(self.trouble(TroubleKind::Stopped)),
            answer = self.send(request, asked, most) => answer,
        }
    }

    async fn deliver<T: DeserializeOwned>(&self, request: &'static str, path: &str, body: Bytes) -> Result<T, Trouble> {
        let bytes = body.len();
        let answer = self.post(request, path, JSON, body).await?;
        self.metrics.written(bytes);
        Ok(answer)
    }

    async fn post<T: DeserializeOwned>(
        &self,
        request: &'static str,
        path: &str,
        content_type: &'static str,
        body: Bytes,
    ) -> Result<T, Trouble> {
        self.answered(request, self.posted(path, content_type).body(body)).await
    }

    fn posted(&self, path: &str, content_type: &'static str) -> RequestBuilder {
        let post = self.http.post(format!("{}{path}", self.base)).header(CONTENT_TYPE, content_type);
        post.timeout(self.pace.request)
    }

    /// Delivers. Is let finish at shutdown, within the grace that the relayer gives.
    async fn answered<T: DeserializeOwned>(&self, request: &'static str, post: RequestBuilder) -> Result<T, Trouble> {
        let answer = self.send(request, post, ANSWER_MOST).await?;
        self.parse(answer.as_ref().map_or(&[], |answer| &answer.body))
    }

    async fn send(&self, request: &'static str, built: RequestBuilder, most: usize) -> Result<Option<Body>, Trouble> {
        let began = Instant::now();
        let answer = self.answer(built, most).await;
        self.metrics.request(self.end, request, began.elapsed());
        answer.map_err(|kind| self.trouble(kind))
    }

    async fn answer(&self, built: RequestBuilder, most: usize) -> Result<Option<Body>, TroubleKind> {
        let response = built.send().await.map_err(|fault| TroubleKind::of_transport(&fault))?;
        match response.status() {
            StatusCode::OK => {
                let coding = response.headers().get(CONTENT_ENCODING);
                let coding = coding.map(|coding| String::from_utf8_lossy(coding.as_bytes()).to_ascii_lowercase());
                Ok(Some(Body { body: body_within(response, most).await?, coding }))
            }
            StatusCode::NO_CONTENT => Ok(None),
            status => Err(refusal(status, response).await),
        }
    }

    fn parse<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, Trouble> {
        serde_json::from_slice(body).map_err(|fault| self.trouble(TroubleKind::Malformed(fault.to_string())))
    }
}

/// Reads a body of at most `most` bytes, whatever its headers promise.
async fn body_within(mut response: Response, most: usize) -> Result<Bytes, TroubleKind> {
    let promised = response.content_length().unwrap_or(0);
    if usize::try_from(promised).unwrap_or(usize::MAX) > most {
        return Err(TroubleKind::TooLarge { most });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|fault| TroubleKind::of_transport(&fault))? {
        if body.len() + chunk.len() > most {
            return Err(TroubleKind::TooLarge { most });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

async fn refusal(status: StatusCode, response: Response) -> TroubleKind {
    let header = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // The status decides; a body that does not come only leaves the code empty.
    let body = body_within(response, PROBLEM_MOST).await.unwrap_or_default();
    TroubleKind::Refused(Refusal::new(status.as_u16(), header.as_deref(), &body))
}
