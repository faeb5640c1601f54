//! Lanes: their state, and the one transaction that moves it (design, section 3, steps 4 and 7).

use std::collections::HashSet;

use hufu_gateway_verify::Assurance;
use hufu_gateway_verify::Derivation;
use hufu_gateway_verify::admission::{LaneDefinition, LaneState, Misconduct};
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::merkle::Edge;
use hufu_schemas_core::{BlockHash, Height, LaneId, Position, Timestamp};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use crate::error::StoreError;
use crate::model::{Act, Admitted, LeafKind, Offset, Role};
use crate::sqlite::names::{self, LedgerIds};
use crate::sqlite::sql::{Columns, fault, int, seconds, statements};
use crate::sqlite::{held, kept, log, operator, records, retractions};
use crate::step::{AdmitStep, Fate, LeafStep, RecordStep};

macro_rules! state {
    ($rest:literal) => {
        concat!(
            "SELECT id, lane, role, edge, last_height, last_transaction, last_event, last_item, covered, \
             derivation, seen_size, seen_root, seen_time, seen_note, frozen FROM lane ",
            $rest
        )
    };
}

statements! {
    ONE = state!("WHERE lane = ?");
    ALL = state!("WHERE role = ? ORDER BY lane LIMIT 10000");
    DEFINITIONS = "SELECT sequence, definition FROM lane_definition WHERE lane = ? ORDER BY sequence";
    ADD_DEFINITION = "INSERT INTO lane_definition (lane, sequence, definition) VALUES (?,?,?)";
    GUARD = "SELECT id, role, size, edge, frozen, seen_size, seen_root, seen_time FROM lane WHERE lane = ?";
    NEW = "INSERT INTO lane (lane, role, size, edge) VALUES (?,?,0,?) RETURNING id";
    MOVE = "UPDATE lane SET size = ?, edge = ?, last_height = ?, last_transaction = ?, last_event = ?, last_item = ?, \
            covered = ?, derivation = ? WHERE id = ?";
    SEE = "UPDATE lane SET seen_size = ?, seen_root = ?, seen_time = ?, seen_note = ? WHERE id = ?";
    SET_FROZEN = "UPDATE lane SET frozen = ? WHERE id = ?";
}

/// The state of one lane.
pub(crate) async fn lane(conn: &mut SqliteConnection, lane: &LaneId) -> Result<Option<LaneState>, StoreError> {
    let row = sqlx::query(ONE).bind(lane.to_string()).fetch_optional(&mut *conn).await.map_err(fault)?;
    match row {
        Some(row) => read_state(conn, &row).await.map(Some),
        None => Ok(None),
    }
}

/// The states of all lanes of one role.
pub(crate) async fn lanes(conn: &mut SqliteConnection, role: Role) -> Result<Vec<LaneState>, StoreError> {
    let rows = sqlx::query(ALL).bind(role.as_str()).fetch_all(&mut *conn).await.map_err(fault)?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        all.push(read_state(&mut *conn, row).await?);
    }
    Ok(all)
}

async fn read_state(conn: &mut SqliteConnection, row: &SqliteRow) -> Result<LaneState, StoreError> {
    let lane = row.lane("lane")?;
    let rows = sqlx::query(DEFINITIONS).bind(row.col::<i64>("id")?).fetch_all(conn).await.map_err(fault)?;
    let definitions = rows.iter().map(read_definition).collect::<Result<_, _>>()?;
    Ok(LaneState {
        edge: read_edge(row)?,
        seen: read_seen(row, &lane)?,
        last: read_last(row)?,
        covered: row.u64_or_null("covered")?.map(Height::new),
        derivation: read_derivation(row)?,
        definitions,
        frozen: row.col("frozen")?,
        lane,
    })
}

fn read_definition(row: &SqliteRow) -> Result<LaneDefinition, StoreError> {
    let text: &str = row.col("definition")?;
    let definition = serde_json::from_str(text).map_err(StoreError::corrupt)?;
    Ok(LaneDefinition { sequence: row.u64("sequence")?, definition })
}

fn read_derivation(row: &SqliteRow) -> Result<Derivation, StoreError> {
    let text: Option<&str> = row.col("derivation")?;
    text.map_or(Ok(Derivation::default()), |text| serde_json::from_str(text).map_err(StoreError::corrupt))
}

