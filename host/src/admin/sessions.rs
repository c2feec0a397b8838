//! Recorded sessions and their timelines.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::error::{ApiError, ErrorBody};
use super::state::Admin;
use airlock_core::event::key::SessionId;
use airlock_core::event::{Event, Micros};
use airlock_core::store::{SessionFilter, SessionRow};

/// Rows in one answer, unless fewer are asked for.
const MOST: usize = 1000;

/// What `GET /v1/sessions` can be asked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SessionsQuery {
    /// Only of this tenant.
    tenant: Option<String>,
    /// Only of this principal.
    principal: Option<String>,
    /// Only those seen since: microseconds since the Unix epoch.
    since: Option<Micros>,
    /// Only those with findings, applied interventions or faults.
    #[serde(default)]
    notable: bool,
    /// Rows at most: 100 unless stated, never more than 1,000.
    limit: Option<usize>,
}

/// `GET /v1/sessions`: last seen first.
///
/// # Errors
/// The store's.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    operation_id = "listSessions",
    tag = "sessions",
    summary = "Recorded sessions, last seen first",
    description = "",
    params(SessionsQuery),
    responses(
        (status = 200, description = "The sessions", body = Vec<SessionRow>),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
    )
)]
pub async fn list(
    State(admin): State<Admin>,
    Query(query): Query<SessionsQuery>,
) -> Result<Json<Vec<SessionRow>>, ApiError> {
    let limit = query.limit.unwrap_or(100).min(MOST);
    let filter = SessionFilter {
        tenant: query.tenant,
        principal: query.principal,
        since: query.since,
        notable: query.notable,
    };
    let store = admin.store.clone();
    Ok(Json(
        tokio::task::spawn_blocking(move || store.sessions(&filter, limit)).await??,
    ))
}

/// What `GET /v1/sessions/{id}/timeline` can be asked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TimelineQuery {
    /// Sequence number after which to begin.
    #[serde(default)]
    after: u64,
    /// Events at most: 1,000 unless fewer are asked for.
    limit: Option<usize>,
}

/// A part of a timeline.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct TimelinePart {
    /// Id of the session.
    #[schema(value_type = String)]
    session: SessionId,
    events: Vec<Event>,
    /// Where to go on with `after`; absent at the present end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// `GET /v1/sessions/{id}/timeline`: `id` may be a prefix of an id, or `last`.
///
/// # Errors
/// 404 if no session begins like that, 400 if several do.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/timeline",
    operation_id = "getTimeline",
    tag = "sessions",
    summary = "Events of a session, in order",
    description = "",
    params(
        ("id" = String, Path, description = "Id of a session, the beginning of one, or `last`"),
        TimelineQuery,
    ),
    responses(
        (status = 200, description = "A part of the timeline", body = TimelinePart),
        (status = 400, description = "Several sessions begin like that", body = ErrorBody),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "No session begins like that", body = ErrorBody),
    )
)]
pub async fn timeline(
    State(admin): State<Admin>,
    Path(id): Path<String>,
    Query(query): Query<TimelineQuery>,
) -> Result<Json<TimelinePart>, ApiError> {
    let limit = query.limit.unwrap_or(MOST).clamp(1, MOST);
    let store = admin.store.clone();
    let (session, events) = tokio::task::spawn_blocking(move || {
        let session = store.resolve(&id)?;
        store
            .timeline(session, query.after, limit)
            .map(|events| (session, events))
    })
    .await??;
    let next = if events.len() == limit {
        events.last().map(|event| event.seq)
    } else {
        None
    };
    Ok(Json(TimelinePart {
        session,
        events,
        next,
    }))
}
