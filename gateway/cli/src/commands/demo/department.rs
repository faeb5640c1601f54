//! The three departments: what each publishes, on which ledger, and whom it trusts.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use hufu_evm_devnet::registry;
use hufu_gateway_store::Store;
use hufu_schemas_core::{LaneId, LedgerId};

use super::devnet::{Certificate, Devnet, Family};
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
    family: Family,
    mapping: &'static str,
    /// What stands in the mapping where the department's own contract or store belongs.
    placeholder: &'static str,
}

/// The land registry publishes property rights, the notary office e-certificates about organisations, the tax office
/// clearances of a schema of its own. The notary keeps its certificates as state keys of a CometBFT ledger; the others
/// emit events on EVM ledgers.
pub(super) const OFFICES: [Office; 3] = [
    Office {
        slug: "land",
        gateway: "land.example",
        name: "land registry 不动产登记中心",
        uscc: "11330105002500287C",
        lane: "property-rights",
        record_type: "property-right",
        family: Family::Evm,
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
        family: Family::Cometbft,
        mapping: include_str!("../../../../../schemas/mappings/certificate-state.yaml"),
        placeholder: "store: registry",
    },
    Office {
        slug: "tax",
        gateway: "tax.example",
        name: "tax office 税务局",
        uscc: "11220000013544541J",
        lane: "clearances",
        record_type: "generic",
        family: Family::Evm,
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
        let devnet = Devnet::start(office.family, office.slug).await?;
        let ledger = devnet.id()?;
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

    /// The shipped mappings with this department's contract or store, name and schema in place of the placeholders.
    fn write_mappings(&self) -> anyhow::Result<()> {
        let schema: serde_json::Value = serde_json::from_str(CLEARANCE_SCHEMA)?;
        let content_id = hufu_schemas_registry::content_id(&schema).to_hex();
        let mapping = self
            .office
            .mapping
            .replace(self.office.placeholder, &self.devnet.place())
            .replace(&"0".repeat(64), &content_id);
        write_public(&self.dir.join("lane.yaml"), mapping.as_bytes())?;
        if self.office.slug == "tax" {
            write_public(&self.dir.join("schemas/clearance.json"), CLEARANCE_SCHEMA.as_bytes())?;
        }
        if self.office.slug == "land" {
            let second = CERTIFICATE.replace(CERTIFICATE_CONTRACT, &self.devnet.place());
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
             [[ledger]]\nid = \"{}\"\nsource = {{ family = \"{}\", nodes = [{{ name = \"own-node\", url = \"{}\" }}] }}\n\n\
             {lanes}\
             [[peer]]\nidentity = \"urn:hufu:relayer:city-1\"\nread_lanes = [\"*\"]\nwrite_lanes = [\"*\"]\nwrite_ledgers = [\"*\"]\n\n\
             [[application]]\nname = \"portal\"\ntoken_sha256 = \"{read}\"\nscopes = [\"read\"]\n\n\
             [[application]]\nname = \"operator\"\ntoken_sha256 = \"{operator}\"\nscopes = [\"read\", \"operate\"]\n",
            self.office.gateway,
            self.ledger,
            self.devnet.family(),
            self.devnet.url(),
        )
    }

    /// The policy: anchors of all three ledgers, the other two gateways, their lanes. Definitions are left empty: the
    /// operator accepts them after reading them.
    pub(super) fn write_policy(&self, all: &[Department]) -> anyhow::Result<()> {
        let mut policy = String::from("policy = 1\n\n");
        for department in all {
            let (id, anchor) = (&department.ledger, department.devnet.anchor());
            policy.push_str(&format!("[[ledger]]\nid = \"{id}\"\nanchor = {anchor}\n\n"));
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
        self.devnet.emit(registry::PROPERTY_RIGHT_CHANGED, &args)
    }

    /// A certificate about an organisation, said to be issued by `issuer`.
    pub(super) fn write_certificate(
        &self,
        number: u32,
        operation: &str,
        state: &str,
        issuer: &str,
    ) -> anyhow::Result<()> {
        self.devnet.write_certificate(&Certificate::new(number, operation, state, issuer))
    }

    /// The tax office grants a clearance.
    pub(super) fn emit_clearance(&self, number: u32) -> anyhow::Result<()> {
        let clearance = format!("TAX-2026-{number:06}");
        let args = [clearance.as_str(), "911101066976941872", self.office.uscc, "202501-202512", "clear", "20261121"];
        self.devnet.emit(registry::CLEARANCE_GRANTED, &args)
    }
}

fn lane_policy(lane: &LaneId, record_type: &str, issuer: &str) -> String {
    format!("[[lane]]\nid = \"{lane}\"\ndefinitions = []\ntypes = [\"{record_type}\"]\nissuers = [\"{issuer}\"]\n\n")
}
