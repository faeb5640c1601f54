//! A ledger that nobody seals, through two gateways and a relayer: on its node's word, and only where the receiver's
//! operator takes that; and what becomes of records whose blocks the node takes back.

use std::time::Duration;

use serde_json::Value;

use crate::anvil::{Anvil, CHAIN_ID};
use crate::city::{City, Ledger};
use crate::guard;
use crate::samples;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);
/// What the anchor asks for.
const CONFIRMATIONS: u64 = 3;
const PROOF: &str = "least_assurance = \"proven\"\n";
const WORD: &str = "least_assurance = \"attested\"\n";

#[tokio::test]
async fn records_of_an_unsealed_ledger_are_attested_at_most_and_are_taken_back_with_their_blocks() {
    let test = "unsealed::records_of_an_unsealed_ledger_are_attested_at_most_and_are_taken_back_with_their_blocks";
    let Some(real) = guard::enter_with(test, "install-anvil.sh").await else { return };
    let node = Anvil::start(&real).await;
    let contract = node.deploy_registry().await;
    let consensus = format!("\"unsealed\", confirmations = {CONFIRMATIONS}");
    let ledger = Ledger::anchored(node.genesis_hash(), &consensus, CHAIN_ID, vec![node.url()]);
    let city = City::found_on(&ledger, &contract, &format!("{PROOF}finality = [\"unsealed\"]\n")).await;
    city.open().await;
    let subscriber = city.subscribe();

    // A receiver that asks for proof holds everything.
    node.emit(&contract, &samples::certificate(1)).await;
    let last = node.emit(&contract, &samples::property_right(1)).await;
    node.wait_for_height(last + CONFIRMATIONS).await;
    until("both records to be held", PATIENCE, async || match city.held().await {
        held if held == ["assurance-below-policy"; 2] => Ok(()),
        held => Err(format!("{held:?}")),
    })
    .await;
    assert_eq!(subscriber.events(), Vec::<Value>::new());
    println!("unsealed: two records held: the policy asks for proof");

    // Its operator takes the node's word.
    city.accept(PROOF, WORD);
    let events = comes(&subscriber, 2).await;
    for event in &events {
        assert_eq!((&event["assurance"], &event["finality"]), (&"attested".into(), &"unsealed".into()), "{event}");
    }
    println!("unsealed: both are believed, attested, once the policy says so");

    // Above the confirmation depth: nothing but waiting.
    node.reorganise(CONFIRMATIONS - 1).await;
    let shallow = node.emit(&contract, &samples::certificate(2)).await;
    let events = comes(&subscriber, 3).await;
    assert!(events.iter().all(|event| !is_retraction(event)), "{events:?}");
    println!("unsealed: a reorganisation of {} blocks took nothing back", CONFIRMATIONS - 1);

    // Below it: what stood in the undone blocks is taken back, the rest stands.
    let depth = node.height().await - shallow + 1;
    assert!(depth > CONFIRMATIONS);
    node.reorganise(depth).await;
    let again = node.emit(&contract, &samples::certificate(3)).await;
    let events = comes(&subscriber, 5).await;
    let taken_back: Vec<&Value> = events.iter().filter(|event| is_retraction(event)).collect();
    assert_eq!(taken_back.len(), 1);
    assert_eq!(taken_back[0]["data"]["recordId"], events[2]["id"]);
    assert_eq!(taken_back[0]["data"]["reason"], "reorganised");
    assert_eq!(events[4]["data"]["provenance"]["height"], again.to_string());
    assert_eq!(city.held().await, Vec::<String>::new());
    println!("unsealed: a reorganisation of {depth} blocks took back the record of block {shallow}, and no other");
    for program in [&city.origin, &city.receiver] {
        let log = program.log();
        let line = log.lines().find(|line| line.contains("reorganised below its confirmation depth"));
        println!("unsealed: {}: {}", program.name(), line.expect("the operator is told"));
    }
    println!("unsealed: leaves at the receiver, none held: {:?}", city.settled().await);
}

fn is_retraction(event: &Value) -> bool {
    event["type"].as_str().is_some_and(|name| name.ends_with(".retracted"))
}

async fn comes(subscriber: &crate::program::Subscriber, due: usize) -> Vec<Value> {
    until(&format!("{due} events at the subscriber"), PATIENCE, async || {
        let events = subscriber.events();
        if events.len() >= due { Ok(events) } else { Err(format!("{} came", events.len())) }
    })
    .await
}
