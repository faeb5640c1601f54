//! A department with a lane in memory, and a gateway that receives it. The department may lie: leaves can be put into
//! its log by hand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use hufu_adapters_light_client::{Budget, DynLightClient, Family, HeadFacts, Proven, Step, TrustedBlock};
use hufu_adapters_testkit::sim::{SimFamily, SimLedger, SimLedgerConfig};
use hufu_gateway_verify::admission::{KeptEvidence, Release};
use hufu_gateway_verify::page::{self, BadEvidence, LedgerSnapshot, Readers, Wanted};
use hufu_gateway_verify::{
    Admission, Families, LaneReader, LaneState, LeafOutcome, OriginBatch, PageContext, PageRejection, PageVerdict,
    TrustPolicy,
};
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::evidence::{Evidence, LeafEvidence, LedgerEvidence, WireStep};
use hufu_schemas_core::lane::{Entry, TagKey};
use hufu_schemas_core::merkle::{Edge, NodeId, consistency_proof, inclusion_proof};
use hufu_schemas_core::page::{Document, OpenedLeaf, Page, PageBlock, SeenProof};
use hufu_schemas_core::signature::NoteSigner;
use hufu_schemas_core::statement::{Covered, Definition, Leaf, RecordLeaf, RecordOrigin, Skipped, Statement};
use hufu_schemas_core::{Digest, Height, LaneId, LedgerId, Position, Record, Timestamp};
use hufu_schemas_mapping::Mapping;
use hufu_schemas_registry::{Registry, content_id};
use serde_json::{Value, json};

/// The land registry's code.
pub(crate) const LAND: &str = "91350100M000100Y43";
/// Another department's.
pub(crate) const NOTARY: &str = "11430000006122244L";

const RIGHT: &str = include_str!("right.yaml");
const CLEARANCE: &str = include_str!("clearance.yaml");
const CLEARANCE_SCHEMA: &str =
    include_str!("../../../../schemas/records/generic/samples/payload-schemas/tax-clearance-1.0.json");

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::builtin().unwrap());

pub(crate) fn registry() -> Registry {
    REGISTRY.clone()
}

pub(crate) fn families() -> Families {
    Families::new([Arc::new(SimFamily) as Arc<dyn Family>])
}

pub(crate) fn land_lane() -> LaneId {
    LaneId::parse("land.example/rights/1").unwrap()
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(seconds).unwrap()
}

pub(crate) fn height(height: u64) -> Height {
    Height::new(height)
}

/// An event of the register about a right.
pub(crate) fn right(number: &str, operation: &str) -> Value {
    json!({
        "kind": "right", "number": number, "operation": operation, "issuer": LAND, "holder": "91440604MA40000040",
        "at": "2026-01-01T09:30:00+08:00", "registeredOn": "2026-01-01", "unit": "350100001001GB00002F00010001",
        "rightType": "国有建设用地使用权",
    })
}

/// The same with one member changed.
pub(crate) fn right_with(number: &str, member: &str, value: &str) -> Value {
    let mut event = right(number, "confirm");
    event[member] = json!(value);
    event
}

/// A mapping changed as text.
pub(crate) fn right_mapping(from: &str, to: &str) -> Mapping {
    let text = RIGHT.replace(from, to);
    assert!(from == to || text != RIGHT, "nothing to change in the mapping: {from}");
    Mapping::parse_yaml("right.yaml", text.as_bytes()).unwrap()
}

fn reader_of(mapping: Mapping, department: &[(String, Value)]) -> LaneReader {
    LaneReader::of_mapping(mapping, department, &families(), &REGISTRY).unwrap()
}

/// Every block of the ledger, trusted, with the head on top of the last one wanted.
fn follow(
    client: &Option<Arc<dyn DynLightClient>>,
    ledger: &SimLedger,
    until: u64,
) -> (Arc<dyn DynLightClient>, HeadFacts, BTreeMap<Height, TrustedBlock>) {
    let client = client.clone().unwrap_or_else(|| families().client(&ledger.anchor()).unwrap().into());
    let steps: Vec<Step> = ledger.steps(height(0)).into_iter().filter(|step| step.height <= height(until)).collect();
    let now = ledger.time().plus(5);
    let advanced = client.advance(&client.anchor(), &steps, now, &mut Budget::for_update()).accepted().unwrap();
    let blocks = advanced.blocks.into_iter().map(|block| (block.height(), block)).collect();
    (client, advanced.facts, blocks)
}

