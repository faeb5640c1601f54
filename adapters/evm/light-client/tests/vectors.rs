//! Every case folder of the EVM vectors, and the single captured headers, against this light client.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a broken fact should stop a test; its helpers stand outside test functions, where clippy.toml does not reach"
)]

#[path = "vector_files/negative.rs"]
mod negative;

use hufu_adapters_light_client::{Budget, DynLightClient, Family, Outcome, Rejection, Step, StoredHead, TrustedBlock};
use hufu_evm_light_client::anchor::Consensus;
use hufu_evm_light_client::bft::{Kind, Layout as _};
use hufu_evm_light_client::body::WholeBlock;
use hufu_evm_light_client::receipt::{Receipt, write_evidence};
use hufu_evm_light_client::rlp::Reader;
use hufu_evm_light_client::{Address, EvmFamily, Hash32, Header, bft, clique, ibft2, qbft, trie};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The vectors, or `None` with a printed reason on a machine without them. Where `HUFU_VECTORS` is set they must be there.
fn vectors() -> Option<PathBuf> {
    if let Ok(root) = std::env::var("HUFU_VECTORS") {
        let folder = Path::new(&root).join("evm");
        assert!(folder.is_dir(), "HUFU_VECTORS is set, but {} is no folder", folder.display());
        return Some(folder);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../../shared/vectors/evm");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: HUFU_VECTORS is not set and there are no vectors beside the workspace");
    None
}

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("expected to read {}, got {error}", path.display()))
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    hex::decode(text.strip_prefix("0x").unwrap_or(text)).unwrap()
}

fn hash(value: &Value) -> Hash32 {
    Hash32::new(bytes(value).try_into().unwrap())
}

fn address(value: &Value) -> Address {
    Address::new(bytes(value).try_into().unwrap())
}

/// Every case folder.
fn cases() -> Vec<Case> {
    let Some(root) = vectors() else { return Vec::new() };
    let mut folders: Vec<PathBuf> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let cases: Vec<Case> =
        folders.iter().filter(|path| path.join("case.json").is_file()).map(|path| Case::open(path)).collect();
    assert!(!cases.is_empty(), "no case folder under {}", root.display());
    cases
}

struct Case {
    folder: PathBuf,
    case: Value,
    expected: Vec<Value>,
    client: Box<dyn DynLightClient>,
}

impl Case {
    fn open(folder: &Path) -> Self {
        let case = read_json(&folder.join("case.json"));
        let expected = read_json(&folder.join(case["expected"].as_str().unwrap()));
        let client = EvmFamily.client(&case["anchor"]).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        Self { folder: folder.to_path_buf(), expected: expected.as_array().unwrap().clone(), case, client }
    }

    fn kind(&self) -> Consensus {
        let name = self.case["anchor"]["consensus"].as_str().unwrap();
        Consensus::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap_or_else(|| panic!("no rules for {name}"))
    }

    /// Whole blocks of one file, with the bodies checked against the headers.
    fn blocks(&self, file: &str) -> Vec<WholeBlock> {
        let bytes = read(&self.folder.join(file));
        let mut rest = Reader::new(&bytes);
        let mut blocks = Vec::new();
        while !rest.is_empty() {
            blocks.push(WholeBlock::parse(rest.raw().unwrap()).unwrap());
        }
        blocks
    }

    fn signers_at_genesis(&self) -> usize {
        let genesis = self.blocks(self.files()[0]).remove(0);
        clique::Block::read(genesis.header().clone()).unwrap().listed().len()
    }

