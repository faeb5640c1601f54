//! What applications, auditors and monitoring see.

use std::collections::BTreeSet;
use std::time::Duration;

use hufu_gateway_server::backend::{Backend as _, EventFilter, RecordQuery};
use hufu_gateway_server::http::ProblemCode;
use hufu_schemas_core::{Digest, LaneId, RecordId};

use crate::support::{Stage, ids};

#[tokio::test(flavor = "multi_thread")]
async fn evidence_of_a_record_verifies_offline_and_fails_after_one_byte_is_changed() {
    let stage = Stage::set().await;
    stage.publish(1..4).await;
    stage.carry().await;
    let id = RecordId::parse(&ids(&stage.believed().await)[1]).unwrap();
    let bytes = stage.receiver.gateway().evidence(&id).await.unwrap();
    let verdict = stage.audit(&bytes).unwrap();
    assert!(verdict.steps.iter().all(|step| step.holds), "{:?}", verdict.steps);
    assert_eq!(verdict.record.expect("a record").record().id(), id);

    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let places = (0..text.len()).step_by(text.len() / 400 + 1);
    for at in places {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        let around = &text.as_bytes()[at.saturating_sub(40)..(at + 40).min(text.len())];
        let around = String::from_utf8_lossy(around).into_owned();
        if let Some(verdict) = stage.audit(&changed) {
            assert!(verdict.record.is_none(), "byte {at} of the file may be changed: …{around}…");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ends_give_evidence_of_the_same_record() {
    let stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry().await;
    for id in ids(&stage.believed().await) {
        let id = RecordId::parse(&id).unwrap();
        for office in [&stage.origin, &stage.receiver] {
            let bytes = office.gateway().evidence(&id).await.unwrap();
            let verdict = stage.audit(&bytes).unwrap();
            assert_eq!(verdict.reason, None, "{}: {:?}", office.name, verdict.steps);
        }
    }
    let nobody = RecordId::from_digest(Digest::of(b"nobody's record"));
    let problem = stage.receiver.gateway().evidence(&nobody).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::NoSuchRecord);
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_there_again_after_a_cut() {
    let mut stage = Stage::set().await;
    stage.publish(1..3).await;
    stage.carry().await;
    let id = RecordId::parse(&ids(&stage.believed().await)[0]).unwrap();
    let before = stage.receiver.gateway().evidence(&id).await.unwrap();
    stage.receiver.cut_and_open().await;
    assert_eq!(stage.receiver.gateway().evidence(&id).await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_filtered_and_resumed_by_offset() {
    let stage = Stage::set().await;
    let published = stage.publish(1..6).await;
    stage.carry().await;
    let receiver = stage.receiver.gateway();
    let all = EventFilter::default();
    let mut seen = Vec::new();
    let mut after = None;
    // Two at a time, from where the last answer ended.
    loop {
        let batch = receiver.next_events(&all, after, 2, Duration::ZERO).await.unwrap();
        if batch.events.is_empty() {
            break;
        }
        assert!(batch.events.len() <= 2);
        for event in &batch.events {
            assert!(after.is_none_or(|after| event.offset > after), "offsets rise");
            assert_eq!(event.cloud_event["specversion"], "1.0");
            assert_eq!(event.cloud_event["type"], "hufu.e-certificate.issue");
            seen.push(event.cloud_event["id"].as_str().unwrap().to_owned());
        }
        after = batch.scanned;
    }
    assert_eq!(seen, ids(&published), "every record once, in order; the event's id is the recordId");

    let ours = EventFilter { record_type: Some("e-certificate".to_owned()), lane: Some(stage.lane.clone()) };
    assert_eq!(receiver.next_events(&ours, None, 100, Duration::ZERO).await.unwrap().events.len(), 5);
    let other_lane = LaneId::parse("notary.example/other/1").unwrap();
    let nothing = [
        EventFilter { record_type: Some("property-right".to_owned()), lane: None },
        EventFilter { record_type: None, lane: Some(other_lane) },
    ];
    for filter in nothing {
        let batch = receiver.next_events(&filter, None, 100, Duration::ZERO).await.unwrap();
        assert!(batch.events.is_empty());
        assert_eq!(batch.scanned, after, "a filter that matches nothing goes on from the end, not from the start");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_who_waits_is_woken_by_a_record() {
    let stage = Stage::set().await;
    stage.publish(1..2).await;
    stage.carry().await;
    let (receiver, all) = (stage.receiver.gateway(), EventFilter::default());
    let last = receiver.next_events(&all, None, 10, Duration::ZERO).await.unwrap().scanned;
    let published = stage.publish(2..3).await;
    let waits = receiver.next_events(&all, last, 10, Duration::from_secs(30));
    let (batch, _) = tokio::join!(waits, stage.carry());
    let events = batch.unwrap().events;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].cloud_event["id"].as_str(), ids(&published).last().map(String::as_str));
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_stand_after_a_cut() {
    let mut stage = Stage::set().await;
    stage.publish(1..4).await;
    stage.carry().await;
    let all = EventFilter::default();
    let before = stage.receiver.gateway().next_events(&all, None, 10, Duration::ZERO).await.unwrap();
    stage.receiver.cut_and_open().await;
    let after = stage.receiver.gateway().next_events(&all, None, 10, Duration::ZERO).await.unwrap();
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_paged_by_cursor() {
    let stage = Stage::set().await;
    let published = stage.publish(1..6).await;
    stage.carry().await;
    let mut query = RecordQuery {
        record_type: Some("e-certificate".to_owned()),
        ledger: Some(stage.ledger.id.clone()),
        lane: None,
        since: None,
        assurance: None,
        cursor: None,
        limit: 2,
    };
    let mut seen = Vec::new();
    for _ in 0..5 {
        let page = stage.receiver.gateway().records(query.clone()).await.unwrap();
        assert!(page.records.len() <= 2);
        seen.extend(page.records);
        query.cursor = page.next;
        if query.cursor.is_none() {
            break;
        }
    }
    assert_eq!(ids(&seen), ids(&published));
    query.cursor = Some("no cursor of ours".to_owned());
    let problem = stage.receiver.gateway().records(query).await.unwrap_err();
    assert_eq!(problem.code, ProblemCode::MalformedRequest);
}

type Labels<'a> = Vec<(&'a str, &'a str)>;

/// A sample's name and labels, or why the line is none (the text format of Prometheus).
fn sample(line: &str) -> Result<(&str, Labels<'_>), String> {
    let (head, value) = line.rsplit_once(' ').ok_or("no value")?;
    let number = matches!(value, "+Inf" | "-Inf" | "NaN") || value.parse::<f64>().is_ok();
    if !number {
        return Err(format!("{value} is no number"));
    }
    let Some((name, labels)) = head.split_once('{') else { return Ok((head, Vec::new())) };
    let labels = labels.strip_suffix('}').ok_or("the labels do not end")?;
    let pairs = labels.split("\",").map(|pair| {
        let (label, value) = pair.split_once("=\"").ok_or_else(|| format!("{pair} is no label"))?;
        Ok((label, value.trim_end_matches('"')))
    });
    Ok((name, pairs.collect::<Result<Vec<_>, String>>()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_text_parses_and_says_what_happened() {
    let stage = Stage::set().await;
    stage.publish(1..4).await;
    stage.carry().await;
    for office in [&stage.origin, &stage.receiver] {
        office.gateway().observe().await;
        let text = office.metrics();
        let mut families = BTreeSet::new();
        let mut samples = BTreeSet::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                assert!(families.insert(rest.split(' ').next().unwrap()), "{line} stands twice");
            } else if !line.starts_with("# HELP ") {
                let (name, labels) = sample(line).unwrap_or_else(|why| panic!("{line}: {why}"));
                let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
                assert!(families.contains(name) || base.is_some_and(|base| families.contains(base)), "{line}");
                assert!(samples.insert((name, labels)), "{line} stands twice");
            }
        }
        let line =
            |text: &str| assert!(office.metrics().contains(text), "{}: {text} in\n{}", office.name, office.metrics());
        line(&format!("hufu_records_total{{assurance=\"proven\",lane=\"{}\"}} 3", stage.lane));
        line(&format!("hufu_ledger_head_height{{ledger=\"{}\"}} 4", stage.ledger.id));
        line(&format!("hufu_lane_frozen{{lane=\"{}\"}} 0", stage.lane));
        assert!(samples.iter().any(|(name, _)| *name == "hufu_database_bytes"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_runs_is_ready() {
    let stage = Stage::set().await;
    for office in [&stage.origin, &stage.receiver] {
        office.gateway().ready().await.unwrap();
        let status = office.gateway().status().await.unwrap();
        assert_eq!(status["gateway"], office.name);
    }
}