fn read_edge(row: &SqliteRow) -> Result<Edge, StoreError> {
    let text: &str = row.col("edge")?;
    serde_json::from_str(text).map_err(StoreError::corrupt)
}

fn read_seen(row: &SqliteRow, lane: &LaneId) -> Result<Option<(Checkpoint, String)>, StoreError> {
    let Some(size) = row.u64_or_null("seen_size")? else { return Ok(None) };
    let (root, time) = (row.digest("seen_root")?, row.time("seen_time")?);
    Ok(Some((Checkpoint { lane: lane.clone(), size, root, time }, row.col("seen_note")?)))
}

fn read_last(row: &SqliteRow) -> Result<Option<(Position, u32)>, StoreError> {
    let Some(height) = row.u64_or_null("last_height")? else { return Ok(None) };
    let (transaction, event) = (row.u32("last_transaction")?, row.u32("last_event")?);
    Ok(Some((Position { height: Height::new(height), transaction, event }, row.u32("last_item")?)))
}

/// What compare-and-swap looks at.
struct Guard {
    id: i64,
    role: String,
    edge: Edge,
    frozen: Option<String>,
    /// Size, root, time.
    seen: Option<(u64, hufu_schemas_core::Digest, Timestamp)>,
}

async fn guard(conn: &mut SqliteConnection, lane: &LaneId) -> Result<Option<Guard>, StoreError> {
    let row = sqlx::query(GUARD).bind(lane.to_string()).fetch_optional(conn).await.map_err(fault)?;
    let Some(row) = row else { return Ok(None) };
    let edge = read_edge(&row)?;
    if row.u64("size")? != edge.size() {
        return Err(StoreError::corrupt(format!("lane {lane}: size and edge differ")));
    }
    let seen = match row.u64_or_null("seen_size")? {
        Some(size) => Some((size, row.digest("seen_root")?, row.time("seen_time")?)),
        None => None,
    };
    Ok(Some(Guard { id: row.col("id")?, role: row.col("role")?, edge, frozen: row.col("frozen")?, seen }))
}

impl Guard {
    fn require_moving(&self, lane: &LaneId) -> Result<(), StoreError> {
        match &self.frozen {
            Some(why) => Err(StoreError::Frozen { subject: lane.to_string(), why: why.clone() }),
            None => Ok(()),
        }
    }

    fn require_role(&self, lane: &LaneId, role: Role) -> Result<(), StoreError> {
        if self.role == role.as_str() {
            return Ok(());
        }
        Err(StoreError::refused("role of the lane", format!("{} for {lane}", self.role), role.as_str()))
    }
}

/// The row id of a lane that is known and not frozen.
pub(crate) async fn require_moving(conn: &mut SqliteConnection, lane: &LaneId) -> Result<i64, StoreError> {
    let guard = guard(conn, lane).await?;
    let guard = guard.ok_or_else(|| StoreError::refused("lane", "a lane that this gateway knows", lane))?;
    guard.require_moving(lane)?;
    Ok(guard.id)
}

