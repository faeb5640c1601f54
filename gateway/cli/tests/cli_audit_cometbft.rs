//! `hufu audit cometbft` over recordings of real networks, over answers of a network that is not ours, and over captures
//! that somebody has changed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "helpers of tests stand outside test functions, where clippy.toml does not reach"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::{Ran, hufu, text, vectors, workspace};

/// A recording, copied so that it can be changed, with an anchor at its first block.
struct Capture {
    work: tempfile::TempDir,
    case: Value,
}

const LINES: [&str; 2] = ["real-0.38", "real-1.0"];

fn recorded(line: &str) -> PathBuf {
    workspace().join("schemas/vectors/cometbft").join(line)
}

impl Capture {
    fn of(line: &str) -> Self {
        let work = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(recorded(line)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::copy(&path, work.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        let case = serde_json::from_slice(&fs::read(work.path().join("case.json")).unwrap()).unwrap();
        let capture = Self { work, case };
        capture.anchor_at(1, "");
        capture
    }

    /// Writes the anchor file: the header of a height, and more lines.
    fn anchor_at(&self, height: u64, more: &str) {
        let commit = self.answer(&format!("{height:03}.commit.json"));
        let signed = &commit["result"]["signed_header"];
        let (chain_id, hash) = (&signed["header"]["chain_id"], &signed["commit"]["block_id"]["hash"]);
        fs::write(self.anchor(), anchor(chain_id, height, hash, more)).unwrap();
    }

    fn anchor(&self) -> PathBuf {
        self.work.path().join("anchor.toml")
    }

    fn last(&self) -> usize {
        usize::try_from(self.case["last"].as_u64().unwrap()).unwrap()
    }

    fn answer(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.work.path().join(name)).unwrap()).unwrap()
    }

    fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut answer = self.answer(name);
        change(&mut answer["result"]);
        fs::write(self.work.path().join(name), answer.to_string()).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.work.path().join(name)).unwrap();
    }

    fn audit(&self) -> Audited {
        self.audit_with(&[])
    }

    fn audit_with(&self, more: &[&Path]) -> Audited {
        let mut paths = vec![self.work.path()];
        paths.extend(more);
        audit(&self.anchor(), &paths)
    }
}

fn anchor(chain_id: &Value, height: u64, hash: &Value, more: &str) -> String {
    format!(
        "family = \"cometbft\"\nchain_id = {chain_id}\nheight = {height}\nhash = {hash}\ntrusting_period = 1209600\n{more}"
    )
}

struct Audited {
    ran: Ran,
    rows: Vec<Value>,
    summary: Value,
}

fn audit(anchor: &Path, paths: &[&Path]) -> Audited {
    let mut args = vec!["audit", "cometbft", "--json", "--anchor", text(anchor)];
    args.extend(paths.iter().map(|path| text(path)));
    let ran = hufu(&args);
    let mut rows = ran.rows();
    let summary = rows.pop().map(|last| last["summary"].clone()).unwrap_or_default();
    Audited { ran, rows, summary }
}

impl Audited {
    fn reason(&self, row: usize) -> &str {
        self.rows[row]["reason"].as_str().unwrap_or("none")
    }

    /// Rows with a verdict, by their heights.
    fn heights(&self, verdict: &str) -> Vec<u64> {
        let of = |row: &&Value| row["verdict"] == verdict;
        self.rows.iter().filter(of).map(|row| row["height"].as_u64().unwrap()).collect()
    }

    /// The one rejected row, whose reason begins like this; all others are final.
    fn only_rejected(&self, height: u64, reason: &str) {
        assert_eq!(self.ran.code, 1, "{}", self.ran);
        assert_eq!(self.heights("rejected"), [height], "{}", self.ran);
        assert_eq!(self.heights("not-yet"), [0_u64; 0], "{}", self.ran);
        let row = self.rows.iter().find(|row| row["verdict"] == "rejected").unwrap();
        let said = row["reason"].as_str().unwrap();
        println!("{height:>3}  {said}");
        assert!(said.contains(reason), "expected {reason}, got {said}");
    }
}

