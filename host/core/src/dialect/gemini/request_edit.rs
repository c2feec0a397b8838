//! Edits of requests: all bytes that no edit concerns stay as they are.
//!
//! An instruction that is put in stands in the system instruction, wherever it was ordered: the API has none between contents.
//! One before everything comes first there, any other last.

use std::collections::BTreeMap;

use crate::dialect::gemini::contents::{At, Layout, Message, Part};
use crate::dialect::gemini::fields::{self, Fields};
use crate::dialect::gemini::splice::{parts_of, rewritten, slots};
use crate::dialect::gemini::system::System;
use crate::dialect::gemini::undecodable::{impossible, utf8};
use crate::dialect::gemini::{function, insert, parameters};
use crate::dialect::list::{Old, Slot};
use crate::dialect::{EditError, MessageEdit, RequestEdits, ToolCallView, Turn};
use crate::event::Role;

pub(super) fn edit(body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let layout = Layout::of(source)?;
    let mut set = parameters::set(&layout.root, edits)?;
    if !edits.messages.is_empty() {
        let mut work = Work::of(&layout);
        for edit in &edits.messages {
            work.make(edit)?;
        }
        set.extend(work.written(source)?);
    }
    Ok(layout.root.set(source, &set).into_bytes())
}

/// The request that goes on after what the model said and called.
pub(super) fn go_on(body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError> {
    let at = Layout::of(utf8(body)?)?.messages.len();
    let step = MessageEdit::InsertStep {
        at,
        turn: turn.clone(),
    };
    let edits = RequestEdits {
        messages: vec![step],
        ..RequestEdits::default()
    };
    edit(body, &edits)
}

/// What becomes of the conversation.
struct Work<'l, 'a> {
    layout: &'l Layout<'a>,
    /// Contents that are put before each, and before the end.
    before: BTreeMap<usize, Vec<String>>,
    gone: Vec<usize>,
    /// What becomes of the parts of contents.
    parts: BTreeMap<usize, Vec<Slot>>,
    system: System,
}

impl<'l, 'a> Work<'l, 'a> {
    fn of(layout: &'l Layout<'a>) -> Self {
        Self {
            layout,
            before: BTreeMap::new(),
            gone: Vec::new(),
            parts: BTreeMap::new(),
            system: System::default(),
        }
    }

    fn make(&mut self, edit: &MessageEdit) -> Result<(), EditError> {
        let count = self.layout.messages.len();
        if edit.index() >= count + usize::from(edit.inserts()) {
            let what = format!("the request has {count} messages");
            return Err(impossible(format!("messages[{}]", edit.index()), what));
        }
        let message = self.layout.messages.get(edit.index());
        let system = message.is_some_and(|message| message.run.is_empty());
        match edit {
            MessageEdit::Insert { at, role, text } => {
                if matches!(role, Role::System | Role::Developer) {
                    let first = *at == 0 && self.layout.system.is_some();
                    let list = if first {
                        &mut self.system.first
                    } else {
                        &mut self.system.last
                    };
                    list.push(insert::text(text));
                    return Ok(());
                }
                self.put(*at, [insert::content(*role, text)?]);
            }
            MessageEdit::InsertStep { at, turn } => self.put(*at, insert::turn(turn)),
            MessageEdit::Evict { .. } if system => self.system.gone = true,
            MessageEdit::Rewrite { text, .. } if system => self.system.text = Some(text.clone()),
            MessageEdit::Evict { .. } => self
                .gone
                .extend(message.into_iter().flat_map(|m| m.run.clone())),
            MessageEdit::Rewrite { text, .. } => self.rewrite(message, text)?,
            MessageEdit::Result { id, text, .. } => {
                let at = message.and_then(|message| {
                    let results = message.results();
                    results
                        .into_iter()
                        .find(|(_, known)| known == id)
                        .map(|(at, _)| at)
                });
                let what = || {
                    impossible(
                        "functionResponse",
                        format!("there is none of the call `{id}`"),
                    )
                };
                self.retell(at.ok_or_else(what)?, text)?;
            }
            MessageEdit::AddCalls { index, calls } => self.add_calls(*index, calls)?,
        }
        Ok(())
    }

    fn put(&mut self, message: usize, contents: impl IntoIterator<Item = String>) {
        let at = self.layout.content_at(message);
        self.before.entry(at).or_default().extend(contents);
    }

    /// The slot of a part; the one behind the last has what is put at the end.
    fn slot(&mut self, (content, part): At) -> Result<&mut Slot, EditError> {
        let missing = || impossible(format!("contents[{content}]"), "it has no such part");
        if !self.parts.contains_key(&content) {
            let value = self.layout.contents.get(content).ok_or_else(missing)?;
            let slots = slots(parts_of(*value)?)?;
            self.parts.insert(content, slots);
        }
        let slots = self.parts.get_mut(&content).ok_or_else(missing)?;
        let last = slots.len().saturating_sub(1);
        slots.get_mut(part.min(last)).ok_or_else(missing)
    }

    /// The first text of a message becomes the new one, the others go, with the signatures that they bear: those signed other
    /// words. Of a message of results alone the first result is meant.
    fn rewrite(&mut self, message: Option<&Message<'_>>, text: &str) -> Result<(), EditError> {
        let Some(message) = message else {
            return Ok(());
        };
        // An empty part is refused.
        let mut new = (!text.is_empty()).then(|| insert::text(text));
        let has_text = message
            .parts
            .iter()
            .any(|(_, part)| matches!(part, Part::Text(_)));
        if let (false, Some((at, _))) = (has_text, message.results().first()) {
            return self.retell(*at, text);
        }
        for (at, part) in &message.parts {
            // What is empty bears the signature of what stands before it.
            if matches!(part, Part::Text(text) if !text.is_empty()) {
                self.slot(*at)?.old = new.take().map_or(Old::Gone, Old::Becomes);
            }
        }
        if let Some(new) = new {
            self.slot((message.run.start, 0))?.before.push(new);
        }
        Ok(())
    }

    fn retell(&mut self, at: At, text: &str) -> Result<(), EditError> {
        let content = self.layout.contents.get(at.0).copied();
        let place = || format!("contents[{}].parts[{}]", at.0, at.1);
        let parts = content.map(parts_of).transpose()?.flatten();
        let parts = parts.map(|parts| fields::list(parts, &place)).transpose()?;
        let part = parts.and_then(|parts| parts.get(at.1).copied());
        let part = part.ok_or_else(|| impossible(place(), "there is no such part"))?;
        let outer = Fields::of(part, &place)?;
        let value = outer
            .get("functionResponse")
            .ok_or_else(|| impossible(place(), "it is no result"))?;
        let inner = Fields::of(value, &place)?;
        let told = function::retold(inner.get("response"), text);
        let result = inner.set(value.get(), &[("response", told)]);
        self.slot(at)?.old = Old::Becomes(outer.set(part.get(), &[("functionResponse", result)]));
        Ok(())
    }

    /// Calls among those of the model's turn, each at its place, and their results among those that follow: as many results
    /// as calls must stand in the one content.
    fn add_calls(
        &mut self,
        index: usize,
        calls: &[(ToolCallView, String)],
    ) -> Result<(), EditError> {
        let messages = &self.layout.messages;
        let message = messages
            .get(index)
            .filter(|message| message.role == Role::Assistant);
        let message = message.ok_or_else(|| {
            impossible(format!("messages[{index}]"), "only the model makes calls")
        })?;
        let end = (message.run.end.saturating_sub(1), usize::MAX);
        let answered = messages
            .get(index + 1)
            .map(Message::results)
            .unwrap_or_default();
        let (made, after) = (message.calls(), message.run.end);
        let results: Vec<At> = answered.into_iter().map(|(at, _)| at).collect();
        let written = |call: &ToolCallView, _: &str| function::call(call);
        self.among(&made, end, calls, written)?;
        match results.last() {
            Some(&(content, _)) => {
                self.among(&results, (content, usize::MAX), calls, insert::result)
            }
            None => {
                self.before
                    .entry(after)
                    .or_default()
                    .insert(0, insert::results(calls));
                Ok(())
            }
        }
    }

    /// Puts parts among those that stand at these places: each before the one that has its number, or after all.
    fn among(
        &mut self,
        standing: &[At],
        end: At,
        calls: &[(ToolCallView, String)],
        part: impl Fn(&ToolCallView, &str) -> String,
    ) -> Result<(), EditError> {
        let mut order: Vec<Result<At, String>> = standing.iter().copied().map(Ok).collect();
        for (call, text) in calls {
            let at = call
                .at
                .map_or(order.len(), |at| at as usize)
                .min(order.len());
            order.insert(at, Err(part(call, text)));
        }
        let mut new: Vec<String> = Vec::new();
        for item in order {
            match item {
                Err(part) => new.push(part),
                Ok(at) => self.slot(at)?.before.append(&mut new),
            }
        }
        match standing.last() {
            Some(last) => self.slot(*last)?.after.append(&mut new),
            None => self.slot(end)?.before.append(&mut new),
        }
        Ok(())
    }

    /// The fields of the request that change.
    fn written(mut self, source: &str) -> Result<Vec<(&'static str, String)>, EditError> {
        let mut set = Vec::new();
        let contents = std::mem::take(&mut self.parts);
        let mut all: Vec<Slot> = (0..=self.layout.contents.len())
            .map(|_| Slot::default())
            .collect();
        for (at, slots) in contents {
            let (Some(content), Some(slot)) = (self.layout.contents.get(at), all.get_mut(at))
            else {
                continue;
            };
            let parts = rewritten(content.get(), parts_of(*content)?, slots)?;
            slot.old = match insert::says_nothing(&parts) {
                true => Old::Gone,
                false => Old::Becomes(insert::with_parts(content.get(), parts)?),
            };
        }
        for at in self.gone {
            if let Some(slot) = all.get_mut(at) {
                slot.old = Old::Gone;
            }
        }
        for (at, before) in self.before {
            if let Some(slot) = all.get_mut(at) {
                slot.before = before;
            }
        }
        let untouched = |slot: &Slot| {
            slot.before.is_empty() && slot.after.is_empty() && matches!(slot.old, Old::Keep)
        };
        if !all.iter().all(untouched) {
            set.push((
                "contents",
                rewritten(source, self.layout.root.get("contents"), all)?,
            ));
        }
        set.extend(
            self.system
                .written(self.layout.system)?
                .map(|system| ("systemInstruction", system)),
        );
        Ok(set)
    }
}