/// Leaves, nodes, records, held leaves, documents, evidence, definitions and the lane's state: all or nothing.
pub(crate) async fn admit(
    conn: &mut SqliteConnection,
    role: Role,
    step: AdmitStep,
    now: Timestamp,
) -> Result<Admitted, StoreError> {
    operator::require_clock(&mut *conn, now).await?;
    let lane = step.after.lane.clone();
    let guard = match guard(&mut *conn, &lane).await? {
        Some(guard) => guard,
        None if step.before == 0 => create(&mut *conn, &lane, role).await?,
        None => return Err(StoreError::conflict("lane size", step.before, "no such lane")),
    };
    guard.require_role(&lane, role)?;
    guard.require_moving(&lane)?;
    if guard.edge.size() != step.before {
        return Err(StoreError::conflict("lane size", step.before, guard.edge.size()));
    }
    require_consecutive(step.before, &step.leaves)?;
    require_own_leaves(&lane, &step.leaves)?;
    see(&mut *conn, &guard, &step.after).await?;

    let mut ids = LedgerIds::default();
    let proved = proved_blocks(&step.leaves);
    kept::add_documents(&mut *conn, step.documents).await?;
    kept::add_evidence(&mut *conn, guard.id, step.evidence, &proved).await?;
    let mut admitted = Admitted { from: step.before, to: step.after.edge.size(), ..Admitted::default() };
    // What is taken back is told before what comes in its place.
    let taken_back = taken_back(&step.leaves);
    for (retract, named, reason) in &taken_back {
        held::forget(&mut *conn, guard.id, *named).await?;
        let place = retractions::Place { lane: guard.id, retract: *retract, named: *named };
        admitted.retracted += retractions::add(&mut *conn, place, reason, now).await?;
    }
    let batch: Vec<&RecordStep> = step.leaves.iter().filter_map(record_of).collect();
    let added = records::add(&mut *conn, &mut ids, guard.id, &batch, now).await?;

    count(&mut admitted, &step.leaves, &added);
    let offsets: Vec<Option<Offset>> =
        step.leaves.iter().map(|leaf| record_of(leaf).and(added.offsets.get(&leaf.index).copied())).collect();
    for leaf in &step.leaves {
        if let Fate::Held(reason) = &leaf.fate {
            held::add(&mut *conn, guard.id, leaf.index, reason, now).await?;
        }
    }
    let mut edge = guard.edge.clone();
    log::append(&mut *conn, guard.id, &mut edge, step.leaves, &offsets).await?;
    // A leaf that came and went with one page.
    for (retract, named, reason) in taken_back.into_iter().filter(|(_, named, _)| *named >= step.before) {
        held::forget(&mut *conn, guard.id, named).await?;
        let place = retractions::Place { lane: guard.id, retract, named };
        admitted.retracted += retractions::add(&mut *conn, place, reason, now).await?;
    }
    if edge != step.after.edge {
        let expected = format!("the edge of {} leaves with root {}", edge.size(), edge.root());
        let got = format!("{} leaves with root {}", step.after.edge.size(), step.after.edge.root());
        return Err(StoreError::refused("edge after the leaves", expected, got));
    }
    add_definitions(&mut *conn, guard.id, step.before, &step.after.definitions).await?;
    set_state(conn, guard.id, &step.after).await?;
    Ok(admitted)
}

fn record_of(leaf: &LeafStep) -> Option<&RecordStep> {
    match &leaf.fate {
        Fate::Record(record) => Some(record),
        Fate::Held(_) | Fate::Retract(..) | Fate::Told => None,
    }
}

/// Leaves that take others back: their sequence, whom they name, and why.
fn taken_back(leaves: &[LeafStep]) -> Vec<(u64, u64, &'static str)> {
    let named = |leaf: &LeafStep| match leaf.fate {
        Fate::Retract(named, reason) => Some((leaf.index, named, reason)),
        Fate::Record(_) | Fate::Held(_) | Fate::Told => None,
    };
    leaves.iter().filter_map(named).collect()
}

/// Blocks whose evidence proved a record of this step.
fn proved_blocks(leaves: &[LeafStep]) -> HashSet<BlockHash> {
    leaves.iter().filter_map(record_of).map(|record| record.block_hash).collect()
}

/// Leaves stand at `before ..`, each once.
fn require_consecutive(before: u64, leaves: &[LeafStep]) -> Result<(), StoreError> {
    match (before..).zip(leaves).find(|(index, leaf)| leaf.index != *index) {
        None => Ok(()),
        Some((index, leaf)) => Err(StoreError::refused("leaf index", index, leaf.index)),
    }
}

/// A record's basis names its leaf; another one would be a fault of ours, and is refused before it is written.
fn require_own_leaves(lane: &LaneId, leaves: &[LeafStep]) -> Result<(), StoreError> {
    let stray = leaves.iter().find_map(|leaf| {
        record_of(leaf)
            .filter(|record| record.lane != *lane || record.sequence != leaf.index)
            .map(|it| (leaf.index, it))
    });
    match stray {
        None => Ok(()),
        Some((index, record)) => {
            let got = format!("leaf {} of {}", record.sequence, record.lane);
            Err(StoreError::refused("record of a leaf", format!("leaf {index} of {lane}"), got))
        }
    }
}