/// A lane's log with everything that pages are cut from.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) state: LaneState,
    pub(crate) signer: Arc<NoteSigner>,
    /// Time of the checkpoints it signs.
    pub(crate) time: Timestamp,
    pub(crate) entries: Vec<Entry>,
    /// Statements; `None` where the receiver may not open the leaf.
    pub(crate) statements: Vec<Option<String>>,
    pub(crate) documents: Vec<Document>,
    pub(crate) blocks: BTreeMap<Height, PageBlock>,
    records: BTreeMap<u64, (Record, Vec<u8>)>,
    salt: u8,
}

impl Log {
    fn new(lane: LaneId, time: Timestamp) -> Self {
        let signer = NoteSigner::from_seed(lane.gateway().as_str(), &[7; 32]).unwrap();
        Self {
            state: LaneState::new(lane),
            signer: Arc::new(signer),
            time,
            entries: Vec::new(),
            statements: Vec::new(),
            documents: Vec::new(),
            blocks: BTreeMap::new(),
            records: BTreeMap::new(),
            salt: 0,
        }
    }

    pub(crate) fn len(&self) -> u64 {
        self.state.edge.size()
    }

    fn tag_key(&self) -> TagKey {
        self.state.definitions.last().map_or(TagKey::from_bytes([0; 32]), |known| known.definition.tag_key)
    }

    /// Puts any leaf into the log, true or not.
    pub(crate) fn push(&mut self, leaf: Leaf) {
        self.salt = self.salt.wrapping_add(1);
        let statement = Statement::make(leaf, [self.salt; 16]).unwrap();
        self.push_entry(statement.entry(&self.tag_key()), &statement);
    }

    pub(crate) fn push_entry(&mut self, entry: Entry, statement: &Statement) {
        self.state.edge.append(entry.leaf_hash());
        self.entries.push(entry);
        self.statements.push(Some(String::from_utf8(statement.bytes().to_vec()).unwrap()));
    }

    pub(crate) fn absorb(&mut self, admission: &Admission) {
        for leaf in admission.leaves() {
            self.entries.push(leaf.entry);
            let statement = leaf.statement.as_ref().map(|statement| statement.bytes().to_vec());
            self.statements.push(statement.map(|bytes| String::from_utf8(bytes).unwrap()));
            if let LeafOutcome::Record(verified) = &leaf.outcome {
                let known = (verified.record().clone(), verified.basis().native.clone());
                self.records.insert(leaf.index, known);
            }
        }
        self.documents.extend(admission.documents().iter().cloned());
        for kept in admission.evidence() {
            let block = PageBlock { height: kept.height, hash: kept.hash, evidence: kept.bytes.clone() };
            self.blocks.insert(kept.height, block);
        }
        self.state = admission.after().clone();
    }

    /// Complete subtrees, as a store keeps them.
    fn nodes(&self) -> BTreeMap<NodeId, Digest> {
        let mut edge = Edge::empty();
        self.entries.iter().flat_map(|entry| edge.append(entry.leaf_hash())).collect()
    }

    fn root(&self, size: u64) -> Digest {
        let mut edge = Edge::empty();
        self.entries.iter().take(usize::try_from(size).unwrap()).for_each(|entry| {
            edge.append(entry.leaf_hash());
        });
        edge.root()
    }

    /// A signed checkpoint of the first `size` leaves.
    pub(crate) fn note(&self, size: u64) -> String {
        let (lane, root, time) = (self.state.lane.clone(), self.root(size), self.time);
        Checkpoint { lane, size, root, time }.sign(&self.signer).to_string()
    }

    /// The proof that the first `to` leaves begin those of size `size`.
    pub(crate) fn join(&self, to: u64, size: u64) -> Vec<Digest> {
        let nodes = self.nodes();
        consistency_proof(&|id: NodeId| nodes.get(&id).copied(), to, size).unwrap()
    }

