use super::*;
use crate::rlp;
use serde_json::json;

fn registry() -> Abi {
    Abi::parse(&json!([
        {"type": "constructor", "inputs": []},
        {"type": "event", "name": "Noted", "inputs": [
            {"name": "id", "type": "bytes32", "indexed": true},
            {"name": "title", "type": "string", "indexed": true},
            {"name": "deed", "type": "tuple", "components": [
                {"name": "holder", "type": "string"}, {"name": "shares", "type": "uint16[2]"}]},
            {"name": "", "type": "tuple[]", "components": [{"name": "x", "type": "int8"}]}]},
    ]))
    .unwrap()
}

fn data(words: &str) -> Vec<u8> {
    hex::decode(words.split_whitespace().map(|word| format!("{word:0>64}")).collect::<String>()).unwrap()
}

fn log(topics: &[Hash32], data: &[u8]) -> Vec<u8> {
    let mut list = Vec::new();
    topics.iter().for_each(|topic| rlp::write_string(topic.as_bytes(), &mut list));
    let mut items = Vec::new();
    rlp::write_string(&[1; 20], &mut items);
    rlp::write_list(&list, &mut items);
    rlp::write_string(data, &mut items);
    let mut out = Vec::new();
    rlp::write_list(&items, &mut out);
    out
}

fn decode(abi: &Abi, topics: &[Hash32], data: &[u8]) -> Result<DecodedEvent, &'static str> {
    abi.decode(&Log::parse(&log(topics, data)).unwrap()).map_err(|fault| fault.reason())
}

fn word(number: u8) -> Hash32 {
    let mut bytes = [0; 32];
    bytes[31] = number;
    Hash32::new(bytes)
}

fn event(name: &str, inputs: &Value, anonymous: bool) -> Value {
    json!({"type": "event", "name": name, "inputs": inputs, "anonymous": anonymous})
}

fn only(entries: &Value, wanted: &[&str]) -> Result<Abi, Fault> {
    Abi::parse(entries)?.only(&wanted.iter().map(|want| (*want).to_owned()).collect::<Vec<_>>())
}

#[test]
fn tuples_are_objects_and_indexed_dynamic_values_are_hashes() {
    let abi = registry();
    assert_eq!(abi.events()[0].signature(), "Noted(bytes32,string,(string,uint16[2]),(int8)[])");
    let topics = [abi.events()[0].topic().unwrap(), Hash32::new([1; 32]), Hash32::new([2; 32])];
    let ok = format!("{:0<64}", "6f6b");
    let args = decode(&abi, &topics, &data(&format!("40 e0 60 7 8 2 {ok} 1 5"))).unwrap().args;
    let expected = json!({
        "id": Hash32::new([1; 32]),
        "title": {"hash": Hash32::new([2; 32])},
        "deed": {"holder": "ok", "shares": ["7", "8"]},
        "arg3": [{"x": "5"}],
    });
    assert_eq!(Value::Object(args), expected);
}

#[test]
fn an_event_name_used_twice_is_told_apart_by_its_signature() {
    let entries = json!([event("E", &json!([]), false), event("E", &json!([{"name": "a", "type": "bool"}]), false)]);
    let abi = Abi::parse(&entries).unwrap();
    assert_eq!(decode(&abi, &[abi.events()[0].topic().unwrap()], &[]).unwrap().name, "E()");
    assert!(only(&entries, &["E"]).is_err());
    assert_eq!(only(&entries, &["E(bool)"]).unwrap().events().len(), 1);
}

#[test]
fn topics_of_another_event_or_number() {
    let abi = registry();
    let topic = abi.events()[0].topic().unwrap();
    assert_eq!(decode(&abi, &[topic, topic], &[]), Err("event-topics"));
    assert_eq!(decode(&abi, &[Hash32::ZERO], &[]), Err("event-unknown"));
    assert_eq!(decode(&abi, &[], &[]), Err("event-unknown"));
}

#[test]
fn an_abi_with_an_event_twice_or_two_arguments_of_one_name() {
    let one = json!({"type": "event", "name": "E", "inputs": [{"name": "a", "type": "bool"}]});
    assert!(Abi::parse(&json!([one, one])).is_err());
    let twice = json!([{"type": "event", "name": "E", "inputs": [
        {"name": "a", "type": "bool"}, {"name": "a", "type": "bool"}]}]);
    assert_eq!(Abi::parse(&twice).unwrap_err().reason(), "abi-malformed");
}

