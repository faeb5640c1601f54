//! Two departments and a courier between them, set up by an operator's own commands in a temporary folder.
//!
//! `registry.example` reads the ledger and publishes two lanes; `police.example` reads no ledger itself: headers and
//! pages come to it by the relayer alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hufu_schemas_core::LedgerId;
use serde_json::Value;
use tempfile::TempDir;

use crate::geth::{CHAIN_ID, CliqueNetwork};
use crate::ports;
use crate::program::{Program, Subscriber, hufu, text};
use crate::samples::ISSUER;
use crate::wait::until;

const ORIGIN: &str = "registry.example";
const RECEIVER: &str = "police.example";
/// The relayer of the trial certificates that `hufu init` makes.
const RELAYER: &str = "trial";
const PATIENCE: Duration = Duration::from_secs(60);

/// A lane of the origin: its id, the record type, its mapping and the contract that stands in there.
const LANES: [(&str, &str, &str, &str); 2] = [
    ("certificates", "e-certificate", "certificate", "0x0000000000000000000000000000000000000c01"),
    ("property-rights", "property-right", "property-right", "0x0000000000000000000000000000000000000c02"),
];

/// A lane that the origin publishes.
pub(crate) struct Lane {
    pub(crate) name: &'static str,
    pub(crate) record_type: &'static str,
    /// Which of the mappings that `hufu init` lays out.
    pub(crate) mapping: &'static str,
    /// What stands in that mapping, and what the deployment puts there.
    pub(crate) placeholder: (String, String),
}

/// Both gateways and the relayer. Nothing runs until it is started.
#[derive(Debug)]
pub(crate) struct City {
    /// Publishes.
    pub(crate) origin: Program,
    /// Takes in.
    pub(crate) receiver: Program,
    /// Carries.
    pub(crate) relayer: Program,
    origin_office: Office,
    receiver_office: Office,
    authorities: PathBuf,
    lanes: usize,
    folder: TempDir,
}

/// One gateway's folder, ports and keys.
#[derive(Debug)]
struct Office {
    dir: PathBuf,
    peers: u16,
    applications: u16,
    vkey: String,
    /// What the configuration holds of the token in `operator.token`.
    token_digest: String,
}

impl City {
    /// Makes the folders, keys and configurations. The origin reads every node of the network.
    pub(crate) async fn found(network: &CliqueNetwork, contract: &str) -> Self {
        let ledger = Ledger::of(network);
        Self::found_on(&ledger, contract, "least_assurance = \"proven\"\nfinality = [\"probabilistic\"]\n").await
    }

    /// On any EVM ledger; `accepts` is what the receiver's policy says of both lanes beside their names.
    pub(crate) async fn found_on(ledger: &Ledger, contract: &str, accepts: &str) -> Self {
        let lanes = LANES.map(|(name, record_type, mapping, placeholder)| {
            let placeholder = (placeholder.to_owned(), contract.to_owned());
            Lane { name, record_type, mapping, placeholder }
        });
        Self::found_with(ledger, &lanes, accepts).await
    }

    /// On any ledger, with any lanes.
    pub(crate) async fn found_with(ledger: &Ledger, lanes: &[Lane], accepts: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("hufu-city.").tempdir().unwrap();
        let root = folder.path();
        let origin_office = Office::found(root, ORIGIN).await;
        let receiver_office = Office::found(root, RECEIVER).await;

        // Each trial authority is of one gateway: both are believed by all.
        let authorities = root.join("authorities.pem");
        let authority = |office: &Office| fs::read_to_string(office.dir.join("tls/trial-ca.pem")).unwrap();
        fs::write(&authorities, authority(&origin_office) + &authority(&receiver_office)).unwrap();

        origin_office.write_origin(ledger, lanes).await;
        receiver_office.write_receiver(ledger, lanes, &origin_office.vkey, accepts);
        let relayer = write_relayer(root, &origin_office, &receiver_office);
        Self {
            origin: Program::gateway(ORIGIN, origin_office.dir.join("gateway.toml")),
            receiver: Program::gateway(RECEIVER, receiver_office.dir.join("gateway.toml")),
            relayer: Program::relayer(RELAYER, relayer),
            origin_office,
            receiver_office,
            authorities,
            lanes: lanes.len(),
            folder,
        }
    }

