//! A Clique export: followed here, and imported by go-ethereum's own node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use hufu_adapters_light_client::Step;
use hufu_evm_devnet::bare::{self, CliqueBlocks};
use hufu_evm_light_client::Header;
use hufu_evm_light_client::body::WholeBlock;
use hufu_evm_light_client::rlp::Reader;
use hufu_schemas_core::Height;
use serde_json::{Value, json};

use super::cases::{Case, follow};
use crate::answer::misuse;

/// Bytes of the largest export that is measured: it is read at once.
const MAX_EXPORT_BYTES: u64 = 4 << 30;
const GENESIS_TIME: u64 = 1_700_000_000;

/// An export with its genesis file, and the folder that holds them where they were made here.
pub(super) struct Export {
    blocks: PathBuf,
    genesis: PathBuf,
    folder: Folder,
}

/// A folder of our own, gone with this value.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // It is in the system's folder for such; what cannot be removed is removed there.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| anyhow::anyhow!("no random name for a folder: {error}"))?;
        let path = std::env::temp_dir().join(format!("hufu-bench-{}", hex::encode(random)));
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Export {
    /// What the person gave.
    pub(super) fn given(blocks: &Path, genesis: &Path) -> anyhow::Result<Self> {
        let size = fs::metadata(blocks)
            .map_err(|error| misuse(format!("{}: {error}", blocks.display()), "name an export that geth wrote"))?
            .len();
        if size > MAX_EXPORT_BYTES {
            let words = format!("{}: expected at most {MAX_EXPORT_BYTES} bytes, got {size}", blocks.display());
            return Err(misuse(words, "export fewer blocks: geth export FILE FIRST LAST"));
        }
        Ok(Self { blocks: blocks.to_owned(), genesis: genesis.to_owned(), folder: Folder::new()? })
    }

    /// One of blocks without transactions, one second apart.
    pub(super) fn made(signers: u64, count: u64) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let chain = CliqueBlocks::new(bare::keys(&[0x68; 32], signers), GENESIS_TIME);
        let (blocks, genesis) = (folder.0.join("blocks.rlp"), folder.0.join("genesis.json"));
        fs::write(&genesis, chain.genesis_file())?;
        let mut bytes = chain.genesis();
        chain.take(usize::try_from(count)?).for_each(|block| bytes.extend(block));
        fs::write(&blocks, bytes)?;
        Ok(Self { blocks, genesis, folder })
    }

    /// Following the headers alone; and reading the file, checking each body against its header, and following.
    pub(super) fn cases(&self) -> anyhow::Result<[Case; 2]> {
        let file = self.blocks.clone();
        let genesis: Value = serde_json::from_slice(&fs::read(&self.genesis)?).map_err(|error| {
            misuse(format!("{}: {error}", self.genesis.display()), "name the genesis file of the export")
        })?;
        let epoch = genesis.pointer("/config/clique/epoch").and_then(Value::as_u64).unwrap_or(30_000);
        let steps = read(&file)?;
        let (first, last) = steps.first().zip(steps.last()).context("an export without blocks")?;
        if first.height.get() != 0 {
            let words = format!("{}: expected genesis first, got block {}", file.display(), first.height);
            return Err(misuse(words, "export from the beginning: geth export FILE"));
        }
        let genesis = Header::parse(&first.bytes)?;
        let anchor = json!({
            "family": "evm", "consensus": "clique", "height": 0, "hash": genesis.raw_hash(), "epoch": epoch,
            "trusted_for": u32::MAX,
        });
        let signers = genesis.fields().extra_data.len().saturating_sub(97) / 20;
        let (count, now) = (last.height.get(), Header::parse(&last.bytes)?.fields().timestamp);
        // The last blocks of a Clique ledger are not buried yet.
        let until = count.saturating_sub(u64::try_from(signers)?);
        let (same, name) = (anchor.clone(), format!("Clique, {signers} signers, each header"));
        let headers = Case::new(name, (count, "headers"), count, move || follow(&same, &steps, now, until));
        let whole = move || follow(&anchor, &read(&file)?, now, until);
        let blocks = Case::new(format!("Clique export, {signers} signers"), (count, "blocks"), count, whole);
        Ok([headers, blocks])
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<Step>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (mut rest, mut steps) = (Reader::new(&bytes), Vec::new());
    while !rest.is_empty() {
        let block = WholeBlock::parse(rest.raw()?)?;
        let header = block.header();
        steps.push(Step { height: Height::new(header.fields().number), bytes: header.raw().to_vec() });
    }
    Ok(steps)
}

