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
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::Admin;
use crate::policy::PolicyEvent;
use crate::session::feed::{Subscription, Update};

/// What `GET /v1/events` can be asked.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Only sessions whose id begins like this.
    #[serde(default)]
    session: String,
}

/// `GET /v1/events`
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
            Update::Missed(count) => frame("missed", &json!({"count": count})),
            Update::Event(entry) if entry.session.to_string().starts_with(&session) => frame(
                "timeline",
                &json!({"session": entry.session, "event": entry.event.as_ref()}),
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
        Ok(event) => frame("policy", &json!(event)),
        Err(RecvError::Lagged(count)) => frame("missed", &json!({"count": count})),
        Err(RecvError::Closed) => return None,
    };
    Some((frame, events))
}

/// JSON has no line breaks of its own, so one `data` line takes it.
fn frame(kind: &str, data: &serde_json::Value) -> Frame {
    Frame::default().event(kind).data(data.to_string())
}
