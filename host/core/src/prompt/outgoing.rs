//! Where the request goes, what it weighs, and its bytes.

use std::borrow::Cow;

use bytes::Bytes;

use super::Prompt;
use super::changes::edits;
use crate::dialect::{
    EditError, MessageEdit, MessageView, Outbound, RequestEdits, ToolCallView, Turn,
};
use crate::observe::tokens::{MESSAGE_TOKENS, REPLY_TOKENS, TokenCounter};
use crate::observe::vitals::Vitals;
use crate::session::facts::Facts;

/// What a body is made for.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<'a> {
    /// A stream is asked for, though the client wants a whole answer.
    pub streams: bool,
    /// Model that the upstream is asked for.
    pub model: &'a str,
    /// Tokens that the session's budget leaves for the answer, if it has one.
    pub room: Option<u64>,
    /// Whether a stream is asked for its usage.
    pub asks_usage: bool,
}

impl Prompt {
    /// Where the call goes: what a policy ordered for this attempt, for this exchange, for the session; else as asked.
    /// An empty upstream means: by the routes.
    pub fn destination(
        &self,
        facts: &Facts,
        redirect: Option<(String, String)>,
    ) -> (String, String) {
        let state = facts.session.state();
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
            model.clone_from(&facts.view.model);
        }
        (upstream, model)
    }

    /// Whether the request checkpoint ordered another route.
    pub fn changes_route(&self) -> bool {
        !self.changes.upstream.is_empty() || !self.changes.model.is_empty()
    }

    /// The body for an upstream, with every edit made and every step that the client does not know.
    ///
    /// # Errors
    /// An edit cannot be made.
    pub fn outgoing(
        &self,
        facts: &Facts,
        upstream: &dyn Outbound,
        steps: &[Turn],
        body: &Bytes,
        bounds: Bounds<'_>,
    ) -> Result<Bytes, EditError> {
        let Bounds {
            model,
            streams,
            room,
            asks_usage,
        } = bounds;
        let mut edits = edits(
            &facts.view,
            &facts.ids,
            &facts.session.state().overlay,
            &self.changes,
        );
        edits.include_usage = (edits.include_usage || streams) && asks_usage;
        edits.streamed = streams;
        edits.model = (model != facts.view.model).then(|| model.to_owned());
        if let Some(room) = room {
            let each = room / u64::from(facts.choices());
            let each = u32::try_from(each).unwrap_or(u32::MAX);
            edits.max_output_tokens = Some(
                facts
                    .view
                    .max_output_tokens
                    .map_or(each, |own| own.min(each))
                    .max(1),
            );
        }
        if edits == RequestEdits::default() && steps.is_empty() {
            return Ok(body.clone());
        }
        let mut body = upstream.edit_request(body, &edits)?;
        for step in steps {
            body = upstream.continue_request(&body, step)?;
        }
        Ok(body.into())
    }

    /// Tokens of the prompt of the present leg, estimated.
    pub fn tokens(&self, steps: &[Turn]) -> u32 {
        let steps = steps.iter().map(|step| {
            let calls = step.calls().into_iter().map(|(call, result)| {
                self.counter.count_text(&call.name)
                    + self.counter.count_text(&call.arguments)
                    + self.counter.count_text(&result)
                    + 2 * MESSAGE_TOKENS
            });
            let said = step.own().map_or_else(|| step.said(), str::to_owned);
            self.counter.count_text(&said) + MESSAGE_TOKENS + calls.sum::<u32>()
        });
        self.input_tokens.saturating_add(steps.sum())
    }

    /// From now on it is counted by the tokeniser of its model.
    pub fn count_exactly(&mut self, facts: &Facts, vitals: &mut Vitals) {
        self.counter = TokenCounter::for_model(&facts.view.model);
        self.recount(facts, vitals);
    }

    /// Counts the prompt as it would go upstream now. Policies that watch how full the context is must see what their own
    /// evictions brought, or they evict again at each request.
    pub fn recount(&mut self, facts: &Facts, vitals: &mut Vitals) {
        let composed = self.changes.compose(&facts.view, &facts.ids);
        let mut texts = vec![None; facts.view.messages.len()];
        let mut tokens = REPLY_TOKENS;
        let count = |text: &str| self.counter.count_text(text) + MESSAGE_TOKENS;
        let add = |calls: &[(ToolCallView, String)], tokens: &mut u32| {
            for (call, result) in calls {
                *tokens += count(&format!("{}\n{}", call.name, call.arguments));
                *tokens += count(result);
            }
        };
        for edit in &composed.edits {
            match edit {
                MessageEdit::Insert { text, .. } => tokens += count(text),
                MessageEdit::Rewrite { index, text } | MessageEdit::Result { index, text, .. } => {
                    if let Some(slot) = texts.get_mut(*index) {
                        *slot = Some(text);
                    }
                }
                MessageEdit::AddCalls { calls, .. } => add(calls, &mut tokens),
                MessageEdit::InsertStep { turn, .. } => {
                    // What was said is counted where the client has it.
                    if let Some(own) = turn.own() {
                        let said = self.counter.count_text(&turn.said());
                        tokens += self.counter.count_text(own).saturating_sub(said);
                    }
                    add(&turn.calls(), &mut tokens);
                }
                MessageEdit::Evict { .. } => {}
            }
        }
        let messages = &facts.view.messages;
        let text = |index| messages.get(index).map(read).unwrap_or_default();
        let counts = facts
            .session
            .prompt_tokens(&facts.digests, text, &self.counter);
        for (index, (own, text)) in counts.into_iter().zip(texts).enumerate() {
            if !composed.gone.contains(&index) {
                tokens = tokens.saturating_add(text.map_or(own, |text| count(text)));
            }
        }
        self.input_tokens = tokens;
        let share = |window: u32| f64::from(tokens) / f64::from(window.max(1));
        vitals.context_share = self.window.map(share);
    }
}

/// All that the model reads of a message. Copied only if it stands in several places.
fn read(message: &MessageView) -> Cow<'_, str> {
    let calls = message.tool_calls.iter();
    let results = message.tool_results.iter().map(|result| &*result.text);
    let mut texts = std::iter::once(&*message.text)
        .chain(calls.flat_map(|call| [&*call.name, &*call.arguments]))
        .chain(results)
        .filter(|text| !text.is_empty());
    let first = texts.next().unwrap_or_default();
    texts.fold(Cow::Borrowed(first), |joined, text| {
        Cow::Owned(format!("{joined}\n{text}"))
    })
}