#[test]
fn recordings_of_real_networks_are_final_to_the_end_with_all_that_was_captured_beside_them() {
    for line in LINES {
        let capture = Capture::of(line);
        let audited = capture.audit();
        assert_eq!(audited.ran.code, 0, "{line}: {}", audited.ran);
        let last = capture.last();
        assert_eq!(audited.summary, json!({ "blocks": last, "final": last, "rejected": 0, "not_yet": 0 }));
        for (at, row) in audited.rows.iter().enumerate() {
            let commit = capture.answer(&format!("{:03}.commit.json", at + 1));
            let commit = &commit["result"]["signed_header"]["commit"];
            assert_eq!((&row["height"], &row["hash"]), (&json!(at + 1), &commit["block_id"]["hash"]));
            assert_eq!((&row["finality"], &row["reason"]), (&json!("bft-final"), &Value::Null));
            let mut voted: Vec<&Value> = commit["signatures"].as_array().unwrap().iter().collect();
            voted.retain(|entry| entry["block_id_flag"] == 2);
            let mut signers: Vec<&str> = voted.iter().map(|it| it["validator_address"].as_str().unwrap()).collect();
            signers.sort_unstable();
            assert_eq!(row["signers"], json!(signers));
            check_power(&capture, at + 1, &signers, &row["quorum"]);
        }
        let stderr = &audited.ran.stderr;
        assert!(stderr.contains("transactions: 4 proven, 0 wrong, 0 open"), "{stderr}");
        assert!(stderr.contains("keys: 5 proven, 0 wrong, 0 open"), "{stderr}");
        assert!(stderr.contains("results of blocks: ") && !stderr.contains("WRONG"), "{stderr}");
        assert!(stderr.contains("key notice/2026-001 after block 6 in store notices = {\"subject\""), "{stderr}");
        assert!(stderr.contains("key notice/2026-0015 after block 6 in store notices is absent: proven"), "{stderr}");
        println!("{line}: {}", stderr.lines().last().unwrap());
    }
}

/// The powers of those who signed, and one more than two thirds of all.
fn check_power(capture: &Capture, height: usize, signers: &[&str], quorum: &Value) {
    let set = capture.answer(&format!("{height:03}.validators.json"));
    let power = |entry: &Value| entry["voting_power"].as_str().unwrap().parse::<u64>().unwrap();
    let all = set["result"]["validators"].as_array().unwrap();
    let have: u64 = all.iter().filter(|it| signers.contains(&it["address"].as_str().unwrap())).map(power).sum();
    let total: u64 = all.iter().map(power).sum();
    assert_eq!(*quorum, json!({ "have": have, "need": total * 2 / 3 + 1 }), "block {height}");
}

#[test]
fn each_line_of_json_has_the_members_of_every_audit_in_their_order() {
    let audited = Capture::of(LINES[0]).audit();
    for (line, row) in audited.ran.stdout.lines().zip(&audited.rows) {
        let quorum = format!("{{\"have\":{},\"need\":{}}}", row["quorum"]["have"], row["quorum"]["need"]);
        let due = format!(
            "{{\"height\":{},\"hash\":{},\"verdict\":{},\"finality\":{},\"signers\":{},\"quorum\":{quorum},\"reason\":{}}}",
            row["height"], row["hash"], row["verdict"], row["finality"], row["signers"], row["reason"]
        );
        assert_eq!(line, due);
    }
}

#[test]
fn two_signed_headers_of_one_height_are_a_conflict_whichever_came_first() {
    for line in LINES {
        let capture = Capture::of(line);
        let fork = recorded(line).join("fork");
        let differs = (1..).find(|height| {
            let name = format!("{height:03}.commit.json");
            let hash = |folder: &Path| {
                let commit: Value = serde_json::from_slice(&fs::read(folder.join(&name)).unwrap()).unwrap();
                commit["result"]["signed_header"]["commit"]["block_id"]["hash"].clone()
            };
            hash(&fork) != hash(capture.work.path())
        });
        let differs: u64 = differs.unwrap();
        let one = audit(&capture.anchor(), &[capture.work.path(), &fork]);
        let other = audit(&capture.anchor(), &[&fork, capture.work.path()]);
        for audited in [one, other] {
            assert_eq!(audited.ran.code, 1, "{}", audited.ran);
            assert_eq!(audited.heights("rejected"), [differs, differs], "{}", audited.ran);
            assert_eq!(audited.heights("final"), (1..differs).collect::<Vec<u64>>());
            for row in &audited.rows {
                let reason = row["reason"].as_str().unwrap_or_default();
                match row["verdict"].as_str().unwrap() {
                    "rejected" => {
                        assert!(reason.starts_with("conflict: ") && reason.contains("is signed by "), "{row}")
                    }
                    "not-yet" => assert!(reason.starts_with("conflict-below: "), "{row}"),
                    _ => assert!(reason.is_empty(), "{row}"),
                }
            }
            println!("{line}: {}", audited.ran.stderr.lines().find(|line| line.starts_with("conflict")).unwrap());
        }
    }
}

