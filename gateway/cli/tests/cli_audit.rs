//! `hufu audit evm` over every case folder of the vectors, and over exports that are damaged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use hufu_evm_light_client::rlp::Reader;
use serde_json::Value;
use support::{Ran, hufu, hufu_with, text, vectors};

/// A case folder, with its anchor as the audit reads it.
struct Case {
    folder: PathBuf,
    case: Value,
    anchor: PathBuf,
    /// Keeps the anchor file.
    work: tempfile::TempDir,
}

impl Case {
    fn consensus(&self) -> &str {
        self.case["anchor"]["consensus"].as_str().unwrap()
    }

    fn files(&self) -> Vec<PathBuf> {
        self.case["blocks"].as_array().unwrap().iter().map(|file| self.folder.join(file.as_str().unwrap())).collect()
    }

    fn json(&self, member: &str) -> Option<Value> {
        let file = self.case.get(member)?.as_str()?;
        Some(serde_json::from_slice(&fs::read(self.folder.join(file)).unwrap()).unwrap())
    }

    fn audit(&self, files: &[&Path]) -> Ran {
        let mut args = vec!["audit", "evm", "--json", "--anchor", text(&self.anchor)];
        args.extend(files.iter().map(|file| text(file)));
        hufu(&args)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.work.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The blocks of the first file.
    fn blocks(&self) -> Vec<Vec<u8>> {
        let bytes = fs::read(&self.files()[0]).unwrap();
        let mut reader = Reader::new(&bytes);
        let mut blocks = Vec::new();
        while !reader.is_empty() {
            blocks.push(reader.raw().unwrap().to_vec());
        }
        blocks
    }
}

/// A JSON anchor as TOML; `null` is absent.
fn anchor_toml(anchor: &Value) -> String {
    anchor.as_object().unwrap().iter().filter(|(_, value)| !value.is_null()).fold(
        String::new(),
        |mut all, (key, value)| {
            writeln!(all, "{key} = {value}").unwrap();
            all
        },
    )
}

fn cases() -> Option<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(vectors("evm")?).unwrap() {
        let folder = entry.unwrap().path();
        let Ok(bytes) = fs::read(folder.join("case.json")) else { continue };
        let case: Value = serde_json::from_slice(&bytes).unwrap();
        let work = tempfile::tempdir().unwrap();
        let anchor = work.path().join("anchor.toml");
        fs::write(&anchor, anchor_toml(&case["anchor"])).unwrap();
        cases.push(Case { folder, case, anchor, work });
    }
    for kind in ["qbft", "ibft1", "clique"] {
        assert!(cases.iter().any(|case| case.consensus() == kind), "no case of {kind}");
    }
    Some(cases)
}

fn signers(expected: &Value) -> Vec<String> {
    let many = expected.get("committed_signers").and_then(Value::as_array).cloned();
    let one = || expected.get("signer").filter(|signer| !signer.is_null()).cloned().into_iter().collect();
    let mut signers: Vec<String> =
        many.unwrap_or_else(one).iter().map(|signer| signer.as_str().unwrap().to_lowercase()).collect();
    signers.sort();
    signers
}

#[test]
fn every_case_folder_comes_out_as_its_expected_file_says() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let expected = case.json("expected").unwrap();
        let expected = expected.as_array().unwrap();
        for (copy, file) in case.files().iter().enumerate() {
            let ran = case.audit(&[file]);
            assert_eq!(ran.code, 0, "{}: {ran}", file.display());
            let mut rows = ran.rows();
            let summary = rows.pop().unwrap()["summary"].clone();
            assert_eq!(rows.len(), expected.len(), "{}", file.display());
            for (row, expected) in rows.iter().zip(expected) {
                assert_eq!(row["height"], expected["number"]);
                assert_eq!(row["hash"], expected["hash"], "{row}");
                check_signers(copy, row, expected);
            }
            check_verdicts(&case, &rows, &summary);
        }
    }
}

