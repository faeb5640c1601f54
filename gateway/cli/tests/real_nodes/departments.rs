//! Real blocks through two gateways and a relayer to a subscriber at the other department, while a node, each gateway
//! and the relayer are killed and come back: what was emitted is what arrives, once each, in the ledger's order.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::city::City;
use crate::geth::{CliqueNetwork, Emitted};
use crate::guard;
use crate::program::Program;
use crate::registry::Call;
use crate::samples;
use crate::wait::until;

/// Events at least, half of them on each lane. More come where the kills take longer.
const EVENTS_LEAST: usize = 60;
/// Events that are emitted while a gateway or the relayer is down.
const WHILE_DOWN: usize = 4;
/// Events between a return and the next kill.
const BETWEEN: usize = 4;
/// More blocks on top than three signers need to confirm one.
const DEEP: u64 = 3;
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test]
async fn every_event_arrives_proven_and_once_though_everything_is_killed() {
    let test = "departments::every_event_arrives_proven_and_once_though_everything_is_killed";
    let Some(real) = guard::enter(test).await else { return };
    let network = CliqueNetwork::start(&real, 3).await;
    let contract = network.deploy_registry().await;
    let city = City::found(&network, &contract).await;
    city.open().await;
    let subscriber = city.subscribe();

    let stream = Stream::default();
    let (emitted, ()) = tokio::join!(stream.run(&network), async {
        kill_one_after_the_other(&network, &city, &stream).await;
        stream.may_end.store(true, Ordering::Relaxed);
    });
    let began = Instant::now();
    until(&format!("{} events at the subscriber", emitted.len()), PATIENCE, async || {
        let count = subscriber.events().len();
        if count >= emitted.len() { Ok(()) } else { Err(format!("{count} came")) }
    })
    .await;
    println!("departments: the last event arrived {:.1?} after it was in a block", began.elapsed());

    // Were anything doubled, it would come now at the latest.
    let sizes = city.settled().await;
    println!("departments: leaves at the receiver, none held: {sizes:?}");
    let received = subscriber.events();
    require_once_each(&received);
    for record_type in ["e-certificate", "property-right"] {
        let sent: Vec<&Emitted> = emitted.iter().filter(|event| type_of(&event.call) == record_type).collect();
        let came: Vec<&Value> = received.iter().filter(|event| event["data"]["type"] == record_type).collect();
        require_equal(&network, &sent, &came).await;
        println!("departments: {record_type}: {} emitted, {} received: equal, in order", sent.len(), came.len());
    }
    assert_eq!(received.len(), emitted.len());
    // Headers that nobody has signed on top of yet are no use to the destination: the origin keeps them to itself.
    let in_vain = city.relayer.log().lines().filter(|line| line.contains("no-progress")).count();
    assert_eq!(in_vain, 0, "headers were carried that moved nothing");
    let reconnects = city.reconnects();
    assert!(reconnects > 0, "the subscriber never lost the gateway: nothing was tried");
    println!(
        "departments: {} events emitted, {} received, all proven and probabilistic; {reconnects} attempts to reconnect",
        emitted.len(),
        received.len()
    );
}

/// A registrar who goes on writing, whatever happens to the gateways.
#[derive(Default)]
struct Stream {
    count: AtomicUsize,
    may_end: AtomicBool,
}

impl Stream {
    /// Two events at a time, one for each lane, each in a block before the next two come.
    async fn run(&self, network: &CliqueNetwork) -> Vec<Emitted> {
        let mut emitted = Vec::new();
        while emitted.len() < EVENTS_LEAST || !self.may_end.load(Ordering::Relaxed) {
            let number = emitted.len() / 2;
            let calls = vec![samples::certificate(number), samples::property_right(number)];
            emitted.extend(network.emit_all(calls).await);
            self.count.store(emitted.len(), Ordering::Relaxed);
        }
        emitted
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Waits for `more` events in blocks.
    async fn goes_on(&self, more: usize) {
        let due = self.count() + more;
        until(&format!("{due} events in blocks"), PATIENCE, async || match self.count() {
            count if count >= due => Ok(()),
            count => Err(format!("{count} are")),
        })
        .await;
    }
}

async fn kill_one_after_the_other(network: &CliqueNetwork, city: &City, stream: &Stream) {
    stream.goes_on(BETWEEN).await;
    // The node that the origin prefers.
    network.kill(0).await;
    stream.goes_on(2).await;
    for program in [&city.origin, &city.receiver, &city.relayer] {
        kill_and_restart(program, stream).await;
        stream.goes_on(BETWEEN).await;
        if std::ptr::eq(program, &city.origin) {
            network.restart(0).await;
        }
    }
    // Both ends of the way at once.
    let (origin, receiver) = tokio::join!(city.origin.kill(), city.receiver.kill());
    println!(
        "departments: both gateways: SIGKILL to processes {origin} and {receiver} after {} events",
        stream.count()
    );
    stream.goes_on(2).await;
    let (origin, receiver) = tokio::join!(city.origin.start(), city.receiver.start());
    println!("departments: both gateways are back as processes {origin} and {receiver}");
}

async fn kill_and_restart(program: &Program, stream: &Stream) {
    let before = stream.count();
    let pid = program.kill().await;
    println!("departments: {}: SIGKILL to process {pid} after {before} events", program.name());
    stream.goes_on(WHILE_DOWN).await;
    let pid = program.start().await;
    println!("departments: {} is back as process {pid}, {} events later", program.name(), stream.count() - before);
}

fn require_once_each(received: &[Value]) {
    let ids: BTreeSet<&str> = received.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), received.len(), "a record came twice");
    for event in received {
        assert_eq!(event["id"], event["data"]["recordId"]);
        assert_eq!((&event["assurance"], &event["finality"]), (&"proven".into(), &"probabilistic".into()), "{event}");
    }
}

/// One lane: as a list of digests, then each record with what was emitted and where that stands on the ledger.
async fn require_equal(network: &CliqueNetwork, sent: &[&Emitted], came: &[&Value]) {
    let due: Vec<String> = sent.iter().map(|event| samples::digest(&event.call.event, &event.call.args)).collect();
    let got: Vec<String> = came
        .iter()
        .map(|event| {
            let (name, args) = samples::event_of(&event["data"]);
            samples::digest(name, &args)
        })
        .collect();
    assert_eq!(got, due, "the digests received are not those emitted");
    assert_eq!(due.iter().collect::<BTreeSet<_>>().len(), due.len(), "the samples repeat: this test proves little");
    for (emitted, event) in sent.iter().zip(came) {
        let record = &event["data"];
        assert_eq!(record["body"], samples::body(&emitted.call));
        // A reorganisation may have moved it since it was first in a block.
        let receipt = network.buried(emitted, DEEP).await.receipt;
        let provenance = &record["provenance"];
        assert_eq!(provenance["height"], receipt.block.to_string());
        assert_eq!(provenance["blockHash"], receipt.block_hash.trim_start_matches("0x"));
        assert_eq!(provenance["txIndex"], receipt.index);
    }
}

fn type_of(call: &Call) -> &'static str {
    if call.event == "CertificateChanged" { "e-certificate" } else { "property-right" }
}
