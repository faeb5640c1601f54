//! A running shell with a fake gateway behind it, and clients of every kind.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use hufu_gateway_server::backend::*;
use hufu_gateway_server::config::{GatewayConfig, Limits, TlsMaterials};
use hufu_gateway_server::http::{Problem, ProblemCode, Server};
use hufu_gateway_server::identity::Identity;
use hufu_gateway_server::telemetry::Metrics;
use hufu_schemas_core::limits::PageLimits;
use hufu_schemas_core::page::Page;
use hufu_schemas_core::{Digest, Height, LaneId, LedgerId, RecordId};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub(crate) const LEDGER: &str = "sim:00000000000000000000000000000000";
pub(crate) const OTHER_LEDGER: &str = "sim:11111111111111111111111111111111";
pub(crate) const READER: &str = "a-reader's-token";
pub(crate) const OPERATOR: &str = "an-operator's-token";

/// How long anything may take before a test says what it waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Waits until `is_so`, or says what it waited for.
pub(crate) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < DEADLINE, "waited {DEADLINE:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// `future`, or what it was.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} for: {what}"),
    }
}

// Certificates.

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) pem: String,
}

pub(crate) struct Leaf {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) pem: String,
    pub(crate) key_pem: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), certificate: der, pem }
    }

    pub(crate) fn leaf(&self, uris: &[&str], until_year: i32) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap())));
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until_year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Leaf {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        }
    }
}

/// A client of `authority`'s servers, with a certificate or without one.
pub(crate) fn client_config(authority: &Authority, leaf: Option<&Leaf>, alpn: &[&[u8]]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone()).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match leaf {
        Some(leaf) => builder.with_client_auth_cert(leaf.chain.clone(), leaf.key.clone_key()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|it| it.to_vec()).collect();
    config
}

pub(crate) fn client(authority: &Authority, leaf: Option<&Leaf>) -> reqwest::Client {
    let config = client_config(authority, leaf, &[b"h2", b"http/1.1"]);
    builder().use_preconfigured_tls(config).build().unwrap()
}

/// A client of the monitoring listener.
pub(crate) fn plain_client() -> reqwest::Client {
    builder().build().unwrap()
}

fn builder() -> reqwest::ClientBuilder {
    // reqwest looks for the process' provider even where it needs none; the second to install it changes nothing.
    let _ = aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

// The fake gateway.

/// Answers what a gateway would, from a list of events and a few switches.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) more: Notify,
    /// Requests that are inside `status` now.
    pub(crate) inside: AtomicUsize,
    /// Lets one request leave `status`.
    pub(crate) go_on: Notify,
    pub(crate) calls: Mutex<Vec<String>>,
    /// Instead of a finite list: events without end, of this many bytes.
    pub(crate) flood: Mutex<Option<usize>>,
}

impl Fake {
    pub(crate) fn push(&self, offset: u64, record_type: &str) {
        let cloud_event = json!({ "specversion": "1.0", "id": format!("urn:grec:{offset}"), "type": record_type });
        self.events.lock().unwrap().push(Event { offset, cloud_event });
        self.more.notify_waiters();
    }

    fn called(&self, what: String) {
        self.calls.lock().unwrap().push(what);
    }

    pub(crate) fn seen(&self, what: &str) -> bool {
        self.calls.lock().unwrap().iter().any(|call| call == what)
    }
}

/// The answer to who asks for updates from height 6 on.
pub(crate) fn many_zeros() -> String {
    json!({ "from": 6, "steps": "A".repeat(10_000) }).to_string()
}

pub(crate) fn lane(text: &str) -> LaneId {
    LaneId::parse(text).unwrap()
}

fn info(text: &str, role: LaneRole) -> LaneInfo {
    let (size, checkpoint) = (7, 7);
    let definitions = Vec::new();
    LaneInfo {
        lane: lane(text),
        role,
        ledger: None,
        definitions,
        size,
        checkpoint,
        checkpoint_time: None,
        derived: None,
        frozen: None,
    }
}

#[async_trait]
impl Backend for Fake {
    async fn lanes(&self) -> Answer<Vec<LaneInfo>> {
        Ok(vec![
            info("land.example/rights/1", LaneRole::Published),
            info("land.example/private/1", LaneRole::Published),
            info("tax.example/clearance/1", LaneRole::Inbox),
        ])
    }

    async fn checkpoint(&self, lane: &LaneId) -> Answer<String> {
        Ok(format!("{lane}\n7\n"))
    }

    async fn page(&self, _: &LaneId, query: PageQuery) -> Answer<Option<Bytes>> {
        if query.from < 7 {
            return Ok(Some(Bytes::from(json!({ "from": query.from, "limit": query.limit }).to_string())));
        }
        self.called(format!("wait for leaf {}", query.from));
        tokio::time::sleep(query.wait).await;
        Ok(None)
    }