    /// The whole log as one page.
    pub(crate) fn whole(&self) -> Page {
        self.page(0..self.len())
    }

    /// Some leaves, under a checkpoint of the whole log.
    pub(crate) fn page(&self, leaves: Range<u64>) -> Page {
        self.page_of(leaves, self.len(), None)
    }

    /// Some leaves, under a checkpoint of `size`, with consistency from the size `seen` before.
    pub(crate) fn page_of(&self, leaves: Range<u64>, size: u64, seen: Option<u64>) -> Page {
        let within = |index: &u64| leaves.contains(index);
        let statements = (0..).zip(&self.statements).filter(|(index, _)| within(index));
        let opened: Vec<OpenedLeaf> = statements
            .filter_map(|(index, statement)| Some(OpenedLeaf { index, statement: statement.clone()?, record: None }))
            .collect();
        let read = |leaf: &OpenedLeaf| Statement::parse(leaf.statement.as_bytes()).ok();
        let leaves_read: Vec<Statement> = opened.iter().filter_map(read).collect();
        // What is kept of every block that a receiver has to look into for these leaves.
        let reached = |index: u64| match self.statement(index).leaf() {
            Leaf::Covered(covered) => covered.to.next(),
            leaf => leaf.position().map(|position| position.height),
        };
        let first = (0..leaves.start)
            .rev()
            .filter(|index| self.statements[usize::try_from(*index).unwrap()].is_some())
            .find_map(reached);
        let last = leaves_read.iter().filter_map(|statement| match statement.leaf() {
            Leaf::Covered(covered) => Some(covered.to),
            leaf => leaf.position().map(|position| position.height),
        });
        let blocks: Vec<PageBlock> = match last.max() {
            Some(last) => {
                self.blocks.values().filter(|it| Some(it.height) >= first && it.height <= last).cloned().collect()
            }
            None => Vec::new(),
        };
        let defines = leaves_read.iter().any(|statement| matches!(statement.leaf(), Leaf::Definition(_)));
        let entries = (0..).zip(&self.entries).filter(|(index, _)| within(index)).map(|(_, entry)| *entry).collect();
        Page {
            page: 1,
            lane: self.state.lane.clone(),
            from: leaves.start,
            entries,
            opened,
            blocks,
            documents: if defines { self.documents.clone() } else { Vec::new() },
            checkpoint: self.note(size),
            join: self.join(leaves.end, size),
            seen: seen.map(|seen| SeenProof { size: seen, proof: self.join(seen, size) }),
        }
    }

    pub(crate) fn statement(&self, index: u64) -> Statement {
        let text = self.statements[usize::try_from(index).unwrap()].as_ref().unwrap();
        Statement::parse(text.as_bytes()).unwrap()
    }

    /// Ids of the records that the origin itself made, by leaf.
    pub(crate) fn ids(&self) -> BTreeMap<u64, String> {
        self.records.iter().map(|(index, (record, _))| (*index, record.id().to_string())).collect()
    }
}

/// A department: ledger, mapping and log.
pub(crate) struct Department {
    pub(crate) ledger: SimLedger,
    pub(crate) reader: LaneReader,
    pub(crate) log: Log,
}

impl Department {
    /// The land registry before its first leaf.
    pub(crate) fn undefined() -> Self {
        Self::of(SimLedger::new(SimLedgerConfig::named("land")), land_lane(), reader_of(right_mapping("", ""), &[]))
    }

    pub(crate) fn of(ledger: SimLedger, lane: LaneId, reader: LaneReader) -> Self {
        let log = Log::new(lane, ledger.time().plus(30));
        Self { ledger, reader, log }
    }

    /// The same department with another mapping.
    pub(crate) fn with_mapping(mapping: Mapping) -> Self {
        Self::of(SimLedger::new(SimLedgerConfig::named("land")), land_lane(), reader_of(mapping, &[]))
    }

    /// The land registry with its definition as leaf 0.
    pub(crate) fn defined() -> Self {
        let mut department = Self::undefined();
        department.define();
        department
    }

