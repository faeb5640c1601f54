//! What can go wrong with one request, sorted by what helps.

use std::error::Error;
use std::time::Duration;

use crate::answers::Problem;

/// Characters of a gateway's words that are repeated in a log.
const WORDS_MOST: usize = 300;
/// Characters of a problem's code.
const CODE_MOST: usize = 64;

/// Which gateway of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Origin,
    Destination,
}

impl End {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Origin => "origin",
            Self::Destination => "destination",
        }
    }
}

/// A request that did not bring what it should.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) end: End,
    pub(crate) kind: TroubleKind,
}

#[derive(Debug)]
pub(crate) enum TroubleKind {
    /// No connection, or a broken one.
    Connect(String),
    /// The other side's certificate, or ours in its eyes.
    Tls(String),
    /// No answer in time.
    Timeout,
    /// More bytes than may be carried.
    TooLarge { most: usize },
    /// An answer that is not what `docs/http-api.md` says.
    Malformed(String),
    /// A 200 that moved nothing on: trying at once again would never end.
    NoProgress { wanted: u64 },
    /// A refusal.
    Refused(Refusal),
    /// This process is ending.
    Stopped,
}

/// An answer that is not a success.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// The problem's code, of letters, digits and hyphens; empty when none came.
    pub(crate) code: String,
    pub(crate) detail: String,
    pub(crate) retry_after: Option<Duration>,
}

/// What helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Ask for less.
    Smaller,
    /// Wait as long as the gateway says.
    WaitFor(Duration),
    /// An operator has to act: look again now and then.
    Slow,
    /// Ask again, after a growing wait.
    BackOff,
    /// Nothing; it is over.
    Stop,
}

impl Trouble {
    pub(crate) fn remedy(&self) -> Remedy {
        match &self.kind {
            TroubleKind::Stopped => Remedy::Stop,
            TroubleKind::TooLarge { .. } => Remedy::Smaller,
            TroubleKind::Refused(refusal) => refusal.remedy(),
            _ => Remedy::BackOff,
        }
    }

    /// The metric label: a closed set.
    pub(crate) fn reason(&self) -> &'static str {
        match &self.kind {
            TroubleKind::Connect(_) => "connect",
            TroubleKind::Tls(_) => "tls",
            TroubleKind::Timeout => "timeout",
            TroubleKind::TooLarge { .. } => "too-large",
            TroubleKind::Malformed(_) => "malformed",
            TroubleKind::NoProgress { .. } => "no-progress",
            TroubleKind::Stopped => "stopped",
            TroubleKind::Refused(refusal) => refusal.reason(),
        }
    }

    /// Whether a gateway does not take the body's coding (RFC 9110, 15.5.16).
    pub(crate) fn is_of_coding(&self) -> bool {
        matches!(&self.kind, TroubleKind::Refused(refusal) if refusal.status == 415)
    }

    /// The code of a 422, which is counted by itself.
    pub(crate) fn refused_code(&self) -> Option<&str> {
        match &self.kind {
            TroubleKind::Refused(refusal) if refusal.status == 422 => Some(&refusal.code),
            _ => None,
        }
    }

    pub(crate) fn is_missing(&self) -> bool {
        self.reason() == "missing"
    }

    pub(crate) fn words(&self) -> String {
        match &self.kind {
            TroubleKind::Connect(words) | TroubleKind::Tls(words) | TroubleKind::Malformed(words) => words.clone(),
            TroubleKind::Timeout => "no answer in time".to_owned(),
            TroubleKind::TooLarge { most } => format!("expected at most {most} bytes, got more"),
            TroubleKind::NoProgress { wanted } => format!("accepted, but still wants {wanted}"),
            TroubleKind::Stopped => "ending".to_owned(),
            TroubleKind::Refused(refusal) => {
                format!("{} {}: {}", refusal.status, refusal.code, refusal.detail)
            }
        }
    }
}

impl TroubleKind {
    /// Sorts what the HTTP client says.
    pub(crate) fn of_transport(fault: &reqwest::Error) -> Self {
        if let Some(tls) = find_tls(fault) {
            return Self::Tls(tls.to_string());
        }
        if fault.is_timeout() {
            return Self::Timeout;
        }
        Self::Connect(chain(fault))
    }
}