#[test]
fn a_fork_alone_under_the_anchor_of_the_other_branch() {
    for line in LINES {
        let capture = Capture::of(line);
        capture.anchor_at(3, "");
        let audited = audit(&capture.anchor(), &[&recorded(line).join("fork")]);
        assert_eq!((audited.ran.code, audited.heights("rejected")), (1, vec![3]), "{}", audited.ran);
        assert!(audited.reason(2).starts_with("anchor-hash"), "{}", audited.ran);
        assert!(audited.reason(3).starts_with("anchor-not-seen"), "{}", audited.ran);
    }
}

#[test]
fn a_signature_that_was_flipped_rejects_its_block_and_the_next_vouches_for_what_follows() {
    for line in LINES {
        let capture = Capture::of(line);
        capture.change("005.commit.json", |result| {
            let signature = &mut result["signed_header"]["commit"]["signatures"][0]["signature"];
            let mut bytes = STANDARD.decode(signature.as_str().unwrap()).unwrap();
            bytes[40] ^= 1;
            *signature = json!(STANDARD.encode(bytes));
        });
        let audited = capture.audit();
        audited.only_rejected(5, "signature-invalid");
        assert_eq!(audited.rows[4]["quorum"]["have"], 3, "the other votes are good: {}", audited.rows[4]);
    }
}

#[test]
fn a_vote_beyond_the_quorum_that_is_wrong_is_told_and_is_no_signer() {
    let capture = Capture::of(LINES[1]);
    capture.change("005.commit.json", |result| {
        let signatures = result["signed_header"]["commit"]["signatures"].as_array_mut().unwrap();
        let last = signatures.len() - 1;
        signatures[last]["signature"] = signatures[0]["signature"].clone();
    });
    let audited = capture.audit();
    assert_eq!(audited.ran.code, 0, "{}", audited.ran);
    assert_eq!(audited.rows[4]["quorum"], json!({ "have": 3, "need": 3 }));
    assert!(audited.ran.stderr.contains("block 5: 1 of its votes do not verify"), "{}", audited.ran);
}

#[test]
fn a_validator_set_that_was_swapped() {
    for line in LINES {
        let capture = Capture::of(line);
        // The set of after the change of powers, shown for a height before it.
        let later = capture.case["power_changed_at"].as_u64().unwrap() + 2;
        let mut other = capture.answer(&format!("{later:03}.validators.json"));
        other["result"]["block_height"] = json!("4");
        fs::write(capture.work.path().join("004.validators.json"), other.to_string()).unwrap();
        let audited = capture.audit();
        audited.only_rejected(4, "validators-hash");
        assert_eq!(
            audited.rows[3]["quorum"]["have"], 4,
            "the set is known from the heights below: {}",
            audited.rows[3]
        );
    }
}

#[test]
fn a_total_that_was_changed() {
    let capture = Capture::of(LINES[0]);
    capture.change("004.validators.json", |result| result["total"] = json!("5"));
    capture.audit().only_rejected(4, "rpc-malformed: expected all 5 validators, got 4");
    let capture = Capture::of(LINES[0]);
    capture.change("tx.put.json", |result| result["proof"]["proof"]["total"] = json!("2"));
    let height = capture.case["transactions"]["put"]["height"].as_u64().unwrap();
    capture.audit().only_rejected(height, "merkle-shape");
}

