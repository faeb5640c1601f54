//! How a command ends: 0 yes, 1 no, 2 misuse.

use std::fmt;
use std::io;
use std::process::ExitCode;

use serde_json::json;

use crate::output::Output;

/// What a command found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It holds, or it is done: exit 0.
    Yes,
    /// It does not hold: exit 1. Why stands in the result.
    No,
}

impl Answer {
    /// Yes if it holds.
    pub(crate) const fn of(holds: bool) -> Self {
        if holds { Self::Yes } else { Self::No }
    }
}

impl From<Answer> for ExitCode {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Yes => Self::SUCCESS,
            Answer::No => Self::from(NO),
        }
    }
}

const NO: u8 = 1;
const MISUSE: u8 = 2;

/// A command could not be carried out as it was given.
#[derive(Debug)]
pub(crate) struct Misuse {
    message: String,
    next: String,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misuse {}

/// An error that ends with exit 2. `next` says what to do about it.
pub(crate) fn misuse(message: impl Into<String>, next: impl Into<String>) -> anyhow::Error {
    Misuse { message: message.into(), next: next.into() }.into()
}

/// Tells a person (or with `--json` a script) why there is no answer.
pub(crate) fn explain(error: &anyhow::Error, out: &Output) -> ExitCode {
    // Whoever reads our output has seen enough.
    if error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        return ExitCode::from(NO);
    }
    let misuse = error.downcast_ref::<Misuse>();
    let message = format!("{error:#}");
    let next = misuse.map(|misuse| misuse.next.as_str());
    if out.is_json() {
        out.tell(&json!({ "error": { "message": message, "next": next } }).to_string());
    } else {
        out.tell(&format!("hufu: {message}"));
        if let Some(next) = next {
            out.tell(&format!("next: {next}"));
        }
    }
    ExitCode::from(if misuse.is_some() { MISUSE } else { NO })
}
