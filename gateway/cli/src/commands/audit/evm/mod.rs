//! `hufu audit evm`: concatenated RLP blocks as `geth export` and Besu's `blocks export --format=RLP` write them.
//!
//! | module | subject |
//! |---|---|
//! | [`anchor`] | the operator's anchor file |
//! | [`export`] | one block after the other from a file, in constant memory |
//! | [`body`] | whether a block's transactions are those of its header |
//! | [`candidate`] | a header read by its consensus kind |
//! | [`walk`] | from the anchor to the end, one verdict a block |
//! | [`receipts`] | whether JSON-RPC receipts are those of a header |

mod anchor;
mod body;
mod candidate;
mod export;
mod receipts;
mod walk;

use std::path::{Path, PathBuf};

use self::anchor::Anchor;
use self::export::Export;
use self::receipts::GivenReceipts;
use self::walk::Walk;
use super::{Closing, Row, Summary};
use crate::answer::{Answer, misuse};
use crate::files;
use crate::output::Output;

pub(super) const EXAMPLES: &str = "\
Examples:
  hufu audit evm --anchor anchor.toml blocks.rlp
  hufu audit evm --anchor anchor.toml --receipts receipts.json blocks-1.rlp blocks-2.rlp.gz
  hufu audit evm --anchor anchor.toml blocks.rlp --json | tail -1

anchor.toml says what you trust, from a source you trust; nothing is taken from the export:
  family = \"evm\"
  consensus = \"qbft\"        # or ibft2, ibft1, clique
  height = 0
  hash = \"0x…\"             # of the block at that height
  epoch = 30000             # optional: blocks between two falls of all votes
  chain_id = 20211          # optional; headers do not carry it
  validators = [\"0x…\"]     # optional: the set after the anchor block, ascending

Exports: geth export blocks.rlp · besu blocks export --to=blocks.rlp --format=RLP. Several files are read as one walk; a
file that starts at the anchor again (another node's copy) is judged from the anchor again. Blocks below the anchor are
not judged (\"not yet\"): export from the anchor's height on, or anchor lower. No clock is asked: an old export is as
good as a new one. Exit 0 only if no block was rejected and any is final.";

/// Verify an EVM ledger's export offline: seals, votes, hashes, transactions, and with --receipts receipts.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What you trust: a TOML file.
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    /// Receipts as JSON-RPC gives them (any nesting of them, or one JSON value a line; those of a block together);
    /// compared with the headers.
    #[arg(long, value_name = "FILE")]
    receipts: Option<PathBuf>,
    /// Exported blocks, plain or gzip, `-` for stdin.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

/// Rows between two looks at the terminal.
const PROGRESS_EVERY: u64 = 1_000;

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let anchor = Anchor::read(&args.anchor)?;
    let receipts = args.receipts.as_deref().map(|path| GivenReceipts::read(path, out)).transpose()?;
    let mut walk = Walk::new(anchor, receipts);
    let mut printer = Printer { out, summary: Summary::default() };
    for path in &args.files {
        audit_file(path, &mut walk, &mut printer)?;
    }
    printer.print(walk.finish())?;
    let mut summary = printer.summary;
    summary.receipts = walk.receipts_compared();
    out.progress_done();
    // The JSON of a summary is the same with receipts and without.
    if let (true, Some(receipts)) = (out.is_json(), summary.receipts) {
        out.tell(&receipts.words());
    }
    let closing = Closing { summary };
    out.show(&closing, || closing.summary.words())?;
    // Of an export in which nothing was settled nobody can say yes either.
    Ok(Answer::of(closing.summary.rejected == 0 && closing.summary.settled > 0))
}

fn audit_file(path: &Path, walk: &mut Walk, printer: &mut Printer<'_>) -> anyhow::Result<()> {
    let unreadable = |error: std::io::Error| {
        misuse(format!("cannot read {}: {error}", path.display()), "give a file of exported blocks")
    };
    let mut export = Export::new(files::open(path)?).map_err(unreadable)?;
    let mut block = Vec::new();
    loop {
        match export.next_into(&mut block) {
            Ok(false) => return Ok(()),
            Ok(true) => printer.print(walk.judge(&block))?,
            Err(export::Fault::Io(error)) => return Err(unreadable(error)),
            // After bytes that are no block nobody can say where the next one starts.
            Err(export::Fault::Form(reason)) => {
                return printer.print(walk.no_block(format!("{reason}; the rest of {} is not read", path.display())));
            }
        }
    }
}

/// Prints rows as they are settled, and counts them.
struct Printer<'o> {
    out: &'o Output,
    summary: Summary,
}

impl Printer<'_> {
    fn print(&mut self, rows: Vec<Row>) -> anyhow::Result<()> {
        for row in rows {
            self.summary.add(row.verdict);
            self.out.show(&row, || row.words())?;
            if self.summary.blocks.is_multiple_of(PROGRESS_EVERY) {
                self.out.progress(|| self.summary.words());
            }
        }
        Ok(())
    }
}
