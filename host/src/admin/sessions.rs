//! Recorded sessions and their timelines.

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::{Admin, ApiError};
use crate::session::event::{Event, Micros};
use crate::session::key::SessionId;
use crate::store::{SessionFilter, SessionRow};

/// Rows in one answer, unless fewer are asked for.
const MOST: usize = 1000;

/// What `GET /v1/sessions` can be asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionsQuery {
    tenant: Option<String>,
    principal: Option<String>,
    /// Microseconds since the Unix epoch.
    since: Option<Micros>,
    #[serde(default)]
    notable: bool,
    limit: Option<usize>,
}

/// `GET /v1/sessions`: last seen first.
///
/// # Errors
/// The store's.
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
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelineQuery {
    /// Sequence number after which to begin.
    #[serde(default)]
    after: u64,
    limit: Option<usize>,
}

/// A part of a timeline.
#[derive(Debug, Serialize)]
pub struct TimelinePart {
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
