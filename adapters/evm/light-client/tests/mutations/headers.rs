//! Mutations of sealed headers of every consensus kind, judged on top of the block they follow.

use crate::captured::Captured;
use crate::ledger::{EPOCH, Ledger, Sealing};
use crate::random::Random;
use crate::report::{Outcome, Verdict};
use crate::testing::Key;
use crate::tree::Tree;
use hufu_adapters_light_client::{Budget, Rejection};
use hufu_evm_light_client::header::Link;
use hufu_evm_light_client::{Address, Hash32, Header, bft, clique};

/// The rules on top of a block.
#[derive(Clone, PartialEq, Eq)]
enum Rules {
    Bft(bft::State),
    Clique(clique::State),
}

/// What a header means: the identity that its seals cannot change, who signed it where that matters, and the rules after.
#[derive(PartialEq, Eq)]
struct Meaning {
    /// Of a BFT kind the block hash, which leaves out committed seals and round. On Clique what was signed: the seal is
    /// in the block hash there, and its other spelling is the same block to every signer.
    identity: Hash32,
    signer: Option<Address>,
    after: Rules,
}

/// A valid header with what it stands on.
pub(crate) struct Sealed {
    subject: &'static str,
    kind: Sealing,
    epoch: u64,
    parent: Link,
    before: Rules,
    raw: Vec<u8>,
    means: Meaning,
}

pub(crate) fn gather(captured: Option<&Captured>) -> Vec<Sealed> {
    let mut all = Vec::new();
    for recorded in captured.map(Captured::ledgers).unwrap_or_default() {
        let headers: Vec<Vec<u8>> = recorded.blocks.iter().map(|block| block.header.raw().to_vec()).collect();
        all.extend(follow(subject(recorded.kind, true), recorded.kind, recorded.epoch, &headers));
    }
    for kind in Sealing::ALL {
        let mut ledger = Ledger::new(kind, 5).grown(3);
        let newcomer = Key::number(77);
        ledger.vote(&newcomer, true);
        let mut ledger = ledger.grown(4);
        ledger.vote(&newcomer, false);
        // Past an epoch block.
        let ledger = ledger.grown(usize::try_from(EPOCH).unwrap());
        let headers: Vec<Vec<u8>> = ledger.steps.iter().map(|step| step.bytes.clone()).collect();
        all.extend(follow(subject(kind, false), kind, EPOCH, &headers));
    }
    all
}

fn subject(kind: Sealing, captured: bool) -> &'static str {
    match (kind, captured) {
        (Sealing::Bft(bft::Kind::Qbft), true) => "header of QBFT, recorded",
        (Sealing::Bft(bft::Kind::Qbft), false) => "header of QBFT, made",
        (Sealing::Bft(bft::Kind::Ibft2), true) => "header of IBFT 2.0, recorded",
        (Sealing::Bft(bft::Kind::Ibft2), false) => "header of IBFT 2.0, made",
        (Sealing::Bft(bft::Kind::Ibft1), true) => "header of legacy IBFT, recorded",
        (Sealing::Bft(bft::Kind::Ibft1), false) => "header of legacy IBFT, made",
        (Sealing::Clique, true) => "header of Clique, recorded",
        (Sealing::Clique, false) => "header of Clique, made",
    }
}

/// Each header but genesis, with the state that it is judged on.
fn follow(subject: &'static str, kind: Sealing, epoch: u64, headers: &[Vec<u8>]) -> Vec<Sealed> {
    let genesis = Header::parse(&headers[0]).unwrap();
    let mut budget = Budget::for_update();
    let (hash, mut rules) = match kind {
        Sealing::Bft(kind) => {
            let block = kind.read(genesis.clone()).unwrap();
            (block.hash(), Rules::Bft(bft::State::at_anchor(&block, epoch, None, &mut budget).unwrap()))
        }
        Sealing::Clique => {
            let block = clique::Block::read(genesis.clone()).unwrap();
            (block.hash(), Rules::Clique(clique::State::at_anchor(&block, epoch, None, &mut budget).unwrap()))
        }
    };
    let mut parent = Link::of(&genesis, hash);
    let mut all = Vec::new();
    for raw in &headers[1..] {
        let means = judge(kind, epoch, &parent, &rules, raw).unwrap_or_else(|no| panic!("{subject}: {no}"));
        let header = Header::parse(raw).unwrap();
        let hash = crate::ledger::hash(kind, &header);
        let next = Link::of(&header, hash);
        let after = means.after.clone();
        all.push(Sealed { subject, kind, epoch, parent, before: rules, raw: raw.clone(), means });
        (parent, rules) = (next, after);
    }
    all
}

/// As the light client does.
fn judge(kind: Sealing, epoch: u64, parent: &Link, rules: &Rules, raw: &[u8]) -> Result<Meaning, Rejection> {
    let header = Header::parse(raw)?;
    header.check_follows(parent)?;
    let mut budget = Budget::for_update();
    match (rules, kind) {
        (Rules::Bft(state), Sealing::Bft(kind)) => {
            let block = kind.read(header)?;
            let after = Rules::Bft(state.advance(&block, epoch, &mut budget)?);
            Ok(Meaning { identity: block.hash(), signer: None, after })
        }
        (Rules::Clique(state), _) => {
            let block = clique::Block::read(header)?;
            let (signer, after) = state.advance(&block, epoch, &mut budget)?;
            Ok(Meaning { identity: block.seal_digest(), signer: Some(signer), after: Rules::Clique(after) })
        }
        _ => unreachable!("rules are of the kind they were made for"),
    }
}

