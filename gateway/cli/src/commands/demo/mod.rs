//! `hufu demo`: three departments, ledgers of two families, one terminal; no set-up and no network.

mod attacks;
mod department;
mod devnet;
mod pki;
mod process;
mod story;
mod wire;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::commands::running;
use crate::files::{write_public, write_secret};
use crate::output::Output;
use department::{Department, OFFICES};
use pki::{City, Party};
use process::{Running, hufu};
use story::Story;
use wire::Wire;

const EXAMPLES: &str = "\
Examples:
  hufu demo                 the whole story, under a minute
  hufu demo --keep          leave everything running at the end, with the URLs to look around
  hufu demo --json          one JSON value a line, for scripts

Exit status 0 only if every expectation held.";

/// Three departments trust each other's records, and refuse forged ones; nothing to set up.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Leave the departments running until ctrl-c.
    #[arg(long)]
    keep: bool,
    /// Work in this new folder and leave it there; otherwise a temporary one is used and removed.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// How long the demo waits for anything; a loaded machine is slow.
const PATIENCE: Duration = Duration::from_secs(45);

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    // The departments' own clients want a process-wide provider; a second installation is none.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = Folder::make(args.dir.clone())?;
    let mut story = Story::new(out);
    let held = running::runtime()?.block_on(tell(args, &folder.0, &mut story))?;
    Ok(Answer::of(held))
}

/// The demo's folder; a temporary one is removed at the end.
struct Folder(PathBuf, bool);

