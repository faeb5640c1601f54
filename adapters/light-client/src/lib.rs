//! What a ledger family implements to be believed.
//!
//! In scope: the traits [`LightClient`] and [`Decoder`], the three-valued [`Outcome`], the [`Budget`] that hostile input
//! spends, and the one place where [`Proven`] is minted ([`erased`]).
//!
//! Out of scope: reading a ledger (adapters/source), any vendor's format (adapters/<family>), policy (gateway/verify).
//! Pure: `now` is an argument; nothing here does I/O.

pub mod block;
pub mod budget;
pub mod decoder;
pub mod erased;
pub mod family;
pub mod outcome;

pub use block::{BlockFacts, ClientVersion, Control, Finality, ItemFacts, ItemRef, Standing, Step, TrustedBlock};
pub use budget::Budget;
pub use decoder::{DecodeFault, Decoded, Decoder, DecoderVersion, Selector};
pub use erased::{Advanced, DynLightClient, Erased, Proven, StoredHead};
pub use family::{ConfigurationFault, Family};
pub use outcome::{Misbehaviour, Outcome, Rejection, Shortfall};

use hufu_schemas_core::{BlockHash, Height, LedgerId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Decides whether ledger bytes are final and included. Synchronous, pure, deterministic: two gateways that are given
/// the same bytes and the same `now` come to the same answer.
///
/// A family implements this typed trait and returns *facts*; [`Erased`] turns it into [`DynLightClient`], which works on
/// bytes and mints [`Proven`] (design, decision 13).
pub trait LightClient: Send + Sync + 'static {
    /// The trusted view of the ledger: the last trusted header with whatever is needed to judge the next one
    /// (validator set, votes). Stored as canonical JSON beside [`LightClient::version`].
    type Head: Serialize + DeserializeOwned + Clone + Send + Sync;

    /// Name and version of the head's format and of the rules, for instance `evm-qbft`, 1.
    fn version(&self) -> ClientVersion;

    /// The ledger that the anchor names.
    fn ledger(&self) -> &LedgerId;

    /// The head that the operator's anchor stands for, before any header was seen. The first step wanted is the anchor
    /// block's own header, whose hash must be the anchor's.
    fn anchor(&self) -> Self::Head;

    /// What an operator and the store need to know of a head.
    fn describe(&self, head: &Self::Head) -> HeadFacts;

    /// The last height that no branch can undo any more; `None` where nothing is trusted yet. Where blocks are final this
    /// is the last trusted one, and nothing is ever undone.
    fn firm(&self, head: &Self::Head) -> Option<Height> {
        self.describe(head).last.map(|(height, _)| height)
    }

    /// Whether this client can tell at this block that code which the selector pins was changed. `false` where that takes
    /// the state that the block began with, and only followed parents show it: what another gateway, which followed them,
    /// calls [`Control::Changed`] is `IssuerControlled` here, and neither lies.
    fn sees_code_changes(&self, _block: &BlockFacts, _selector: &Selector) -> bool {
        true
    }

    /// Whether the ledger itself commits to the items that this selector means, so that a block's evidence shows all of
    /// them or does not close. `false` where nodes merely tell them: then nothing can be derived from what is *not* there,
    /// and whoever carries the evidence may have left some out.
    fn commits(&self, _selector: &Selector) -> bool {
        true
    }

    /// Judges `steps` (one a height, rising) on top of `head` and yields the new head with the blocks that became
    /// trusted, in order. Steps at or below the head's height are passed over, so overlapping deliveries do no harm.
    ///
    /// Steps that are good but not yet final (a probabilistic ledger's tail) yield no block and do not move the head.
    ///
    /// A ledger whose blocks are not final may reorganise: blocks that begin at or below the head's height, and above
    /// [`LightClient::firm`], replace what was trusted from there on. A step that does not link to the head is answered
    /// with `NotYet(Headers)` from the lowest height that the client needs to judge such a branch.
    ///
    /// # Errors
    /// `NotYet` when more headers, a later clock or a new anchor could change the answer; `Reject` when nothing can.
    fn advance(
        &self,
        head: &Self::Head,
        steps: &[Step],
        now: Timestamp,
        budget: &mut Budget,
    ) -> Outcome<Advance<Self::Head>>;

    /// Finds native items in a trusted block. `evidence` is the family's block evidence (for EVM: all receipts), shared
    /// by every item of the block; it may be absent when the block itself excludes the selector.
    ///
    /// Items come in ledger order. With [`Wanted::Matching`] they are *all* items that match: this is what makes
    /// completeness provable where the evidence is whole.
    fn prove(
        &self,
        block: &BlockFacts,
        wanted: Wanted<'_>,
        evidence: Option<&[u8]>,
        budget: &mut Budget,
    ) -> Outcome<Vec<ItemFacts>>;

    /// Whether `other` is as well signed as the trusted block of the same height and yet another block. Only verified
    /// misbehaviour freezes; what one node merely says never does.
    fn conflict(&self, block: &BlockFacts, other: &Step, budget: &mut Budget) -> Option<Misbehaviour>;

    /// The hash of the block that a step shows; nothing else of it is judged. Asked for where a fork is misbehaviour at
    /// its first block alone, so that a branch seen above it is followed down. `None` where the step cannot be read, where
    /// [`LightClient::conflict`] answers above the first block too, and where a second branch is no misbehaviour.
    fn claimed_hash(&self, _step: &Step) -> Option<BlockHash> {
        None
    }
}

/// What [`LightClient::prove`] is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Wanted<'a> {
    /// Every item that the selector matches.
    Matching(&'a Selector),
    /// These items, each of which must match the selector.
    These(&'a Selector, &'a [ItemRef]),
}

/// What [`LightClient::advance`] yields.
#[derive(Debug, Clone)]
pub struct Advance<H> {
    /// The head after the last final step.
    pub head: H,
    /// Blocks that became trusted, in order of height, without gaps unless the family skips. A first one at or below the
    /// head's height undoes what was trusted from there on.
    pub blocks: Vec<BlockFacts>,
}

/// What an operator and the store need to know of a head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadFacts {
    /// Height and identity of the last trusted block; `None` before the anchor's own header was seen.
    pub last: Option<(Height, BlockHash)>,
    /// The first height whose header the client wants next.
    pub wants: Height,
    /// Past this time the head cannot be extended and only an operator re-anchors (decision 9).
    pub trusted_until: Option<Timestamp>,
    /// How many headers above a block must be seen before it is trusted (0 where a block is final at once).
    pub confirmations: u32,
    /// Who signs the next block, in the ledger's own text form.
    pub validators: Vec<String>,
}
