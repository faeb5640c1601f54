//! Whether real nodes may be started, with what program, and behind which wall.
//!
//! The wall is a network namespace with nothing but loopback in it. A test process cannot move into one, so the test
//! binary runs the one test once more inside; the outer test then only reports how that ended.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::sync::{Mutex, MutexGuard};

/// Asks for the suite.
const WANTED: &str = "HUFU_REAL_NODES";
/// Set for the run inside: the file that it writes to show that the test really ran.
const INSIDE: &str = "HUFU_REAL_NODES_INSIDE";
/// Set for the run inside: the node program, since nothing can be fetched there.
const PROGRAM: &str = "HUFU_REAL_NODES_PROGRAM";

/// One network of nodes at a time: three of them take a gigabyte.
static TURN: Mutex<()> = Mutex::const_new(());

/// Leave to start real nodes. Holds this process's turn.
#[derive(Debug)]
pub(crate) struct RealNodes {
    program: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl RealNodes {
    /// The program to start.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }
}

/// To be called first by each test, with its own name as the test harness prints it. `None`: there is nothing left to
/// do, either because the suite was not asked for (said on stdout) or because the test has run to its end inside a
/// namespace.
///
/// # Panics
/// If the program cannot be installed, or the run inside failed.
pub(crate) async fn enter(test: &str) -> Option<RealNodes> {
    enter_with(test, "install-geth.sh").await
}

/// As [`enter`], with the node that another script of `deploy/real-nodes` installs; words after its name are arguments.
pub(crate) async fn enter_with(test: &str, script: &str) -> Option<RealNodes> {
    if std::env::var(WANTED).as_deref() != Ok("1") {
        println!("skipped: {test}: real nodes are started only with {WANTED}=1");
        return None;
    }
    let turn = TURN.lock().await;
    if let Some(shown) = std::env::var_os(INSIDE) {
        std::fs::write(shown, test).unwrap();
        let program = std::env::var_os(PROGRAM).expect("the outer run names the program");
        return Some(RealNodes { program: program.into(), _turn: turn });
    }
    let program = install(script).await;
    let Some(wall) = namespace().await else {
        println!("{test}: no network namespace permitted here; the nodes listen on loopback of this one");
        return Some(RealNodes { program, _turn: turn });
    };
    println!("{test}: in a network namespace of its own ({})", wall.join(" "));
    run_inside(test, &wall, &program).await;
    None
}

async fn install(script: &str) -> PathBuf {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/real-nodes");
    let mut words = script.split(' ');
    let output = Command::new(Path::new(folder).join(words.next().unwrap_or_default()))
        .args(words)
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("the install script starts");
    assert!(output.status.success(), "{script} ended with {}", output.status);
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// The command that makes a namespace here: as root, else as root of a user namespace of one's own.
async fn namespace() -> Option<Vec<&'static str>> {
    for wall in [vec!["unshare", "--net"], vec!["unshare", "--map-root-user", "--net"]] {
        let mut probe = Command::new(wall[0]);
        probe.args(&wall[1..]).args(["ip", "link", "set", "lo", "up"]);
        let status = probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
        if status.is_ok_and(|status| status.success()) {
            return Some(wall);
        }
    }
    None
}

async fn run_inside(test: &str, wall: &[&str], program: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().join("ran");
    let status = Command::new(wall[0])
        .args(&wall[1..])
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, &shown)
        .env(PROGRAM, program)
        .kill_on_drop(true)
        .status()
        .await
        .unwrap();
    assert!(status.success(), "{test} failed inside its network namespace: {status}");
    // A name that no test has would pass by running nothing.
    assert_eq!(std::fs::read_to_string(shown).ok().as_deref(), Some(test), "the test did not run inside");
}
