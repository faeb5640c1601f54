//! Errors of the interface (RFC 9457) as words.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;

use super::printable;

/// Longest pause that a gateway's `Retry-After` can ask of us.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Characters of one member that are repeated.
const REPEATED: usize = 500;

/// What the gateway refused, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    wire: Wire,
    retry_after: Option<Duration>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct Wire {
    code: Option<String>,
    title: Option<String>,
    detail: Option<String>,
    expected: Option<Value>,
    got: Option<Value>,
    lane: Option<String>,
    sequence: Option<u64>,
    height: Option<u64>,
}

impl Problem {
    /// Reads an answer that is no success. A body that is no problem (a proxy's page, say) leaves the status alone.
    pub(super) fn of(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let wire = serde_json::from_slice(body).unwrap_or_default();
        let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds).min(LONGEST_PAUSE));
        Self { status, wire, retry_after }
    }

    /// How long the gateway asks us to wait.
    pub(crate) const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Whether the same question may be answered later.
    pub(crate) fn passes(&self) -> bool {
        self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS
    }

    /// What the caller can do about it, where it is the caller's to do.
    pub(super) const fn next(&self) -> Option<&'static str> {
        match self.status {
            StatusCode::UNAUTHORIZED => Some("give the token of an [[application]] of the gateway: --token-file FILE"),
            StatusCode::FORBIDDEN => {
                Some("use a token that has this scope; scopes stand in the gateway's configuration")
            }
            StatusCode::BAD_REQUEST => Some("see --help for what is asked"),
            _ => None,
        }
    }
}

impl fmt::Display for Problem {
    /// `leaf-gap (409): the page begins too late; expected 7, got 9; lane land.example/rights/1, leaf 9`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = &self.wire;
        let text = |text: &str| printable(text, REPEATED);
        let value = |value: &Value| text(value.as_str().unwrap_or(&value.to_string()));
        let status = self.status.as_u16();
        match &wire.code {
            Some(code) => write!(f, "{} ({status})", text(code))?,
            None => write!(f, "HTTP status {status}")?,
        }
        if let Some(words) = wire.detail.as_ref().or(wire.title.as_ref()) {
            write!(f, ": {}", text(words))?;
        }
        match (&wire.expected, &wire.got) {
            (Some(expected), Some(got)) => write!(f, "; expected {}, got {}", value(expected), value(got))?,
            (Some(expected), None) => write!(f, "; expected {}", value(expected))?,
            (None, Some(got)) => write!(f, "; got {}", value(got))?,
            (None, None) => {}
        }
        let lane = wire.lane.as_ref().map(|lane| format!("lane {}", text(lane)));
        let leaf = wire.sequence.map(|leaf| format!("leaf {leaf}"));
        let block = wire.height.map(|height| format!("block {height}"));
        let place: Vec<String> = [lane, leaf, block].into_iter().flatten().collect();
        if place.is_empty() { Ok(()) } else { write!(f, "; {}", place.join(", ")) }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(status: u16, body: &str) -> Problem {
        Problem::of(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    #[test]
    fn a_problem_says_code_expected_and_got() {
        let body = r#"{"type":"urn:hufu:problem:leaf-gap","title":"t","status":409,"detail":"the page begins too late",
            "code":"leaf-gap","expected":"7","got":9,"lane":"land.example/rights/1","sequence":9,"height":3}"#;
        let words = "leaf-gap (409): the page begins too late; expected 7, got 9; \
                     lane land.example/rights/1, leaf 9, block 3";
        assert_eq!(problem(409, body).to_string(), words);
        assert_eq!(problem(404, r#"{"code":"no-such-record"}"#).to_string(), "no-such-record (404)");
    }

    #[test]
    fn a_page_of_a_proxy_leaves_the_status() {
        assert_eq!(problem(502, "<html>").to_string(), "HTTP status 502");
        assert_eq!(problem(502, r#"{"code":[]}"#).to_string(), "HTTP status 502");
    }

    #[test]
    fn the_gateway_cannot_write_over_the_terminal() {
        let words = problem(500, r#"{"code":"x","detail":"\u001b[2Jgone"}"#).to_string();
        assert_eq!(words, "x (500): \u{fffd}[2Jgone");
    }

    #[test]
    fn what_passes_and_what_the_caller_must_mend() {
        assert!(problem(503, "").passes() && problem(429, "").passes() && !problem(404, "").passes());
        assert!(problem(401, "").next().is_some() && problem(404, "").next().is_none());
    }

    #[test]
    fn nobody_makes_us_wait_for_an_hour() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "3600".parse().unwrap())]);
        let problem = Problem::of(StatusCode::SERVICE_UNAVAILABLE, &headers, b"");
        assert_eq!(problem.retry_after(), Some(LONGEST_PAUSE));
    }
}
