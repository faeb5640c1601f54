//! Errors as RFC 9457 problems, with codes from a closed list.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hufu_schemas_core::{Height, LaneId};
use serde::Serialize;

/// Longest text from outside that an error repeats, in characters.
const REPEATED: usize = 240;

/// What went wrong. The text form is the problem's `code` and the end of its `type`; clients may match on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemCode {
    /// A path, query, header or body that is not of the form the interface describes.
    MalformedRequest,
    /// No bearer token, or one that the configuration does not hold.
    Unauthenticated,
    /// A valid certificate whose name the configuration does not bind to anything.
    UnknownIdentity,
    /// The identity is not bound to this lane.
    LaneNotBound,
    /// The identity is not bound to this ledger.
    LedgerNotBound,
    /// The token's scopes do not cover the request.
    MissingScope,
    /// No such route.
    NoSuchRoute,
    /// No such lane.
    NoSuchLane,
    /// No such ledger.
    NoSuchLedger,
    /// No such record.
    NoSuchRecord,
    /// The route exists, the method does not.
    MethodNotAllowed,
    /// A page that begins beyond the wanted leaf.
    LeafGap,
    /// Ledger steps that begin beyond the wanted height.
    HeightGap,
    /// A body beyond its limit.
    BodyTooLarge,
    /// A body in a coding that the route does not take.
    UnsupportedCoding,
    /// A page or ledger step that was verified and refused; the code is the rejection's own reason, which is from the
    /// closed sets of the light clients and the verifier.
    Refused(&'static str),
    /// Frozen: two signed artefacts cannot both be true, or an operator froze it.
    LaneFrozen,
    /// Frozen: two verified blocks cannot both be true.
    LedgerFrozen,
    /// More pages a minute than a peer may post.
    QuotaExceeded,
    /// More requests at once than the gateway takes.
    Busy,
    /// The request took longer than it may.
    TimedOut,
    /// The gateway is going down; another attempt finds its successor.
    ShuttingDown,
    /// The clock stands before the stored high-water mark: nothing is admitted.
    ClockSetBack,
    /// The disk is full or the database refuses.
    StorageUnavailable,
    /// A fault of the gateway itself; its log says more.
    Internal,
}

impl ProblemCode {
    /// The code's text form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MalformedRequest => "malformed-request",
            Self::Unauthenticated => "unauthenticated",
            Self::UnknownIdentity => "unknown-identity",
            Self::LaneNotBound => "lane-not-bound",
            Self::LedgerNotBound => "ledger-not-bound",
            Self::MissingScope => "missing-scope",
            Self::NoSuchRoute => "no-such-route",
            Self::NoSuchLane => "no-such-lane",
            Self::NoSuchLedger => "no-such-ledger",
            Self::NoSuchRecord => "no-such-record",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::LeafGap => "leaf-gap",
            Self::HeightGap => "height-gap",
            Self::BodyTooLarge => "body-too-large",
            Self::UnsupportedCoding => "unsupported-coding",
            Self::Refused(reason) => reason,
            Self::LaneFrozen => "lane-frozen",
            Self::LedgerFrozen => "ledger-frozen",
            Self::QuotaExceeded => "quota-exceeded",
            Self::Busy => "busy",
            Self::TimedOut => "timed-out",
            Self::ShuttingDown => "shutting-down",
            Self::ClockSetBack => "clock-set-back",
            Self::StorageUnavailable => "storage-unavailable",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::MalformedRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::UnknownIdentity | Self::LaneNotBound | Self::LedgerNotBound | Self::MissingScope => {
                StatusCode::FORBIDDEN
            }
            Self::NoSuchRoute | Self::NoSuchLane | Self::NoSuchLedger | Self::NoSuchRecord => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::LeafGap | Self::HeightGap => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Refused(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::LaneFrozen | Self::LedgerFrozen => StatusCode::LOCKED,
            Self::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::TimedOut | Self::ShuttingDown | Self::ClockSetBack => StatusCode::SERVICE_UNAVAILABLE,
            Self::StorageUnavailable => StatusCode::INSUFFICIENT_STORAGE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "The request does not have the form of the interface",
            Self::Unauthenticated => "A valid bearer token is needed",
            Self::UnknownIdentity => "This certificate's name is not known here",
            Self::LaneNotBound => "This identity is not bound to the lane",
            Self::LedgerNotBound => "This identity is not bound to the ledger",
            Self::MissingScope => "The token lacks a scope",
            Self::NoSuchRoute => "No such route",
            Self::NoSuchLane => "No such lane",
            Self::NoSuchLedger => "No such ledger",
            Self::NoSuchRecord => "No such record",
            Self::MethodNotAllowed => "The route does not take this method",
            Self::LeafGap => "The page begins beyond the wanted leaf",
            Self::HeightGap => "The steps begin beyond the wanted height",
            Self::BodyTooLarge => "The body is larger than its limit",
            Self::UnsupportedCoding => "The body's coding is not one that is taken",
            Self::Refused(_) => "What was sent was verified and refused",
            Self::LaneFrozen => "The lane is frozen until an operator decides",
            Self::LedgerFrozen => "The ledger is frozen until an operator decides",
            Self::QuotaExceeded => "More than this peer's quota",
            Self::Busy => "Too many requests at once",
            Self::TimedOut => "The request took too long",
            Self::ShuttingDown => "The gateway is going down",
            Self::ClockSetBack => "The clock was set back; nothing is admitted",
            Self::StorageUnavailable => "The database cannot take more",
            Self::Internal => "A fault of the gateway",
        }
    }
}

