//! Damaged bytes: nothing panics, and no record with another id is ever believed.

use std::sync::LazyLock;

use hufu_gateway_verify::evidence;
use hufu_gateway_verify::page::BadEvidence;
use hufu_schemas_core::evidence::Evidence;
use hufu_schemas_core::limits::PageLimits;
use hufu_schemas_core::page::Page;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use crate::support::{Department, admitted_ids, families, registry};

/// A JSON value in which one text, number or list was changed.
fn damage(value: &mut Value, at: Index, byte: u8) {
    let mut pointers = Vec::new();
    collect(value, String::new(), &mut pointers);
    let Some(found) = value.pointer_mut(&pointers[at.index(pointers.len())]) else { return };
    *found = match found.take() {
        Value::String(text) => {
            let mut letters: Vec<char> = text.chars().collect();
            match letters.len() {
                0 => letters.push(char::from(byte)),
                count => letters[usize::from(byte) % count] = char::from(byte),
            }
            Value::String(letters.into_iter().collect())
        }
        Value::Number(number) => Value::from(number.as_u64().unwrap_or_default() ^ u64::from(byte)),
        Value::Array(mut items) if !items.is_empty() => {
            let count = items.len();
            match byte % 3 {
                0 => drop(items.remove(usize::from(byte) % count)),
                1 => items.swap(0, usize::from(byte) % count),
                _ => items.push(items[usize::from(byte) % count].clone()),
            }
            Value::Array(items)
        }
        _ => Value::from(byte),
    };
}

fn collect(value: &Value, at: String, pointers: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            (0..).zip(items).for_each(|(index, item): (usize, _)| collect(item, format!("{at}/{index}"), pointers));
        }
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            collect(member, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), pointers);
        }),
        _ => {}
    }
    pointers.push(at);
}

fn believes_only_what_is_true(
    department: &Department,
    bytes: &[u8],
    bad_evidence: BadEvidence,
) -> Result<(), TestCaseError> {
    let Ok(page) = Page::parse(bytes, &PageLimits::DEFAULT) else { return Ok(()) };
    let mut receiver = department.receiver();
    receiver.bad_evidence = bad_evidence;
    let Ok(verdict) = receiver.verify(&page) else { return Ok(()) };
    let honest = department.log.ids();
    for (index, id) in admitted_ids(&verdict.admission) {
        prop_assert_eq!(Some(&id), honest.get(&index), "leaf {}", index);
    }
    let leaves = verdict.admission.leaves();
    for (leaf, entry) in leaves.iter().zip(&department.log.entries) {
        prop_assert_eq!(&leaf.entry, entry);
    }
    Ok(())
}

static LAND: LazyLock<Department> = LazyLock::new(Department::publishing);

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_page_with_a_flipped_byte_admits_nothing_else(at in any::<Index>(), byte in any::<u8>(), hold in any::<bool>()) {
        let mut bytes = LAND.log.whole().to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        let bad_evidence = if hold { BadEvidence::Hold } else { BadEvidence::Refuse };
        believes_only_what_is_true(&LAND, &bytes, bad_evidence)?;
    }

    #[test]
    fn a_page_with_a_changed_part_admits_nothing_else(at in any::<Index>(), byte in any::<u8>(), hold in any::<bool>()) {
        let mut page: Value = serde_json::from_slice(&LAND.log.page(0..4).to_bytes()).unwrap();
        damage(&mut page, at, byte);
        let bad_evidence = if hold { BadEvidence::Hold } else { BadEvidence::Refuse };
        believes_only_what_is_true(&LAND, page.to_string().as_bytes(), bad_evidence)?;
    }

    #[test]
    fn an_evidence_file_with_a_flipped_byte_proves_nothing_else(at in any::<Index>(), byte in 1u8..) {
        let mut bytes = LAND.evidence(4).to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        proves_only_what_is_true(&bytes)?;
    }

    #[test]
    fn an_evidence_file_with_a_changed_part_proves_nothing_else(at in any::<Index>(), byte in any::<u8>()) {
        let mut file: Value = serde_json::from_slice(&LAND.evidence(4).to_bytes()).unwrap();
        damage(&mut file, at, byte);
        proves_only_what_is_true(file.to_string().as_bytes())?;
    }

    #[test]
    fn any_page_of_the_right_shape_is_judged_without_a_panic(
        from in any::<u64>(),
        entries in prop::collection::vec(any::<[u8; 64]>(), 1..8),
        opened in prop::collection::vec((0u64..8, "\\PC{0,60}"), 0..4),
        height in any::<u32>(),
        evidence in prop::collection::vec(any::<u8>(), 0..60),
        note in "\\PC{0,80}",
        join in prop::collection::vec(any::<[u8; 32]>(), 0..6),
        ours in any::<bool>(),
    ) {
        use hufu_schemas_core::lane::Entry;
        use hufu_schemas_core::page::{OpenedLeaf, PageBlock};
        use hufu_schemas_core::{BlockHash, Digest, Height};
        // Half of them carry an honest checkpoint and begin where they should, to get further.
        let page = Page {
            page: 1,
            lane: LAND.log.state.lane.clone(),
            from: if ours { 0 } else { from },
            entries: entries.iter().map(Entry::from_bytes).collect(),
            opened: opened.into_iter().map(|(index, statement)| OpenedLeaf { index, statement, record: None }).collect(),
            blocks: vec![PageBlock { height: Height::new(height.into()), hash: BlockHash::from_bytes([0; 32]), evidence }],
            documents: Vec::new(),
            checkpoint: if ours { LAND.log.note(6) } else { note },
            join: join.into_iter().map(Digest::from_bytes).collect(),
            seen: None,
        };
        prop_assert!(LAND.receiver().verify(&page).is_err());
        let _ = Page::parse(&page.to_bytes(), &PageLimits::DEFAULT);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Page::parse(&bytes, &PageLimits::DEFAULT);
        let _ = Evidence::parse(&bytes);
    }
}

fn proves_only_what_is_true(bytes: &[u8]) -> Result<(), TestCaseError> {
    let Ok(file) = Evidence::parse(bytes) else { return Ok(()) };
    let policy = LAND.receiver().rules.policy();
    let now = LAND.ledger.time().plus(60);
    let verdict = evidence::verify(&file, &policy, &families(), &registry(), now);
    prop_assert_eq!(verdict.record.is_some(), verdict.reason.is_none());
    if let Some(record) = verdict.record {
        prop_assert_eq!(&record.record().id().to_string(), &LAND.log.ids()[&4]);
    }
    Ok(())
}
