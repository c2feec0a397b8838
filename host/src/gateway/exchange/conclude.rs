//! How an exchange ends when it does not end by itself: what the client is told, correct in its dialect.

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::call::Call;
use super::conduct::{Exchange, Fate};
use super::hold::Ready;
use super::prepare;
use super::relay::Relay;
use super::upstream_failed;
use crate::act::slots::Phase;
use crate::contract::types::BlockMode;
use crate::gateway::dialect::{ClientError, Closing, Dialect, EditError, Ending, Failure, Partial};
use crate::session::event::{Channel, FailureKind, Outcome, Status, Usage};
use crate::session::ledger::{LedgerError, Prices, Spend};
use crate::upstream::{Attempt, Target, headers};

/// Tokens that an answer gets, at least, that is neither streamed nor limited by its request, while the session has a
/// budget. 4,096 was the vendors' own bound for years; more than an eighth of the rest would starve calls beside it.
const UNSTATED_ANSWER: u64 = 4096;

/// What kind of response Airlock makes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Error,
    Body,
    Stream,
}

impl Exchange {
    /// Where the call goes: what a policy ordered for this attempt, for this exchange, for the session; else as asked.
    /// An empty upstream means: by the routes.
    pub fn destination(&self, redirect: Option<(String, String)>) -> (String, String) {
        let state = self.session.state();
        let redirect = redirect.unwrap_or_default();
        let first = |options: [&String; 3]| {
            options
                .into_iter()
                .find(|s| !s.is_empty())
                .cloned()
                .unwrap_or_default()
        };
        let upstream = first([&redirect.0, &self.changes.upstream, &state.overlay.upstream]);
        let mut model = first([&redirect.1, &self.changes.model, &state.overlay.model]);
        if model.is_empty() {
            model.clone_from(&self.view.model);
        }
        (upstream, model)
    }

    /// Whether the request checkpoint ordered another route.
    pub fn changes_route(&self) -> bool {
        !self.changes.upstream.is_empty() || !self.changes.model.is_empty()
    }

    /// The body for an upstream, with every edit made; `asks_usage` says whether its stream is asked for the usage.
    ///
    /// # Errors
    /// An edit cannot be made.
    pub fn outgoing(
        &self,
        body: &[u8],
        model: &str,
        room: Option<u64>,
        asks_usage: bool,
    ) -> Result<Bytes, EditError> {
        let mut edits = prepare::edits(
            &self.view,
            &self.ids,
            &self.session.state().overlay,
            &self.changes,
        );
        edits.include_usage &= asks_usage;
        edits.model = (model != self.view.model).then(|| model.to_owned());
        if let Some(room) = room {
            let each = room / u64::from(self.view.choices.max(1));
            let each = u32::try_from(each).unwrap_or(u32::MAX);
            edits.max_output_tokens = Some(
                self.view
                    .max_output_tokens
                    .map_or(each, |own| own.min(each))
                    .max(1),
            );
        }
        let body = self.dialect.edit_request(body, &edits)?;
        self.with_steps(body).map(Bytes::from)
    }

    /// Reserves the prompt; gives what the answer may have.
    ///
    /// An answer that is not streamed is taken whole, and beforehand: nobody can end it in the middle, so calls that run
    /// at once would otherwise be told the same remainder and pass the budget together.
    ///
    /// # Errors
    /// The session's budget is used up.
    pub async fn reserve(&mut self, prices: Prices) -> Result<Option<u64>, LedgerError> {
        // All rounds of an answer are one account: their prompts and outputs add up.
        let prompts = u64::from(self.prior.input) + u64::from(self.prompt_tokens());
        let ledger = &self.session.ledger;
        let room = ledger.reserve_input(self.number, prompts, prices).await?;
        let Some(room) = room.filter(|_| !self.view.streamed) else {
            return Ok(room);
        };
        let choices = u64::from(self.view.choices.max(1));
        let stated = self.view.max_output_tokens.map(|n| u64::from(n) * choices);
        let wanted = stated
            .unwrap_or((room / 8).max(UNSTATED_ANSWER))
            .saturating_add(self.prior.output.into())
            .min(self.leased + room);
        self.lease(wanted.saturating_sub(self.leased)).await?;
        let own = self.leased.saturating_sub(self.prior.output.into());
        if own < choices {
            return Err(LedgerError::Exhausted {
                spent: self.session.ledger.spent(),
                needed: Spend {
                    tokens: choices,
                    cost: 0,
                },
                limits: self.session.ledger.limits(),
            });
        }
        Ok(Some(own))
    }

