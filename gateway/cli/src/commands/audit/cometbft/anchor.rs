//! The operator's anchor file: the one that a gateway's policy holds, as a TOML file of its own.

use std::path::Path;

use hufu_cometbft_light_client::Anchor;
use serde_json::Value;

use crate::answer::misuse;
use crate::files;

/// Reads a file; unknown keys are refused.
pub(super) fn read(path: &Path) -> anyhow::Result<Anchor> {
    let file = path.display();
    let refused = |words: String| misuse(format!("{file}: {words}"), "see the example in: hufu audit cometbft --help");
    let mut value: Value = toml::from_str(&files::read_text(path)?).map_err(|fault| refused(fault.to_string()))?;
    // An audit has no use for the ledger's name, which a gateway needs the hash of the first block for.
    if value.get("genesis").is_none()
        && let Some(hash) = value.get("hash").cloned()
        && let Some(members) = value.as_object_mut()
    {
        members.insert("genesis".to_owned(), hash);
    }
    Anchor::parse(&value)
        .map_err(|fault| refused(format!("{}: expected {}, got {}", fault.pointer, fault.expected, fault.got)))
}
