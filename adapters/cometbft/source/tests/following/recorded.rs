//! Recorded networks of CometBFT 0.38 and 1.0, served byte for byte, and by servers that alter what they serve.

use std::path::Path;

use hufu_adapters_light_client::{Budget, Outcome, TrustedBlock};
use hufu_adapters_source::Source as _;
use hufu_cometbft_light_client::rpc::light;
use serde_json::{Value, json};

use crate::fake::{Fake, bytes, json_of, recordings, refusal, status};
use crate::support::{at, benched, client, node, now, proven, source, transactions, trusted};

const LINES: [&str; 2] = ["0.38", "1.0"];

fn anchor(folder: &Path) -> Value {
    let first = light::header(&json_of(folder, "001.commit")).unwrap();
    json!({
        "family": "cometbft", "chain_id": first.chain_id, "height": 1, "hash": first.hash(),
        "trusting_period": 10 * 365 * 86_400,
    })
}

fn last(folder: &Path) -> u64 {
    json_of(folder, "case")["last"].as_u64().unwrap()
}

fn good(line: &str) -> Fake {
    let folder = recordings(line);
    let last = last(&folder);
    Fake::of(folder, last)
}

#[tokio::test]
async fn recorded_networks_are_followed_and_their_transactions_proven() {
    for line in LINES {
        let folder = recordings(line);
        let (anchor, last) = (anchor(&folder), last(&folder));
        let (fake, url) = good(line).serve().await;
        let source = source(&anchor, vec![node("a", &url)]);
        assert_eq!(source.tip().await.unwrap(), at(last));
        let steps = source.steps(at(1), 1_000).await.unwrap();
        let blocks = trusted(&anchor, &steps);
        assert_eq!(blocks.len() as u64, last - 1);
        let asked = fake.asked.lock().unwrap().iter().filter(|method| *method == "validators").count();
        assert!(asked <= 4, "a set is asked for when it changes, not {asked} times");
        // The recording holds the blocks of these transactions, and no others.
        let case = json_of(&folder, "case");
        let heights: Vec<u64> =
            case["transactions"].as_object().unwrap().values().map(|tx| tx["height"].as_u64().unwrap()).collect();
        let busy: Vec<TrustedBlock> =
            blocks.iter().filter(|block| heights.contains(&block.height().get())).cloned().collect();
        assert_eq!(busy.len(), 4);
        let found = proven(&anchor, &source, &busy, &transactions()).await.unwrap();
        // Two that put and one that deletes; the one that failed is none.
        assert_eq!(found.len(), 3, "{line}: {found:?}");
    }
}

#[tokio::test]
async fn recorded_networks_are_followed_in_jumps() {
    for line in LINES {
        let folder = recordings(line);
        let mut anchor = anchor(&folder);
        anchor["skipping"] = json!(true);
        let (_, url) = good(line).serve().await;
        let source = source(&anchor, vec![node("a", &url)]);
        let steps = source.steps(at(1), 1_000).await.unwrap();
        assert!(steps.len() < 6, "{} steps", steps.len());
        let client = client(&anchor);
        let told = client.advance(&client.anchor(), &steps, now(), &mut Budget::for_update());
        let Outcome::Accept(advanced) = told else { panic!("expected the jumps to be accepted, got {told:?}") };
        assert_eq!(advanced.facts.wants, at(last(&folder) + 1));
    }
}

#[tokio::test]
async fn a_recorded_fork_of_the_same_keys_is_handed_on_as_misbehaviour() {
    for line in LINES {
        let folder = recordings(line);
        let anchor = anchor(&folder);
        let (_, primary) = Fake::of(folder.clone(), 4).serve().await;
        let (_, witness) = Fake::of(folder.join("fork"), 4).serve().await;
        let source = source(&anchor, vec![node("primary", &primary), node("witness", &witness)]);
        let blocks = trusted(&anchor, &source.steps(at(1), 100).await.unwrap());
        let rivals = source.others(at(3)).await.unwrap();
        let found =
            rivals.iter().find_map(|step| client(&anchor).conflict(&blocks[2], step, &mut Budget::for_update()));
        assert!(found.is_some(), "{line}: two signed blocks of height 3");
        assert_eq!(benched(&source, "witness"), Some("forked"));
    }
}

/// What a server of altered answers is benched for, beside a good one, and what the source says where it is alone.
async fn altered(bad: Fake) -> (Option<&'static str>, String) {
    let folder = recordings("0.38");
    let anchor = anchor(&folder);
    let ((_, bad), (_, good)) = (bad.serve().await, good("0.38").serve().await);
    let both = source(&anchor, vec![node("bad", &bad), node("good", &good)]);
    assert_eq!(both.steps(at(1), 100).await.unwrap().len() as u64, last(&folder));
    let alone = source(&anchor, vec![node("bad", &bad)]);
    (benched(&both, "bad"), alone.steps(at(1), 100).await.unwrap_err().to_string())
}

