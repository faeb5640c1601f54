//! Captured answers of nodes: told apart by what they hold, found by the height they claim, read again when their turn
//! comes. Names of files say nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use hufu_cometbft_light_client::rpc;
use serde_json::{Deserializer, Value};

use crate::answer::misuse;
use crate::files;

/// Bytes of the largest file: a block of 21 MiB (the default `block.max_bytes`) in base64 is 28 MiB, and its results may
/// be as long.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Answers of one audit, each noted with 40 bytes: 40 MiB.
const MAX_ANSWERS: usize = 1 << 20;
/// Transactions of one page of `tx_search`: what nodes give at most (rpc/core, `maxPerPage`).
const MAX_TRANSACTIONS: usize = 100;

const NEXT: &str = "give files of nodes' answers, or folders that hold such files with the ending .json";

/// Where an answer stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    file: usize,
    from: u64,
    length: usize,
    /// Which transaction of a page is meant.
    entry: Option<usize>,
}

/// What was captured about one height.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) commits: Vec<Place>,
    pub(super) validators: Vec<Place>,
    pub(super) blocks: Vec<Place>,
    pub(super) results: Vec<Place>,
    pub(super) transactions: Vec<Place>,
    /// Keys of the state *after* this height.
    pub(super) keys: Vec<Place>,
}

/// All that was given.
#[derive(Debug, Default)]
pub(super) struct Capture {
    files: Vec<PathBuf>,
    heights: BTreeMap<u64, Heard>,
    genesis: Vec<Place>,
    /// What is no JSON, in words.
    unreadable: Vec<String>,
    answers: usize,
    others: u64,
}

impl Capture {
    /// Looks through files, and through the `.json` files of folders, in the order of their names; folders in folders are not entered.
    pub(super) fn read(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut capture = Self::default();
        for path in paths {
            if path.is_dir() {
                for file in json_files(path).map_err(|error| unreadable(path, &error))? {
                    capture.look_through(file)?;
                }
            } else {
                capture.look_through(path.clone())?;
            }
        }
        Ok(capture)
    }

    /// Heights of which a header was captured, rising.
    pub(super) fn heights(&self) -> Vec<u64> {
        let with_header = |heard: &Heard| !heard.commits.is_empty() || !heard.blocks.is_empty();
        self.heights.iter().filter(|(_, heard)| with_header(heard)).map(|(height, _)| *height).collect()
    }

    pub(super) fn at(&self, height: u64) -> Option<&Heard> {
        self.heights.get(&height)
    }

    /// Answers about heights, all of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Heard> {
        self.heights.values()
    }

    pub(super) fn genesis(&self) -> &[Place] {
        &self.genesis
    }

    pub(super) fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    /// Answers of kinds that an audit has no use for, and nodes' errors.
    pub(super) const fn others(&self) -> u64 {
        self.others
    }

    /// Reads an answer again; `result` of it, or the entry of a page.
    pub(super) fn answer(&self, place: Place) -> anyhow::Result<Value> {
        let path = self.files.get(place.file).map_or(Path::new(""), PathBuf::as_path);
        let mut bytes = vec![0; place.length];
        let read = File::open(path).and_then(|mut file| {
            file.seek(SeekFrom::Start(place.from))?;
            file.read_exact(&mut bytes)
        });
        read.map_err(|error| unreadable(path, &error))?;
        let changed = |error| misuse(format!("{} was changed meanwhile: {error}", path.display()), NEXT);
        let mut answer: Value = serde_json::from_slice(&bytes).map_err(changed)?;
        let result = match answer.get_mut("result") {
            Some(result) => result.take(),
            None => answer,
        };
        Ok(match place.entry {
            Some(entry) => result.pointer(&format!("/txs/{entry}")).cloned().unwrap_or_default(),
            None => result,
        })
    }

    fn look_through(&mut self, path: PathBuf) -> anyhow::Result<()> {
        let bytes = files::read(&path, MAX_FILE_BYTES)?;
        let file = self.files.len();
        let mut values = Deserializer::from_slice(&bytes).into_iter::<Value>();
        let mut from = 0;
        loop {
            let next = values.next();
            let to = values.byte_offset();
            match next {
                None => break,
                Some(Ok(value)) => {
                    let place = Place { file, from: from as u64, length: to.saturating_sub(from), entry: None };
                    self.note(&value, place)?;
                }
                Some(Err(error)) => {
                    let words = format!(
                        "json-malformed: expected JSON, got {error}; the rest of {} is not read",
                        path.display()
                    );
                    self.unreadable.push(words);
                    break;
                }
            }
            from = to;
        }
        self.files.push(path);
        Ok(())
    }

    fn note(&mut self, value: &Value, place: Place) -> anyhow::Result<()> {
        let found = rpc::result(value).ok();
        let Some((kind, heights)) = found.and_then(kind_of) else {
            self.others += 1;
            return Ok(());
        };
        self.answers += heights.len();
        if self.answers > MAX_ANSWERS {
            let words = format!("expected at most {MAX_ANSWERS} answers, got more");
            return Err(misuse(words, "audit one stretch of heights after the other, each from an anchor of its own"));
        }
        if matches!(kind, Kind::Genesis) {
            self.genesis.push(place);
            return Ok(());
        }
        for (entry, height) in heights.into_iter().enumerate() {
            let heard = self.heights.entry(height).or_default();
            match kind {
                Kind::Genesis => {}
                Kind::Commit => heard.commits.push(place),
                Kind::Validators => heard.validators.push(place),
                Kind::Block => heard.blocks.push(place),
                Kind::Results => heard.results.push(place),
                Kind::Key => heard.keys.push(place),
                Kind::Transaction => heard.transactions.push(place),
                Kind::Transactions => heard.transactions.push(Place { entry: Some(entry), ..place }),
            }
        }
        Ok(())
    }
}

/// What an answer is about.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Commit,
    Validators,
    Block,
    Results,
    Transaction,
    /// A page of `tx_search`.
    Transactions,
    Key,
    Genesis,
}

/// Tells an answer by what it holds, with the height (of a page of transactions: the heights) that it claims.
fn kind_of(result: &Value) -> Option<(Kind, Vec<u64>)> {
    let at = |kind: Kind, pointer: &str| Some((kind, vec![height(result.pointer(pointer)?)?]));
    let has = |pointer: &str| result.pointer(pointer).is_some();
    if has("/signed_header/header") {
        at(Kind::Commit, "/signed_header/header/height")
    } else if has("/block/header") {
        at(Kind::Block, "/block/header/height")
    } else if has("/genesis/validators") {
        Some((Kind::Genesis, Vec::new()))
    } else if has("/validators") {
        at(Kind::Validators, "/block_height")
    } else if has("/txs_results") {
        at(Kind::Results, "/height")
    } else if has("/response/key") {
        at(Kind::Key, "/response/height")
    } else if has("/tx") {
        at(Kind::Transaction, "/height")
    } else {
        let page = result.get("txs")?.as_array().filter(|page| page.len() <= MAX_TRANSACTIONS)?;
        let heights: Option<Vec<u64>> = page.iter().map(|tx| height(tx.get("height")?)).collect();
        Some((Kind::Transactions, heights?))
    }
}

fn height(value: &Value) -> Option<u64> {
    value.as_str()?.parse().ok()
}

fn json_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn unreadable(path: &Path, error: &io::Error) -> anyhow::Error {
    misuse(format!("cannot read {}: {error}", path.display()), NEXT)
}