    /// Takes tokens of output from the ledger.
    ///
    /// # Errors
    /// The lease could not be made durable.
    pub async fn lease(&mut self, tokens: u64) -> Result<u64, LedgerError> {
        let granted = self.session.ledger.lease(self.number, tokens).await?;
        self.leased = self.leased.saturating_add(granted);
        Ok(granted)
    }

    /// The session's budget does not reach for this call.
    pub fn over_budget(&mut self, error: &LedgerError) {
        self.intervened(
            "block",
            "ledger",
            usize::MAX,
            Outcome::Applied,
            &error.to_string(),
            serde_json::Value::Null,
        );
        self.fate = Some(Fate::Block {
            mode: BlockMode::Hard,
            reason: error.to_string(),
            fallback: String::new(),
        });
    }

    /// The session's budget ended in the middle of the generation.
    pub fn budget_ended(&mut self) {
        self.cut_at = Some(u32::try_from(self.leased).unwrap_or(u32::MAX));
        let reason = "the session's budget is used up".to_owned();
        self.intervened(
            "stop",
            "ledger",
            usize::MAX,
            Outcome::Applied,
            &reason,
            serde_json::Value::Null,
        );
        if self.fate.is_none() {
            self.fate = Some(Fate::Stop {
                reason,
                confidence: None,
                keep_held: false,
                by: "ledger".to_owned(),
            });
        }
    }

    /// What policies ordered cannot be written into the request.
    pub fn uneditable(&mut self, error: &EditError) {
        self.fate = Some(Fate::Block {
            mode: BlockMode::Hard,
            reason: format!("the request could not be changed as the policies ordered: {error}"),
            fallback: String::new(),
        });
    }

    /// An attempt failed and was cured by a retry or another upstream.
    pub fn attempt_failed(&mut self, attempt: &Attempt) {
        let failure = Failure {
            status: attempt.error.status().as_u16(),
            kind: attempt.error.kind(),
            message: attempt.error.to_string(),
        };
        self.note_failure(&failure, true);
        self.session.state().retried();
    }

    /// Another attempt, ordered by a policy.
    pub fn retrying(&mut self) {
        self.measure_abandoned();
        self.phase = Phase::Request;
        self.session.state().retried();
    }

    /// The call was answered there. If that is not where the request was told to go, it is told again.
    pub fn went_to(&mut self, target: &Target, attempt: u32) {
        self.attempt = self.attempt.max(attempt);
        if (&*self.upstream, &*self.model) != (&*target.upstream, &*target.model) {
            (self.upstream, self.model) = (target.upstream.to_string(), target.model.to_string());
            self.look_around();
            self.tell_request();
        }
    }

