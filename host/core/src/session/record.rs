//! The record of one exchange: each fact is told once, to the timeline for ever and to the log for those who judge.
//!
//! Whoever waits for a fact finds it in the log; nobody is told besides.

use std::sync::Arc;

use super::facts::Facts;
use super::mailbox::Answered;
use crate::dialect::{Failure, MediaView};
use crate::event::{Body, CallKind, Channel, Micros, Outcome, Place, Role};
use crate::observe::log::{Log, inline};
use airlock_policy::contract::types::{self as wit, Detail, EventKind, Vital};
use airlock_policy::contract::{SMALL, large};

/// Text is put on the timeline at the latest after so many bytes or so long, us.
const FLUSH_BYTES: usize = 2048;
const FLUSH_US: u64 = 200_000;

/// The record of one exchange.
pub struct Record {
    facts: Arc<Facts>,
    log: Log,
    unflushed: Option<Unflushed>,
}

/// Text that arrived and is not on the timeline yet.
struct Unflushed {
    place: Place,
    offset: u32,
    text: String,
    tokens: u32,
    at: Micros,
}

/// A request as it goes to an upstream.
pub struct Asked<'a> {
    /// Name of the upstream.
    pub upstream: &'a str,
    /// Model that it is asked for.
    pub model: &'a str,
    /// Tokens of its prompt, counted.
    pub input_tokens: u32,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Number of the call to an upstream, from 1.
    pub leg: u32,
    /// Why there is a further one; empty for the first.
    pub cause: &'a str,
}

/// A tool call.
pub struct Called {
    /// Its id.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Who runs it.
    pub kind: CallKind,
}

/// A tool's result as the model sees it.
pub struct Resulted<'a> {
    /// Id of the call.
    pub id: &'a str,
    /// Name of the tool.
    pub name: String,
    /// Between call and result, us; 0 if not known.
    pub duration: u64,
    /// It says that the tool failed.
    pub failed: bool,
    /// Identity of the message that bears it.
    pub message: u64,
    /// Index of that message in the request.
    pub index: u32,
    /// What it says.
    pub text: &'a str,
}

/// What became of an order.
pub struct Intervened<'a> {
    /// Name of the action.
    pub action: &'a str,
    /// Who ordered it.
    pub by: &'a str,
    /// Its policy in the plan, which is not woken by it; `None` if no policy ordered it.
    pub entry: Option<usize>,
    /// Generation of that policy; 0 if none.
    pub generation: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: &'a str,
    /// What was ordered.
    pub arguments: serde_json::Value,
}

impl Record {
    /// The record of an exchange that begins.
    pub fn new(facts: Arc<Facts>) -> Self {
        Self {
            facts,
            log: Log::default(),
            unflushed: None,
        }
    }

    /// What those who judge are told.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The generation begins anew.
    pub fn start_over(&mut self) {
        self.log.start_over();
    }

    /// A fact for the timeline alone.
    pub fn note(&self, body: Body) -> u64 {
        let Facts {
            session, number, ..
        } = &*self.facts;
        session.timeline.append(*number, body)
    }

    /// The session's first exchange begins.
    pub fn opened(&mut self, at: Micros) {
        let detail = Detail::Session((*self.facts.session.facts).clone());
        self.log
            .push(1, at, EventKind::SessionOpened, "", Some(detail), None);
    }

    /// What the request says about itself: a note on the timeline, and an event of its own for policies that see `other`.
    pub fn declared(&mut self, at: Micros) {
        let facts = self.facts.declared.facts();
        if facts.is_empty() {
            return;
        }
        let value: serde_json::Map<_, _> = facts.into_iter().map(|(k, v)| (k, v.into())).collect();
        let value = serde_json::Value::Object(value).to_string();
        let seq = self.note(Body::Annotation {
            policy: "client".to_owned(),
            name: "declared".to_owned(),
            value: value.clone(),
        });
        let detail = Detail::Other(("declared".to_owned(), value));
        self.log
            .push(seq, at, EventKind::Other, "", Some(detail), None);
    }

    /// The client tells its conversation otherwise than before, from the message `at_index` on.
    pub fn history_rewritten(&mut self, at_index: u32, known: u32, at: Micros) {
        let seq = self.note(Body::HistoryRewritten {
            at: at_index,
            known,
        });
        let detail = Detail::History(wit::History {
            at: at_index,
            known,
            cause: "client".to_owned(),
        });
        self.log
            .push(seq, at, EventKind::HistoryRewritten, "", Some(detail), None);
    }

