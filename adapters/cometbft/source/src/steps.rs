//! Steps from one node: of each height, or, where the anchor allows heights to be passed over, of those that a jump needs.
//!
//! A jump is tried to the farthest height first. Where too little of the trusted validators signed there, the distance is
//! halved (bisection, as CometBFT's light client does, `light/client.go`, `verifySkipping`). The rule is the light
//! client's own: what is found good here it finds good again.

use std::collections::BTreeMap;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use hufu_adapters_light_client::outcome::Refusal;
use hufu_adapters_light_client::{Budget, Shortfall, Step};
use hufu_adapters_nodes::NodeFault;
use hufu_adapters_nodes::transport::Room;
use hufu_cometbft_light_client::{Anchor, Hash32, LightStep, SignedHeader, ValidatorSet};
use hufu_schemas_core::Height;

use crate::node::Node;
use crate::sets::Sets;

/// Votes in all steps of one answer: what a light client's budget for one update checks (131,072 signatures).
const MAX_VOTES: usize = 1 << 17;
/// Bytes of all steps of one answer: a quarter of what the same budget hashes (128 MiB).
const MAX_BYTES: usize = 32 << 20;

/// Asks one node for steps.
pub(crate) struct Steps<'a> {
    pub(crate) node: &'a Node,
    pub(crate) anchor: &'a Anchor,
    pub(crate) sets: &'a Sets,
    pub(crate) in_flight: usize,
    pub(crate) room: &'a Room,
}

/// What makes up one step.
pub(crate) struct Light {
    pub(crate) signed: SignedHeader,
    pub(crate) validators: ValidatorSet,
}

impl Steps<'_> {
    /// A header with its votes and validators, which agree with each other. Signatures are not looked at.
    pub(crate) async fn light(&self, signed: SignedHeader) -> Result<Light, NodeFault> {
        let (height, hash) = (signed.header.height, signed.header.validators_hash);
        let validators = self.sets.get(self.node, height, hash, self.room).await?;
        let checked = self.anchor.rules().check_block(&signed, &validators);
        checked.map_err(|fault| {
            NodeFault::Lying(format!("block {height}: {fault}: expected {}, got {}", fault.expected(), fault.got()))
        })?;
        Ok(Light { signed, validators })
    }

    /// The step that travels. The next set goes along only where heights may be passed over from here.
    async fn step(&self, light: Light) -> Result<Step, NodeFault> {
        let header = &light.signed.header;
        let (height, next) = (header.height, header.next_validators_hash);
        let next_validators = match self.anchor.may_skip() && next != header.validators_hash {
            true => Some(self.sets.get(self.node, height.saturating_add(1), next, self.room).await?),
            false => None,
        };
        let step = LightStep {
            signed_header: light.signed,
            validators: Some(light.validators),
            next_validators,
            trusted_validators: None,
            headers: Vec::new(),
        };
        Ok(Step { height: Height::new(height), bytes: step.write() })
    }

    /// Each height, linked by hash.
    pub(crate) async fn each(&self, from: u64, to: u64) -> Result<(Vec<Step>, Vec<Seen>), NodeFault> {
        let asked = stream::iter((from..=to).map(|height| self.node.signed_header(height, self.room)));
        let signed: Vec<SignedHeader> = asked.buffered(self.in_flight).try_collect().await?;
        if let Some(broken) = broken_link(&signed) {
            return Err(NodeFault::Lying(broken));
        }
        let mut answer = Answer::default();
        for signed in signed {
            let light = self.light(signed).await?;
            let seen = Seen::of(&light.signed);
            let votes = light.validators.validators().len();
            if !answer.take(self.step(light).await?, seen, votes) {
                break;
            }
        }
        Ok((answer.steps, answer.seen))
    }

    /// From a trusted height to `to` in as few steps as the trusted validators allow, at most `limit`. Where the first is to
    /// be `adjacent`, it is that of `from`: it needs no validators that the reader may not know.
    pub(crate) async fn jump(
        &self,
        from: u64,
        to: u64,
        limit: usize,
        adjacent: bool,
    ) -> Result<(Vec<Step>, Vec<Seen>), NodeFault> {
        let mut answer = Answer::default();
        let mut headers: BTreeMap<u64, SignedHeader> = BTreeMap::new();
        let (mut next, mut target) = (from, to);
        if adjacent || from == self.anchor.height() {
            // Or nothing is trusted yet: the anchor's own header comes first.
            target = from;
        }
        while next <= to && answer.steps.len() < limit {
            let light = self.light(self.header(&mut headers, target).await?).await?;
            if target > next && !self.is_trusted(&mut headers, next, &light).await? {
                target = next + (target - next) / 2;
                continue;
            }
            let seen = Seen::of(&light.signed);
            let votes = light.validators.validators().len();
            if !answer.take(self.step(light).await?, seen, votes) {
                break;
            }
            headers = headers.split_off(&target.saturating_add(1));
            (next, target) = (target.saturating_add(1), to);
        }
        Ok((answer.steps, answer.seen))
    }

    async fn header(&self, known: &mut BTreeMap<u64, SignedHeader>, height: u64) -> Result<SignedHeader, NodeFault> {
        if let Some(signed) = known.get(&height) {
            return Ok(signed.clone());
        }
        let signed = self.node.signed_header(height, self.room).await?;
        known.insert(height, signed.clone());
        Ok(signed)
    }

    /// Whether enough of the validators at `next`, whom the trusted header below it names, signed a later block.
    async fn is_trusted(
        &self,
        known: &mut BTreeMap<u64, SignedHeader>,
        next: u64,
        light: &Light,
    ) -> Result<bool, NodeFault> {
        let hash = self.header(known, next).await?.header.validators_hash;
        let trusted = self.sets.get(self.node, next, hash, self.room).await?;
        let nearer = Shortfall::Headers { from: Height::new(next) };
        let rules = self.anchor.rules();
        let budget = &mut Budget::for_update();
        match rules.require_signed(&light.signed, &light.validators, Some((&trusted, nearer)), budget) {
            Ok(()) => Ok(true),
            Err(Refusal::NotYet(_)) => Ok(false),
            Err(Refusal::Reject(rejection)) => {
                Err(NodeFault::Lying(format!("block {}: {rejection}", light.signed.header.height)))
            }
        }
    }
}

