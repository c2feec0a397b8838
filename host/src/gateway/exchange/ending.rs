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

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::call::Call;
use super::conclude::{Form, LEDGER, cut, error_response, shaped};
use super::conduct::{Exchange, Fate};
use super::relay::Relay;
use super::{deadline, upstream_failed};
use crate::contract::types::BlockMode;
use crate::dialect::{ClientError, Closing, Ending, Origin, Partial};
use crate::event::{Channel, FailureKind, Status, Usage};
use crate::reason::patterns::Scanner;
use crate::session::ledger::LedgerError;
use crate::upstream::headers;

/// Longest reason of a policy that is repeated to a client, bytes.
const MAX_REASON_BYTES: usize = 300;

/// So many bytes of held text in a row are a quotation of it.
const QUOTATION_BYTES: usize = 12;

/// What the client is told.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// Nothing: the connection is cut.
    Cut,
    /// Its SDK raises.
    Error(ClientError),
    /// A text, perhaps empty, and an end.
    Text {
        text: String,
        /// It stands where a refusal stands, not where an answer is looked for.
        refusal: bool,
        ending: Ending,
    },
}

impl Exchange {
    /// What the client is told of a fate, and how the exchange ended.
    pub(super) fn ending(&mut self, fate: Fate) -> (Told, Status) {
        let nothing = !self.hold.told_anything();
        let structured = self.view.structured_output;
        let text = |text: String, refusal: bool, ending: Ending| Told::Text {
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
            } if !self.hold.is_in_a_call() => {
                let fallback = match nothing && fallback.is_empty() {
                    true => self.blocked_text(&by, ""),
                    false => fallback,
                };
                (text(fallback, structured, Ending::Refused), Status::Blocked)
            }
            Fate::Block { by, reason, .. } => {
                (Told::Error(self.blocked(&by, &reason)), Status::Blocked)
            }
            Fate::Refused(error) => {
                let status = match error.status >= 500 {
                    true => Status::Failed,
                    false => Status::Blocked,
                };
                (Told::Error(error), status)
            }
            Fate::Unanswered(message) => (Told::Error(held(message)), Status::Blocked),
            Fate::Stop { .. } if nothing && self.expired => {
                (Told::Error(deadline::expired()), Status::Failed)
            }
            Fate::Stop { reason, by, .. } if nothing && by == LEDGER => {
                (Told::Error(self.used_up(&reason)), Status::Blocked)
            }
            Fate::Stop { reason, by, .. } if self.hold.is_in_a_call() => {
                (Told::Error(self.stopped(&by, &reason)), Status::Blocked)
            }
            Fate::Stop {
                reason,
                confidence,
                by,
                ..
            } => {
                let said = match nothing {
                    true => self.stopped_text(&by, &reason),
                    false => String::new(),
                };
                let partial = Partial {
                    reason: self.presentable(&reason).unwrap_or_default(),
                    confidence,
                    policy: by,
                };
                let ending = Ending::Partial(partial);
                (text(said, structured && nothing, ending), Status::Partial)
            }
            Fate::Explain(why) => {
                let said = match nothing {
                    true => why,
                    false => format!("\n\n{why}"),
                };
                (text(said, false, Ending::Complete), Status::Complete)
            }
            Fate::Answer(said) => (text(said, false, Ending::Complete), Status::Complete),
            Fate::Retry { .. } => {
                let why = "the upstream failed".to_owned();
                let error = upstream_failed(FailureKind::Upstream, why);
                (Told::Error(error), Status::Failed)
            }
        }
    }

    /// Ends a stream that has begun: its last bytes, and whether the connection is then cut.
    pub fn conclude_stream(&mut self) -> (Bytes, bool) {
        let Some(fate) = self.fate.clone() else {
            return (Bytes::new(), false);
        };
        self.hold.discard();
        let (told, status) = self.ending(fate);
        let (bytes, cut) = match told {
            Told::Cut => {
                self.session.state().cut(self.number);
                (Bytes::new(), true)
            }
            Told::Error(error) => (self.dialect.error_frame(&error), false),
            Told::Text {
                text,
                refusal,
                ending,
            } => {
                let open: Vec<u16> = (0..self.view.choices.max(1))
                    .filter(|choice| !self.hold.finished.contains(choice))
                    .collect();
                let closing = Closing {
                    open: &open,
                    begun: self.hold.opened,
                    text: &text,
                    refusal,
                    ending: &ending,
                    usage: self.stated_usage(),
                };
                let bytes = self.dialect.close_stream(&self.identity, &closing);
                self.epilogue = text;
                (bytes, false)
            }
        };
        self.end(status);
        (bytes, cut)
    }

    /// Gives what the client gets of an answer that was judged whole.
    pub(super) async fn conclude_whole(mut self, mut status: StatusCode) -> Response<Body> {
        let mut ready = Vec::new();
        let keeps = match &self.fate {
            None => true,
            Some(Fate::Stop { keep_held, .. }) => *keep_held,
            Some(_) => false,
        };
        if keeps {
            self.ready(&mut ready);
        }
        let wanted: u64 = ready.iter().map(|r| u64::from(r.tokens)).sum();
        // With a limit it was leased before the call; more only if the provider did not keep to what it was told.
        let missing = (wanted + u64::from(self.prior.output)).saturating_sub(self.leased);
        match self.lease(missing).await {
            Ok(granted) if granted < missing => self.budget_ended(),
            Ok(_) => {}
            Err(error) => self.over_budget(&error),
        }
        // The account holds the lease: without the provider's numbers, what arrived counts and not all of that.
        let usage = self.usage_so_far();
        (self.usage, self.stated_at) = (Some(self.round_usage()), self.vitals.output_tokens);
        let out: Vec<u8> = ready.iter().flat_map(|r| r.bytes.iter().copied()).collect();
        let body = match self.fate.clone() {
            None => {
                ready.iter().for_each(|frame| self.delivered(frame));
                self.end(self.own_status());
                // An error is one, whatever status the upstream gave it.
                let stated = self.error_status.map(|stated| match stated {
                    400..=599 => stated,
                    _ => 502,
                });
                let stated = stated.and_then(|stated| StatusCode::from_u16(stated).ok());
                status = stated.unwrap_or(status);
                out
            }
            // What may be given of it, marked as a part.
            Some(Fate::Stop {
                reason,
                confidence,
                keep_held: true,
                by,
            }) if !out.is_empty() && by != LEDGER => {
                ready.iter().for_each(|frame| self.delivered(frame));
                let partial = Partial {
                    reason: self.presentable(&reason).unwrap_or_default(),
                    confidence,
                    policy: by,
                };
                self.end(Status::Partial);
                match self.dialect.end_body(&out, &Ending::Partial(partial)) {
                    Ok(body) => body,
                    Err(error) => {
                        let error = upstream_failed(FailureKind::Upstream, error.to_string());
                        return error_response(self.dialect, &error, Form::Error);
                    }
                }
            }
            Some(Fate::Explain(why)) => {
                // What the model said before was judged with the response, and goes before.
                let said = self.said();
                let gap = if said.is_empty() { "" } else { "\n\n" };
                return self.told(status, format!("{said}{gap}{why}"), usage);
            }
            Some(fate) => {
                self.hold.keep_all();
                let (told, ended) = self.ending(fate);
                return self.respond(told, ended, status, usage);
            }
        };
        let mut response = shaped(Response::new(Body::from(Bytes::from(body))), Form::Body);
        *response.status_mut() = status;
        response
    }

    /// A whole answer of Airlock's own.
    fn told(&mut self, status: StatusCode, text: String, usage: Usage) -> Response<Body> {
        let told = Told::Text {
            text,
            refusal: false,
            ending: Ending::Complete,
        };
        self.respond(told, Status::Complete, status, usage)
    }

    /// Ends an exchange of which the client has nothing, with a response of Airlock's own.
    fn respond(
        &mut self,
        told: Told,
        ended: Status,
        status: StatusCode,
        usage: Usage,
    ) -> Response<Body> {
        let response = match told {
            Told::Cut => {
                self.session.state().cut(self.number);
                cut(status)
            }
            Told::Error(error) => self.error_response(&error),
            Told::Text {
                text,
                refusal,
                ending,
            } => {
                let response = match self.view.streamed {
                    true => {
                        let choices: Vec<u16> = (0..self.view.choices.max(1)).collect();
                        let closing = Closing {
                            open: &choices,
                            begun: false,
                            text: &text,
                            refusal,
                            ending: &ending,
                            usage: self.stated_usage(),
                        };
                        let frames = self.dialect.close_stream(&self.identity, &closing);
                        shaped(Response::new(Body::from(frames)), Form::Stream)
                    }
                    false => {
                        let body = self.dialect.answer_body(
                            &self.identity,
                            &text,
                            refusal,
                            &ending,
                            usage,
                        );
                        shaped(Response::new(Body::from(body)), Form::Body)
                    }
                };
                self.given = Some(text);
                response
            }
        };
        self.end(ended);
        response
    }

    /// An error, in an answer that has not begun. What nobody has decided yet SDKs ask again by themselves.
    fn error_response(&self, error: &ClientError) -> Response<Body> {
        let mut response = error_response(self.dialect, error, Form::Error);
        let headers = response.headers_mut();
        if error.code == HELD {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            headers.insert("x-should-retry", HeaderValue::from_static("true"));
        }
        response
    }

    /// What the client's SDK raises of a hard block. 400 with the code of a content filter, as Azure has it: measured, 403 is
    /// a bad key to PydanticAI, and makes LiteLLM's router repeat the call three times; with this, Semantic Kernel and PydanticAI
    /// raise the exception that they have for it.
    pub(super) fn blocked(&self, by: &str, reason: &str) -> ClientError {
        self.own_error(
            400,
            "content_filter",
            "airlock_blocked",
            by,
            self.blocked_text(by, reason),
        )
    }

    fn stopped(&self, by: &str, reason: &str) -> ClientError {
        self.own_error(
            400,
            "airlock_stopped",
            "airlock_stopped",
            by,
            self.stopped_text(by, reason),
        )
    }

    /// The budget is used up. 402: no SDK repeats it, and PydanticAI raises the exception that it has for quotas.
    pub(super) fn used_up(&self, reason: &str) -> ClientError {
        let message = format!("Airlock: {reason} (exchange {}).", self.label());
        self.own_error(402, "airlock_budget", "airlock_budget", "", message)
    }

    /// The budget cannot be kept: what is not durable is not used.
    pub(super) fn unkept(&self, error: &LedgerError) -> ClientError {
        let message = format!("Airlock: {error} (exchange {}).", self.label());
        self.own_error(503, "airlock_store", "airlock_store", "", message)
    }

    fn own_error(
        &self,
        status: u16,
        code: &str,
        own: &'static str,
        by: &str,
        message: String,
    ) -> ClientError {
        ClientError {
            status,
            kind: FailureKind::Policy,
            message,
            code: code.to_owned(),
            origin: Some(Origin {
                code: own,
                policy: by.to_owned(),
                exchange: self.label(),
            }),
        }
    }

    fn blocked_text(&self, by: &str, reason: &str) -> String {
        self.sentence("blocked this answer", by, reason)
    }

    fn stopped_text(&self, by: &str, reason: &str) -> String {
        self.sentence("stopped this answer", by, reason)
    }

    fn sentence(&self, did: &str, by: &str, reason: &str) -> String {
        let label = self.label();
        let who = match by {
            "" => format!("exchange {label}"),
            by => format!("policy {by}, exchange {label}"),
        };
        match self.presentable(reason) {
            Some(reason) => format!("Airlock {did} ({who}): {reason}"),
            None => format!("Airlock {did} ({who})."),
        }
    }

    /// A policy's reason, if it tells the client nothing of what is kept from it: it is short, no pattern of any policy matches
    /// it, and it quotes no text that the client does not have.
    fn presentable(&self, reason: &str) -> Option<String> {
        let text: String = reason.chars().filter(|c| !c.is_control()).collect();
        let text = text.trim();
        if text.is_empty() || text.len() > MAX_REASON_BYTES {
            return None;
        }
        let matches = Channel::ALL.into_iter().any(|channel| {
            self.plan
                .patterns
                .get(channel as usize)
                .and_then(Option::as_ref)
                .is_some_and(|patterns| {
                    let mut scanner = Scanner::new(std::sync::Arc::clone(patterns));
                    let mut found = Vec::new();
                    scanner.feed(text, &mut found);
                    scanner.finish(&mut found);
                    !found.is_empty()
                })
        });
        (!matches && !self.hold.quotes_held(text, QUOTATION_BYTES)).then(|| text.to_owned())
    }
}