    /// Reads an upstream's error.
    pub fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        self.dialect.read_error(status, body)
    }

    /// An error in the dialect, in a stream.
    pub fn error_frame(&self, error: &ClientError) -> Bytes {
        self.dialect.error_frame(error)
    }

    /// A text that ends a turn in the model's place, as it is put after what the model said.
    pub(super) fn explained(&mut self, text: &str) -> String {
        let gap = if self.said().is_empty() { "" } else { "\n\n" };
        self.epilogue = format!("{gap}{text}");
        self.epilogue.clone()
    }

    /// Everything that the model said, as the client has it.
    pub(super) fn said(&self) -> String {
        self.hold
            .stretches
            .iter()
            .find(|s| s.place.channel == Channel::Output && s.place.choice == 0)
            .map(|s| s.seen())
            .unwrap_or_default()
    }

    /// Session and exchange, for `x-airlock-exchange`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.session.id, self.number)
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// Whether the upstream stated an error in its stream, and the client has it.
    pub fn told_error(&self) -> bool {
        self.saw_error && self.hold.bytes() == 0
    }

    /// How a stream ended that came to its own end.
    pub fn own_status(&self) -> Status {
        if self.saw_error {
            Status::Failed
        } else {
            Status::Complete
        }
    }

    /// The client was given a frame.
    pub fn delivered(&mut self, ready: &Ready) {
        self.hold.delivered(ready);
    }

    pub(super) fn own_answer(&self, text: &str, ending: &Ending) -> Response<Body> {
        let usage = self.usage_so_far();
        if !self.view.streamed {
            let body = self
                .dialect
                .answer_body(&self.identity, text, ending, usage);
            return shaped(Response::new(Body::from(body)), Form::Body);
        }
        let choices: Vec<u16> = (0..self.view.choices.max(1)).collect();
        let closing = Closing {
            open: &choices,
            begun: false,
            text,
            ending,
            usage: self.stated_usage(),
        };
        let frames = self.dialect.close_stream(&self.identity, &closing);
        shaped(Response::new(Body::from(frames)), Form::Stream)
    }

    /// Ends a stream that has begun: its last bytes, and whether the connection is then cut.
    pub fn conclude_stream(&mut self) -> (Bytes, bool) {
        let Some(fate) = self.fate.clone() else {
            return (Bytes::new(), false);
        };
        self.hold.discard();
        let open: Vec<u16> = (0..self.view.choices.max(1))
            .filter(|choice| !self.hold.finished.contains(choice))
            .collect();
        let (text, ending, status) = match fate {
            Fate::Block {
                mode: BlockMode::Abort,
                ..
            } => {
                self.end(Status::Blocked);
                return (Bytes::new(), true);
            }
            Fate::Block {
                mode: BlockMode::Hard,
                reason,
                ..
            } => {
                self.end(Status::Blocked);
                return (self.dialect.error_frame(&blocked(reason)), false);
            }
            Fate::Block {
                mode: BlockMode::Soft,
                fallback,
                ..
            } => {
                self.epilogue.clone_from(&fallback);
                (fallback, Ending::Refused, Status::Blocked)
            }
            Fate::Stop {
                reason,
                confidence,
                by,
                ..
            } => (
                String::new(),
                Ending::Partial(Partial {
                    reason,
                    confidence,
                    policy: by,
                }),
                Status::Partial,
            ),
            Fate::Explain(text) => (self.explained(&text), Ending::Complete, Status::Complete),
            Fate::Unanswered(message) => {
                self.end(Status::Blocked);
                return (self.dialect.error_frame(&held(message)), false);
            }
            // Refused while a generation runs: see `slots`.
            Fate::Answer(_) | Fate::Retry { .. } => {
                (String::new(), Ending::Complete, Status::Failed)
            }
        };
        let closing = Closing {
            open: &open,
            begun: self.hold.begun,
            text: &text,
            ending: &ending,
            usage: self.stated_usage(),
        };
        let bytes = self.dialect.close_stream(&self.identity, &closing);
        self.end(status);
        (bytes, false)
    }
}

