//! Rules between fields, which JSON Schema cannot say. They run on documents whose form is already right.

use serde_json::{Map, Value};

use crate::check_digit;
use crate::fault::{Fault, shown, token};
use crate::walk::walk;

/// Rules of the envelope alone.
pub(crate) fn envelope(document: &Value) -> Vec<Fault> {
    let rules = [record_key, record_type, position, sharing, no_person_number];
    rules.iter().flat_map(|rule| rule(document)).collect()
}

/// Rules of a body alone, by its name.
pub(crate) fn body(name: &str, body: &Value) -> Vec<Fault> {
    if name == "property-right" { shares(body) } else { Vec::new() }
}

/// Rules between the envelope and the body. Pointers are those of the whole document.
pub(crate) fn joined(name: &str, document: &Value, body: &Value) -> Vec<Fault> {
    match name {
        "property-right" => parties(document, body),
        "e-certificate" => certificate_number(document, body),
        _ => Vec::new(),
    }
}

/// Decision 15: what `schema` marks as personal is not published under `jcs-1`, whose digest can be guessed.
pub(crate) fn personal(schema: &Value, value: &Value, document: &Value) -> Vec<Fault> {
    if text(document, "/commitment/profile") != Some("jcs-1") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    walk(schema, value, &mut |visit| {
        if visit.schema.get("x-personal") == Some(&Value::Bool(true)) && faults.len() < crate::MAX_FAULTS {
            faults.push(Fault::new(
                visit.pointer,
                "personal",
                "a personal field under fmt-1 only",
                "a field under jcs-1",
            ));
        }
    });
    faults
}

fn text<'d>(document: &'d Value, pointer: &str) -> Option<&'d str> {
    document.pointer(pointer)?.as_str()
}

/// Decision 5: a key starts with the type and the issuer, so that authority over it can be read off.
fn record_key(document: &Value) -> Vec<Fault> {
    let kind = text(document, "/type").unwrap_or_default();
    let issuer = text(document, "/issuer/uscc").or_else(|| text(document, "/issuer/keyId")).unwrap_or_default();
    let start = format!("{kind}:{issuer}:");
    match text(document, "/recordKey") {
        Some(key) if key.starts_with(&start) => Vec::new(),
        key => {
            vec![Fault::new("/recordKey", "recordKey", format!("a key that starts with {start}"), format!("{key:?}"))]
        }
    }
}

/// `type` restates the name in `schema.id`, and the two must agree.
fn record_type(document: &Value) -> Vec<Fault> {
    let kind = text(document, "/type").unwrap_or_default();
    let id = text(document, "/schema/id").unwrap_or_default();
    match crate::schema::body_name(id) {
        // A schema outside our own authority is refused where schemas are looked up, with a better reason.
        Some(name) if name != kind => {
            vec![Fault::new("/type", "type", format!("{name:?}, of {id}"), format!("{kind:?}"))]
        }
        _ => Vec::new(),
    }
}

/// `position` restates height and indices as text that sorts; a second truth would be worse than none.
fn position(document: &Value) -> Vec<Fault> {
    let number = |pointer: &str| document.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let (transaction, event) = (number("/provenance/txIndex"), number("/provenance/eventIndex"));
    let height = text(document, "/provenance/height").unwrap_or_default();
    let expected = format!("{height:0>12}/{transaction:06}/{event:06}");
    match text(document, "/provenance/position") {
        Some(got) if got == expected => Vec::new(),
        got => vec![Fault::new("/provenance/position", "position", expected, format!("{got:?}"))],
    }
}

/// A field may be shared under a stricter class than the record, never under a looser one.
fn sharing(document: &Value) -> Vec<Fault> {
    let whole = text(document, "/sharing/class").map(strictness);
    let Some(fields) = document.pointer("/sharing/fields").and_then(Value::as_object) else { return Vec::new() };
    let looser = fields.iter().filter(|(_, class)| class.as_str().map(strictness) < whole);
    let fault = |(name, class): (&String, &Value)| {
        let pointer = format!("/sharing/fields/{}", token(name));
        Fault::new(&pointer, "sharing", "a class at least as strict as the record's", shown(class))
    };
    looser.take(crate::MAX_FAULTS).map(fault).collect()
}

fn strictness(class: &str) -> u8 {
    match class {
        "unconditional" => 0,
        "conditional" => 1,
        _ => 2,
    }
}

/// No person is named by a number of his own, whatever the scheme says it is.
fn no_person_number(document: &Value) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (at, subject) in subjects(document).enumerate() {
        if text(subject, "/ref").is_some_and(check_digit::is_resident_id) {
            let pointer = format!("/subjects/{at}/ref");
            // Never repeat the number.
            faults.push(Fault::new(&pointer, "personal", "a reference that is no resident identity number", "one"));
        }
    }
    faults
}

fn subjects(document: &Value) -> impl Iterator<Item = &Value> {
    document.get("subjects").and_then(Value::as_array).into_iter().flatten()
}

