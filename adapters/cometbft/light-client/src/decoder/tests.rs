use super::*;
use crate::native::Attribute;
use crate::proto::Message as Writer;
use crate::results::TxResult;
use crate::selector::HexBytes;

/// `package land.v1; message MsgGrant { string id = 1; }`
fn descriptors() -> String {
    let field = Writer::new().bytes(1, b"id").uint(3, 1).uint(4, 1).uint(5, 9).done();
    let message = Writer::new().bytes(1, b"MsgGrant").message(2, &field).done();
    let file = Writer::new().bytes(2, b"land.v1").message(4, &message).done();
    STANDARD.encode(Writer::new().message(1, &file).done())
}

fn grant() -> Vec<u8> {
    Writer::new().bytes(1, b"p-1").done()
}

fn decoded(source: Value, native: &Native) -> Result<(String, String, Value), Fault> {
    let decoder = CometbftDecoder::from_source(&source).unwrap();
    decoder.decode_native(&native.write()).map(|(namespace, event, map)| (namespace, event, Value::Object(map)))
}

fn result() -> TxResult {
    TxResult { code: 0, data: b"ok".to_vec(), gas_wanted: 1, gas_used: 1 }
}

#[test]
fn a_message_of_a_transaction_by_its_descriptor() {
    let source = json!({
        "family": "cometbft", "kind": "transactions", "messages": ["/land.v1.MsgGrant"],
        "format": "protobuf", "descriptors": descriptors(),
    });
    let native = |type_url: &str| Native::Message {
        tx: sha256(b"tx"),
        message: 0,
        type_url: type_url.to_owned(),
        value: Base64(grant()),
    };
    let (namespace, event, value) = decoded(source.clone(), &native("/land.v1.MsgGrant")).unwrap();
    assert_eq!((namespace.as_str(), event.as_str()), ("land.v1", "MsgGrant"));
    assert_eq!((&value["type"], &value["body"]), (&json!("/land.v1.MsgGrant"), &json!({ "id": "p-1" })));
    assert_eq!(value["hash"], json!(sha256(b"tx")));
    let whole = Native::Transaction { tx: b"tx".to_vec(), result: result() };
    for other in [native("/land.v1.MsgRevoke"), whole] {
        assert_eq!(decoded(source.clone(), &other).unwrap_err().reason(), "item-not-selected");
    }
    let unreadable = Native::Unreadable { tx: sha256(b"tx"), fault: "a field twice".to_owned() };
    assert_eq!(decoded(source, &unreadable).unwrap_err().reason(), "unreadable");
}

#[test]
fn a_whole_transaction() {
    let source = json!({ "family": "cometbft", "kind": "transactions", "format": "bytes" });
    let native = Native::Transaction { tx: b"tx".to_vec(), result: result() };
    let (namespace, event, value) = decoded(source, &native).unwrap();
    assert_eq!((namespace.as_str(), event.as_str()), ("transactions", "executed"));
    assert_eq!((&value["body"], &value["data"]), (&json!("dHg="), &json!("b2s=")));
}

#[test]
fn values_of_the_state_in_each_format() {
    let state = |value: Option<&[u8]>| Native::State {
        store: Some("land".to_owned()),
        key: HexBytes(vec![1]),
        value: value.map(|value| Base64(value.to_vec())),
    };
    let source = |format: Value| {
        let mut source = json!({ "family": "cometbft", "kind": "state", "store": "land", "keys": ["01"] });
        source.as_object_mut().unwrap().extend(format.as_object().unwrap().clone());
        source
    };
    let (_, event, value) = decoded(source(json!({ "format": "json" })), &state(Some(b"{\"a\":1}"))).unwrap();
    assert_eq!((event.as_str(), &value["value"]), ("changed", &json!({ "a": 1 })));
    let (_, event, value) = decoded(source(json!({ "format": "bytes" })), &state(None)).unwrap();
    assert_eq!((event.as_str(), &value["value"]), ("removed", &Value::Null));
    let typed = json!({ "format": "protobuf", "descriptors": descriptors(), "message": "land.v1.MsgGrant" });
    let (_, _, value) = decoded(source(typed), &state(Some(&grant()))).unwrap();
    assert_eq!(value["value"], json!({ "id": "p-1" }));
    for bad in [&b"{"[..], b"{\"a\":1,\"a\":2}", b"1.5e400"] {
        let fault = decoded(source(json!({ "format": "json" })), &state(Some(bad))).unwrap_err();
        assert_eq!(fault.reason(), "json-malformed");
    }
}

#[test]
fn a_value_under_a_running_number() {
    let source = json!({
        "family": "cometbft", "kind": "sequence", "store": "land", "prefix": "01", "first": "1", "format": "json",
    });
    let native = Native::Sequence {
        store: Some("land".to_owned()),
        sequence: u64::MAX,
        key: HexBytes(vec![1]),
        value: Base64(b"true".to_vec()),
    };
    let (namespace, event, value) = decoded(source.clone(), &native).unwrap();
    assert_eq!((namespace.as_str(), event.as_str()), ("land", "added"));
    assert_eq!((&value["sequence"], &value["value"]), (&json!("18446744073709551615"), &json!(true)));
    let elsewhere = Native::Sequence { store: None, sequence: 1, key: HexBytes(vec![1]), value: Base64(vec![]) };
    assert_eq!(decoded(source, &elsewhere).unwrap_err().reason(), "item-not-selected");
}

#[test]
fn attributes_of_an_event() {
    let source = json!({ "family": "cometbft", "kind": "events", "types": ["grant"] });
    let attribute = |key: &str, value: &str| Attribute { key: key.to_owned(), value: value.to_owned() };
    let attributes = vec![attribute("id", "p-1"), attribute("to", "a"), attribute("to", "b"), attribute("to", "c")];
    let native = |kind: &str| Native::Event {
        tx: sha256(b"tx"),
        event: Event { kind: kind.to_owned(), attributes: attributes.clone() },
    };
    let (_, event, value) = decoded(source.clone(), &native("grant")).unwrap();
    assert_eq!((event.as_str(), &value["attributes"]), ("grant", &json!({ "id": "p-1", "to": ["a", "b", "c"] })));
    assert_eq!(decoded(source, &native("revoke")).unwrap_err().reason(), "item-not-selected");
}

#[test]
fn a_source_with_a_typo() {
    let base = json!({ "family": "cometbft", "kind": "state", "store": "land", "keys": ["01"], "format": "json" });
    for (key, value, pointer) in [
        ("family", json!("evm"), "/family"),
        ("kind", json!("stat"), "/kind"),
        ("stores", json!("land"), ""),
        ("keys", json!([]), ""),
        ("format", json!("yaml"), "/format"),
        ("format", Value::Null, "/format"),
        ("descriptors", json!("AA=="), "/descriptors"),
        ("message", json!("x"), "/message"),
    ] {
        let mut source = base.clone();
        source[key] = value;
        assert_eq!(CometbftDecoder::from_source(&source).unwrap_err().pointer, pointer, "{key}");
    }
    let mut typed = base;
    typed["format"] = json!("protobuf");
    assert_eq!(CometbftDecoder::from_source(&typed).unwrap_err().pointer, "/descriptors");
    typed["descriptors"] = json!(descriptors());
    assert_eq!(CometbftDecoder::from_source(&typed).unwrap_err().pointer, "/message");
    typed["message"] = json!("land.v1.Other");
    assert_eq!(CometbftDecoder::from_source(&typed).unwrap_err().pointer, "/descriptors");
}
