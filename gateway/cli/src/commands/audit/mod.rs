//! `hufu audit`: a vendor's ledger export, judged offline, one verdict a block.
//!
//! What every family's audit prints is here; how a family's blocks are judged is in a module of its own.

mod cometbft;
mod evm;

use clap::Subcommand;
use serde::Serialize;

use crate::answer::Answer;
use crate::output::Output;

/// Verify a ledger's export offline, from an anchor that you trust.
#[derive(Debug, Subcommand)]
#[command(after_help = evm::EXAMPLES)]
pub(crate) enum Audit {
    Evm(evm::Args),
    Cometbft(cometbft::Args),
}

pub(crate) fn run(command: &Audit, out: &Output) -> anyhow::Result<Answer> {
    match command {
        Audit::Evm(args) => evm::run(args, out),
        Audit::Cometbft(args) => cometbft::run(args, out),
    }
}

/// What came of one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// Signed as the ledger's rules ask, by those to whom the anchor leads.
    Final,
    /// Never.
    Rejected,
    /// Nothing wrong is known, but what is given does not settle it.
    NotYet,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Rejected => "REJECTED",
            Self::NotYet => "not yet",
        }
    }
}

/// Signers found and signers needed; where signers have powers, their powers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
struct Count {
    have: u64,
    need: u64,
}

impl Count {
    const fn of(have: usize, need: usize) -> Self {
        Self { have: have as u64, need: need as u64 }
    }
}

/// One block's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    /// Absent where the bytes do not say.
    height: Option<u64>,
    hash: Option<String>,
    verdict: Verdict,
    /// The finality that a `final` of this ledger means.
    finality: &'static str,
    /// Distinct trusted signers, ascending.
    signers: Vec<String>,
    quorum: Count,
    reason: Option<String>,
}

impl Row {
    fn words(&self) -> String {
        let height = self.height.map_or_else(|| "?".to_owned(), |height| height.to_string());
        let hash = self.hash.as_deref().unwrap_or("(no hash)");
        let Count { have, need } = self.quorum;
        let reason = self.reason.as_ref().map(|reason| format!("  {reason}")).unwrap_or_default();
        format!("{height:>8}  {hash}  {:<8}  {have}/{need}{reason}", self.verdict.as_str())
    }
}

/// The rows, counted.
#[derive(Debug, Default, Serialize)]
struct Summary {
    blocks: u64,
    #[serde(rename = "final")]
    settled: u64,
    rejected: u64,
    not_yet: u64,
    /// Where receipts were given. For a person: what is wrong with a block's receipts stands in its row.
    #[serde(skip)]
    receipts: Option<Receipts>,
    /// The same for a ledger whose transactions, results and keys are proven one by one.
    #[serde(skip)]
    beside: Option<String>,
}

/// The last line.
#[derive(Debug, Serialize)]
struct Closing {
    summary: Summary,
}

/// Blocks whose receipts were compared with their headers.
#[derive(Debug, Clone, Copy, Default)]
struct Receipts {
    checked: u64,
    wrong: u64,
    /// Blocks with transactions whose receipts were not given.
    missing: u64,
}

impl Summary {
    fn add(&mut self, verdict: Verdict) {
        self.blocks += 1;
        *match verdict {
            Verdict::Final => &mut self.settled,
            Verdict::Rejected => &mut self.rejected,
            Verdict::NotYet => &mut self.not_yet,
        } += 1;
    }

    fn words(&self) -> String {
        let mut words = format!(
            "{} blocks: {} final, {} rejected, {} not yet",
            self.blocks, self.settled, self.rejected, self.not_yet
        );
        if let Some(receipts) = self.receipts {
            words += &format!("; {}", receipts.words());
        }
        if let Some(beside) = &self.beside {
            words += &format!("; {beside}");
        }
        words
    }
}

impl Receipts {
    fn words(self) -> String {
        let Self { checked, wrong, missing } = self;
        format!("receipts of {checked} blocks checked, {wrong} wrong, {missing} not given")
    }
}