    /// Starts the origin, pins what it publishes in the receiver's policy, then starts the receiver and the relayer:
    /// whoever asks finds what it asks for.
    pub(crate) async fn open(&self) {
        self.start(&self.origin).await;
        let lanes = until("the origin to define its lanes", PATIENCE, async || {
            let lanes = self.lanes(&self.origin_office).await;
            let defined = lanes.iter().filter(|lane| lane["definitions"][0].is_string()).count();
            if defined == self.lanes { Ok(lanes) } else { Err(format!("{defined} of {}", self.lanes)) }
        })
        .await;
        let policy = self.receiver_office.dir.join("policy.toml");
        for lane in &lanes {
            let (id, definition) = (lane["lane"].as_str().unwrap(), lane["definitions"][0].as_str().unwrap());
            hufu(&["lane", "accept", id, definition, "--policy", text(&policy)]).await;
        }
        self.start(&self.receiver).await;
        self.start(&self.relayer).await;
    }

    async fn start(&self, program: &Program) {
        let pid = program.start().await;
        println!("departments: {} is process {pid}", program.name());
    }

    /// The receiver's operator changes what both lanes must be; the gateway takes it into force by itself.
    pub(crate) fn accept(&self, before: &str, after: &str) {
        let policy = self.receiver_office.dir.join("policy.toml");
        let text = fs::read_to_string(&policy).unwrap();
        assert!(text.contains(before), "the policy does not say {before}");
        let draft = policy.with_extension("draft");
        fs::write(&draft, text.replace(before, after)).unwrap();
        fs::rename(draft, policy).unwrap();
    }

    /// Reasons of the leaves that the receiver holds.
    pub(crate) async fn held(&self) -> Vec<String> {
        let held = self.ask(&self.receiver_office, &["held", "list"]).await;
        let reason = |leaf: &Value| leaf["reason"].as_str().unwrap().to_owned();
        held["held"].as_array().unwrap().iter().map(reason).collect()
    }

    /// Who signs the next block, as both gateways know it: the origin from its nodes, the receiver from headers alone.
    pub(crate) async fn validators(&self) -> [Vec<String>; 2] {
        let mut known = [Vec::new(), Vec::new()];
        for (known, office) in known.iter_mut().zip([&self.origin_office, &self.receiver_office]) {
            let status = self.ask(office, &["ledger", "status"]).await;
            let validators = status["ledgers"][0]["validators"].as_array().unwrap();
            *known = validators.iter().map(|signer| signer.as_str().unwrap().to_owned()).collect();
        }
        known
    }

    /// What the origin says of its ledger.
    pub(crate) async fn origins_ledger(&self) -> Value {
        self.ask(&self.origin_office, &["ledger", "status"]).await["ledgers"][0].clone()
    }

    /// The origin's database.
    pub(crate) fn origins_database(&self) -> PathBuf {
        self.origin_office.dir.join("hufu.db")
    }

    /// Subscribes at the receiver.
    pub(crate) fn subscribe(&self) -> Subscriber {
        let (url, token) = (self.receiver_office.url(), self.receiver_office.dir.join("operator.token"));
        Subscriber::start(&url, &self.authorities, &token, &self.folder.path().join("subscriber.log"))
    }

    /// Times that the subscriber lost the gateway, by its own words.
    pub(crate) fn reconnects(&self) -> usize {
        let log = fs::read_to_string(self.folder.path().join("subscriber.log")).unwrap();
        log.lines().filter(|line| line.contains("trying again")).count()
    }

