//! The family "context": what policies change in the conversation before the model sees it.
//!
//! Whatever is put in is judged by the other policies like any message: at once while the request has not gone upstream,
//! else at the next request. A change for the session is kept when the request it was judged with goes upstream; one that
//! was ordered for a request which then was blocked is kept too, and judged again with the next one.

use std::collections::BTreeSet;

use super::{Done, done};
use crate::act::slots::who;
use crate::contract::types::{self as wit, Scope};
use crate::dialect::MessageView;
use crate::event::Outcome;
use crate::event::phase::Phase;
use crate::gateway::exchange::conduct::Exchange;
use crate::gateway::exchange::prepare::{Ordered, index_of};
use crate::gateway::exchange::shape::Shape;
use crate::reason::order::By;
use crate::session::overlay::{Added, Edit, Full};

impl Exchange {
    pub(super) fn inject(&mut self, by: By, injection: &wit::Injection) -> Done {
        let message = match self.added(injection.role, &injection.text) {
            Ok(message) => message,
            Err(refusal) => return refusal,
        };
        let index = index_of(injection.position, self.ids.len());
        let before = index.checked_sub(1).and_then(|i| self.ids.get(i));
        let after = before.copied().unwrap_or(0);
        self.change(by, injection.scope, Edit::Inject { after, message })
    }

    pub(super) fn edit_message(&mut self, by: By, edit: &wit::MessageEdit) -> Done {
        if let Err(refusal) = self.standing(edit.message) {
            return refusal;
        }
        let rewrite = Edit::Rewrite {
            message: edit.message,
            text: edit.text.clone(),
        };
        self.change(by, edit.scope, rewrite)
    }

    pub(super) fn evict_message(&mut self, by: By, eviction: &wit::MessageEviction) -> Done {
        let index = match self.standing(eviction.message) {
            Ok(Target::Theirs(index)) => index,
            Ok(Target::Added(message)) if message.is_instruction() => {
                return refused(format!(
                    "message {} has to stay: it is an instruction to the model",
                    message.id
                ));
            }
            Ok(Target::Added(message)) => {
                let messages = vec![message.id];
                return self.change(by, eviction.scope, Edit::Evict { messages });
            }
            Err(refusal) => return refusal,
        };
        let shape = Shape::of(&self.view, &self.ids);
        let whole = shape.whole(&BTreeSet::from([index]));
        if let Some(refusal) = self.must_stay(&shape, &whole) {
            return refusal;
        }
        let messages = self.ids_of(&whole);
        let note = (messages.len() > 1).then(|| together(&messages));
        noted(
            self.change(by, eviction.scope, Edit::Evict { messages }),
            note,
        )
    }

    pub(super) fn replace_messages(&mut self, by: By, order: &wit::MessageReplacement) -> Done {
        let shape = Shape::of(&self.view, &self.ids);
        let (first, last) = match (shape.index_of(order.first), shape.index_of(order.last)) {
            (Some(first), Some(last)) => (first, last),
            (None, _) => return unknown(order.first),
            (_, None) => return unknown(order.last),
        };
        if first > last {
            return refused(format!(
                "message {} stands after message {}: a range goes from its first message to its last",
                order.first, order.last
            ));
        }
        let range = shape.whole_range(first..last + 1);
        let widened = range != (first..last + 1);
        let covered: BTreeSet<usize> = range.collect();
        if let Some(refusal) = self.must_stay(&shape, &covered) {
            return refusal;
        }
        let mut messages = self.ids_of(&covered);
        let note = widened.then(|| together(&messages));
        for earlier in self.changes.all() {
            let Edit::Replace { messages: of, .. } = earlier else {
                continue;
            };
            let there: BTreeSet<usize> = of.iter().filter_map(|id| shape.index_of(*id)).collect();
            if there.is_disjoint(&covered) || !shape.may_leave(&there) {
                continue;
            }
            if !there.is_subset(&covered) {
                return refused(format!(
                    "others stand in the place of messages {} already: name a range that has all of them or none",
                    list(of)
                ));
            }
            // Those that the client dropped too: the earlier range must not come back beside this one.
            let more = of.iter().filter(|id| !messages.contains(id)).copied();
            messages.extend(more.collect::<Vec<_>>());
        }
        let mut with = Vec::with_capacity(order.messages.len());
        for (role, text) in &order.messages {
            match self.added(*role, text) {
                Ok(message) => with.push(message),
                Err(refusal) => return refusal,
            }
        }
        noted(
            self.change(by, order.scope, Edit::Replace { messages, with }),
            note,
        )
    }