/// The expected signers are those of the first file. Another node's copy may carry other seals of the same validators.
fn check_signers(copy: usize, row: &Value, expected: &Value) {
    let found = signers_of(row);
    if copy == 0 {
        assert_eq!(found, signers(expected), "{row}");
        return;
    }
    assert_eq!(row["quorum"]["have"], found.len(), "{row}");
    let validators = expected["header_validators"].as_array().unwrap();
    assert!(found.iter().all(|signer| validators.contains(&Value::from(signer.as_str()))), "{row}");
}

/// A block of a BFT kind is final at once; a Clique block when a majority of signers has signed on top.
fn check_verdicts(case: &Case, rows: &[Value], summary: &Value) {
    let settled = rows.iter().take_while(|row| row["verdict"] == "final").count();
    assert!(rows.iter().skip(settled).all(|row| row["verdict"] == "not-yet"), "{}", case.folder.display());
    if case.consensus() != "clique" {
        assert_eq!(settled, rows.len());
        assert!(rows.iter().all(|row| row["finality"] == "bft-final" && row["reason"].is_null()));
        assert!(rows.iter().all(|row| row["quorum"]["have"].as_u64() >= row["quorum"]["need"].as_u64()));
    } else {
        let need = rows.last().unwrap()["quorum"]["need"].as_u64().unwrap();
        assert!(settled < rows.len() && u64::try_from(rows.len() - settled).unwrap() >= need);
        assert!(rows.iter().all(|row| row["finality"] == "probabilistic"));
        assert!(rows.last().unwrap()["reason"].as_str().unwrap().starts_with("confirmations-wanted"));
    }
    let of = |verdict: &str| rows.iter().filter(|row| row["verdict"] == verdict).count();
    assert_eq!(summary["blocks"], rows.len());
    assert_eq!((&summary["final"], &summary["rejected"]), (&of("final").into(), &0.into()));
    assert_eq!(summary["not_yet"], of("not-yet"));
}

#[test]
fn copies_of_two_nodes_are_one_walk_each() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let files = case.files();
        let ran = case.audit(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>());
        assert_eq!(ran.code, 0, "{ran}");
        let blocks = case.json("expected").unwrap().as_array().unwrap().len() * files.len();
        assert_eq!(ran.rows().last().unwrap()["summary"]["blocks"], blocks);
    }
}

/// Negative rows that are blocks, each with the export in which it stands in its place.
fn negatives(case: &Case) -> Vec<(String, usize, PathBuf)> {
    let Some(rows) = case.json("negative") else { return Vec::new() };
    let folder = case.folder.join(case.case["negative"].as_str().unwrap()).parent().unwrap().to_owned();
    let rows = rows.as_array().unwrap().clone();
    let blocks = rows.into_iter().filter(|row| row["file"].as_str().unwrap().ends_with(".rlp"));
    let of_them = blocks.filter(|row| row["class"] != "strictness").map(|row| {
        let file = row["file"].as_str().unwrap().to_owned();
        let number = usize::try_from(row["number"].as_u64().unwrap()).unwrap();
        let mut blocks = case.blocks();
        blocks[number] = fs::read(folder.join(&file)).unwrap();
        let export = case.write(&file, &blocks.concat());
        (file, number, export)
    });
    of_them.collect()
}

#[test]
fn each_negative_file_is_refused_in_its_place_and_the_walk_goes_on_by_quorum() {
    let Some(cases) = cases() else { return };
    let (mut seen, mut went_on) = (0, 0);
    for case in cases {
        let expected = case.json("expected").unwrap();
        for (file, number, export) in negatives(&case) {
            let ran = case.audit(&[&export]);
            assert_eq!(ran.code, 1, "{file}: {ran}");
            let mut rows = ran.rows();
            let summary = rows.pop().unwrap()["summary"].clone();
            assert_eq!(rows.len(), expected.as_array().unwrap().len());
            // Where the block's hash is the right one and its seals are bad, those who sealed the next block vouch for it.
            let goes_on = rows[number]["hash"] == expected[number]["hash"];
            for (at, (row, due)) in rows.iter().zip(expected.as_array().unwrap()).enumerate() {
                assert_eq!(row["height"], due["number"]);
                let after = if goes_on { "final" } else { "not-yet" };
                let verdict = [after, "rejected", "final"][usize::from(at <= number) + usize::from(at < number)];
                assert_eq!(row["verdict"], verdict, "{file}: {row}");
                if verdict == "final" {
                    assert_eq!((&row["hash"], signers_of(row)), (&due["hash"], signers(due)), "{file}: {row}");
                    assert!(row["reason"].is_null(), "{file}: {row}");
                }
                if verdict == "not-yet" {
                    assert!(row["reason"].as_str().unwrap().starts_with("parent-rejected"), "{file}: {row}");
                }
            }
            let after = if goes_on { 0 } else { rows.len() - number - 1 };
            assert_eq!((&summary["rejected"], &summary["not_yet"]), (&1.into(), &after.into()));
            went_on += usize::from(goes_on);
            println!("{file}: {summary}");
            seen += 1;
        }
    }
    assert!(seen >= 4 && went_on >= 3, "{seen} negative files, {went_on} of them passed over");
}