    /// Waits until the receiver has every leaf of both lanes, and returns their sizes. Nothing is held then.
    pub(crate) async fn settled(&self) -> Vec<(String, u64)> {
        let sizes = |lanes: &[Value]| -> Vec<(String, u64)> {
            let size = |lane: &Value| (lane["lane"].as_str().unwrap().to_owned(), lane["size"].as_u64().unwrap());
            lanes.iter().map(size).collect()
        };
        let settled = until("the receiver to have every leaf", PATIENCE, async || {
            let mut published = sizes(&self.lanes(&self.origin_office).await);
            let mut taken = sizes(&self.lanes(&self.receiver_office).await);
            published.sort();
            taken.sort();
            if published == taken { Ok(taken) } else { Err(format!("{taken:?} of {published:?}")) }
        })
        .await;
        let held = self.ask(&self.receiver_office, &["held", "list"]).await;
        assert_eq!(held["held"].as_array().map(Vec::len), Some(0), "{held}");
        settled
    }

    async fn lanes(&self, office: &Office) -> Vec<Value> {
        self.ask(office, &["lane", "list"]).await["lanes"].as_array().unwrap().clone()
    }

    async fn ask(&self, office: &Office, command: &[&str]) -> Value {
        let (url, token) = (office.url(), office.dir.join("operator.token"));
        let access = ["--url", &url, "--ca", text(&self.authorities), "--token-file", text(&token)];
        hufu(&[command, &access].concat()).await
    }
}

impl Drop for City {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("subscriber.log")).unwrap_or_default();
            println!("--- the subscriber said\n{log}");
        }
    }
}

impl Office {
    async fn found(root: &Path, name: &str) -> Self {
        let dir = root.join(name);
        let made = hufu(&["init", text(&dir), "--name", name]).await;
        let token = dir.join("operator.token");
        let token = hufu(&["key", "new", "--kind", "token", "--out", text(&token)]).await;
        Self {
            dir,
            // Named here and not left to chance: the relayer's configuration must hold after a restart.
            peers: ports::free(),
            applications: ports::free(),
            vkey: made["vkey"].as_str().unwrap().to_owned(),
            token_digest: token["token_sha256"].as_str().unwrap().to_owned(),
        }
    }

    fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.applications)
    }

    async fn write_origin(&self, ledger: &Ledger, lanes: &[Lane]) {
        let mut config = self.config(ORIGIN, "read_lanes = [\"*\"]");
        config += &format!("\n[[ledger]]\nid = \"{}\"\n[ledger.source]\n", ledger.id);
        config += &format!("family = \"{}\"\nnodes = [\n", ledger.id.family());
        for (index, url) in ledger.nodes.iter().enumerate() {
            config += &format!("    {{ name = \"node-{index}\", url = \"{url}\" }},\n");
        }
        config += "]\n";
        for Lane { name, mapping, placeholder: (placeholder, own), .. } in lanes {
            let file = self.dir.join(format!("mappings/{mapping}.yaml"));
            let text_of_mapping = fs::read_to_string(&file).unwrap();
            assert!(text_of_mapping.contains(placeholder), "{mapping} has another placeholder");
            fs::write(&file, text_of_mapping.replace(placeholder, own)).unwrap();
            let tag = self.dir.join(format!("keys/{name}.tag"));
            hufu(&["key", "new", "--kind", "tag", "--out", text(&tag)]).await;
            config += &format!(
                "\n[[lane]]\nname = \"{name}\"\nepoch = 1\nledger = \"{}\"\nmapping = \"mappings/{mapping}.yaml\"\n\
                 tag_key = \"keys/{name}.tag\"\nfrom_height = 1\n",
                ledger.id
            );
        }
        self.write(&config, &ledger.policy);
    }

    fn write_receiver(&self, ledger: &Ledger, lanes: &[Lane], origin_vkey: &str, accepts: &str) {
        let mut policy = ledger.policy.clone();
        policy += &format!("\n[[peer]]\ngateway = \"{ORIGIN}\"\norganisation = \"{ISSUER}\"\n");
        policy += &format!("log_keys = [\"{origin_vkey}\"]\n");
        for Lane { name, record_type, .. } in lanes {
            policy += &format!(
                "\n[[lane]]\nid = \"{ORIGIN}/{name}/1\"\ndefinitions = []\ntypes = [\"{record_type}\"]\n\
                 issuers = [\"{ISSUER}\"]\n{accepts}"
            );
        }
        self.write(&self.config(RECEIVER, "write_lanes = [\"*\"]\nwrite_ledgers = [\"*\"]"), &policy);
    }

    fn config(&self, name: &str, relayer_may: &str) -> String {
        let (peers, applications) = (self.peers, self.applications);
        let digest = &self.token_digest;
        format!(
            "[gateway]\nname = \"{name}\"\ndatabase = \"hufu.db\"\npolicy = \"policy.toml\"\nlog_key = \"keys/log.key\"\n\n\
             [listen]\npeers = \"127.0.0.1:{peers}\"\napplications = \"127.0.0.1:{applications}\"\n\n\
             [tls]\ncertificate = \"tls/trial-server.pem\"\nkey = \"tls/trial-server.key\"\n\
             client_authorities = \"../authorities.pem\"\n\n\
             [[peer]]\nidentity = \"urn:hufu:relayer:{RELAYER}\"\n{relayer_may}\n\n\
             [[application]]\nname = \"operator\"\ntoken_sha256 = \"{digest}\"\nscopes = [\"read\", \"operate\"]\n"
        )
    }

    /// In place of what `hufu init` left to fill in.
    fn write(&self, config: &str, policy: &str) {
        fs::write(self.dir.join("gateway.toml"), config).unwrap();
        fs::write(self.dir.join("policy.toml"), policy).unwrap();
    }
}

