//! The operator's anchor file.

use std::path::Path;

use hufu_evm_light_client::anchor::{Consensus, DEFAULT_EPOCH};
use hufu_evm_light_client::{Address, Hash32};
use serde_json::Value;

use crate::answer::misuse;
use crate::files;

/// What the operator states, and what is believed without proof.
#[derive(Debug, Clone)]
pub(super) struct Anchor {
    pub(super) consensus: Consensus,
    pub(super) height: u64,
    pub(super) hash: Hash32,
    pub(super) epoch: u64,
    pub(super) validators: Option<Vec<Address>>,
    /// Distinct signers asked for on top of a block, where blocks are only buried.
    pub(super) confirmations: usize,
}

const NEXT: &str = "see the example in: hufu audit evm --help";

impl Anchor {
    /// Reads a file; unknown keys are refused.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let file = path.display();
        let refused = |words: String| misuse(format!("{file}: {words}"), NEXT);
        let mut value: Value = toml::from_str(&files::read_text(path)?).map_err(|fault| refused(fault.to_string()))?;
        // An audit has no use for the ledger's name, which a gateway needs the genesis hash for.
        if value.get("genesis").is_none()
            && let Some(hash) = value.get("hash").cloned()
            && let Some(members) = value.as_object_mut()
        {
            members.insert("genesis".to_owned(), hash);
        }
        let checked = hufu_evm_light_client::Anchor::parse(&value)
            .map_err(|fault| refused(format!("{}: expected {}, got {}", fault.pointer, fault.expected, fault.got)))?;
        if checked.consensus() == Consensus::Unsealed {
            let words =
                "/consensus: expected a kind whose blocks somebody seals, got unsealed: such an export proves nothing";
            return Err(refused(words.to_owned()));
        }
        Self::of(&checked, &value).ok_or_else(|| refused("expected an anchor".to_owned()))
    }

    /// What [`hufu_evm_light_client::Anchor::parse`] has accepted but keeps to itself.
    fn of(checked: &hufu_evm_light_client::Anchor, value: &Value) -> Option<Self> {
        let number = |key: &str| value.get(key).and_then(Value::as_u64);
        let validators = match value.get("validators").and_then(Value::as_array) {
            Some(list) => Some(list.iter().map(|it| it.as_str()?.parse().ok()).collect::<Option<Vec<Address>>>()?),
            None => None,
        };
        Some(Self {
            consensus: checked.consensus(),
            height: checked.height(),
            hash: checked.hash(),
            epoch: number("epoch").unwrap_or(DEFAULT_EPOCH),
            validators,
            confirmations: usize::try_from(number("confirmations").unwrap_or(0)).ok()?,
        })
    }
}