/// A header on its way to be another: its items, and those of its extraData where that is (or holds) a list.
struct Draft {
    items: Vec<Tree>,
    /// What stands in front of the list in extraData.
    vanity: Vec<u8>,
    extra: Option<Vec<Tree>>,
    kind: Sealing,
}

const EXTRA: usize = 12;
const NONCE: usize = 14;

impl Draft {
    fn open(kind: Sealing, raw: &[u8]) -> Self {
        let items = Tree::items(raw).unwrap();
        let Tree::String(extra) = &items[EXTRA] else { unreachable!("extraData is a string") };
        let before = if kind == Sealing::Bft(bft::Kind::Ibft1) { 32 } else { 0 };
        let vanity = extra[..before].to_vec();
        let extra = Tree::items(&extra[before..]).filter(|_| kind != Sealing::Clique);
        Self { items, vanity, extra, kind }
    }

    fn write(mut self) -> Vec<u8> {
        if let Some(extra) = self.extra {
            let list = Tree::List(extra).write();
            self.items[EXTRA] = Tree::String([self.vanity, list].concat());
        }
        Tree::List(self.items).write()
    }

    /// One of the lists of extraData: validators or seals.
    fn list(&mut self, seals: bool) -> Option<&mut Vec<Tree>> {
        let extra = self.extra.as_mut()?;
        let at = match (seals, self.kind) {
            (true, _) => extra.len().checked_sub(1)?,
            (false, Sealing::Bft(bft::Kind::Ibft1)) => 0,
            (false, _) => 1,
        };
        match extra.get_mut(at)? {
            Tree::List(list) => Some(list),
            _ => None,
        }
    }

    /// The bytes of a Clique extraData.
    fn bytes(&mut self) -> Option<&mut Vec<u8>> {
        match &mut self.items[EXTRA] {
            Tree::String(bytes) if self.kind == Sealing::Clique => Some(bytes),
            _ => None,
        }
    }
}

