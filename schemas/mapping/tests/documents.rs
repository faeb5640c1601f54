//! Documents as a whole: what is refused, what is applied, and that both forms are one mapping.

// Helpers of tests stop a test the same way the tests themselves do; clippy.toml lets only `#[test]` functions.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use hufu_schemas_mapping::{Applied, ErrorCode, FaultCode, Mapping, MappingError, Severity, limits};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A small mapping in which every part of a document stands.
fn document() -> Value {
    json!({
        "mapping": "1",
        "id": "test.mapping",
        "version": "1.0.0",
        "source": {"family": "simulated", "abi": [
            {"type": "event", "name": "Changed", "inputs": [{"name": "number"}, {"name": "state"}, {"name": "phone"}]},
        ]},
        "target": {"type": "e-certificate", "schema": "1.0"},
        "tables": {"state": {"01": "active", "02": "suspended"}},
        "rules": [{
            "when": [{"path": "/event", "equals": "Changed"}],
            "set": {
                "/key": {"path": "/args/number", "do": ["trim"]},
                "/event": {"const": "issue"},
                "/issuer": {"const": {"kind": "government", "name": "N", "uscc": "91350100M000100Y43"}},
                "/jurisdiction/code": {"const": "350100"},
                "/subjects/0": {"const": {"role": "holder", "kind": "org", "scheme": "cn-uscc", "ref": "91440604MA40000040"}},
                "/occurredAt": {"path": "/time"},
                "/status/state": {"path": "/args/state", "table": "state", "keep": "/status/sourceCode"},
                "/status/since": {"path": "/time"},
                "/sharing/class": {"const": "conditional"},
                "/sharing/basis": {"const": "B"},
                "/sharing/openToPublic": {"const": false},
                "/sensitivity": {"const": {"grade": "general", "level": 3, "personalInfo": "none", "minor": false}},
                "/body/number": {"path": "/args/number", "do": ["trim", "upper"]},
            },
            "drop": ["/args/phone"],
            "unmapped": "error",
        }],
        "tests": [{
            "name": "not ours", "input": {"event": "Other"}, "expectNotMatched": true,
        }],
    })
}

fn event() -> Value {
    json!({"event": "Changed", "time": "2026-11-21T03:00:00Z", "args": {"number": " a-1 ", "state": "02", "phone": "0"}})
}

/// The document with another value at a place; the place's last member may be new.
fn with(pointer: &str, value: Value) -> Value {
    let mut changed = document();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/").replace("~0", "~");
    let parent = changed.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        Value::Object(members) => drop(members.insert(name, value)),
        _ => panic!("{pointer} has no container"),
    }
    changed
}

fn with_target(target: &str, source: Value) -> Value {
    with(&format!("/rules/0/set/{}", target.replace('/', "~1")), source)
}

fn mapping(document: &Value) -> Mapping {
    Mapping::from_canonical(document).unwrap_or_else(|errors| panic!("{errors:?}"))
}

fn refused(document: &Value) -> MappingError {
    Mapping::from_canonical(document).expect_err("a faulty document").remove(0)
}

fn draft(document: &Value, input: &Value) -> Value {
    match mapping(document).apply(input).unwrap() {
        Applied::Draft(draft) => draft.json,
        Applied::NotMatched { reason } => panic!("{reason}"),
    }
}

fn fault(document: &Value, input: &Value) -> (FaultCode, String) {
    let fault = mapping(document).apply(input).unwrap_err();
    (fault.code, fault.path)
}

#[test]
fn an_event_becomes_a_draft() {
    let draft = draft(&document(), &event());
    assert_eq!(draft["recordKey"], "e-certificate:91350100M000100Y43:a-1");
    assert_eq!(draft["status"], json!({"state": "suspended", "sourceCode": "02", "since": "2026-11-21T03:00:00Z"}));
    assert_eq!(draft["body"], json!({"number": "A-1"}));
}

