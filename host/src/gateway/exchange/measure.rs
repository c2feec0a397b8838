//! What an exchange tells of the tools, the model and the upstream that it meets: the vitals 40 to 48.
//!
//! A failure here is one that says something about the other side: no connection, a broken one, silence, 408, 429 and 5xx.
//! Any other refusal says something about the request, and is not counted at all. A call that a policy gave up before the
//! first token failed, after the time that was waited for it; one that the client gave up says nothing.

use tokio::time::Instant;

use super::conduct::Exchange;
use crate::contract::types::Detail;
use crate::event::Micros;
use crate::event::clock::now;
use crate::upstream::{Attempt, UpstreamError};

impl Exchange {
    /// Finds how the model and the upstream that are asked now have been doing.
    pub(super) fn look_around(&mut self) {
        let (health, at) = (&self.app.health, now());
        self.vitals.around.model = health.models.track(&self.model, at);
        self.vitals.around.upstream = health.upstreams.track(&self.upstream, at);
    }

    /// Tool results arrived, in the log from `from` on.
    pub(super) fn measure_results(&mut self, from: usize) {
        let at = now();
        for item in self.log.since(from) {
            let Some(Detail::ToolResult(result)) = item.detail() else {
                continue;
            };
            let duration = Some(result.duration);
            if let Some(track) = self.app.health.tools.track(&result.name, at) {
                track.add(duration, result.failed, at);
            }
            if let Some(track) = self.session.tool_health.track(&result.name, at) {
                track.add(duration, result.failed, at);
                self.session.state().newest_tool = Some(track);
            }
        }
        self.vitals.around.tool = self.session.state().newest_tool.clone();
    }

    /// Attempts failed, whatever came after them.
    pub fn measure_attempts(&mut self, attempts: &[Attempt]) {
        let (health, at) = (&self.app.health, now());
        for attempt in attempts.iter().filter(|a| is_the_upstreams(&a.error)) {
            for track in [
                health.models.track(&attempt.target.model, at),
                health.upstreams.track(&attempt.target.upstream, at),
            ] {
                track.inspect(|track| track.add(None, true, at));
            }
        }
        // Unless one of them was answered, the wait is over.
        self.asked = None;
    }

    /// An attempt that began then was answered, and its first token is waited for.
    pub fn measure_answer(&mut self, began: Instant) {
        let waited = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.asked = Some(now().saturating_sub(waited));
    }

    /// The first token arrived.
    pub(super) fn measure_first_token(&mut self, at: Micros) {
        self.measure_call(false, at);
    }

    /// The call was given up on a policy's order.
    pub(super) fn measure_abandoned(&mut self) {
        self.measure_call(true, now());
    }

    /// The generation broke off. If it had brought a token, the call was counted as a good one.
    pub(super) fn measure_broken(&mut self) {
        let at = now();
        if self.asked.take().is_some() {
            self.each_track(|track| track.add(None, true, at));
        } else if self.vitals.first_token.is_some() {
            self.each_track(|track| track.turned_bad(at));
        }
    }

    fn measure_call(&mut self, failed: bool, at: Micros) {
        if let Some(since) = self.asked.take() {
            let waited = at.saturating_sub(since);
            self.each_track(|track| track.add(Some(waited), failed, at));
        }
    }

    fn each_track(&self, tell: impl Fn(&crate::observe::health::Track)) {
        let around = &self.vitals.around;
        for track in [&around.model, &around.upstream].into_iter().flatten() {
            tell(track);
        }
    }
}

/// Whether an attempt's failure says something about the upstream, and not about the request or the configuration.
fn is_the_upstreams(error: &UpstreamError) -> bool {
    match error {
        UpstreamError::Status { status, .. } => {
            matches!(status.as_u16(), 408 | 429) || status.is_server_error()
        }
        UpstreamError::Unknown(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn a_bad_request_is_nobodys_failure_but_the_clients() {
        let status = |code| UpstreamError::Status {
            upstream: "a".to_owned(),
            status: code,
        };
        for (error, counts) in [
            (status(StatusCode::BAD_REQUEST), false),
            (status(StatusCode::UNAUTHORIZED), false),
            (status(StatusCode::NOT_FOUND), false),
            (status(StatusCode::TOO_MANY_REQUESTS), true),
            (status(StatusCode::BAD_GATEWAY), true),
            (UpstreamError::Unknown("a".to_owned()), false),
        ] {
            assert_eq!(is_the_upstreams(&error), counts, "{error}");
        }
    }
}
