//! Runs the built binary.

// Each test file uses a part of this.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What one run gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// stdout as one JSON value.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// stdout as one JSON value a line.
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short: String = self.stdout.chars().take(2_000).collect();
        write!(f, "exit {}\nstdout: {short}\nstderr: {}", self.code, self.stderr)
    }
}

pub(crate) fn hufu(args: &[&str]) -> Ran {
    hufu_with(args, b"")
}

pub(crate) fn hufu_with(args: &[&str], stdin: &[u8]) -> Ran {
    let mut child = command(args).spawn().unwrap();
    // A command that does not read its stdin may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    Ran {
        code: status.code().expect("ended by itself"),
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
    }
}

pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hufu"));
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The top of the tree.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The vectors of one family. Without HUFU_VECTORS they may be absent, and then it is said; with it they must be there.
pub(crate) fn vectors(family: &str) -> Option<PathBuf> {
    let named = std::env::var_os("HUFU_VECTORS").map(PathBuf::from);
    let folder = named.clone().unwrap_or_else(|| workspace().join("../shared/vectors")).join(family);
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(named.is_none(), "HUFU_VECTORS is set, and {} is not there", folder.display());
    println!("skipped: no vectors at {}", folder.display());
    None
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
