//! Real CometBFT networks of the two lines: state keys through two gateways and a relayer while a validator is down, while
//! the validators change with the origin away, and a second network of the same keys as a witness.
//!
//! The lane is the recommended one: a state key a message, complete by proof (docs/cometbft.md).

mod network;

use std::time::Duration;

use hufu_cometbft_light_client::LightStep;
use hufu_gateway_store::Store;
use serde_json::{Map, Value, json};
use tokio::process::Command;

use self::network::{Homes, Network};
use crate::city::{City, Lane, Ledger};
use crate::guard;
use crate::program::{Subscriber, text};
use crate::registry;
use crate::samples;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(40);
const CHAIN_ID: &str = "hufu-real";
const ACCEPTS: &str = "least_assurance = \"proven\"\nfinality = [\"bft-final\"]\n";

#[tokio::test]
async fn state_keys_arrive_proven_while_validators_of_0_38_come_and_go() {
    let test = "cometbft::state_keys_arrive_proven_while_validators_of_0_38_come_and_go";
    follow(test, "0.38").await;
}

#[tokio::test]
async fn state_keys_arrive_proven_while_validators_of_1_0_come_and_go() {
    let test = "cometbft::state_keys_arrive_proven_while_validators_of_1_0_come_and_go";
    follow(test, "1.0").await;
}

#[tokio::test]
async fn a_second_network_of_the_same_keys_freezes_a_0_38_ledger() {
    fork("cometbft::a_second_network_of_the_same_keys_freezes_a_0_38_ledger", "0.38").await;
}

#[tokio::test]
async fn a_second_network_of_the_same_keys_freezes_a_1_0_ledger() {
    fork("cometbft::a_second_network_of_the_same_keys_freezes_a_1_0_ledger", "1.0").await;
}

async fn follow(test: &str, line: &str) {
    let Some(real) = guard::enter_with(test, &format!("install-cometbft.sh {line}")).await else { return };
    let network = Homes::new(&real, CHAIN_ID, "200ms").await.network("a").await;
    network.start().await;
    let ledger = Ledger::cometbft(CHAIN_ID, &network.hash(1).await, (0..3).map(|node| network.url(node)).collect());
    let city = City::found_with(&ledger, &[lane()], ACCEPTS).await;
    city.open().await;
    let subscriber = city.subscribe();
    let mut register = Register { network: &network, line, written: Vec::new() };

    register.write(3).await;
    register.require_arrived(&subscriber).await;

    // One of four validators is gone: the others are more than two thirds.
    let pid = network.kill(3).await;
    println!("cometbft {line}: SIGKILL to validator 3, process {pid}, at height {}", network.height().await);
    register.write(2).await;
    let height = network.height().await;
    network.reach(height + 2).await;
    assert_eq!(network.votes(height + 1).await, 3, "the chain goes on with three");
    register.require_arrived(&subscriber).await;
    let pid = network.start_node(3);
    println!("cometbft {line}: validator 3 is back as process {pid}");

    // Powers change and a validator goes while nobody of ours looks.
    let pid = city.origin.kill().await;
    println!("cometbft {line}: SIGKILL to {}, process {pid}, at height {}", city.origin.name(), network.height().await);
    let changed = network.set_power(2, 3).await;
    register.write(2).await;
    let removed = network.set_power(1, 0).await;
    register.write(2).await;
    let validators = until("the validators to be three", PATIENCE, async || match network.validators().await {
        set if set.len() == 3 => Ok(set),
        set => Err(format!("{set:?}")),
    })
    .await;
    assert!(validators.iter().any(|(_, power)| *power == 3), "{validators:?}");
    println!("cometbft {line}: a power changed at height {changed}, a validator removed at {removed}: {validators:?}");
    let pid = city.origin.start().await;
    println!("cometbft {line}: {} is back as process {pid} at height {}", city.origin.name(), network.height().await);
    register.write(2).await;
    register.require_arrived(&subscriber).await;
    require_known(&city, &validators, line).await;
    println!("cometbft {line}: leaves at the receiver, none held: {:?}", city.settled().await);
    require_audited(&network, line).await;
}

/// An auditor who captured the same network comes to the same end, changes of validators and all.
async fn require_audited(network: &Network, line: &str) {
    let last = network.height().await - 1;
    let folder = tempfile::tempdir().unwrap();
    let (anchor, capture) = (folder.path().join("anchor.toml"), folder.path().join("capture.jsonl"));
    let trusted = format!(
        "family = \"cometbft\"\nchain_id = \"{CHAIN_ID}\"\nheight = 1\nhash = \"{}\"\ntrusting_period = 1209600\n",
        network.hash(1).await
    );
    std::fs::write(&anchor, trusted).unwrap();
    std::fs::write(&capture, network.capture(last).await).unwrap();
    let args = ["audit", "cometbft", "--json", "--anchor", text(&anchor), text(&capture)];
    let output = Command::new(env!("CARGO_BIN_EXE_hufu")).args(args).output().await.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let closing = said.lines().last().unwrap();
    let due = json!({ "summary": { "blocks": last, "final": last, "rejected": 0, "not_yet": 0 } });
    assert_eq!(serde_json::from_str::<Value>(closing).unwrap(), due);
    println!("cometbft {line}: hufu audit cometbft of what the first node answers: {closing}");
}

