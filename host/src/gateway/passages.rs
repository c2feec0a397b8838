//! Keeps calls that pass without being decoded on the timeline of the session that they belong to.

use std::sync::Arc;
use std::time::Duration;

use super::resolve;
use crate::upstream::Attempt;
use airlock_core::event::{Body, Usage};
use airlock_core::session::sessions::Sessions;
use airlock_core::session::state::{Found, Session};

/// One call that passed.
#[derive(Debug, Default)]
pub struct Passage {
    /// Method and path, without the query, which may hold content.
    pub path: String,
    /// Model that it names, if it does.
    pub model: String,
    /// Name of the upstream that answered or was asked last.
    pub upstream: String,
    /// Status that the client got.
    pub status: u16,
    /// Until the headers of the answer.
    pub elapsed: Duration,
    /// Attempts that failed on the way.
    pub failures: Vec<Attempt>,
    /// Why nobody judged it, if enforcing policies apply or would have applied.
    pub unjudged: Option<String>,
}

/// The session of such a call. One that names none belongs to one of its principal's own for the day, by which nothing else
/// goes: so its budget is a day's.
pub fn session_of(caller: &super::identity::Caller, headers: &http::HeaderMap) -> Found {
    resolve::find_by_headers(caller, headers)
        .unwrap_or_else(|| resolve::without_session(caller, headers))
}

/// Records a passage, with the tokens that it was charged and their microdollars.
pub fn record(session: &Session, passage: &Passage, charged: Option<(Usage, Option<u64>)>) {
    for attempt in &passage.failures {
        session.timeline.append(
            0,
            Body::Failure {
                failure: attempt.error.kind(),
                status: attempt.error.status().as_u16(),
                retryable: attempt.error.retryable(),
                text: attempt.error.to_string(),
            },
        );
    }
    session.timeline.append(
        0,
        Body::Passage {
            path: passage.path.clone(),
            model: passage.model.clone(),
            upstream: passage.upstream.clone(),
            status: passage.status,
            elapsed_us: passage.elapsed.as_micros() as u64,
            usage: charged.map(|(usage, _)| usage),
            cost: charged.and_then(|(_, cost)| cost),
        },
    );
    if let Some(reason) = &passage.unjudged {
        session.timeline.append(
            0,
            Body::Unjudged {
                path: passage.path.clone(),
                reason: reason.clone(),
            },
        );
    }
}

/// Records a passage that costs nothing. Its session may have to be read from the disk: the answer does not wait for it.
pub fn record_later(sessions: Arc<Sessions>, found: Found, passage: Passage) {
    tokio::spawn(async move {
        match sessions.get(found).await {
            Ok(session) => record(&session, &passage, None),
            Err(error) => {
                tracing::error!(%error, path = passage.path, "a passage could not be recorded");
            }
        }
    });
}
