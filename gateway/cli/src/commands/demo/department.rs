//! The three departments: what each publishes, on which ledger, and whom it trusts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hufu_evm_devnet::{Devnet, DevnetConfig, registry};
use hufu_gateway_server::clock::{Clock as _, SystemClock};
use hufu_gateway_store::Store;
use hufu_schemas_core::{Digest, LaneId, LedgerId};
use std::time::Duration;

use super::pki::{City, token};
use crate::commands::key;
use crate::files::{write_public, write_secret};

/// What is fixed about a department.
pub(super) struct Office {
    pub(super) slug: &'static str,
    pub(super) gateway: &'static str,
    pub(super) name: &'static str,
    /// Its unified social credit code: the issuer of its records.
    pub(super) uscc: &'static str,
    pub(super) lane: &'static str,
    pub(super) record_type: &'static str,
    mapping: &'static str,
    placeholder: &'static str,
}

/// The land registry publishes property rights, the notary office e-certificates about organisations, the tax office
/// clearances of a schema of its own.
pub(super) const OFFICES: [Office; 3] = [
    Office {
        slug: "land",
        gateway: "land.example",
        name: "land registry 不动产登记中心",
        uscc: "11330105002500287C",
        lane: "property-rights",
        record_type: "property-right",
        mapping: include_str!("../../../../../schemas/mappings/property-right.yaml"),
        placeholder: "0x0000000000000000000000000000000000000c02",
    },
    Office {
        slug: "notary",
        gateway: "notary.example",
        name: "notary office 公证处",
        uscc: "11430000006122244L",
        lane: "certificates",
        record_type: "e-certificate",
        mapping: CERTIFICATE,
        placeholder: CERTIFICATE_CONTRACT,
    },
    Office {
        slug: "tax",
        gateway: "tax.example",
        name: "tax office 税务局",
        uscc: "11220000013544541J",
        lane: "clearances",
        record_type: "generic",
        mapping: include_str!("../../../../../schemas/mappings/clearance.yaml"),
        placeholder: "0x0000000000000000000000000000000000000c03",
    },
];

const CERTIFICATE: &str = include_str!("../../../../../schemas/mappings/certificate.yaml");
const CERTIFICATE_CONTRACT: &str = "0x0000000000000000000000000000000000000c01";
const CLEARANCE_SCHEMA: &str = include_str!("clearance.json");

/// The land registry's second lane: certificates of its own. Here it will try to speak for the notary.
pub(super) const SECOND_LANE: &str = "certificates";

/// A department with its ledger and its folder.
pub(super) struct Department {
    pub(super) office: &'static Office,
    pub(super) devnet: Devnet,
    pub(super) contract: [u8; 20],
    pub(super) ledger: LedgerId,
    pub(super) dir: PathBuf,
    pub(super) operator: String,
    pub(super) log_seed: [u8; 32],
    /// Filled in once the gateway listens.
    pub(super) peers: String,
    pub(super) applications: String,
    pub(super) monitoring: String,
}

impl Department {
    /// Starts the department's ledger and makes its folder.
    pub(super) async fn found(office: &'static Office, root: &Path, city: &City) -> anyhow::Result<Self> {
        let now = SystemClock.now().seconds();
        let config = DevnetConfig {
            seed: *Digest::of(&key::random()?).as_bytes(),
            block_time: Some(Duration::from_secs(1)),
            genesis_time: now.saturating_sub(60),
            ..DevnetConfig::default()
        };
        let devnet = Devnet::start(config).await.map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let contract = devnet.deploy_registry();
        let ledger = LedgerId::of_genesis("evm", &devnet.genesis_hash())?;
        let dir = root.join(office.slug);
        fs::create_dir_all(dir.join("schemas"))?;
        let log_seed = key::random()?;
        write_secret(&dir.join("log.key"), &key::key_file(&log_seed))?;
        for tag in ["lane.tag", "second.tag"] {
            write_secret(&dir.join(tag), &key::key_file(&key::random()?))?;
        }
        let party = city.gateway(office.gateway)?;
        write_public(&dir.join("gateway.pem"), party.pem.certificate.as_bytes())?;
        write_secret(&dir.join("gateway.key"), party.pem.key.as_bytes())?;
        write_public(&dir.join("authorities.pem"), city.certificate().as_bytes())?;
        let (read, read_digest) = token()?;
        let (operator, operator_digest) = token()?;
        write_secret(&dir.join("read.token"), read.as_bytes())?;
        write_secret(&dir.join("operator.token"), operator.as_bytes())?;
        let department = Self {
            office,
            devnet,
            contract,
            ledger,
            dir,
            operator,
            log_seed,
            peers: String::new(),
            applications: String::new(),
            monitoring: String::new(),
        };
        department.write_mappings()?;
        let gateway = department.gateway_toml(&read_digest, &operator_digest);
        write_public(&department.dir.join("gateway.toml"), gateway.as_bytes())?;
        Store::create(&department.dir.join("records.db")).await.context("the database was not made")?.close().await;
        Ok(department)
    }