fn signers_of(row: &Value) -> Vec<String> {
    serde_json::from_value(row["signers"].clone()).unwrap()
}

#[test]
fn the_walk_goes_on_after_several_rejected_blocks_and_over_a_change_of_the_set() {
    let Some(cases) = cases() else { return };
    for case in cases.iter().filter(|case| case.consensus() == "qbft") {
        let expected = case.json("expected").unwrap();
        let set_of = |at: usize| &expected[at]["header_validators"];
        // The last vote of a change is in the first rejected block, or in the block before it.
        let change = (1..).find(|at| set_of(*at) != set_of(at - 1)).unwrap();
        for first in [change - 2, change - 1, change] {
            let mut blocks = case.blocks();
            for at in [first, first + 1] {
                blocks[at] = with_bad_seal(&blocks[at]);
            }
            let ran = case.audit(&[&case.write("two.rlp", &blocks.concat())]);
            assert_eq!(ran.code, 1, "{ran}");
            let rows = ran.rows();
            for (at, row) in rows[..blocks.len()].iter().enumerate() {
                let verdict = if [first, first + 1].contains(&at) { "rejected" } else { "final" };
                assert_eq!(row["verdict"], verdict, "from {first}: {row}");
            }
        }
    }
}

/// A block whose last seal is another signature: extraData ends with it, and the hash leaves it out.
fn with_bad_seal(block: &[u8]) -> Vec<u8> {
    let mut rest = Reader::whole_list(block).unwrap();
    let mut header = Reader::whole_list(rest.raw().unwrap()).unwrap();
    let mut items: Vec<Vec<u8>> = Vec::new();
    while !header.is_empty() {
        items.push(header.raw().unwrap().to_vec());
    }
    let extra = &mut items[12];
    let at = extra.len() - 10;
    extra[at] ^= 1;
    with_header(&list(&items.concat()), rest.rest())
}

fn with_header(header: &[u8], rest: &[u8]) -> Vec<u8> {
    list(&[header, rest].concat())
}

fn list(items: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    hufu_evm_light_client::rlp::write_list(items, &mut out);
    out
}

#[test]
fn a_block_that_hangs_on_nothing_is_not_judged_whoever_sealed_it() {
    // Blocks of a sister ledger with the same validators would look like this.
    let Some(cases) = cases() else { return };
    for case in cases.iter().filter(|case| case.consensus() != "clique") {
        let mut blocks = case.blocks();
        blocks[2] = vec![0xc0];
        let ran = case.audit(&[&case.write("sister.rlp", &blocks.concat())]);
        assert_eq!(ran.code, 1, "{ran}");
        let rows = ran.rows();
        assert_eq!(rows[2]["verdict"], "rejected");
        assert!(rows[3..blocks.len()].iter().all(|row| row["verdict"] == "not-yet"), "{ran}");
    }
}

