//! One height's worth of update, as it travels: JSON in the field names and text forms of nodes, with nothing that is not
//! checked.
//!
//! ```json
//! {"signed_header": {"header": {…}, "commit": {…}},
//!  "validators": [{"pub_key": {…}, "voting_power": "10"}, …],
//!  "next_validators": […],
//!  "headers": [{…}, …]}
//! ```
//! - `validators` may be left out where the receiver knows the set: after a block that named the same one as next;
//! - `next_validators` is given where the next set is another and heights shall be skipped from here;
//! - `headers` are those just below, falling, linked by hash: what was passed over by skipping.

use crate::commit::Commit;
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::validators::ValidatorSet;
use serde::{Deserialize, Serialize};

/// Bytes of the longest step: a commit and two sets of 1,024 validators (each entry below 250 bytes), and 1,024 headers
/// (each below 2 KiB), in JSON.
pub const MAX_STEP_BYTES: usize = 4 << 20;
/// Headers that one step may carry below its own.
pub const MAX_HEADERS: usize = 1_024;

/// A header with the votes that made it final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// The votes.
    pub commit: Commit,
}

/// What a step holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LightStep {
    /// The header with its votes.
    pub signed_header: SignedHeader,
    /// Who votes at this height.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validators: Option<ValidatorSet>,
    /// Who votes at the next height, where that is another set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_validators: Option<ValidatorSet>,
    /// In a rival alone: who votes at this height by the header that is trusted, where the rival names another set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_validators: Option<ValidatorSet>,
    /// The headers just below, falling.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
}

impl LightStep {
    /// Reads a step's bytes.
    ///
    /// # Errors
    /// [`Fault`] if they are longer than [`MAX_STEP_BYTES`], are not such JSON, or hold more than [`MAX_HEADERS`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > MAX_STEP_BYTES {
            return Err(Fault::new(Reason::TooLarge, format!("a step of at most {MAX_STEP_BYTES} bytes"), bytes.len()));
        }
        let step: Self = serde_json::from_slice(bytes)
            .map_err(|fault| Fault::new(Reason::Step, "a signed header with its validators", fault))?;
        if step.headers.len() > MAX_HEADERS {
            return Err(Fault::new(Reason::TooLarge, format!("at most {MAX_HEADERS} headers"), step.headers.len()));
        }
        Ok(step)
    }

    /// The bytes that travel.
    pub fn write(&self) -> Vec<u8> {
        // A struct of strings and numbers always serialises.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Its height, as the header claims it.
    pub fn height(&self) -> u64 {
        self.signed_header.header.height
    }
}