    /// Six leaves: a definition, two rights in block 1, an event in block 2 that no schema takes, a cancellation in
    /// block 3, and the coverage of the three blocks.
    pub(crate) fn publishing() -> Self {
        let mut department = Self::defined();
        department.mine(&[right("R-1", "confirm"), right("R-2", "confirm")]);
        department.mine(&[right_with("R-3", "unit", "nowhere")]);
        department.mine(&[right("R-1", "cancel")]);
        department.publish(1..4);
        department
    }

    /// The tax office: its payload schema travels with the definition.
    pub(crate) fn tax_office() -> Self {
        let schema: Value = serde_json::from_str(CLEARANCE_SCHEMA).unwrap();
        let text = CLEARANCE.replace("CONTENT-ID", &content_id(&schema).to_string());
        let mapping = Mapping::parse_yaml("clearance.yaml", text.as_bytes()).unwrap();
        let id = schema["$id"].as_str().unwrap().to_owned();
        let ledger = SimLedger::new(SimLedgerConfig::named("tax"));
        let mut office = Self::of(ledger, land_lane(), reader_of(mapping, &[(id, schema)]));
        office.define();
        let clearance = json!({
            "kind": "clearance", "number": "C-1", "issuer": LAND, "taxpayer": "91440604MA40000040",
            "at": "2026-01-01T09:30:00+08:00", "period": "2025-12", "amount": "12.50",
        });
        office.ledger.mine(&[("register", "Cleared", clearance)]);
        office.publish(1..2);
        office
    }

    pub(crate) fn ledger_id(&self) -> LedgerId {
        self.ledger.ledger_id()
    }

    /// What an honest definition leaf says.
    pub(crate) fn definition(&self) -> Definition {
        self.reader.definition(self.ledger_id(), height(1), TagKey::from_bytes([5; 32]))
    }

    pub(crate) fn define(&mut self) {
        self.define_as(self.definition());
    }

    /// Any definition, with the documents of this department's reader.
    pub(crate) fn define_as(&mut self, definition: Definition) {
        let admission = self.batch(|batch| batch.define(definition).unwrap());
        self.log.absorb(&admission);
    }

