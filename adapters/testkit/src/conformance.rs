//! What the traits promise, as checks that run on any family.
//!
//! A family's test builds a case from good material of its own ledger and runs the suite on it. The suites make the bad
//! material themselves, by cutting, extending, flipping and mixing what they were given.

mod decoder;
mod light_client;
mod source;
mod tamper;

pub use decoder::{DecoderCase, decoder};
pub use light_client::{LightClientCase, light_client};
pub use source::{SourceCase, source};

use std::fmt;

/// One check that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check, named after what it refuses or promises.
    pub check: &'static str,
    /// What was expected and what came.
    pub detail: String,
}

/// What a suite found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Checks that held.
    pub held: Vec<&'static str>,
    /// Checks that the case has no material for, each with what it lacks. Never silent.
    pub without_material: Vec<Finding>,
    /// Checks that did not hold.
    pub failed: Vec<Finding>,
}

/// How one check ends: well, or with what was expected and what came.
pub(crate) type Check = Result<(), String>;

impl Report {
    fn run(&mut self, check: &'static str, run: impl FnOnce() -> Check) {
        self.note(check, run());
    }

    fn note(&mut self, check: &'static str, result: Check) {
        match result {
            Ok(()) => self.held.push(check),
            Err(detail) => self.failed.push(Finding { check, detail }),
        }
    }

    fn run_with<T>(&mut self, check: &'static str, material: Option<&T>, lacks: &str, run: impl FnOnce(&T) -> Check) {
        match material {
            Some(material) => self.run(check, || run(material)),
            None => self.without_material.push(Finding { check, detail: lacks.to_owned() }),
        }
    }

    /// For tests: every check held.
    ///
    /// # Panics
    /// With the whole report when one did not, or when none was run.
    pub fn require_clean(&self) {
        assert!(self.failed.is_empty() && !self.held.is_empty(), "{self}");
    }

    /// For tests: every check held, and the case had material for all of them.
    ///
    /// # Panics
    /// With the whole report otherwise.
    pub fn require_complete(&self) {
        self.require_clean();
        assert!(self.without_material.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} checks held", self.held.len())?;
        self.failed.iter().try_for_each(|finding| writeln!(f, "FAILED {}: {}", finding.check, finding.detail))?;
        let rest = &self.without_material;
        rest.iter().try_for_each(|finding| writeln!(f, "without material: {}: {}", finding.check, finding.detail))
    }
}

fn require(holds: bool, otherwise: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(otherwise()) }
}
