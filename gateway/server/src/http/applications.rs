//! The `applications` listener: what a department's own software and its operators ask.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router, middleware};
use bytes::Bytes;
use hufu_gateway_verify::Assurance;
use hufu_schemas_core::{LaneId, LedgerId, RecordId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::extract::{self, Query, Segments};
use super::problem::Problem;
use super::shell::Shell;
use super::{access, events, guard};
use crate::backend::{HeldPage, RecordPage, RecordQuery, RetryReport};
use crate::config::ApplicationGrant;

/// Longest cursor that is handed on.
const MOST_CURSOR_BYTES: usize = 256;
/// Longest reason that an operator gives, in characters.
const LONGEST_REASON: usize = 500;

type Application = Extension<Arc<ApplicationGrant>>;

pub(super) fn router(shell: &Shell) -> Router<Shell> {
    let reading = Router::new()
        .route("/v1/records", get(records))
        .route("/v1/records/{id}", get(record))
        .route("/v1/records/{id}/evidence", get(evidence))
        .route("/v1/lanes", get(lanes))
        .route("/v1/ledgers", get(ledgers))
        .route("/v1/peers", get(peers))
        .route("/v1/status", get(status))
        .route_layer(middleware::from_fn_with_state(shell.clone(), guard::prompt))
        // Subscribers have slots of their own and no time limit: see `events`.
        .route("/v1/events", get(events::subscribe))
        .route_layer(middleware::from_fn(access::may_read));
    let operating = Router::new()
        .route("/v1/held", get(held))
        .route("/v1/held/retry", post(retry_held))
        .route("/v1/lanes/freeze", post(freeze_lane))
        .route("/v1/lanes/thaw", post(thaw_lane))
        .route("/v1/ledgers/thaw", post(thaw_ledger))
        .route_layer(middleware::from_fn_with_state(shell.clone(), guard::prompt))
        .route_layer(middleware::from_fn(access::may_operate));
    reading
        .merge(operating)
        .fallback(guard::no_route)
        .method_not_allowed_fallback(guard::no_method)
        .layer(middleware::from_fn_with_state(shell.clone(), access::application))
}

/// JSON that is ready.
pub(super) fn json_bytes(bytes: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], bytes).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordParameters {
    #[serde(rename = "type")]
    record_type: Option<String>,
    ledger: Option<LedgerId>,
    lane: Option<LaneId>,
    since: Option<String>,
    assurance: Option<Assurance>,
    cursor: Option<String>,
    limit: Option<u64>,
}

async fn records(
    State(shell): State<Shell>,
    Query(asked): Query<RecordParameters>,
) -> Result<Json<RecordPage>, Problem> {
    let query = RecordQuery {
        record_type: asked.record_type,
        ledger: asked.ledger,
        lane: asked.lane,
        since: asked.since.as_deref().map(time).transpose()?,
        assurance: asked.assurance,
        cursor: cursor(asked.cursor)?,
        limit: extract::limit(asked.limit),
    };
    Ok(Json(shell.backend().records(query).await?))
}

fn time(text: &str) -> Result<Timestamp, Problem> {
    let fault = || Problem::malformed("since").between("a time such as 2026-11-21T09:46:29Z", text);
    Timestamp::from_rfc3339_utc(text).ok_or_else(fault)
}

fn cursor(text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.len() > MOST_CURSOR_BYTES => {
            Err(Problem::malformed("cursor").between("the `next` of an earlier answer", text))
        }
        other => Ok(other),
    }
}

fn record_id(text: &str) -> Result<RecordId, Problem> {
    RecordId::parse(text).map_err(|fault| Problem::malformed(fault.to_string()))
}

async fn record(State(shell): State<Shell>, Segments(id): Segments<String>) -> Result<Json<Value>, Problem> {
    Ok(Json(shell.backend().record(&record_id(&id)?).await?))
}

async fn evidence(State(shell): State<Shell>, Segments(id): Segments<String>) -> Result<Response, Problem> {
    Ok(json_bytes(shell.backend().evidence(&record_id(&id)?).await?))
}

async fn lanes(State(shell): State<Shell>) -> Result<Json<Value>, Problem> {
    Ok(Json(json!({ "lanes": shell.backend().lanes().await? })))
}

async fn ledgers(State(shell): State<Shell>) -> Result<Json<Value>, Problem> {
    Ok(Json(shell.backend().ledgers().await?))
}

async fn peers(State(shell): State<Shell>) -> Result<Json<Value>, Problem> {
    Ok(Json(shell.backend().peers().await?))
}

async fn status(State(shell): State<Shell>) -> Result<Json<Value>, Problem> {
    Ok(Json(shell.backend().status().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HeldParameters {
    lane: Option<LaneId>,
    cursor: Option<String>,
    limit: Option<u64>,
}

async fn held(State(shell): State<Shell>, Query(asked): Query<HeldParameters>) -> Result<Json<HeldPage>, Problem> {
    let cursor = cursor(asked.cursor)?;
    let limit = extract::limit(asked.limit);
    Ok(Json(shell.backend().held(asked.lane.as_ref(), cursor.as_deref(), limit).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Retry {
    lane: Option<LaneId>,
}

async fn retry_held(
    State(shell): State<Shell>,
    Extension(application): Application,
    body: Body,
) -> Result<Json<RetryReport>, Problem> {
    let asked: Retry = extract::json(body).await?;
    tracing::info!(who = application.name, lane = ?asked.lane, "held leaves are tried again");
    Ok(Json(shell.backend().retry_held(asked.lane.as_ref(), &application.name).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LaneAction {
    lane: LaneId,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerAction {
    ledger: LedgerId,
    reason: String,
}

/// Whoever stops or releases something says why: it stands in the audit trail.
fn reason(text: &str) -> Result<&str, Problem> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > LONGEST_REASON || text.contains(char::is_control) {
        let expected = format!("1 to {LONGEST_REASON} printing characters");
        return Err(Problem::malformed("reason").between(expected, format_args!("{text:?}")));
    }
    Ok(text)
}

async fn freeze_lane(
    State(shell): State<Shell>,
    Extension(application): Application,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let asked: LaneAction = extract::json(body).await?;
    let (who, why) = (application.name.as_str(), reason(&asked.reason)?);
    tracing::warn!(who, lane = %asked.lane, why, "a lane is frozen by an operator");
    shell.backend().freeze_lane(&asked.lane, why, who).await?;
    Ok(Json(json!({ "lane": asked.lane, "frozen": true })))
}

async fn thaw_lane(
    State(shell): State<Shell>,
    Extension(application): Application,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let asked: LaneAction = extract::json(body).await?;
    let (who, why) = (application.name.as_str(), reason(&asked.reason)?);
    tracing::warn!(who, lane = %asked.lane, why, "a lane is thawed by an operator");
    shell.backend().thaw_lane(&asked.lane, why, who).await?;
    Ok(Json(json!({ "lane": asked.lane, "frozen": false })))
}

async fn thaw_ledger(
    State(shell): State<Shell>,
    Extension(application): Application,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let asked: LedgerAction = extract::json(body).await?;
    let (who, why) = (application.name.as_str(), reason(&asked.reason)?);
    tracing::warn!(who, ledger = %asked.ledger, why, "a ledger is thawed by an operator");
    shell.backend().thaw_ledger(&asked.ledger, why, who).await?;
    Ok(Json(json!({ "ledger": asked.ledger, "frozen": false })))
}