    pub(super) fn lane(&self) -> LaneId {
        self.lane_named(self.office.lane)
    }

    pub(super) fn second_lane(&self) -> LaneId {
        self.lane_named(SECOND_LANE)
    }

    fn lane_named(&self, lane: &str) -> LaneId {
        // Names of this file: they parse.
        LaneId::parse(&format!("{}/{lane}/1", self.office.gateway)).unwrap_or_else(|fault| unreachable!("{fault}"))
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn contract_text(&self) -> String {
        format!("0x{}", hex::encode(self.contract))
    }

    /// The shipped mappings with this department's contract, name and schema in place of the placeholders.
    fn write_mappings(&self) -> anyhow::Result<()> {
        let schema: serde_json::Value = serde_json::from_str(CLEARANCE_SCHEMA)?;
        let content_id = hufu_schemas_registry::content_id(&schema).to_hex();
        let mapping = self
            .office
            .mapping
            .replace(self.office.placeholder, &self.contract_text())
            .replace(&"0".repeat(64), &content_id);
        write_public(&self.dir.join("lane.yaml"), mapping.as_bytes())?;
        if self.office.slug == "tax" {
            write_public(&self.dir.join("schemas/clearance.json"), CLEARANCE_SCHEMA.as_bytes())?;
        }
        if self.office.slug == "land" {
            let second = CERTIFICATE.replace(CERTIFICATE_CONTRACT, &self.contract_text());
            write_public(&self.dir.join("second.yaml"), second.as_bytes())?;
        }
        Ok(())
    }

    fn gateway_toml(&self, read: &str, operator: &str) -> String {
        let lane = |name: &str, file: &str| {
            format!(
                "[[lane]]\nname = \"{name}\"\nepoch = 1\nledger = \"{}\"\nmapping = \"{file}.yaml\"\ntag_key = \"{file}.tag\"\nfrom_height = 1\n\n",
                self.ledger
            )
        };
        let mut lanes = lane(self.office.lane, "lane");
        if self.office.slug == "land" {
            lanes.push_str(&lane(SECOND_LANE, "second"));
        }
        format!(
            "[gateway]\nname = \"{}\"\ndatabase = \"records.db\"\npolicy = \"policy.toml\"\nlog_key = \"log.key\"\nschemas = \"schemas\"\nheartbeat_seconds = 30\n\n\
             [listen]\npeers = \"127.0.0.1:0\"\napplications = \"127.0.0.1:0\"\nmonitoring = \"127.0.0.1:0\"\n\n\
             [tls]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\nclient_authorities = \"authorities.pem\"\n\n\
             [[ledger]]\nid = \"{}\"\nsource = {{ family = \"evm\", nodes = [{{ name = \"own-node\", url = \"{}\" }}] }}\n\n\
             {lanes}\
             [[peer]]\nidentity = \"urn:hufu:relayer:city-1\"\nread_lanes = [\"*\"]\nwrite_lanes = [\"*\"]\nwrite_ledgers = [\"*\"]\n\n\
             [[application]]\nname = \"portal\"\ntoken_sha256 = \"{read}\"\nscopes = [\"read\"]\n\n\
             [[application]]\nname = \"operator\"\ntoken_sha256 = \"{operator}\"\nscopes = [\"read\", \"operate\"]\n",
            self.office.gateway,
            self.ledger,
            self.devnet.url(),
        )
    }

    /// The policy: anchors of all three ledgers, the other two gateways, their lanes. Definitions are left empty: the
    /// operator accepts them after reading them.
    pub(super) fn write_policy(&self, all: &[Department]) -> anyhow::Result<()> {
        let mut policy = String::from("policy = 1\n\n");
        for department in all {
            let hash = hex::encode(department.devnet.genesis_hash());
            policy.push_str(&format!(
                "[[ledger]]\nid = \"{}\"\nanchor = {{ family = \"evm\", consensus = \"qbft\", chain_id = {}, height = 0, hash = \"0x{hash}\" }}\n\n",
                department.ledger,
                department.devnet.chain_id(),
            ));
        }
        for peer in all.iter().filter(|peer| peer.office.slug != self.office.slug) {
            let office = peer.office;
            let key = key::vkey(office.gateway, &peer.log_seed)?;
            policy.push_str(&format!(
                "[[peer]]\ngateway = \"{}\"\norganisation = \"{}\"\nlog_keys = [\"{key}\"]\n\n",
                office.gateway, office.slug
            ));
            policy.push_str(&lane_policy(&peer.lane(), office.record_type, office.uscc));
            if office.slug == "land" {
                policy.push_str(&lane_policy(&peer.second_lane(), "e-certificate", office.uscc));
            }
        }
        write_public(&self.dir.join("policy.toml"), policy.as_bytes())
    }

    /// The land registry records a right.
    pub(super) fn emit_property_right(&self, unit: u32) -> anyhow::Result<()> {
        let unit_code = format!("330105001001GB00001F{unit:08}");
        let number = format!("浙(2026)示例市不动产权第{unit:07}号");
        let args = [
            unit_code.as_str(),
            "confirm",
            "state-land-use",
            &number,
            "911101066976941872",
            self.office.uscc,
            "20261121",
            "128.50",
        ];
        self.emit(registry::PROPERTY_RIGHT_CHANGED, &args)
    }

    /// A certificate about an organisation, said to be issued by `issuer`.
    pub(super) fn emit_certificate(
        &self,
        number: u32,
        operation: &str,
        state: &str,
        issuer: &str,
    ) -> anyhow::Result<()> {
        let (class, serial) = ("11100000000013338W011", format!("2026{number:07}"));
        let check = certificate_check(class, issuer, &serial, "001");
        let id = format!("1.2.156.3005.2.{class}.{issuer}.{serial}.001.{check}");
        let paper = format!("湘(2026)第{number:07}号");
        let args = [
            id.as_str(),
            operation,
            class,
            "营业执照",
            &paper,
            "示例科技有限公司",
            "91350100M000100Y43",
            issuer,
            "20261121",
            state,
        ];
        self.emit(registry::CERTIFICATE_CHANGED, &args)
    }

    /// The tax office grants a clearance.
    pub(super) fn emit_clearance(&self, number: u32) -> anyhow::Result<()> {
        let clearance = format!("TAX-2026-{number:06}");
        let args = [clearance.as_str(), "911101066976941872", self.office.uscc, "202501-202512", "clear", "20261121"];
        self.emit(registry::CLEARANCE_GRANTED, &args)
    }

    fn emit(&self, signature: &str, args: &[&str]) -> anyhow::Result<()> {
        self.devnet.emit_event(self.contract, signature, args).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        Ok(())
    }
}

fn lane_policy(lane: &LaneId, record_type: &str, issuer: &str) -> String {
    format!("[[lane]]\nid = \"{lane}\"\ndefinitions = []\ntypes = [\"{record_type}\"]\nissuers = [\"{issuer}\"]\n\n")
}

/// ISO 7064 MOD 37,36 over the four parts without dots (records.md 2.1.4).
fn certificate_check(class: &str, issuer: &str, serial: &str, version: &str) -> char {
    const ALPHABET: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let text = [class, issuer, serial, version].concat();
    let mut carry = 36usize;
    for byte in text.bytes() {
        let value = ALPHABET.iter().position(|it| *it == byte).unwrap_or(0);
        let sum = (carry + value) % 36;
        carry = (if sum == 0 { 36 } else { sum }) * 2 % 37;
    }
    ALPHABET.get((37 - carry) % 36).copied().map_or('0', char::from)
}
