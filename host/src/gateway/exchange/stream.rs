//! The generation as it arrives: frames become text, calls and facts; policies are asked; what may leave leaves.

use bytes::Bytes;

use super::conduct::{Exchange, Fate, Unflushed};
use super::hold::{Duty, Payload, Ready, Said, Span, Stretch};
use crate::contract::types::{self as wit, BlockMode, Checkpoint, Detail, EventKind};
use crate::dialect::sse::Frame;
use crate::dialect::{Failure, Identity, Piece, Undecodable};
use crate::event::clock::now;
use crate::event::phase::Phase;
use crate::event::{Body, Channel, FailureKind, Place, Usage};
use crate::reason::patterns::Match;
use crate::reason::plan::Plan;
use crate::reason::watch::Watcher;

/// Text is put on the timeline at the latest after so many bytes or so long, us.
const FLUSH_BYTES: usize = 2048;
const FLUSH_US: u64 = 200_000;

/// Whether an error with this status may be cured by another attempt; also one that states none.
fn is_passing(status: u16) -> bool {
    matches!(status, 0 | 408 | 429) || status >= 500
}

impl Exchange {
    /// Headers of a good answer arrived.
    pub fn answered(&mut self) {
        self.phase = Phase::Generating;
        self.take_in();
    }

    /// The next frame of a stream.
    pub fn frame(&mut self, frame: Frame) {
        // What comes after the last word was never judged, and no client waits for it.
        if self.saw_end && self.guards() {
            return;
        }
        let mut pieces = Vec::new();
        let mut others = Identity::default();
        let read = self
            .dialect
            .read_frame(&frame, self.identity_of(&mut others), &mut pieces);
        let usage_only = pieces.iter().any(|p| matches!(p, Piece::Usage(_)))
            && !self.view.include_usage
            && self.dialect.is_usage_only(&frame);
        self.arrived(Payload::Frame(frame), pieces, read, usage_only);
    }

    /// A whole body: everything that a stream would have said, at once.
    pub fn body(&mut self, body: Bytes) {
        let mut pieces = Vec::new();
        let mut others = Identity::default();
        let read = self
            .dialect
            .read_body(&body, self.identity_of(&mut others), &mut pieces);
        self.arrived(Payload::Body(body), pieces, read, false);
    }

    /// The client reads the ids of the first round; those of later ones are nobody's concern.
    fn identity_of<'a>(&'a mut self, others: &'a mut Identity) -> &'a mut Identity {
        if self.hold.speaks_for_others() {
            others
        } else {
            &mut self.identity
        }
    }

    pub(super) fn arrived(
        &mut self,
        payload: Payload,
        pieces: Vec<Piece>,
        read: Result<(), Undecodable>,
        usage_only: bool,
    ) {
        self.adopt();
        self.gather(&payload);
        let at = now();
        if let Err(error) = read {
            self.undecodable(&error);
        }
        let mut said = Said {
            judged: self.guards(),
            ..Said::default()
        };
        if matches!(payload, Payload::Frame(_)) {
            self.check_choices(&pieces);
        }
        let mut duty = if usage_only { Duty::Strip } else { Duty::Pass };
        let mut terminal = false;
        for piece in pieces {
            match piece {
                Piece::Text {
                    place,
                    text,
                    generated,
                } => {
                    let (span, count) = self.text(place, &text, generated, at);
                    said.tokens += count;
                    said.spans.push(span);
                }
                Piece::Call(part) => self.call_part(&part, &mut said, at),
                Piece::Beside => said.beside = true,
                Piece::Finish { choice, reason } => {
                    terminal = true;
                    said.finishes.push(choice);
                    if choice == 0 {
                        self.finish = Some(reason);
                    }
                }
                Piece::Usage(usage) => {
                    self.usage = Some(self.usage.map_or(usage, |known| known.with(usage)));
                    self.vitals.exact = usage.exact;
                    said.states_usage = true;
                }
                Piece::Error(failure) => {
                    let retryable = is_passing(failure.status);
                    self.error_status = Some(failure.status);
                    if retryable {
                        self.measure_broken();
                    }
                    self.note_failure(&failure, retryable);
                }
                Piece::End => {
                    terminal = true;
                    said.ends = true;
                    self.saw_end = true;
                }
            }
        }
        if said.states_usage {
            self.stated_at = self.vitals.output_tokens;
            said.usage = (self.prior != Usage::default()).then(|| self.usage_so_far());
        }
        // With nobody to judge the response, its end need not wait. A body leaves at its end anyway.
        let is_frame = matches!(payload, Payload::Frame(_));
        if is_frame && terminal && duty == Duty::Pass && self.guards() {
            duty = Duty::Terminal;
        }
        let (finished, all) = (said.finishes.clone(), self.saw_end);
        self.hold.push(payload, said, duty, at);
        self.seal_calls(|s| all || finished.contains(&s.place.choice));
        self.measure();
        if !self.saw_end {
            self.checkpoint(Checkpoint::Stream);
        }
        self.bound_hold();
        self.expire();
    }

