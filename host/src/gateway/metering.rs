//! What calls cost that pass without being decoded: completions of other APIs, embeddings, speech.
//!
//! They draw on the budget of their session like any exchange: the prompt and an answer are taken beforehand, a stream that
//! grows takes more as it grows and is cut where the budget ends, and in the end what the provider states is settled. Where
//! it states nothing, an estimate stands in for it (four bytes of text a token, a KiB of anything else), and the timeline
//! says that it is one.
//!
//! Not guaranteed: that such a call ends at the very token. The body is not changed, so the model is not told what remains,
//! and one answer that is not streamed can pass the limit by its own length. That is charged, and said as an overshoot.

mod answer;
mod request;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, Response, StatusCode};

use super::admission::Permit;
use super::passages::{self, Passage};
use super::reply;
use crate::gateway::settings::Settings;
use crate::upstream;
use airlock_core::event::Usage;
use airlock_core::session::ledger::{LedgerError, account_of_passage};
use airlock_core::session::state::Session;
use answer::Answer;
pub(super) use request::{Estimate, Spends, spends};

/// Tokens of an answer that are taken beforehand where the request states no limit, at most; see `exchange/leg.rs`.
const UNSTATED_ANSWER: u64 = 4096;

/// One call that spends. It is settled, and recorded, when this is dropped.
pub(super) struct Meter {
    session: Arc<Session>,
    settings: Arc<Settings>,
    account: u32,
    model: String,
    /// Tokens of the prompt, estimated.
    input: u64,
    /// Tokens of output taken so far.
    leased: u64,
    /// The answer, once a good one began.
    answer: Option<Answer>,
    permit: Permit,
    passage: Passage,
}

impl Meter {
    /// Takes the prompt and an answer from the session's budget.
    ///
    /// # Errors
    /// The budget does not reach, or cannot be written.
    pub async fn open(
        session: Arc<Session>,
        settings: Arc<Settings>,
        model: &str,
        estimate: Estimate,
        permit: Permit,
        passage: Passage,
    ) -> Result<Self, LedgerError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut meter = Self {
            account: account_of_passage(NEXT.fetch_add(1, Ordering::Relaxed)),
            model: model.to_owned(),
            input: estimate.input,
            leased: 0,
            answer: None,
            permit,
            passage,
            session,
            settings,
        };
        match meter.reserve(estimate).await {
            Ok(()) => Ok(meter),
            Err(error) => {
                meter.passage.status = refused(&error).status().as_u16();
                Err(error)
            }
        }
    }

    async fn reserve(&mut self, estimate: Estimate) -> Result<(), LedgerError> {
        let prices = self.settings.prices.ledger_prices(&self.model);
        let ledger = &self.session.ledger;
        let room = ledger
            .reserve_input(self.account, self.input, prices)
            .await?;
        let Some(room) = room.filter(|_| estimate.generates) else {
            return Ok(());
        };
        let wanted = estimate
            .output
            .unwrap_or((room / 8).max(UNSTATED_ANSWER))
            .min(room);
        self.leased = ledger.lease(self.account, wanted).await?;
        if self.leased < wanted.min(1) {
            return Err(LedgerError::Ended);
        }
        Ok(())
    }

    /// What becomes of the call on the timeline.
    pub fn passage(&mut self) -> &mut Passage {
        &mut self.passage
    }

    /// Passes a good answer on, counting what it bears.
    pub fn relay(
        mut self,
        answer: upstream::Body,
        headers: &HeaderMap,
        charge: upstream::Charge,
    ) -> impl Stream<Item = std::io::Result<Bytes>> + Send + use<> {
        self.permit.sent(charge);
        self.answer = Some(Answer::new(headers));
        futures_util::stream::unfold((answer, Some(self)), |(mut body, meter)| async move {
            let mut meter = meter?;
            match body.next().await? {
                Ok(bytes) => match meter.take(&bytes).await {
                    Ok(()) => Some((Ok(bytes), (body, Some(meter)))),
                    Err(error) => Some((Err(std::io::Error::other(error)), (body, None))),
                },
                Err(error) => Some((Err(std::io::Error::other(error)), (body, None))),
            }
        })
    }

    /// More of the answer: what it generates is taken before it leaves.
    async fn take(&mut self, bytes: &Bytes) -> Result<(), LedgerError> {
        let Some(answer) = &mut self.answer else {
            return Ok(());
        };
        answer.read(bytes);
        let missing = answer.streamed().saturating_sub(self.leased);
        let granted = self.session.ledger.lease(self.account, missing).await?;
        self.leased += granted;
        if granted < missing {
            return Err(LedgerError::Ended);
        }
        Ok(())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let ledger = &self.session.ledger;
        let Some(answer) = &mut self.answer else {
            // No model answered: nothing was spent.
            ledger.release(self.account);
            self.permit.settle(0);
            return passages::record(&self.session, &self.passage, None);
        };
        let usage = answer.usage().unwrap_or_else(|| Usage {
            input: u32::try_from(self.input).unwrap_or(u32::MAX),
            output: u32::try_from(answer.output()).unwrap_or(u32::MAX),
            ..Usage::default()
        });
        let prices = &self.settings.prices;
        let cost = prices.cost_microdollars(&self.model, &usage);
        self.permit.settle(usage.total());
        let settled = ledger.settle(self.account, usage, cost);
        passages::record(&self.session, &self.passage, Some((usage, cost)));
        if !ledger.limits().is_unlimited()
            && let Some(told) = settled.overshoot()
        {
            self.session.timeline.append(0, told);
        }
    }
}

/// The answer to a call for which the budget does not reach: as an exchange has it (`exchange/words.rs`).
pub(super) fn refused(error: &LedgerError) -> Response<Body> {
    let (status, kind, code) = match error {
        LedgerError::Exhausted { .. } | LedgerError::Ended => (
            StatusCode::PAYMENT_REQUIRED,
            "insufficient_quota",
            "airlock_budget",
        ),
        LedgerError::NotDurable(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "api_error",
            "airlock_store",
        ),
    };
    reply::error(status, kind, code, &error.to_string())
}

/// The answer to a call that spends where Airlock cannot see it.
pub(super) fn uncounted(path: &str) -> Response<Body> {
    let message = format!(
        "the session has a budget, and {path} spends tokens after its answer, where Airlock cannot count them: call without \
         the budget, or let the operator add the path to `pass_paths` in [gateway]"
    );
    reply::error(
        StatusCode::FORBIDDEN,
        "invalid_request_error",
        "airlock_uncounted",
        &message,
    )
}
