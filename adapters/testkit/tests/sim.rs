//! The conformance suites on the simulated ledger itself: it must pass them, and they must find what is broken.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests state facts too")]

use hufu_adapters_light_client::{
    Budget, DynLightClient, Family, ItemRef, Outcome, Proven, Selector, Shortfall, Step, TrustedBlock,
};
use hufu_adapters_source::{Source, SourceError};
use hufu_adapters_testkit::conformance::{self, DecoderCase, LightClientCase, SourceCase};
use hufu_adapters_testkit::sim::{SimDecoder, SimFamily, SimFault, SimLedger, SimLedgerConfig, SimSelector, SimSource};
use hufu_schemas_core::{Height, Timestamp};
use serde_json::json;

const HOUR: u64 = 3_600;

fn ledger(name: &str) -> SimLedger {
    let ledger = SimLedger::new(SimLedgerConfig::named(name));
    ledger.mine(&[]);
    ledger.mine(&[
        ("registry", "Granted", json!({ "id": 1 })),
        ("market", "Granted", json!({ "id": 2 })),
        ("registry", "Granted", json!({ "id": 3 })),
        ("registry", "Renamed", json!({ "id": 4 })),
    ]);
    ledger.mine(&[("registry", "Granted", json!({ "id": 5 }))]);
    ledger.mine(&[]);
    ledger
}

fn selector() -> SimSelector {
    SimSelector::new("registry", &["Granted"])
}

fn now(ledger: &SimLedger) -> Timestamp {
    ledger.time().plus(HOUR)
}

fn client(ledger: &SimLedger) -> Box<dyn DynLightClient> {
    SimFamily.client(&ledger.anchor()).unwrap()
}

fn case() -> LightClientCase {
    let land = ledger("land");
    let height = Height::new(2);
    let fork = land.fork(height);
    fork.mine(&[("registry", "Granted", json!({ "id": 666 }))]);
    let item = |transaction| ItemRef { transaction, event: 0 };
    LightClientCase {
        client: client(&land),
        steps: land.steps(Height::new(0)),
        now: now(&land),
        other_ledger: ledger("notary").steps(Height::new(0)),
        selector: selector().to_selector(),
        other_selector: SimSelector::new("market", &["Sold"]).to_selector(),
        unreadable_selector: Selector::new(json!({ "contract": 7 })),
        height,
        items: vec![item(0), item(2)],
        stranger: Some(item(1)),
        evidence: land.evidence(height).unwrap(),
        other_evidence: land.evidence(Height::new(3)).unwrap(),
        quiet: Some(Height::new(1)),
        rival: fork.step(height),
    }
}

fn blocks(ledger: &SimLedger) -> Vec<TrustedBlock> {
    let (client, steps) = (client(ledger), ledger.steps(Height::new(0)));
    let outcome = client.advance(&client.anchor(), &steps, now(ledger), &mut Budget::for_update());
    outcome.accepted().unwrap().blocks
}

fn proven(ledger: &SimLedger, height: u64, selector: &SimSelector) -> Vec<Proven> {
    let block = blocks(ledger).remove(usize::try_from(height).unwrap());
    let evidence = ledger.evidence(block.height()).unwrap();
    let outcome =
        client(ledger).matching(&block, &selector.to_selector(), Some(&evidence), &mut Budget::for_evidence());
    outcome.accepted().unwrap()
}

#[test]
fn the_simulated_light_client_keeps_its_promises() {
    let report = conformance::light_client(&case());
    report.require_complete();
    assert_eq!(report.held.len(), 36, "{report}");
}

#[test]
fn a_suite_finds_a_wrong_expectation() {
    let mut wrong = case();
    wrong.items.pop();
    let failed = conformance::light_client(&wrong).failed;
    assert!(failed.iter().any(|finding| finding.check.starts_with("all matching items")), "{failed:?}");
    let mut wrong = case();
    wrong.other_ledger = wrong.steps.clone();
    let failed = conformance::light_client(&wrong).failed;
    assert!(failed.iter().any(|finding| finding.check == "the chain of another ledger"), "{failed:?}");
}

#[test]
fn the_simulated_decoder_keeps_its_promises() {
    let land = ledger("land");
    let items = proven(&land, 2, &selector()).into_iter().zip([1, 3]);
    let decoder = DecoderCase {
        decoder: Box::new(SimDecoder::new(selector())),
        items: items.map(|(item, id)| (item, vec![json!({ "id": id })])).collect(),
        strangers: proven(&land, 2, &SimSelector::new("market", &["Granted"])),
    };
    conformance::decoder(&decoder).require_complete();
}