    fn text(&mut self, place: Place, text: &str, generated: bool, at: u64) -> (Span, u32) {
        let mut found = Vec::new();
        let (patterns, counter) = (&self.plan.patterns, &self.tokens);
        let (span, tokens) = self
            .hold
            .say(place, text, generated, patterns, counter, &mut found);
        self.arrived_text(place, &span, text, generated, tokens, at);
        self.matched(place, &found);
        (span, tokens)
    }

    /// Text of the generation is put on the timeline and measured, and told to those who wake on it.
    pub(super) fn arrived_text(
        &mut self,
        place: Place,
        span: &Span,
        text: &str,
        generated: bool,
        tokens: u32,
        at: u64,
    ) {
        if generated {
            if self.vitals.first_token.is_none() {
                self.session.timeline.append(
                    self.number,
                    Body::FirstToken {
                        after_us: at.saturating_sub(self.started),
                    },
                );
            }
            self.measure_first_token(at);
            self.vitals.tokens(tokens, at);
        }
        let joins = self.unflushed.as_ref().is_some_and(|u| {
            u.place == place && u.text.len() < FLUSH_BYTES && at.saturating_sub(u.at) < FLUSH_US
        });
        if !joins {
            self.flush();
        }
        let unflushed = self.unflushed.get_or_insert_with(|| Unflushed {
            place,
            offset: span.start,
            text: String::new(),
            tokens: 0,
            at,
        });
        unflushed.text.push_str(text);
        unflushed.tokens += tokens;
        for watcher in &mut self.watchers {
            if let Some(wants) = self.plan.wants.get(watcher.entry) {
                watcher.text(wants, place.channel, tokens, at);
            }
        }
    }

    pub(super) fn matched(&mut self, place: Place, found: &[Match]) {
        for m in found {
            if let Some(watcher) = self
                .watchers
                .iter_mut()
                .find(|w| w.entry == m.owner as usize)
            {
                watcher.matched(place, m);
            }
        }
    }

    /// No more frames come. The response is judged; what policies make of it is in `fate`.
    pub fn finished(&mut self) {
        if std::mem::replace(&mut self.judged_response, true) {
            return;
        }
        self.seal_calls(|_| true);
        if self.hold.is_all_beside() {
            let what = "all that came is in fields of the other form: `message` in a stream, or `delta` in a body";
            self.unreadable("choices", what.to_owned());
        }
        self.hear_out();
        let (at, usage) = (now(), self.usage_so_far());
        let detail = Detail::Response(wit::Response {
            finish: self.finish.clone().unwrap_or_default(),
            model: self.identity.model.clone(),
            input_tokens: usage.input,
            output_tokens: usage.output,
            cached_tokens: usage.cached,
            reasoning_tokens: usage.reasoning,
            exact: usage.exact,
            cost: self.cost_so_far().unwrap_or_default(),
            status: "complete".to_owned(),
        });
        self.log.push(
            self.session.timeline.next_seq(),
            at,
            EventKind::ResponseEnd,
            "",
            Some(detail),
            None,
        );
        self.wake(EventKind::ResponseEnd, None);
        self.checkpoint(Checkpoint::Response);
        if self.fate.is_none() && self.ran_out_unsaid() {
            self.fate = Some(Fate::Refused(
                self.used_up("the session's budget is used up"),
            ));
        }
        if self.fate.is_none() {
            self.unreleased_at_end();
        }
    }

    /// No more text comes: what was open becomes certain, and who waits for more is due.
    pub(super) fn hear_out(&mut self) {
        for index in 0..self.hold.stretches.len() {
            let mut found = Vec::new();
            self.hold.finish(index, &mut found);
            if let Some(place) = self.hold.stretches.get(index).map(|s| s.place) {
                self.matched(place, &found);
            }
        }
        for watcher in &mut self.watchers {
            if let Some(wants) = self.plan.wants.get(watcher.entry) {
                watcher.ended(wants);
            }
        }
        self.flush();
    }

