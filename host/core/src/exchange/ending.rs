//! How an exchange ends that does not end by itself: one table, for answers that are streamed, whole, or have not begun.
//!
//! | decided | the client has nothing | it has a part |
//! |---|---|---|
//! | block, `abort` | the connection is cut | the same |
//! | block, `hard` | an error | an error in the stream |
//! | block, `soft` | the fallback, as a refusal where a form was asked for | the same, at the end |
//! | budget used up, or not to be kept | an error with a code of its own | the part, marked as partial |
//! | deadline | 504 | the part, marked as partial |
//! | stop | the reason as text, marked as partial | the part, marked as partial |
//! | a denied turn that cannot go on | what was denied, as text | the same, at the end |
//! | nobody has answered | 503, to be repeated | an error in the stream |
//! | a retry that cannot be made | 502 | an error in the stream |
//!
//! Guarantees: an ending is never taken for success by a client that shows what it reads, or raises what its SDK raises;
//! a stream never ends in the middle of a tool call but with an error, since agents mend a cut call and run it; what is said names
//! Airlock, the policy and the exchange, and repeats nothing that is held back.

use bytes::Bytes;

use super::account::LEDGER;
use super::legs::Stage;
use super::next::{Ending, Reply};
use super::words::{self, Voice, upstream_failed};
use super::{Exchange, usage};
use crate::act::fate::Fate;
use crate::dialect::{self, ClientError, Closing, Partial};
use crate::event::{FailureKind, Micros, Status, Usage};
use crate::release::frame::{Ready, joined};
use airlock_policy::contract::types::BlockMode;

/// What the client is told.
#[derive(Debug, PartialEq)]
enum Told {
    /// Nothing: the connection is cut.
    Cut,
    /// Its SDK raises.
    Error(ClientError),
    /// What it may have of a whole answer, marked as a part.
    Part(Bytes, Partial),
    /// A text, perhaps empty, and an end.
    Text {
        text: String,
        /// It stands where a refusal stands, not where an answer is looked for.
        refusal: bool,
        ending: dialect::Ending,
    },
}

impl Exchange {
    /// Ends it with an error that the client's SDK raises at.
    pub(super) fn refuse(&mut self, error: ClientError, now: Micros) {
        self.tell(Told::Error(error), Status::Failed, Usage::default(), now);
    }

    /// Cuts the connection.
    pub(super) fn cut(&mut self, now: Micros) {
        self.tell(Told::Cut, Status::Failed, Usage::default(), now);
    }

    /// Carries out what was decided, for a client that reads a stream, or has nothing.
    pub(super) fn conclude(&mut self, fate: Fate, now: Micros) {
        self.call.release.hold.discard();
        let (told, status) = self.table(fate);
        let usage = usage::usage(&self.call, &self.hearing.vitals);
        self.tell(told, status, usage, now);
    }

    /// Gives what the client gets of an answer that is not streamed, and was judged whole. `ready` is what may leave of it.
    pub(super) fn conclude_whole(&mut self, ready: &[Ready], now: Micros) {
        let usage = usage::usage(&self.call, &self.hearing.vitals);
        // The account holds the lease: of an answer that arrived without the provider's numbers, what arrived counts and not all
        // of that. One that was decided before it arrived may be generated to its end: there the lease counts.
        if matches!(self.call.legs.stage(), Stage::Drained) {
            let of_leg = usage::usage_of_leg(&self.call, &self.hearing.vitals);
            self.call.release.usage = Some(of_leg);
            self.call.account.stated_at = self.hearing.vitals.output_tokens;
        }
        let out = joined(ready);
        match self.hearing.fate.clone() {
            None => {
                self.deliver(ready);
                // An error is one, whatever status the upstream gave it.
                let stated = self.call.release.error_status.map(|stated| match stated {
                    400..=599 => stated,
                    _ => 502,
                });
                self.end(self.own_status(), now);
                self.leaving.ending = Some(Ending::Reply(Reply::Whole(out, stated)));
            }
            Some(fate) => {
                let (told, status) = match self.part(&fate, &out) {
                    Some(kept) => {
                        self.deliver(ready);
                        (kept, Status::Partial)
                    }
                    None => {
                        self.call.release.hold.keep_all();
                        self.table(fate)
                    }
                };
                self.tell(told, status, usage, now);
            }
        }
    }

    /// What a client of a whole answer is given of it that was stopped: what may leave, marked as a part.
    fn part(&self, fate: &Fate, out: &Bytes) -> Option<Told> {
        match fate {
            Fate::Stop {
                reason,
                confidence,
                keep_held: true,
                by,
            } if !out.is_empty() && by != LEDGER => {
                let partial = Partial {
                    reason: self.voice().presentable(reason).unwrap_or_default(),
                    confidence: *confidence,
                    policy: by.clone(),
                };
                Some(Told::Part(out.clone(), partial))
            }
            _ => None,
        }
    }

