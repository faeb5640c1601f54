//! Signers that change while nobody looks: a real Clique network votes one in and another out while the gateway that
//! reads it is down.

use std::time::Duration;

use crate::city::City;
use crate::geth::CliqueNetwork;
use crate::guard;
use crate::samples;
use crate::wait::until;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_signer_is_voted_in_and_another_out_while_the_origin_is_down() {
    let test = "signers::a_signer_is_voted_in_and_another_out_while_the_origin_is_down";
    let Some(real) = guard::enter(test).await else { return };
    let network = CliqueNetwork::start(&real, 4).await;
    let contract = network.deploy_registry().await;
    let signers = network.signers();
    // A vote that the gateways see as it passes: three remain, and the fourth node goes on without sealing.
    network.vote(&[0, 1, 2], &signers[3], false).await;
    let city = City::found(&network, &contract).await;
    city.open().await;
    let subscriber = city.subscribe();
    let mut emitted = network.emit_all(vec![samples::certificate(1), samples::property_right(1)]).await;
    until("the first events to arrive", PATIENCE, async || arrived(&subscriber.events(), emitted.len())).await;
    println!("signers: both gateways know {:?}", city.validators().await);

    let pid = city.origin.kill().await;
    println!("signers: {}: SIGKILL to process {pid} at height {}", city.origin.name(), network.height().await);
    network.vote(&[0, 1], &signers[3], true).await;
    emitted.extend(network.emit_all(vec![samples::certificate(2), samples::property_right(2)]).await);
    network.vote(&[0, 1, 3], &signers[2], false).await;
    emitted.extend(network.emit_all(vec![samples::certificate(3), samples::property_right(3)]).await);
    let pid = city.origin.start().await;
    println!("signers: {} is back as process {pid} at height {}", city.origin.name(), network.height().await);
    emitted.extend(network.emit_all(vec![samples::certificate(4), samples::property_right(4)]).await);

    until("every event to arrive", PATIENCE, async || arrived(&subscriber.events(), emitted.len())).await;
    let events = subscriber.events();
    assert_eq!(events.len(), emitted.len());
    for event in &events {
        assert_eq!((&event["assurance"], &event["finality"]), (&"proven".into(), &"probabilistic".into()), "{event}");
    }
    let mut due = vec![signers[0].clone(), signers[1].clone(), signers[3].clone()];
    due.sort();
    assert_eq!(network.signers_now().await, due);
    let known = until("both gateways to know the signers", PATIENCE, async || {
        let known = city.validators().await;
        if known.iter().all(|known| *known == due) { Ok(known) } else { Err(format!("{known:?}")) }
    })
    .await;
    println!("signers: {} events, all proven; both gateways know {known:?}", events.len());
    println!("signers: leaves at the receiver, none held: {:?}", city.settled().await);
}

fn arrived(events: &[serde_json::Value], due: usize) -> Result<(), String> {
    if events.len() >= due { Ok(()) } else { Err(format!("{} of {due}", events.len())) }
}
