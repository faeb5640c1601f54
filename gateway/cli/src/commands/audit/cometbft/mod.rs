//! `hufu audit cometbft`: nodes' answers as captured, from the anchor upwards.
//!
//! | module | subject |
//! |---|---|
//! | [`anchor`] | the operator's anchor file |
//! | [`capture`] | answers told apart and found by height |
//! | [`candidate`] | a captured header, its votes and validators |
//! | [`walk`] | from the anchor to the end, one verdict a header |
//! | [`beside`] | transactions, results and keys under their headers |

mod anchor;
mod beside;
mod candidate;
mod capture;
mod walk;

use std::path::PathBuf;

use self::capture::Capture;
use self::walk::Walk;
use super::{Closing, Row, Summary, Verdict};
use crate::answer::Answer;
use crate::output::Output;

pub(super) const EXAMPLES: &str = "\
Examples:
  hufu audit cometbft --anchor anchor.toml capture/
  hufu audit cometbft --anchor anchor.toml commits.jsonl validators.jsonl keys/ --json | tail -1

anchor.toml says what you trust, from a source you trust; nothing is taken from the capture:
  family = \"cometbft\"
  chain_id = \"land-1\"
  height = 1
  hash = \"6CD5…\"            # of the header at that height
  trusting_period = 1209600 # seconds
  skipping = true           # optional: heights may be missing where a third of the known power signed further on
  keys = [\"ed25519\"]        # optional: also secp256k1, sm2

Captured are answers of a node's RPC as they came (one JSON value a file, or many one after the other), told apart by
what they hold: commit, validators (all pages), block, block_results, tx and tx_search with prove=true, abci_query with
prove=true, genesis. A height needs its header (of commit or block), its votes (of commit, or of the block above) and,
where it changed, its validators:
  for h in $(seq 1 100); do curl -s \"$NODE/commit?height=$h\"; curl -s \"$NODE/validators?height=$h&per_page=100\"; done

Transactions, results and keys are held against their headers; what came of each is told on stderr, and one that is
wrong rejects its block. Events are proven by nothing and not looked at. Two signed headers of one height are a conflict:
neither is final, nor what stands on them. Each header is judged at its own time: an audit cannot see whether validators'
keys leaked later, so anchor no deeper in the past than you must. Exit 0 only if no block was rejected and any is final.";

/// Verify captured answers of CometBFT nodes offline: votes, validators, hashes, transactions, results, state.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What you trust: a TOML file.
    #[arg(long, value_name = "FILE")]
    anchor: PathBuf,
    /// Files of captured answers, or folders with such files (`.json`; folders in folders are not entered).
    #[arg(required = true, value_name = "DIR|FILE")]
    captures: Vec<PathBuf>,
}

/// Rows between two looks at the terminal.
const PROGRESS_EVERY: u64 = 1_000;

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let anchor = anchor::read(&args.anchor)?;
    let capture = Capture::read(&args.captures)?;
    let mut walk = Walk::new(anchor, &capture, out)?;
    let mut summary = Summary::default();
    for height in capture.heights() {
        show(walk.judge(height)?, &mut summary, out)?;
    }
    show(walk.finish(), &mut summary, out)?;
    // Bytes that are no JSON may have been a block.
    let unreadable = capture.unreadable().iter().map(|words| walk::row(Verdict::Rejected, Some(words.clone())));
    show(unreadable.collect(), &mut summary, out)?;
    out.progress_done();
    if capture.others() > 0 {
        out.tell(&format!("{} answers of other kinds were passed over", capture.others()));
    }
    summary.beside = walk.beside();
    // The JSON of a summary is the same with transactions and keys and without.
    if let (true, Some(words)) = (out.is_json(), &summary.beside) {
        out.tell(words);
    }
    let closing = Closing { summary };
    out.show(&closing, || closing.summary.words())?;
    // Of a capture in which nothing was settled nobody can say yes either.
    Ok(Answer::of(closing.summary.rejected == 0 && closing.summary.settled > 0))
}

fn show(rows: Vec<Row>, summary: &mut Summary, out: &Output) -> anyhow::Result<()> {
    for row in rows {
        summary.add(row.verdict);
        out.show(&row, || row.words())?;
        if summary.blocks.is_multiple_of(PROGRESS_EVERY) {
            out.progress(|| summary.words());
        }
    }
    Ok(())
}