    /// Runs an origin batch on top of the log.
    pub(crate) fn batch(&self, fill: impl FnOnce(&mut OriginBatch<'_, Box<dyn FnMut() -> [u8; 16]>>)) -> Admission {
        let mut next = u8::try_from(self.log.len()).unwrap().wrapping_add(100);
        let salt: Box<dyn FnMut() -> [u8; 16]> = Box::new(move || {
            next = next.wrapping_add(1);
            [next; 16]
        });
        let mut batch = OriginBatch::new(&self.reader, self.log.state.clone(), self.log.time, salt);
        fill(&mut batch);
        batch.finish()
    }

    /// The next block: one transaction for each event.
    pub(crate) fn mine(&self, events: &[Value]) -> Height {
        let events: Vec<_> = events.iter().map(|event| ("register", "RightChanged", event.clone())).collect();
        self.ledger.mine(&events)
    }

    /// Items of a block that this lane is about, as the department's own light client proves them.
    pub(crate) fn proven(&self, at: u64) -> Vec<Proven> {
        self.proven_in(at..at + 1)
    }

    fn proven_in(&self, heights: Range<u64>) -> Vec<Proven> {
        let (client, _, blocks) = follow(&None, &self.ledger, heights.end - 1);
        let matching = |at: u64| {
            let evidence = self.ledger.evidence(height(at)).unwrap();
            let (block, selector) = (&blocks[&height(at)], self.reader.selector());
            client.matching(block, selector, Some(&evidence), &mut Budget::for_evidence()).accepted().unwrap()
        };
        heights.flat_map(matching).collect()
    }

    /// Keeps a block's evidence for pages.
    pub(crate) fn keep(&mut self, at: u64) {
        let block = PageBlock {
            height: height(at),
            hash: self.ledger.hash(height(at)).unwrap(),
            evidence: self.ledger.evidence(height(at)).unwrap(),
        };
        self.log.blocks.insert(height(at), block);
    }

    /// Reads blocks honestly and publishes what they hold.
    pub(crate) fn publish(&mut self, blocks: Range<u64>) {
        let proven = self.proven_in(blocks.clone());
        let last = height(blocks.end - 1);
        let admission = self.batch(|batch| {
            for item in &proven {
                batch.item(item).unwrap();
            }
            for at in blocks.clone() {
                batch.keep(KeptEvidence {
                    ledger: self.ledger_id(),
                    height: height(at),
                    hash: self.ledger.hash(height(at)).unwrap(),
                    bytes: self.ledger.evidence(height(at)).unwrap(),
                });
            }
            let matches = u64::try_from(proven.len()).unwrap();
            batch.cover(height(blocks.start), last, self.ledger.hash(last).unwrap(), matches).unwrap();
        });
        self.log.absorb(&admission);
        self.log.time = self.log.time.max(self.ledger.time().plus(30));
    }

    /// What an honest record leaf says of a transaction; of an event that makes no record, with an invented id.
    pub(crate) fn leaf(&self, at: u64, transaction: u32) -> RecordLeaf {
        let position = Position { height: height(at), transaction, event: 0 };
        let proven = self.proven(at).into_iter().find(|item| item.position() == position).unwrap();
        let (key, id) = match self.reader.read(&proven).remove(0).result {
            Ok(record) => (record.key().clone(), record.id()),
            Err(_) => {
                let record = self.reader.read(&self.proven(1).remove(0)).remove(0).result.unwrap();
                (record.key().clone(), record.id())
            }
        };
        let definition = self.definition();
        let origin = RecordOrigin {
            ledger: self.ledger_id(),
            position,
            block_hash: proven.block_hash(),
            item: 0,
            schema: self.reader.schema().clone(),
            decoder: definition.decoder,
            mapping: definition.mapping,
            observed_at: self.log.time,
        };
        RecordLeaf { key, id, origin }
    }

    /// Puts a record leaf into the log as `change` makes it, with its block's true evidence.
    pub(crate) fn state(&mut self, at: u64, transaction: u32, change: impl FnOnce(&mut RecordLeaf)) {
        let mut leaf = self.leaf(at, transaction);
        change(&mut leaf);
        self.keep(at);
        self.log.push(Leaf::Record(leaf));
    }

    pub(crate) fn covered(&self, blocks: Range<u64>) -> Covered {
        let (from, to) = (height(blocks.start), height(blocks.end - 1));
        Covered { ledger: self.ledger_id(), from, to, to_hash: self.ledger.hash(to).unwrap(), matches: 0 }
    }

    /// Says that the blocks were covered and held so many matches, true or not, with their true evidence.
    pub(crate) fn cover(&mut self, blocks: Range<u64>, matches: u64) {
        blocks.clone().for_each(|at| self.keep(at));
        let covered = Covered { matches, ..self.covered(blocks) };
        self.log.push(Leaf::Covered(covered));
    }

    /// What an honest `skipped` leaf says of a transaction, whether it reads well or not.
    pub(crate) fn skipped(&self, at: u64, transaction: u32, reason: &str) -> Skipped {
        let position = Position { height: height(at), transaction, event: 0 };
        let proven = self.proven(at).into_iter().find(|item| item.position() == position).unwrap();
        Skipped {
            ledger: self.ledger_id(),
            position,
            block_hash: proven.block_hash(),
            item: 0,
            native: proven.native_digest(),
            reason: reason.to_owned(),
            detail: String::new(),
        }
    }

    /// A gateway that trusts this department as its operator should.
    pub(crate) fn receiver(&self) -> Receiver {
        Receiver {
            rules: Rules {
                anchors: vec![(self.ledger_id(), self.ledger.anchor())],
                log_keys: vec![self.log.signer.verifier().to_string()],
                lane: self.log.state.lane.clone(),
                definitions: vec![self.definition().digest()],
                types: vec!["property-right".to_owned(), "generic".to_owned()],
                issuers: vec![LAND.to_owned()],
                more: String::new(),
            },
            ledger: self.ledger.clone(),
            follows: Some(u64::MAX),
            forgets: Vec::new(),
            frozen: None,
            state: LaneState::new(self.log.state.lane.clone()),
            readers: Readers::new(),
            families: families(),
            client: None,
            now: self.ledger.time().plus(60),
            high_water: self.ledger.time(),
            bad_evidence: BadEvidence::Refuse,
        }
    }

    /// A leaf with its place in the whole log.
    pub(crate) fn evidence_of_leaf(&self, index: u64) -> LeafEvidence {
        let nodes = self.log.nodes();
        LeafEvidence {
            index,
            statement: self.log.statements[usize::try_from(index).unwrap()].clone().unwrap(),
            inclusion: inclusion_proof(&|id: NodeId| nodes.get(&id).copied(), index, self.log.len()).unwrap(),
        }
    }

    /// The evidence file of a record leaf.
    pub(crate) fn evidence(&self, index: u64) -> Evidence {
        let (record, native) = &self.log.records[&index];
        let Leaf::Record(RecordLeaf { origin, .. }) = self.log.statement(index).leaf().clone() else {
            panic!("leaf {index} is no record")
        };
        let at = origin.position.height;
        let steps = self.ledger.steps(height(0)).into_iter().filter(|step| step.height <= at);
        Evidence {
            evidence: 1,
            record: record.to_json(),
            leaf: self.evidence_of_leaf(index),
            definition: self.evidence_of_leaf(0),
            checkpoint: self.log.note(self.log.len()),
            documents: self.log.documents.clone(),
            ledger: LedgerEvidence {
                ledger: self.ledger_id(),
                steps: steps.map(|step| WireStep { height: step.height, bytes: step.bytes }).collect(),
                height: at,
                hash: origin.block_hash,
                native: native.clone(),
                evidence: self.ledger.evidence(at).unwrap(),
            },
        }
    }
}

/// What an operator writes, as parts to change.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) anchors: Vec<(LedgerId, Value)>,
    pub(crate) log_keys: Vec<String>,
    pub(crate) lane: LaneId,
    pub(crate) definitions: Vec<Digest>,
    pub(crate) types: Vec<String>,
    pub(crate) issuers: Vec<String>,
    /// Further lines of the lane.
    pub(crate) more: String,
}

