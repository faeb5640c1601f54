//! What the demo tells, as it happens, and what it expected. The exit status is the story's: yes only if every
//! expectation held.

use std::time::Instant;

use serde_json::{Value, json};

use crate::output::Output;

/// Tells the story and keeps count.
pub(super) struct Story<'a> {
    out: &'a Output,
    started: Instant,
    held: u32,
    broken: u32,
}

impl<'a> Story<'a> {
    pub(super) fn new(out: &'a Output) -> Self {
        Self { out, started: Instant::now(), held: 0, broken: 0 }
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// A heading.
    pub(super) fn chapter(&self, title: &str) -> anyhow::Result<()> {
        self.show(&json!({"chapter": title}), || format!("\n{title}\n{}", "─".repeat(title.chars().count())))
    }

    /// A fact.
    pub(super) fn tell(&self, words: &str) -> anyhow::Result<()> {
        self.show(&json!({"says": words}), || format!("  {:5.1}s  {words}", self.seconds()))
    }

    /// A fact with data for scripts.
    pub(super) fn note(&self, what: &str, value: Value, words: &str) -> anyhow::Result<()> {
        self.show(&json!({what: value}), || format!("  {:5.1}s  {words}", self.seconds()))
    }

    /// An expectation with what came. It counts for the exit status.
    pub(super) fn expect(&mut self, what: &str, expected: &str, got: &str, holds: bool) -> anyhow::Result<()> {
        if holds {
            self.held += 1;
        } else {
            self.broken += 1;
        }
        let value = json!({"expectation": what, "expected": expected, "got": got, "holds": holds});
        let mark = if holds { "✓" } else { "✗ NOT AS EXPECTED:" };
        self.show(&value, || match holds {
            true => format!("  {:5.1}s  {mark} {what}\n          {got}", self.seconds()),
            false => format!(
                "  {:5.1}s  {mark} {what}\n          expected {expected}\n          got      {got}",
                self.seconds()
            ),
        })
    }

    /// The end: what held.
    pub(super) fn end(&self) -> anyhow::Result<bool> {
        let seconds = self.seconds();
        let value = json!({"summary": {"held": self.held, "broken": self.broken, "seconds": seconds}});
        self.show(&value, || match self.broken {
            0 => format!("\nAll {} expectations held, {seconds:.1} s.", self.held),
            broken => format!("\n{broken} of {} expectations did NOT hold, {seconds:.1} s.", self.held + broken),
        })?;
        Ok(self.broken == 0)
    }

    fn show(&self, value: &Value, words: impl FnOnce() -> String) -> anyhow::Result<()> {
        self.out.show(value, words)?;
        self.out.flush()
    }
}