#[test]
fn an_event_that_no_rule_is_for_is_not_a_fault() {
    let applied = mapping(&document()).apply(&json!({"event": "Other"})).unwrap();
    assert!(matches!(applied, Applied::NotMatched { .. }));
}

#[test]
fn rules_are_tried_in_order_and_the_first_wins() {
    let mut two = document();
    let mut second = two["rules"][0].clone();
    second["set"]["/event"] = json!({"const": "update"});
    two["rules"][0]["when"] = json!([{"path": "/args/state", "in": ["01"]}, {"path": "/args/phone", "present": true}]);
    two["rules"].as_array_mut().unwrap().push(second);
    let mut input = event();
    assert_eq!(draft(&two, &input)["event"], "update");
    input["args"]["state"] = json!("01");
    assert_eq!(draft(&two, &input)["event"], "issue");
    input["args"]["phone"] = json!("");
    assert_eq!(draft(&two, &input)["event"], "update");
}

#[test]
fn unmapped_field_is_an_error() {
    let mut input = event();
    input["args"]["idNumber"] = json!("x");
    assert_eq!(fault(&document(), &input), (FaultCode::Unmapped, "/args/idNumber".into()));
    let lenient = with("/rules/0/unmapped", json!("drop"));
    assert_eq!(draft(&lenient, &input)["body"], json!({"number": "A-1"}));
    assert_eq!(refused(&with("/rules/0/unmapped", json!("ext"))).code, ErrorCode::Form);
    let mut unsaid = document();
    unsaid["rules"][0].as_object_mut().unwrap().remove("unmapped");
    assert_eq!(refused(&unsaid).code, ErrorCode::MissingMember);
}

#[test]
fn mapping_that_writes_provenance() {
    for target in [
        "/provenance/height",
        "/provenance",
        "/commitment/value",
        "/recordId",
        "/envelope",
        "/schema/id",
        "/type",
        "/recordedAt",
        "/recordKey",
        "/quality/0",
        "/attestations/0",
        "/unheard-of",
    ] {
        let error = refused(&with_target(target, json!({"const": "x"})));
        assert_eq!(error.code, ErrorCode::ForbiddenTarget, "{target}");
        let kept = json!({"path": "/args/state", "table": "state", "keep": target});
        assert_eq!(refused(&with_target("/status/state", kept)).code, ErrorCode::ForbiddenTarget, "{target}");
    }
    assert!(Mapping::from_canonical(&with_target("", json!({"const": {}}))).is_err());
}

#[test]
fn mapping_that_loosens_sharing() {
    for (target, source) in [
        ("/sharing/class", json!({"path": "/args/state"})),
        ("/sharing/class", json!({"path": "/args/state", "default": "conditional"})),
        ("/sharing/basis", json!({"concat": [{"path": "/args/state"}]})),
        ("/sensitivity", json!({"path": "/args/state"})),
        ("/sharing/openToPublic", json!({"const": true})),
        ("/sharing/openToPublic", json!({"path": "/args/state", "table": "open"})),
        ("/status/state", json!({"path": "/args/state", "table": "state", "keep": "/sharing/conditions"})),
    ] {
        let mut changed = with_target(target, source.clone());
        changed["tables"]["open"] = json!({"01": true, "02": false});
        assert_eq!(refused(&changed).code, ErrorCode::LoosenedSharing, "{target}: {source}");
    }
    let whole = json!({"const": {"class": "prohibited", "openToPublic": true}});
    let mut changed = with_target("/sharing", whole);
    for target in ["/sharing/class", "/sharing/basis", "/sharing/openToPublic"] {
        changed["rules"][0]["set"].as_object_mut().unwrap().remove(target);
    }
    assert_eq!(refused(&changed).code, ErrorCode::LoosenedSharing);
}

