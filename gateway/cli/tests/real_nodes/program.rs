//! The real `hufu` binary: one command run to its end, or a process that goes on, is killed and comes back.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

const HUFU: &str = env!("CARGO_BIN_EXE_hufu");
/// A start takes under a second; a loaded machine gets more.
const START: Duration = Duration::from_secs(30);
/// Lines of a process's log that a failing test shows.
const TAIL: usize = 25;

/// Runs one command with `--json` and returns its answer.
///
/// # Panics
/// If it does not end with status 0.
pub(crate) async fn hufu(args: &[&str]) -> Value {
    let output = Command::new(HUFU).args(args).arg("--json").stdin(Stdio::null()).output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "hufu {} ended with {}: {said}", args.join(" "), output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A gateway or a relayer. Dropping it kills it, and after a failed test shows the end of its log.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    command: &'static str,
    config: PathBuf,
    log: PathBuf,
    child: Mutex<Option<Child>>,
}

impl Program {
    /// A gateway that is not started yet.
    pub(crate) fn gateway(name: &str, config: PathBuf) -> Self {
        Self::new(format!("gateway {name}"), "gateway", config)
    }

    /// A relayer that is not started yet.
    pub(crate) fn relayer(name: &str, config: PathBuf) -> Self {
        Self::new(format!("relayer {name}"), "relayer", config)
    }

    fn new(name: String, command: &'static str, config: PathBuf) -> Self {
        let log = config.with_extension("log");
        Self { name, command, config, log, child: Mutex::new(None) }
    }

    /// What it is called in what the test prints.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Starts it and returns its process id; a gateway listens then.
    pub(crate) async fn start(&self) -> u32 {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let mut child = Command::new(HUFU)
            .args([self.command, "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let before = self.child.lock().unwrap().replace(child);
        assert!(before.is_none(), "{} is running already", self.name);
        if self.command == "gateway" {
            let line = timeout(START, lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("waited {START:?} for {} to listen", self.name)).unwrap();
            let line = line.unwrap_or_else(|| panic!("{} ended at once", self.name));
            let said: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(said["pid"], pid, "{line}");
        }
        pid
    }

    /// SIGKILL. Returns the id of the process that is gone.
    pub(crate) async fn kill(&self) -> u32 {
        let mut child = self.child.lock().unwrap().take().unwrap_or_else(|| panic!("{} is not running", self.name));
        let pid = child.id().unwrap_or_else(|| panic!("{} ended by itself", self.name));
        child.kill().await.unwrap();
        pid
    }

    /// All that it has logged, before and after each kill.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        println!("--- end of the log of {}", self.name);
        println!("{}", lines[lines.len().saturating_sub(TAIL)..].join("\n"));
    }
}

/// A department's own software: `hufu subscribe`, whose events are collected as they come.
#[derive(Debug)]
pub(crate) struct Subscriber {
    events: std::sync::Arc<Mutex<Vec<Value>>>,
    _child: Child,
}

impl Subscriber {
    /// Subscribes from the first event on. `log`: where it says when it lost the gateway and came back.
    pub(crate) fn start(url: &str, authorities: &Path, token: &Path, log: &Path) -> Self {
        let mut child = Command::new(HUFU)
            .args(["subscribe", url, "--json", "--ca", text(authorities), "--token-file", text(token)])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let events = std::sync::Arc::<Mutex<Vec<Value>>>::default();
        let (mut lines, collected) = (BufReader::new(child.stdout.take().unwrap()).lines(), events.clone());
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                collected.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self { events, _child: child }
    }

    /// What came so far, in the order in which it came.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.events.lock().unwrap().clone()
    }
}