/// What both departments know of the ledger.
pub(crate) struct Ledger {
    id: LedgerId,
    nodes: Vec<String>,
    /// A policy that anchors it and nothing else.
    policy: String,
}

impl Ledger {
    fn of(network: &CliqueNetwork) -> Self {
        Self::anchored(network.genesis_hash(), "\"clique\", confirmations = 2", CHAIN_ID, network.urls())
    }

    /// Anchored at its genesis; `consensus` is the kind and what else the anchor says.
    pub(crate) fn anchored(hash: &str, consensus: &str, chain_id: u64, nodes: Vec<String>) -> Self {
        let genesis: [u8; 32] = hex::decode(hash.trim_start_matches("0x")).unwrap().try_into().unwrap();
        let id = LedgerId::of_genesis("evm", &genesis).unwrap();
        let policy = format!(
            "policy = 1\n\n[[ledger]]\nid = \"{id}\"\nanchor = {{ family = \"evm\", consensus = {consensus}, \
             chain_id = {chain_id}, height = 0, hash = \"{hash}\" }}\n"
        );
        Self { id, nodes, policy }
    }

    /// A CometBFT ledger, anchored at its first block.
    pub(crate) fn cometbft(chain_id: &str, hash: &str, nodes: Vec<String>) -> Self {
        let first: [u8; 32] = hex::decode(hash).unwrap().try_into().unwrap();
        let id = LedgerId::of_genesis("cometbft", &first).unwrap();
        let policy = format!(
            "policy = 1\n\n[[ledger]]\nid = \"{id}\"\nanchor = {{ family = \"cometbft\", chain_id = \"{chain_id}\", \
             height = 1, hash = \"{hash}\", trusting_period = 1209600 }}\n"
        );
        Self { id, nodes, policy }
    }
}

fn write_relayer(root: &Path, origin: &Office, receiver: &Office) -> PathBuf {
    let file = root.join("relayer.toml");
    let config = format!(
        "[relayer]\nname = \"{RELAYER}\"\ncertificate = \"{ORIGIN}/tls/trial-relayer.pem\"\n\
         key = \"{ORIGIN}/tls/trial-relayer.key\"\nauthorities = \"authorities.pem\"\n\n\
         [[pair]]\norigin = \"https://127.0.0.1:{}\"\ndestination = \"https://127.0.0.1:{}\"\n",
        origin.peers, receiver.peers
    );
    fs::write(&file, config).unwrap();
    file
}
