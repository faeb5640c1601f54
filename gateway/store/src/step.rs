//! What the writer is given: an admission laid out as rows.
//!
//! Laying out (serialising records, hashing keys) happens on the caller's task, so that the one writer only writes.

use hufu_adapters_light_client::{Control, Finality};
use hufu_gateway_verify::admission::{Admission, AdmittedLeaf, KeptEvidence, LaneState, LeafOutcome, Release};
use hufu_gateway_verify::{Assurance, Completeness, Verified};
use hufu_schemas_core::canonical::to_canonical;
use hufu_schemas_core::lane::Entry;
use hufu_schemas_core::page::DocumentKind;
use hufu_schemas_core::{BlockHash, Digest, LaneId, LedgerId, Position, Record, RecordId, RecordKey, Timestamp};
use serde_json::Value;

use crate::error::StoreError;
use crate::model::LeafKind;

/// One admission.
#[derive(Debug, Clone)]
pub(crate) struct AdmitStep {
    pub(crate) before: u64,
    pub(crate) after: LaneState,
    pub(crate) leaves: Vec<LeafStep>,
    pub(crate) documents: Vec<DocumentStep>,
    pub(crate) evidence: Vec<KeptEvidence>,
}

#[derive(Debug, Clone)]
pub(crate) struct LeafStep {
    pub(crate) index: u64,
    pub(crate) entry: Entry,
    pub(crate) statement: Option<String>,
    pub(crate) kind: LeafKind,
    pub(crate) fate: Fate,
}

/// What became of a leaf, as far as rows differ.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    Record(Box<RecordStep>),
    Held(HeldStep),
    /// It takes back the leaf of this sequence, for this reason.
    Retract(u64, &'static str),
    /// Sealed, or about the lane itself: the leaf row says all.
    Told,
}

#[derive(Debug, Clone)]
pub(crate) struct HeldStep {
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) record: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct DocumentStep {
    pub(crate) kind: DocumentKind,
    pub(crate) digest: Digest,
    pub(crate) json: String,
}

#[derive(Debug, Clone)]
pub(crate) struct RecordStep {
    pub(crate) id: RecordId,
    pub(crate) key: RecordKey,
    pub(crate) json: String,
    pub(crate) quality: String,
    pub(crate) native: Vec<u8>,
    /// Digest of the native bytes: with the place it says which event this is.
    pub(crate) native_digest: Digest,
    pub(crate) lane: LaneId,
    pub(crate) sequence: u64,
    pub(crate) ledger: LedgerId,
    pub(crate) position: Position,
    pub(crate) item: u32,
    pub(crate) block_hash: BlockHash,
    pub(crate) block_time: Timestamp,
    pub(crate) finality: Finality,
    pub(crate) assurance: Assurance,
    pub(crate) control: Control,
    pub(crate) completeness: Completeness,
    pub(crate) policy: Digest,
    pub(crate) observed_at: Timestamp,
}

/// A held leaf that was tried again.
#[derive(Debug, Clone)]
pub(crate) struct ReleaseStep {
    pub(crate) lane: LaneId,
    pub(crate) index: u64,
    pub(crate) fate: Fate,
    pub(crate) evidence: Vec<KeptEvidence>,
    pub(crate) at: Timestamp,
}

fn canonical_text(value: &Value) -> String {
    // Canonical JSON is UTF-8 by construction.
    String::from_utf8(to_canonical(value)).unwrap_or_default()
}

impl RecordStep {
    fn of(verified: &Verified<Record>) -> Self {
        let (record, basis) = (verified.value(), verified.basis());
        Self {
            id: record.id(),
            key: record.key().clone(),
            json: canonical_text(&record.to_json()),
            quality: canonical_text(&serde_json::to_value(&basis.quality).unwrap_or(Value::Array(Vec::new()))),
            native_digest: Digest::of(&basis.native),
            native: basis.native.clone(),
            lane: basis.lane.clone(),
            sequence: basis.sequence,
            ledger: basis.ledger.clone(),
            position: basis.position,
            item: basis.item,
            block_hash: basis.block_hash,
            block_time: basis.block_time,
            finality: basis.finality,
            assurance: basis.assurance,
            control: basis.control,
            completeness: basis.completeness,
            policy: basis.policy,
            observed_at: basis.observed_at,
        }
    }
}

impl Fate {
    fn of(outcome: &LeafOutcome) -> Self {
        match outcome {
            LeafOutcome::Record(verified) => Self::Record(Box::new(RecordStep::of(verified))),
            LeafOutcome::Held(held) => Self::Held(HeldStep {
                reason: held.reason.to_owned(),
                detail: held.detail.clone(),
                record: held.record.as_ref().map(canonical_text),
            }),
            LeafOutcome::Retracted(retract) => Self::Retract(retract.sequence, retract.reason.as_str()),
            LeafOutcome::Sealed | LeafOutcome::Definition(_) | LeafOutcome::Covered(_) | LeafOutcome::Skipped(_) => {
                Self::Told
            }
        }
    }
}

impl LeafStep {
    fn of(leaf: &AdmittedLeaf) -> Self {
        let statement = leaf.statement.as_ref();
        Self {
            index: leaf.index,
            entry: leaf.entry,
            statement: statement.map(|it| String::from_utf8_lossy(it.bytes()).into_owned()),
            kind: statement.and_then(|it| LeafKind::parse(it.leaf().kind())).unwrap_or(LeafKind::Sealed),
            fate: Fate::of(&leaf.outcome),
        }
    }
}

impl From<&Admission> for AdmitStep {
    fn from(admission: &Admission) -> Self {
        let document = |it: &hufu_schemas_core::page::Document| DocumentStep {
            kind: it.kind,
            digest: it.digest,
            json: canonical_text(&it.json),
        };
        Self {
            before: admission.before(),
            after: admission.after().clone(),
            leaves: admission.leaves().iter().map(LeafStep::of).collect(),
            documents: admission.documents().iter().map(document).collect(),
            evidence: admission.evidence().to_vec(),
        }
    }
}

impl TryFrom<&Release> for ReleaseStep {
    type Error = StoreError;

    fn try_from(release: &Release) -> Result<Self, StoreError> {
        let fate = match Fate::of(release.outcome()) {
            Fate::Told | Fate::Retract(..) => {
                return Err(StoreError::refused("release", "a record, or a fresh reason to hold", "another outcome"));
            }
            fate => fate,
        };
        Ok(Self {
            lane: release.lane().clone(),
            index: release.index(),
            fate,
            evidence: release.evidence().to_vec(),
            at: release.at(),
        })
    }
}