fn with(method: &'static str, change: impl Fn(&mut Value, &Value) + Send + Sync + 'static) -> Fake {
    good("0.38").rule(move |fake, asked, params| {
        let mut answer: Value =
            (asked == method).then(|| serde_json::from_slice(&fake.recorded(asked, params)).unwrap())?;
        change(&mut answer["result"], params);
        Some(bytes(answer.to_string()))
    })
}

/// Two validators a page, and the first page again and again.
#[tokio::test]
async fn a_page_that_repeats() {
    let fake = with("validators", |result, _| {
        result["validators"].as_array_mut().unwrap().truncate(2);
        result["count"] = json!("2");
    });
    let (why, words) = altered(fake).await;
    assert_eq!(why, Some("unreachable"));
    assert!(words.starts_with("node bad answers badly: expected each validator once"), "{words}");
}

#[tokio::test]
async fn totals_that_do_not_add_up() {
    for total in [json!("3"), json!("0"), json!("5000"), json!(4), Value::Null] {
        let fake = with("validators", move |result, _| result["total"] = total.clone());
        assert_eq!(altered(fake).await.0, Some("unreachable"));
    }
    // Five are said, four come, and then nothing.
    let fake = with("validators", |result, params| {
        result["total"] = json!("5");
        if params["page"] != "1" {
            result["validators"] = json!([]);
        }
    });
    let (why, words) = altered(fake).await;
    assert_eq!(why, Some("unreachable"));
    assert!(words.contains("expected all 5 validators, got 4"), "{words}");
}

#[tokio::test]
async fn a_header_of_another_height_and_one_that_was_altered() {
    let fake = with("commit", |result, params| {
        if params["height"] == "9" {
            result["signed_header"]["header"]["height"] = json!("10");
        }
    });
    assert_eq!(altered(fake).await.0, Some("unreachable"));
    let fake = with("commit", |result, params| {
        if params["height"] == "9" {
            result["signed_header"]["header"]["app_hash"] = json!("00");
        }
    });
    assert_eq!(altered(fake).await.0, Some("lying"));
}

#[tokio::test]
async fn a_power_that_was_altered() {
    let fake = with("validators", |result, _| result["validators"][0]["voting_power"] = json!("1000"));
    assert_eq!(altered(fake).await.0, Some("lying"));
}

#[tokio::test]
async fn answers_cut_garbled_and_refused() {
    let cut = good("0.38").rule(|fake, method, params| {
        let whole = fake.recorded(method, params);
        (method == "commit").then(|| bytes(&whole[..whole.len() / 2]))
    });
    assert_eq!(altered(cut).await.0, Some("unreachable"));
    let garbled = good("0.38").rule(|_, method, _| (method == "commit").then(|| bytes([0xff, 0xfe, 0])));
    assert_eq!(altered(garbled).await.0, Some("unreachable"));
    let down = good("0.38").rule(|_, _, _| Some(status(503)));
    assert_eq!(altered(down).await.0, Some("unreachable"));
    let closed = good("0.38").rule(|_, _, _| Some(status(403)));
    let (_, words) = altered(closed).await;
    assert_eq!(words, "node bad refuses: status 403 Forbidden");
}

#[tokio::test]
async fn a_node_that_pruned_what_it_says_it_keeps() {
    let fake = good("0.38").rule(|_, method, params| {
        let old = method == "commit" && params["height"] == "2";
        old.then(|| bytes(refusal("height 2 is not available, lowest height is 3").to_string()))
    });
    let (why, words) = altered(fake).await;
    assert_eq!(why, None, "it serves other heights");
    assert!(words.contains("no node holds the commit of block 2 (error -32603"), "{words}");
}

#[tokio::test]
async fn a_node_that_boasts_of_a_height_that_it_cannot_show() {
    let folder = recordings("0.38");
    let anchor = anchor(&folder);
    let boaster = good("0.38").rule(|fake, method, _| {
        let mut told = fake.status();
        told["result"]["sync_info"]["latest_block_height"] = json!("1000000");
        (method == "status").then(|| bytes(told.to_string()))
    });
    let ((_, bad), (_, good)) = (boaster.serve().await, good("0.38").serve().await);
    let source = source(&anchor, vec![node("bad", &bad), node("good", &good)]);
    assert_eq!(source.tip().await.unwrap(), at(last(&folder)));
    assert_eq!((benched(&source, "bad"), benched(&source, "good")), (Some("lying"), None));
}
