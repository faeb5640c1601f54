//! `/commit`, `/block` and `/validators` to steps.

use super::{need, result, shape};
use crate::fault::{Fault, Reason};
use crate::header::Header;
use crate::step::{LightStep, SignedHeader};
use crate::validators::{MAX_VALIDATORS, Validator, ValidatorSet};
use serde_json::Value;
use std::cmp::Reverse;

/// The header of an answer to `/block` or `/commit`.
///
/// # Errors
/// [`Fault`] if there is none.
pub fn header(answer: &Value) -> Result<Header, Fault> {
    let result = result(answer)?;
    let within = result.get("block").or_else(|| result.get("signed_header")).unwrap_or(result);
    shape::header(need(within, "header")?)
}

/// The signed header of an answer to `/commit?height=`.
///
/// # Errors
/// [`Fault`] if there is none.
pub fn signed_header(answer: &Value) -> Result<SignedHeader, Fault> {
    let result = result(answer)?;
    let signed = result.get("signed_header").unwrap_or(result);
    Ok(SignedHeader {
        header: shape::header(need(signed, "header")?)?,
        commit: shape::commit(need(signed, "commit")?)?,
    })
}

/// The set of all pages of `/validators?height=&page=&per_page=`, in order.
///
/// # Errors
/// [`Fault`] if the pages are of different heights, do not hold as many validators as they say there are, or hold one twice.
pub fn validators(pages: &[Value]) -> Result<ValidatorSet, Fault> {
    let mut all: Vec<Validator> = Vec::new();
    let mut said: Option<(&Value, &Value)> = None;
    for page in pages {
        let page = result(page)?;
        let this = (page.get("block_height").unwrap_or(&Value::Null), page.get("total").unwrap_or(&Value::Null));
        if said.is_some_and(|said| said != this) {
            return Err(Fault::new(Reason::Rpc, "pages of one height and total", format!("{} and {}", this.0, this.1)));
        }
        said = Some(this);
        let entries = need(page, "validators")?.as_array();
        let entries = entries.ok_or_else(|| Fault::new(Reason::Rpc, "a list of validators", "something else"))?;
        if all.len() + entries.len() > MAX_VALIDATORS {
            return Err(Fault::new(Reason::ValidatorsCount, format!("at most {MAX_VALIDATORS}"), "more"));
        }
        for entry in entries {
            all.push(shape::validator(entry)?);
        }
    }
    let total = said.and_then(|(_, total)| total.as_str()).and_then(|total| total.parse::<usize>().ok());
    if total.is_some_and(|total| total != all.len()) {
        return Err(Fault::new(Reason::Rpc, format!("all {} validators", total.unwrap_or(0)), all.len()));
    }
    // Pages of an archive or of a test may be in another order; the hash is over the ledger's (types.ValidatorsByVotingPower).
    all.sort_by_cached_key(|validator| (Reverse(validator.power), validator.pub_key.address()));
    ValidatorSet::new(all)
}

/// The step of one height from `/commit`, all pages of `/validators` at that height and, where the next set is another,
/// all pages at the next.
///
/// # Errors
/// [`Fault`] if an answer cannot be read.
pub fn step(commit: &Value, validators_at: &[Value], next: Option<&[Value]>) -> Result<LightStep, Fault> {
    Ok(LightStep {
        signed_header: signed_header(commit)?,
        validators: Some(validators(validators_at)?),
        next_validators: next.map(validators).transpose()?,
        trusted_validators: None,
        headers: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::chain::{Chain, Voters};
    use serde_json::json;

    fn page(height: u64, total: usize, validators: &[Value]) -> Value {
        json!({ "result": { "block_height": height.to_string(), "validators": validators, "total": total.to_string() } })
    }

    fn voters(count: u64) -> Vec<Value> {
        let set = Voters::new(0..count, 10).set();
        let written = |validator: &Validator| {
            let mut value = serde_json::to_value(validator).unwrap();
            value["address"] = json!("0000000000000000000000000000000000000000");
            value["proposer_priority"] = json!("-5");
            value
        };
        set.validators().iter().map(written).collect()
    }

    #[test]
    fn pages_of_one_set() {
        let all = voters(4);
        let whole = validators(&[page(7, 4, &all[..2]), page(7, 4, &all[2..])]).unwrap();
        assert_eq!(whole.hash(), Voters::new(0..4, 10).set().hash(), "addresses beside keys are not read");
        let backwards = validators(&[page(7, 4, &all[2..]), page(7, 4, &all[..2])]).unwrap();
        assert_eq!(backwards.hash(), whole.hash());
    }

    #[test]
    fn validators_page_that_repeats_is_missing_or_of_another_height() {
        let all = voters(4);
        for (pages, reason) in [
            (vec![page(7, 4, &all[..2]), page(7, 4, &all[..2])], "validator-repeated"),
            (vec![page(7, 4, &all[..2])], "rpc-malformed"),
            (vec![page(7, 4, &all[..2]), page(8, 4, &all[2..])], "rpc-malformed"),
            (vec![page(7, 4, &all[..2]), page(7, 5, &all[2..])], "rpc-malformed"),
            (Vec::new(), "validators-count"),
        ] {
            assert_eq!(validators(&pages).unwrap_err().reason(), reason);
        }
    }

    /// `parts` over JSON-RPC, `part_set_header` in protobuf's JSON; `null` or empty text for what is not there.
    #[test]
    fn names_of_each_release() {
        let mut chain = Chain::new("land-1", Voters::new(0..4, 10));
        chain.mine(2);
        for light in &chain.steps {
            let mut draft = serde_json::to_value(&light.signed_header).unwrap();
            assert_eq!(
                signed_header(&json!({ "result": { "signed_header": draft, "canonical": true } })).unwrap(),
                light.signed_header
            );
            for place in ["/header/last_block_id", "/commit/block_id"] {
                let id = draft.pointer_mut(place).unwrap().as_object_mut().unwrap();
                let parts = id.remove("parts").unwrap();
                id.insert("part_set_header".to_owned(), parts);
            }
            if light.height() == 1 {
                draft["header"]["last_block_id"] = Value::Null;
            }
            draft["header"]["version"] = json!({ "block": "11", "app": "1", "more": 1 });
            draft["commit"]["hash"] = json!([]);
            assert_eq!(signed_header(&draft).unwrap(), light.signed_header);
        }
    }

    #[test]
    fn an_answer_without_a_header() {
        for answer in
            [json!({}), json!({ "result": {} }), json!({ "result": { "signed_header": { "header": {} } } }), json!([])]
        {
            assert_eq!(signed_header(&answer).unwrap_err().reason(), "rpc-malformed");
        }
    }
}