/// Σ shares ≤ 1, computed exactly.
fn shares(body: &Value) -> Vec<Fault> {
    let Some(shares) = body.get("shares").and_then(Value::as_array) else { return Vec::new() };
    let mut sum = Some((0, 1));
    for share in shares {
        let number = |name: &str| share.get(name).and_then(Value::as_u64).map(u128::from);
        sum = match (sum, number("numerator"), number("denominator")) {
            (Some(sum), Some(numerator), Some(denominator)) => add(sum, (numerator, denominator)),
            _ => None,
        };
        match sum {
            Some((numerator, denominator)) if numerator <= denominator => {}
            Some((numerator, denominator)) => return too_much(&format!("{numerator}/{denominator}")),
            None => return too_much("shares with no common denominator below 2^127"),
        }
    }
    Vec::new()
}

fn too_much(got: &str) -> Vec<Fault> {
    vec![Fault::new("/shares", "shares", "shares that add up to at most 1", got)]
}

/// The sum of two fractions in lowest terms; `None` when it does not fit 127 bits.
fn add((a, b): (u128, u128), (c, d): (u128, u128)) -> Option<(u128, u128)> {
    let common = b.checked_mul(d.checked_div(gcd(b, d))?)?;
    let numerator = a.checked_mul(common.checked_div(b)?)?.checked_add(c.checked_mul(common.checked_div(d)?)?)?;
    let shared = gcd(numerator, common);
    (common < 1 << 127).then_some(())?;
    Some((numerator.checked_div(shared)?, common.checked_div(shared)?))
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Who holds a share stands among the subjects, where authority and pseudonyms are checked.
fn parties(document: &Value, body: &Value) -> Vec<Fault> {
    let known: Vec<&str> = subjects(document).filter_map(|subject| text(subject, "/ref")).collect();
    let shares = body.get("shares").and_then(Value::as_array).into_iter().flatten();
    let mut faults = Vec::new();
    for (at, share) in shares.enumerate() {
        let party = text(share, "/party").unwrap_or_default();
        if !known.contains(&party) && faults.len() < crate::MAX_FAULTS {
            let pointer = format!("/body/shares/{at}/party");
            let got = shown(&Value::String(party.to_owned()));
            faults.push(Fault::new(&pointer, "party", "the ref of one of the subjects", got));
        }
    }
    faults
}

/// The number on a person's certificate is personal; an organisation's is not.
fn certificate_number(document: &Value, body: &Value) -> Vec<Fault> {
    if body.get("number").is_none() {
        return Vec::new();
    }
    let mut kinds = subjects(document).filter(|subject| is(subject, "role", "holder")).peekable();
    let by_organisations = kinds.peek().is_some() && kinds.all(|holder| is(holder, "kind", "org"));
    if by_organisations {
        return Vec::new();
    }
    vec![Fault::new(
        "/body/number",
        "personal",
        "a number only where every holder is an organisation",
        "another holder, or none",
    )]
}

fn is(value: &Value, name: &str, wanted: &str) -> bool {
    value.as_object().and_then(|members: &Map<String, Value>| members.get(name)?.as_str()) == Some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn of(fractions: &[(u64, u64)]) -> Value {
        let one = |(n, d): &(u64, u64)| json!({"party": "x", "numerator": n, "denominator": d});
        json!({"shares": fractions.iter().map(one).collect::<Vec<_>>()})
    }

    #[test]
    fn shares_add_up_exactly() {
        assert!(shares(&of(&[(1, 3), (1, 3), (1, 3)])).is_empty());
        assert!(shares(&of(&[(1, 7); 7])).is_empty());
        assert!(shares(&of(&[(999_999, 1_000_000)])).is_empty());
        assert_eq!(shares(&of(&[(1, 3), (1, 3), (1, 3), (1, 1_000_000)])).len(), 1);
        assert_eq!(shares(&of(&[(2, 1)])).len(), 1);
    }

    #[test]
    fn shares_that_overflow_are_refused_and_do_not_wrap() {
        let primes = [999_983, 999_979, 999_961, 999_959, 999_953, 999_931, 999_917, 999_907, 999_883];
        let fine: Vec<_> = primes.iter().map(|prime| (1, *prime)).collect();
        assert_eq!(shares(&of(&fine)).len(), 1);
    }

    #[test]
    fn personal_fields_need_the_salted_commitment() {
        let schema = json!({"properties": {"name": {"type": "string", "x-personal": true}, "n": {"type": "string"}}});
        let document = |profile: &str| json!({"commitment": {"profile": profile}});
        let faults = personal(&schema, &json!({"name": "x", "n": "y"}), &document("jcs-1"));
        assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), ["/name"]);
        assert!(personal(&schema, &json!({"n": "y"}), &document("jcs-1")).is_empty());
        assert!(personal(&schema, &json!({"name": "x"}), &document("fmt-1")).is_empty());
    }

    #[test]
    fn personal_field_cannot_hide_behind_a_branch() {
        let schema = json!({
            "$defs": {"p": {"type": "string", "x-personal": true}},
            "anyOf": [{"properties": {"a": {"$ref": "#/$defs/p"}}}, {"type": "object"}]
        });
        let document = json!({"commitment": {"profile": "jcs-1"}});
        assert_eq!(personal(&schema, &json!({"a": "x"}), &document).len(), 1);
    }

    proptest! {
        #[test]
        fn equal_parts_of_one_are_at_most_one(parts in 1u64..1000) {
            let all = vec![(1, parts); usize::try_from(parts).unwrap()];
            prop_assert!(shares(&of(&all)).is_empty());
            let more = vec![(1, parts); usize::try_from(parts).unwrap() + 1];
            prop_assert_eq!(shares(&of(&more)).len(), 1);
        }
    }
}