#[test]
fn a_proof_value_or_result_that_was_changed() {
    let of = |change: &dyn Fn(&Capture), height: &dyn Fn(&Value) -> u64, reason: &str| {
        for line in LINES {
            let capture = Capture::of(line);
            change(&capture);
            capture.audit().only_rejected(height(&capture.case), reason);
        }
    };
    let key = |name: &'static str| move |case: &Value| case["keys"][name]["height"].as_u64().unwrap();
    let op = |name: &str, from: &Capture| from.answer(name)["result"]["response"]["proofOps"].clone();
    // Another key's proof.
    let swapped = |capture: &Capture| {
        let other = op("key.absent.json", capture);
        capture.change("key.present.json", |result| result["response"]["proofOps"] = other);
    };
    of(&swapped, &key("present"), "proof-");
    let value = |capture: &Capture| {
        capture.change("key.present.json", |result| result["response"]["value"] = json!(STANDARD.encode("lifted")));
    };
    of(&value, &key("present"), "proof-value");
    let hidden = |capture: &Capture| {
        capture.change("key.present.json", |result| result["response"]["value"] = Value::Null);
    };
    of(&hidden, &key("present"), "proof-value");
    let moved = |capture: &Capture| {
        capture.change("key.deleted.json", |result| result["response"]["height"] = json!("2"));
    };
    of(&moved, &|_| 2, "proof-root");
    let failed = |case: &Value| case["transactions"]["fail"]["height"].as_u64().unwrap();
    let succeeded = |capture: &Capture| {
        let name = format!("{:03}.block_results.json", failed(&capture.case));
        capture.change(&name, |result| result["txs_results"][0]["code"] = json!(0));
    };
    of(&succeeded, &failed, "results-hash");
    let left_out = |capture: &Capture| {
        let name = format!("{:03}.block.json", failed(&capture.case));
        capture.change(&name, |result| result["block"]["data"]["txs"] = json!([]));
    };
    of(&left_out, &failed, "data-hash");
    let renamed = |capture: &Capture| capture.change("tx.fail.json", |result| result["hash"] = json!("00"));
    of(&renamed, &failed, "transaction-hash");
}

#[test]
fn an_event_that_a_node_made_up_is_not_seen_because_nothing_proves_events() {
    let capture = Capture::of(LINES[0]);
    let name = format!("{:03}.block_results.json", capture.case["transactions"]["put"]["height"].as_u64().unwrap());
    capture.change(&name, |result| result["txs_results"][0]["events"] = json!([{ "type": "grant", "attributes": [] }]));
    assert_eq!(capture.audit().ran.code, 0);
}

#[test]
fn a_header_that_was_changed_stops_the_walk_where_hashes_no_longer_lead_back() {
    let capture = Capture::of(LINES[1]);
    capture.change("010.commit.json", |result| {
        result["signed_header"]["header"]["app_hash"] = json!("AB".repeat(32));
    });
    let audited = capture.audit();
    assert_eq!((audited.ran.code, audited.heights("rejected")), (1, vec![10]), "{}", audited.ran);
    assert!(audited.reason(9).starts_with("commit-for-another-block"), "{}", audited.ran);
    assert_eq!(audited.heights("not-yet"), (11..=capture.last() as u64).collect::<Vec<u64>>());
    assert!(audited.reason(10).starts_with("parent-rejected: block 10"), "{}", audited.ran);
}

#[test]
fn heights_that_were_not_captured_stop_the_walk_unless_the_anchor_lets_it_skip() {
    let capture = Capture::of(LINES[1]);
    for height in [9, 10, 11, 12] {
        capture.remove(&format!("{height:03}.commit.json"));
        // The next set must be known where heights are skipped.
        if height > 9 {
            capture.remove(&format!("{height:03}.validators.json"));
        }
    }
    let audited = capture.audit();
    assert_eq!(audited.ran.code, 0, "nothing was rejected: {}", audited.ran);
    assert!(audited.reason(8).starts_with("gap: expected block 9, got block 13"), "{}", audited.ran);
    assert_eq!(audited.heights("final"), (1..=8).collect::<Vec<u64>>());
    capture.anchor_at(1, "skipping = true\n");
    let audited = capture.audit();
    assert_eq!((audited.ran.code, audited.heights("not-yet")), (0, vec![]), "{}", audited.ran);
}

#[test]
fn blocks_below_the_anchor_are_not_judged() {
    let capture = Capture::of(LINES[0]);
    capture.anchor_at(10, "");
    let audited = capture.audit();
    assert_eq!((audited.ran.code, audited.heights("not-yet")), (0, (1..10).collect()), "{}", audited.ran);
    assert!(audited.reason(0).starts_with("before-the-anchor"), "{}", audited.ran);
}

