//! The monitoring listener.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::support::{READER, World, plain_client, problem};

#[tokio::test]
async fn metrics_are_read_by_prometheus_rules() {
    let world = World::new().await;
    let client = plain_client();
    let application = world.as_application();
    for token in [READER, "wrong"] {
        application.get(world.applications("/v1/peers?a=b")).bearer_auth(token).send().await.unwrap();
    }
    let answer = client.get(world.monitoring("/metrics")).send().await.unwrap();
    assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = answer.text().await.unwrap();
    for line in [
        r#"hufu_http_requests_total{listener="applications",route="/v1/peers",status="200"} 1"#,
        r#"hufu_http_requests_total{listener="applications",route="/v1/peers",status="401"} 1"#,
        r#"hufu_rejections_total{reason="unauthenticated",where="http"} 1"#,
        r#"hufu_certificate_expiry_timestamp_seconds{file="gateway"} 2208988800"#,
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
    assert!(world.fake.seen("observe"), "the gateway was asked to bring its gauges up to date");
    well_formed(&text);
    promtool(&text);
}

/// Every sample belongs to a family with HELP and TYPE above it, and no label has a path or an address of a client.
fn well_formed(text: &str) {
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            families.push(rest.split(' ').next().unwrap());
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        assert!(families.contains(&family) || families.contains(&name), "{line}");
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        assert!(!line.contains("127.0.0.1") && !line.contains("a=b"), "{line}");
    }
    assert!(families.len() > 5);
}

fn promtool(text: &str) {
    let child =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = child else {
        println!("skipped: promtool is not installed");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn health_is_said_and_readiness_has_its_reason() {
    let world = World::new().await;
    let client = plain_client();
    let get = async |path: &str| {
        let answer = client.get(world.monitoring(path)).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(get("/readyz").await, (200, "ready\n".to_owned()));
    *world.fake.flood.lock().unwrap() = Some(1);
    assert_eq!(get("/readyz").await, (503, "the database does not write\n".to_owned()));
    let record = client.get(world.monitoring("/v1/records")).send().await.unwrap();
    assert_eq!(problem(record).await.1, "no-such-route", "no record data in the clear");
}
