//! Verifies an evidence file offline, step by step: what was compared at each, and the assurance at the end.
//!
//! The file brings bytes; trust comes from the policy alone: anchor, log keys, accepted definitions (decision 10).

use std::collections::BTreeMap;
use std::sync::Arc;

use hufu_adapters_light_client::{Budget, DynLightClient, Outcome, Step, TrustedBlock};
use hufu_schemas_core::checkpoint::{Checkpoint, SignedCheckpoint};
use hufu_schemas_core::evidence::{Evidence, LeafEvidence, WireStep};
use hufu_schemas_core::lane::{Entry, KeyTag};
use hufu_schemas_core::merkle::verify_inclusion;
use hufu_schemas_core::page::PageBlock;
use hufu_schemas_core::statement::{Definition, Leaf, Statement};
use hufu_schemas_core::{Height, LaneId, Record, Timestamp};
use hufu_schemas_registry::Registry;
use serde::Serialize;

use crate::admission::{LaneDefinition, LaneState, LeafOutcome};
use crate::page::{BadEvidence, LedgerSnapshot, PageContext, Readers};
use crate::policy::TrustPolicy;
use crate::reader::{Families, LaneReader};
use crate::verified::Verified;

/// One step of the verification, in words a person can follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// What was checked.
    pub step: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What was compared with what.
    pub compared: String,
}

/// What came of an evidence file.
#[derive(Debug)]
pub struct EvidenceVerdict {
    /// The steps made, in order; the last one fails when there is no record.
    pub steps: Vec<Checked>,
    /// The record, when every step holds.
    pub record: Option<Box<Verified<Record>>>,
    /// The label of the fault, when one does not.
    pub reason: Option<&'static str>,
}

/// Steps of at most this many headers are given to the light client at a time, so that memory stays bounded.
const STEPS_AT_A_TIME: usize = 256;

/// Verifies an evidence file against `policy` at time `now`.
pub fn verify(
    evidence: &Evidence,
    policy: &TrustPolicy,
    families: &Families,
    registry: &Registry,
    now: Timestamp,
) -> EvidenceVerdict {
    let mut report = Report { steps: Vec::new() };
    match walk(&mut report, evidence, policy, families, registry, now) {
        Ok(record) => EvidenceVerdict { steps: report.steps, record: Some(record), reason: None },
        Err(reason) => EvidenceVerdict { steps: report.steps, record: None, reason: Some(reason) },
    }
}

struct Report {
    steps: Vec<Checked>,
}

impl Report {
    fn holds(&mut self, step: &'static str, compared: impl ToString) {
        self.steps.push(Checked { step, holds: true, compared: compared.to_string() });
    }

    fn fails<T>(
        &mut self,
        step: &'static str,
        reason: &'static str,
        compared: impl ToString,
    ) -> Result<T, &'static str> {
        self.steps.push(Checked { step, holds: false, compared: compared.to_string() });
        Err(reason)
    }
}