type Mutation = (&'static str, fn(&mut Draft, &Sealed, &mut Random));

const MUTATIONS: &[Mutation] = &[
    ("field changed", |draft, _, random| {
        let at = random.below(draft.items.len());
        if let Tree::String(bytes) = &mut draft.items[at] {
            random.flip(bytes);
        }
    }),
    ("field of another length", |draft, _, random| {
        let at = random.below(draft.items.len());
        if let Tree::String(bytes) = &mut draft.items[at] {
            random.disturb(bytes);
        }
    }),
    ("field of another header", |draft, other, random| {
        let theirs = Tree::items(&other.raw).unwrap();
        let at = random.below(draft.items.len().min(theirs.len()));
        draft.items[at] = theirs[at].clone();
        if at == EXTRA {
            *draft =
                Draft { extra: None, vanity: Vec::new(), items: std::mem::take(&mut draft.items), kind: draft.kind };
        }
    }),
    ("field more or fewer", |draft, _, random| {
        if random.coin() {
            draft.items.push(Tree::String(Vec::new()));
        } else if draft.items.len() > EXTRA + 1 {
            draft.items.pop();
        }
    }),
    ("time or gas changed", |draft, _, random| {
        // gasLimit, gasUsed, timestamp.
        let at = 9 + random.below(3);
        let bytes = random.next().to_be_bytes();
        let kept = random.below(8);
        draft.items[at] = Tree::String(bytes.into_iter().skip(kept).skip_while(|byte| *byte == 0).collect());
    }),
    ("seal left out", |draft, _, random| {
        if let Some(seals) = draft.list(true).filter(|seals| !seals.is_empty()) {
            let at = random.below(seals.len());
            seals.remove(at);
        }
    }),
    ("seal repeated", |draft, _, random| {
        if let Some(seals) = draft.list(true).filter(|seals| !seals.is_empty()) {
            let at = random.below(seals.len());
            seals.push(seals[at].clone());
        }
    }),
    ("seals in another order", |draft, _, random| {
        if let Some(seals) = draft.list(true).filter(|seals| !seals.is_empty()) {
            let (one, other) = (random.below(seals.len()), random.below(seals.len()));
            seals.swap(one, other);
        }
    }),
    ("seal in its other spelling", |draft, _, random| {
        if let Some(extra) = draft.bytes() {
            let start = extra.len().saturating_sub(65);
            twin(&mut extra[start..]);
        } else if let Some(seals) = draft.list(true).filter(|seals| !seals.is_empty()) {
            let at = random.below(seals.len());
            if let Tree::String(seal) = &mut seals[at] {
                twin(seal);
            }
        }
    }),
    ("seal changed", |draft, _, random| {
        if let Some(extra) = draft.bytes() {
            let start = extra.len().saturating_sub(65);
            random.flip(&mut extra[start..]);
        } else if let Some(seals) = draft.list(true).filter(|seals| !seals.is_empty()) {
            let at = random.below(seals.len());
            if let Tree::String(seal) = &mut seals[at] {
                random.flip(seal);
            }
        }
    }),
    ("seal of an outsider over this block", |draft, _, random| {
        let outsider = Key::number(200 + random.byte() % 50);
        if let Some(digest) = digest(draft)
            && let Some(seals) = draft.list(true)
        {
            seals.push(Tree::String(outsider.seal(&digest).as_bytes().to_vec()));
        }
    }),
    ("seals of another block", |draft, other, _| {
        let mut theirs = Draft::open(other.kind, &other.raw);
        if let (Some(theirs), Some(ours)) = (theirs.list(true), draft.list(true)) {
            ours.clone_from(theirs);
        }
    }),
    ("validator left out, repeated or swapped", |draft, _, random| {
        if let Some(list) = draft.list(false).filter(|list| !list.is_empty()) {
            let (one, other) = (random.below(list.len()), random.below(list.len()));
            match random.below(3) {
                0 => drop(list.remove(one)),
                1 => list.insert(one, list[other].clone()),
                _ => list.swap(one, other),
            }
        }
    }),
    ("validator that nobody voted for", |draft, _, random| {
        let newcomer = Tree::String(random.bytes(20));
        if let Some(list) = draft.list(false) {
            list.push(newcomer);
            list.sort_by_key(Tree::write);
        }
    }),
    ("item of extraData spoilt, more or fewer", |draft, _, random| {
        if let Some(extra) = &mut draft.extra {
            match random.below(3) {
                0 => extra.push(Tree::String(Vec::new())),
                1 => drop(extra.pop()),
                _ if extra.is_empty() => {}
                _ => {
                    let at = random.below(extra.len());
                    extra[at].spoil(random);
                }
            }
        } else if let Some(bytes) = draft.bytes() {
            random.disturb(bytes);
        }
    }),
    ("round or vote changed", |draft, _, random| {
        // On the kinds with five items: vote and round.
        if let Some(extra) = draft.extra.as_mut().filter(|extra| extra.len() == 5) {
            let at = 2 + random.below(2);
            extra[at] = match random.below(4) {
                0 => Tree::List(vec![Tree::String(random.bytes(20)), Tree::String(vec![0xff])]),
                1 => Tree::List(Vec::new()),
                2 => Tree::String(vec![0, 0, 0, random.byte()]),
                _ => Tree::String(vec![1 + random.byte() / 2]),
            };
        } else {
            draft.items[2] = Tree::String(random.bytes(20));
            if let Some(nonce) = draft.items.get_mut(NONCE) {
                *nonce = Tree::String(vec![if random.coin() { 0xff } else { 0 }; 8]);
            }
        }
    }),
    ("RLP not canonical", |draft, _, random| {
        let at = random.below(draft.items.len());
        if at != EXTRA || draft.extra.is_none() {
            draft.items[at].spoil(random);
        }
    }),
];

/// The other signature that names the same signer: n - s, and the other v.
fn twin(seal: &mut [u8]) {
    const ORDER: &str = "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141";
    if seal.len() != 65 {
        return;
    }
    let order = hex::decode(ORDER).unwrap();
    let mut borrow = 0i16;
    for at in (0..32).rev() {
        let value = i16::from(order[at]) - i16::from(seal[32 + at]) - borrow;
        borrow = i16::from(value < 0);
        seal[32 + at] = u8::try_from(value.rem_euclid(256)).unwrap();
    }
    seal[64] ^= 1;
}

/// What committed seals of the header as it stands must sign.
fn digest(draft: &Draft) -> Option<Hash32> {
    let Sealing::Bft(kind) = draft.kind else { return None };
    let (items, vanity, extra) = (draft.items.clone(), draft.vanity.clone(), draft.extra.clone());
    let raw = Draft { items, vanity, extra, kind: draft.kind }.write();
    Some(kind.read(Header::parse(&raw).ok()?).ok()?.seal_digest())
}

pub(crate) fn mutate(all: &[Sealed], random: &mut Random) -> Outcome {
    let valid = random.pick(all);
    let (mut raw, mut made) = (valid.raw.clone(), Vec::new());
    while raw == valid.raw {
        let mut draft = Draft::open(valid.kind, &valid.raw);
        made.clear();
        for _ in 0..=random.below(2) {
            let (name, mutation) = random.pick(MUTATIONS);
            let other = random.pick(all);
            mutation(&mut draft, other, random);
            made.push(*name);
        }
        raw = draft.write();
    }
    let verdict = match judge(valid.kind, valid.epoch, &valid.parent, &valid.before, &raw) {
        Err(no) => Verdict::Refused(no.reason()),
        Ok(means) if means == valid.means => Verdict::Equal,
        Ok(means) => {
            let due = valid.means.identity;
            Verdict::Wrong(format!("{} in place of {due}: {}", means.identity, hex::encode(&raw)))
        }
    };
    Outcome { group: "header", subject: valid.subject, made, verdict, forged_closes: false }
}
