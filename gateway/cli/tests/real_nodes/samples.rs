//! Events as a registrar makes them, and how to find each again in the record that it became.

use hufu_schemas_core::Digest;
use hufu_schemas_core::canonical::to_canonical;
use serde_json::{Value, json};

use crate::registry::Call;

/// The organisation that issues everything here.
pub(crate) const ISSUER: &str = "11430000006122244L";
const HOLDER: &str = "91350100M000100Y43";
const CLASS: &str = "11100000000013338W011";

/// Operations of a certificate with the state that each leads to, and what the record calls them.
const OPERATIONS: [(&str, &str, &str); 4] =
    [("01", "01", "issue"), ("03", "02", "suspend"), ("06", "01", "resume"), ("05", "04", "deregister")];
/// What happens to a unit.
const CHANGES: [&str; 4] = ["confirm", "mortgage", "transfer", "cancel"];

/// The `number`th event about a certificate: each certificate is issued, suspended, resumed and deregistered.
pub(crate) fn certificate(number: usize) -> Call {
    let (life, step) = (number / OPERATIONS.len(), number % OPERATIONS.len());
    let (operation, state, _) = OPERATIONS[step];
    let serial = format!("2026{life:07}");
    let check = check_character(&[CLASS, ISSUER, &serial, "001"].concat());
    let id = format!("1.2.156.3005.2.{CLASS}.{ISSUER}.{serial}.001.{check}");
    let paper = format!("湘(2026)第{life:07}号");
    let name = "示例科技有限公司 〇";
    Call::certificate(&[&id, operation, CLASS, "营业执照", &paper, name, HOLDER, ISSUER, "20260403", state])
}

/// The `number`th event about a property right: each unit goes through all of [`CHANGES`].
pub(crate) fn property_right(number: usize) -> Call {
    let (life, change) = (number / CHANGES.len(), CHANGES[number % CHANGES.len()]);
    let unit = format!("430102001001GB00001F{life:08}");
    let paper = format!("湘(2026)长沙市不动产权第{number:07}号");
    let area = format!("{}.50", 60 + number);
    let holder = if change == "cancel" { "" } else { HOLDER };
    Call::property_right(&[&unit, change, "state-land-use", &paper, holder, ISSUER, "20260501", &area])
}

/// SHA-256 over an event's name and arguments, as hex.
pub(crate) fn digest(event: &str, args: &[String]) -> String {
    Digest::of(&to_canonical(&json!([event, args]))).to_hex()
}

/// The body that the event's record must have.
pub(crate) fn body(call: &Call) -> Value {
    let args: Vec<&str> = call.args.iter().map(String::as_str).collect();
    match (call.event.as_str(), args.as_slice()) {
        ("CertificateChanged", [id, _, class, class_name, number, name, _, _, issued, _]) => json!({
            "certificateId": id, "classCode": class, "className": class_name, "number": number, "name": name,
            "issuedOn": with_dashes(issued),
        }),
        ("PropertyRightChanged", [unit, operation, right, number, _, _, registered, area]) => json!({
            "unitCode": unit, "operation": operation, "rightType": right, "certificateNo": number,
            "registeredOn": with_dashes(registered), "area": { "value": area, "unit": "m2" },
        }),
        (event, args) => panic!("expected a call of this suite, got {event} with {} arguments", args.len()),
    }
}

/// The event that a record was made of, by the record alone: its name and its arguments.
pub(crate) fn event_of(record: &Value) -> (&'static str, Vec<String>) {
    let member = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let holder = record["subjects"].as_array().unwrap().iter().find(|subject| subject["role"] == "holder");
    let holder = holder.map_or("", |subject| subject["ref"].as_str().unwrap()).to_owned();
    let issuer = member("/issuer/uscc");
    if record["type"] == "e-certificate" {
        let named = OPERATIONS.iter().find(|(_, _, name)| record["event"] == *name);
        let (operation, ..) = named.unwrap_or_else(|| panic!("a certificate's record says {}", record["event"]));
        let args = vec![
            member("/body/certificateId"),
            (*operation).to_owned(),
            member("/body/classCode"),
            member("/body/className"),
            member("/body/number"),
            member("/body/name"),
            holder,
            issuer,
            without_dashes(&member("/body/issuedOn")),
            member("/status/sourceCode"),
        ];
        return ("CertificateChanged", args);
    }
    assert_eq!(record["type"], "property-right");
    let args = vec![
        member("/body/unitCode"),
        member("/body/operation"),
        member("/body/rightType"),
        member("/body/certificateNo"),
        holder,
        issuer,
        without_dashes(&member("/body/registeredOn")),
        member("/body/area/value"),
    ];
    ("PropertyRightChanged", args)
}

fn with_dashes(date: &str) -> String {
    format!("{}-{}-{}", &date[..4], &date[4..6], &date[6..])
}

fn without_dashes(date: &str) -> String {
    date.replace('-', "")
}

/// ISO 7064 MOD 37,36, as certificate identifiers end with it.
fn check_character(text: &str) -> char {
    let alphabet = || ('0'..='9').chain('A'..='Z');
    let mut carry = 36;
    for character in text.chars() {
        let sum = (carry + alphabet().position(|it| it == character).unwrap()) % 36;
        carry = (if sum == 0 { 36 } else { sum }) * 2 % 37;
    }
    alphabet().nth((37 - carry) % 36).unwrap()
}

#[test]
fn the_check_character_is_that_of_the_mapping_s_example() {
    assert_eq!(check_character(&["11100000000013338W011", ISSUER, "20230000403", "001"].concat()), 'U');
}