fn walk(
    report: &mut Report,
    evidence: &Evidence,
    policy: &TrustPolicy,
    families: &Families,
    registry: &Registry,
    now: Timestamp,
) -> Result<Box<Verified<Record>>, &'static str> {
    let claimed = match Record::open(evidence.record.clone()) {
        Ok(record) => record,
        Err(fault) => return report.fails("record", fault.reason(), fault),
    };
    report.holds("record", format!("the envelope's digest is its id {}", claimed.id()));
    let (lane, checkpoint) = check_checkpoint(report, evidence, policy)?;
    let defining = check_defining_leaf(report, &evidence.definition, &checkpoint)?;
    let definition = check_definition(report, evidence, &defining, policy, &lane)?;
    let statement = check_record_leaf(report, &evidence.leaf, &checkpoint, &definition)?;
    let reader = match LaneReader::of_definition(&definition, &evidence.documents, families, registry) {
        Ok(reader) => reader,
        Err(fault) => return report.fails("mapping", fault.reason(), fault),
    };
    report.holds("mapping", format!("digest {} as the definition fixes", definition.mapping));
    let snapshot = check_ledger(report, evidence, &definition, policy, families, now)?;
    let verified = check_record(
        report, evidence, &lane, &statement, definition, reader, snapshot, policy, families, registry, now,
    )?;
    if verified.record().id() != claimed.id() {
        let compared = format!("recomputed {}, the file says {}", verified.record().id(), claimed.id());
        return report.fails("record recomputed", "record-differs", compared);
    }
    if let Some(body) = claimed.body()
        && verified.record().body() != Some(body)
    {
        return report.fails("record recomputed", "record-differs", "the body is not the recomputed one");
    }
    let basis = verified.basis();
    report.holds(
        "assurance",
        format!(
            "{}, code {}, finality {}, completeness {}",
            basis.assurance.as_str(),
            basis.control.as_str(),
            basis.finality.as_str(),
            basis.completeness.as_str()
        ),
    );
    Ok(verified)
}

fn check_checkpoint(
    report: &mut Report,
    evidence: &Evidence,
    policy: &TrustPolicy,
) -> Result<(LaneId, Checkpoint), &'static str> {
    let signed = match SignedCheckpoint::parse(&evidence.checkpoint) {
        Ok(signed) => signed,
        Err(fault) => return report.fails("checkpoint", fault.reason(), fault),
    };
    let lane = signed.claimed().lane.clone();
    let Some((peer, _)) = policy.peer(lane.gateway()).zip(policy.lane(&lane)) else {
        return report.fails("checkpoint", "lane-not-trusted", format!("the policy does not name lane {lane}"));
    };
    match signed.verify(&lane, &peer.log_keys) {
        Ok(checkpoint) => {
            let words = format!(
                "{lane}, {} leaves, root {}, signed by {} at {}",
                checkpoint.size, checkpoint.root, peer.organisation, checkpoint.time
            );
            report.holds("checkpoint", words);
            Ok((lane, checkpoint))
        }
        Err(fault) => report.fails("checkpoint", fault.reason(), fault),
    }
}

/// The definition's leaf: it is about no record key, so its tag is zero.
fn check_defining_leaf(
    report: &mut Report,
    leaf: &LeafEvidence,
    checkpoint: &Checkpoint,
) -> Result<Statement, &'static str> {
    const STEP: &str = "definition in the log";
    let statement = match Statement::parse(leaf.statement.as_bytes()) {
        Ok(statement) => statement,
        Err(fault) => return report.fails(STEP, fault.reason(), fault),
    };
    let entry = Entry::new(KeyTag::NONE, statement.digest());
    include(report, STEP, leaf, &entry, checkpoint)?;
    Ok(statement)
}

/// The record's leaf, whose tag needs the definition's key.
fn check_record_leaf(
    report: &mut Report,
    leaf: &LeafEvidence,
    checkpoint: &Checkpoint,
    definition: &Definition,
) -> Result<Statement, &'static str> {
    const STEP: &str = "statement in the log";
    let statement = match Statement::parse(leaf.statement.as_bytes()) {
        Ok(statement) => statement,
        Err(fault) => return report.fails(STEP, fault.reason(), fault),
    };
    if !matches!(statement.leaf(), Leaf::Record(_)) {
        return report.fails(STEP, "not-a-record", format!("a {} leaf", statement.leaf().kind()));
    }
    include(report, STEP, leaf, &statement.entry(&definition.tag_key), checkpoint)?;
    Ok(statement)
}

fn include(
    report: &mut Report,
    step: &'static str,
    leaf: &LeafEvidence,
    entry: &Entry,
    checkpoint: &Checkpoint,
) -> Result<(), &'static str> {
    match verify_inclusion(leaf.index, checkpoint.size, entry.leaf_hash(), &leaf.inclusion, &checkpoint.root) {
        Ok(()) => {
            report.holds(step, format!("leaf {} leads to root {}", leaf.index, checkpoint.root));
            Ok(())
        }
        Err(fault) => report.fails(step, fault.reason(), fault),
    }
}