#[test]
fn tables_that_loosen_sharing_together() {
    let mut changed = with_target("/sharing/class", json!({"path": "/args/state", "table": "class"}));
    changed["rules"][0]["set"]["/sharing/openToPublic"] = json!({"path": "/args/state", "table": "open"});
    changed["tables"]["class"] = json!({"01": "unconditional", "02": "conditional"});
    changed["tables"]["open"] = json!({"01": true, "02": true});
    assert_eq!(fault(&changed, &event()), (FaultCode::Sharing, "/sharing/openToPublic".into()));
    let mut input = event();
    input["args"]["state"] = json!("01");
    assert_eq!(draft(&changed, &input)["sharing"]["openToPublic"], true);
}

#[test]
fn a_key_that_speaks_for_another_issuer() {
    let from_ledger = {
        let mut changed = with_target("/issuer/uscc", json!({"path": "/args/phone"}));
        changed["rules"][0]["set"].as_object_mut().unwrap().remove("/issuer");
        changed
    };
    for text in ["91350100M000100Y43:e", "91350100M000100Y4", "91350100m000100y43", "x:y:z:91350100M0001"] {
        let mut input = event();
        input["args"]["phone"] = json!(text);
        assert_eq!(fault(&from_ledger, &input), (FaultCode::Key, "/issuer/uscc".into()), "{text}");
    }
    // What stands behind the second colon is the key's own: it cannot reach the issuer's place.
    let mut input = event();
    input["args"]["number"] = json!("91440604MA40000040:1");
    assert_eq!(draft(&document(), &input)["recordKey"], "e-certificate:91350100M000100Y43:91440604MA40000040:1");
    for text in ["a\u{0}b", "a\nb", &"x".repeat(limits::MAX_KEY_CHARS + 1)] {
        input["args"]["number"] = json!(text);
        assert_eq!(fault(&document(), &input).0, FaultCode::Key, "{text:?}");
    }
    input["args"]["number"] = json!("");
    assert_eq!(fault(&with_target("/body/number", json!({"const": "x"})), &input), (FaultCode::Missing, "/key".into()));
}

#[test]
fn a_fault_never_repeats_what_the_ledger_said() {
    // Split, so that no fixture of this folder reads as a person's number.
    let secret = concat!("SECRET-440524", "188001010014");
    let mut document = document();
    for operation in [
        json!("int"),
        json!("decimal"),
        json!("bool"),
        json!("json-parse"),
        json!({"date": "%Y%m%d"}),
        json!({"epoch": "s"}),
        json!({"bytes": "hex"}),
        json!({"bytes": "base64"}),
        json!({"regex-extract": "^[0-9]+$"}),
        json!({"cert-id-split": "key"}),
        json!({"division-of": "uscc"}),
        json!({"division-of": "unit"}),
        json!({"pick": 0}),
        json!({"shift": 1}),
        json!("hex"),
    ] {
        document["rules"][0]["set"]["/body/number"] = json!({"path": "/args/number", "do": [operation]});
        let mut input = event();
        input["args"]["number"] = json!(secret);
        let text = mapping(&document).apply(&input).unwrap_err().to_string();
        assert!(!text.contains(secret) && !text.contains("4405"), "{text}");
    }
    document["rules"][0]["set"]["/body/number"] = json!({"path": "/args/number", "table": "state"});
    let mut input = event();
    input["args"]["number"] = json!(secret);
    assert!(!mapping(&document).apply(&input).unwrap_err().to_string().contains(secret));
}

