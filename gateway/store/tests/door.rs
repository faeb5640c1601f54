//! Through the front door: what a light client proved on a simulated ledger, read and batched by `gateway/verify`, is
//! admitted and comes back as it went in.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken fact should stop a test")]

use std::sync::Arc;

use hufu_adapters_light_client::{Budget, DynLightClient, Family, Outcome};
use hufu_adapters_testkit::sim::{SimFamily, SimLedger, SimLedgerConfig};
use hufu_gateway_store::{LeafKind, LedgerAdvance, Role, Store};
use hufu_gateway_verify::admission::{Admission, KeptEvidence, LaneState};
use hufu_gateway_verify::origin::OriginBatch;
use hufu_gateway_verify::reader::{Families, LaneReader};
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::lane::TagKey;
use hufu_schemas_core::page::DocumentKind;
use hufu_schemas_core::{Height, LaneId};
use hufu_schemas_mapping::Mapping;
use hufu_schemas_registry::Registry;
use serde_json::{Value, json};

/// The certificate mapping as released, reading a simulated contract.
fn mapping() -> Mapping {
    let released = include_str!("../../../schemas/mappings/certificate.yaml");
    let (head, rest) = released.split_once("source:\n").unwrap();
    let (_, rest) = rest.split_once("target:").unwrap();
    let (rules, _) = rest.split_once("\ntests:").unwrap();
    let source = "source: {family: sim, contract: registry, events: [CertificateChanged]}";
    let text = format!("{head}{source}\ntarget:{rules}\n");
    Mapping::parse_yaml("certificate.yaml", text.as_bytes()).unwrap()
}

fn event(number: u32, state: &str) -> Value {
    json!({
        "event": "CertificateChanged", "time": "2026-01-01T00:00:01Z",
        "args": {
            "certificateId": format!("1.2.156.3005.2.11100000000013338W011.11430000006122244L.2023{number:07}.001.U"),
            "operation": "01", "classCode": "11100000000013338W011", "className": "营业执照",
            "number": format!("No. {number}"), "name": "营业执照(副本)", "holderUscc": "91350100M000100Y43",
            "issuerUscc": "11430000006122244L", "issuedOn": "20230403", "state": state,
        },
    })
}

fn accept<T>(outcome: Outcome<T>) -> T {
    Result::from(outcome).unwrap()
}

struct Origin {
    ledger: SimLedger,
    client: Box<dyn DynLightClient>,
    reader: LaneReader,
}

impl Origin {
    fn new() -> Self {
        let ledger = SimLedger::new(SimLedgerConfig::named("land"));
        let client = SimFamily.client(&ledger.anchor()).unwrap();
        let families = Families::new([Arc::new(SimFamily) as Arc<dyn Family>]);
        let reader = LaneReader::of_mapping(mapping(), &[], &families, &Registry::builtin().unwrap()).unwrap();
        Self { ledger, client, reader }
    }

    /// Follows the ledger to its end; what the store is to keep of it.
    fn follow(&self) -> LedgerAdvance {
        let (anchor, steps) = (self.client.anchor(), self.ledger.steps(Height::new(0)));
        let advanced = accept(self.client.advance(&anchor, &steps, self.ledger.time(), &mut Budget::for_update()));
        let final_to = advanced.facts.last.map(|(height, _)| height);
        let (ledger, head, blocks) = (self.ledger.ledger_id(), advanced.head, advanced.blocks);
        LedgerAdvance { ledger, expected: None, head, blocks, steps, final_to, undone: None }
    }

    /// A definition, the items of every trusted block, and what they cover.
    async fn batch(&self, store: &Store, state: LaneState) -> Admission {
        let mut salt = 0u8;
        let draw = move || {
            salt += 1;
            [salt; 16]
        };
        let (id, last) = (self.ledger.ledger_id(), self.ledger.height());
        let mut batch = OriginBatch::new(&self.reader, state, self.ledger.time(), draw);
        batch.define(self.reader.definition(id.clone(), Height::new(0), TagKey::from_bytes([7; 32]))).unwrap();
        let mut matches = 0;
        for block in store.trusted_blocks(&id, Height::new(0), 100).await.unwrap() {
            let bytes = self.ledger.evidence(block.height()).unwrap();
            let mut budget = Budget::for_evidence();
            let items = accept(self.client.matching(&block, self.reader.selector(), Some(&bytes), &mut budget));
            for item in &items {
                batch.item(item).unwrap();
                matches += 1;
            }
            if !items.is_empty() {
                batch.keep(KeptEvidence { ledger: id.clone(), height: block.height(), hash: block.hash(), bytes });
            }
        }
        batch.cover(Height::new(0), last, self.ledger.hash(last).unwrap(), matches).unwrap();
        batch.finish()
    }
}

#[tokio::test]
async fn what_was_proven_is_admitted_and_comes_back_as_it_went_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sqlite");
    let store = Store::create(&path).await.unwrap();
    let origin = Origin::new();
    for number in 1..=20 {
        origin.ledger.mine(&[("registry", "CertificateChanged", event(number, "01"))]);
    }
    // State 99 has no meaning in law: said as skipped.
    origin.ledger.mine(&[("registry", "CertificateChanged", event(21, "99"))]);
    store.advance(origin.follow()).await.unwrap();

    let lane = LaneId::parse("land.example/certificates/1").unwrap();
    let admission = origin.batch(&store, LaneState::new(lane.clone())).await;
    let now = origin.ledger.time();
    let admitted = store.admit(Role::Origin, &admission, now).await.unwrap();
    assert_eq!((admitted.from, admitted.to), (0, 23));
    assert_eq!((admitted.records, admitted.skipped, admitted.held, admitted.sealed), (20, 1, 0, 0));
    assert_eq!(store.admit(Role::Origin, &admission, now).await.unwrap_err().reason(), "store-conflict");
    let (size, root) = (admission.after().edge.size(), admission.after().edge.root());
    let checkpoint = Checkpoint { lane: lane.clone(), size, root, time: now };
    store.put_checkpoint(checkpoint.clone(), "note".into()).await.unwrap();
    store.close().await;

    let store = Store::open(&path).await.unwrap();
    let state = store.lane(&lane).await.unwrap().unwrap();
    assert_eq!(state, LaneState { seen: Some((checkpoint, "note".into())), ..admission.after().clone() });
    let leaves = store.leaves(&lane, 0, 100).await.unwrap();
    for (stored, leaf) in leaves.iter().zip(admission.leaves()) {
        let statement = leaf.statement.as_ref().unwrap();
        assert_eq!((stored.index, stored.entry), (leaf.index, leaf.entry));
        assert_eq!(stored.statement.as_deref().map(str::as_bytes), Some(statement.bytes()));
        assert_eq!(stored.kind.as_str(), statement.leaf().kind());
        assert_eq!(stored.record.is_some(), stored.kind == LeafKind::Record);
    }
    let page = store.records_after(0, 100).await.unwrap();
    assert_eq!(page.len(), 20);
    for stored in &page {
        assert_eq!(stored.record().unwrap().id(), stored.id);
        let evidence = store.evidence(&stored.lane, stored.position.height, &stored.block_hash).await.unwrap();
        assert_eq!(evidence, origin.ledger.evidence(stored.position.height));
    }
    let mapping = state.definitions[0].definition.mapping;
    assert!(store.document(DocumentKind::Mapping, &mapping).await.unwrap().is_some());
    assert_eq!(store.steps(&origin.ledger.ledger_id(), Height::new(0), 100).await.unwrap().len(), 22);
}
