//! The origin's lanes: blocks that became trusted are read, mapped, appended and signed.
//!
//! What a crash leaves: the batch is one transaction, so a lane is either before or after it. A batch without its
//! checkpoint is signed at the next start; nothing was said of it before.

use std::sync::Arc;
use std::time::Duration;

use hufu_adapters_light_client::{Budget, Outcome, TrustedBlock};
use hufu_adapters_source::{BlockEvidence, Source, SourceError};
use hufu_gateway_store::{Role, StoreError};
use hufu_gateway_verify::admission::{KeptEvidence, LaneState};
use hufu_gateway_verify::origin::EVIDENCE_TOO_LARGE;
use hufu_gateway_verify::{LaneReader, OriginBatch};
use hufu_schemas_core::checkpoint::Checkpoint;
use hufu_schemas_core::lane::TagKey;
use hufu_schemas_core::limits::PageLimits;
use hufu_schemas_core::merkle::Edge;
use hufu_schemas_core::statement::Definition;
use hufu_schemas_core::{Height, LaneId, LedgerId, Timestamp};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::gateway::Gateway;
use crate::undone::take_back;

/// Blocks read at a time: their evidence is held in memory together.
const BLOCKS_AT_A_TIME: u32 = 64;
/// Evidence of one block that still travels: half a page, since base64 adds a third and the leaves come on top.
const EVIDENCE_MOST: usize = PageLimits::DEFAULT.bytes / 2;
/// Quiet blocks after which a `covered` leaf is written although nothing matched, so that a receiver sees progress and a
/// restart does not read them again.
const QUIET_BLOCKS: u64 = 256;

/// A lane this gateway publishes.
pub(crate) struct OriginLane {
    pub(crate) id: LaneId,
    pub(crate) reader: LaneReader,
    pub(crate) tag_key: TagKey,
    pub(crate) from_height: Height,
    pub(crate) ledger: LedgerId,
    pub(crate) source: Arc<dyn Source>,
}

impl OriginLane {
    /// The definition that the configuration gives.
    pub(crate) fn definition(&self) -> Definition {
        self.reader.definition(self.ledger.clone(), self.from_height, self.tag_key)
    }
}

/// What a lane has read beyond its last `covered` leaf. Lost in a crash, and then read again.
#[derive(Default)]
struct Stretch {
    /// The last block read.
    to: Option<TrustedBlock>,
    /// Items that matched.
    matched: u64,
    /// Evidence that a receiver will need to judge these blocks, of quiet ones too where their filter excludes nothing.
    /// With [`EVIDENCE_MOST`] bytes the stretch is closed: a page must carry it whole.
    evidence: Vec<KeptEvidence>,
    bytes: usize,
}

impl Stretch {
    /// Adds a block that was read.
    fn pass(&mut self, block: &TrustedBlock, matched: usize, evidence: Option<Vec<u8>>) {
        self.to = Some(block.clone());
        self.matched = self.matched.saturating_add(u64::try_from(matched).unwrap_or(u64::MAX));
        if let Some(bytes) = evidence {
            self.bytes = self.bytes.saturating_add(bytes.len());
            let (ledger, height, hash) = (block.ledger().clone(), block.height(), block.hash());
            self.evidence.push(KeptEvidence { ledger, height, hash, bytes });
        }
    }

    /// Says of a block that nobody can read its evidence, in a stretch of its own: no other block is in doubt for it. The
    /// first block that is not covered then.
    fn pass_unread<S: FnMut() -> [u8; 16]>(
        &mut self,
        from: Height,
        block: &TrustedBlock,
        detail: &str,
        batch: &mut OriginBatch<'_, S>,
    ) -> Result<Height, String> {
        warn!(height = %block.height(), detail, "a block's evidence is beyond what is read: the lane says so and goes on");
        let from = self.close(from, batch)?;
        batch.skip_block(block, detail).map_err(|fault| fault.to_string())?;
        self.pass(block, 0, None);
        self.close(from, batch)
    }

    /// Closes it with a `covered` leaf that begins at `from`; the first block that is not covered then.
    fn close<S: FnMut() -> [u8; 16]>(
        &mut self,
        from: Height,
        batch: &mut OriginBatch<'_, S>,
    ) -> Result<Height, String> {
        let Self { to, matched, evidence, .. } = std::mem::take(self);
        let Some(last) = to else { return Ok(from) };
        evidence.into_iter().for_each(|kept| batch.keep(kept));
        batch.cover(from, last.height(), last.hash(), matched).map_err(|fault| fault.to_string())?;
        Ok(last.height().next().unwrap_or(from))
    }
}

