//! What the tests share: where the data files are, and a registry that knows the sample payload schema.
#![allow(dead_code, unreachable_pub)]

use std::fs;
use std::path::{Path, PathBuf};

use hufu_schemas_core::canonical::parse;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_registry::Registry;
use serde_json::Value;

/// The folders of `schemas/records`.
pub const RECORDS: [&str; 4] = ["envelope", "e-certificate", "property-right", "generic"];

/// The `schemas/` folder.
pub fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The JSON files of a folder below `schemas/`, sorted; none is a failure, because a test over nothing proves nothing.
pub fn files(folder: &str) -> Vec<PathBuf> {
    let folder = schemas().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|fault| panic!("{}: {fault}", folder.display()));
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no JSON file", folder.display());
    files
}

/// A file, read as strictly as anything from outside.
pub fn read(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap();
    parse(&bytes, &JsonLimits::DOCUMENT).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// The schemas of this release and the payload schema of the `generic` samples.
pub fn registry() -> Registry {
    let payloads = files("records/generic/samples/payload-schemas");
    let named = payloads.iter().map(|path| (path.display().to_string(), read(path))).collect();
    Registry::builtin().unwrap().with_department_schemas(named).unwrap()
}