/// An error as the interface tells it. Small, since every fallible function of the interface returns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong.
    pub code: ProblemCode,
    /// For people: what happened here.
    pub detail: Box<str>,
    /// What was expected.
    pub expected: Option<Box<str>>,
    /// What came instead.
    pub got: Option<Box<str>>,
    /// The lane it is about.
    pub lane: Option<Box<LaneId>>,
    /// The leaf it is about.
    pub sequence: Option<u64>,
    /// The block it is about.
    pub height: Option<Height>,
    /// When to try again, in whole seconds; at least one.
    pub retry_after: Option<u32>,
}

impl Problem {
    /// A problem with its words.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        let (expected, got, lane, sequence, height, retry_after) = (None, None, None, None, None, None);
        Self { code, detail: detail.into().into(), expected, got, lane, sequence, height, retry_after }
    }

    /// A request of another form than the interface's.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(ProblemCode::MalformedRequest, detail)
    }

    /// A fault of the gateway. What happened goes to the log and not to whoever asked.
    pub fn internal() -> Self {
        Self::new(ProblemCode::Internal, "the gateway's log says more")
    }

    /// Says what was expected and what came, shortened to what a reader can use.
    #[must_use]
    pub fn between(mut self, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        self.expected = Some(shortened(expected));
        self.got = Some(shortened(got));
        self
    }

    /// Names the lane.
    #[must_use]
    pub fn of_lane(mut self, lane: &LaneId) -> Self {
        self.lane = Some(Box::new(lane.clone()));
        self
    }

    /// Names the leaf.
    #[must_use]
    pub const fn at_leaf(mut self, sequence: u64) -> Self {
        self.sequence = Some(sequence);
        self
    }

    /// Names the block.
    #[must_use]
    pub const fn at_height(mut self, height: Height) -> Self {
        self.height = Some(height);
        self
    }

    /// Says when to try again. Rounded up: "after 0 seconds" would be an invitation to hammer.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        self.retry_after = Some(u32::try_from(seconds).unwrap_or(u32::MAX));
        self
    }

    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        self.code.status()
    }
}

fn shortened(text: impl fmt::Display) -> Box<str> {
    text.to_string().chars().take(REPEATED).collect::<String>().into()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)?;
        match (&self.expected, &self.got) {
            (Some(expected), Some(got)) => write!(f, " (expected {expected}, got {got})"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Problem {}

#[derive(Serialize)]
struct Wire<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    got: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lane: Option<&'a LaneId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<Height>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = self.code.as_str();
        let wire = Wire {
            kind: format!("urn:hufu:problem:{code}"),
            title: self.code.title(),
            status: self.status().as_u16(),
            detail: &self.detail,
            code,
            expected: self.expected.as_deref(),
            got: self.got.as_deref(),
            lane: self.lane.as_deref(),
            sequence: self.sequence,
            height: self.height,
        };
        let body = serde_json::to_vec(&wire).unwrap_or_default();
        let mut response = (self.status(), body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == ProblemCode::UnsupportedCoding {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if self.code == ProblemCode::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // For the metrics layer, which must not parse bodies to learn the reason.
        response.extensions_mut().insert(self.code);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    async fn body(response: Response) -> Value {
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[tokio::test]
    async fn a_problem_says_expected_and_got() {
        let lane = LaneId::parse("land.example/rights/1").unwrap();
        let problem = Problem::new(ProblemCode::LeafGap, "the page begins too late")
            .between(7, 9)
            .of_lane(&lane)
            .at_leaf(9)
            .at_height(Height::new(3));
        let response = problem.into_response();
        assert_eq!(response.status(), StatusCode::CONFLICT);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let expected = json!({
            "type": "urn:hufu:problem:leaf-gap", "title": "The page begins beyond the wanted leaf", "status": 409,
            "detail": "the page begins too late", "code": "leaf-gap", "expected": "7", "got": "9",
            "lane": "land.example/rights/1", "sequence": 9, "height": 3,
        });
        assert_eq!(body(response).await, expected);
    }

    #[tokio::test]
    async fn a_refusal_carries_the_verifiers_own_reason() {
        let response = Problem::new(ProblemCode::Refused("seals-below-quorum"), "3 of 4").into_response();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(body(response).await["type"], "urn:hufu:problem:seals-below-quorum");
    }

    #[test]
    fn waits_are_rounded_up_to_whole_seconds() {
        for (millis, header_value) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            let problem = Problem::new(ProblemCode::Busy, "").after(Duration::from_millis(millis));
            assert_eq!(problem.into_response().headers()[header::RETRY_AFTER], header_value, "{millis}");
        }
    }

    #[test]
    fn what_came_is_shortened() {
        let problem = Problem::malformed("x").between("y", "z".repeat(10_000));
        assert_eq!(problem.got.unwrap().chars().count(), REPEATED);
    }
}
