//! The departments' programs: each gateway and the relayer is a process of its own, this same binary.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A running child. It is killed when dropped, so that a failed demo leaves nothing behind.
pub(super) struct Running {
    child: Child,
    pub(super) pid: u32,
    log: PathBuf,
}

/// A start takes under a second; a loaded machine gets more.
const START: Duration = Duration::from_secs(30);

impl Running {
    /// Starts a gateway and waits for the line in which it says where it listens.
    pub(super) async fn gateway(config: &Path, log: &Path) -> anyhow::Result<(Self, Value)> {
        let (mut running, mut lines) = Self::start(&["gateway", "--config"], config, log)?;
        let line = tokio::time::timeout(START, lines.next_line())
            .await
            .with_context(|| running.silence("the gateway did not say within 30 s where it listens"))??;
        let Some(line) = line else {
            let status = running.child.wait().await?;
            anyhow::bail!(running.silence(&format!("the gateway ended with {status}")));
        };
        Ok((running, serde_json::from_str(&line)?))
    }

    /// Starts a relayer.
    pub(super) fn relayer(config: &Path, log: &Path) -> anyhow::Result<Self> {
        Ok(Self::start(&["relayer", "--config"], config, log)?.0)
    }

    #[allow(clippy::type_complexity)]
    fn start(
        command: &[&str],
        config: &Path,
        log: &Path,
    ) -> anyhow::Result<(Self, tokio::io::Lines<BufReader<tokio::process::ChildStdout>>)> {
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let mut child = Command::new(std::env::current_exe()?)
            .args(command)
            .arg(config)
            .arg("--json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("the child ended at once")?;
        let stdout = child.stdout.take().context("the child has no stdout")?;
        Ok((Self { child, pid, log: log.to_owned() }, BufReader::new(stdout).lines()))
    }

    /// Ends the process at once, as a power cut would.
    pub(super) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    fn silence(&self, words: &str) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        format!("{words}; its last words:\n{}", last.join("\n"))
    }
}

/// Runs this binary to its end; (exit code, stdout, stderr).
pub(super) async fn hufu(args: &[&str]) -> anyhow::Result<(Option<i32>, String, String)> {
    let output = Command::new(std::env::current_exe()?).args(args).stdin(Stdio::null()).output().await?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((output.status.code(), text(output.stdout), text(output.stderr)))
}
