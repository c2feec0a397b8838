//! What the session keeps, in one exchange: taken up when it begins, told to those who have not judged it, counted, and
//! kept when the request goes upstream.

use std::borrow::Cow;

use super::conduct::Exchange;
use super::shape::Shape;
use crate::contract::types::{self as wit, Detail, EventKind};
use crate::dialect::{MessageEdit, MessageView};
use crate::event::clock::now;
use crate::event::{Body, Role};
use crate::observe::log::inline;
use crate::observe::tools::states_failure;
use crate::session::overlay::Edit;

/// Tokens of the frame of a prompt and of each message, as OpenAI documents it.
const PROMPT_TOKENS: u32 = 3;
const MESSAGE_TOKENS: u32 = 4;

impl Exchange {
    /// Takes up what the session keeps for a request like this one.
    pub(super) fn take_kept(&mut self) {
        self.changes.kept = self.session.state().overlay.concerning(&self.ids);
        self.recount();
    }

    /// Tells what was put in since the last request: the others have not judged it yet.
    pub(super) fn tell_kept(&mut self) {
        let made = self.changes.compose(&self.view, &self.ids).made;
        let kept = self.changes.kept.iter().zip(made);
        let unjudged: Vec<_> = kept
            .filter(|(_, made)| *made)
            .filter_map(|(kept, _)| Some((kept.number, kept.unjudged.clone()?, kept.edit.clone())))
            .collect();
        for (number, by, edit) in unjudged {
            let cause = self.plan.entries.iter().position(|g| *g.name == *by);
            self.tell_change(&edit, cause);
            self.changes.told.push(number);
        }
    }

    /// The session keeps what was ordered for it. With `judged` no policy objected to a request that has it; without, it is
    /// judged with the next request.
    pub(super) fn keep_changes(&mut self, judged: bool) {
        let mut state = self.session.state();
        let ordered = self.changes.edits.iter_mut();
        for ordered in ordered.filter(|ordered| ordered.stays) {
            ordered.stays = false;
            let unjudged = (!judged).then(|| ordered.by.clone());
            if let Err(full) = state
                .overlay
                .keep(ordered.edit.clone(), unjudged, &self.ids)
            {
                tracing::warn!(session = %self.session.id, by = ordered.by, %full, "a change is not kept");
            }
        }
        if judged {
            for number in self.changes.told.drain(..) {
                state.overlay.judged(number);
            }
        }
    }

    /// Tells the other policies what a change puts in.
    pub(super) fn tell_change(&mut self, edit: &Edit, cause: Option<usize>) {
        let index = self.position_of(edit);
        for message in edit.adds() {
            self.tell_message(message.id, message.role, index, &message.text, cause);
        }
        let (message, text, call) = match edit {
            Edit::Rewrite { message, text } => (*message, text, None),
            Edit::Substitute {
                message,
                call,
                text,
            } => (*message, text, Some(call.clone())),
            _ => return,
        };
        let index = self.ids.iter().position(|id| *id == message);
        let Some((index, view)) = index.and_then(|i| Some((i, self.view.messages.get(i)?))) else {
            let role = self.role_of_added(message);
            return self.tell_message(message, role, 0, text, cause);
        };
        let role = view.role;
        let result = view.tool_results.first().filter(|_| view.text.is_empty());
        match call.or_else(|| result.map(|result| result.id.clone())) {
            Some(call) => self.tell_result(&call, message, text, cause),
            None => self.tell_message(message, role, index, text, cause),
        }
    }