impl Call {
    /// Ends a call of which the client has seen nothing, not even headers.
    pub(super) async fn conclude_unsent(mut self) -> Response<Body> {
        let dialect = self.exchange.dialect;
        let label = self.exchange.label();
        let exchange = &mut self.exchange;
        let mut response = match exchange.fate.take() {
            Some(Fate::Stop { .. }) if exchange.expired => {
                exchange.end(Status::Failed);
                super::deadline::expired()
            }
            Some(Fate::Answer(text)) => {
                exchange.answered();
                return self.answer_locally(text).await;
            }
            Some(Fate::Block {
                mode: BlockMode::Abort,
                ..
            }) => {
                exchange.end(Status::Blocked);
                cut(StatusCode::OK)
            }
            Some(Fate::Block {
                mode: BlockMode::Soft,
                fallback,
                ..
            }) => {
                exchange.given = Some(fallback.clone());
                exchange.end(Status::Blocked);
                exchange.own_answer(&fallback, &Ending::Refused)
            }
            Some(Fate::Block { reason, .. }) => {
                exchange.end(Status::Blocked);
                error_response(dialect, &blocked(reason), Form::Error)
            }
            Some(Fate::Unanswered(message)) => {
                exchange.end(Status::Blocked);
                unanswered(dialect, message)
            }
            Some(Fate::Stop {
                reason,
                confidence,
                by,
                ..
            }) => {
                exchange.end(Status::Partial);
                let partial = Partial {
                    reason,
                    confidence,
                    policy: by,
                };
                exchange.own_answer("", &Ending::Partial(partial))
            }
            Some(Fate::Explain(text)) => {
                exchange.given = Some(text.clone());
                exchange.end(Status::Complete);
                exchange.own_answer(&text, &Ending::Complete)
            }
            Some(Fate::Retry { .. }) | None => {
                exchange.end(Status::Failed);
                let error =
                    upstream_failed(FailureKind::Upstream, "the upstream failed".to_owned());
                error_response(dialect, &error, Form::Error)
            }
        };
        if let Ok(label) = HeaderValue::from_str(&label) {
            response.headers_mut().insert(headers::EXCHANGE_ID, label);
        }
        response
    }

    /// An answer in the model's place goes the way of any other: the other policies judge it.
    async fn answer_locally(mut self, text: String) -> Response<Body> {
        let exchange = &mut self.exchange;
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

/// A connection that ends without a word.
pub(super) fn cut(status: StatusCode) -> Response<Body> {
    let cut = std::io::Error::new(std::io::ErrorKind::ConnectionAborted, "cut by a policy");
    let stream = futures_util::stream::once(async { Err::<Bytes, _>(cut) });
    let mut response = Response::new(Body::from_stream(stream));
    *response.status_mut() = status;
    response
}

/// Nobody has decided yet, and the client cannot wait any longer. A repetition waits for the same decision.
fn held(message: String) -> ClientError {
    ClientError {
        status: 503,
        kind: FailureKind::Policy,
        message,
        code: "airlock_held".to_owned(),
    }
}

/// As [`held`], in an answer that has not begun: SDKs repeat it by themselves.
pub(super) fn unanswered(dialect: &dyn Dialect, message: String) -> Response<Body> {
    let mut response = error_response(dialect, &held(message), Form::Error);
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert("x-should-retry", HeaderValue::from_static("true"));
    response
}

/// What the client is told of a hard block. 403, because SDKs do not repeat it.
pub(super) fn blocked(reason: String) -> ClientError {
    ClientError {
        status: 403,
        kind: FailureKind::Policy,
        message: reason,
        code: "airlock_blocked".to_owned(),
    }
}

/// An error as an HTTP response.
pub(super) fn error_response(
    dialect: &dyn Dialect,
    error: &ClientError,
    form: Form,
) -> Response<Body> {
    let mut response = shaped(Response::new(Body::from(dialect.error_body(error))), form);
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
    if response.status().is_client_error() {
        response
            .headers_mut()
            .insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

pub(super) fn shaped(mut response: Response<Body>, form: Form) -> Response<Body> {
    let kind = match form {
        Form::Stream => "text/event-stream; charset=utf-8",
        Form::Error | Form::Body => "application/json",
    };
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if form == Form::Stream {
        response
            .headers_mut()
            .insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    response
}
