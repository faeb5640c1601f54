//! `hufu verify`: what is no evidence, and what is no question. (That good evidence is believed, and not after one byte
//! is changed, is shown where evidence is made.)

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;

use support::{hufu, hufu_with, text};

#[test]
fn what_is_no_evidence_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.toml");
    fs::write(&policy, "policy = 1\n").unwrap();
    let deep = "[".repeat(10_000);
    for garbage in ["", "hello", "{}", "{\"evidence\":1}", "[]", deep.as_str(), "{\"evidence\":1,\"evidence\":1}"] {
        let ran = hufu_with(&["verify", "-", "--policy", text(&policy), "--json"], garbage.as_bytes());
        assert_eq!(ran.code, 1, "{garbage:.40}: {ran}");
        let verdict = ran.json();
        assert_eq!(verdict["reason"], "evidence-malformed", "{ran}");
        assert_eq!(verdict["steps"][0]["holds"], false, "{ran}");
        assert!(verdict["record"].is_null() && verdict["assurance"].is_null(), "{ran}");
    }
    let ran = hufu_with(&["verify", "-", "--policy", text(&policy)], b"hello");
    assert!(
        ran.code == 1 && ran.stdout.contains('✗') && ran.stdout.contains("not believed: evidence-malformed"),
        "{ran}"
    );
}

#[test]
fn without_policy_time_or_file_there_is_no_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, evidence) = (folder.path().join("policy.toml"), folder.path().join("evidence.json"));
    fs::write(&evidence, "{}").unwrap();
    fs::write(&policy, "policy = 1\npolicies = 2\n").unwrap();
    let ran = hufu(&["verify", text(&evidence)]);
    assert!(ran.code == 2 && ran.stderr.contains("--policy"), "{ran}");
    let ran = hufu(&["verify", text(&evidence), "--policy", text(&policy)]);
    assert!(ran.code == 2 && ran.stderr.contains("policy.toml:2:1"), "the line is named: {ran}");
    fs::write(&policy, "policy = 1\n").unwrap();
    let ran = hufu(&["verify", text(&evidence), "--policy", text(&policy), "--at", "yesterday"]);
    assert!(ran.code == 2 && ran.stderr.contains("expected a time for --at"), "{ran}");
    let ran = hufu(&["verify", text(&folder.path().join("none")), "--policy", text(&policy)]);
    assert!(ran.code == 2 && ran.stderr.contains("cannot read"), "{ran}");
}