fn check_definition(
    report: &mut Report,
    evidence: &Evidence,
    statement: &Statement,
    policy: &TrustPolicy,
    lane: &LaneId,
) -> Result<Definition, &'static str> {
    let Leaf::Definition(definition) = statement.leaf() else {
        return report.fails("definition", "lane-without-definition", format!("a {} leaf", statement.leaf().kind()));
    };
    if evidence.definition.index >= evidence.leaf.index {
        return report.fails("definition", "lane-without-definition", "the definition stands after the record");
    }
    let digest = definition.digest();
    let accepted = policy.lane(lane).is_some_and(|lane| lane.definitions.contains(&digest));
    if !accepted {
        let words = format!("the policy does not name definition {digest} for lane {lane}");
        return report.fails("definition", "definition-not-accepted", words);
    }
    report.holds("definition", format!("{digest} as the policy names it"));
    Ok(definition.clone())
}

fn check_ledger(
    report: &mut Report,
    evidence: &Evidence,
    definition: &Definition,
    policy: &TrustPolicy,
    families: &Families,
    now: Timestamp,
) -> Result<LedgerSnapshot, &'static str> {
    let ledger = &definition.ledger;
    let Some(anchor) = policy.anchor(ledger) else {
        return report.fails("anchor", "ledger-not-anchored", format!("the policy anchors no ledger {ledger}"));
    };
    let client: Arc<dyn DynLightClient> = match families.client(anchor) {
        Ok(client) => client.into(),
        Err(fault) => return report.fails("anchor", fault.reason(), fault),
    };
    if client.ledger() != ledger || evidence.ledger.ledger != *ledger {
        let words = format!("anchor {}, definition {ledger}, file {}", client.ledger(), evidence.ledger.ledger);
        return report.fails("anchor", "other-ledger", words);
    }
    report.holds("anchor", format!("{ledger}, from the policy"));
    let block = check_headers(report, evidence, client.as_ref(), now)?;
    let (head, trusted) = block;
    let blocks = BTreeMap::from([(trusted.height(), trusted)]);
    let firm = head.last.map(|(height, _)| height);
    Ok(LedgerSnapshot { client, head, firm, frozen: None, blocks })
}

type HeadAndBlock = (hufu_adapters_light_client::HeadFacts, TrustedBlock);