#[test]
fn documents_that_are_not_whole() {
    for (pointer, value, code) in [
        ("/mapping", json!("2"), ErrorCode::Form),
        ("/id", json!("Not An Id"), ErrorCode::Form),
        ("/version", json!("1.0"), ErrorCode::Form),
        ("/version", json!("1.00.0"), ErrorCode::Form),
        ("/source", json!({"contract": "x"}), ErrorCode::MissingMember),
        ("/target", json!({"type": "e-certificate", "schema": 1}), ErrorCode::Form),
        ("/tables", json!({"state": {"01": ["active"]}}), ErrorCode::Form),
        ("/tables", json!({}), ErrorCode::UnknownTable),
        ("/rules", json!([]), ErrorCode::Form),
        ("/rules", json!({}), ErrorCode::Form),
        ("/onError", json!("flag"), ErrorCode::UnknownMember),
        ("/rules/0/when", json!([{"path": "/event"}]), ErrorCode::Form),
        ("/rules/0/when", json!([{"path": "/event", "equals": {"a": 1}}]), ErrorCode::Form),
        ("/rules/0/when", json!([{"path": "event", "equals": "x"}]), ErrorCode::Pointer),
        ("/rules/0/drop", json!(["args"]), ErrorCode::Pointer),
        ("/tests", json!([{"name": "x", "input": {}}]), ErrorCode::Form),
        (
            "/tests",
            json!([{"name": "x", "input": {}, "expectError": {"path": "/x", "code": "dates"}}]),
            ErrorCode::Form,
        ),
    ] {
        assert_eq!(refused(&with(pointer, value.clone())).code, code, "{pointer}: {value}");
    }
    assert_eq!(refused(&with_target("/body/number/deeper", json!({"const": 1}))).code, ErrorCode::Conflict);
    assert_eq!(refused(&with_target("/subjects/2", json!({"const": 1}))).code, ErrorCode::Conflict);
    assert_eq!(
        refused(&with_target("/body/x", json!({"path": "/a", "do": ["now"]}))).code,
        ErrorCode::RefusedOperation
    );
    assert_eq!(
        refused(&with_target("/body/x", json!({"path": "/a", "do": ["trimm"]}))).code,
        ErrorCode::UnknownOperation
    );
    for gone in ["/key", "/issuer"] {
        let mut changed = document();
        changed["rules"][0]["set"].as_object_mut().unwrap().remove(gone);
        assert_eq!(refused(&changed).code, ErrorCode::MissingMember, "{gone}");
    }
}

#[test]
fn oversize_and_deep_documents_are_refused_in_both_forms() {
    let wide = with("/source/more", json!(vec![0; limits::MAX_DOCUMENT_NODES]));
    assert_eq!(refused(&wide).code, ErrorCode::Limit);
    let deep = (0..limits::MAX_DOCUMENT_DEPTH).fold(json!(0), |inner, _| json!([inner]));
    assert_eq!(refused(&with("/source/more", deep)).code, ErrorCode::Limit);
    let long = with("/source/more", json!(vec!["x".repeat(60_000); 5]));
    assert_eq!(refused(&long).code, ErrorCode::Limit);
    let fraction = with("/source/more", json!(9_007_199_254_740_993_i64));
    assert_eq!(refused(&fraction).code, ErrorCode::Limit);
    let rules = vec![document()["rules"][0].clone(); limits::MAX_RULES + 1];
    assert_eq!(refused(&with("/rules", json!(rules))).code, ErrorCode::Limit);
    let yaml = format!("mapping: \"1\"\nsource: {}", "[".repeat(100));
    assert_eq!(Mapping::parse_yaml("deep.yaml", yaml.as_bytes()).unwrap_err()[0].code, ErrorCode::Limit);
    let big = vec![b' '; limits::MAX_DOCUMENT_BYTES + 1];
    assert_eq!(Mapping::parse_yaml("big.yaml", &big).unwrap_err()[0].code, ErrorCode::Limit);
}

#[test]
fn the_document_in_the_crate_s_own_words_is_one() {
    let words = include_str!("../src/lib.rs");
    let block = words.lines().skip_while(|line| *line != "//! ```yaml").skip(1).take_while(|line| *line != "//! ```");
    let text: Vec<_> = block.map(|line| line.trim_start_matches("//!").strip_prefix(' ').unwrap_or("")).collect();
    let mapping =
        Mapping::parse_yaml("lib.rs", text.join("\n").as_bytes()).unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert!(mapping.run_tests().iter().all(|outcome| outcome.passed));
    assert_eq!(mapping.run_tests().len(), 1);
}