impl Refusal {
    /// Reads a refusal; `body` may be anything.
    pub(crate) fn new(status: u16, retry_after: Option<&str>, body: &[u8]) -> Self {
        let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
        let code = problem.code.or_else(|| problem.kind?.strip_prefix("urn:hufu:problem:").map(str::to_owned));
        Self {
            status,
            code: code.filter(|code| is_code(code)).unwrap_or_default(),
            detail: short(&problem.detail.unwrap_or_default()),
            // The form with a date is for caches; our gateways send seconds.
            retry_after: retry_after.and_then(|seconds| seconds.trim().parse().ok()).map(Duration::from_secs),
        }
    }

    fn remedy(&self) -> Remedy {
        match self.status {
            413 => Remedy::Smaller,
            423 | 401 | 403 | 404 | 410 => Remedy::Slow,
            429 | 503 => self.retry_after.map_or(Remedy::BackOff, Remedy::WaitFor),
            _ => Remedy::BackOff,
        }
    }

    const fn reason(&self) -> &'static str {
        match self.status {
            401 | 403 => "denied",
            404 | 410 => "missing",
            409 => "gap",
            413 => "too-large",
            422 => "refused",
            423 => "frozen",
            429 | 503 => "busy",
            500..=599 => "server",
            _ => "unexpected",
        }
    }
}

/// A code becomes a metric label: its form is checked, its number is bounded where it is counted.
fn is_code(code: &str) -> bool {
    !code.is_empty()
        && code.len() <= CODE_MOST
        && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn short(words: &str) -> String {
    words.chars().filter(|c| !c.is_control()).take(WORDS_MOST).collect()
}

fn causes<'a>(fault: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(fault), |fault: &&'a (dyn Error + 'static)| (*fault).source())
}

fn chain(fault: &(dyn Error + 'static)) -> String {
    short(&causes(fault).map(ToString::to_string).collect::<Vec<_>>().join(": "))
}

fn find_tls<'a>(fault: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    causes(fault).find_map(|cause| innermost(cause).downcast_ref())
}

/// An I/O error names as its source not the error that it wraps, but that one's source: it has to be opened, and HTTP
/// clients wrap one in another.
fn innermost<'a>(fault: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    match fault.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => innermost(inner),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, retry_after: Option<&str>, body: &str) -> Trouble {
        let refusal = Refusal::new(status, retry_after, body.as_bytes());
        Trouble { end: End::Destination, kind: TroubleKind::Refused(refusal) }
    }

    #[test]
    fn each_status_has_its_remedy() {
        assert_eq!(refused(503, Some("7"), "").remedy(), Remedy::WaitFor(Duration::from_secs(7)));
        assert_eq!(refused(503, None, "").remedy(), Remedy::BackOff);
        assert_eq!(refused(429, Some("Wed, 21 Oct 2026 07:28:00 GMT"), "").remedy(), Remedy::BackOff);
        assert_eq!(refused(423, None, "").remedy(), Remedy::Slow);
        assert_eq!(refused(404, None, "").remedy(), Remedy::Slow);
        assert_eq!(refused(413, None, "").remedy(), Remedy::Smaller);
        assert_eq!(refused(409, None, "").remedy(), Remedy::BackOff);
        assert_eq!(refused(422, None, "").remedy(), Remedy::BackOff);
    }

    #[test]
    fn a_tls_fault_is_found_however_often_it_is_wrapped() {
        let tls = rustls::Error::HandshakeNotComplete;
        let wrapped = std::io::Error::other(std::io::Error::other(tls.clone()));
        assert_eq!(find_tls(&wrapped), Some(&tls));
        assert_eq!(find_tls(&std::io::Error::other("reset")), None);
    }

    #[test]
    fn the_code_is_read_from_the_member_or_the_type() {
        assert_eq!(refused(422, None, r#"{"code":"bad-proof"}"#).refused_code(), Some("bad-proof"));
        assert_eq!(refused(422, None, r#"{"type":"urn:hufu:problem:bad-proof"}"#).refused_code(), Some("bad-proof"));
        assert_eq!(refused(409, None, r#"{"code":"leaf-gap"}"#).refused_code(), None);
    }

    #[test]
    fn a_code_that_would_forge_a_metric_or_a_log_line_is_dropped() {
        let long = format!(r#"{{"code":"{}"}}"#, "a".repeat(65));
        for body in [r#"{"code":"a\"} 1\nforged{x=\""}"#, r#"{"code":""}"#, "<html>", &long] {
            assert_eq!(refused(422, None, body).refused_code(), Some(""), "{body}");
        }
        let detail = refused(500, None, r#"{"detail":"a\nb"}"#).words();
        assert!(!detail.contains('\n'));
    }
}
