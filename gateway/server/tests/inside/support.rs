//! An office with its gateway, what its files say, and how tests wait. Ledger and stage are handed on from here.

use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hufu_gateway_server::backend::{Backend, InboxState, LaneInfo, LedgerWant, PageReceipt, RecordQuery};
use hufu_gateway_server::clock::ManualClock;
use hufu_gateway_server::config::GatewayConfig;
use hufu_gateway_server::gateway::{Assembled, Gateway};
use hufu_gateway_server::http::Problem;
use hufu_gateway_server::identity::Identity;
use hufu_gateway_server::telemetry::Metrics;
use hufu_gateway_store::Store;
use hufu_schemas_core::page::Page;
use hufu_schemas_core::signature::NoteSigner;
use hufu_schemas_core::{Digest, LaneId, LedgerId, Timestamp};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use crate::ledger::{GENESIS, HOLDER, ISSUER, Ledger, certificate};
pub(crate) use crate::stage::Stage;

/// How long anything may take before a test says what it waited for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// What the offices' clocks say at first: later than every block.
const MORNING: u64 = GENESIS + 10_000;
/// Seconds after which the receiving office's answers say `stale`.
pub(crate) const STALENESS: u64 = 600;

const MAPPING: &str = include_str!("../../../../schemas/mappings/certificate.yaml");
const PLACEHOLDER: &str = "0x0000000000000000000000000000000000000c01";

/// Asks until there is an answer, or says what it waited for.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} for: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// `future`, or what it was.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} for: {what}"),
    }
}

pub(crate) fn courier() -> Identity {
    Identity::parse("urn:hufu:relayer:city-1").unwrap()
}