#[test]
fn on_a_kind_that_one_signer_seals_nothing_goes_on_after_a_rejected_block() {
    let Some(cases) = cases() else { return };
    for case in cases.iter().filter(|case| case.consensus() == "clique") {
        let mut blocks = case.blocks();
        let mut rest = Reader::whole_list(&blocks[2]).unwrap();
        let mut header = rest.raw().unwrap().to_vec();
        *header.last_mut().unwrap() ^= 1;
        blocks[2] = with_header(&header, rest.rest());
        let ran = case.audit(&[&case.write("broken.rlp", &blocks.concat())]);
        assert_eq!(ran.code, 1, "{ran}");
        let rows = ran.rows();
        assert_eq!(rows[2]["verdict"], "rejected");
        for row in &rows[3..blocks.len()] {
            assert_eq!(row["verdict"], "not-yet", "{row}");
            assert!(row["reason"].as_str().unwrap().starts_with("parent-rejected"), "{row}");
        }
    }
}

#[test]
fn each_line_of_json_has_its_members_and_no_others_in_their_order() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let mut exports: Vec<PathBuf> = case.files();
        exports.extend(negatives(&case).into_iter().map(|(_, _, export)| export));
        for export in exports {
            let ran = case.audit(&[&export]);
            for (line, row) in ran.stdout.lines().zip(ran.rows()) {
                let due = if let Some(summary) = row.get("summary") {
                    let members =
                        ["blocks", "final", "rejected", "not_yet"].map(|name| format!("\"{name}\":{}", summary[name]));
                    format!("{{\"summary\":{{{}}}}}", members.join(","))
                } else {
                    let quorum = format!("{{\"have\":{},\"need\":{}}}", row["quorum"]["have"], row["quorum"]["need"]);
                    format!(
                        "{{\"height\":{},\"hash\":{},\"verdict\":{},\"finality\":{},\"signers\":{},\"quorum\":{quorum},\"reason\":{}}}",
                        row["height"], row["hash"], row["verdict"], row["finality"], row["signers"], row["reason"]
                    )
                };
                assert_eq!(line, due);
                let signers = row.get("signers").map(|_| signers_of(&row)).unwrap_or_default();
                assert!(signers.is_sorted() && signers.iter().all(|it| *it == it.to_lowercase()), "{line}");
            }
        }
    }
}

#[test]
fn blocks_below_the_anchor_are_not_judged_and_those_from_it_on_are() {
    let Some(cases) = cases() else { return };
    for case in cases.iter().filter(|case| case.consensus() != "clique") {
        let expected = case.json("expected").unwrap();
        let height = 5;
        let mut anchor = case.case["anchor"].clone();
        anchor["height"] = height.into();
        anchor["hash"] = expected[height]["hash"].clone();
        fs::write(&case.anchor, anchor_toml(&anchor)).unwrap();
        let ran = case.audit(&[&case.files()[0]]);
        assert_eq!(ran.code, 0, "nothing was rejected: {ran}");
        let rows = ran.rows();
        for (at, row) in rows[..rows.len() - 1].iter().enumerate() {
            let verdict = if at < height { "not-yet" } else { "final" };
            assert_eq!(row["verdict"], verdict, "{row}");
            assert_eq!(
                at < height,
                row["reason"].as_str().is_some_and(|it| it.starts_with("before-the-anchor")),
                "{row}"
            );
        }
        assert_eq!(rows.last().unwrap()["summary"]["not_yet"], height);
    }
}

#[test]
fn an_export_without_the_anchors_block_settles_nothing_and_is_no_yes() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let blocks = case.blocks();
        for (bytes, count) in [(Vec::new(), 0), (blocks[1..4].concat(), 3)] {
            let ran = case.audit(&[&case.write("part.rlp", &bytes)]);
            assert_eq!(ran.code, 1, "{ran}");
            let mut rows = ran.rows();
            let summary = rows.pop().unwrap()["summary"].clone();
            assert_eq!((&summary["blocks"], &summary["not_yet"]), (&count.into(), &count.into()));
            assert!(rows.iter().all(|row| row["reason"].as_str().unwrap().starts_with("anchor-not-seen")), "{ran}");
        }
    }
}

