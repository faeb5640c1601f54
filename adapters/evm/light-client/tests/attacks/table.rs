//! docs/evm-attacks.md against the sources: every test and every reason that it names is there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

/// What stands in backticks in a cell.
fn ticked(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

fn sources(folder: &Path, found: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("attacks/table.rs") {
            found.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_test_and_every_reason_of_the_table_of_attacks_is_there() {
    let page = std::fs::read_to_string(root().join("docs/evm-attacks.md")).unwrap();
    let mut code = String::new();
    for folder in ["adapters/evm", "gateway/cli", "schemas/core/src"] {
        sources(&root().join(folder), &mut code);
    }
    let (mut tests, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    let mut of_attacks = false;
    for row in page.lines().filter(|line| !line.starts_with("|--")) {
        // Tables of anything else have another heading.
        of_attacks = row.starts_with("| attack |") || of_attacks && row.starts_with("| ");
        if !of_attacks || row.starts_with("| attack |") {
            continue;
        }
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [_, _, named, refused] = cells[..] else { panic!("expected four cells, got {row}") };
        assert!(!ticked(named).is_empty(), "a row without a test: {row}");
        tests.extend(ticked(named));
        reasons.extend(ticked(refused));
    }
    let lost: Vec<&&str> = tests.iter().filter(|test| !code.contains(&format!("fn {test}("))).collect();
    assert!(lost.is_empty(), "tests that the table names and no source has: {lost:?}");
    let lost: Vec<&&str> = reasons.iter().filter(|reason| !code.contains(&format!("\"{reason}\""))).collect();
    assert!(lost.is_empty(), "reasons that the table names and no source gives: {lost:?}");
    assert!(tests.len() > 30 && reasons.len() > 20, "{} tests, {} reasons", tests.len(), reasons.len());
}
