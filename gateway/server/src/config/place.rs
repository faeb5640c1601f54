//! Where in a configuration file something stands, and faults that say so.

use std::ops::Range;
use std::path::{Path, PathBuf};

/// A mistake in a configuration file or in a file it names, with its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct ConfigFault {
    /// The file's name as given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// What was expected and what stands there.
    pub message: String,
}

/// Line and column, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// A file that the configuration names, with the place where it does: a fault of the file points at both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRef {
    /// The path, already resolved against the configuration's folder.
    pub path: PathBuf,
    /// Where the configuration names it.
    pub place: Place,
}

impl FileRef {
    /// The path as text for error messages.
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// A fault of what this names, where the configuration `file` names it.
    pub(crate) fn fault(&self, file: &str, message: impl Into<String>) -> ConfigFault {
        fault_at(file, self.place, message)
    }
}

/// Turns byte offsets of one text into places, and paths of one file into [`FileRef`]s.
pub(super) struct Text<'a> {
    pub(super) file: &'a str,
    pub(super) text: &'a str,
}

impl Text<'_> {
    pub(super) fn place(&self, span: Option<Range<usize>>) -> Place {
        let before = self.text.get(..span.map_or(0, |span| span.start)).unwrap_or("");
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place { line, column }
    }

    pub(super) fn fault(&self, span: Option<Range<usize>>, message: impl Into<String>) -> ConfigFault {
        fault_at(self.file, self.place(span), message)
    }

    pub(super) fn parse<T, E: std::fmt::Display>(
        &self,
        text: &toml::Spanned<String>,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, ConfigFault> {
        parse(text.get_ref()).map_err(|fault| self.fault(Some(text.span()), fault.to_string()))
    }

    /// A path, relative to the folder of the configuration file.
    pub(super) fn file_ref(&self, path: &toml::Spanned<String>) -> Result<FileRef, ConfigFault> {
        if path.get_ref().is_empty() {
            return Err(self.fault(Some(path.span()), "expected a path, got an empty text"));
        }
        let folder = Path::new(self.file).parent().unwrap_or(Path::new(""));
        Ok(FileRef { path: folder.join(path.get_ref()), place: self.place(Some(path.span())) })
    }
}

pub(super) fn fault_at(file: &str, place: Place, message: impl Into<String>) -> ConfigFault {
    ConfigFault { file: file.to_owned(), line: place.line, column: place.column, message: message.into() }
}