impl Folder {
    fn make(given: Option<PathBuf>) -> anyhow::Result<Self> {
        let keep = given.is_some();
        let path = match given {
            Some(path) => path,
            None => std::env::temp_dir().join(format!(
                "hufu-demo-{}",
                hex::encode(crate::commands::key::random()?.get(..6).unwrap_or_default())
            )),
        };
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path, keep))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.1 {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Everything that stands on the stage.
struct Stage {
    departments: Vec<Department>,
    application: Wire,
    courier: Wire,
    root: PathBuf,
    relayer_config: PathBuf,
}

impl Stage {
    fn department(&self, slug: &str) -> anyhow::Result<&Department> {
        self.departments.iter().find(|it| it.office.slug == slug).context("no such department")
    }

    fn start_relayer(&self) -> anyhow::Result<Running> {
        Running::relayer(&self.relayer_config, &self.root.join("relayer.log"))
    }

    /// Record ids that a department holds of a lane.
    async fn records(&self, at: &Department, lane: &str) -> anyhow::Result<Vec<Value>> {
        let answer = self.application.get(at, &format!("/v1/records?lane={lane}&limit=200")).await?;
        Ok(answer.get("records").and_then(Value::as_array).cloned().unwrap_or_default())
    }
}

async fn tell(args: &Args, root: &Path, story: &mut Story<'_>) -> anyhow::Result<bool> {
    let city = City::found()?;
    let courier = city.relayer("city-1")?;
    let (mut stage, gateways) = set_the_stage(root, &city, &courier, story).await?;
    accept_definitions(&stage, story).await?;
    let relayer = stage.start_relayer()?;
    story.note(
        "relayer",
        json!({"pid": relayer.pid}),
        &format!("relayer city-1 runs, pid {}: a courier, it holds no key that makes anything true", relayer.pid),
    )?;
    honest_records(&stage, story).await?;
    let relayer = attacks::run(&mut stage, relayer, story).await?;
    everybody_agrees(&stage, story).await?;
    evidence(&stage, story).await?;
    look_around(&stage, story).await?;
    let held = story.end()?;
    if args.keep {
        story.tell("left running; ctrl-c ends it")?;
        running::asked_to_stop().await;
    }
    relayer.kill().await?;
    for gateway in gateways {
        gateway.kill().await?;
    }
    Ok(held)
}

async fn set_the_stage(
    root: &Path,
    city: &City,
    courier: &Party,
    story: &Story<'_>,
) -> anyhow::Result<(Stage, Vec<Running>)> {
    story.chapter("Three departments, each with a ledger and a gateway of its own")?;
    let mut departments = Vec::new();
    for office in &OFFICES {
        let department = Department::found(office, root, city).await?;
        story.note(
            "ledger",
            json!({"department": office.slug, "ledger": department.ledger, "url": department.devnet.url()}),
            &format!(
                "{}: ledger {}, {} with {} validators",
                office.name,
                department.ledger,
                department.devnet.consensus(),
                department.devnet.validators()
            ),
        )?;
        departments.push(department);
    }
    for department in &departments {
        department.write_policy(&departments)?;
    }
    let mut gateways = Vec::new();
    for department in &mut departments {
        let log = root.join(format!("{}.log", department.office.slug));
        let (running, listening) = Running::gateway(&department.file("gateway.toml"), &log).await?;
        let address = |kind: &str| {
            listening.pointer(&format!("/listening/{kind}")).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        department.peers = address("peers");
        department.applications = address("applications");
        department.monitoring = address("monitoring");
        story.note(
            "gateway",
            json!({"department": department.office.slug, "pid": running.pid, "applications": department.applications, "peers": department.peers}),
            &format!("{}: gateway {} runs, pid {}", department.office.name, department.office.gateway, running.pid),
        )?;
        gateways.push(running);
    }
    let relayer_config = write_relayer(root, city, courier, &departments)?;
    let stage = Stage {
        application: Wire::application(city.certificate())?,
        courier: Wire::courier(city.certificate(), courier)?,
        departments,
        root: root.to_owned(),
        relayer_config,
    };
    Ok((stage, gateways))
}

fn write_relayer(root: &Path, city: &City, courier: &Party, departments: &[Department]) -> anyhow::Result<PathBuf> {
    let dir = root.join("relayer");
    fs::create_dir_all(&dir)?;
    write_public(&dir.join("relayer.pem"), courier.pem.certificate.as_bytes())?;
    write_secret(&dir.join("relayer.key"), courier.pem.key.as_bytes())?;
    write_public(&dir.join("authorities.pem"), city.certificate().as_bytes())?;
    let mut config = String::from(
        "[relayer]\nname = \"city-1\"\ncertificate = \"relayer.pem\"\nkey = \"relayer.key\"\nauthorities = \"authorities.pem\"\n\n",
    );
    for origin in departments {
        for destination in departments.iter().filter(|it| it.office.slug != origin.office.slug) {
            config.push_str(&format!(
                "[[pair]]\norigin = \"https://{}\"\ndestination = \"https://{}\"\n\n",
                origin.peers, destination.peers
            ));
        }
    }
    let file = dir.join("relayer.toml");
    write_public(&file, config.as_bytes())?;
    Ok(file)
}

/// Each operator reads the definitions of the others' lanes and pins them; without that every record would be held.
async fn accept_definitions(stage: &Stage, story: &mut Story<'_>) -> anyhow::Result<()> {
    story.chapter("Operators pin what they have read")?;
    for origin in &stage.departments {
        let lanes = wait_for("the lanes' definitions", || async {
            let answer = stage.application.get(origin, "/v1/lanes").await?;
            let lanes = answer.get("lanes").and_then(Value::as_array).cloned().unwrap_or_default();
            let published: Vec<Value> =
                lanes.into_iter().filter(|lane| lane.get("role") == Some(&json!("published"))).collect();
            let wanted = if origin.office.slug == "land" { 2 } else { 1 };
            let ready =
                published.len() == wanted && published.iter().all(|lane| lane.pointer("/definitions/0").is_some());
            Ok(ready.then_some(published))
        })
        .await?;
        for lane in &lanes {
            let (Some(id), Some(digest)) =
                (lane.get("lane").and_then(Value::as_str), lane.pointer("/definitions/0").and_then(Value::as_str))
            else {
                continue;
            };
            let mut accepted = Vec::new();
            for receiver in stage.departments.iter().filter(|it| it.office.slug != origin.office.slug) {
                let policy = receiver.file("policy.toml");
                let (code, _, errors) =
                    hufu(&["lane", "accept", id, digest, "--policy", &policy.to_string_lossy()]).await?;
                anyhow::ensure!(code == Some(0), "hufu lane accept failed: {errors}");
                accepted.push(receiver.office.slug);
            }
            let short: String = digest.chars().take(12).collect();
            story.note(
                "accepted",
                json!({"lane": id, "definition": digest, "by": accepted}),
                &format!("{id}: definition {short}… accepted by {}", accepted.join(" and ")),
            )?;
        }
    }
    Ok(())
}

async fn honest_records(stage: &Stage, story: &mut Story<'_>) -> anyhow::Result<()> {
    story.chapter("Records arrive, proven")?;
    let (land, notary, tax) = (stage.department("land")?, stage.department("notary")?, stage.department("tax")?);
    land.emit_property_right(1)?;
    land.emit_property_right(2)?;
    notary.write_certificate(1, "01", "01", notary.office.uscc)?;
    notary.write_certificate(2, "01", "01", notary.office.uscc)?;
    tax.emit_clearance(1)?;
    for (origin, count) in [(land, 2), (notary, 2), (tax, 1)] {
        for receiver in stage.departments.iter().filter(|it| it.office.slug != origin.office.slug) {
            arrives(stage, story, origin, receiver, count).await?;
        }
    }
    Ok(())
}

/// Waits until `receiver` holds `count` records of `origin`'s lane, and says how they are believed.
async fn arrives(
    stage: &Stage,
    story: &mut Story<'_>,
    origin: &Department,
    receiver: &Department,
    count: usize,
) -> anyhow::Result<()> {
    let lane = origin.lane().to_string();
    let records = wait_for(&format!("{count} records of {lane} at {}", receiver.office.slug), || async {
        let records = stage.records(receiver, &lane).await?;
        Ok((records.len() >= count).then_some(records))
    })
    .await?;
    let text = |record: &Value, name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let all = |name: &str, wanted: &str| records.iter().all(|record| text(record, name) == wanted);
    let got = format!(
        "{} of {}: assurance {}, finality {}, completeness {}",
        records.len(),
        lane,
        records.first().map(|it| text(it, "assurance")).unwrap_or_default(),
        records.first().map(|it| text(it, "finality")).unwrap_or_default(),
        records.first().map(|it| text(it, "completeness")).unwrap_or_default(),
    );
    let holds = records.len() == count && all("assurance", "proven") && all("finality", "bft-final");
    let what = format!("{} → {}: records arrived proven", origin.office.slug, receiver.office.slug);
    story.expect(&what, &format!("{count} records, proven, bft-final"), &got, holds)
}

/// Every department holds what every other published, the same ids, once each, in order.
async fn everybody_agrees(stage: &Stage, story: &mut Story<'_>) -> anyhow::Result<()> {
    story.chapter("Everybody holds the same records")?;
    for origin in &stage.departments {
        let lane = origin.lane().to_string();
        let ids = |records: &[Value]| -> Vec<String> {
            records
                .iter()
                .filter_map(|record| record.get("recordId").and_then(Value::as_str))
                .map(str::to_owned)
                .collect()
        };
        let published = ids(&stage.records(origin, &lane).await?);
        for receiver in stage.departments.iter().filter(|it| it.office.slug != origin.office.slug) {
            let held = wait_for(&format!("all of {lane} at {}", receiver.office.slug), || async {
                let held = ids(&stage.records(receiver, &lane).await?);
                Ok((held.len() >= published.len()).then_some(held))
            })
            .await?;
            let what = format!(
                "{} holds what {} published: the same ids, once each, in order",
                receiver.office.slug, origin.office.slug
            );
            let (expected, got) = (format!("{} ids", published.len()), format!("{} ids", held.len()));
            story.expect(&what, &expected, &got, held == published && !published.is_empty())?;
        }
    }
    Ok(())
}

/// An evidence file that closes offline, and does not after one byte is changed.
async fn evidence(stage: &Stage, story: &mut Story<'_>) -> anyhow::Result<()> {
    story.chapter("Evidence for an auditor without a network")?;
    let (origin, receiver) = (stage.department("notary")?, stage.department("land")?);
    let records = stage.records(receiver, &origin.lane().to_string()).await?;
    let id = records.first().and_then(|record| record.get("recordId")).and_then(Value::as_str).context("no record")?;
    let file = stage.root.join("evidence.json");
    let (ca, token) = (receiver.file("authorities.pem"), receiver.file("read.token"));
    let url = format!("https://{}", receiver.applications);
    let (file_text, ca, token) =
        (file.to_string_lossy().into_owned(), ca.to_string_lossy().into_owned(), token.to_string_lossy().into_owned());
    let (code, _, errors) =
        hufu(&["evidence", &url, id, "--out", &file_text, "--ca", &ca, "--token-file", &token]).await?;
    anyhow::ensure!(code == Some(0), "hufu evidence failed: {errors}");
    let policy = receiver.file("policy.toml").to_string_lossy().into_owned();
    let (code, told, errors) = hufu(&["verify", &file_text, "--policy", &policy]).await?;
    for line in told.lines() {
        story.tell(&format!("    {line}"))?;
    }
    story.expect(
        "hufu verify accepts the evidence file",
        "exit 0",
        &format!("exit {} {errors}", code.unwrap_or(-1)),
        code == Some(0),
    )?;
    let changed = stage.root.join("evidence-changed.json");
    let place = change_one_byte(&file, &changed)?;
    let (code, told, _) = hufu(&["verify", &changed.to_string_lossy(), "--policy", &policy]).await?;
    let why = told
        .lines()
        .rev()
        .find(|line| line.contains('✗') || line.contains("reason"))
        .unwrap_or_default()
        .trim()
        .to_owned();
    story.expect(
        &format!("after one byte is changed (offset {place}) it does not"),
        "exit 1",
        &format!("exit {}: {why}", code.unwrap_or(-1)),
        code == Some(1),
    )
}

/// Flips one character of the certificate number within the record's body.
fn change_one_byte(from: &Path, to: &Path) -> anyhow::Result<usize> {
    let mut bytes = fs::read(from)?;
    let needle = "示例科技".as_bytes();
    let at = bytes.windows(needle.len()).position(|window| window == needle).context("the name is not in the file")?;
    if let Some(byte) = bytes.get_mut(at + 2) {
        *byte ^= 1;
    }
    fs::write(to, bytes)?;
    Ok(at + 2)
}

async fn look_around(stage: &Stage, story: &mut Story<'_>) -> anyhow::Result<()> {
    story.chapter("Where to look")?;
    for department in &stage.departments {
        story.note(
            "urls",
            json!({"department": department.office.slug, "applications": department.applications, "monitoring": department.monitoring}),
            &format!("{:7} https://{}/v1/records   http://{}/metrics", department.office.slug, department.applications, department.monitoring),
        )?;
    }
    let notary = stage.department("notary")?;
    let text = stage.application.metrics(notary).await?;
    let wanted = ["hufu_records_total", "hufu_rejections_total", "hufu_ledger_head_height", "hufu_held_leaves"];
    let lines: Vec<&str> =
        text.lines().filter(|line| wanted.iter().any(|name| line.starts_with(name))).take(14).collect();
    for line in &lines {
        story.tell(line)?;
    }
    let counted = lines.iter().any(|line| line.starts_with("hufu_rejections_total"));
    story.expect(
        "the refusals show in the notary's metrics",
        "hufu_rejections_total",
        if counted { "hufu_rejections_total" } else { "nothing" },
        counted,
    )
}

/// Asks again until there is an answer; says what it waited for when there is none.
async fn wait_for<T, F>(what: &str, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut last = None;
    while tokio::time::Instant::now() < deadline {
        match ask().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => {}
            Err(fault) => last = Some(fault),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let last = last.map(|fault| format!("; last fault: {fault:#}")).unwrap_or_default();
    anyhow::bail!("waited {} s for {what}{last}", PATIENCE.as_secs())
}