/// What is remembered of a block that was handed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) height: u64,
    pub(crate) hash: Hash32,
    pub(crate) parent: Option<Hash32>,
    pub(crate) validators: Hash32,
}

impl Seen {
    pub(crate) fn of(signed: &SignedHeader) -> Self {
        let header = &signed.header;
        Self {
            height: header.height,
            hash: header.hash(),
            parent: header.last_block_id.hash,
            validators: header.validators_hash,
        }
    }
}

#[derive(Default)]
struct Answer {
    steps: Vec<Step>,
    seen: Vec<Seen>,
    votes: usize,
    bytes: usize,
}

impl Answer {
    /// Adds a step; `false` where it would be too much for one answer. The first always goes in.
    fn take(&mut self, step: Step, seen: Seen, votes: usize) -> bool {
        let (votes, bytes) = (self.votes + votes, self.bytes + step.bytes.len());
        if !self.steps.is_empty() && (votes > MAX_VOTES || bytes > MAX_BYTES) {
            return false;
        }
        (self.votes, self.bytes) = (votes, bytes);
        self.steps.push(step);
        self.seen.push(seen);
        true
    }
}

/// Where two headers do not link, if anywhere.
fn broken_link(signed: &[SignedHeader]) -> Option<String> {
    signed.iter().zip(signed.iter().skip(1)).find_map(|(below, above)| {
        let (hash, named) = (below.header.hash(), above.header.last_block_id.hash);
        if named == Some(hash) {
            return None;
        }
        let named = named.map_or_else(|| "none".to_owned(), |named| named.to_string());
        Some(format!("block {} names parent {named}, its header below hashes to {hash}", above.header.height))
    })
}

/// For one header alone, to compare.
pub(crate) fn rival(light: Light, trusted_validators: Option<ValidatorSet>) -> Step {
    let height = Height::new(light.signed.header.height);
    let step = LightStep {
        signed_header: light.signed,
        validators: Some(light.validators),
        next_validators: None,
        trusted_validators,
        headers: Vec::new(),
    };
    Step { height, bytes: step.write() }
}