impl Rules {
    pub(crate) fn policy(&self) -> TrustPolicy {
        let mut text = String::from("policy = 1\n");
        for (ledger, anchor) in &self.anchors {
            text += &format!("\n[[ledger]]\nid = \"{ledger}\"\nanchor = {}\n", inline(anchor));
        }
        let definitions: Vec<String> = self.definitions.iter().map(ToString::to_string).collect();
        text += &format!(
            "\n[[peer]]\ngateway = \"{}\"\norganisation = \"land-registry\"\nlog_keys = {:?}\n\n[[lane]]\nid = \"{}\"\n\
             definitions = {definitions:?}\ntypes = {:?}\nissuers = {:?}\n{}\n",
            self.lane.gateway(),
            self.log_keys,
            self.lane,
            self.types,
            self.issuers,
            self.more
        );
        TrustPolicy::parse("policy.toml", &text).unwrap()
    }
}

/// JSON as an inline TOML value.
fn inline(value: &Value) -> String {
    let Value::Object(members) = value else { return value.to_string() };
    let members: Vec<String> = members.iter().map(|(name, value)| format!("{name:?} = {}", inline(value))).collect();
    format!("{{ {} }}", members.join(", "))
}

/// A gateway at the other department, as far as one lane needs it.
pub(crate) struct Receiver {
    pub(crate) rules: Rules,
    pub(crate) ledger: SimLedger,
    /// The last block whose header it has; `None`: it follows no ledger.
    pub(crate) follows: Option<u64>,
    /// Blocks that it did not keep.
    pub(crate) forgets: Vec<u64>,
    /// Why the ledger is frozen.
    pub(crate) frozen: Option<String>,
    pub(crate) state: LaneState,
    pub(crate) readers: Readers,
    pub(crate) families: Families,
    /// A light client in place of the family's own.
    pub(crate) client: Option<Arc<dyn DynLightClient>>,
    pub(crate) now: Timestamp,
    pub(crate) high_water: Timestamp,
    pub(crate) bad_evidence: BadEvidence,
}