/// Publishes a lane until told to stop.
pub(crate) async fn publish(gateway: Arc<Gateway>, lane: Arc<OriginLane>, stop: CancellationToken) {
    let mut changes = gateway.store.changes();
    let mut stretch = Stretch::default();
    let mut reorganised = None;
    info!(lane = %lane.id, definition = %lane.definition().digest(), "publishing");
    while !stop.is_cancelled() {
        changes.mark_unchanged();
        match publish_once(&gateway, &lane, &mut stretch, &mut reorganised).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(words) => {
                warn!(lane = %lane.id, "{words}");
                stretch = Stretch::default();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            changed = changes.changed() => if changed.is_err() { break },
            () = tokio::time::sleep(gateway.heartbeat / 4) => {}
        }
    }
}

/// One round; `true` when there may be more to read at once. `reorganised` is the last reorganisation that the lane has
/// answered; each is looked at once, and after a start.
async fn publish_once(
    gateway: &Gateway,
    lane: &OriginLane,
    stretch: &mut Stretch,
    reorganised: &mut Option<i64>,
) -> Result<bool, String> {
    let words = |fault: StoreError| fault.to_string();
    let state = gateway.store.lane(&lane.id).await.map_err(words)?.unwrap_or_else(|| LaneState::new(lane.id.clone()));
    if let Some(reason) = &state.frozen {
        return Err(format!("the lane is frozen: {reason}"));
    }
    let now = gateway.clock.now();
    gateway.require_clock(now).await?;
    // Before any block is read: what is read of a branch that goes meanwhile is taken back in the next round.
    let last = gateway.store.last_undone(&lane.ledger).await.map_err(words)?;
    if *reorganised != Some(last) {
        *stretch = Stretch::default();
        if last > 0 && take_back(gateway, lane, &state).await? {
            return Ok(true);
        }
        *reorganised = Some(last);
    }
    let mut batch = OriginBatch::new(&lane.reader, state.clone(), now, random_salt);
    let definition = lane.definition();
    if state.definitions.last().is_none_or(|known| known.definition != definition) {
        batch.define(definition).map_err(|fault| fault.to_string())?;
    }
    let blocks = next_blocks(gateway, lane, &state, stretch).await?;
    let more = u32::try_from(blocks.len()).unwrap_or(u32::MAX) >= BLOCKS_AT_A_TIME;
    let from = state.covered.and_then(Height::next).unwrap_or(lane.from_height);
    let more = read_blocks(gateway, lane, &blocks, from, stretch, &mut batch).await? || more;
    if batch.is_empty() {
        heartbeat(gateway, &state, now).await?;
        return Ok(more);
    }
    let signed = signed_at(&state);
    let admission = batch.finish();
    let edge = admission.after().edge.clone();
    let admitted = match gateway.store.admit(Role::Origin, &admission, now).await {
        Ok(admitted) => admitted,
        // Another process writes this lane; it must not be run twice.
        Err(fault) => return Err(format!("the batch was not stored: {fault}")),
    };
    gateway.metrics.admitted(&lane.id, Role::Origin, &admitted);
    sign(gateway, &lane.id, &edge, signed, now).await?;
    Ok(more)
}

/// Trusted blocks that the lane has not read yet.
async fn next_blocks(
    gateway: &Gateway,
    lane: &OriginLane,
    state: &LaneState,
    stretch: &Stretch,
) -> Result<Vec<TrustedBlock>, String> {
    let after_read = stretch.to.as_ref().and_then(|block| block.height().next());
    let after_covered = state.covered.and_then(Height::next);
    let from = after_read.into_iter().chain(after_covered).max().unwrap_or(lane.from_height);
    let ledger = &lane.ledger;
    gateway.store.trusted_blocks(ledger, from, BLOCKS_AT_A_TIME).await.map_err(|fault| fault.to_string())
}

/// Evidence of blocks, as far as it can be read.
struct Fetched<'a> {
    of: &'a [TrustedBlock],
    evidence: Vec<BlockEvidence>,
    /// The block after them, where nobody can read its evidence, and who says so.
    unread: Option<(&'a TrustedBlock, String)>,
}

async fn fetch<'a>(gateway: &Gateway, lane: &OriginLane, blocks: &'a [TrustedBlock]) -> Result<Fetched<'a>, String> {
    let failed = |fault: SourceError| {
        gateway.metrics.source_error(&lane.ledger, fault.reason());
        fault.to_string()
    };
    let ask = async |blocks: &[TrustedBlock]| match blocks.is_empty() {
        true => Ok(Vec::new()),
        false => lane.source.evidence(blocks, lane.reader.selector()).await,
    };
    let (of, evidence, unread) = match ask(blocks).await {
        Ok(evidence) => (blocks, evidence, None),
        Err(SourceError::TooLarge { height, detail }) => {
            let at = blocks.partition_point(|block| block.height() < height);
            let (before, rest) = blocks.split_at(at);
            let Some(block) = rest.first().filter(|block| block.height() == height) else {
                return Err(failed(SourceError::TooLarge { height, detail }));
            };
            gateway.metrics.source_error(&lane.ledger, "too-large");
            (before, ask(before).await.map_err(failed)?, Some((block, detail)))
        }
        Err(fault) => return Err(failed(fault)),
    };
    if evidence.len() != of.len() {
        return Err(format!("expected evidence of {} blocks, got {}", of.len(), evidence.len()));
    }
    Ok(Fetched { of, evidence, unread })
}

