//! An answer that takes several calls to an upstream: when every tool call of a generation was denied, Airlock completes
//! that step itself. The calls and the reasons go upstream as if a client had answered them, and what the model says next
//! is spliced into the same answer.

use super::conduct::{Exchange, Fate};
use super::hold::{Payload, Stretch};
use crate::dialect::{EditError, OwnTurn, RequestEdits, ToolCallView};
use crate::event::phase::Phase;
use crate::event::{Channel, Usage};

/// Rounds that are added to an answer at most. A model that has been told no four times asks for ever.
const MAX_STEPS: usize = 4;

/// Tokens of the frame of a message, as OpenAI documents it.
const MESSAGE_TOKENS: u32 = 4;

/// A round that ended in calls which the client never sees.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// What the model said before it called.
    pub(super) said: String,
    /// The same turn as its upstream wrote it, without the calls, if that is known.
    pub(super) own: Option<String>,
    /// The calls, and what the model is given as their results.
    pub(super) calls: Vec<(ToolCallView, String)>,
}

/// How it goes on after a generation has said its last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// This was the answer.
    Ended,
    /// Something of it waits for an answer.
    Waits,
    /// The model is told what was denied, and goes on.
    Again,
}

impl Exchange {
    /// What comes after a generation that has said everything. Where the turn cannot go on rightly, it ends with a text
    /// that explains what was denied: `fate` says so.
    pub(super) fn turn(&mut self) -> Turn {
        if self.fate.is_some() {
            return Turn::Ended;
        }
        if !self.parked.is_empty() {
            return Turn::Waits;
        }
        let denied = self.denied_now();
        let round = self.steps.len() as u32;
        let goes_out = self.hold.stretches.iter().any(|s| {
            s.call
                .as_ref()
                .is_some_and(|c| c.round == round && c.denial().is_none())
        });
        if denied.is_empty() || (goes_out && self.view.choices <= 1) {
            return Turn::Ended;
        }
        // A response that was judged as a whole is not added to; a choice that the client saw finish neither.
        let over = self.judged_response || !self.hold.finished.is_empty();
        if over || self.view.choices > 1 || self.steps.len() >= MAX_STEPS {
            let text = denied
                .iter()
                .map(|(call, reason)| {
                    format!(
                        "The call of the tool `{}` was not permitted: {reason}",
                        call.name
                    )
                })
                .collect::<Vec<_>>()
                .join("\n");
            // What the model said before goes out too: it is judged like any response.
            self.finished();
            if self.fate.is_none() && !self.parked.is_empty() {
                return Turn::Waits;
            }
            if self.fate.is_none() {
                self.fate = Some(Fate::Explain(text));
            }
            return Turn::Ended;
        }
        Turn::Again
    }

    /// Ends the round, so that the next one can be asked for.
    pub(super) fn next_round(&mut self) {
        self.flush();
        let step = Step {
            said: self.said_in_round(),
            own: self.own_message(),
            calls: self.denied_now(),
        };
        self.own = OwnTurn::default();
        let usage = self.usage_so_far();
        self.prior_cost = self.cost_so_far();
        self.prior = Usage {
            exact: self.usage.is_some() && usage.exact,
            ..usage
        };
        self.prior_output = self.vitals.output_tokens;
        (self.usage, self.finish, self.saw_end) = (None, None, false);
        self.error_status = None;
        self.hold.next_round(&self.identity);
        self.said_from = self.output_len();
        self.steps.push(step);
        self.phase = Phase::Request;
    }

    /// Another attempt at the present round: nothing that was said in it has reached the client.
    pub(super) fn start_over(&mut self) {
        self.flush();
        self.prior_cost = self.cost_so_far();
        self.prior = Usage {
            exact: false,
            ..self.usage_so_far()
        };
        self.prior_output = self.vitals.output_tokens;
        (self.usage, self.finish, self.saw_end) = (None, None, false);
        self.error_status = None;
        self.judged_response = false;
        self.own = OwnTurn::default();
        self.hold.start_over(&self.identity);
        for watcher in &mut self.watchers {
            watcher.start_over();
        }
        self.phase = Phase::Request;
    }

    /// Tokens of the prompt of the present round, estimated.
    pub(super) fn prompt_tokens(&self) -> u32 {
        let steps = self.steps.iter().map(|step| {
            let calls = step.calls.iter().map(|(call, result)| {
                self.tokens.count_text(&call.name)
                    + self.tokens.count_text(&call.arguments)
                    + self.tokens.count_text(result)
                    + 2 * MESSAGE_TOKENS
            });
            let said = step.own.as_ref().unwrap_or(&step.said);
            self.tokens.count_text(said) + MESSAGE_TOKENS + calls.sum::<u32>()
        });
        self.input_tokens.saturating_add(steps.sum())
    }

    /// Keeps what arrives as the model's own turn, where a call of it could be denied.
    pub(super) fn gather(&mut self, payload: &Payload) {
        if !self.holds_tool_calls() {
            return self.own.give_up();
        }
        let said = match payload {
            Payload::Frame(frame) => frame.data.as_ref(),
            Payload::Body(body) => Some(body),
        };
        if let Some(said) = said {
            self.dialect.gather(said, &mut self.own);
        }
    }

    /// The model's own message in this round. Not known where a policy changed more than what is said to the user: a thought
    /// that was altered is not the one that was signed, and one that was redacted is not to be sent as it was.
    fn own_message(&self) -> Option<String> {
        let changed = |s: &Stretch| {
            let replaceable = matches!(s.place.channel, Channel::Output | Channel::ToolArguments);
            !replaceable && s.is_edited()
        };
        let changed = self.hold.stretches.iter().any(changed);
        self.own.message().filter(|_| !changed)
    }

    /// The body with every step that the client does not know.
    pub(super) fn with_steps(&self, body: Vec<u8>) -> Result<Vec<u8>, EditError> {
        let mut body = body;
        for step in &self.steps {
            body = self.dialect.continue_request(
                &body,
                &RequestEdits::default(),
                &step.said,
                step.own.as_deref(),
                &step.calls,
            )?;
        }
        Ok(body)
    }

    fn output_len(&self) -> u32 {
        self.hold
            .stretches
            .iter()
            .find(|s| s.place.channel == Channel::Output && s.place.choice == 0)
            .map_or(0, |s| s.text.len() as u32)
    }

    fn said_in_round(&self) -> String {
        self.hold
            .stretches
            .iter()
            .find(|s| s.place.channel == Channel::Output && s.place.choice == 0)
            .map(|s| s.seen_from(self.said_from))
            .unwrap_or_default()
    }
}