impl Receiver {
    /// Judged with those trusted blocks alone that the caller is told to look up.
    fn with_blocks<T>(&self, wanted: &Wanted, act: impl FnOnce(&PageContext<'_>) -> T) -> T {
        let ledger = self.ledger.ledger_id();
        let ranges = wanted.get(&ledger).cloned().unwrap_or_default();
        self.with_context_of(|height| ranges.iter().any(|range| range.contains(&height)), act)
    }

    fn with_context<T>(&self, act: impl FnOnce(&PageContext<'_>) -> T) -> T {
        self.with_context_of(|_| true, act)
    }

    fn with_context_of<T>(&self, has: impl Fn(Height) -> bool, act: impl FnOnce(&PageContext<'_>) -> T) -> T {
        let mut ledgers = BTreeMap::new();
        if let Some(until) = self.follows {
            let (client, head, mut blocks) = follow(&self.client, &self.ledger, until);
            blocks.retain(|height, _| has(*height) && !self.forgets.contains(&height.get()));
            let firm = head.last.map(|(height, _)| height);
            let snapshot = LedgerSnapshot { client, head, firm, frozen: self.frozen.clone(), blocks };
            ledgers.insert(self.ledger.ledger_id(), snapshot);
        }
        let policy = self.rules.policy();
        act(&PageContext {
            policy: &policy,
            families: &self.families,
            registry: &REGISTRY,
            ledgers: &ledgers,
            readers: &self.readers,
            standing: &page::StandingLeaves::new(),
            now: self.now,
            high_water: self.high_water,
            bad_evidence: self.bad_evidence,
        })
    }

    pub(crate) fn verify(&self, page: &Page) -> Result<PageVerdict, PageRejection> {
        self.with_blocks(&page::heights(page, &self.state), |context| page::verify(page, &self.state, context))
    }

    pub(crate) fn observes(&self, note: &str) -> Result<Option<Admission>, PageRejection> {
        self.with_context(|context| page::observe(note, &self.state, context))
    }

    /// Takes a page that must be good, and stores what it yields.
    pub(crate) fn take(&mut self, page: &Page) -> PageVerdict {
        let verdict = self.verify(page).unwrap();
        self.state = verdict.admission.after().clone();
        self.readers.extend(verdict.readers.clone());
        verdict
    }

    /// The reason for which a page is refused.
    pub(crate) fn refuses(&self, page: &Page) -> &'static str {
        match self.verify(page) {
            Ok(verdict) => panic!("expected the page to be refused, got {:?}", outcomes(&verdict)),
            Err(rejection) => rejection.reason(),
        }
    }

    pub(crate) fn retry(&self, log: &Log, index: u64, evidence: Option<&PageBlock>) -> Option<Release> {
        self.with_context(|context| page::retry(&self.state, index, &log.statement(index), evidence, context))
    }
}

/// One word for each leaf.
pub(crate) fn outcomes(verdict: &PageVerdict) -> Vec<String> {
    verdict.admission.leaves().iter().map(|leaf| outcome(&leaf.outcome)).collect()
}

pub(crate) fn outcome(outcome: &LeafOutcome) -> String {
    match outcome {
        LeafOutcome::Record(verified) => verified.record().key().to_string().rsplit(':').next().unwrap().to_owned(),
        LeafOutcome::Held(held) => format!("held: {}", held.reason),
        LeafOutcome::Sealed => "sealed".to_owned(),
        LeafOutcome::Definition(_) => "definition".to_owned(),
        LeafOutcome::Covered(_) => "covered".to_owned(),
        LeafOutcome::Skipped(skipped) => format!("skipped: {}", skipped.reason),
        LeafOutcome::Retracted(retract) => format!("retracted: {}", retract.sequence),
    }
}

/// Ids of the records that a page admits, by leaf.
pub(crate) fn admitted_ids(admission: &Admission) -> BTreeMap<u64, String> {
    let record = |leaf: &hufu_gateway_verify::AdmittedLeaf| match &leaf.outcome {
        LeafOutcome::Record(verified) => Some((leaf.index, verified.record().id().to_string())),
        _ => None,
    };
    admission.leaves().iter().filter_map(record).collect()
}