fn check_headers(
    report: &mut Report,
    evidence: &Evidence,
    client: &dyn DynLightClient,
    now: Timestamp,
) -> Result<HeadAndBlock, &'static str> {
    let wanted = evidence.ledger.height;
    let mut head = client.anchor();
    let mut found: Option<TrustedBlock> = None;
    // A file made under an older anchor begins below ours.
    let first = client.describe(&head).accepted().map(|facts| facts.wants);
    let below = evidence.ledger.steps.iter().take_while(|step| first.is_some_and(|first| step.height < first)).count();
    let mut rest: &[WireStep] = evidence.ledger.steps.get(below..).unwrap_or_default();
    let confirmations = usize::try_from(confirmations(client, &head)).unwrap_or(usize::MAX);
    let mut shortfall = String::from("no headers");
    while !rest.is_empty() {
        // A probabilistic ledger needs its tail in the same call.
        let take = STEPS_AT_A_TIME.saturating_add(confirmations).min(rest.len());
        let (now_steps, _) = rest.split_at(take);
        let steps: Vec<Step> =
            now_steps.iter().map(|step| Step { height: step.height, bytes: step.bytes.clone() }).collect();
        match client.advance(&head, &steps, now, &mut Budget::for_update()) {
            Outcome::Accept(advanced) => {
                let moved = advanced.blocks.last().map(TrustedBlock::height);
                if let Some(block) = advanced.blocks.into_iter().find(|block| block.height() == wanted) {
                    found = Some(block);
                }
                head = advanced.head;
                let Some(last) = moved else {
                    shortfall = "no further header became final".to_owned();
                    break;
                };
                let passed = rest.iter().take_while(|step| step.height <= last).count();
                if passed == 0 {
                    // Steps out of order: nothing more can come of them, and the loop must end.
                    shortfall = "the steps do not rise".to_owned();
                    break;
                }
                rest = rest.get(passed..).unwrap_or_default();
            }
            Outcome::NotYet(missing) => {
                if found.is_some() {
                    break;
                }
                return report.fails("headers", missing.reason(), missing);
            }
            Outcome::Reject(rejection) => return report.fails("headers", rejection.reason(), rejection),
        }
    }
    let facts = match client.describe(&head) {
        Outcome::Accept(facts) => facts,
        Outcome::NotYet(missing) => return report.fails("headers", missing.reason(), missing),
        Outcome::Reject(rejection) => return report.fails("headers", rejection.reason(), rejection),
    };
    let Some(block) = found else {
        return report.fails("headers", "headers-wanted", format!("no trusted block at height {wanted}: {shortfall}"));
    };
    if block.hash() != evidence.ledger.hash {
        let words = format!("trusted block {}, the file says {}", block.hash(), evidence.ledger.hash);
        return report.fails("headers", "block-differs", words);
    }
    let words = format!("{} headers from the anchor to block {wanted}, {}", evidence.ledger.steps.len(), block.hash());
    report.holds("headers", words);
    Ok((facts, block))
}

fn confirmations(client: &dyn DynLightClient, head: &hufu_adapters_light_client::StoredHead) -> u32 {
    client.describe(head).accepted().map_or(0, |facts| facts.confirmations)
}

#[expect(clippy::too_many_arguments, reason = "the one place where everything about a record meets")]
fn check_record(
    report: &mut Report,
    evidence: &Evidence,
    lane: &LaneId,
    statement: &Statement,
    definition: Definition,
    reader: LaneReader,
    snapshot: LedgerSnapshot,
    policy: &TrustPolicy,
    families: &Families,
    registry: &Registry,
    now: Timestamp,
) -> Result<Box<Verified<Record>>, &'static str> {
    let mut state = LaneState::new(lane.clone());
    let digest = definition.digest();
    let ledgers = BTreeMap::from([(definition.ledger.clone(), snapshot)]);
    state.definitions.push(LaneDefinition { sequence: evidence.definition.index, definition });
    let readers = Readers::from([(digest, Ok(Arc::new(reader)))]);
    let context = PageContext {
        policy,
        families,
        registry,
        ledgers: &ledgers,
        readers: &readers,
        standing: &crate::page::StandingLeaves::new(),
        now,
        high_water: now,
        bad_evidence: BadEvidence::Hold,
    };
    let height: Height = evidence.ledger.height;
    let block = PageBlock { height, hash: evidence.ledger.hash, evidence: evidence.ledger.evidence.clone() };
    let release = crate::page::retry(&state, evidence.leaf.index, statement, Some(&block), &context);
    match release.map(|release| release.outcome) {
        Some(LeafOutcome::Record(verified)) => {
            if verified.basis().native != evidence.ledger.native {
                return report.fails(
                    "event on the ledger",
                    "native-differs",
                    "the file shows other bytes than the ledger holds",
                );
            }
            let words =
                format!("{}, block evidence closes under block {}", verified.basis().position, evidence.ledger.hash);
            report.holds("event on the ledger", words);
            report.holds("record recomputed", format!("decoder, mapping and schema give {}", verified.record().id()));
            report.holds("authority", format!("issuer and type are those of lane {lane}"));
            Ok(verified)
        }
        Some(LeafOutcome::Held(held)) => report.fails("event on the ledger", held.reason, held.detail),
        _ => report.fails("event on the ledger", "headers-wanted", "the block is not trusted"),
    }
}