    /// What the client is told of a fate, and how the exchange ended.
    fn table(&self, fate: Fate) -> (Told, Status) {
        let voice = self.voice();
        let hold = &self.call.release.hold;
        let nothing = !hold.told_anything();
        let structured = self.facts.view.structured_output;
        let text = |text: String, refusal: bool, ending: dialect::Ending| Told::Text {
            text,
            refusal,
            ending,
        };
        match fate {
            Fate::Block {
                mode: BlockMode::Abort,
                ..
            } => (Told::Cut, Status::Blocked),
            Fate::Block {
                mode: BlockMode::Soft,
                by,
                fallback,
                ..
            } if !hold.is_in_a_call() => {
                let fallback = match nothing && fallback.is_empty() {
                    true => voice.blocked_text(&by, ""),
                    false => fallback,
                };
                let ending = dialect::Ending::Refused;
                (text(fallback, structured, ending), Status::Blocked)
            }
            Fate::Block { by, reason, .. } => {
                (Told::Error(voice.blocked(&by, &reason)), Status::Blocked)
            }
            Fate::Refused(error) => {
                let status = match error.status >= 500 {
                    true => Status::Failed,
                    false => Status::Blocked,
                };
                (Told::Error(error), status)
            }
            Fate::Unanswered(message) => (Told::Error(words::held(message)), Status::Blocked),
            Fate::Stop { .. } if nothing && self.call.clock.expired => {
                (Told::Error(words::expired()), Status::Failed)
            }
            Fate::Stop { reason, by, .. } if nothing && by == LEDGER => {
                let error = words::used_up(&self.facts, &reason);
                (Told::Error(error), Status::Blocked)
            }
            Fate::Stop { reason, by, .. } if hold.is_in_a_call() => {
                (Told::Error(voice.stopped(&by, &reason)), Status::Blocked)
            }
            Fate::Stop {
                reason,
                confidence,
                by,
                ..
            } => {
                let said = match nothing {
                    true => voice.stopped_text(&by, &reason),
                    false => String::new(),
                };
                let partial = Partial {
                    reason: voice.presentable(&reason).unwrap_or_default(),
                    confidence,
                    policy: by,
                };
                let ending = dialect::Ending::Partial(partial);
                (text(said, structured && nothing, ending), Status::Partial)
            }
            Fate::Explain(why) => {
                // Of a whole answer, what the model said before was judged with it, and goes before.
                let before = match self.streams() {
                    true => String::new(),
                    false => self.call.release.said(),
                };
                let gap = if nothing && before.is_empty() {
                    ""
                } else {
                    "\n\n"
                };
                let said = format!("{before}{gap}{why}");
                let ending = dialect::Ending::Complete;
                (text(said, false, ending), Status::Complete)
            }
            Fate::Answer(said) => {
                let ending = dialect::Ending::Complete;
                (text(said, false, ending), Status::Complete)
            }
            Fate::Retry { .. } => {
                let why = "the upstream failed".to_owned();
                let error = upstream_failed(FailureKind::Upstream, why);
                (Told::Error(error), Status::Failed)
            }
        }
    }

    /// Tells it: in the stream that the client reads, or in a response to one that has nothing.
    fn tell(&mut self, told: Told, status: Status, usage: Usage, now: Micros) {
        let (begun, assembles) = (self.call.legs.begun, self.call.assembles);
        let release = &mut self.call.release;
        if !release.hold.opened {
            release.writer.speak_alone();
        }
        let ending = match told {
            Told::Cut => {
                self.facts.session.state().cut(self.facts.number);
                Ending::Cut
            }
            Told::Error(error) if begun => {
                let bytes = self.call.release.writer.error(&error);
                self.leaving.give(bytes);
                Ending::Done
            }
            Told::Error(error) => Ending::Reply(Reply::Error(error)),
            Told::Part(out, partial) => {
                let ending = dialect::Ending::Partial(partial);
                let body = self.call.release.writer.end_body(&out, &ending);
                Ending::Reply(match body {
                    Ok(body) => Reply::Whole(body.into(), None),
                    Err(error) => {
                        Reply::Error(upstream_failed(FailureKind::Upstream, error.to_string()))
                    }
                })
            }
            Told::Text {
                text,
                refusal,
                ending,
            } if !self.streams() || (assembles && ending == dialect::Ending::Refused) => {
                // Its client has nothing, and gets nothing of what was blocked.
                self.leaving.assembly = None;
                let writer = &mut self.call.release.writer;
                let body = writer.answer(&text, refusal, &ending, usage);
                self.call.release.given = Some(text);
                Ending::Reply(Reply::Whole(body.into(), None))
            }
            Told::Text {
                text,
                refusal,
                ending,
            } => {
                let release = &mut self.call.release;
                let finished = &release.hold.finished;
                let open: Vec<u16> = (0..self.facts.choices())
                    .filter(|choice| !finished.contains(choice))
                    .collect();
                let closing = Closing {
                    open: &open,
                    begun: release.hold.opened,
                    text: &text,
                    refusal,
                    ending: &ending,
                    usage: (self.facts.view.include_usage || assembles).then_some(usage),
                };
                let opened = release.hold.opened;
                let bytes = release.writer.close(&closing);
                match begun || (assembles && opened) {
                    true => {
                        release.epilogue = text;
                        self.leaving.give(bytes);
                        Ending::Done
                    }
                    false => {
                        release.given = Some(text);
                        Ending::Reply(Reply::Stream(bytes))
                    }
                }
            }
        };
        self.leaving.ending = Some(ending);
        self.end(status, now);
    }

    /// How a stream ended that came to its own end.
    pub(super) fn own_status(&self) -> Status {
        match self.call.release.error_status {
            Some(_) => Status::Failed,
            None => Status::Complete,
        }
    }

    /// The client is given these frames.
    pub(super) fn deliver(&mut self, ready: &[Ready]) {
        for frame in ready {
            self.call.release.hold.delivered(frame);
        }
    }

    fn voice(&self) -> Voice<'_> {
        Voice {
            facts: &self.facts,
            panel: &self.hearing.panel,
            hold: &self.call.release.hold,
        }
    }
}
