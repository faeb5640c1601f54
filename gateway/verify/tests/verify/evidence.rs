//! Evidence files: what closes offline, and that it does not once any part is changed.

use std::sync::Arc;

use hufu_adapters_light_client::outcome::Misbehaviour;
use hufu_adapters_light_client::{
    Advanced, Budget, ClientVersion, ConfigurationFault, Decoder, DynLightClient, Family, HeadFacts, ItemRef, Outcome,
    Proven, Selector, Step, StoredHead, TrustedBlock,
};
use hufu_adapters_testkit::sim::{SimFamily, SimLedger};
use hufu_gateway_verify::evidence::{self, EvidenceVerdict};
use hufu_gateway_verify::{Assurance, Families};
use hufu_schemas_core::evidence::Evidence;
use hufu_schemas_core::statement::{Leaf, Statement};
use hufu_schemas_core::{BlockHash, Digest, Height, LaneId, LedgerId, Timestamp};
use serde_json::{Value, json};

use crate::support::{Department, Rules, families, height, registry, right};

fn verify(file: &Evidence, rules: &Rules, department: &Department) -> EvidenceVerdict {
    let now = department.ledger.time().plus(60);
    evidence::verify(file, &rules.policy(), &families(), &registry(), now)
}

/// Why a file is not believed; the last step must be the one that fails, and the only one.
fn refusal(file: &Evidence, rules: &Rules, department: &Department) -> &'static str {
    let verdict = verify(file, rules, department);
    assert!(verdict.record.is_none(), "believed: {:?}", verdict.steps);
    let (last, before) = verdict.steps.split_last().unwrap();
    assert!(!last.holds && before.iter().all(|step| step.holds), "{:?}", verdict.steps);
    verdict.reason.unwrap()
}

#[test]
fn good_file_is_proven() {
    let department = Department::publishing();
    let rules = department.receiver().rules;
    for (index, id) in department.log.ids() {
        let file = Evidence::parse(&department.evidence(index).to_bytes()).unwrap();
        let verdict = verify(&file, &rules, &department);
        let record = verdict.record.unwrap_or_else(|| panic!("{:?}", verdict.steps));
        assert_eq!((record.record().id().to_string(), verdict.reason), (id, None));
        assert_eq!(record.basis().assurance, Assurance::Proven);
        assert!(verdict.steps.iter().all(|step| step.holds && !step.compared.is_empty()));
        let steps: Vec<_> = verdict.steps.iter().map(|step| step.step).collect();
        let expected = [
            "record",
            "checkpoint",
            "definition in the log",
            "definition",
            "statement in the log",
            "mapping",
            "anchor",
            "headers",
            "event on the ledger",
            "record recomputed",
            "authority",
            "assurance",
        ];
        assert_eq!(steps, expected);
    }
}

#[test]
fn a_file_of_a_departments_own_schema_is_proven() {
    let office = Department::tax_office();
    let verdict = verify(&office.evidence(1), &office.receiver().rules, &office);
    assert_eq!(verdict.reason, None, "{:?}", verdict.steps);
    let mut without = office.evidence(1);
    without.documents.retain(|document| document.json.get("$id").is_none());
    assert_eq!(refusal(&without, &office.receiver().rules, &office), "unknown-schema");
}

#[test]
fn a_withheld_body_changes_nothing() {
    let department = Department::publishing();
    let mut file = department.evidence(1);
    file.record.as_object_mut().unwrap().remove("body");
    assert_eq!(verify(&file, &department.receiver().rules, &department).reason, None);
}