#[test]
fn errors_name_file_line_column_and_pointer() {
    let yaml = "mapping: \"1\"\nid: test\nversion: 1.0.0\nsource: {family: x}\ntarget: {type: t, schema: \"1.0\"}\nrules:\n  - when: []\n    \
                set:\n      /key: {path: /a}\n      /issuer/uscc: {path: /b, do: [trim, uper]}\n    unmapped: error\n";
    let errors = Mapping::parse_yaml("land.yaml", yaml.as_bytes()).unwrap_err();
    assert_eq!(errors.len(), 1);
    let error = &errors[0];
    assert_eq!((error.line, error.column), (Some(10), Some(43)));
    assert_eq!(error.pointer, "/rules/0/set/~1issuer~1uscc/do/1");
    let text = error.to_string();
    assert!(text.starts_with("land.yaml:10:43: /rules/0/set/~1issuer~1uscc/do/1: expected one of trim, "), "{text}");
}

#[test]
fn all_faults_come_at_once_in_the_order_of_the_file() {
    let yaml =
        "version: 1\nid: Bad Id\nmapping: \"1\"\nrules: []\ntarget: {type: t, schema: \"1.0\"}\nsource: {family: x}\n";
    let errors = Mapping::parse_yaml("x.yaml", yaml.as_bytes()).unwrap_err();
    let lines: Vec<_> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [Some(1), Some(2), Some(4)]);
}

#[test]
fn tests_stay_out_of_the_digest_and_nothing_else_does() {
    let whole = mapping(&document());
    let mut bare = document();
    bare.as_object_mut().unwrap().remove("tests");
    assert_eq!(mapping(&bare).digest(), whole.digest());
    assert_eq!(whole.document(), &bare);
    for (pointer, value) in [
        ("/version", json!("1.0.1")),
        ("/source/family", json!("other")),
        ("/tables/state/01", json!("lapsed")),
        ("/rules/0/unmapped", json!("drop")),
        ("/rules/0/drop", json!([])),
    ] {
        assert_ne!(mapping(&with(pointer, value)).digest(), whole.digest(), "{pointer}");
    }
}

#[test]
fn one_digest_is_one_behaviour() {
    let whole = with("/rules/0/when", json!([{"path": "/n", "equals": 1.0}]));
    let integer = with("/rules/0/when", json!([{"path": "/n", "equals": 1}]));
    assert_eq!(mapping(&whole).digest(), mapping(&integer).digest());
    let mut input = event();
    input["n"] = json!(1);
    assert_eq!(mapping(&whole).apply(&input), mapping(&integer).apply(&input));
    assert_eq!(draft(&whole, &input)["event"], "issue");
}

#[test]
fn a_test_that_fails_says_where() {
    let expected = json!({"event": "Changed"});
    let tests = json!([
        {"name": "wrong draft", "input": event(), "expect": expected},
        {"name": "no fault", "input": event(), "expectError": {"path": "/x", "code": "date"}},
        {"name": "wrong place", "input": {"event": "Changed"}, "expectError": {"path": "/nowhere", "code": "missing"}},
        {"name": "matched", "input": event(), "expectNotMatched": true},
    ]);
    let outcomes = mapping(&with("/tests", tests)).run_tests();
    assert_eq!(outcomes.len(), 4);
    for outcome in outcomes {
        assert!(!outcome.passed, "{}", outcome.name);
        assert!(outcome.detail.is_some_and(|detail| detail.contains("expected")), "{}", outcome.name);
    }
}

fn findings(document: &Value, schema: Option<&Value>) -> Vec<(Severity, &'static str, String)> {
    let found = mapping(document).check(schema);
    found.into_iter().map(|finding| (finding.severity, finding.code, finding.subject)).collect()
}

