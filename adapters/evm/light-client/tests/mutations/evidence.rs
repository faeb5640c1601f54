//! Mutations of a block's whole receipts, which must rebuild the root of its header.

use crate::captured::Captured;
use crate::random::Random;
use crate::report::{Outcome, Verdict};
use crate::tree::spoilt;
use hufu_evm_light_client::receipt::{Receipt, open_evidence, write_evidence};
use hufu_evm_light_client::{Hash32, rlp, trie};

pub(crate) struct Evidence {
    subject: &'static str,
    root: Hash32,
    receipts: Vec<Vec<u8>>,
}

impl Evidence {
    fn of(subject: &'static str, receipts: Vec<Vec<u8>>) -> Self {
        let root = trie::ordered_root(&receipts.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        Self { subject, root, receipts }
    }
}

pub(crate) fn gather(captured: Option<&Captured>) -> Vec<Evidence> {
    let mut all = Vec::new();
    for block in captured.map(Captured::ledgers).unwrap_or_default().into_iter().flat_map(|ledger| ledger.blocks) {
        let root = block.header.fields().receipts_root;
        if !block.receipts.is_empty() {
            let evidence = Evidence::of("whole receipts, recorded", block.receipts);
            assert_eq!(evidence.root, root);
            all.push(evidence);
        }
    }
    let mut random = Random::of(2, 1);
    for count in [0, 1, 2, 16, 130] {
        let receipts = (0..count).map(|_| receipt(&mut random)).collect();
        all.push(Evidence::of("whole receipts, made", receipts));
    }
    all
}

/// A receipt of any type with up to three logs.
fn receipt(random: &mut Random) -> Vec<u8> {
    let mut logs = Vec::new();
    for _ in 0..random.below(4) {
        let mut topics = Vec::new();
        (0..random.below(5)).for_each(|_| rlp::write_string(&random.hash(), &mut topics));
        let mut log = Vec::new();
        rlp::write_string(&random.bytes(20), &mut log);
        rlp::write_list(&topics, &mut log);
        let length = random.below(100);
        rlp::write_string(&random.bytes(length), &mut log);
        rlp::write_list(&log, &mut logs);
    }
    let mut items = Vec::new();
    rlp::write_u64(1, &mut items);
    rlp::write_u64(21_000 + random.next() % 1_000_000, &mut items);
    rlp::write_string(&random.bytes(256), &mut items);
    rlp::write_list(&logs, &mut items);
    let kind = u8::try_from(random.below(5)).unwrap();
    let mut out = if kind == 0 { Vec::new() } else { vec![kind] };
    rlp::write_list(&items, &mut out);
    out
}

type Mutation = (&'static str, fn(&mut Vec<Vec<u8>>, &[Evidence], &mut Random));

const MUTATIONS: &[Mutation] = &[
    ("receipt left out", |receipts, _, random| {
        let at = random.below(receipts.len());
        receipts.remove(at);
    }),
    ("receipt repeated", |receipts, _, random| {
        let (at, to) = (random.below(receipts.len()), random.below(receipts.len() + 1));
        receipts.insert(to, receipts[at].clone());
    }),
    ("receipts swapped", |receipts, _, random| {
        let (one, other) = (random.below(receipts.len()), random.below(receipts.len()));
        receipts.swap(one, other);
    }),
    ("receipt of another block", |receipts, all, random| {
        let at = random.below(receipts.len());
        let others = other(all, random);
        receipts[at] = random.pick(others).clone();
    }),
    ("bytes of a receipt disturbed", |receipts, _, random| {
        let at = random.below(receipts.len());
        random.disturb(&mut receipts[at]);
    }),
    ("type of a receipt changed", |receipts, _, random| {
        let at = random.below(receipts.len());
        match receipts[at].first() {
            Some(first) if *first < 0xc0 => drop(receipts[at].remove(0)),
            _ => receipts[at].insert(0, u8::try_from(random.below(5)).unwrap()),
        }
    }),
    ("RLP of a receipt not canonical", |receipts, _, random| {
        let at = random.below(receipts.len());
        let typed = receipts[at].first().is_some_and(|first| *first < 0xc0);
        let (kind, body) = receipts[at].split_at(usize::from(typed));
        receipts[at] = [kind, &spoilt(body, random)].concat();
    }),
    ("two receipts joined", |receipts, _, random| {
        let at = random.below(receipts.len());
        let next = receipts.get(at + 1).cloned().unwrap_or_default();
        receipts[at].extend(next);
        receipts.truncate(at + 1);
    }),
    ("receipts of another block", |receipts, all, random| *receipts = other(all, random).to_vec()),
];

/// The receipts of some block that has any.
fn other<'a>(all: &'a [Evidence], random: &mut Random) -> &'a [Vec<u8>] {
    let start = random.below(all.len());
    let mut from = all.iter().cycle().skip(start);
    &from.find(|evidence| !evidence.receipts.is_empty()).unwrap().receipts
}

pub(crate) fn mutate(all: &[Evidence], random: &mut Random) -> Outcome {
    let valid = random.pick(all);
    let honest = write_evidence(&valid.receipts);
    let (mut evidence, mut made) = (honest.clone(), Vec::new());
    while evidence == honest {
        (evidence, made) = changed(all, valid, random);
    }
    let verdict = match open(&evidence, valid.root) {
        Err(reason) => Verdict::Refused(reason),
        Ok(found) if found == valid.receipts => Verdict::Equal,
        Ok(found) => Verdict::Wrong(format!("{} other receipts under {}", found.len(), valid.root)),
    };
    Outcome { group: "whole receipts", subject: valid.subject, made, verdict, forged_closes: false }
}

fn changed(all: &[Evidence], valid: &Evidence, random: &mut Random) -> (Vec<u8>, Vec<&'static str>) {
    let mut receipts = valid.receipts.clone();
    let mut made = Vec::new();
    for _ in 0..=random.below(2) {
        if receipts.is_empty() {
            break;
        }
        let (name, mutation) = random.pick(MUTATIONS);
        mutation(&mut receipts, all, random);
        made.push(*name);
    }
    let mut evidence = write_evidence(&receipts);
    if made.is_empty() || random.below(4) == 0 {
        if random.coin() {
            random.disturb(&mut evidence);
            made.push("bytes of the evidence disturbed");
        } else {
            evidence = spoilt(&evidence, random);
            made.push("RLP of the evidence not canonical");
        }
    }
    (evidence, made)
}

/// As the light client does: the receipts that rebuild the root, each of them read.
fn open(evidence: &[u8], root: Hash32) -> Result<Vec<Vec<u8>>, &'static str> {
    let receipts = open_evidence(evidence, root).map_err(|fault| fault.reason())?;
    receipts.into_iter().map(|raw| Receipt::parse(raw).map(|_| raw.to_vec()).map_err(|fault| fault.reason())).collect()
}
