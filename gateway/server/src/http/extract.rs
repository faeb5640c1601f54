//! Reading paths, queries and bodies, with every failure as a problem and every length bounded before it is read.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hufu_schemas_core::canonical;
use hufu_schemas_core::limits::JsonLimits;
use hufu_schemas_core::{LaneId, LedgerId};
use hyper::body::Body as _;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::{Problem, ProblemCode};
use crate::backend::{LONGEST_ANSWER, LONGEST_WAIT};

/// Leaves, steps or records of an answer when the query does not say.
const USUAL_ANSWER: usize = 1_000;
/// Bodies of operators' requests: a lane and a reason.
const SMALL_BODY: JsonLimits = JsonLimits { bytes: 64 << 10, depth: 8, string: 4 << 10, items: 16 };

/// The query, unknown and doubled keys refused.
pub(super) struct Query<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let read = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        read.map(|it| Self(it.0)).map_err(|fault| Problem::malformed(fault.body_text()))
    }
}

/// The path's variable parts.
pub(super) struct Segments<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = Path::<T>::from_request_parts(parts, state).await;
        read.map(|it| Self(it.0)).map_err(|fault| Problem::malformed(fault.body_text()))
    }
}

/// A lane from a path's parts.
pub(super) fn lane(gateway: &str, slug: &str, epoch: &str) -> Result<LaneId, Problem> {
    LaneId::parse(&format!("{gateway}/{slug}/{epoch}")).map_err(|fault| Problem::malformed(fault.to_string()))
}

/// A ledger from a path's part.
pub(super) fn ledger(text: &str) -> Result<LedgerId, Problem> {
    LedgerId::parse(text).map_err(|fault| Problem::malformed(fault.to_string()))
}

/// `limit=`, capped rather than refused: less is always a good answer.
pub(super) fn limit(asked: Option<u64>) -> usize {
    asked.map_or(USUAL_ANSWER, |it| usize::try_from(it).unwrap_or(LONGEST_ANSWER)).clamp(1, LONGEST_ANSWER)
}

/// `wait=`, in seconds, capped likewise.
pub(super) fn wait(asked: Option<u64>) -> Duration {
    Duration::from_secs(asked.unwrap_or(0)).min(LONGEST_WAIT)
}

/// A whole body of at most `most` bytes.
pub(super) async fn body(body: Body, most: usize) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(ProblemCode::BodyTooLarge, "the body is larger than this route takes")
            .between(format_args!("at most {most} bytes"), "more")
    };
    // Said length first: nothing of a body that announces too much is read.
    if body.size_hint().lower() > u64::try_from(most).unwrap_or(u64::MAX) {
        return Err(too_large());
    }
    match Limited::new(body, most).collect().await {
        Ok(read) => Ok(read.to_bytes()),
        Err(fault) if fault.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Problem::malformed("the body broke off")),
    }
}

/// A small JSON body; an empty one reads as `{}`.
pub(super) async fn json<T: DeserializeOwned>(from: Body) -> Result<T, Problem> {
    let bytes = body(from, SMALL_BODY.bytes).await?;
    let value = match bytes.is_empty() {
        true => Value::Object(serde_json::Map::new()),
        false => canonical::parse(&bytes, &SMALL_BODY).map_err(|fault| Problem::malformed(fault.to_string()))?,
    };
    serde_json::from_value(value).map_err(|fault| Problem::malformed(fault.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_waits_are_capped() {
        assert_eq!((limit(None), limit(Some(0)), limit(Some(u64::MAX))), (USUAL_ANSWER, 1, LONGEST_ANSWER));
        assert_eq!((wait(None), wait(Some(u64::MAX))), (Duration::ZERO, LONGEST_WAIT));
    }

    #[tokio::test]
    async fn deeply_nested_and_oversize_json_is_refused() {
        let nested = "[".repeat(10_000);
        assert_eq!(json::<Value>(Body::from(nested)).await.unwrap_err().code, ProblemCode::MalformedRequest);
        let doubled = r#"{"lane":"a","lane":"b"}"#;
        assert_eq!(json::<Value>(Body::from(doubled)).await.unwrap_err().code, ProblemCode::MalformedRequest);
        let large = " ".repeat((64 << 10) + 1);
        assert_eq!(json::<Value>(Body::from(large)).await.unwrap_err().code, ProblemCode::BodyTooLarge);
    }

    #[tokio::test]
    async fn a_body_that_does_not_say_its_length_is_counted_as_it_comes() {
        let pieces =
            futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 100]))));
        let fault = body(Body::from_stream(pieces), 1_000).await.unwrap_err();
        assert_eq!(fault.code, ProblemCode::BodyTooLarge);
    }
}