#[test]
fn check_sees_what_a_reviewer_should() {
    assert_eq!(findings(&document(), None), []);
    let unread = with("/rules/0/drop", json!([]));
    assert_eq!(findings(&unread, None), [(Severity::Error, "unread-field", "/args/phone".into())]);
    let unknown = with_target("/body/more", json!({"path": "/args/none"}));
    assert_eq!(findings(&unknown, None), [(Severity::Error, "unknown-field", "/args/none".into())]);
    let event = with("/rules/0/when", json!([{"path": "/event", "equals": "Renamed"}]));
    let expected = [
        (Severity::Error, "unknown-event", "/event".into()),
        (Severity::Warning, "event-without-rule", "Changed".into()),
    ];
    assert_eq!(findings(&event, None), expected);
    let table = with("/tables/spare", json!({"1": "x"}));
    assert_eq!(findings(&table, None), [(Severity::Warning, "unused-table", "spare".into())]);
    let person = with_target("/subjects/1/kind", json!({"const": "person"}));
    assert_eq!(findings(&person, None), [(Severity::Error, "named-person", "/subjects/1".into())]);
    let optional = with_target("/occurredAt", json!({"path": "/time", "optional": true}));
    assert_eq!(findings(&optional, None), [(Severity::Warning, "optional-target", "/occurredAt".into())]);
    let mut gone = document();
    gone["rules"][0]["set"].as_object_mut().unwrap().remove("/sensitivity");
    let found = findings(&gone, None);
    assert_eq!(found.len(), 4);
    assert!(found.contains(&(Severity::Error, "missing-target", "/sensitivity/minor".into())));
}

#[test]
fn check_reads_the_body_schema() {
    let schema = json!({
        "type": "object", "required": ["number", "area", "name"], "additionalProperties": false,
        "properties": {"number": {}, "name": {}, "area": {"$ref": "#/$defs/area"}},
        "$defs": {"area": {"type": "object", "required": ["value", "unit"], "additionalProperties": false,
            "properties": {"value": {}, "unit": {}}}},
    });
    let mut changed = with_target("/body/area/value", json!({"path": "/args/number"}));
    changed["rules"][0]["set"]["/body/extra"] = json!({"const": 1});
    let expected = [
        (Severity::Error, "missing-target", "/body/name".into()),
        (Severity::Error, "unknown-target", "/body/extra".into()),
        (Severity::Error, "missing-target", "/body/area/unit".into()),
    ];
    assert_eq!(findings(&changed, Some(&schema)), expected);
    let cyclic = json!({"properties": {"area": {"$ref": "#"}}, "$ref": "#", "required": ["area"]});
    assert!(!findings(&changed, Some(&cyclic)).is_empty());
}

#[test]
fn explain_shows_where_a_value_comes_from() {
    let lineage = mapping(&document()).explain();
    let of = |target: &str| lineage.iter().find(|line| line.target == target).cloned().unwrap();
    assert_eq!(of("/body/number").from, ["/args/number"]);
    assert_eq!(of("/body/number").ops, ["trim", "upper"]);
    assert_eq!(of("/status/state").ops, ["table state"]);
    assert_eq!(of("/status/sourceCode").from, ["/args/state"]);
    assert_eq!(of("/event").constant, Some(json!("issue")));
    assert_eq!(of("/key").from, ["/args/number"]);
}

/// YAML in a layout of its own: block or flow, keys in another order, every text quoted.
fn yaml(value: &Value, indent: usize, reversed: bool, flow: bool) -> String {
    let pad = " ".repeat(indent);
    match value {
        Value::Object(members) if !members.is_empty() => {
            let mut entries: Vec<_> = members.iter().collect();
            if reversed {
                entries.reverse();
            }
            if flow {
                let inner: Vec<_> = entries
                    .iter()
                    .map(|(key, value)| format!("{}: {}", json!(key), yaml(value, 0, reversed, true)))
                    .collect();
                return format!("{{ {} }}", inner.join(" , "));
            }
            let lines = entries
                .iter()
                .map(|(key, value)| format!("\n{pad}{}:  {}", json!(key), yaml(value, indent + 3, reversed, false)));
            lines.collect()
        }
        Value::Array(items) if !items.is_empty() => {
            if flow {
                let inner: Vec<_> = items.iter().map(|item| yaml(item, 0, reversed, true)).collect();
                return format!("[{}]", inner.join(","));
            }
            items.iter().map(|item| format!("\n{pad}- {}", yaml(item, indent + 2, reversed, false))).collect()
        }
        other => other.to_string(),
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53) + 1..1_i64 << 53).prop_map(Value::from),
        "[-0-9A-Za-z:/年. \"\\\\]{0,12}".prop_map(Value::from),
        prop::sample::select(vec!["Changed", "01", "20230403", "91350100M000100Y43", "true", "{\"a\":[1]}"])
            .prop_map(Value::from),
    ]
}

