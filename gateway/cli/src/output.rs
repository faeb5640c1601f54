//! The terminal: results on stdout, everything else on stderr. Nothing else in this program writes to either.

use std::cell::RefCell;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write as _};

use serde::Serialize;

/// Where a command's results go, and in which form.
pub(crate) struct Output {
    json: bool,
    stdout: RefCell<BufWriter<Stdout>>,
}

impl Output {
    /// With `json` every result is one JSON value a line.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, stdout: RefCell::new(BufWriter::new(io::stdout())) }
    }

    /// Whether results are JSON.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// One result: the value as one line of JSON, or the words for a person.
    pub(crate) fn show(&self, value: &impl Serialize, words: impl FnOnce() -> String) -> anyhow::Result<()> {
        let mut stdout = self.stdout.borrow_mut();
        if self.json {
            serde_json::to_writer(&mut *stdout, value).map_err(io::Error::from)?;
            stdout.write_all(b"\n")?;
        } else {
            writeln!(stdout, "{}", words().trim_end())?;
        }
        Ok(())
    }

    /// Sends what is buffered. The end of the program does it too; a command that goes on running must.
    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        Ok(self.stdout.borrow_mut().flush()?)
    }

    /// A line for the person at the terminal, on stderr. A closed stderr stops nothing.
    pub(crate) fn tell(&self, words: &str) {
        let _ = writeln!(io::stderr(), "{words}");
    }

    /// How far a long command has come: on a terminal only, in place.
    pub(crate) fn progress(&self, words: impl FnOnce() -> String) {
        if io::stderr().is_terminal() {
            let _ = write!(io::stderr(), "\r\x1b[K{}", words());
        }
    }

    /// Clears the line of [`Output::progress`].
    pub(crate) fn progress_done(&self) {
        self.progress(String::new);
    }
}