impl Call {
    /// Ends a call of which the client has seen nothing, not even headers.
    pub(super) async fn conclude_unsent(mut self) -> Response<Body> {
        let label = self.exchange.label();
        let exchange = &mut self.exchange;
        let fate = exchange.fate.take().unwrap_or(Fate::Retry {
            upstream: String::new(),
            model: String::new(),
            after_ms: 0,
        });
        if let Fate::Answer(text) = fate {
            exchange.answered();
            return self.answer_locally(text).await;
        }
        let usage = exchange.usage_so_far();
        let (told, ended) = exchange.ending(fate);
        let mut response = exchange.respond(told, ended, StatusCode::OK, usage);
        if let Ok(label) = HeaderValue::from_str(&label) {
            response.headers_mut().insert(headers::EXCHANGE_ID, label);
        }
        response
    }

    /// An answer in the model's place goes the way of any other: the other policies judge it.
    async fn answer_locally(mut self, text: String) -> Response<Body> {
        let exchange = &mut self.exchange;
        // No model generates what follows.
        exchange.stated_at = u32::MAX;
        exchange.usage = Some(Usage {
            exact: true,
            ..Usage::default()
        });
        if exchange.view.streamed {
            let choices: Vec<u16> = (0..exchange.view.choices.max(1)).collect();
            let frames = exchange.dialect.close_stream(
                &exchange.identity,
                &Closing {
                    open: &choices,
                    begun: false,
                    text: &text,
                    refusal: false,
                    ending: &Ending::Complete,
                    usage: exchange.stated_usage(),
                },
            );
            let stream = Relay::local(self, frames).into_stream();
            return shaped(Response::new(Body::from_stream(stream)), Form::Stream);
        }
        let body = exchange.dialect.answer_body(
            &exchange.identity,
            &text,
            false,
            &Ending::Complete,
            Usage::default(),
        );
        exchange.body(body.into());
        if exchange.fate.is_none() {
            exchange.finished();
        }
        exchange.wait_for_answers().await;
        self.exchange.conclude_whole(StatusCode::OK).await
    }
}

/// Code of what nobody has decided yet.
const HELD: &str = "airlock_held";

/// Nobody has decided yet, and the client cannot wait any longer. A repetition waits for the same decision.
fn held(message: String) -> ClientError {
    ClientError {
        status: 503,
        kind: FailureKind::Policy,
        message,
        code: HELD.to_owned(),
        origin: None,
    }
}