#[test]
fn each_part_changed() {
    type Change = fn(&mut Evidence);
    let changes: [(&str, Change, &str); 22] = [
        ("record body", |it| it.record["body"]["rightType"] = json!("其他"), "record-commitment"),
        ("record envelope", |it| it.record["status"]["state"] = json!("deregistered"), "record-id"),
        ("record id", |it| it.record["recordId"] = json!("urn:grec:sha-256:AA"), "record-form"),
        ("no record at all", |it| it.record = json!("x"), "record-form"),
        (
            "statement",
            |it| it.leaf.statement = it.leaf.statement.replacen("\"salt\":\"", "\"salt\":\"00", 1),
            "statement-malformed",
        ),
        ("statement's salt", |it| it.leaf.statement = other_salt(&it.leaf.statement), "proof-root"),
        ("leaf index", |it| it.leaf.index += 1, "proof-root"),
        ("leaf index beyond", |it| it.leaf.index = 1 << 60, "proof-out-of-range"),
        ("inclusion hash", |it| it.leaf.inclusion[0] = Digest::of(b"another"), "proof-root"),
        ("inclusion length", |it| it.leaf.inclusion.truncate(1), "proof-length"),
        ("another kind of leaf", |it| it.leaf.statement = it.definition.statement.clone(), "not-a-record"),
        ("definition", |it| it.definition.statement = other_salt(&it.definition.statement), "proof-root"),
        ("definition's inclusion", |it| it.definition.inclusion[0] = Digest::of(b"another"), "proof-root"),
        ("checkpoint signature", |it| it.checkpoint = other_signature(&it.checkpoint), "checkpoint-signature"),
        ("checkpoint time", |it| it.checkpoint = it.checkpoint.replace("time 1", "time 2"), "checkpoint-signature"),
        ("mapping", |it| it.documents[0].json["version"] = json!("1.0.1"), "unknown-mapping"),
        ("no mapping", |it| it.documents.clear(), "unknown-mapping"),
        ("header", |it| flip(&mut it.ledger.steps[1].bytes), "seal-bad"),
        ("headers cut short", |it| it.ledger.steps.truncate(1), "headers-wanted"),
        ("evidence", |it| it.ledger.evidence = b"[]".to_vec(), "bad-evidence"),
        ("native", |it| flip(&mut it.ledger.native), "native-differs"),
        ("block hash", |it| it.ledger.hash = BlockHash::from_bytes([1; 32]), "block-differs"),
    ];
    let department = Department::publishing();
    let rules = department.receiver().rules;
    let refused = |change: Change| {
        let mut file = department.evidence(1);
        change(&mut file);
        assert_ne!(file, department.evidence(1), "nothing was changed");
        refusal(&file, &rules, &department)
    };
    let got: Vec<_> = changes.iter().map(|(part, change, _)| (*part, refused(*change))).collect();
    let expected: Vec<_> = changes.iter().map(|(part, _, reason)| (*part, *reason)).collect();
    assert_eq!(got, expected);
}

/// The same statement with other salt: as good a statement, but not the one in the log.
fn other_salt(statement: &str) -> String {
    let leaf = Statement::parse(statement.as_bytes()).unwrap().leaf().clone();
    String::from_utf8(Statement::make(leaf, [0xee; 16]).unwrap().bytes().to_vec()).unwrap()
}

fn other_signature(note: &str) -> String {
    let at = note.trim_end().len() - 10;
    let other = if note.as_bytes()[at] == b'A' { 'B' } else { 'A' };
    format!("{}{other}{}", &note[..at], &note[at + 1..])
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
}

#[test]
fn headers_of_another_history() {
    let department = Department::publishing();
    let rules = department.receiver().rules;
    let mut file = department.evidence(4);
    file.ledger.steps.remove(1);
    assert_eq!(refusal(&file, &rules, &department), "headers-wanted", "a header left out");
    let mut file = department.evidence(4);
    file.ledger.steps[2].bytes = department.ledger.step_sealed_by(height(2), 2).unwrap().bytes;
    assert_eq!(refusal(&file, &rules, &department), "below-quorum", "a header with a seal too few");
    let mut file = department.evidence(4);
    file.ledger.steps.swap(1, 2);
    assert_eq!(refusal(&file, &rules, &department), "steps-out-of-order");
    // The block of another record of the same lane.
    let mut file = department.evidence(4);
    (file.ledger.height, file.ledger.hash) = (height(1), department.ledger.hash(height(1)).unwrap());
    assert_eq!(refusal(&file, &rules, &department), "block-not-kept");
}

#[test]
fn a_record_of_another_leaf() {
    let department = Department::publishing();
    let rules = department.receiver().rules;
    let mut file = department.evidence(1);
    file.record = department.evidence(2).record;
    assert_eq!(refusal(&file, &rules, &department), "record-differs");
    let mut file = department.evidence(1);
    file.leaf = department.evidence(2).leaf;
    assert_eq!(refusal(&file, &rules, &department), "native-differs");
    file.ledger.native = department.evidence(2).ledger.native;
    assert_eq!(refusal(&file, &rules, &department), "record-differs");
}

#[test]
fn a_file_that_the_policy_does_not_bear_out() {
    type Change = fn(&mut Rules);
    let changes: [(&str, Change, &str); 6] = [
        ("definition not accepted", |it| it.definitions.clear(), "definition-not-accepted"),
        ("anchor missing", |it| it.anchors.clear(), "ledger-not-anchored"),
        ("another anchor", |it| it.anchors[0].1["genesis"] = json!("11".repeat(32)), "other-ledger"),
        ("another lane", |it| it.lane = LaneId::parse("land.example/rights/2").unwrap(), "lane-not-trusted"),
        ("another issuer", |it| it.issuers = vec![crate::support::NOTARY.into()], "issuer-not-of-this-lane"),
        ("finality", |it| it.more = "finality = [\"authority\"]".into(), "finality-not-accepted"),
    ];
    let department = Department::publishing();
    for (what, change, expected) in changes {
        let mut rules = department.receiver().rules;
        change(&mut rules);
        assert_eq!(refusal(&department.evidence(1), &rules, &department), expected, "{what}");
    }
    let mut rules = department.receiver().rules;
    let stranger = hufu_schemas_core::signature::NoteSigner::from_seed("land.example", &[8; 32]).unwrap();
    rules.log_keys = vec![stranger.verifier().to_string()];
    assert_eq!(refusal(&department.evidence(1), &rules, &department), "checkpoint-signature");
}

