//! Schemas, formats with check digits and code lists: a JSON document to a record, or the list of its faults. PURE.
//!
//! A closed world: the schemas of this release are compiled in, a department adds payload schemas of `generic` records
//! from its own folder, and nothing is ever fetched. Form is refused here; what is well-formed and doubtful becomes a
//! [`QualityNote`] (design, decision 16).

mod check_digit;
mod codelist;
mod content_id;
mod fault;
mod formats;
mod lint;
mod quality;
mod registry;
mod rules;
mod schema;
mod walk;

pub use check_digit::{certificate_id_is_consistent, is_resident_id, uscc_is_consistent};
pub use codelist::{Code, CodeList};
pub use content_id::content_id;
pub use fault::{Fault, MAX_FAULTS};
pub use hufu_schemas_core::SchemaRef;
pub use lint::{MAX_SCHEMA_DEPTH, MAX_SUBSCHEMAS, SchemaFault, SchemaRefused};
pub use quality::{MAX_NOTES, QualityNote, Severity};
pub use registry::Registry;
pub use schema::{Kind, Schema};