#[test]
fn progress_is_shown_on_a_terminal_and_nowhere_else() {
    let Some(cases) = cases() else { return };
    let case = cases.iter().find(|case| case.consensus() == "qbft").unwrap();
    let file = case.folder.join(case.case["blocks"][0].as_str().unwrap());
    let files: Vec<&Path> = vec![file.as_path(); 10];
    let ran = case.audit(&files);
    assert!(ran.rows().len() > 1_000 && ran.stderr.is_empty(), "{ran}");
    // The one program that gives a command a terminal without asking for one itself.
    let hufu = env!("CARGO_BIN_EXE_hufu");
    let words: Vec<String> = files.iter().map(|file| format!("'{}'", text(file))).collect();
    let command = format!("'{hufu}' audit evm --anchor '{}' {} >/dev/null", text(&case.anchor), words.join(" "));
    let script = std::process::Command::new("script").args(["-qec", &command, "/dev/null"]).output();
    let Ok(script) = script else {
        println!("skipped: the program script (util-linux) is not here, so there is no terminal to look at");
        return;
    };
    let shown = String::from_utf8(script.stdout).unwrap();
    assert!(script.status.success() && shown.contains("\r\u{1b}[K1000 blocks: 1000 final"), "{shown:?}");
    assert!(shown.trim_end().ends_with("\u{1b}[K"), "the line is cleared at the end: {shown:?}");
}

#[test]
fn receipts_that_are_the_headers_pass_and_one_turned_status_rejects_its_block_alone() {
    let Some(cases) = cases() else { return };
    for case in cases.iter().filter(|case| case.case.get("receipts").is_some()) {
        let file = &case.files()[0];
        let good = case.folder.join(case.case["receipts"].as_str().unwrap());
        let audit = |receipts: &Path| {
            hufu(&["audit", "evm", "--json", "--anchor", text(&case.anchor), "--receipts", text(receipts), text(file)])
        };
        let ran = audit(&good);
        assert_eq!(ran.code, 0, "{ran}");
        let blocks = case.blocks().len();
        let said = format!("receipts of {blocks} blocks checked, 0 wrong, 0 not given");
        assert_eq!(ran.stderr.trim_end(), said);
        assert_eq!(ran.rows().len(), blocks + 1, "the same rows as without receipts");

        let mut receipts = case.json("receipts").unwrap();
        let (height, block) = receipts.as_object_mut().unwrap().iter_mut().next().unwrap();
        let status = &mut block["receipts"][0]["status"];
        *status = if *status == "0x0" { "0x1".into() } else { "0x0".into() };
        let height: u64 = height.parse().unwrap();
        let ran = audit(&case.write("receipts.json", receipts.to_string().as_bytes()));
        assert_eq!(ran.code, 1, "{ran}");
        let rows = ran.rows();
        let rejected: Vec<&Value> = rows.iter().filter(|row| row["verdict"] == "rejected").collect();
        assert_eq!(rejected.len(), 1);
        assert_eq!(rejected[0]["height"], height);
        assert!(rejected[0]["reason"].as_str().unwrap().starts_with("receipts-root"));
    }
}

#[test]
fn an_export_that_is_zipped_or_comes_by_stdin_is_the_same_export() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let plain = case.audit(&[&case.files()[0]]);
        let bytes = fs::read(&case.files()[0]).unwrap();
        let piped = hufu_with(&["audit", "evm", "--json", "--anchor", text(&case.anchor), "-"], &bytes);
        assert_eq!(piped.stdout, plain.stdout);
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(&bytes).unwrap();
        let zipped = case.audit(&[&case.write("blocks.bin", &zip.finish().unwrap())]);
        assert_eq!(zipped.stdout, plain.stdout);
    }
}

#[test]
fn an_export_cut_short_inside_a_block() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let bytes = fs::read(&case.files()[0]).unwrap();
        let ran = case.audit(&[&case.write("short.rlp", &bytes[..bytes.len() - 1])]);
        assert_eq!(ran.code, 1, "{ran}");
        let rows = ran.rows();
        let last = &rows[rows.len() - 2];
        assert_eq!((&last["verdict"], &last["height"]), (&"rejected".into(), &Value::Null));
        assert!(last["reason"].as_str().unwrap().starts_with("rlp-truncated"));
    }
}