fn any_json() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(4, 40, 5, |inner| {
        let name = prop::sample::select(vec!["event", "args", "a", "b", "0", "time", "a/b"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner, 0..5).prop_map(|members| Value::Object(
                members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>()
            )),
        ]
    })
}

/// An event of the usual shape, or anything at all.
fn any_event() -> impl Strategy<Value = Value> {
    let usual = (scalar(), any_json(), any_json(), scalar())
        .prop_map(|(event, one, other, time)| json!({"event": event, "args": {"a": one, "b": other}, "time": time}));
    prop_oneof![3 => usual, 1 => any_json()]
}

fn any_pointer() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec!["event", "args", "a", "b", "0", "1", "time", "a~1b"]);
    let any = prop::collection::vec(token, 0..4);
    let any = any.prop_map(|tokens| tokens.iter().map(|token| format!("/{token}")).collect());
    let usual = prop::sample::select(vec!["/event", "/args/a", "/args/b", "/time"]).prop_map(str::to_owned);
    prop_oneof![4 => usual, 1 => any]
}

fn any_operation() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!("trim"),
        json!("upper"),
        json!("nfkc"),
        json!("int"),
        json!("bigint"),
        json!("decimal"),
        json!("bool"),
        json!("json-parse"),
        json!("hex"),
        json!("base64"),
        json!("text"),
        json!({"strip": "-"}),
        json!({"split": ","}),
        json!({"pick": 0}),
        json!({"pick": "/a/0"}),
        json!({"join": ""}),
        json!({"regex-extract": "([0-9]+)"}),
        json!({"shift": -3}),
        json!({"date": "%Y%m%d"}),
        json!({"datetime": {"format": "%Y%m%d", "tz": "+08:00"}}),
        json!({"epoch": "ms"}),
        json!({"bytes": "hex"}),
        json!({"bytes": "utf8"}),
        json!({"digest": "sha-256"}),
        json!({"cert-id-split": "class"}),
        json!({"division-of": "uscc"}),
        json!("subject"),
        json!({"split": ""}),
    ])
}

fn any_source() -> impl Strategy<Value = Value> {
    let operations = prop::collection::vec(any_operation(), 0..3);
    let path = (any_pointer(), operations, any::<(bool, bool)>()).prop_map(|(path, operations, (optional, table))| {
        let mut source = json!({"path": path, "do": operations});
        if optional {
            source["optional"] = json!(true);
        }
        if table {
            source["table"] = json!("t");
            source["keep"] = json!("/status/sourceCode");
        }
        source
    });
    let constant = any_json().prop_map(|value| json!({"const": value}));
    let concat = prop::collection::vec((any_pointer(), any::<bool>()), 0..3).prop_map(|parts| {
        let parts: Vec<_> =
            parts.into_iter().map(|(path, optional)| json!({"path": path, "optional": optional})).collect();
        json!({"concat": parts})
    });
    prop_oneof![path, constant, concat]
}