fn count(admitted: &mut Admitted, leaves: &[LeafStep], added: &records::Added) {
    let number = |wanted: fn(&LeafStep) -> bool| {
        u64::try_from(leaves.iter().filter(|leaf| wanted(leaf)).count()).unwrap_or(u64::MAX)
    };
    admitted.held = number(|leaf| matches!(leaf.fate, Fate::Held(_)));
    admitted.sealed = number(|leaf| matches!(leaf.fate, Fate::Told) && leaf.kind == LeafKind::Sealed);
    admitted.skipped = number(|leaf| matches!(leaf.fate, Fate::Told) && leaf.kind == LeafKind::Skipped);
    admitted.records = u64::try_from(added.new.len()).unwrap_or(u64::MAX);
    let is_new = |index: u64| added.offsets.get(&index).is_some_and(|offset| added.new.binary_search(offset).is_ok());
    let attested = |record: &&RecordStep| record.assurance == Assurance::Attested && is_new(record.sequence);
    admitted.attested = u64::try_from(leaves.iter().filter_map(record_of).filter(attested).count()).unwrap_or(u64::MAX);
    admitted.offsets.clone_from(&added.new);
    admitted.duplicates = added.duplicates;
    admitted.differing = added.differing;
}

async fn create(conn: &mut SqliteConnection, lane: &LaneId, role: Role) -> Result<Guard, StoreError> {
    let edge = Edge::empty();
    let text = serde_json::to_string(&edge).map_err(StoreError::corrupt)?;
    let query = sqlx::query(NEW).bind(lane.to_string()).bind(role.as_str()).bind(text);
    let id = query.fetch_one(conn).await.map_err(fault)?.col("id")?;
    Ok(Guard { id, role: role.as_str().to_owned(), edge, frozen: None, seen: None })
}

/// Keeps the largest checkpoint seen. One that is behind, or contradicts the stored one, was judged on a state that has
/// moved meanwhile: the caller judges again, and finds the equivocation if there is one.
async fn see(conn: &mut SqliteConnection, guard: &Guard, after: &LaneState) -> Result<(), StoreError> {
    let Some((checkpoint, note)) = &after.seen else { return Ok(()) };
    if checkpoint.lane != after.lane {
        return Err(StoreError::refused("checkpoint", &after.lane, &checkpoint.lane));
    }
    if checkpoint.size == after.edge.size() && checkpoint.root != after.edge.root() {
        return Err(StoreError::refused("checkpoint root", after.edge.root(), checkpoint.root));
    }
    if let Some((size, root, time)) = guard.seen {
        if checkpoint.size < size {
            return Err(StoreError::conflict("checkpoint size", checkpoint.size, size));
        }
        if checkpoint.size == size && checkpoint.root != root {
            return Err(StoreError::conflict("checkpoint root", checkpoint.root, root));
        }
        if checkpoint.size == size && checkpoint.time <= time {
            return Ok(());
        }
    }
    store_seen(conn, guard.id, checkpoint, note).await
}

async fn store_seen(
    conn: &mut SqliteConnection,
    lane: i64,
    checkpoint: &Checkpoint,
    note: &str,
) -> Result<(), StoreError> {
    let query = sqlx::query(SEE).bind(int(checkpoint.size)?).bind(checkpoint.root.as_bytes().as_slice().to_vec());
    let query = query.bind(seconds(checkpoint.time)).bind(note.to_owned()).bind(lane);
    query.execute(conn).await.map(drop).map_err(fault)
}

async fn add_definitions(
    conn: &mut SqliteConnection,
    lane: i64,
    before: u64,
    definitions: &[LaneDefinition],
) -> Result<(), StoreError> {
    for new in definitions.iter().filter(|definition| definition.sequence >= before) {
        let text = serde_json::to_string(&new.definition).map_err(StoreError::corrupt)?;
        let query = sqlx::query(ADD_DEFINITION).bind(lane).bind(int(new.sequence)?).bind(text);
        query.execute(&mut *conn).await.map_err(fault)?;
    }
    Ok(())
}