#[test]
fn a_definition_that_stands_after_the_record() {
    let mut department = Department::publishing();
    department.log.push(Leaf::Definition(department.definition()));
    let mut file = department.evidence(1);
    let later = department.evidence_of_leaf(6);
    file.definition = later;
    assert_eq!(refusal(&file, &department.receiver().rules, &department), "lane-without-definition");
}

#[test]
fn evidence_that_brings_its_own_anchor() {
    let department = Department::publishing();
    let whole: Value = serde_json::from_slice(&department.evidence(1).to_bytes()).unwrap();
    for place in ["", "/ledger", "/leaf", "/definition"] {
        for member in ["anchor", "logKeys", "policy", "validators"] {
            let mut file = whole.clone();
            file.pointer_mut(place).unwrap()[member] = department.ledger.anchor();
            assert!(Evidence::parse(file.to_string().as_bytes()).is_err(), "{member} in {place:?}");
        }
    }
}

#[test]
fn a_head_that_expired_long_ago() {
    let department = Department::publishing();
    let rules = department.receiver().rules;
    let now = department.ledger.time().plus(15 * 86_400);
    let verdict = evidence::verify(&department.evidence(1), &rules.policy(), &families(), &registry(), now);
    assert_eq!(verdict.reason, Some("head-expired"));
}

/// The family of the simulated ledger with a head that lies later: what an operator has who anchored a ledger anew.
struct Later {
    head: StoredHead,
}

struct LaterClient {
    inner: Box<dyn DynLightClient>,
    head: StoredHead,
}

impl Family for Later {
    fn name(&self) -> &'static str {
        SimFamily.name()
    }
    fn client(&self, anchor: &Value) -> Result<Box<dyn DynLightClient>, ConfigurationFault> {
        Ok(Box::new(LaterClient { inner: SimFamily.client(anchor)?, head: self.head.clone() }))
    }
    fn decoder(&self, source: &Value) -> Result<Box<dyn Decoder>, ConfigurationFault> {
        SimFamily.decoder(source)
    }
}

impl DynLightClient for LaterClient {
    fn version(&self) -> ClientVersion {
        self.inner.version()
    }
    fn ledger(&self) -> &LedgerId {
        self.inner.ledger()
    }
    fn anchor(&self) -> StoredHead {
        self.head.clone()
    }
    fn describe(&self, head: &StoredHead) -> Outcome<HeadFacts> {
        self.inner.describe(head)
    }
    fn advance(&self, head: &StoredHead, steps: &[Step], now: Timestamp, budget: &mut Budget) -> Outcome<Advanced> {
        self.inner.advance(head, steps, now, budget)
    }
    fn matching(
        &self,
        block: &TrustedBlock,
        selector: &Selector,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<Proven>> {
        self.inner.matching(block, selector, evidence, budget)
    }
    fn prove(
        &self,
        block: &TrustedBlock,
        selector: &Selector,
        items: &[ItemRef],
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<Proven>> {
        self.inner.prove(block, selector, items, evidence, budget)
    }
    fn conflict(&self, block: &TrustedBlock, other: &Step, budget: &mut Budget) -> Option<Misbehaviour> {
        self.inner.conflict(block, other, budget)
    }
}

fn head_at(ledger: &SimLedger, until: Height) -> StoredHead {
    let client = families().client(&ledger.anchor()).unwrap();
    let steps: Vec<Step> = ledger.steps(height(0)).into_iter().filter(|step| step.height <= until).collect();
    let now = ledger.time().plus(5);
    client.advance(&client.anchor(), &steps, now, &mut Budget::for_update()).accepted().unwrap().head
}

#[test]
fn a_file_made_under_an_older_anchor_closes_under_a_newer_one() {
    let mut department = Department::defined();
    let last = 301;
    (1..last).for_each(|_| {
        department.mine(&[]);
    });
    department.mine(&[right("R-1", "confirm")]);
    department.publish(1..last + 1);
    let rules = department.receiver().rules;
    let file = department.evidence(1);
    assert_eq!(verify(&file, &rules, &department).reason, None, "longer than one step of the verifier");
    let anchored = |at: u64| {
        let later = Later { head: head_at(&department.ledger, height(at)) };
        let families = Families::new([Arc::new(later) as Arc<dyn Family>]);
        let now = department.ledger.time().plus(60);
        evidence::verify(&file, &rules.policy(), &families, &registry(), now).reason
    };
    assert_eq!(anchored(290), None);
    assert_eq!(anchored(300), None);
    assert_eq!(anchored(301), Some("headers-wanted"), "a block at or below the anchor is not judged");
}