#[tokio::test]
async fn the_simulated_source_keeps_its_promises() {
    let land = ledger("land");
    let (source, client) = (SimSource::new(land.clone()), client(&land));
    let case = SourceCase {
        source: &source,
        client: &*client,
        now: now(&land),
        tip: land.height(),
        selector: selector().to_selector(),
        matches: 3,
    };
    conformance::source(&case).await.require_complete();
}

#[tokio::test]
async fn a_suite_finds_a_source_that_stalls_or_omits() {
    let land = ledger("land");
    let client = client(&land);
    for (fault, check) in [
        (SimFault::Stalled(Height::new(2)), "the tip is the ledger's height"),
        (SimFault::SpoiledSteps(Height::new(2)), "the light client accepts the steps"),
        (SimFault::SealsBelowQuorum(Height::new(2)), "the light client accepts the steps"),
        (SimFault::OmittedItems(Height::new(2)), "evidence comes in the order asked for and proves what matches"),
        (SimFault::Serves(ledger("notary")), "the light client accepts the steps"),
    ] {
        let source = SimSource::new(land.clone());
        source.misbehave(fault);
        let case = SourceCase {
            source: &source,
            client: &*client,
            now: now(&land),
            tip: land.height(),
            selector: selector().to_selector(),
            matches: 3,
        };
        let failed = conformance::source(&case).await.failed;
        assert!(failed.iter().any(|finding| finding.check == check), "{check}: {failed:?}");
    }
}

#[tokio::test]
async fn a_node_fails_prunes_and_mends() {
    let source = SimSource::new(ledger("land"));
    source.misbehave(SimFault::Unreachable);
    assert!(matches!(source.tip().await, Err(SourceError::Unavailable { .. })));
    assert_eq!(source.describe().nodes[0].benched, Some("unreachable"));
    source.behave();
    source.misbehave(SimFault::PrunedBelow(Height::new(3)));
    assert!(matches!(source.steps(Height::new(0), 9).await, Err(SourceError::Pruned { .. })));
    assert_eq!(source.steps(Height::new(3), 9).await.unwrap().len(), 2);
    source.refused("seal-bad");
    assert_eq!(source.refusals(), ["seal-bad"]);
}

#[tokio::test]
async fn a_fork_shows_when_others_are_asked() {
    let land = ledger("land");
    let fork = land.fork(Height::new(3));
    fork.mine(&[]);
    let source = SimSource::new(land.clone());
    source.misbehave(SimFault::OthersServe(fork));
    let other: Vec<Step> = source.others(Height::new(3)).await.unwrap();
    let block = blocks(&land).remove(3);
    let found = client(&land).conflict(&block, &other[0], &mut Budget::for_update()).unwrap();
    assert_eq!((found.trusted, found.signers.len()), (block.hash(), 3));
}

#[test]
fn a_ledger_that_went_back_grows_another_branch() {
    let land = ledger("land");
    let (client, old) = (client(&land), blocks(&land));
    let head = client.advance(&client.anchor(), &land.steps(Height::new(0)), now(&land), &mut Budget::for_update());
    let head = head.accepted().unwrap().head;
    land.go_back(Height::new(2));
    assert_eq!(land.height(), Height::new(2));
    land.mine(&[]);
    land.mine(&[("registry", "Granted", json!({ "id": 9 }))]);
    land.mine(&[]);
    assert_eq!(land.hash(Height::new(2)), Some(old[2].hash()));
    assert_ne!(land.hash(Height::new(3)), Some(old[3].hash()));
    let outcome = client.advance(&head, &land.steps(Height::new(5)), now(&land), &mut Budget::for_update());
    assert!(matches!(outcome, Outcome::Reject(rejection) if rejection.reason() == "parent-hash"));
    land.mine(&[]);
    let outcome = client.advance(&head, &land.steps(Height::new(6)), now(&land), &mut Budget::for_update());
    assert!(matches!(outcome, Outcome::NotYet(Shortfall::Headers { from }) if from == Height::new(5)));
}

#[test]
fn the_same_configuration_makes_the_same_ledger_and_another_name_another() {
    assert_eq!(ledger("land").steps(Height::new(0)), ledger("land").steps(Height::new(0)));
    assert_ne!(ledger("land").ledger_id(), ledger("notary").ledger_id());
    assert_eq!(ledger("land").ledger_id().family(), "sim");
}

#[test]
fn anchors_that_cannot_be_used() {
    let good = ledger("land").anchor();
    for (key, value) in [("family", json!("x")), ("validators", json!({})), ("validators", json!({ "v0": "00" }))] {
        let mut bad = good.clone();
        bad[key] = value;
        assert!(SimFamily.client(&bad).is_err(), "{key}");
    }
    assert!(SimFamily.decoder(&json!({ "contract": "registry" })).is_err());
    assert!(SimFamily.decoder(&json!({ "family": "sim", "contract": "registry", "events": ["Granted"] })).is_ok());
}