fn indexed(count: usize) -> Value {
    let input = |place: usize| json!({"name": format!("i{place}"), "type": "uint8", "indexed": true});
    Value::Array((0..count).map(input).collect())
}

#[test]
fn indexed_arguments_fill_the_topics_that_the_signature_leaves() {
    assert!(Abi::parse(&json!([event("E", &indexed(3), false)])).is_ok());
    assert_eq!(Abi::parse(&json!([event("E", &indexed(4), false)])).unwrap_err().reason(), "abi-malformed");
    assert!(only(&json!([event("E", &indexed(4), true)]), &["E"]).is_ok());
    assert!(only(&json!([event("E", &indexed(5), true)]), &["E"]).is_err());
}

#[test]
fn an_anonymous_event_is_read_only_where_it_is_asked_for() {
    let entries = json!([event("Named", &json!([]), false), event("Quiet", &indexed(2), true)]);
    assert_eq!(Abi::parse(&entries).unwrap().events().len(), 1);
    let abi = only(&entries, &["Quiet"]).unwrap();
    assert_eq!((abi.events().len(), abi.events()[0].topic(), abi.events()[0].topics_due()), (1, None, 2));
    let decoded = decode(&abi, &[word(7), word(8)], &[]).unwrap();
    assert_eq!((decoded.name.as_str(), Value::Object(decoded.args)), ("Quiet", json!({"i0": "7", "i1": "8"})));
    assert_eq!(decode(&abi, &[word(7)], &[]), Err("event-unknown"));
    assert_eq!(decode(&abi, &[Hash32::new([1; 32]), word(8)], &[]), Err("event-data-padding"));
}

#[test]
fn an_anonymous_event_without_topics() {
    let abi = only(&json!([event("Bare", &json!([{"name": "on", "type": "bool"}]), true)]), &["Bare"]).unwrap();
    assert_eq!(decode(&abi, &[], &data("1")).unwrap().args["on"], true);
    assert_eq!(decode(&abi, &[word(1)], &data("1")), Err("event-unknown"));
}

#[test]
fn a_named_event_that_nobody_reads_is_never_taken_for_an_anonymous_one() {
    let entries = json!([
        event("Named", &indexed(1), false),
        event(
            "Quiet",
            &json!([
            {"name": "a", "type": "bytes32", "indexed": true}, {"name": "b", "type": "bytes32", "indexed": true}]),
            true
        ),
    ]);
    let named = Abi::parse(&entries).unwrap().events()[0].topic().unwrap();
    let abi = only(&entries, &["Quiet"]).unwrap();
    assert_eq!(abi.others(), [named]);
    assert_eq!(decode(&abi, &[named, word(1)], &[]), Err("event-unknown"));
    let both = only(&entries, &["Quiet", "Named"]).unwrap();
    assert_eq!(decode(&both, &[named, word(1)], &[]).unwrap().name, "Named");
    assert_eq!(decode(&both, &[word(9), word(1)], &[]).unwrap().name, "Quiet");
}

#[test]
fn anonymous_events_that_cannot_be_told_apart() {
    let entries = json!([event("A", &indexed(1), true), event("B", &indexed(1), true), event("C", &indexed(2), true)]);
    assert_eq!(only(&entries, &["A", "B"]).unwrap_err().reason(), "abi-malformed");
    assert_eq!(only(&entries, &["A", "C", "A"]).unwrap().events().len(), 2);
}

#[test]
fn what_was_read_before_anonymous_events_were_is_read_the_same() {
    // An anonymous event of the same name, or one that cannot be read, changes nothing for who asks for the named one.
    let odd = json!([{"name": "a", "type": "none"}]);
    let entries = json!([event("E", &json!([]), false), event("E", &indexed(1), true), event("Odd", &odd, true)]);
    for abi in [Abi::parse(&entries).unwrap(), only(&entries, &["E"]).unwrap()] {
        assert_eq!(abi.events().iter().map(Event::signature).collect::<Vec<_>>(), ["E()"]);
    }
    assert!(only(&entries, &["Odd"]).is_err());
    assert_eq!(only(&entries, &["E(uint8)"]).unwrap().events()[0].topic(), None);
}
