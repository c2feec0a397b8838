//! Between the exchange and its transport: where the call goes, what it may use, and what a response of Airlock's own is made of.

use axum::body::Body;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::conduct::{Exchange, Fate};
use super::hold::Ready;
use super::prepare;
use crate::contract::types::BlockMode;
use crate::dialect::{ClientError, Dialect, EditError, Failure};
use crate::event::phase::Phase;
use crate::event::target::Target;
use crate::event::{Channel, Outcome, Status};
use crate::observe::prices::Prices;
use crate::session::ledger::{LedgerError, Spend};
use crate::upstream::Attempt;

/// Who speaks for the session's budget.
pub(super) const LEDGER: &str = "ledger";

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
        self.answer_room = room;
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
        self.answer_room = Some(own);
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

    /// The session's budget does not reach for this call, or cannot be kept.
    pub fn over_budget(&mut self, error: &LedgerError) {
        self.intervened(
            "block",
            LEDGER,
            usize::MAX,
            Outcome::Applied,
            &error.to_string(),
            serde_json::Value::Null,
        );
        self.fate = Some(Fate::Refused(match error {
            LedgerError::NotDurable(_) => self.unkept(error),
            LedgerError::Exhausted { .. } | LedgerError::Ended => self.used_up(&error.to_string()),
        }));
    }

    /// The session's budget ended in the middle of the generation.
    pub fn budget_ended(&mut self) {
        self.cut_at = Some(u32::try_from(self.leased).unwrap_or(u32::MAX));
        let reason = "the session's budget is used up".to_owned();
        self.intervened(
            "stop",
            LEDGER,
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
                by: LEDGER.to_owned(),
            });
        }
    }

    /// What policies ordered cannot be written into the request.
    pub fn uneditable(&mut self, error: &EditError) {
        self.fate = Some(Fate::Block {
            mode: BlockMode::Hard,
            by: String::new(),
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
        self.error_status.is_some() && self.hold.bytes() == 0
    }

    /// How a stream ended that came to its own end.
    pub fn own_status(&self) -> Status {
        if self.error_status.is_some() {
            Status::Failed
        } else {
            Status::Complete
        }
    }

    /// The client was given a frame.
    pub fn delivered(&mut self, ready: &Ready) {
        self.hold.delivered(ready);
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

/// An error as an HTTP response.
pub(super) fn error_response(
    dialect: &dyn Dialect,
    error: &ClientError,
    form: Form,
) -> Response<Body> {
    let mut response = shaped(Response::new(Body::from(dialect.error_body(error))), form);
    *response.status_mut() = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY);
    // A deadline that has passed has passed for a repetition too.
    if response.status().is_client_error() || error.code == super::deadline::CODE {
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