/// Reads blocks into the batch, and closes stretches of which the first begins at `from`: one in which something matched,
/// one of which a page could carry no more evidence, and one that was quiet for long enough. `true` where it ended at a
/// block that cannot be read, and there is more behind.
async fn read_blocks<S: FnMut() -> [u8; 16]>(
    gateway: &Gateway,
    lane: &OriginLane,
    blocks: &[TrustedBlock],
    mut from: Height,
    stretch: &mut Stretch,
    batch: &mut OriginBatch<'_, S>,
) -> Result<bool, String> {
    if blocks.is_empty() {
        return Ok(false);
    }
    // Asked anew each round: an anchor that the operator took away ends the lane.
    let client = gateway.anchored(&lane.ledger)?;
    let Fetched { of, evidence, unread } = fetch(gateway, lane, blocks).await?;
    for (block, BlockEvidence { evidence, .. }) in of.iter().zip(evidence) {
        let outcome = client.matching(block, lane.reader.selector(), evidence.as_deref(), &mut Budget::for_evidence());
        let items = match outcome {
            Outcome::Accept(items) => items,
            Outcome::NotYet(shortfall) => return Err(shortfall.to_string()),
            // No node is at fault, and none could do better.
            Outcome::Reject(rejection) if rejection.is_limit() => {
                from = stretch.pass_unread(from, block, &rejection.to_string(), batch)?;
                continue;
            }
            Outcome::Reject(rejection) => {
                gateway.metrics.reject("ledger", rejection.reason());
                lane.source.refused(rejection.reason());
                return Err(format!("a node's evidence is refused: {rejection}"));
            }
        };
        let size = evidence.as_ref().map_or(0, Vec::len);
        let travels = size <= EVIDENCE_MOST;
        let carried = evidence.filter(|_| travels);
        if stretch.bytes.saturating_add(carried.as_ref().map_or(0, Vec::len)) > EVIDENCE_MOST {
            from = stretch.close(from, batch)?;
        }
        for item in &items {
            let appended = match travels {
                true => batch.item(item),
                // Said, not silent: a page could never carry it, and the lane must go on.
                false => {
                    batch.skip_item(item, EVIDENCE_TOO_LARGE, format!("{size} bytes, a page carries {EVIDENCE_MOST}"))
                }
            };
            appended.map_err(|fault| fault.to_string())?;
        }
        stretch.pass(block, items.len(), carried);
    }
    if let Some((block, detail)) = unread {
        stretch.pass_unread(from, block, &detail, batch)?;
        return Ok(true);
    }
    let last = stretch.to.as_ref().map_or(from, TrustedBlock::height);
    let read = last.get().saturating_sub(from.get()).saturating_add(1);
    if stretch.matched > 0 || read >= QUIET_BLOCKS {
        stretch.close(from, batch)?;
    }
    Ok(false)
}

/// When this lane was signed last.
pub(crate) fn signed_at(state: &LaneState) -> Option<Timestamp> {
    state.seen.as_ref().map(|(seen, _)| seen.time)
}

/// Signs the lane as it stands. The store refuses a second root for one size before the note leaves (anti-equivocation).
pub(crate) async fn sign(
    gateway: &Gateway,
    lane: &LaneId,
    edge: &Edge,
    seen: Option<Timestamp>,
    now: Timestamp,
) -> Result<(), String> {
    // Within the drift that two clocks are allowed, a lane's time still never goes back.
    let time = seen.map_or(now, |seen| now.max(seen));
    let checkpoint = Checkpoint { lane: lane.clone(), size: edge.size(), root: edge.root(), time };
    let note = checkpoint.clone().sign(&gateway.signer).to_string();
    gateway.store.put_checkpoint(checkpoint, note).await.map_err(|fault| fault.to_string())?;
    gateway.metrics.checkpoint(lane, Role::Origin, time);
    Ok(())
}

/// An idle lane signs anew, so that a receiver can tell quiet from dead (decision 12); and a batch whose checkpoint a
/// crash prevented is signed here.
async fn heartbeat(gateway: &Gateway, state: &LaneState, now: Timestamp) -> Result<(), String> {
    let size = state.edge.size();
    let fresh = state
        .seen
        .as_ref()
        .is_some_and(|(seen, _)| seen.size == size && now.since(seen.time) < gateway.heartbeat.as_secs());
    if size == 0 || fresh {
        return Ok(());
    }
    sign(gateway, &state.lane, &state.edge, signed_at(state), now).await
}

/// 16 random bytes a leaf.
pub(crate) fn random_salt() -> [u8; 16] {
    let mut salt = [0; 16];
    // The operating system's generator does not fail on the systems we run on; a salt of zeros would only make one leaf
    // guessable, and the log line says so.
    if getrandom::fill(&mut salt).is_err() {
        warn!("the operating system gave no randomness: one leaf is unsalted");
    }
    salt
}