async fn set_state(conn: &mut SqliteConnection, lane: i64, after: &LaneState) -> Result<(), StoreError> {
    let edge = serde_json::to_string(&after.edge).map_err(StoreError::corrupt)?;
    let position = after.last.map(|(position, _)| position);
    let query = sqlx::query(MOVE).bind(int(after.edge.size())?).bind(edge);
    let query = query.bind(position.map(|it| int(it.height.get())).transpose()?);
    let query = query.bind(position.map(|it| it.transaction)).bind(position.map(|it| it.event));
    let query = query.bind(after.last.map(|(_, item)| item));
    let query = query.bind(after.covered.map(|height| int(height.get())).transpose()?);
    let derivation = serde_json::to_string(&after.derivation).map_err(StoreError::corrupt)?;
    let query = query.bind(derivation).bind(lane);
    query.execute(conn).await.map(drop).map_err(fault)
}

/// Persists a checkpoint of our own before anybody may see it. What is signed once binds for ever: another root of one
/// size, a smaller size, and a size that the lane does not have are refused.
pub(crate) async fn put_checkpoint(
    conn: &mut SqliteConnection,
    checkpoint: &Checkpoint,
    note: &str,
) -> Result<(), StoreError> {
    let lane = &checkpoint.lane;
    let guard = guard(&mut *conn, lane).await?;
    let guard = guard.ok_or_else(|| StoreError::refused("lane", "a lane that this gateway writes", lane))?;
    guard.require_role(lane, Role::Origin)?;
    guard.require_moving(lane)?;
    // A clock set back signs nothing: whoever saw the later note would refuse the earlier one.
    operator::require_clock(&mut *conn, checkpoint.time).await?;
    if let Some((size, root, time)) = guard.seen {
        if checkpoint.time < time {
            return Err(StoreError::refused(
                "checkpoint time",
                format!("{time} or later, signed before"),
                checkpoint.time,
            ));
        }
        if checkpoint.size < size {
            return Err(StoreError::refused(
                "checkpoint size",
                format!("at least {size}, signed before"),
                checkpoint.size,
            ));
        }
        if checkpoint.size == size && checkpoint.root != root {
            return Err(StoreError::refused("checkpoint root", format!("{root}, signed before"), checkpoint.root));
        }
    }
    if checkpoint.size != guard.edge.size() {
        // An admission went between: the caller signs the new size.
        return Err(StoreError::conflict("lane size", checkpoint.size, guard.edge.size()));
    }
    if checkpoint.root != guard.edge.root() {
        return Err(StoreError::refused("checkpoint root", guard.edge.root(), checkpoint.root));
    }
    store_seen(conn, guard.id, checkpoint, note).await
}

/// Stops all movement of a lane; both artefacts are kept. Misconduct may show in an inbox lane's very first page.
pub(crate) async fn freeze(
    conn: &mut SqliteConnection,
    lane: &LaneId,
    misconduct: Option<&Misconduct>,
    act: &Act,
) -> Result<(), StoreError> {
    if misconduct.is_some() && names::lane(&mut *conn, lane).await?.is_none() {
        create(&mut *conn, lane, Role::Inbox).await?;
    }
    set_frozen(&mut *conn, lane, Some(&act.why)).await?;
    let artefacts = misconduct.map(Misconduct::artefacts);
    operator::log(conn, act, "freeze-lane", &lane.to_string(), artefacts.as_ref()).await.map(drop)
}

/// Lets a lane move again.
pub(crate) async fn thaw(conn: &mut SqliteConnection, lane: &LaneId, act: &Act) -> Result<(), StoreError> {
    set_frozen(&mut *conn, lane, None).await?;
    operator::log(conn, act, "thaw-lane", &lane.to_string(), None).await.map(drop)
}

async fn set_frozen(conn: &mut SqliteConnection, lane: &LaneId, why: Option<&str>) -> Result<(), StoreError> {
    let id = names::lane(&mut *conn, lane).await?;
    let id = id.ok_or_else(|| StoreError::refused("lane", "a lane that this gateway knows", lane))?;
    let query = sqlx::query(SET_FROZEN).bind(why.map(str::to_owned)).bind(id);
    query.execute(conn).await.map(drop).map_err(fault)
}
