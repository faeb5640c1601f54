//! What every command keeps to: help with examples, exit status, errors that say what to do next.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::hufu;

const COMMANDS: [&[&str]; 20] = [
    &[],
    &["init"],
    &["check-config"],
    &["relayer"],
    &["audit"],
    &["audit", "evm"],
    &["bench"],
    &["bench", "evm"],
    &["schema"],
    &["schema", "list"],
    &["schema", "show"],
    &["schema", "validate"],
    &["map"],
    &["map", "check"],
    &["map", "test"],
    &["map", "run"],
    &["key"],
    &["key", "new"],
    &["devnet"],
    &["devnet", "evm"],
];

#[test]
fn help_of_every_command_teaches_with_examples() {
    for command in COMMANDS {
        let ran = hufu(&[command, &["--help"]].concat());
        assert_eq!(ran.code, 0, "{command:?}: {ran}");
        let example = format!("hufu {}", command.join(" "));
        assert!(ran.stdout.contains("Examples:"), "{command:?}: {ran}");
        assert!(ran.stdout.contains(example.trim()), "{command:?}: {ran}");
        assert!(ran.stdout.contains("--json"), "{command:?}: {ran}");
    }
}

#[test]
fn misuse_is_exit_2_and_says_so_on_stderr() {
    let misused: [&[&str]; 11] = [
        &[],
        &["no-such-command"],
        &["init"],
        &["key", "new", "--kind", "rsa"],
        &["key", "new"],
        &["key", "new", "--out", "/no/such/folder/key", "--name", "land.example"],
        &["schema", "show", "no-such-schema"],
        &["schema", "validate"],
        &["map", "test", "/no/such/file.yaml"],
        &["audit", "evm", "--anchor", "/no/such/anchor.toml", "blocks.rlp"],
        &["devnet", "evm", "--validators", "0"],
    ];
    for args in misused {
        let ran = hufu(args);
        assert_eq!(ran.code, 2, "{args:?}: {ran}");
        assert!(ran.stdout.is_empty(), "{args:?}: {ran}");
        assert!(!ran.stderr.is_empty(), "{args:?}: {ran}");
    }
}

#[test]
fn errors_say_what_to_do_next_in_both_forms() {
    let ran = hufu(&["schema", "show", "no-such-schema"]);
    assert!(ran.stderr.contains("next: see: hufu schema list"), "{ran}");
    let ran = hufu(&["--json", "schema", "show", "no-such-schema"]);
    let error: serde_json::Value = serde_json::from_str(ran.stderr.trim()).unwrap();
    assert_eq!(error["error"]["next"], "see: hufu schema list");
    assert!(error["error"]["message"].as_str().unwrap().contains("no-such-schema"));
}

#[test]
fn nothing_of_progress_is_written_where_there_is_no_terminal() {
    let ran = hufu(&["schema", "list"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran}");
}
