//! Keeps calls that pass without being decoded on the timeline of the session that they belong to.

use std::sync::Arc;

use super::passthrough::{Passage, Recorder};
use super::resolve;
use crate::session::event::Body;
use crate::session::sessions::Sessions;

/// Records passages. A call that names no session goes to one of its principal's own, by which nothing else goes.
pub struct SessionRecorder {
    /// All live sessions.
    pub sessions: Arc<Sessions>,
}

impl Recorder for SessionRecorder {
    fn passage(&self, passage: &Passage<'_>) {
        let found = resolve::find_by_headers(passage.caller, passage.headers)
            .unwrap_or_else(|| resolve::without_session(passage.caller, passage.headers));
        let path = passage.path.to_owned();
        let unjudged = passage.unjudged.map(str::to_owned);
        let body = Body::Passage {
            path: path.clone(),
            model: passage.model.unwrap_or_default().to_owned(),
            upstream: passage.upstream.to_owned(),
            status: passage.status,
            elapsed_us: passage.elapsed.as_micros() as u64,
        };
        let failures: Vec<Body> = passage
            .failures
            .iter()
            .map(|attempt| Body::Failure {
                failure: attempt.error.kind(),
                status: attempt.error.status().as_u16(),
                retryable: attempt.error.retryable(),
                text: attempt.error.to_string(),
            })
            .collect();
        let sessions = Arc::clone(&self.sessions);
        // The session may have to be read from the disk: the answer does not wait for it.
        tokio::spawn(async move {
            match sessions.get(found).await {
                Ok(session) => {
                    for failure in failures {
                        session.timeline.append(0, failure);
                    }
                    session.timeline.append(0, body);
                    if let Some(reason) = unjudged {
                        session.timeline.append(0, Body::Unjudged { path, reason });
                    }
                }
                Err(error) => tracing::error!(%error, path, "a passage could not be recorded"),
            }
        });
    }
}