    /// Counts the prompt as it would go upstream now. Policies that watch how full the context is must see what their own
    /// evictions brought, or they evict again at each request.
    pub(super) fn recount(&mut self) {
        let composed = self.changes.compose(&self.view, &self.ids);
        let mut texts = vec![None; self.view.messages.len()];
        let mut tokens = PROMPT_TOKENS;
        let count = |text: &str| self.tokens.count_text(text) + MESSAGE_TOKENS;
        for edit in &composed.edits {
            match edit {
                MessageEdit::Insert { text, .. } => tokens += count(text),
                MessageEdit::Rewrite { index, text } | MessageEdit::Result { index, text, .. } => {
                    if let Some(slot) = texts.get_mut(*index) {
                        *slot = Some(text);
                    }
                }
                MessageEdit::AddCalls { calls, .. } | MessageEdit::InsertStep { calls, .. } => {
                    // What was said is counted where the client has it.
                    if let MessageEdit::InsertStep {
                        said,
                        own: Some(own),
                        ..
                    } = edit
                    {
                        let said = self.tokens.count_text(said);
                        tokens += self.tokens.count_text(own).saturating_sub(said);
                    }
                    for (call, result) in calls {
                        tokens += count(&format!("{}\n{}", call.name, call.arguments));
                        tokens += count(result);
                    }
                }
                MessageEdit::Evict { .. } => {}
            }
        }
        let messages = self.view.messages.iter().zip(&self.digests).zip(texts);
        for (index, ((message, digest), text)) in messages.enumerate() {
            if composed.gone.contains(&index) {
                continue;
            }
            tokens = tokens.saturating_add(match text {
                Some(text) => count(text),
                None => self
                    .session
                    .prompt_tokens(*digest, &read(message), &self.tokens),
            });
        }
        self.input_tokens = tokens;
        let window = self.settings.prices.context_window(&self.view.model);
        self.vitals.context_share =
            window.map(|window| f64::from(tokens) / f64::from(window.max(1)));
    }

    fn tell_message(
        &mut self,
        id: u64,
        role: Role,
        index: usize,
        text: &str,
        cause: Option<usize>,
    ) {
        let content = self.session.contents.keep(self.number, text);
        let index = index as u32;
        let seq = self.session.timeline.append(
            self.number,
            Body::Message {
                id,
                role,
                index,
                text: text.to_owned(),
                bytes: text.len() as u64,
            },
        );
        let detail = Detail::Message(wit::Message {
            id,
            role: role.into(),
            index,
            content,
        });
        let (kind, text) = (EventKind::Message, inline(text));
        self.log.push(seq, now(), kind, text, Some(detail), cause);
        self.wake(kind, cause);
    }

    /// The result as the model will see it, with the duration of the call if the result arrived in this exchange.
    fn tell_result(&mut self, call: &str, message: u64, text: &str, cause: Option<usize>) {
        let arrived = self
            .log
            .since(0)
            .iter()
            .find_map(|item| match item.detail() {
                Some(Detail::ToolResult(r)) if r.id == call && r.message == message => {
                    Some(r.duration)
                }
                _ => None,
            });
        let duration = arrived.unwrap_or_default();
        let mut calls = self.view.messages.iter().flat_map(|m| &m.tool_calls);
        let name = calls
            .rfind(|made| made.id == call)
            .map(|made| made.name.clone())
            .unwrap_or_default();
        let failed = states_failure(text);
        let content = self.session.contents.keep(self.number, text);
        let seq = self.session.timeline.append(
            self.number,
            Body::ToolResult {
                id: call.to_owned(),
                name: name.clone(),
                duration_us: duration,
                failed,
                message,
                text: text.to_owned(),
                bytes: text.len() as u64,
            },
        );
        let detail = Detail::ToolResult(wit::ToolResult {
            id: call.to_owned(),
            name,
            duration,
            failed,
            message,
            content,
        });
        let (kind, text) = (EventKind::ToolResult, inline(text));
        self.log.push(seq, now(), kind, text, Some(detail), cause);
        self.wake(kind, cause);
    }

    /// Index, among the client's messages, before which a change puts its own.
    fn position_of(&self, edit: &Edit) -> usize {
        let shape = Shape::of(&self.view, &self.ids);
        match edit {
            Edit::Inject { after, .. } => shape.place_after(&self.ids, *after),
            Edit::Replace { messages, .. } => {
                let there = messages.iter().filter_map(|id| shape.index_of(*id));
                there.min().unwrap_or_default()
            }
            _ => 0,
        }
    }

    fn role_of_added(&self, message: u64) -> Role {
        let changes = self.changes.all();
        let mut added = changes.iter().flat_map(|edit| edit.adds());
        added
            .find(|added| added.id == message)
            .map_or(Role::Other, |added| added.role)
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
