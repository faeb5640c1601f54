//! The `peers` listener: what other gateways and relayers ask.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};
use bytes::Bytes;
use hufu_schemas_core::limits::{NOTE_BYTES, UPDATE_STEPS};
use hufu_schemas_core::{Height, LaneId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{self, Query, Segments};
use super::problem::{Problem, ProblemCode};
use super::shell::Shell;
use super::{access, coding, guard};
use crate::backend::{InboxState, LaneRole, LedgerWant, PageQuery, PageReceipt, UpdatesQuery};
use crate::config::PeerGrant;

type Peer = Extension<Arc<PeerGrant>>;

pub(super) fn router(shell: &Shell) -> Router<Shell> {
    let prompt = Router::new()
        .route("/v1/lanes", get(lanes))
        .route("/v1/lanes/{slug}/{epoch}/checkpoint", get(checkpoint))
        .route("/v1/inbox/{gateway}/{slug}/{epoch}/state", get(inbox_state))
        .route("/v1/inbox/{gateway}/{slug}/{epoch}/pages", post(post_page))
        .route("/v1/inbox/{gateway}/{slug}/{epoch}/checkpoint", post(post_checkpoint))
        .route("/v1/inbox/ledgers", get(inbox_ledgers))
        .route("/v1/inbox/ledgers/{id}/updates", post(post_updates))
        .route_layer(middleware::from_fn_with_state(shell.clone(), guard::prompt));
    let patient = Router::new()
        .route("/v1/lanes/{slug}/{epoch}/pages", get(page))
        .route("/v1/ledgers/{id}/updates", get(updates))
        .route_layer(middleware::from_fn_with_state(shell.clone(), guard::patient));
    prompt
        .merge(patient)
        .fallback(guard::no_route)
        .method_not_allowed_fallback(guard::no_method)
        .layer(middleware::from_fn_with_state(shell.clone(), access::peer))
}

async fn lanes(State(shell): State<Shell>, Extension(peer): Peer) -> Result<Json<Value>, Problem> {
    let mut lanes = shell.backend().lanes().await?;
    lanes.retain(|info| info.role == LaneRole::Published && peer.read_lanes.holds(&info.lane));
    Ok(Json(json!({ "lanes": lanes })))
}

/// A lane of ours that the peer may read. Whether it exists is said only to those who may.
fn own_lane(shell: &Shell, peer: &PeerGrant, slug: &str, epoch: &str) -> Result<LaneId, Problem> {
    let lane = extract::lane(shell.common.gateway.as_str(), slug, epoch)?;
    access::reads(peer, &lane)?;
    Ok(lane)
}

async fn checkpoint(
    State(shell): State<Shell>,
    Extension(peer): Peer,
    Segments((slug, epoch)): Segments<(String, String)>,
) -> Result<Response, Problem> {
    let lane = own_lane(&shell, &peer, &slug, &epoch)?;
    let note = shell.backend().checkpoint(&lane).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], note).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PageParameters {
    from: u64,
    limit: Option<u64>,
    seen: Option<u64>,
    wait: Option<u64>,
}

