//! Who asks, and what they may. Identity comes from the connection or the token; rights come from the configuration
//! alone; what is not named there is refused.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hufu_schemas_core::{Digest, LaneId, LedgerId};

use super::problem::{Problem, ProblemCode};
use super::shell::Shell;
use crate::config::{ApplicationGrant, PeerGrant, Scope};
use crate::identity::Identity;

/// Longest token that is hashed at all.
const MOST_TOKEN_BYTES: usize = 1_024;

/// Who is at the other end of a connection; set once, at the handshake.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// A certificate with one name. The name may still be unknown.
    Named(Identity),
    /// A certificate of a known authority that names nobody, and why.
    Nameless(String),
    /// A connection without a client certificate.
    Anonymous,
}

/// Lets a request pass when its certificate's name stands in the configuration.
pub(super) async fn peer(State(shell): State<Shell>, mut request: Request, next: Next) -> Response {
    let unknown = |words: String| Problem::new(ProblemCode::UnknownIdentity, words).into_response();
    let grant = match request.extensions().get::<Caller>() {
        Some(Caller::Named(identity)) => match shell.common.peers.get(identity) {
            Some(grant) => Arc::clone(grant),
            None => return unknown(format!("{identity} does not stand in this gateway's configuration")),
        },
        Some(Caller::Nameless(why)) => return unknown(why.clone()),
        Some(Caller::Anonymous) | None => return unknown("a client certificate is needed".to_owned()),
    };
    request.extensions_mut().insert(grant);
    next.run(request).await
}

/// Lets a request pass when its bearer token stands in the configuration.
pub(super) async fn application(State(shell): State<Shell>, mut request: Request, next: Next) -> Response {
    let refused = |words: &str| Problem::new(ProblemCode::Unauthenticated, words).into_response();
    let Some(token) = bearer(request.headers()) else {
        return refused("expected the header `Authorization: Bearer <token>` once");
    };
    let Some(grant) = holder(&shell.common.applications, token) else {
        return refused("this token does not stand in the configuration");
    };
    request.extensions_mut().insert(grant);
    next.run(request).await
}

/// Lets a request pass whose token has the scope `read`.
pub(super) async fn may_read(request: Request, next: Next) -> Response {
    scoped(Scope::Read, request, next).await
}

/// Lets a request pass whose token has the scope `operate`.
pub(super) async fn may_operate(request: Request, next: Next) -> Response {
    scoped(Scope::Operate, request, next).await
}

async fn scoped(scope: Scope, request: Request, next: Next) -> Response {
    let scopes = request.extensions().get::<Arc<ApplicationGrant>>().map(|grant| &grant.scopes);
    if scopes.is_some_and(|scopes| scopes.contains(&scope)) {
        return next.run(request).await;
    }
    let held: Vec<_> = scopes.into_iter().flatten().map(|scope| scope.as_str()).collect();
    Problem::new(ProblemCode::MissingScope, format!("this needs the scope {}", scope.as_str()))
        .between(scope.as_str(), held.join(" "))
        .into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    // Two headers could mean two things to two readers.
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    let sound = scheme.eq_ignore_ascii_case(b"Bearer ") && (1..=MOST_TOKEN_BYTES).contains(&token.len());
    sound.then_some(token)
}

/// Whose token it is. Every entry is compared, each in constant time: how long it takes says nothing.
fn holder(applications: &[Arc<ApplicationGrant>], token: &[u8]) -> Option<Arc<ApplicationGrant>> {
    let digest = Digest::of(token);
    let mut found = None;
    for grant in applications {
        if equal(&grant.token, &digest) {
            found = Some(Arc::clone(grant));
        }
    }
    found
}

fn equal(one: &Digest, other: &Digest) -> bool {
    let difference = one.as_bytes().iter().zip(other.as_bytes()).fold(0u8, |sum, (a, b)| sum | (a ^ b));
    std::hint::black_box(difference) == 0
}

/// Whether a peer may read a lane of ours.
pub(super) fn reads(grant: &PeerGrant, lane: &LaneId) -> Result<(), Problem> {
    bound(grant.read_lanes.holds(lane), grant, lane, "read")
}

/// Whether a peer may deliver an inbox lane.
pub(super) fn writes(grant: &PeerGrant, lane: &LaneId) -> Result<(), Problem> {
    bound(grant.write_lanes.holds(lane), grant, lane, "deliver")
}

fn bound(held: bool, grant: &PeerGrant, lane: &LaneId, verb: &str) -> Result<(), Problem> {
    if held {
        return Ok(());
    }
    let words = format!("{} is not bound to {verb} {lane}", grant.identity);
    Err(Problem::new(ProblemCode::LaneNotBound, words).of_lane(lane))
}

/// Whether a peer may deliver a foreign ledger's steps.
pub(super) fn delivers(grant: &PeerGrant, ledger: &LedgerId) -> Result<(), Problem> {
    if grant.write_ledgers.holds(ledger) {
        return Ok(());
    }
    let words = format!("{} is not bound to deliver steps of {ledger}", grant.identity);
    Err(Problem::new(ProblemCode::LedgerNotBound, words))
}

/// Whether a peer may read steps of our ledgers: those that may read some lane need them to verify it.
pub(super) fn follows(grant: &PeerGrant) -> Result<(), Problem> {
    if !grant.read_lanes.is_empty() {
        return Ok(());
    }
    let words = format!("{} reads no lane here, and so no ledger", grant.identity);
    Err(Problem::new(ProblemCode::LedgerNotBound, words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (header::AUTHORIZATION, HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn one_header_with_one_token() {
        assert_eq!(bearer(&headers(&["Bearer abc"])), Some(b"abc".as_slice()));
        assert_eq!(bearer(&headers(&["bearer abc"])), Some(b"abc".as_slice()));
        for bad in [&[][..], &["Bearer "], &["Basic abc"], &["Bearerabc"], &["Bearer a", "Bearer b"]] {
            assert_eq!(bearer(&headers(bad)), None, "{bad:?}");
        }
    }

    #[test]
    fn a_token_is_found_by_its_digest_alone() {
        let grant = |name: &str, token: &[u8]| {
            Arc::new(ApplicationGrant { name: name.into(), token: Digest::of(token), scopes: [Scope::Read].into() })
        };
        let known = [grant("one", b"first"), grant("two", b"second")];
        assert_eq!(holder(&known, b"first").unwrap().name, "one");
        assert_eq!(holder(&known, b"second").unwrap().name, "two");
        assert!(holder(&known, b"third").is_none());
        // The digest itself, which a reader of the configuration has, opens nothing.
        assert!(holder(&known, Digest::of(b"first").to_hex().as_bytes()).is_none());
    }
}
