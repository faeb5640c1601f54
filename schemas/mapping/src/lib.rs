//! Mapping files: decoded ledger JSON to a record draft. PURE.
//!
//! In scope: reading a mapping (YAML, or its canonical JSON form as it travels between gateways), its digest, applying
//! it, checking it against events and body schema, explaining it, and running the tests it carries.
//! Out of scope: decoding ledger bytes, filling in provenance, commitment and ids, and validating the record.
//!
//! # Why a mapping is data
//! The relying gateway recomputes every record from proven native bytes with the mapping pinned by digest. So a mapping
//! has no clock, chance, environment, network, loops or functions: what two gateways compute is equal to the byte.
//! For the same reason the operation `subject` (a pseudonym under a key) is absent: a receiver does not hold the key
//! and could not repeat it. Absent too in this version: `each` over lists, and the character set GB 18030.
//!
//! # A document
//! ```yaml
//! mapping: "1"
//! id: gov.example.certificate
//! version: 1.0.0
//! source: {family: simulated}             # only `family` means something here; the family's decoder reads the rest
//! target: {type: e-certificate, schema: "1.0"}
//! tables: {state: {"01": active}}
//! rules:                                  # the first whose conditions all hold; none: not matched, which is counted
//!   - when: [{path: /event, equals: Changed}, {path: /args/op, in: ["01", "02"]}, {path: /args/void, present: false}]
//!     set:
//!       /key: {path: /args/number}        # the draft's recordKey is `<type>:<issuer uscc>:<key>`
//!       /issuer/uscc: {path: /args/issuer, do: [trim, upper]}
//!       /status/state: {path: /args/state, table: state, keep: /status/sourceCode}
//!       /body/name: {path: /args/name, optional: true}
//!     drop: [/args/phone]
//!     unmapped: error                     # or drop; must be said
//! tests:
//!   - {name: not ours, input: {event: Other}, expectNotMatched: true}
//! ```
//!
//! An event's frame can be read and tested like its arguments: `/event` and `/contract` tell apart the events of a source
//! that reads several.
//!
//! A source is one of `path` (JSON Pointer), `const` and `concat` (of paths and constants); then `do`, a list of
//! operations; then `table`, with `keep` for the code before it. A value is *absent* where the pointer finds nothing,
//! `null` or an empty text; then `default` is written as it is, `optional: true` leaves the place out, and otherwise it
//! is a fault. Places of a list close up when one is left out, and a place below the draft's own members (a subject, an
//! amount with its unit) is left out whole when everything it should hold of the event is absent.
//!
//! # Operations
//! | operation | takes | gives |
//! |---|---|---|
//! | `trim`, `upper`, `lower` | text | text; case of ASCII letters only, since Unicode's case tables grow with releases |
//! | `nfkc` | text | text in Unicode form NFKC (full-width digits and letters become plain) |
//! | `{strip: " -"}` | text | text without any of these characters |
//! | `{split: ","}` | text | list of texts |
//! | `{pick: 0}`, `{pick: /a/b}` | list, JSON | one element, one member |
//! | `{join: "-"}` | list of texts | text |
//! | `{regex-extract: "…"}` | text | first group, or the whole match where there is none |
//! | `json-parse` | text | JSON; duplicate keys and integers beyond 2^53 − 1 refused |
//! | `int` | text, number | JSON integer within ±(2^53 − 1) |
//! | `bigint` | text, integer | decimal text, at most 78 digits |
//! | `decimal` | text, integer | decimal text, at most 16 digits before and 8 behind the point |
//! | `{shift: -2}` | text, integer | decimal text with the point moved; never rounds |
//! | `bool` | text, number, bool | `true` or `false` from true/false/1/0 |
//! | `{date: "%Y%m%d"}` | text | `YYYY-MM-DD` |
//! | `{date: {format, tz}}` | text | as above; a time with an offset is first moved to `tz` |
//! | `{datetime: {format, tz}}` | text | RFC 3339 in UTC; `tz` may be left out where the format has `%z` |
//! | `{epoch: s}`, `{epoch: ms}` | text, integer | RFC 3339 in UTC |
//! | `{bytes: hex}`, `base64`, `utf8` | text | bytes |
//! | `hex`, `base64`, `text` | bytes | text |
//! | `{digest: sha-256}` | bytes, text | bytes |
//! | `{cert-id-split: class}` | certificate id | `class`, `issuer`, `serial`, `version`, `check`, or `key` (id without the last two) |
//! | `{division-of: uscc}`, `{division-of: unit}` | code | its six-digit division code |
//!
//! # What a mapping cannot do
//! - write `provenance`, `commitment`, `recordId`, `envelope`, `schema`, `type`, `recordedAt`, or `recordKey` itself;
//! - take anything under `/sharing` or `/sensitivity` from the ledger's text: constants and tables only;
//! - open a record to the public unless its class is `unconditional`, or give a field a looser class than its record.

mod check;
mod cover;
mod described;
mod embedded;
mod explain;
mod fault;
pub mod limits;
mod mapping;
mod op;
mod pointer;
mod reader;
mod rule;
mod sharing;
mod source;
mod target;
mod yaml;

pub use check::{Finding, Severity};
pub use embedded::TestOutcome;
pub use explain::Lineage;
pub use fault::{ErrorCode, FaultCode, MappingError, MappingFault};
pub use mapping::{Applied, Draft, Mapping, Target};
