//! `hufu gateway` as a process, and commands that ask it over TLS.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Ran, command, hufu, text};

const WITHIN: Duration = Duration::from_secs(60);

struct Running {
    child: Child,
    listening: Value,
    dir: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone where the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder made by `hufu init`, with ports left to the system and two tokens.
fn made(folder: &Path, name: &str) -> PathBuf {
    let dir = folder.join(name);
    assert_eq!(hufu(&["init", text(&dir), "--name", name]).code, 0);
    let config = dir.join("gateway.toml");
    let mut written = fs::read_to_string(&config).unwrap();
    for port in ["7401", "7402", "7403"] {
        written = written.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0");
    }
    for (application, scopes) in [("operator", "\"read\", \"operate\""), ("reader", "\"read\"")] {
        let token = dir.join(application);
        let made = hufu(&["key", "new", "--kind", "token", "--out", text(&token), "--json"]).json();
        let digest = made["token_sha256"].as_str().unwrap();
        written +=
            &format!("\n[[application]]\nname = \"{application}\"\ntoken_sha256 = \"{digest}\"\nscopes = [{scopes}]\n");
    }
    fs::write(&config, written).unwrap();
    dir
}

fn started(dir: PathBuf) -> Running {
    let mut child =
        command(&["gateway", "--config", text(&dir.join("gateway.toml")), "--log-format", "json"]).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    // Read to the end, or a full pipe would stop the gateway.
    let stderr = BufReader::new(child.stderr.take().unwrap());
    thread::spawn(move || stderr.lines().map_while(Result::ok).for_each(|line| eprintln!("{line}")));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        sender.send(line)
    });
    let line = receiver.recv_timeout(WITHIN).expect("waited for the line that says where the gateway listens");
    let ready: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!(ready["pid"], child.id());
    let running = Running { child, listening: ready["listening"].clone(), dir };
    running.write_config_with_ports();
    running
}

impl Running {
    fn url(&self) -> String {
        format!("https://{}", self.listening["applications"].as_str().unwrap())
    }

    /// The configuration as an operator has it, with the ports that the system chose.
    fn write_config_with_ports(&self) {
        let mut config = fs::read_to_string(self.dir.join("gateway.toml")).unwrap();
        for listener in ["peers", "applications", "monitoring"] {
            let at = self.listening[listener].as_str().unwrap();
            assert!(!at.ends_with(":0"), "{at}");
            config = config.replacen("127.0.0.1:0", at, 1);
        }
        fs::write(self.dir.join("with-ports.toml"), config).unwrap();
    }

    /// Asks as an operator on the gateway's machine does.
    fn ask(&self, args: &[&str], token: &str) -> Ran {
        let (config, token) = (self.dir.join("with-ports.toml"), self.dir.join(token));
        hufu(&[args, &["--config", text(&config), "--token-file", text(&token)]].concat())
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + WITHIN;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None => assert!(Instant::now() < deadline, "waited for the gateway to end"),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_gateway_says_where_it_listens_answers_operators_and_ends_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let mut gateway = started(made(folder.path(), "land.example"));

    let lanes = gateway.ask(&["lane", "list", "--json"], "reader");
    assert_eq!((lanes.code, lanes.json()), (0, serde_json::json!({"lanes": []})), "{lanes}");
    let ledgers = gateway.ask(&["ledger", "status"], "reader");
    assert!(ledgers.code == 0 && ledgers.stdout.contains("anchors no ledger"), "{ledgers}");
    let held = gateway.ask(&["held", "list"], "operator");
    assert!(held.code == 0 && held.stdout.contains("nothing is held"), "{held}");
    let retried = gateway.ask(&["held", "retry"], "operator");
    assert!(retried.code == 0 && retried.stdout.contains("0 tried"), "{retried}");

    let refused = gateway.ask(&["held", "list"], "reader");
    assert!(refused.code == 2 && refused.stderr.contains("missing-scope (403)"), "{refused}");
    fs::write(gateway.dir.join("guess"), "hufu_guess").unwrap();
    let refused = gateway.ask(&["lane", "list"], "guess");
    assert!(refused.code == 2 && refused.stderr.contains("unauthenticated (401)"), "{refused}");

    let (url, record) = (gateway.url(), "urn:grec:sha-256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    let none = gateway.ask(&["evidence", &url, record], "reader");
    assert!(none.code == 1 && none.stderr.contains("no-such-record (404)"), "{none}");

    gateway.signal("TERM");
    assert_eq!(gateway.ended().code(), Some(0));
}

#[test]
fn a_gateway_with_a_certificate_of_another_authority_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = started(made(folder.path(), "land.example"));
    let other = made(folder.path(), "tax.example");
    let ca = other.join("tls/trial-ca.pem");
    let token = gateway.dir.join("operator");
    let ran = hufu(&["lane", "list", "--url", &gateway.url(), "--ca", text(&ca), "--token-file", text(&token)]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("no answer from") && ran.stderr.to_lowercase().contains("certificate"), "{ran}");
}

#[test]
fn a_faulty_configuration_is_named_by_line_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let dir = made(folder.path(), "land.example");
    let config = dir.join("gateway.toml");
    let good = fs::read_to_string(&config).unwrap();
    let line = 1 + good.lines().position(|line| line.starts_with("heartbeat_seconds")).unwrap();
    fs::write(&config, good.replace("heartbeat_seconds", "hartbeat_seconds")).unwrap();
    let ran = hufu(&["gateway", "--config", text(&config)]);
    assert!(ran.code == 2 && ran.stdout.is_empty() && ran.stderr.contains(&format!("gateway.toml:{line}:1")), "{ran}");
    // Faults of files are all said at once.
    fs::write(&config, good).unwrap();
    fs::remove_file(dir.join("hufu.db")).unwrap();
    fs::remove_file(dir.join("keys/log.key")).unwrap();
    let ran = hufu(&["gateway", "--config", text(&config)]);
    assert!(ran.code == 2 && ran.stderr.contains("hufu.db") && ran.stderr.contains("log.key"), "{ran}");
}