    /// A message that the model will see; `cause` put it there.
    pub fn message(
        &mut self,
        (id, role, index): (u64, Role, u32),
        text: &str,
        cause: Option<usize>,
        at: Micros,
    ) {
        let content = self.facts.session.contents.keep(self.facts.number, text);
        let seq = self.note(Body::Message {
            id,
            role,
            index,
            text: text.to_owned(),
            bytes: text.len() as u64,
        });
        let detail = Detail::Message(wit::Message {
            message: id,
            role: role.into(),
            index,
            content,
            extra: Vec::new(),
        });
        let place = Place::new(Channel::Message, 0, index);
        self.told(seq, at, EventKind::Message, place, text, detail, cause);
    }

    /// A part of a message that is not text. Its bytes are not kept.
    pub fn part(&mut self, (message, index): (u64, u32), part: &MediaView, at: Micros) {
        let seq = self.note(Body::Part {
            name: part.name.clone(),
            message,
            index: part.index,
            media_type: part.media_type.clone(),
            text: part.reference.clone(),
            bytes: part.bytes,
        });
        let detail = Detail::Part(wit::Part {
            name: part.name.clone(),
            message,
            index: part.index,
            media_type: part.media_type.clone(),
            reference: inline(&part.reference).to_owned(),
            is_signed: false,
            content: wit::ContentRef {
                content: 0,
                length: large(part.bytes),
            },
            extra: Vec::new(),
        });
        let place = Place {
            part: u16::try_from(part.index).unwrap_or(u16::MAX),
            ..Place::new(Channel::Message, 0, index)
        };
        self.log
            .push_at((seq, at), EventKind::Part, place, "", detail, None);
    }

    /// A tool's result that the model will see; `cause` put it there.
    pub fn result(&mut self, result: Resulted<'_>, cause: Option<usize>, at: Micros) {
        let Resulted {
            id,
            name,
            duration,
            failed,
            message,
            index,
            text,
        } = result;
        let content = self.facts.session.contents.keep(self.facts.number, text);
        let seq = self.note(Body::ToolResult {
            id: id.to_owned(),
            name: name.clone(),
            duration_us: duration,
            failed,
            message,
            text: text.to_owned(),
            bytes: text.len() as u64,
        });
        let detail = Detail::ToolResult(wit::ToolResult {
            call: id.to_owned(),
            name,
            duration: large(duration),
            failed,
            message,
            content,
            extra: Vec::new(),
        });
        let place = Place::new(Channel::ToolResult, 0, index);
        self.told(seq, at, EventKind::ToolResult, place, text, detail, cause);
    }

    /// Text at its place; what a policy put in the place of another text has none of its own.
    #[allow(clippy::too_many_arguments, reason = "one fact")]
    fn told(
        &mut self,
        seq: u64,
        at: Micros,
        kind: EventKind,
        place: Place,
        text: &str,
        detail: Detail,
        cause: Option<usize>,
    ) {
        let text = inline(text);
        match cause {
            None => self
                .log
                .push_at((seq, at), kind, place, text, detail, cause),
            Some(_) => self.log.push(seq, at, kind, text, Some(detail), cause),
        }
    }

    /// A whole tool call with its present arguments; `cause` is not told by it.
    pub fn call(
        &mut self,
        Called { id, name, kind }: Called,
        place: Place,
        arguments: &str,
        cause: Option<usize>,
        at: Micros,
    ) {
        let content = self
            .facts
            .session
            .contents
            .keep(self.facts.number, arguments);
        let seq = self.note(Body::ToolCall {
            id: id.clone(),
            name: name.clone(),
            call: kind,
            choice: place.choice,
            item: place.item,
            bytes: arguments.len() as u64,
            arguments: arguments.to_owned(),
        });
        let detail = Detail::ToolCall(wit::ToolCall {
            call: id,
            name,
            kind: kind.into(),
            server: String::new(),
            content,
            extra: Vec::new(),
        });
        let kind = EventKind::ToolCall;
        self.told(seq, at, kind, place, arguments, detail, cause);
    }

    /// The request as it goes upstream now, told to those who judge it.
    pub fn request(&mut self, asked: &Asked<'_>, at: Micros) {
        let seq = self.request_again(asked);
        let view = &self.facts.view;
        let detail = Detail::Request(wit::Request {
            model: asked.model.to_owned(),
            upstream: asked.upstream.to_owned(),
            dialect: self.facts.client.name().to_owned(),
            streamed: view.streamed,
            messages: view.messages.len() as u32,
            tools: view.tools.clone(),
            input_tokens: asked.input_tokens.min(SMALL),
            max_output_tokens: view.max_output_tokens.unwrap_or_default().min(SMALL),
            retry: self.facts.retry.min(SMALL),
            attempt: asked.attempt,
            conversation: wit::Conversation::Whole,
            parent: 0,
            leg: asked.leg,
            cause: asked.cause.to_owned(),
            extra: Vec::new(),
        });
        self.log
            .push(seq, at, EventKind::Request, "", Some(detail), None);
    }

