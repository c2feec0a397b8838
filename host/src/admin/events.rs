//! The live feed: what is put on any timeline, and what happens to policies, as server-sent events.
//!
//! `event: timeline` has a session and an event; `event: policy` a change in the registry; `event: missed` says how many were lost
//! because the reader was too slow. The stored timeline has what was missed.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Sse;
use axum::response::sse::{Event as Frame, KeepAlive};
use futures_util::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use utoipa::{IntoParams, ToSchema};

use super::error::ErrorBody;
use super::state::Admin;
use airlock_core::event::Event;
use airlock_core::session::feed::{Subscription, Update};
use airlock_policy::PolicyEvent;

/// What `GET /v1/events` can be asked.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct EventsQuery {
    /// Only sessions whose id begins like this.
    #[serde(default)]
    session: String,
}

/// Data of `event: timeline`.
#[derive(Serialize, ToSchema)]
#[schema(as = TimelineFrame)]
pub struct Happened<'a> {
    /// Id of the session.
    session: String,
    /// What was put on its timeline.
    event: &'a Event,
}

/// Data of `event: missed`: the reader was too slow.
#[derive(Serialize, ToSchema)]
#[schema(as = MissedFrame)]
pub struct Missed {
    /// Frames that were lost. The stored timeline has what they told.
    count: u64,
}

/// `GET /v1/events`
#[utoipa::path(
    get,
    path = "/v1/events",
    operation_id = "followEvents",
    tag = "events",
    summary = "The live feed, as server-sent events",
    description = "`event: timeline` with a `TimelineFrame`: something was put on a session's timeline. `event: policy` with a \
                   `PolicyEvent`: something changed in the registry. `event: missed` with a `MissedFrame`: the reader was \
                   too slow. A comment every 15 seconds keeps the connection open. The feed begins with what happens \
                   after the call; what was before is in the stored timeline.",
    params(EventsQuery),
    responses(
        (status = 200, description = "Frames, without end", body = String, content_type = "text/event-stream"),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
    )
)]
pub async fn feed(
    State(admin): State<Admin>,
    Query(query): Query<EventsQuery>,
) -> Sse<impl Stream<Item = Result<Frame, Infallible>>> {
    let timeline = stream::unfold((admin.feed.subscribe(), query.session), timeline_frame);
    let policies = stream::unfold(admin.app.policies.events(), policy_frame);
    let both = stream::select(timeline.boxed(), policies.boxed());
    let frames = both
        .take_until(admin.stop.clone().cancelled_owned())
        .map(Ok);
    Sse::new(frames).keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

async fn timeline_frame(
    (mut feed, session): (Subscription, String),
) -> Option<(Frame, (Subscription, String))> {
    loop {
        let frame = match feed.next().await? {
            Update::Missed(count) => frame("missed", &Missed { count }),
            Update::Event(entry) if entry.session.to_string().starts_with(&session) => frame(
                "timeline",
                &Happened {
                    session: entry.session.to_string(),
                    event: &entry.event,
                },
            ),
            Update::Event(_) => continue,
        };
        return Some((frame, (feed, session)));
    }
}

async fn policy_frame(
    mut events: broadcast::Receiver<PolicyEvent>,
) -> Option<(Frame, broadcast::Receiver<PolicyEvent>)> {
    let frame = match events.recv().await {
        Ok(event) => frame("policy", &event),
        Err(RecvError::Lagged(count)) => frame("missed", &Missed { count }),
        Err(RecvError::Closed) => return None,
    };
    Some((frame, events))
}

/// JSON has no line breaks of its own, so one `data` line takes it.
fn frame(kind: &str, data: &impl Serialize) -> Frame {
    Frame::default().event(kind).data(json!(data).to_string())
}
