//! A question's model call: money first, then the call, then the bill.
//!
//! The call goes to one upstream, with its repetitions and under its limits, with Airlock's credential. It has an account of
//! its own on the session's ledger: the prompt and the longest answer are taken before it is sent, so that questions that run
//! at once never pass the budget together.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};

use super::answer::Told;
use super::call::{self, Call};
use super::means::Means;
use super::reply;
use crate::ask::settings::AskConfig;
use crate::upstream::{Body, Draft, Outgoing};
use airlock_core::event::Usage;
use airlock_core::event::target::{Foreign, Target};
use airlock_core::observe::tokens::{MESSAGE_TOKENS, REPLY_TOKENS, TokenCounter};
use airlock_core::session::ledger::{self, Ledger};
use airlock_policy::contract::types::AnswerValue;

/// Longest body of an answer: 64 vectors of 3,072 numbers as JSON have 4 MB.
const BODY_BYTES: usize = 8 << 20;

/// Asks, and waits at most `wait`.
pub(super) async fn ask(
    means: &Means,
    target: &AskConfig,
    call: &Call,
    ledger: &Arc<Ledger>,
    ticket: u64,
    wait: Duration,
) -> Told {
    let model = target.model.clone().unwrap_or_default();
    let counter = TokenCounter::for_model(&model);
    let mut bill = Bill {
        ledger,
        account: ledger::account_of_question(ticket),
        input: prompt_tokens(call, counter),
        leased: 0,
        model,
        sent: false,
        usage: None,
    };
    let asking = bill.run(means, target, call, counter);
    let value = match tokio::time::timeout(wait, asking).await {
        Ok(Ok(value)) => value,
        Ok(Err(Failure::Budget(why))) => AnswerValue::Denied(why),
        Ok(Err(Failure::Call(how))) => AnswerValue::Failed(how),
        Err(_) => AnswerValue::Failed(format!("no answer within {} ms", wait.as_millis())),
    };
    bill.close(means, value)
}

fn prompt_tokens(call: &Call, counter: TokenCounter) -> u32 {
    let texts = call.texts();
    let count = |text: &&str| counter.count_text(text) + MESSAGE_TOKENS;
    texts.iter().map(count).sum::<u32>() + REPLY_TOKENS
}

enum Failure {
    /// The session may not spend it.
    Budget(String),
    /// The upstream did not answer, or not with an answer.
    Call(String),
}

/// What a question costs. Outlives the call, which may be dropped at its deadline.
struct Bill<'a> {
    ledger: &'a Arc<Ledger>,
    account: u32,
    /// Tokens of the prompt, counted here.
    input: u32,
    /// Tokens of output that were taken beforehand.
    leased: u64,
    model: String,
    sent: bool,
    /// What was used in the end, once that is known.
    usage: Option<Usage>,
}

impl Bill<'_> {
    async fn run(
        &mut self,
        means: &Means,
        target: &AskConfig,
        call: &Call,
        counter: TokenCounter,
    ) -> Result<AnswerValue, Failure> {
        self.take(means, call.max_tokens()).await?;
        let upstream = Target {
            upstream: target.upstream.as_deref().unwrap_or_default().into(),
            model: self.model.as_str().into(),
        };
        let dialect = call::dialect(means.upstreams.speaks(&upstream.upstream));
        let outgoing = Outgoing {
            method: Method::POST,
            path: call.path(&self.model, dialect),
            query: None,
            headers: headers(),
            tokens: u64::from(self.input) + self.leased,
        };
        let body = Bytes::from(call.body(&self.model, self.leased, dialect));
        let draft = Draft {
            foreign: Some(Foreign {
                headers: dialect.outbound().headers(),
            }),
            ..Draft::from(body)
        };
        self.sent = true;
        let targets = [upstream];
        let answer = means
            .upstreams
            .send(&targets, &outgoing, &|_| draft.clone(), &mut |_| ())
            .await;
        let mut answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                // What was silent may be at work, and bill it; what could not be reached does not.
                self.sent = !error.retryable();
                return Err(Failure::Call(error.to_string()));
            }
        };
        if !answer.status.is_success() {
            self.sent = false;
            answer.charge.settle(0);
            let status = answer.status;
            let body = read(answer.body).await.unwrap_or_default();
            let mut how = format!("upstream {} answered {status}", targets[0].upstream);
            match reply::error(&body).as_str() {
                "" => {}
                words => how.push_str(&format!(": {words}")),
            }
            return Err(Failure::Call(how));
        }
        let body = read(answer.body).await.map_err(Failure::Call)?;
        let reply = reply::read(&body, call, dialect);
        let usage = reply.usage.unwrap_or_else(|| Usage {
            input: self.input,
            output: counter.count_text(&reply.text),
            ..Usage::default()
        });
        answer
            .charge
            .settle(u64::from(usage.input) + u64::from(usage.output));
        self.usage = Some(usage);
        if !reply.model.is_empty() {
            self.model = reply.model;
        }
        reply.value.map_err(Failure::Call)
    }

    /// Takes the prompt and the longest answer from the ledger, or as much of it as is left.
    async fn take(&mut self, means: &Means, longest: u32) -> Result<(), Failure> {
        let prices = means.prices.ledger_prices(&self.model);
        let taken = self
            .ledger
            .reserve_input(self.account, self.input.into(), prices);
        taken
            .await
            .map_err(|error| Failure::Budget(error.to_string()))?;
        if longest > 0 {
            let leased = self.ledger.lease(self.account, longest.into()).await;
            self.leased = leased.map_err(|error| Failure::Budget(error.to_string()))?;
            if self.leased == 0 {
                return Err(Failure::Budget(
                    "the session's budget is used up".to_owned(),
                ));
            }
        }
        Ok(())
    }

    /// Settles the account. What may have been used and is not known counts whole.
    fn close(self, means: &Means, value: AnswerValue) -> Told {
        let usage = match (self.usage, self.sent) {
            (Some(usage), _) => usage,
            (None, true) => Usage {
                input: self.input,
                output: u32::try_from(self.leased).unwrap_or(u32::MAX),
                ..Usage::default()
            },
            (None, false) => {
                self.ledger.release(self.account);
                return value.into();
            }
        };
        let cost = means.prices.cost_microdollars(&self.model, &usage);
        self.ledger.settle(self.account, usage, cost);
        Told {
            value,
            model: self.model,
            usage: Some(usage),
            cost,
        }
    }
}

fn headers() -> HeaderMap {
    let json = HeaderValue::from_static("application/json");
    HeaderMap::from_iter([(CONTENT_TYPE, json.clone()), (ACCEPT, json)])
}

async fn read(mut body: Body) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        if bytes.len() > BODY_BYTES {
            return Err(format!("its answer is longer than {BODY_BYTES} bytes"));
        }
    }
    Ok(bytes)
}