    pub(in super::super) fn substitute_result(
        &mut self,
        by: By,
        order: &wit::ResultSubstitution,
    ) -> Done {
        let carries = |message: &MessageView| message.tool_results.iter().any(|r| r.id == order.id);
        // Some servers count their ids from 0 in each answer: the newest result is meant.
        let index = self.view.messages.iter().rposition(carries);
        let Some(message) = index.and_then(|index| self.ids.get(index)).copied() else {
            return refused(format!(
                "this request has no result of a tool call `{}`",
                order.id
            ));
        };
        if let Err(refusal) = self.standing(message) {
            return refusal;
        }
        let substitute = Edit::Substitute {
            message,
            call: order.id.clone(),
            text: order.text.clone(),
        };
        self.change(by, order.scope, substitute)
    }

    /// Makes a change.
    fn change(&mut self, by: By, scope: Scope, edit: Edit) -> Done {
        let stays = scope == Scope::Session;
        let name = who(by, &self.plan);
        if self.phase != Phase::Request {
            let mut state = self.session.state();
            let kept = state.overlay.keep(edit, Some(name), &self.ids);
            return kept.map_or_else(|full| refused(full.to_string()), |()| done());
        }
        if stays && !self.session.state().overlay.has_room(&edit, &self.ids) {
            return refused(Full.to_string());
        }
        let cause = match by {
            By::Policy(entry) => Some(entry),
            _ => None,
        };
        self.changes.edits.push(Ordered {
            edit: edit.clone(),
            by: name,
            stays,
        });
        self.tell_change(&edit, cause);
        self.recount();
        done()
    }

    /// A message that a policy adds.
    fn added(&self, role: wit::Role, text: &str) -> Result<Added, Done> {
        if matches!(role, wit::Role::Tool | wit::Role::Other) {
            return Err(refused(
                "only system, developer, user and assistant messages can be put in".to_owned(),
            ));
        }
        Ok(Added {
            id: self.session.state().conversation.identify(),
            role: role.into(),
            text: text.to_owned(),
        })
    }

    /// The message with this identity, if it would go upstream now.
    fn standing(&self, message: u64) -> Result<Target, Done> {
        let composed = self.changes.compose(&self.view, &self.ids);
        let added = composed.added.into_iter().find(|added| added.id == message);
        if let Some(added) = added {
            return Ok(Target::Added(added));
        }
        match self.ids.iter().position(|id| *id == message) {
            None => Err(unknown(message)),
            Some(index) if composed.gone.contains(&index) => {
                Err(refused(format!("message {message} is left out already")))
            }
            Some(index) => Ok(Target::Theirs(index)),
        }
    }

    fn must_stay(&self, shape: &Shape<'_>, messages: &BTreeSet<usize>) -> Option<Done> {
        let (index, why) = shape.objection(messages)?;
        let id = self.ids.get(index).copied().unwrap_or_default();
        Some(refused(format!("message {id} has to stay: it is {why}")))
    }

    fn ids_of(&self, messages: &BTreeSet<usize>) -> Vec<u64> {
        let ids = messages.iter().filter_map(|index| self.ids.get(*index));
        ids.copied().collect()
    }
}

/// What an action names.
enum Target {
    /// The client's message at this index.
    Theirs(usize),
    /// A message that a policy added.
    Added(Added),
}

fn unknown(message: u64) -> Done {
    refused(format!("this request has no message {message}"))
}

fn refused(reason: String) -> Done {
    (Outcome::Refused, reason)
}

fn together(messages: &[u64]) -> String {
    format!(
        "a tool call and its results leave together: messages {}",
        list(messages)
    )
}

/// A note on what was done beside what was ordered.
fn noted(done: Done, note: Option<String>) -> Done {
    match (done, note) {
        ((Outcome::Applied, _), Some(note)) => (Outcome::Applied, note),
        (done, _) => done,
    }
}

fn list(ids: &[u64]) -> String {
    let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
    ids.join(", ")
}