#[test]
fn a_body_that_is_not_the_headers_is_rejected_although_its_seals_are_good() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let mut blocks = case.blocks();
        let place = 2.min(blocks.len() - 2);
        let mut items = Reader::whole_list(&blocks[place]).unwrap();
        let header = items.raw().unwrap().to_vec();
        // One transaction that is the empty list, no ommers.
        let mut forged = Vec::new();
        hufu_evm_light_client::rlp::write_list_of(&[&header, &[0xc1, 0xc0], &[0xc0]], &mut forged);
        blocks[place] = forged;
        let ran = case.audit(&[&case.write("body.rlp", &blocks.concat())]);
        assert_eq!(ran.code, 1, "{ran}");
        let rows = ran.rows();
        assert_eq!(rows[place]["verdict"], "rejected");
        assert!(rows[place]["reason"].as_str().unwrap().starts_with("transactions-root"));
        assert_eq!(rows[place + 1]["verdict"], "final", "the header was good: {}", rows[place + 1]);
    }
}

#[test]
fn a_block_left_out_stops_the_walk_and_is_nobodys_guilt() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let mut blocks = case.blocks();
        blocks.remove(2);
        let ran = case.audit(&[&case.write("gap.rlp", &blocks.concat())]);
        assert_eq!(ran.code, 0, "nothing was rejected: {ran}");
        let rows = ran.rows();
        assert_eq!(rows[2]["verdict"], "not-yet");
        assert!(rows[2]["reason"].as_str().unwrap().starts_with("gap: expected block 2"));
    }
}

#[test]
fn an_export_of_another_ledger_under_this_anchor() {
    let Some(cases) = cases() else { return };
    for case in cases {
        let mut anchor = case.case["anchor"].clone();
        anchor["hash"] = format!("0x{}", "11".repeat(32)).into();
        fs::write(&case.anchor, anchor_toml(&anchor)).unwrap();
        let ran = case.audit(&[&case.files()[0]]);
        assert_eq!(ran.code, 1, "{ran}");
        let rows = ran.rows();
        assert!(rows[0]["reason"].as_str().unwrap().starts_with("anchor-hash"), "{}", rows[0]);
        assert!(rows[1..rows.len() - 1].iter().all(|row| row["verdict"] == "not-yet"));
    }
}

#[test]
fn receipts_that_cannot_be_read_are_misuse() {
    let Some(cases) = cases() else { return };
    for case in cases.iter().filter(|case| case.case.get("receipts").is_some()) {
        let receipts = case.json("receipts").unwrap();
        let block = receipts.as_object().unwrap().values().next().unwrap();
        let twice = format!("{block}{block}");
        let export = &case.files()[0];
        for (bytes, words) in [(twice.as_str(), "twice"), ("{}", "got none"), ("[1, 2", "EOF"), ("", "got none")] {
            let file = case.write("receipts.json", bytes.as_bytes());
            let ran = hufu(&["audit", "evm", "--anchor", text(&case.anchor), "--receipts", text(&file), text(export)]);
            assert_eq!(ran.code, 2, "{ran}");
            assert!(ran.stderr.contains(words), "{words}: {ran}");
        }
    }
}

#[test]
fn an_anchor_that_cannot_be_used_is_misuse() {
    let folder = tempfile::tempdir().unwrap();
    let anchor = folder.path().join("anchor.toml");
    let hash = format!("0x{}", "11".repeat(32));
    let good = format!("family = \"evm\"\nconsensus = \"qbft\"\nheight = 0\nhash = \"{hash}\"\n");
    let bad = [
        (good.replace("qbft", "ibft3"), "/consensus"),
        (format!("{}confirmations = 2\n", good.replace("qbft", "ibft2")), "/confirmations"),
        (good.replace("height = 0\n", ""), "/height"),
        (format!("{good}finality = \"bft-final\"\n"), "/finality"),
        (
            format!("{}confirmations = 2\n", good.replace("qbft", "unsealed")),
            "/consensus: expected a kind whose blocks somebody seals",
        ),
        (good.replace("evm", "other"), "/family"),
        ("height = ".to_owned(), "line 1"),
    ];
    for (text_of, words) in bad {
        fs::write(&anchor, &text_of).unwrap();
        let ran = hufu(&["audit", "evm", "--anchor", text(&anchor), "-"]);
        assert_eq!(ran.code, 2, "{text_of}: {ran}");
        assert!(ran.stderr.contains(words), "{text_of}: {ran}");
    }
}
