//! `hufu bench evm`.

mod cases;
mod geth;

use std::path::PathBuf;
use std::thread;

use serde_json::{Value, json};

use super::measure::{Spread, Taken, number, take};
use crate::answer::{Answer, misuse};
use crate::output::Output;
use cases::Case;

/// Measure the light client of EVM ledgers: signers recovered, headers followed for 4, 7, 21 and 100 validators, a year of
/// headers skipped, receipts tries, account proofs. With `--geth`, its import of the same Clique export beside ours.
///
/// `unavoidable` compares with the recoveries alone that a case needs, at the cost of one recovery measured in the same
/// round: by work (processor time over all cores) and by wall clock on one core. All rounds are interleaved.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often everything is measured; medians are shown.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// go-ethereum's node, 1.13 (later ones do not make Clique ledgers).
    #[arg(long, value_name = "PROGRAM")]
    geth: Option<PathBuf>,
    /// A Clique export that begins with its genesis block, as `geth export` writes it. Made here if absent.
    #[arg(long, value_name = "FILE", requires = "genesis")]
    export: Option<PathBuf>,
    /// The genesis file of that export.
    #[arg(long, value_name = "FILE", requires = "export")]
    genesis: Option<PathBuf>,
    /// Blocks of the export that is made here.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    blocks: u64,
    /// Signers of the export that is made here.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100))]
    signers: u64,
}

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    out.tell("preparing ledgers to measure on …");
    let mut cases = cases::all()?;
    let clique = match (&args.export, &args.genesis) {
        (Some(export), Some(genesis)) => geth::Export::given(export, genesis)?,
        _ => geth::Export::made(args.signers, args.blocks)?,
    };
    cases.extend(clique.cases()?);
    let mut node = args.geth.as_ref().map(|program| geth::Node::new(program, &clique)).transpose()?;

    let mut taken: Vec<Vec<Taken>> = cases.iter().map(|_| Vec::new()).collect();
    let mut imports: Vec<f64> = Vec::new();
    for round in 1..=args.rounds {
        out.progress(|| format!("round {round} of {}", args.rounds));
        for (case, taken) in cases.iter_mut().zip(&mut taken) {
            taken.push(take(&mut case.run)?);
        }
        if let Some(node) = &mut node {
            imports.push(node.import()?.as_secs_f64());
        }
    }
    out.progress_done();
    show(&cases, &taken, &imports, node.as_ref(), out)
}

/// One line of the table.
struct Row {
    name: String,
    rate: Spread,
    unit: &'static str,
    /// Time beside that of the recoveries alone: wall clock on one core, and work.
    unavoidable: Option<(Spread, Option<f64>)>,
    note: String,
}

fn show(
    cases: &[Case],
    taken: &[Vec<Taken>],
    imports: &[f64],
    node: Option<&geth::Node>,
    out: &Output,
) -> anyhow::Result<Answer> {
    let unit =
        cases.first().zip(taken.first()).ok_or_else(|| misuse("nothing was measured", "see: hufu bench --help"))?;
    let mut rows: Vec<Row> = cases.iter().zip(taken).map(|(case, taken)| row(case, taken, unit)).collect();
    if let (Some(node), Some(case), Some(taken)) = (node, cases.last(), taken.last()) {
        let units = number(case.units);
        let rate = Spread::of(imports.iter().map(|seconds| units / seconds));
        let times = Spread::of(taken.iter().zip(imports).map(|(ours, theirs)| theirs / ours.wall.as_secs_f64()));
        let note =
            format!("import of the same file; ours is {:.1} times as fast, at least {:.1}", times.median, times.least);
        rows.push(Row { name: node.version.clone(), rate, unit: case.unit, unavoidable: None, note });
    }
    let cores = thread::available_parallelism().map_or(1, usize::from);
    out.show(&json!({ "cores": cores, "rounds": taken.first().map_or(0, Vec::len) }), || {
        format!(
            "{} rounds on {cores} cores; ± is half of what lies between the slowest and the fastest round\n\n\
             {:<34} {:>13} {:<11} {:>5}  {:>16} {:>6}",
            taken.first().map_or(0, Vec::len),
            "",
            "a second",
            "",
            "±",
            "÷ unavoidable:",
            "work",
        )
    })?;
    for row in &rows {
        out.show(&json_of(row), || text_of(row))?;
    }
    Ok(Answer::Yes)
}

fn row(case: &Case, taken: &[Taken], (one, ones): (&Case, &Vec<Taken>)) -> Row {
    let rate = Spread::of(taken.iter().map(|taken| number(case.units) / taken.wall.as_secs_f64()));
    let recoveries = number(case.recoveries) / number(one.units);
    let unavoidable = (case.recoveries > 0).then(|| {
        let wall =
            taken.iter().zip(ones).map(|(ours, one)| ours.wall.as_secs_f64() / (one.wall.as_secs_f64() * recoveries));
        (Spread::of(wall), work(taken).zip(work(ones)).map(|(ours, ones)| ours / (ones * recoveries)))
    });
    let note = if case.extrapolated > 0 {
        let seconds = number(case.extrapolated) / rate.median;
        format!("{} of them: {:.1} h, reckoned from {}", case.extrapolated, seconds / 3_600.0, case.units)
    } else {
        case.note.clone()
    };
    Row { name: case.name.clone(), rate, unit: case.unit, unavoidable, note }
}

fn work(taken: &[Taken]) -> Option<f64> {
    let sum: Option<f64> = taken.iter().map(|taken| taken.cpu.map(|cpu| cpu.as_secs_f64())).sum();
    // Below a second the hundredths that the system counts in say too little.
    sum.filter(|seconds| *seconds >= 0.5)
}

fn json_of(row: &Row) -> Value {
    json!({
        "case": row.name, "unit": row.unit, "perSecond": row.rate.median, "spread": row.rate.spread,
        "overUnavoidableOnOneCore": row.unavoidable.map(|(wall, _)| wall.median),
        "workOverUnavoidable": row.unavoidable.and_then(|(_, work)| work),
        "note": row.note,
    })
}

fn text_of(row: &Row) -> String {
    let (wall, work) = match &row.unavoidable {
        Some((wall, work)) => (format!("{:.2}", wall.median), work.map_or("-".to_owned(), |work| format!("{work:.2}"))),
        None => (String::new(), String::new()),
    };
    let (name, unit, rate) = (&row.name, row.unit, row.rate.median);
    let spread = format!("{:.0} %", 50.0 * row.rate.spread);
    format!("{name:<34} {rate:>13.1} {unit:<11} {spread:>5}  {wall:>16} {work:>6}  {}", row.note)
}