/// What an office's source asks: name and URL of each node.
pub(crate) type Nodes = Vec<(&'static str, String)>;

/// An office: its folder, its clock, and its gateway while that runs.
pub(crate) struct Office {
    dir: TempDir,
    pub(crate) name: &'static str,
    pub(crate) clock: Arc<ManualClock>,
    running: Option<Running>,
}

/// A gateway with a runtime of its own, so that ending the runtime cuts every task at whatever it waits for.
struct Running {
    assembled: Assembled,
    metrics: Arc<Metrics>,
    runtime: Option<Runtime>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // A runtime must not be dropped within another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Office {
    /// An office that publishes the lane `certificates/1` of `ledger`, read from its first node.
    pub(crate) async fn publishing(name: &'static str, ledger: &Ledger) -> Self {
        Self::publishing_from(name, ledger, vec![("own", ledger.devnet.url())]).await
    }

    pub(crate) async fn publishing_from(name: &'static str, ledger: &Ledger, nodes: Nodes) -> Self {
        Self::publishing_by(name, ledger, nodes, &mapping_of(ledger, "")).await
    }

    /// An office that publishes the lane by this mapping.
    pub(crate) async fn publishing_by(name: &'static str, ledger: &Ledger, nodes: Nodes, mapping: &str) -> Self {
        let nodes: Vec<String> =
            nodes.iter().map(|(name, url)| format!("{{ name = \"{name}\", url = \"{url}\" }}")).collect();
        let sections = format!(
            "[[ledger]]\nid = \"{id}\"\nsource = {{ family = \"evm\", poll_milliseconds = 20, nodes = [{}] }}\n\n\
             [[lane]]\nname = \"certificates\"\nepoch = 1\nledger = \"{id}\"\nmapping = \"lane.yaml\"\ntag_key = \"lane.tag\"\nfrom_height = 1\n",
            nodes.join(", "),
            id = ledger.id,
        );
        let office = Self::furnish(name, &sections).await;
        office.write("policy.toml", &format!("policy = 1\n\n{}", ledger.anchor()));
        office.write("lane.yaml", mapping);
        office.write_secret("lane.tag", &hex::encode(Digest::of(format!("tag of {name}").as_bytes()).as_bytes()));
        office.opened().await
    }

    /// An office that takes in `lane`, believing what stands under `definitions`.
    pub(crate) async fn receiving(name: &'static str, ledger: &Ledger, lane: &LaneId, definitions: &[Digest]) -> Self {
        Self::under_policy(name, &receiving_policy(ledger, lane, definitions)).await
    }

    /// An office that publishes nothing.
    pub(crate) async fn under_policy(name: &'static str, policy: &str) -> Self {
        let office = Self::furnish(name, "").await;
        office.write("policy.toml", policy);
        office.opened().await
    }

    /// Writes another policy and waits until it is in force.
    pub(crate) async fn adopt(&self, policy: &str) {
        self.write("policy.toml", policy);
        let digest = Digest::of(policy.as_bytes()).to_hex();
        until(&format!("{} to adopt another policy", self.name), || async {
            let status = self.gateway().status().await.unwrap();
            status["policy"].to_string().contains(&digest).then_some(())
        })
        .await;
    }

    async fn furnish(name: &'static str, sections: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(MORNING).unwrap()));
        let office = Self { dir, name, clock, running: None };
        office.write(
            "gateway.toml",
            &format!(
                "[gateway]\nname = \"{name}\"\ndatabase = \"records.db\"\npolicy = \"policy.toml\"\nlog_key = \"log.key\"\nheartbeat_seconds = 1\n\n\
                 [listen]\npeers = \"127.0.0.1:7401\"\n\n\
                 [tls]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\nclient_authorities = \"gateway.pem\"\n\n\
                 {sections}\n[[peer]]\nidentity = \"urn:hufu:relayer:city-1\"\nread_lanes = [\"*\"]\nwrite_lanes = [\"*\"]\nwrite_ledgers = [\"*\"]\n"
            ),
        );
        office.write_secret("log.key", &hex::encode(log_seed(name)));
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        office.write("gateway.pem", &made.cert.pem());
        office.write_secret("gateway.key", &made.signing_key.serialize_pem());
        Store::create(office.file("records.db")).await.unwrap().close().await;
        office
    }

    async fn opened(mut self) -> Self {
        self.open().await;
        self
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        // In one step, as editors do it: the gateway may be reading.
        let draft = self.file(&format!(".{name}"));
        fs::write(&draft, text).unwrap();
        fs::rename(draft, self.file(name)).unwrap();
    }

    fn write_secret(&self, name: &str, text: &str) {
        self.write(name, text);
        fs::set_permissions(self.file(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    pub(crate) fn policy_text(&self) -> String {
        fs::read_to_string(self.file("policy.toml")).unwrap()
    }

    /// Starts the gateway on what stands in the folder.
    pub(crate) async fn open(&mut self) {
        assert!(self.running.is_none(), "{} is open", self.name);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (path, clock) = (self.file("gateway.toml"), Arc::clone(&self.clock));
        let metrics = Arc::new(Metrics::new().unwrap());
        let counted = Arc::clone(&metrics);
        let start = runtime.spawn(async move {
            let config = GatewayConfig::load(&path).unwrap();
            let materials = config.materials().unwrap();
            let assembled = Gateway::assemble(&config, materials, clock, counted).await.unwrap();
            assembled.start(&TaskTracker::new(), &CancellationToken::new());
            assembled
        });
        let assembled = within("the gateway's start", start).await.unwrap();
        self.running = Some(Running { assembled, metrics, runtime: Some(runtime) });
    }

    /// Ends every task of the gateway where it stands and lets nothing be finished, as a power cut would; then starts it
    /// on the same files.
    pub(crate) async fn cut_and_open(&mut self) {
        let mut running = self.running.take().unwrap();
        let runtime = running.runtime.take().unwrap();
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(DEADLINE)).await.unwrap();
        drop(running);
        self.open().await;
    }

    /// Runs `work` on the gateway's own runtime, where a cut reaches it.
    pub(crate) fn spawn_inside<F: Future<Output: Send> + Send + 'static>(
        &self,
        work: impl FnOnce(Arc<Gateway>) -> F,
    ) -> tokio::task::JoinHandle<F::Output> {
        let running = self.running.as_ref().unwrap();
        running.runtime.as_ref().unwrap().spawn(work(Arc::clone(&running.assembled.gateway)))
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        &self.running.as_ref().unwrap().assembled.gateway
    }

    pub(crate) fn definitions(&self) -> Vec<Digest> {
        self.running.as_ref().unwrap().assembled.definitions().into_iter().map(|(_, digest)| digest).collect()
    }

    pub(crate) fn metrics(&self) -> String {
        self.running.as_ref().unwrap().metrics.text().unwrap()
    }

    /// The lane that this office publishes.
    pub(crate) fn lane(&self) -> LaneId {
        LaneId::parse(&format!("{}/certificates/1", self.name)).unwrap()
    }

    /// The key that signs its lanes: what the office itself could sign, but would not.
    pub(crate) fn signer(&self) -> NoteSigner {
        NoteSigner::from_seed(self.name, &log_seed(self.name)).unwrap()
    }

    /// Records of a lane as an application sees them, by offset.
    pub(crate) async fn records(&self, lane: &LaneId) -> Vec<Value> {
        let query = RecordQuery {
            record_type: None,
            ledger: None,
            lane: Some(lane.clone()),
            since: None,
            assurance: None,
            cursor: None,
            limit: 256,
        };
        self.gateway().records(query).await.unwrap().records
    }

    pub(crate) async fn lane_info(&self, lane: &LaneId) -> Option<LaneInfo> {
        self.gateway().lanes().await.unwrap().into_iter().find(|info| info.lane == *lane)
    }

    /// Waits until this office has published so many records, signed.
    pub(crate) async fn has_published(&self, count: usize) -> Vec<Value> {
        let lane = self.lane();
        until(&format!("{count} records published by {}", self.name), || async {
            // The records first: a signature seen afterwards covers them, one seen before may not.
            let records = self.records(&lane).await;
            let info = self.lane_info(&lane).await?;
            (records.len() == count && info.checkpoint == info.size).then_some(records)
        })
        .await
    }

    pub(crate) async fn inbox(&self, lane: &LaneId) -> InboxState {
        self.gateway().inbox_state(lane).await.unwrap()
    }

    pub(crate) async fn want(&self, ledger: &LedgerId) -> LedgerWant {
        let wants = self.gateway().inbox_ledgers().await.unwrap();
        wants.into_iter().find(|want| want.ledger == *ledger).unwrap()
    }

    pub(crate) async fn post_page(&self, lane: &LaneId, page: &Page) -> Result<PageReceipt, Problem> {
        self.gateway().post_page(&courier(), lane, Bytes::from(page.to_bytes())).await
    }

    pub(crate) async fn post_updates(&self, ledger: &LedgerId, update: &Value) -> Result<LedgerWant, Problem> {
        self.gateway().post_updates(&courier(), ledger, Bytes::from(update.to_string())).await
    }

    /// Reasons of the leaves held of a lane.
    pub(crate) async fn held(&self, lane: &LaneId) -> Vec<String> {
        let page = self.gateway().held(Some(lane), None, 256).await.unwrap();
        page.held.iter().map(|leaf| leaf["reason"].as_str().unwrap().to_owned()).collect()
    }
}

/// The mapping of certificates for the ledger's register, with `more` members of its source.
pub(crate) fn mapping_of(ledger: &Ledger, more: &str) -> String {
    let contract = format!("\"0x{}\"{more}", hex::encode(ledger.contract));
    MAPPING.replacen(&format!("\"{PLACEHOLDER}\""), &contract, 1)
}

fn log_seed(name: &str) -> [u8; 32] {
    *Digest::of(format!("log key of {name}").as_bytes()).as_bytes()
}

pub(crate) fn receiving_policy(ledger: &Ledger, lane: &LaneId, definitions: &[Digest]) -> String {
    policy_of(ledger, &[(lane, definitions)])
}

/// A policy that takes in these lanes of one ledger, each with the definitions accepted.
pub(crate) fn policy_of(ledger: &Ledger, lanes: &[(&LaneId, &[Digest])]) -> String {
    let sections = lanes.iter().map(|(lane, definitions)| {
        let gateway = lane.gateway().as_str();
        let key = NoteSigner::from_seed(gateway, &log_seed(gateway)).unwrap().verifier();
        let definitions: Vec<String> = definitions.iter().map(|digest| format!("\"{}\"", digest.to_hex())).collect();
        format!(
            "[[peer]]\ngateway = \"{gateway}\"\norganisation = \"notary\"\nlog_keys = [\"{key}\"]\n\n\
             [[lane]]\nid = \"{lane}\"\ndefinitions = [{}]\ntypes = [\"e-certificate\"]\nissuers = [\"{ISSUER}\"]\nstaleness_seconds = {STALENESS}\n\n",
            definitions.join(", "),
        )
    });
    format!("policy = 1\n\n{}{}", ledger.anchor(), sections.collect::<String>())
}

pub(crate) fn ids(records: &[Value]) -> Vec<String> {
    records.iter().map(|record| record["recordId"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}