/// go-ethereum's node.
pub(super) struct Node {
    program: PathBuf,
    blocks: PathBuf,
    genesis: PathBuf,
    data: PathBuf,
    pub(super) version: String,
}

impl Node {
    pub(super) fn new(program: &Path, export: &Export) -> anyhow::Result<Self> {
        let said = said(Command::new(program).arg("version"))?;
        let version = said.lines().find_map(|line| line.strip_prefix("Version: ")).unwrap_or("unknown");
        let version = format!("geth {}", version.split('-').next().unwrap_or(version));
        let data = export.folder.0.join("node");
        Ok(Self {
            program: program.to_owned(),
            blocks: export.blocks.clone(),
            genesis: export.genesis.clone(),
            data,
            version,
        })
    }

    /// Imports the file into a new database; yields what the node itself says that took. Start, genesis and the compaction
    /// of its database afterwards are not in it.
    pub(super) fn import(&mut self) -> anyhow::Result<Duration> {
        let _ = fs::remove_dir_all(&self.data);
        let node = || {
            let mut command = Command::new(&self.program);
            command.arg("--datadir").arg(&self.data).args(["--nousb", "--ipcdisable"]);
            command
        };
        said(node().arg("init").arg(&self.genesis))?;
        let said = said(node().arg("import").arg(&self.blocks))?;
        let took = said.lines().find_map(|line| line.strip_prefix("Import done in ")?.strip_suffix('.'));
        took.and_then(duration).ok_or_else(|| anyhow::anyhow!("the node does not say that it imported all: {said}"))
    }
}

/// What a command printed, both streams, if it ended well.
fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| {
        misuse(format!("{}: {error}", command.get_program().display()), "name go-ethereum's node with --geth")
    })?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    anyhow::ensure!(
        output.status.success(),
        "{} ended with {}: {said}",
        command.get_program().display(),
        output.status
    );
    Ok(said)
}

/// A duration as Go writes it: `1m2.5s`, `843.21ms`.
fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (value, after) = rest.split_at_checked(digits)?;
        let end = after.find(|letter: char| letter.is_ascii_digit()).unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end)?;
        let scale = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" => 1e-6,
            _ => return None,
        };
        seconds += value.parse::<f64>().ok()? * scale;
        rest = next;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_go_writes_them() {
        for (text, millis) in [("1.5s", 1_500), ("1m2.5s", 62_500), ("843.2ms", 843), ("2h0m1s", 7_201_000)] {
            assert_eq!(duration(text).unwrap().as_millis(), millis, "{text}");
        }
        assert_eq!(duration("soon"), None);
    }

    #[test]
    fn an_export_made_here_is_followed_to_its_end() {
        let export = Export::made(4, 600).unwrap();
        for mut case in export.cases().unwrap() {
            assert_eq!((case.units, case.recoveries), (600, 600));
            (case.run)().unwrap();
        }
    }

    #[test]
    fn an_export_that_begins_too_late() {
        let export = Export::made(3, 100).unwrap();
        let bytes = fs::read(&export.blocks).unwrap();
        let mut rest = Reader::new(&bytes);
        let genesis = rest.raw().unwrap().len();
        fs::write(&export.blocks, &bytes[genesis..]).unwrap();
        assert!(export.cases().is_err());
    }
}