    async fn updates(&self, ledger: &LedgerId, query: UpdatesQuery) -> Answer<Option<Bytes>> {
        if ledger.as_str() != LEDGER {
            return Err(Problem::new(ProblemCode::NoSuchLedger, "not read here"));
        }
        if query.from == Height::new(6) {
            return Ok(Some(Bytes::from(many_zeros())));
        }
        if query.from < Height::new(7) {
            return Ok(Some(Bytes::from(json!({ "from": query.from, "limit": query.limit }).to_string())));
        }
        tokio::time::sleep(query.wait).await;
        Ok(None)
    }

    async fn inbox_state(&self, lane: &LaneId) -> Answer<InboxState> {
        let height = Some(Height::new(12));
        let waiting = Some(Waiting { reason: "head-behind", ledger: Some(LedgerId::parse(LEDGER).unwrap()), height });
        Ok(InboxState { lane: lane.clone(), size: 3, seen: 5, frozen: false, waiting, evidence: Some(2) })
    }

    async fn post_page(&self, peer: &Identity, lane: &LaneId, bytes: Bytes) -> Answer<PageReceipt> {
        self.called(format!("page of {lane} by {peer}, {} bytes", bytes.len()));
        Page::parse(&bytes, &PageLimits::DEFAULT).map_err(|fault| {
            Problem::new(ProblemCode::Refused(fault.reason()), fault.to_string()).of_lane(lane).at_leaf(3)
        })?;
        Ok(PageReceipt { size: 4, admitted: 1, held: 0, sealed: 0, known: 0, waiting: None, faults: Vec::new() })
    }

    async fn post_checkpoint(&self, peer: &Identity, lane: &LaneId, note: Bytes) -> Answer<InboxState> {
        self.called(format!("checkpoint of {lane} by {peer}, {} bytes", note.len()));
        self.inbox_state(lane).await
    }

    async fn inbox_ledgers(&self) -> Answer<Vec<LedgerWant>> {
        let want = |id: &str| LedgerWant {
            ledger: LedgerId::parse(id).unwrap(),
            wants: Height::new(9),
            frozen: false,
            expired: false,
        };
        Ok(vec![want(LEDGER), want(OTHER_LEDGER)])
    }

    async fn post_updates(&self, _: &Identity, ledger: &LedgerId, bytes: Bytes) -> Answer<LedgerWant> {
        self.called(format!("updates of {ledger}: {}", String::from_utf8_lossy(&bytes)));
        Ok(LedgerWant { ledger: ledger.clone(), wants: Height::new(10), frozen: false, expired: false })
    }

    async fn records(&self, query: RecordQuery) -> Answer<RecordPage> {
        self.called(format!("{query:?}"));
        Ok(RecordPage { records: vec![json!({ "recordId": "x" })], next: Some("2".to_owned()) })
    }

    async fn record(&self, id: &RecordId) -> Answer<Value> {
        Err(Problem::new(ProblemCode::NoSuchRecord, id.to_string()))
    }

    async fn evidence(&self, _: &RecordId) -> Answer<Bytes> {
        Ok(Bytes::from_static(b"{}"))
    }

    async fn next_events(
        &self,
        filter: &EventFilter,
        after: Option<u64>,
        limit: usize,
        wait: Duration,
    ) -> Answer<EventBatch> {
        if let Some(bytes) = *self.flood.lock().unwrap() {
            let offset = after.map_or(0, |after| after + 1);
            let cloud_event = json!({ "padding": "x".repeat(bytes) });
            return Ok(EventBatch { events: vec![Event { offset, cloud_event }], scanned: Some(offset) });
        }
        let deadline = Instant::now() + wait;
        loop {
            let more = self.more.notified();
            let fresh: Vec<Event> = {
                let events = self.events.lock().unwrap();
                events
                    .iter()
                    .filter(|event| after.is_none_or(|after| event.offset > after))
                    .take(limit)
                    .cloned()
                    .collect()
            };
            if let Some(last) = fresh.last() {
                let scanned = Some(last.offset);
                let wanted =
                    |event: &Event| filter.record_type.as_deref().is_none_or(|it| event.cloud_event["type"] == it);
                return Ok(EventBatch { events: fresh.into_iter().filter(wanted).collect(), scanned });
            }
            if tokio::time::timeout_at(deadline.into(), more).await.is_err() {
                return Ok(EventBatch { events: Vec::new(), scanned: None });
            }
        }
    }

    /// Stays inside until it is let go: what tests of slots and of the drain need.
    async fn status(&self) -> Answer<Value> {
        self.inside.fetch_add(1, Ordering::SeqCst);
        self.go_on.notified().await;
        Ok(json!({ "status": "let go" }))
    }

    async fn ledgers(&self) -> Answer<Value> {
        panic!("a fault of the gateway");
    }

    async fn peers(&self) -> Answer<Value> {
        Ok(json!({ "peers": [] }))
    }

    async fn held(&self, _: Option<&LaneId>, _: Option<&str>, _: usize) -> Answer<HeldPage> {
        Ok(HeldPage { held: Vec::new(), next: None })
    }

    async fn retry_held(&self, lane: Option<&LaneId>, who: &str) -> Answer<RetryReport> {
        self.called(format!("retry {lane:?} by {who}"));
        Ok(RetryReport { tried: 2, admitted: 1, held: 1 })
    }