#[test]
fn a_header_without_votes_is_final_once_a_later_one_leads_back_to_it() {
    let capture = Capture::of(LINES[1]);
    // Block 6 was captured with `block` too; the block above, which carries the votes, is taken away with the commit.
    capture.remove("006.commit.json");
    capture.remove("007.block.json");
    let audited = capture.audit();
    assert_eq!((audited.ran.code, audited.heights("not-yet")), (0, vec![]), "{}", audited.ran);
    assert_eq!(audited.rows[5]["quorum"]["have"], 0);
    // With the block above the votes are there.
    let capture = Capture::of(LINES[1]);
    capture.remove("006.commit.json");
    let audited = capture.audit();
    assert_eq!((audited.ran.code, &audited.rows[5]["quorum"]["have"]), (0, &json!(4)), "{}", audited.ran);
}

#[test]
fn many_answers_in_one_file_and_a_file_that_ends_too_early() {
    let capture = Capture::of(LINES[0]);
    let all: String = (1..=8)
        .flat_map(|height| [format!("{height:03}.validators.json"), format!("{height:03}.commit.json")])
        .map(|name| capture.answer(&name).to_string() + "\n")
        .collect();
    let file = capture.work.path().join("all.jsonl");
    fs::write(&file, &all).unwrap();
    let audited = audit(&capture.anchor(), &[&file]);
    assert_eq!((audited.ran.code, audited.heights("final")), (0, (1..=8).collect()), "{}", audited.ran);
    fs::write(&file, &all[..all.len() - 10]).unwrap();
    let audited = audit(&capture.anchor(), &[&file]);
    assert_eq!(audited.ran.code, 1, "{}", audited.ran);
    assert_eq!(audited.rows[7]["height"], Value::Null);
    assert!(audited.reason(7).starts_with("json-malformed"), "{}", audited.ran);
}

#[test]
fn answers_of_a_network_that_is_not_ours() {
    let Some(folder) = vectors("cometbft") else { return };
    let folder = folder.join("kvstore_v0_38");
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("anchor.toml");
    let block = |height: u64| -> Value {
        serde_json::from_slice(&fs::read(folder.join(format!("block_at_height_{height}.json"))).unwrap()).unwrap()
    };
    let trust = |height: u64, more: &str| {
        let hash = &block(height)["result"]["block_id"]["hash"];
        fs::write(&file, anchor(&json!("dockerchain"), height, hash, more)).unwrap();
        audit(&file, &[&folder])
    };
    let first = trust(1, "");
    assert_eq!((first.ran.code, first.heights("final")), (0, vec![1]), "{}", first.ran);
    assert!(first.reason(1).starts_with("gap: expected block 2, got block 10"), "{}", first.ran);
    // The one validator is in the genesis file, and signed block 10.
    let skipped = trust(1, "skipping = true\n");
    assert_eq!((skipped.ran.code, skipped.heights("final")), (0, vec![1, 10]), "{}", skipped.ran);
    assert_eq!(skipped.rows[1]["quorum"]["have"], skipped.rows[1]["quorum"]["need"].as_u64().unwrap() + 3);
    let tenth = trust(10, "");
    assert_eq!((tenth.ran.code, tenth.heights("not-yet")), (0, vec![1]), "{}", tenth.ran);
    assert!(tenth.ran.stderr.contains("transactions: 0 proven, 0 wrong, 9 open"), "{}", tenth.ran);
}

#[test]
fn nothing_at_all_is_no_yes_and_anchors_that_cannot_be_used_are_misuse() {
    let capture = Capture::of(LINES[0]);
    let empty = tempfile::tempdir().unwrap();
    let audited = audit(&capture.anchor(), &[empty.path()]);
    assert_eq!((audited.ran.code, &audited.summary["blocks"]), (1, &json!(0)), "{}", audited.ran);
    let good = fs::read_to_string(capture.anchor()).unwrap();
    for (text_of, words) in [
        (good.replace("cometbft", "evm"), "/family"),
        (good.replace("trusting_period = 1209600\n", ""), "/trusting_period"),
        (format!("{good}epoch = 1\n"), "/epoch"),
        ("height = ".to_owned(), "line 1"),
    ] {
        fs::write(capture.anchor(), &text_of).unwrap();
        let ran = hufu(&["audit", "cometbft", "--anchor", text(&capture.anchor()), text(capture.work.path())]);
        assert_eq!(ran.code, 2, "{ran}");
        assert!(ran.stderr.contains(words), "{words}: {ran}");
    }
}