fn any_rule() -> impl Strategy<Value = Value> {
    let target = prop::sample::select(vec![
        "/event",
        "/issuer/kind",
        "/issuer/name",
        "/subjects/0",
        "/subjects/0/ref",
        "/subjects/1/ref",
        "/status/state",
        "/body",
        "/body/a",
        "/body/a/b",
        "/sharing/class",
        "/sharing/openToPublic",
        "/provenance",
        "/ext/x",
        "/",
    ]);
    let set = prop::collection::btree_map(target, any_source(), 0..5);
    let one = (any_pointer(), scalar(), any::<bool>()).prop_map(|condition| vec![condition]);
    let when = prop_oneof![3 => Just(Vec::new()), 1 => one];
    let key = prop_oneof![3 => Just(json!({"const": "k"})), 1 => any_source()];
    (set, when, key, prop::bool::weighted(0.2), any_pointer()).prop_map(|(set, when, key, strict, drop)| {
        let mut members: Map<String, Value> =
            set.into_iter().map(|(target, source)| (target.to_owned(), source)).collect();
        members.insert("/key".into(), key);
        members.insert("/issuer/uscc".into(), json!({"const": "91350100M000100Y43"}));
        let when: Vec<_> =
            when.into_iter()
                .map(|(path, value, present)| {
                    if present {
                        json!({"path": path, "present": true})
                    } else {
                        json!({"path": path, "equals": value})
                    }
                })
                .collect();
        json!({"when": when, "set": members, "drop": [drop], "unmapped": if strict { "error" } else { "drop" }})
    })
}

fn any_document() -> impl Strategy<Value = Value> {
    prop::collection::vec(any_rule(), 1..3).prop_map(|rules| {
        json!({
            "mapping": "1", "id": "any.mapping", "version": "0.1.0", "source": {"family": "simulated"},
            "target": {"type": "any", "schema": "1.0"}, "tables": {"t": {"01": "active", "true": false}}, "rules": rules,
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn apply_never_panics(document in any_document(), inputs in prop::collection::vec(any_event(), 1..4)) {
        let Ok(mapping) = Mapping::from_canonical(&document) else { return Ok(()) };
        mapping.check(Some(&json!({"required": ["a"]})));
        mapping.explain();
        for input in inputs {
            if let Ok(Applied::Draft(draft)) = mapping.apply(&input) {
                // Whatever the mapping and the event: the key names the type and the issuer, and the host's members are free.
                let key = draft.json["recordKey"].as_str().unwrap();
                prop_assert!(key.starts_with("any:91350100M000100Y43:"));
                prop_assert!(draft.json.get("provenance").is_none());
                let open = draft.json.pointer("/sharing/openToPublic") == Some(&json!(true));
                prop_assert!(!open || draft.json.pointer("/sharing/class") == Some(&json!("unconditional")));
                prop_assert_eq!(mapping.apply(&input), Ok(Applied::Draft(draft)));
            }
        }
    }

    #[test]
    fn any_json_is_a_mapping_or_refused(document in any_json()) {
        prop_assert!(Mapping::from_canonical(&document).is_err());
    }

    #[test]
    fn both_forms_of_a_document_are_one_mapping(document in any_document(), reversed: bool, flow: bool) {
        let text = yaml(&document, 0, reversed, flow);
        let read = Mapping::parse_yaml("any.yaml", text.as_bytes());
        match (Mapping::from_canonical(&document), read) {
            (Ok(one), Ok(other)) => {
                prop_assert_eq!(one.digest(), other.digest());
                prop_assert_eq!(one.document(), other.document());
                prop_assert_eq!(one.explain(), other.explain());
            }
            (Err(one), Err(other)) => {
                let mut codes: Vec<_> = one.iter().map(|error| (&error.pointer, error.reason())).collect();
                let mut others: Vec<_> = other.iter().map(|error| (&error.pointer, error.reason())).collect();
                codes.sort();
                others.sort();
                prop_assert_eq!(codes, others);
            }
            (one, other) => prop_assert!(false, "{one:?}\n{other:?}\n{text}"),
        }
    }

    #[test]
    fn layout_does_not_change_the_digest(reversed: bool, flow: bool) {
        let text = yaml(&document(), 0, reversed, flow);
        let read = Mapping::parse_yaml("any.yaml", text.as_bytes());
        prop_assert_eq!(read.map(|read| read.digest()), Ok(mapping(&document()).digest()), "{}", text);
    }

    #[test]
    fn any_bytes_are_a_mapping_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Mapping::parse_yaml("any.yaml", &bytes).is_err());
    }
}
