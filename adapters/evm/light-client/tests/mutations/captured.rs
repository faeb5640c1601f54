//! What real networks left: read from the folder of vectors, where there is one.

use crate::ledger::Sealing;
use hufu_evm_light_client::anchor::DEFAULT_EPOCH;
use hufu_evm_light_client::rlp::Reader;
use hufu_evm_light_client::{Address, Hash32, Header};
use serde_json::Value;
use std::path::{Path, PathBuf};

pub(crate) struct Captured {
    root: PathBuf,
}

/// One recorded ledger.
pub(crate) struct Recorded {
    pub(crate) kind: Sealing,
    pub(crate) epoch: u64,
    pub(crate) blocks: Vec<Block>,
}

/// A block with the raw items of its tries.
pub(crate) struct Block {
    pub(crate) header: Header,
    pub(crate) transactions: Vec<Vec<u8>>,
    /// Empty where the vectors do not hold them.
    pub(crate) receipts: Vec<Vec<u8>>,
}

impl Captured {
    /// `None` with a printed reason on a machine without vectors. Where `HUFU_VECTORS` is set they must be there.
    pub(crate) fn read() -> Option<Self> {
        let named = std::env::var_os("HUFU_VECTORS").map(PathBuf::from);
        let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/vectors");
        let root = named.clone().unwrap_or(beside).join("evm");
        if root.is_dir() {
            return Some(Self { root });
        }
        assert!(named.is_none(), "HUFU_VECTORS is set, but {} is no folder", root.display());
        println!("without captured data: HUFU_VECTORS is not set and there are no vectors beside the workspace");
        None
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        let path = self.root.join(path);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("expected {}, got {error}", path.display()));
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// Every `eth_getProof` answer with its state root.
    pub(crate) fn answers(&self) -> Vec<(Hash32, Value)> {
        let mainnet = self.json("mainnet_eth_getProof.json");
        let mut all = vec![(hash(&mainnet["state_root"]), mainnet["proof"].clone())];
        for entry in self.json("real-qbft/proofs.json").as_array().unwrap() {
            all.push((hash(&entry["stateRoot"]), entry["result"].clone()));
        }
        all
    }

    /// Every ledger with a `case.json`.
    pub(crate) fn ledgers(&self) -> Vec<Recorded> {
        let folders = std::fs::read_dir(&self.root).unwrap().map(|entry| entry.unwrap().path());
        let mut folders: Vec<PathBuf> = folders.filter(|path| path.join("case.json").is_file()).collect();
        folders.sort();
        folders.iter().map(|folder| self.ledger(folder)).collect()
    }

    fn ledger(&self, folder: &Path) -> Recorded {
        let name = folder.file_name().unwrap().to_str().unwrap();
        let case = self.json(&format!("{name}/case.json"));
        let receipts = case["receipts"].as_str().map(|file| self.json(&format!("{name}/{file}")));
        let raw = std::fs::read(folder.join(case["blocks"][0].as_str().unwrap())).unwrap();
        let mut rest = Reader::new(&raw);
        let mut blocks = Vec::new();
        while !rest.is_empty() {
            let mut block = rest.list().unwrap();
            let header = Header::parse(block.raw().unwrap()).unwrap();
            let height = header.fields().number.to_string();
            let given = receipts.as_ref().and_then(|all| all.get(height));
            let receipts = given.map(|entry| nodes(&entry["consensus"])).unwrap_or_default();
            blocks.push(Block { header, transactions: transactions(block.list().unwrap()), receipts });
        }
        let kind = case["anchor"]["consensus"].as_str().unwrap();
        let kind = Sealing::ALL.into_iter().find(|known| known.as_str() == kind).expect("a kind that seals");
        Recorded { kind, epoch: case["anchor"]["epoch"].as_u64().unwrap_or(DEFAULT_EPOCH), blocks }
    }
}

/// Raw transactions of a body: a list as it stands, or a string's content.
fn transactions(mut list: Reader<'_>) -> Vec<Vec<u8>> {
    let mut transactions = Vec::new();
    while !list.is_empty() {
        let raw = list.raw().unwrap();
        transactions.push(Reader::new(raw).string().unwrap_or(raw).to_vec());
    }
    transactions
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap()
}

pub(crate) fn nodes(list: &Value) -> Vec<Vec<u8>> {
    list.as_array().unwrap().iter().map(bytes).collect()
}

pub(crate) fn hash(value: &Value) -> Hash32 {
    Hash32::new(bytes(value).try_into().unwrap())
}

pub(crate) fn address(value: &Value) -> Address {
    Address::new(bytes(value).try_into().unwrap())
}

/// `0x` and digits, as many as there are, as 32 bytes.
pub(crate) fn word(value: &Value) -> Hash32 {
    let digits = value.as_str().unwrap().trim_start_matches("0x");
    Hash32::new(hex::decode(format!("{digits:0>64}")).unwrap().try_into().unwrap())
}
