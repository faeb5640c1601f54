//! What can go wrong: in a mapping document ([`MappingError`]) and when a mapping meets an event ([`MappingFault`]).

use std::fmt;

use serde::Serialize;

/// One fault of a mapping document. A file's faults come all at once, in document order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{}{}: {detail} ({code})", Place(file.as_deref(), *line, *column), named(pointer))]
pub struct MappingError {
    /// The name given to the parser; absent where the document came in canonical form.
    pub file: Option<String>,
    /// Line, from 1; absent where the document came in canonical form.
    pub line: Option<usize>,
    /// Column in characters, from 1.
    pub column: Option<usize>,
    /// JSON Pointer to the faulty value; empty for the whole document.
    pub pointer: String,
    /// What kind of fault.
    pub code: ErrorCode,
    /// Expected and got, in words.
    pub detail: String,
}

impl MappingError {
    /// The label for metrics.
    pub const fn reason(&self) -> &'static str {
        self.code.as_str()
    }
}

/// The empty pointer is the document.
fn named(pointer: &str) -> &str {
    if pointer.is_empty() { "the document" } else { pointer }
}

struct Place<'a>(Option<&'a str>, Option<usize>, Option<usize>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0, self.1, self.2) {
            (Some(file), Some(line), Some(column)) => write!(f, "{file}:{line}:{column}: "),
            (Some(file), ..) => write!(f, "{file}: "),
            _ => Ok(()),
        }
    }
}

macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $label:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every label of the closed set.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

labels! {
    /// Kinds of [`MappingError`].
    ErrorCode {
        /// Not YAML, not UTF-8, or more than one document.
        Syntax = "syntax",
        /// An alias or an anchor: a small file must not unfold into a large one.
        Alias = "alias",
        /// A tag: types come from this crate alone.
        Tag = "tag",
        /// A key that stands twice: readers would disagree on which one counts.
        DuplicateKey = "duplicate-key",
        /// An unquoted scalar that YAML readers take for different values.
        AmbiguousScalar = "ambiguous-scalar",
        /// Too large, too deep or too many.
        Limit = "limit",
        /// A member that this version does not know.
        UnknownMember = "unknown-member",
        /// A member that must be there.
        MissingMember = "missing-member",
        /// A value of the wrong type or form.
        Form = "form",
        /// Not a JSON Pointer.
        Pointer = "pointer",
        /// An operation that does not exist.
        UnknownOperation = "unknown-operation",
        /// An operation that a receiver cannot repeat, or that a mapping must not have.
        RefusedOperation = "refused-operation",
        /// A table that the document does not hold.
        UnknownTable = "unknown-table",
        /// A target that the host fills in, never a mapping.
        ForbiddenTarget = "forbidden-target",
        /// Two targets that cannot both be written.
        Conflict = "conflict",
        /// Sharing or sensitivity taken from the ledger's free text, or opened wider than its class.
        LoosenedSharing = "loosened-sharing",
    }
}

/// Why a mapping has no draft for an event that one of its rules covers. The event becomes a `skipped` leaf with this
/// reason; since that leaf is published, the text never repeats a value of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{path}: {detail} ({code})")]
pub struct MappingFault {
    /// The target pointer that could not be filled; for `unmapped` the input pointer nobody reads.
    pub path: String,
    /// What kind of fault.
    pub code: FaultCode,
    /// Expected and got, in words, without values of the event.
    pub detail: String,
}

impl MappingFault {
    /// The label for metrics.
    pub const fn reason(&self) -> &'static str {
        self.code.as_str()
    }
}

labels! {
    /// Kinds of [`MappingFault`].
    FaultCode {
        /// The source value is absent and neither `optional` nor `default` was said.
        Missing = "missing",
        /// A value of another type than the operation takes.
        Type = "type",
        /// A code that the table does not hold.
        Table = "table",
        /// Not a date or time of the stated format.
        Date = "date",
        /// Not a number of the stated form, or out of range.
        Number = "number",
        /// Not a truth value.
        Bool = "bool",
        /// The expression does not match.
        Regex = "regex",
        /// No such piece.
        Pick = "pick",
        /// Not JSON, or JSON that has no canonical form.
        Json = "json",
        /// Not hex, base64 or UTF-8.
        Encoding = "encoding",
        /// Not an identifier of the stated kind.
        Identifier = "identifier",
        /// Larger or deeper than the limits.
        Limit = "limit",
        /// An input field that the rule neither reads nor drops.
        Unmapped = "unmapped",
        /// Parts that do not make a record key.
        Key = "key",
        /// A draft that would be shared more widely than its class allows.
        Sharing = "sharing",
    }
}

/// A fault of one operation or source, before the target it was for is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) code: FaultCode,
    pub(crate) detail: String,
}

impl Trouble {
    pub(crate) fn new(code: FaultCode, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(crate) fn at(self, path: &str) -> MappingFault {
        MappingFault { path: path.to_owned(), code: self.code, detail: self.detail }
    }
}

/// A fault of a document before file and position are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issue {
    pub(crate) pointer: String,
    pub(crate) code: ErrorCode,
    pub(crate) detail: String,
}
