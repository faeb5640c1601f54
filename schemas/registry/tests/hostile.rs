//! Whatever JSON comes in, an answer comes out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at a broken fact"
)]

mod common;

use std::sync::LazyLock;

use common::{RECORDS, files, read};
use hufu_schemas_registry::{MAX_FAULTS, Registry};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

static REGISTRY: LazyLock<Registry> = LazyLock::new(common::registry);

static SAMPLES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    RECORDS.iter().flat_map(|name| files(&format!("records/{name}/samples/valid"))).map(|path| read(&path)).collect()
});

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        "[0-9A-Z]{18}".prop_map(Value::from),
        Just(json!("1.2.156.3005.2....")),
    ];
    let name = prop_oneof![
        ".{0,6}",
        prop::sample::select(vec![
            "body",
            "shares",
            "provenance",
            "subjects",
            "ref",
            "commitment",
            "payload",
            "payloadSchema"
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A valid sample with some values anywhere replaced: gets further in than noise does.
fn near_miss() -> impl Strategy<Value = Value> {
    (any::<prop::sample::Index>(), prop::collection::vec((any::<prop::sample::Index>(), any_json()), 1..4)).prop_map(
        |(which, changes)| {
            let mut sample = which.get(SAMPLES.as_slice()).clone();
            for (at, value) in changes {
                let mut pointers = Vec::new();
                collect(&sample, String::new(), &mut pointers);
                let pointer = at.get(&pointers).clone();
                if let Some(place) = sample.pointer_mut(&pointer) {
                    *place = value;
                }
            }
            sample
        },
    )
}

fn collect(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            collect(value, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found)
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| collect(value, format!("{at}/{index}"), found))
        }
        _ => {}
    }
    found.push(at);
}

fn answers(document: Value) {
    match REGISTRY.read(document) {
        Ok(record) => {
            REGISTRY.quality(&record);
        }
        Err(faults) => assert!((1..=MAX_FAULTS).contains(&faults.len())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn reading_never_panics_on_any_json(document in any_json()) {
        answers(document);
    }

    #[test]
    fn reading_never_panics_on_near_misses(document in near_miss()) {
        answers(document);
    }

    #[test]
    fn conform_never_panics_on_any_draft(document in near_miss(), body in any_json()) {
        let envelope = document.as_object().cloned().unwrap_or_else(Map::new);
        match REGISTRY.conform(envelope, body) {
            Ok(record) => prop_assert_eq!(REGISTRY.check(&record.to_json()), vec![]),
            Err(faults) => prop_assert!((1..=MAX_FAULTS).contains(&faults.len())),
        }
    }

    #[test]
    fn loading_never_panics_on_any_schema(properties in any_json(), keyword in "[a-zA-Z$]{1,8}", value in any_json()) {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "urn:x:1", "type": "object",
            "properties": properties, "additionalProperties": false, "$defs": {"a": value.clone()}, (keyword): value
        });
        let _ = Registry::builtin().unwrap().with_department_schemas(vec![("x".to_owned(), schema)]);
    }
}