/// Both gateways know who signs: the origin from its nodes, the receiver from headers alone.
async fn require_known(city: &City, validators: &[(String, u64)], line: &str) {
    let mut due: Vec<&str> = validators.iter().map(|(address, _)| address.as_str()).collect();
    due.sort_unstable();
    let known = until("both gateways to know the validators", PATIENCE, async || {
        let mut known = city.validators().await;
        known.iter_mut().for_each(|known| known.sort());
        if known.iter().all(|known| *known == due) { Ok(known) } else { Err(format!("{known:?}")) }
    })
    .await;
    println!("cometbft {line}: both gateways know {:?}", known[0]);
}

/// The certificates' lane of the shipped mapping, in the application's one store.
fn lane() -> Lane {
    Lane {
        name: "certificates",
        record_type: "e-certificate",
        mapping: "certificate-state",
        placeholder: ("store: registry".to_owned(), "store: notices".to_owned()),
    }
}

/// A registrar that writes a state key a message.
struct Register<'n> {
    network: &'n Network,
    line: &'n str,
    /// Where each stands, with the body that its record must have.
    written: Vec<(u64, Value)>,
}

impl Register<'_> {
    async fn write(&mut self, count: usize) {
        for _ in 0..count {
            let number = self.written.len();
            let call = samples::certificate(number);
            let fields: Map<String, Value> =
                registry::argument_names(&call.event).into_iter().zip(call.args.iter().map(|arg| json!(arg))).collect();
            // Numbers begin at 1.
            let key = [b"certificate/".as_slice(), &(number as u64 + 1).to_be_bytes()].concat();
            let tx = [b"put ".as_slice(), &key, b"=", Value::Object(fields).to_string().as_bytes()].concat();
            let height = self.network.send(&tx).await;
            self.written.push((height, samples::body(&call)));
        }
        let heights: Vec<u64> = self.written.iter().rev().take(count).map(|(height, _)| *height).collect();
        println!("cometbft {}: {count} keys written, in blocks {heights:?} from the last down", self.line);
    }

    /// Everything written has come, once each, in order, proven, as it was written.
    async fn require_arrived(&self, subscriber: &Subscriber) {
        let due = self.written.len();
        let events = until(&format!("{due} records at the subscriber"), PATIENCE, async || {
            let events = subscriber.events();
            if events.len() >= due { Ok(events) } else { Err(format!("{} came", events.len())) }
        })
        .await;
        assert_eq!(events.len(), due);
        for (event, (height, body)) in events.iter().zip(&self.written) {
            assert_eq!((&event["assurance"], &event["finality"]), (&"proven".into(), &"bft-final".into()), "{event}");
            assert_eq!(event["data"]["body"], *body);
            assert_eq!(event["data"]["provenance"]["height"], height.to_string());
        }
        println!("cometbft {}: {due} records received, all proven and equal to what was written", self.line);
    }
}

/// Two networks of one genesis and the same keys: their blocks differ from the second on, and both are signed by all.
async fn fork(test: &str, line: &str) {
    let Some(real) = guard::enter_with(test, &format!("install-cometbft.sh {line}")).await else { return };
    let homes = Homes::new(&real, CHAIN_ID, "1s").await;
    let (ours, other) = (homes.network("a").await, homes.network("b").await);
    // One after the other, each stopped by the loss of its quorum at the same height: a first node goes on answering.
    let end = stop_at(&other, 4).await;
    let last = stop_at(&ours, end).await;
    assert!(last <= end + 1, "ours went on to {last}, the other stands at {end}");
    let first = ours.hash(1).await;
    assert_eq!(first, other.hash(1).await, "one genesis, one first block");
    println!("cometbft {line}: two networks of one genesis stand at heights {last} and {end}");

    let ledger = Ledger::cometbft(&homes.chain_id, &first, vec![ours.url(0), other.url(0)]);
    let city = City::found_with(&ledger, &[lane()], ACCEPTS).await;
    let pid = city.origin.start().await;
    println!("cometbft {line}: {} is process {pid}; the second network is its witness", city.origin.name());
    let frozen = until("the ledger to freeze", PATIENCE, async || {
        let status = city.origins_ledger().await;
        status["frozen"].as_str().map(str::to_owned).ok_or_else(|| status.to_string())
    })
    .await;
    assert!(frozen.starts_with("two signed blocks at height "), "{frozen}");
    println!("cometbft {line}: the ledger is frozen: {frozen}");

    city.origin.kill().await;
    let store = Store::open(city.origins_database()).await.unwrap();
    let log = store.operator_log(0, 10).await.unwrap();
    let artefacts = log.iter().find_map(|act| act.artefacts.clone()).expect("a freeze keeps what it is for");
    let found = &artefacts["misbehaviour"];
    let height = found["height"].as_u64().unwrap();
    let both = [ours.hash(height).await, other.hash(height).await];
    assert_ne!(both[0], both[1]);
    assert_eq!([&found["trusted"], &found["other"]].map(|it| it.as_str().unwrap().to_uppercase()), both);
    assert!(found["signers"].as_array().unwrap().len() >= 3, "{found}");
    let step = LightStep::parse(&hex::decode(artefacts["step"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(step.signed_header.header.hash().to_string(), both[1]);
    println!("cometbft {line}: kept as evidence: headers {} and {} of height {height}", both[0], both[1]);
    store.close().await;
}

/// Runs a network until a height and kills all validators but the first, which can make no block alone.
async fn stop_at(network: &Network, height: u64) -> u64 {
    network.start().await;
    network.reach(height).await;
    tokio::join!(network.kill(1), network.kill(2), network.kill(3));
    network.height().await
}