    /// Whether the answer ended before a word of it, at the limit that the session's budget set: frameworks take that for a
    /// limit of their own, and advise to raise it.
    fn ran_out_unsaid(&self) -> bool {
        let own = self.view.max_output_tokens.map(u64::from);
        let choices = u64::from(self.view.choices.max(1));
        let by_budget = self
            .answer_room
            .is_some_and(|room| own.is_none_or(|own| room / choices < own));
        let unsaid = self
            .hold
            .stretches
            .iter()
            .all(|s| s.text.is_empty() && s.call.is_none());
        by_budget && unsaid && self.finish.as_deref() == Some("length")
    }

    /// Everything that may leave now.
    pub fn ready(&mut self, out: &mut Vec<Ready>) {
        let (holds, text_waits) = (self.holds_tool_calls(), self.text_is_parked());
        let (plan, watchers) = (&self.plan, &self.watchers);
        // A generation that is stopped gets another end than its own.
        let finished = self.judged_response && self.fate.is_none() && self.parked.is_empty();
        let limit = |s: &Stretch| {
            match &s.call {
                Some(call) if call.is_out() => return u32::MAX,
                Some(call) if call.is_parked() => return 0,
                Some(call) if holds && !call.is_judged() => return 0,
                _ => {}
            }
            if text_waits && s.place.channel != Channel::ToolArguments {
                return s.released;
            }
            judged_up_to(plan, watchers, s)
        };
        if let Err(error) = self.hold.release(self.dialect, limit, finished, out) {
            tracing::error!(%error, session = %self.session.id, "a replacement could not be written: the exchange ends");
            self.fate = Some(Fate::Block {
                mode: BlockMode::Hard,
                by: String::new(),
                reason: "a policy's replacement could not be written into the response".to_owned(),
                fallback: String::new(),
            });
        }
        // A part that looks like the whole must not be the client's last word.
        if finished && self.fate.is_none() && self.hold.bytes() > 0 {
            self.fate = Some(Fate::Block {
                mode: BlockMode::Hard,
                by: String::new(),
                reason: "a part of the response was held and never released".to_owned(),
                fallback: String::new(),
            });
        }
    }

    /// Whether nobody who may object waits with a text, or has changed it.
    pub(super) fn passes(&self, stretch: usize) -> bool {
        let stretch = self.hold.stretches.get(stretch);
        stretch.is_none_or(|s| {
            judged_up_to(&self.plan, &self.watchers, s) >= s.text.len() as u32 && s.seen() == s.text
        })
    }

    /// Whether the upstream said that it was done; otherwise its stream broke off.
    pub fn is_whole(&self) -> bool {
        self.saw_end || self.finish.is_some()
    }

    /// The connection to the upstream broke in the middle of the generation.
    pub fn broke(&mut self, message: String, kind: FailureKind) -> Failure {
        let failure = Failure {
            status: 502,
            kind,
            message,
        };
        self.note_failure(&failure, !self.is_heard());
        self.measure_broken();
        failure
    }

    /// Whether the client has read anything of the generation.
    pub fn is_heard(&self) -> bool {
        self.hold.begun || self.hold.told_anything()
    }

    /// Whether the upstream stated an error that may pass, before the client has read anything: the call failed, whatever
    /// the status of its answer says.
    pub fn failed_unheard(&self) -> bool {
        !self.is_heard() && self.error_status.is_some_and(is_passing)
    }

    pub(super) fn undecodable(&mut self, error: &Undecodable) {
        if self.guards() {
            self.fate = Some(Fate::Block {
                mode: BlockMode::Hard,
                by: String::new(),
                reason: format!("the upstream's answer cannot be judged: {error}"),
                fallback: String::new(),
            });
        }
        if !std::mem::replace(&mut self.told_unjudged, true) {
            self.session.timeline.append(
                self.number,
                Body::Unjudged {
                    path: format!("response of {}", self.upstream),
                    reason: error.to_string(),
                },
            );
        }
    }

    /// What is stated to a client that asked for usage, when Airlock ends the stream itself.
    pub(super) fn stated_usage(&self) -> Option<Usage> {
        self.view.include_usage.then(|| self.usage_so_far())
    }
}

/// Up to where nobody who may object waits with a text.
fn judged_up_to(plan: &Plan, watchers: &[Watcher], stretch: &Stretch) -> u32 {
    watchers
        .iter()
        .filter(|w| plan.entries.get(w.entry).is_some_and(|g| g.enforces()))
        .filter_map(|w| Some(w.limit(plan.wants.get(w.entry)?, stretch.place)))
        .fold(stretch.safe(), u32::min)
}
