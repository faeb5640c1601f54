//! The recordings of real networks, and their JSON as the devnet's own types.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hufu_cometbft_devnet::app::{Event, TxResult};
use hufu_cometbft_devnet::commit::{Commit, CommitSig, Flag};
use hufu_cometbft_devnet::header::{BlockId, Header};
use hufu_cometbft_light_client::Time;
use serde_json::Value;

/// One line of CometBFT each.
pub(crate) const NETWORKS: [&str; 2] = ["real-0.38", "real-1.0"];

/// One recorded network.
pub(crate) struct Network {
    pub(crate) name: &'static str,
    /// The last height whose commit was recorded.
    pub(crate) last: u64,
    folder: PathBuf,
}

impl Network {
    pub(crate) fn open(name: &'static str) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../schemas/vectors/cometbft");
        let mut network = Self { name, last: 0, folder: root.join(name) };
        network.last = network.file("case")["last"].as_u64().unwrap();
        network
    }

    pub(crate) fn file(&self, name: &str) -> Value {
        let path = self.folder.join(format!("{name}.json"));
        serde_json::from_slice(&fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))).unwrap()
    }

    /// The result of a recorded answer.
    pub(crate) fn answer(&self, name: &str) -> Value {
        self.file(name)["result"].take()
    }

    /// Names of recorded files, without `.json`.
    pub(crate) fn names(&self, ending: &str) -> Vec<String> {
        let files = fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            files.filter(|name| name.ends_with(ending)).map(|name| name.trim_end_matches(".json").to_owned()).collect();
        names.sort();
        assert!(!names.is_empty(), "nothing recorded ends with {ending}");
        names
    }

    /// Recorded answers to `/tx`, by hash.
    pub(crate) fn names_of_txs(&self) -> Vec<(String, Value)> {
        let names = ["put", "fail", "other", "delete"];
        let answers = names.map(|name| self.answer(&format!("tx.{name}")));
        answers.into_iter().map(|answer| (answer["hash"].as_str().unwrap().to_owned(), answer)).collect()
    }
}

pub(crate) fn decimal<T: std::str::FromStr>(value: &Value) -> T {
    value.as_str().unwrap().parse().ok().unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap_or_default()).unwrap()
}

pub(crate) fn hex_bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

pub(crate) fn public_key(value: &Value) -> [u8; 32] {
    bytes(&value["pub_key"]["value"]).try_into().unwrap()
}

fn time(value: &Value) -> Option<Duration> {
    let time: Time = value.as_str().unwrap().parse().unwrap();
    (time != Time::ZERO).then(|| Duration::new(time.seconds().try_into().unwrap(), time.nanos()))
}

pub(crate) fn own_block_id(value: &Value) -> BlockId {
    BlockId {
        hash: hex_bytes(&value["hash"]),
        parts: value["parts"]["total"].as_u64().unwrap().try_into().unwrap(),
        parts_hash: hex_bytes(&value["parts"]["hash"]),
    }
}

pub(crate) fn header_of(value: &Value) -> Header {
    Header {
        block_version: decimal(&value["version"]["block"]),
        app_version: decimal(&value["version"]["app"]),
        chain_id: value["chain_id"].as_str().unwrap().to_owned(),
        height: decimal(&value["height"]),
        time: time(&value["time"]).unwrap(),
        last_block_id: own_block_id(&value["last_block_id"]),
        last_commit_hash: hex_bytes(&value["last_commit_hash"]),
        data_hash: hex_bytes(&value["data_hash"]),
        validators_hash: hex_bytes(&value["validators_hash"]),
        next_validators_hash: hex_bytes(&value["next_validators_hash"]),
        consensus_hash: hex_bytes(&value["consensus_hash"]),
        app_hash: hex_bytes(&value["app_hash"]),
        last_results_hash: hex_bytes(&value["last_results_hash"]),
        evidence_hash: hex_bytes(&value["evidence_hash"]),
        proposer_address: hex_bytes(&value["proposer_address"]),
    }
}

pub(crate) fn commit_of(value: &Value) -> Commit {
    let entry = |it: &Value| CommitSig {
        flag: match it["block_id_flag"].as_u64() {
            Some(1) => Flag::Absent,
            Some(2) => Flag::Commit,
            Some(3) => Flag::Nil,
            other => panic!("a flag of 1 to 3, got {other:?}"),
        },
        address: hex_bytes(&it["validator_address"]),
        time: time(&it["timestamp"]),
        signature: bytes(&it["signature"]),
    };
    Commit {
        height: decimal(&value["height"]),
        round: value["round"].as_u64().unwrap().try_into().unwrap(),
        block_id: own_block_id(&value["block_id"]),
        signatures: value["signatures"].as_array().unwrap().iter().map(entry).collect(),
    }
}

pub(crate) fn result_of(value: &Value) -> TxResult {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let event = |it: &Value| Event {
        kind: text(&it["type"]),
        attributes: it["attributes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| (text(&it["key"]), text(&it["value"])))
            .collect(),
    };
    TxResult {
        code: value["code"].as_u64().unwrap().try_into().unwrap(),
        data: bytes(&value["data"]),
        log: text(&value["log"]),
        gas_wanted: decimal(&value["gas_wanted"]),
        gas_used: decimal(&value["gas_used"]),
        events: value["events"].as_array().unwrap().iter().map(event).collect(),
    }
}
