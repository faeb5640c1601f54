//! Every bound of this crate by name. A mapping travels between gateways and its input comes from a ledger: both are
//! foreign, so nothing here allocates or loops beyond one of these numbers.

/// Bytes of a mapping file, and of its canonical form.
pub const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// Depth of containers in a mapping document (the embedded ABI and test values included).
pub const MAX_DOCUMENT_DEPTH: usize = 24;
/// Values (scalars and containers) in a mapping document.
pub const MAX_DOCUMENT_NODES: usize = 20_000;
/// Bytes of the pointer to a value of a document: every value keeps its own for error messages.
pub const MAX_PLACE_BYTES: usize = 1_024;
/// Faults reported for one document; what comes after them is not looked at by a person anyway.
pub const MAX_FAULTS: usize = 64;

/// Rules of a mapping.
pub const MAX_RULES: usize = 32;
/// Conditions of a rule's `when`.
pub const MAX_CONDITIONS: usize = 16;
/// Entries of a rule's `set`.
pub const MAX_TARGETS: usize = 256;
/// Pointers of a rule's `drop`.
pub const MAX_DROPS: usize = 256;
/// Operations of one `do`.
pub const MAX_OPS: usize = 16;
/// Parts of one `concat`.
pub const MAX_PARTS: usize = 16;
/// Tables of a mapping; entries are bounded by [`MAX_DOCUMENT_NODES`].
pub const MAX_TABLES: usize = 64;
/// Embedded tests.
pub const MAX_TESTS: usize = 256;

/// Bytes of a JSON Pointer.
pub const MAX_POINTER_BYTES: usize = 512;
/// Tokens of a JSON Pointer.
pub const MAX_POINTER_TOKENS: usize = 16;
/// Elements of one array built by `set`.
pub const MAX_ARRAY_TARGETS: usize = 64;

/// Bytes of one text or byte string while operations run.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Pieces of one `split`.
pub const MAX_PIECES: usize = 1_024;
/// Bytes of a regular expression's source.
pub const MAX_REGEX_BYTES: usize = 512;
/// Bytes of a compiled regular expression (and of its lazy automaton).
pub const MAX_REGEX_COMPILED: usize = 256 * 1024;
/// Depth of JSON that `json-parse` reads and of input values that are copied.
pub const MAX_VALUE_DEPTH: usize = 32;
/// Weight of all values in one draft: text bytes plus [`NODE_WEIGHT`] for each value.
pub const MAX_DRAFT_WEIGHT: usize = 1024 * 1024;
/// What one JSON value weighs beside its text.
pub const NODE_WEIGHT: usize = 8;
/// Characters of the key that a mapping gives (the composed record key has its own limit in core).
pub const MAX_KEY_CHARS: usize = 200;
/// Integers beyond this magnitude are not the same number in every JSON reader (RFC 8785, section 3.2.2.3).
pub const MAX_SAFE_INTEGER: i64 = (1 << 53) - 1;
