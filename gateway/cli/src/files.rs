//! Files of the operator: read within a limit, secrets written for their owner alone, nothing overwritten.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use hufu_schemas_core::canonical;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_registry::Registry;
use serde_json::Value;

use crate::answer::misuse;

/// Bytes of the largest configuration, policy, key or mapping file read here.
pub(crate) const SMALL_FILE: u64 = 4 << 20;

/// Opens a file, `-` for stdin.
pub(crate) fn open(path: &Path) -> anyhow::Result<Box<dyn io::Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    match File::open(path) {
        Ok(file) => Ok(Box::new(file)),
        Err(error) => Err(misuse(format!("cannot read {}: {error}", path.display()), "give a file that can be read")),
    }
}

/// Reads a whole file of at most `most` bytes, `-` for stdin.
pub(crate) fn read(path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|error| {
        misuse(format!("cannot read {}: {error}", path.display()), "give a file, not a folder, that can be read")
    })?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most {
        let message = format!("{}: expected at most {most} bytes, got more", path.display());
        return Err(misuse(message, "give the file that the command's --help describes"));
    }
    Ok(bytes)
}

/// Reads a text file of at most [`SMALL_FILE`] bytes.
pub(crate) fn read_text(path: &Path) -> anyhow::Result<String> {
    String::from_utf8(read(path, SMALL_FILE)?).map_err(|error| {
        misuse(format!("{}: expected UTF-8 text, got {error}", path.display()), "save the file as UTF-8")
    })
}

/// Writes a new file that only its owner may read.
pub(crate) fn write_secret(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_new(path, bytes, 0o600)
}

/// Writes a new file that everybody may read.
pub(crate) fn write_public(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_new(path, bytes, 0o644)
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> anyhow::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(mode);
    }
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => misuse(
            format!("{} is there already and is never overwritten", path.display()),
            "give another name, or move the old file away first",
        ),
        _ => misuse(format!("cannot write {}: {error}", path.display()), "give a place that can be written"),
    })?;
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(())
}

/// 32 secret bytes as a key file holds them: 64 hex digits and a newline.
pub(crate) fn read_key(path: &Path) -> anyhow::Result<[u8; 32]> {
    let text = read_text(path)?;
    let mut key = [0; 32];
    hex::decode_to_slice(text.trim(), &mut key).map_err(|_| {
        let message = format!("{}: expected a key file of 64 hex digits, got something else", path.display());
        misuse(message, "make one with: hufu key new --out FILE --name NAME")
    })?;
    Ok(key)
}

/// The schemas of this release, and those of a department's folder.
pub(crate) fn registry(department: Option<&Path>) -> anyhow::Result<Registry> {
    let builtin = Registry::builtin()?;
    let Some(folder) = department else { return Ok(builtin) };
    let mut schemas = Vec::new();
    for path in json_files(folder)? {
        let name = path.display().to_string();
        let document = parse_json(&path, &JsonLimits::DOCUMENT)?.map_err(|fault| {
            misuse(format!("{name}: {fault}"), "mend the schema file, or move it out of the folder")
        })?;
        schemas.push((name, document));
    }
    builtin.with_department_schemas(schemas).map_err(|refused| {
        misuse(refused.to_string(), "mend the schema; schemas/records/README.md says what one may use")
    })
}

fn json_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| {
        misuse(
            format!("cannot read the folder {}: {error}", folder.display()),
            "give --schemas a folder of JSON Schemas",
        )
    })?;
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Reads JSON as strictly as the gateway does: no duplicate keys, no unsafe integers. The inner error is the file's
/// fault, the outer one that it could not be read at all.
pub(crate) fn parse_json(path: &Path, limits: &JsonLimits) -> anyhow::Result<Result<Value, canonical::JsonFault>> {
    let bytes = read(path, u64::try_from(limits.bytes).unwrap_or(u64::MAX))?;
    Ok(canonical::parse(&bytes, limits))
}