    fn files(&self) -> Vec<&str> {
        self.case["blocks"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect()
    }

    fn advance(&self, head: &StoredHead, steps: &[Step]) -> Outcome<(StoredHead, Vec<TrustedBlock>)> {
        let now = steps.iter().map(|step| Header::parse(&step.bytes).unwrap().fields().timestamp).max().unwrap_or(0);
        let now = Timestamp::from_seconds(now + 1).unwrap();
        self.client
            .advance(head, steps, now, &mut Budget::for_update())
            .map(|advanced| (advanced.head, advanced.blocks))
    }

    fn accept(&self, head: &StoredHead, steps: &[Step]) -> (StoredHead, Vec<TrustedBlock>) {
        match self.advance(head, steps) {
            Outcome::Accept(accepted) => accepted,
            no => panic!("{}: expected block {:?} to be accepted, got {no:?}", self.folder.display(), steps[0].height),
        }
    }
}

fn step(block: &WholeBlock) -> Step {
    Step { height: Height::new(block.header().fields().number), bytes: block.header().raw().to_vec() }
}

fn block_hash(kind: Consensus, header: &Header) -> Hash32 {
    match kind {
        Consensus::Bft(kind) => kind.read(header.clone()).unwrap().hash(),
        Consensus::Clique | Consensus::Unsealed => header.raw_hash(),
    }
}

#[test]
fn every_block_of_every_case_has_its_hash_and_signers() {
    for case in cases() {
        for file in case.files() {
            let blocks = case.blocks(file);
            assert_eq!(blocks.len(), case.expected.len(), "{}/{file}", case.folder.display());
            for (block, row) in blocks.iter().zip(&case.expected) {
                let header = block.header();
                assert_eq!(block_hash(case.kind(), header), hash(&row["hash"]), "block {}", row["number"]);
                assert_eq!(Some(header.fields().number), row["number"].as_u64());
                if let Some(count) = row["transactions"].as_u64() {
                    assert_eq!(block.transactions() as u64, count);
                }
                if header.fields().number > 0 {
                    check_signers(&case, file, header, row);
                }
            }
            println!("{}/{file}: {} blocks with their hashes and signers", case.folder.display(), blocks.len());
        }
    }
}

fn check_signers(case: &Case, file: &str, header: &Header, row: &Value) {
    let Consensus::Bft(kind) = case.kind() else {
        let block = clique::Block::read(header.clone()).unwrap();
        assert_eq!(block.signer().unwrap(), address(&row["signer"]));
        if !row["seal_digest"].is_null() {
            assert_eq!(block.seal_digest(), hash(&row["seal_digest"]));
        }
        return;
    };
    let block = kind.read(header.clone()).unwrap();
    let signers = block.require_quorum(&mut Budget::for_update()).unwrap();
    // The recorded signers are those of the first node's copy; other copies carry other seals.
    if Some(&file) == case.files().first() {
        let expected: Vec<Address> = row["committed_signers"].as_array().unwrap().iter().map(address).collect();
        assert_eq!(signers, expected, "block {}", row["number"]);
    }
    let listed: Vec<Address> = row["header_validators"].as_array().unwrap().iter().map(address).collect();
    assert_eq!(block.validators(), listed);
    check_proposer(kind, &block, row);
}

/// What only one kind says: QBFT its round, legacy IBFT who proposed.
fn check_proposer(kind: Kind, block: &bft::Block, row: &Value) {
    match kind {
        Kind::Qbft => {
            let block = qbft::Block::read(block.header().clone()).unwrap();
            assert_eq!(u64::from(block.extra().round()), row["round"].as_u64().unwrap());
        }
        Kind::Ibft1 => {
            let proposer = block.proposer().unwrap();
            assert_eq!(proposer, address(&row["proposer"]), "block {}", row["number"]);
        }
        Kind::Ibft2 => {}
    }
}

#[test]
fn every_case_is_followed_from_its_anchor_block_by_block() {
    for case in cases() {
        for file in case.files() {
            let steps: Vec<Step> = case.blocks(file).iter().map(step).collect();
            let trusted = match case.kind() {
                Consensus::Bft(_) => follow_one_by_one(&case, &steps),
                Consensus::Clique | Consensus::Unsealed => case.accept(&case.client.anchor(), &steps).1,
            };
            for (block, row) in trusted.iter().zip(&case.expected) {
                assert_eq!(block.hash().as_bytes(), hash(&row["hash"]).as_bytes());
            }
            // On Clique what is not buried yet stays outside: at most one block of each signer.
            let tail = steps.len() - trusted.len();
            let most = if case.kind() == Consensus::Clique { case.signers_at_genesis() } else { 0 };
            assert!(tail <= most, "{} of {} trusted", trusted.len(), steps.len());
            println!("{}/{file}: {} of {} blocks trusted", case.folder.display(), trusted.len(), steps.len());
        }
    }
}

fn follow_one_by_one(case: &Case, steps: &[Step]) -> Vec<TrustedBlock> {
    let mut head = case.client.anchor();
    let mut trusted = Vec::new();
    for (place, (step, row)) in steps.iter().zip(&case.expected).enumerate() {
        let (next, blocks) = case.accept(&head, std::slice::from_ref(step));
        head = next;
        trusted.extend(blocks);
        let facts = case.client.describe(&head).accepted().unwrap();
        // Where the set after a block is not stated, it is the one that the next header lists.
        let next = case.expected.get(place + 1).map(|next| &next["header_validators"]);
        let Some(due) = row.get("validators").or(next) else { continue };
        let due: Vec<String> = due.as_array().unwrap().iter().map(|value| address(value).to_string()).collect();
        assert_eq!(facts.validators, due, "after block {}", row["number"]);
    }
    assert_eq!(trusted.len(), steps.len());
    trusted
}

#[test]
fn every_negative_row_is_refused() {
    for case in cases() {
        let Some(list) = case.case["negative"].as_str() else { continue };
        let list = case.folder.join(list);
        let steps: Vec<Step> = case.blocks(case.files()[0]).iter().map(step).collect();
        for row in read_json(&list).as_array().unwrap() {
            let file = row["file"].as_str().unwrap();
            let path = list.with_file_name(file);
            let number = usize::try_from(row["number"].as_u64().unwrap()).unwrap();
            let verdict = if file.ends_with(".json") {
                let header = Header::parse(&steps[number].bytes).unwrap();
                negative::judge_receipt(&read_json(&path), header.fields().receipts_root)
            } else {
                judge_negative(&case, &steps[..number], &read(&path), number)
            };
            if row["class"] == "strictness" {
                println!("{file}: ours to decide: {verdict:?}");
                continue;
            }
            assert_eq!(row["must"], "reject", "{file}: the list says what must happen");
            println!("{file}: refused: {}", verdict.expect_err(file));
        }
    }
}

/// What becomes of a block in the place of block `number`.
fn judge_negative(case: &Case, before: &[Step], bytes: &[u8], number: usize) -> Result<(), String> {
    let block = WholeBlock::parse(bytes).map_err(|fault| fault.to_string())?;
    let claimed = Step { height: Height::new(number as u64), bytes: block.header().raw().to_vec() };
    let steps = [before, &[claimed]].concat();
    match case.advance(&case.client.anchor(), &steps) {
        Outcome::Reject(rejection) => Err(Rejection::to_string(&rejection)),
        Outcome::Accept((_, blocks)) if blocks.len() < steps.len() && case.kind() != Consensus::Clique => {
            Err("not accepted as yet".to_owned())
        }
        Outcome::Accept(_) => Ok(()),
        Outcome::NotYet(shortfall) => Err(shortfall.to_string()),
    }
}

#[test]
fn receipts_of_every_case_rebuild_their_roots_and_their_events_decode() {
    for case in cases() {
        let Some(file) = case.case["receipts"].as_str() else { continue };
        let receipts = read_json(&case.folder.join(file));
        let steps: Vec<Step> = case.blocks(case.files()[0]).iter().map(step).collect();
        let trusted = case.accept(&case.client.anchor(), &steps).1;
        let contract = case.case["contract"].as_str().map(|file| read_json(&case.folder.join(file)));
        for (number, entry) in receipts.as_object().unwrap() {
            let raw: Vec<Vec<u8>> = entry["consensus"].as_array().unwrap().iter().map(bytes).collect();
            let root = trie::ordered_root(&raw.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
            assert_eq!(root, hash(&entry["receipts_root"]), "block {number}");
            for (raw, shown) in raw.iter().zip(entry["receipts"].as_array().unwrap()) {
                let receipt = Receipt::parse(raw).unwrap();
                assert_eq!(receipt.success(), shown["status"] == "0x1");
                assert_eq!(receipt.logs().len(), shown["logs"].as_array().unwrap().len());
            }
            let number: usize = number.parse().unwrap();
            if let Some(contract) = &contract {
                check_events(&case, &trusted[number], contract, &raw, entry);
            }
        }
        println!("{}: receipts of {} blocks", case.folder.display(), receipts.as_object().unwrap().len());
    }
}

fn check_events(case: &Case, block: &TrustedBlock, contract: &Value, raw: &[Vec<u8>], entry: &Value) {
    let source = json!({ "family": "evm", "contract": contract["address"], "abi": contract["abi"] });
    let decoder = EvmFamily.decoder(&source).unwrap();
    let evidence = write_evidence(raw);
    let found = case.client.matching(block, decoder.selector(), Some(&evidence), &mut Budget::for_evidence());
    let found = found.accepted().expect("the receipts rebuild the root");
    let shown = entry["receipts"].as_array().unwrap().iter().flat_map(|receipt| receipt["logs"].as_array().unwrap());
    let shown: Vec<&Value> = shown.filter(|log| log["address"] == contract["address"]).collect();
    assert_eq!(found.len(), shown.len());
    for (item, log) in found.iter().zip(shown) {
        let decoded = decoder.decode(item).unwrap();
        let value = &decoded[0].value;
        assert_eq!(value["height"], block.height().to_string());
        assert_eq!(value["time"], block.time().to_string());
        let entry = |entry: &&Value| entry["type"] == "event" && entry["name"] == decoded[0].event;
        let event = contract["abi"].as_array().unwrap().iter().find(entry).expect("an event of the ABI");
        let inputs = event["inputs"].as_array().unwrap();
        assert_eq!(value["args"].as_object().unwrap().len(), inputs.len());
        let indexed = inputs.iter().filter(|input| input["indexed"] == true);
        for (place, input) in indexed.enumerate().filter(|(_, input)| input["type"] == "bytes32") {
            assert_eq!(value["args"][input["name"].as_str().unwrap()], log["topics"][place + 1]);
        }
    }
    let mut short = raw.to_vec();
    short.pop();
    let wrong =
        case.client.matching(block, decoder.selector(), Some(&write_evidence(short)), &mut Budget::for_evidence());
    assert!(matches!(wrong, Outcome::Reject(no) if no.reason() == "receipts-root"));
}

#[test]
fn a_captured_qbft_header_of_another_client() {
    let Some(root) = vectors() else { return };
    let vector = read_json(&root.join("qbft_header_7528.json"));
    let block = qbft::Block::read(Header::parse(&bytes(&vector["header_rlp"])).unwrap()).unwrap();
    assert_eq!(block.hash(), hash(&vector["block_hash"]));
    assert_eq!(block.seal_digest(), hash(&vector["seal_digest"]));
    let signers: Vec<Address> = vector["seal_signers"].as_array().unwrap().iter().map(address).collect();
    assert_eq!(block.require_quorum(&mut Budget::for_update()).unwrap(), signers);
    let validators: Vec<Address> = vector["validators"].as_array().unwrap().iter().map(address).collect();
    assert_eq!(block.validators(), validators);
}

#[test]
fn captured_extra_data() {
    let Some(root) = vectors() else { return };
    let single = read_json(&root.join("qbft_extradata_single.json"));
    let extra = qbft::ExtraData::parse(&bytes(&single["extra_hex"])).unwrap();
    assert_eq!((extra.validators().len(), extra.seals().len(), extra.round()), (1, 1, 0));
    let genesis = read_json(&root.join("bft_genesis_extradata.json"));
    for hex in genesis["qbft_genesis_extra"].as_array().unwrap() {
        let extra = qbft::ExtraData::parse(&bytes(hex)).unwrap();
        assert!(!extra.validators().is_empty() && extra.seals().is_empty() && extra.vote().is_none());
    }
    for kind in ["ibft2_genesis_extra", "qbft_contract_mode_genesis_extra"] {
        for hex in genesis[kind].as_array().unwrap() {
            assert!(qbft::ExtraData::parse(&bytes(hex)).is_err(), "{kind} is another layout");
        }
    }
    // All there is of IBFT 2.0: no captured block with seals was found.
    for (hex, validators) in genesis["ibft2_genesis_extra"].as_array().unwrap().iter().zip([2, 1]) {
        let extra = ibft2::ExtraData::parse(&bytes(hex)).unwrap();
        assert_eq!((extra.validators().len(), extra.seals().len(), extra.round()), (validators, 0, 0));
        extra.check_genesis().unwrap();
    }
    for hex in genesis["qbft_genesis_extra"].as_array().unwrap() {
        assert!(ibft2::ExtraData::parse(&bytes(hex)).is_err(), "QBFT is another layout");
    }
}

#[test]
fn a_captured_clique_epoch_header() {
    let Some(root) = vectors() else { return };
    let vector = &read_json(&root.join("clique_header_rinkeby_30000.json"))["rinkeby_30000"];
    let block = clique::Block::read(Header::parse(&bytes(&vector["header_rlp"])).unwrap()).unwrap();
    assert_eq!(block.hash(), hash(&vector["hash"]));
    assert_eq!(block.seal_digest(), hash(&vector["seal_digest"]));
    assert_eq!(block.signer().unwrap(), address(&vector["signer"]));
    let signers: Vec<Address> = vector["epoch_signers"].as_array().unwrap().iter().map(address).collect();
    assert_eq!(block.listed(), signers);
    // The whole rule set takes it as an anchor: in-turn difficulty, list, nonce.
    let genesis = Hash32::ZERO;
    let anchor = json!({
        "family": "evm", "consensus": "clique", "height": 30_000, "hash": block.hash(), "genesis": genesis,
    });
    let client = EvmFamily.client(&anchor).unwrap();
    let step = Step { height: Height::new(30_000), bytes: block.header().raw().to_vec() };
    let now = Timestamp::from_seconds(block.header().fields().timestamp).unwrap();
    let advanced = client.advance(&client.anchor(), &[step], now, &mut Budget::for_update()).accepted().unwrap();
    assert_eq!(advanced.blocks.len(), 1);
}

#[test]
fn captured_mainnet_headers_and_receipts() {
    let Some(root) = vectors() else { return };
    let vector = read_json(&root.join("mainnet_header_21925432.json"));
    let header = Header::parse(&bytes(&vector["header_rlp"])).unwrap();
    assert_eq!(header.raw_hash(), hash(&vector["hash"]));
    assert!(header.fields().blob.is_some() && header.fields().requests_hash.is_none());
    let proofs = read_json(&root.join("mainnet_receipts_proofs.json"));
    for sample in proofs["samples"].as_array().unwrap() {
        let raw = bytes(&sample["receipt_2718"]);
        let receipt = Receipt::parse(&raw).unwrap();
        assert_eq!(u64::from(receipt.kind()), number(&sample["type"]));
        assert_eq!(u64::from(receipt.success()), number(&sample["status"]));
        let logs = sample["logs"].as_u64().unwrap_or_else(|| sample["logs"].as_array().unwrap().len() as u64);
        assert_eq!(receipt.logs().len() as u64, logs);
    }
}

fn number(value: &Value) -> u64 {
    match value {
        Value::String(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap(),
        Value::Bool(flag) => u64::from(*flag),
        other => other.as_u64().unwrap(),
    }
}
