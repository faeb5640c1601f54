//! Mutations of whole `eth_getProof` answers: what a node claims beside its proofs, and proofs put in each other's place.

use crate::captured::{self, Captured};
use crate::random::Random;
use crate::report::{Outcome, Verdict};
use crate::tree::spoilt;
use hufu_adapters_light_client::Budget;
use hufu_evm_light_client::get_proof::{GetProof, ProvenState};
use hufu_evm_light_client::{Address, Fault, Hash32};
use serde_json::{Value, json};

const SUBJECT: &str = "answer to eth_getProof, captured";

/// An answer, and what it proves of what was asked.
pub(crate) struct Answered {
    root: Hash32,
    address: Address,
    slots: Vec<Hash32>,
    answer: Value,
    proves: ProvenState,
}

pub(crate) fn gather(captured: Option<&Captured>) -> Vec<Answered> {
    let answers = captured.map(Captured::answers).unwrap_or_default();
    let open = |(root, answer): (Hash32, Value)| {
        let address = captured::address(&answer["address"]);
        let entries = answer["storageProof"].as_array().unwrap();
        let slots: Vec<Hash32> = entries.iter().map(|entry| captured::word(&entry["key"])).collect();
        let proves = verify(root, address, &slots, &answer).unwrap();
        Answered { root, address, slots, answer, proves }
    };
    answers.into_iter().map(open).collect()
}

fn verify(root: Hash32, address: Address, slots: &[Hash32], answer: &Value) -> Result<ProvenState, Fault> {
    let parsed = GetProof::parse(answer.to_string().as_bytes())?;
    parsed.verify(root, address, slots, &mut Budget::for_evidence())
}

type Mutation = (&'static str, fn(&mut Value, &[Answered], &mut Random));

const MUTATIONS: &[Mutation] = &[
    ("a claim of the account changed", |answer, _, random| {
        let field = *random.pick(&["balance", "nonce", "codeHash", "storageHash", "address"]);
        digit(&mut answer[field], random);
    }),
    ("a claim of another account", |answer, all, random| {
        let field = *random.pick(&["balance", "nonce", "codeHash", "storageHash", "address", "accountProof"]);
        answer[field] = random.pick(all).answer[field].clone();
    }),
    ("a claim written with zeros in front", |answer, _, random| {
        let field = *random.pick(&["balance", "nonce"]);
        let padded = answer[field].as_str().unwrap_or_default().replacen("0x", "0x0", 1);
        answer[field] = json!(padded);
    }),
    ("a claim left out", |answer, _, random| {
        let field = *random.pick(&["balance", "nonce", "codeHash", "storageHash", "accountProof", "storageProof"]);
        answer.as_object_mut().unwrap().remove(field);
    }),
    ("value or key of a slot changed", |answer, _, random| {
        if let Some(entry) = entry(answer, random) {
            digit(&mut entry[if random.coin() { "value" } else { "key" }], random);
        }
    }),
    ("value of a slot put to zero", |answer, _, random| {
        if let Some(entry) = entry(answer, random) {
            entry["value"] = json!("0x0");
        }
    }),
    ("proof of a slot emptied", |answer, _, random| {
        if let Some(entry) = entry(answer, random) {
            entry["proof"] = json!([]);
        }
    }),
    ("proofs of two slots swapped", |answer, _, random| {
        let Some(entries) = answer.get_mut("storageProof").and_then(Value::as_array_mut) else { return };
        if entries.is_empty() {
            return;
        }
        let (one, other) = (random.below(entries.len()), random.below(entries.len()));
        let field = *random.pick(&["proof", "key", "value"]);
        let kept = entries[one][field].take();
        let theirs = std::mem::replace(&mut entries[other][field], kept);
        // Of one and the same entry, its own comes back.
        if one != other {
            entries[one][field] = theirs;
        }
    }),
    ("slots left out, repeated or turned round", |answer, _, random| {
        let Some(entries) = answer.get_mut("storageProof").and_then(Value::as_array_mut) else { return };
        match random.below(3) {
            0 => drop(entries.pop()),
            1 => entries.extend(entries.first().cloned()),
            _ => entries.reverse(),
        }
    }),
    ("a node changed, spoilt, dropped or repeated", |answer, _, random| {
        let own = random.coin();
        let list = if own { answer.get_mut("accountProof") } else { entry(answer, random).map(|it| &mut it["proof"]) };
        let Some(nodes) = list.and_then(Value::as_array_mut).filter(|nodes| !nodes.is_empty()) else { return };
        let at = random.below(nodes.len());
        match random.below(4) {
            0 => digit(&mut nodes[at], random),
            1 => {
                let raw = spoilt(&captured::bytes(&nodes[at]), random);
                nodes[at] = json!(format!("0x{}", hex::encode(raw)));
            }
            2 => drop(nodes.remove(at)),
            _ => nodes.insert(at, nodes[at].clone()),
        }
    }),
    ("digits in capitals", |answer, _, random| {
        let field = *random.pick(&["balance", "nonce", "codeHash", "storageHash"]);
        let capitals = answer[field].as_str().unwrap_or_default().to_uppercase().replace("0X", "0x");
        answer[field] = json!(capitals);
    }),
];

/// Changes one hex digit of a text.
fn digit(value: &mut Value, random: &mut Random) {
    let Some(text) = value.as_str().filter(|text| text.len() > 2) else { return };
    let at = 2 + random.below(text.len() - 2);
    let digit = char::from(*random.pick(b"0123456789abcdef"));
    let changed: String = text.chars().enumerate().map(|(place, old)| if place == at { digit } else { old }).collect();
    *value = json!(changed);
}

fn entry<'v>(answer: &'v mut Value, random: &mut Random) -> Option<&'v mut Value> {
    let entries = answer.get_mut("storageProof")?.as_array_mut()?;
    if entries.is_empty() {
        return None;
    }
    let at = random.below(entries.len());
    entries.get_mut(at)
}

pub(crate) fn mutate(all: &[Answered], random: &mut Random) -> Outcome {
    let valid = random.pick(all);
    let mut made = Vec::new();
    let mut answer = valid.answer.clone();
    while answer == valid.answer {
        answer = valid.answer.clone();
        made.clear();
        for _ in 0..=random.below(2) {
            let (name, mutation) = random.pick(MUTATIONS);
            mutation(&mut answer, all, random);
            made.push(*name);
        }
    }
    let verdict = match verify(valid.root, valid.address, &valid.slots, &answer) {
        Err(fault) => Verdict::Refused(fault.reason()),
        Ok(proves) if proves == valid.proves => Verdict::Equal,
        Ok(proves) => Verdict::Wrong(format!("{proves:?} in place of {:?} from {answer}", valid.proves)),
    };
    Outcome { group: "answer", subject: SUBJECT, made, verdict, forged_closes: false }
}