async fn page(
    State(shell): State<Shell>,
    Extension(peer): Peer,
    Segments((slug, epoch)): Segments<(String, String)>,
    Query(asked): Query<PageParameters>,
) -> Result<Response, Problem> {
    let lane = own_lane(&shell, &peer, &slug, &epoch)?;
    let (limit, wait) = (extract::limit(asked.limit), extract::wait(asked.wait));
    let query = PageQuery { from: asked.from, limit, seen: asked.seen, wait };
    Ok(bytes_or_nothing(shell.backend().page(&lane, query).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdatesParameters {
    from: u64,
    limit: Option<u64>,
    wait: Option<u64>,
}

async fn updates(
    State(shell): State<Shell>,
    Extension(peer): Peer,
    Segments(id): Segments<String>,
    Query(asked): Query<UpdatesParameters>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    access::follows(&peer)?;
    let ledger = extract::ledger(&id)?;
    // More than a receiver takes would be carried in vain.
    let (limit, wait) = (extract::limit(asked.limit).min(UPDATE_STEPS), extract::wait(asked.wait));
    let query = UpdatesQuery { from: Height::new(asked.from), limit, wait };
    match shell.backend().updates(&ledger, query).await? {
        Some(json) => Ok(coding::coded(json, coding::takes_gzip(&headers)).await),
        None => Ok(StatusCode::NO_CONTENT.into_response()),
    }
}

fn bytes_or_nothing(json: Option<Bytes>) -> Response {
    match json {
        Some(bytes) => super::applications::json_bytes(bytes),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn inbox_state(
    State(shell): State<Shell>,
    Extension(peer): Peer,
    Segments((gateway, slug, epoch)): Segments<(String, String, String)>,
) -> Result<Json<InboxState>, Problem> {
    let lane = extract::lane(&gateway, &slug, &epoch)?;
    access::writes(&peer, &lane)?;
    Ok(Json(shell.backend().inbox_state(&lane).await?))
}

async fn post_page(
    State(shell): State<Shell>,
    Extension(peer): Peer,
    Segments((gateway, slug, epoch)): Segments<(String, String, String)>,
    body: Body,
) -> Result<Json<PageReceipt>, Problem> {
    let lane = extract::lane(&gateway, &slug, &epoch)?;
    access::writes(&peer, &lane)?;
    let (_slot, bytes) = delivery(&shell, &peer, body, shell.limits().body_bytes).await?;
    Ok(Json(shell.backend().post_page(&peer.identity, &lane, bytes).await?))
}

async fn post_checkpoint(
    State(shell): State<Shell>,
    Extension(peer): Peer,
    Segments((gateway, slug, epoch)): Segments<(String, String, String)>,
    body: Body,
) -> Result<Json<InboxState>, Problem> {
    let lane = extract::lane(&gateway, &slug, &epoch)?;
    access::writes(&peer, &lane)?;
    let (_slot, note) = delivery(&shell, &peer, body, shell.limits().body_bytes.min(NOTE_BYTES)).await?;
    Ok(Json(shell.backend().post_checkpoint(&peer.identity, &lane, note).await?))
}

async fn inbox_ledgers(State(shell): State<Shell>, Extension(peer): Peer) -> Result<Json<Value>, Problem> {
    let mut wants = shell.backend().inbox_ledgers().await?;
    wants.retain(|want| peer.write_ledgers.holds(&want.ledger));
    Ok(Json(json!({ "ledgers": wants })))
}

async fn post_updates(
    State(shell): State<Shell>,
    Extension(peer): Peer,
    Segments(id): Segments<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<LedgerWant>, Problem> {
    let ledger = extract::ledger(&id)?;
    access::delivers(&peer, &ledger)?;
    let most = shell.limits().body_bytes;
    let (_slot, bytes) = delivery(&shell, &peer, body, most).await?;
    let bytes = coding::decoded(&headers, bytes, most).await?;
    Ok(Json(shell.backend().post_updates(&peer.identity, &ledger, bytes).await?))
}

/// A posted body of at most `most` bytes, under the peer's quota. The slot bounds the memory of bodies and is held until
/// they are dealt with.
async fn delivery<'a>(
    shell: &'a Shell,
    peer: &PeerGrant,
    body: Body,
    most: usize,
) -> Result<(tokio::sync::SemaphorePermit<'a>, Bytes), Problem> {
    shell.common.quota.take(&peer.identity, Instant::now()).map_err(|wait| {
        let words = format!("{} posts more than its quota", peer.identity);
        let most = format!("at most {} a minute", shell.limits().pages_per_minute_per_peer);
        Problem::new(ProblemCode::QuotaExceeded, words).between(most, "more").after(wait)
    })?;
    let slot = shell.bodies.try_acquire().map_err(|_| guard::no_slot("posted bodies"))?;
    let bytes = extract::body(body, most).await?;
    Ok((slot, bytes))
}
