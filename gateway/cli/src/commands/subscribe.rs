//! `hufu subscribe`: a gateway's events as they come, none lost over a broken connection.

use std::time::Duration;

use hufu_schemas_core::LaneId;
use serde_json::Value;

use crate::answer::{Answer, misuse};
use crate::client::events::{Event, EventParser};
use crate::client::{Access, Client, Problem, printable, shown};
use crate::commands::running;
use crate::output::Output;

const EXAMPLES: &str = "\
Examples:
  hufu subscribe https://tax.example:7402 --ca ca.pem --token-file token
  hufu subscribe https://127.0.0.1:7402 --config gateway.toml --token-file token --type e-certificate
  hufu subscribe https://tax.example:7402 --ca ca.pem --token-file token --after 1200 --count 10 --json

One line an event: time, type, key, assurance/control/finality/completeness; with --json the CloudEvent, whose `sequence` is the
offset. A broken connection is resumed after the last event that was printed. Events come at least once a run: whoever
stops this command and goes on later gives --after.";

/// Print a gateway's events as they come, from the first one or from an offset on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The gateway's applications listener, such as https://tax.example:7402.
    url: String,
    /// Only records of this type, such as e-certificate.
    #[arg(long = "type", value_name = "TYPE")]
    record_type: Option<String>,
    /// Only what came by this lane, such as notary.example/certificates/1.
    #[arg(long)]
    lane: Option<LaneId>,
    /// Begin after the event with this offset.
    #[arg(long, value_name = "OFFSET")]
    after: Option<u64>,
    /// Stop after this many events.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    access: Access,
}

/// Pauses between attempts: short at first, since most breaks are a restart.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

pub(crate) fn run(args: &Args, out: &Output) -> anyhow::Result<Answer> {
    let client = args.access.client(&args.url)?;
    let mut feed = Feed { args, out, last: args.after, left: args.count, connected: false, pause: FIRST_PAUSE };
    let ended = running::runtime()?.block_on(async {
        tokio::select! {
            ended = feed.follow(&client) => ended,
            () = running::asked_to_stop() => Ok(()),
        }
    });
    if let Some(last) = feed.last {
        out.tell(&format!("last offset {last}; to go on from there: --after {last}"));
    }
    ended.map(|()| Answer::Yes)
}

struct Feed<'a> {
    args: &'a Args,
    out: &'a Output,
    last: Option<u64>,
    left: Option<u64>,
    connected: bool,
    pause: Duration,
}

/// Why one connection gave no more.
enum End {
    /// As many events as were asked for.
    Enough,
    /// The connection ended or broke.
    Broken(anyhow::Error),
}

impl Feed<'_> {
    /// Until enough events came. A gateway that never answered is a mistake in the command; one that did comes back.
    async fn follow(&mut self, client: &Client) -> anyhow::Result<()> {
        loop {
            let fault = match self.stream(client).await? {
                End::Enough => return Ok(()),
                End::Broken(fault) => fault,
            };
            let problem = fault.downcast_ref::<Problem>();
            let hopeless = problem.is_some_and(|problem| !problem.passes());
            if hopeless || (!self.connected && problem.is_none()) {
                return Err(fault);
            }
            let asked = problem.and_then(Problem::retry_after).unwrap_or_default();
            let wait = asked.max(with_jitter(self.pause));
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            self.out.tell(&format!("{fault:#}; trying again in {:.1} s", wait.as_secs_f64()));
            tokio::time::sleep(wait).await;
        }
    }

    /// One connection. `Err`: not worth another attempt.
    async fn stream(&mut self, client: &Client) -> anyhow::Result<End> {
        let lane = self.args.lane.as_ref().map(ToString::to_string);
        let filters = [("type", self.args.record_type.as_deref()), ("lane", lane.as_deref())];
        let query: Vec<(&str, &str)> = filters.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        let mut answer = match client.events(&query, self.last).await {
            Ok(answer) => answer,
            Err(fault) if fault.is::<crate::answer::Misuse>() => return Err(fault),
            Err(fault) => return Ok(End::Broken(fault)),
        };
        self.connected = true;
        let mut parser = EventParser::default();
        loop {
            let chunk = match answer.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(End::Broken(anyhow::anyhow!("the gateway ended the stream"))),
                Err(fault) => return Ok(End::Broken(client.unreachable(fault))),
            };
            for event in parser.push(&chunk)? {
                self.take(event)?;
                if self.left == Some(0) {
                    return Ok(End::Enough);
                }
            }
            self.out.flush()?;
        }
    }

    fn take(&mut self, event: Event) -> anyhow::Result<()> {
        // Offsets rise: one that does not was printed before the connection broke.
        if self.last.is_some_and(|last| event.offset <= last) {
            return Ok(());
        }
        let cloud_event: Value = serde_json::from_str(&event.data).map_err(|fault| {
            misuse(
                format!("event {} is not JSON: {fault}", event.offset),
                "is this the applications listener of a gateway?",
            )
        })?;
        self.out.show(&cloud_event, || line(&cloud_event))?;
        self.last = Some(event.offset);
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.pause = FIRST_PAUSE;
        Ok(())
    }
}

fn line(event: &Value) -> String {
    let member = |key: &str| printable(&shown(event, key), 200);
    let (time, kind, key) = (member("/time"), member("/type"), member("/subject"));
    let basis = ["/assurance", "/control", "/finality", "/completeness"].map(member).join("/");
    format!("{time} {kind} {key} {basis}")
}

/// Half to one and a half of a pause: subscribers that lost one gateway do not all come back in the same moment.
fn with_jitter(pause: Duration) -> Duration {
    let mut byte = [128];
    // Without randomness the pause is the middle one.
    let _ = getrandom::fill(&mut byte);
    pause / 2 + pause * u32::from(byte[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_one_line() {
        let event = json!({
            "time": "2026-11-21T10:00:00Z", "type": "hufu.e-certificate.issued", "subject": "e-certificate:x:1\n2",
            "assurance": "proven", "control": "fixed", "finality": "bft-final", "completeness": "ledger",
        });
        let expected =
            "2026-11-21T10:00:00Z hufu.e-certificate.issued e-certificate:x:1\u{fffd}2 proven/fixed/bft-final/ledger";
        assert_eq!(line(&event), expected);
        assert_eq!(line(&json!({})), "- - - -/-/-/-");
    }

    #[test]
    fn pauses_stay_within_half_and_one_and_a_half() {
        for _ in 0..1_000 {
            let pause = with_jitter(Duration::from_secs(2));
            assert!((Duration::from_secs(1)..=Duration::from_secs(3)).contains(&pause), "{pause:?}");
        }
    }
}