    /// The request as it goes upstream now, on the timeline.
    pub fn request_again(&self, asked: &Asked<'_>) -> u64 {
        let view = &self.facts.view;
        self.note(Body::Request {
            model: asked.model.to_owned(),
            upstream: asked.upstream.to_owned(),
            dialect: self.facts.client.name().to_owned(),
            streamed: view.streamed,
            messages: view.messages.len() as u32,
            tools: view.tools.clone(),
            input_tokens: asked.input_tokens,
            max_output_tokens: view.max_output_tokens.unwrap_or_default(),
            retry: self.facts.retry,
            attempt: asked.attempt,
            leg: asked.leg,
            cause: asked.cause.to_owned(),
        })
    }

    /// An upstream failed.
    pub fn failure(&mut self, failure: &Failure, retryable: bool, at: Micros) {
        let seq = self.note(Body::Failure {
            failure: failure.kind,
            status: failure.status,
            retryable,
            text: failure.message.clone(),
        });
        let detail = Detail::Failure(wit::Failure {
            kind: failure.kind.into(),
            status: failure.status.into(),
            retryable,
            extra: Vec::new(),
        });
        let text = inline(&failure.message);
        self.log
            .push(seq, at, EventKind::Failure, text, Some(detail), None);
    }

    /// Vitals, for those who want to see them.
    pub fn vitals(&mut self, values: Vec<Vital>, at: Micros) {
        let seq = self.note(Body::Vitals {
            values: values.iter().map(|v| (v.quantity, v.value)).collect(),
        });
        let detail = Detail::Vitals(values);
        self.log
            .push(seq, at, EventKind::Vitals, "", Some(detail), None);
    }

    /// An intervention, whatever became of it.
    pub fn intervention(&mut self, done: Intervened<'_>, at: Micros) {
        let seq = self.note(Body::Intervention {
            action: done.action.to_owned(),
            policy: done.by.to_owned(),
            generation: done.generation,
            outcome: done.outcome,
            reason: done.reason.to_owned(),
            arguments: done.arguments,
        });
        let detail = Detail::Intervention(wit::Intervention {
            action: done.action.to_owned(),
            policy: done.by.to_owned(),
            exchange: self.facts.number,
            outcome: done.outcome.into(),
            reason: done.reason.to_owned(),
        });
        let kind = EventKind::Intervention;
        self.log.push(seq, at, kind, "", Some(detail), done.entry);
    }

    /// An answer to a question of the policy `entry`, which alone is told; `subject` waits for it.
    pub fn answer(&mut self, entry: usize, answer: &Answered, subject: wit::Subject) {
        let (kind, detail) = (EventKind::Answer, answer.detail(subject));
        self.log
            .push_for(entry, answer.seq, answer.at, kind, detail);
    }

    /// The response has ended; the timeline is told when the exchange has.
    pub fn response(&mut self, response: wit::Response, at: Micros) {
        let seq = self.facts.session.timeline.next_seq();
        let detail = Detail::Response(response);
        self.log
            .push(seq, at, EventKind::ResponseEnd, "", Some(detail), None);
    }

    /// Text of the generation arrived.
    pub fn text(&mut self, place: Place, offset: u32, text: &str, tokens: u32, at: Micros) {
        let joins = self.unflushed.as_ref().is_some_and(|u| {
            u.place == place && u.text.len() < FLUSH_BYTES && at.saturating_sub(u.at) < FLUSH_US
        });
        if !joins {
            self.flush();
        }
        let unflushed = self.unflushed.get_or_insert_with(|| Unflushed {
            place,
            offset,
            text: String::new(),
            tokens: 0,
            at,
        });
        unflushed.text.push_str(text);
        unflushed.tokens += tokens;
    }

    /// Puts text that arrived on the timeline and into the log.
    pub fn flush(&mut self) {
        let Some(text) = self.unflushed.take() else {
            return;
        };
        let seq = self.note(Body::Text {
            place: text.place,
            offset: text.offset,
            text: text.text.clone(),
            bytes: text.text.len() as u32,
            tokens: text.tokens,
        });
        self.log.push_text(
            seq,
            text.at,
            text.place,
            text.offset,
            &text.text,
            text.tokens,
        );
    }
}