    async fn freeze_lane(&self, lane: &LaneId, reason: &str, who: &str) -> Answer<()> {
        self.called(format!("freeze {lane}: {reason}, by {who}"));
        Ok(())
    }

    async fn thaw_lane(&self, lane: &LaneId, reason: &str, who: &str) -> Answer<()> {
        self.called(format!("thaw {lane}: {reason}, by {who}"));
        Ok(())
    }

    async fn thaw_ledger(&self, ledger: &LedgerId, reason: &str, who: &str) -> Answer<()> {
        self.called(format!("thaw {ledger}: {reason}, by {who}"));
        Ok(())
    }

    async fn observe(&self) {
        self.called("observe".to_owned());
    }

    async fn ready(&self) -> Result<(), String> {
        match self.flood.lock().unwrap().is_some() {
            true => Err("the database does not write".to_owned()),
            false => Ok(()),
        }
    }
}

// The shell.

pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) relayer: Leaf,
    pub(crate) fake: Arc<Fake>,
    pub(crate) metrics: Metrics,
    pub(crate) server: Server,
}

pub(crate) const RELAYER: &str = "urn:hufu:relayer:city-1";

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    /// A gateway `land.example` with lanes `rights` and `private`; the relayer may read the first, deliver
    /// `tax.example/clearance/1` and one ledger.
    pub(crate) async fn with(limits: Limits) -> Self {
        let authority = Authority::new("Land registry");
        let relayer = authority.leaf(&[RELAYER], 2040);
        let own = authority.leaf(&["urn:hufu:gateway:land.example"], 2040);
        let tls = TlsMaterials {
            certificates: own.chain.clone(),
            key: own.key.clone_key(),
            authorities: vec![authority.certificate.clone()],
        };
        let mut config = GatewayConfig::parse("gateway.toml", &config_text()).unwrap();
        config.limits = limits;
        let (fake, metrics) = (Arc::new(Fake::default()), Metrics::new().unwrap());
        let server = Server::start(&config, &tls, fake.clone(), metrics.clone()).await.unwrap();
        Self { authority, relayer, fake, metrics, server }
    }

    pub(crate) fn peers(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.server.addresses().peers.port())
    }

    pub(crate) fn applications_address(&self) -> SocketAddr {
        self.server.addresses().applications.unwrap()
    }

    pub(crate) fn applications(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.applications_address().port())
    }

    pub(crate) fn monitoring(&self, path: &str) -> String {
        format!("http://{}{path}", self.server.addresses().monitoring.unwrap())
    }

    pub(crate) fn as_relayer(&self) -> reqwest::Client {
        client(&self.authority, Some(&self.relayer))
    }

    pub(crate) fn as_peer(&self, uris: &[&str]) -> reqwest::Client {
        client(&self.authority, Some(&self.authority.leaf(uris, 2040)))
    }

    pub(crate) fn as_application(&self) -> reqwest::Client {
        client(&self.authority, None)
    }

    pub(crate) fn rejections(&self, place: &str, reason: &str) -> u64 {
        self.metrics.rejections.with_label_values(&[place, reason]).get()
    }
}

pub(crate) fn config_text() -> String {
    let (reader, operator) = (Digest::of(READER.as_bytes()), Digest::of(OPERATOR.as_bytes()));
    let lane = |name: &str| {
        format!(
            "[[lane]]\nname = \"{name}\"\nepoch = 1\nledger = \"{LEDGER}\"\nmapping = \"{name}.yaml\"\n\
             tag_key = \"{name}.tag\"\nfrom_height = 1\n"
        )
    };
    format!(
        r#"[gateway]
name = "land.example"
database = "land.db"
policy = "policy.toml"
log_key = "log.key"
schemas = "schemas"

[listen]
peers = "127.0.0.1:0"
applications = "127.0.0.1:0"
monitoring = "127.0.0.1:0"

[tls]
certificate = "gateway.pem"
key = "gateway.key"
client_authorities = "authorities.pem"

[[ledger]]
id = "{LEDGER}"
source = {{ family = "sim" }}

{rights}
{private}
[[peer]]
identity = "{RELAYER}"
read_lanes = ["rights/1"]
write_lanes = ["tax.example/clearance/1"]
write_ledgers = ["{LEDGER}"]

[[peer]]
identity = "urn:hufu:gateway:idle.example"

[[application]]
name = "portal"
token_sha256 = "{reader}"
scopes = ["read"]

[[application]]
name = "desk"
token_sha256 = "{operator}"
scopes = ["operate"]
"#,
        rights = lane("rights"),
        private = lane("private"),
    )
}

/// Status, code and whole body of a problem; everything that every problem has is checked.
pub(crate) async fn problem(response: reqwest::Response) -> (u16, String, Value) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json", "status {status}");
    let body: Value = response.json().await.unwrap();
    let code = body["code"].as_str().unwrap().to_owned();
    assert_eq!(body["type"], format!("urn:hufu:problem:{code}"));
    assert_eq!(body["status"], status);
    assert!(body["title"].as_str().is_some_and(|title| !title.is_empty()), "{body}");
    assert!(body["detail"].is_string(), "{body}");
    (status, code, body)
}
