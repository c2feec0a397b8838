//! Which messages of a request belong together, and which may leave it.
//!
//! Vendors refuse a tool result without its call, and a call without its results: a call and its results are a *step*, which
//! leaves whole or not at all. What tells the model its task never leaves: instructions (system and developer messages), the
//! first message of the user, and the newest turn, which is everything from the last message of the user on. Agents that
//! compress their own history keep the same three (system prompt, task, what is under way); without them a model goes on
//! fluently with something else. Within the newest turn text may still be replaced, that of long tool results above all.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use crate::dialect::RequestView;
use crate::event::Role;

/// The shape of a request.
pub struct Shape<'a> {
    view: &'a RequestView,
    index: HashMap<u64, usize>,
    /// For each message the assistant's message that made the call which it answers, if it answers one.
    answers: Vec<Option<usize>>,
    first_user: Option<usize>,
    newest_turn: usize,
}

impl<'a> Shape<'a> {
    /// The shape of a request whose messages have these identities.
    pub fn of(view: &'a RequestView, ids: &[u64]) -> Self {
        let is_user = |index: &usize| {
            view.messages.get(*index).is_some_and(|message| {
                message.role == Role::User && message.tool_results.is_empty()
            })
        };
        let all = 0..view.messages.len();
        let mut called: HashMap<&str, usize> = HashMap::new();
        let answers = view
            .messages
            .iter()
            .enumerate()
            .map(|(index, message)| {
                called.extend(message.tool_calls.iter().map(|call| (&*call.id, index)));
                let mut results = message.tool_results.iter();
                results.find_map(|result| called.get(&*result.id).copied())
            })
            .collect();
        Self {
            view,
            index: ids.iter().enumerate().map(|(i, id)| (*id, i)).collect(),
            answers,
            first_user: all.clone().find(is_user),
            // Without a user nobody can say what may go.
            newest_turn: all.rev().find(is_user).unwrap_or(0),
        }
    }

    /// Index of the message with this identity.
    pub fn index_of(&self, id: u64) -> Option<usize> {
        self.index.get(&id).copied()
    }

    /// The messages and all that can only leave together with them.
    pub fn whole(&self, messages: &BTreeSet<usize>) -> BTreeSet<usize> {
        let call_of = |index: usize| self.answers.get(index).copied().flatten().unwrap_or(index);
        let steps: BTreeSet<usize> = messages.iter().map(|index| call_of(*index)).collect();
        (0..self.answers.len())
            .filter(|index| steps.contains(&call_of(*index)))
            .collect()
    }

    /// The range, widened until no step stands across its borders.
    pub fn whole_range(&self, range: Range<usize>) -> Range<usize> {
        let mut range = range;
        loop {
            let whole = self.whole(&range.clone().collect());
            let wider = whole
                .first()
                .zip(whole.last())
                .map_or(range.clone(), |(first, last)| {
                    range.start.min(*first)..range.end.max(last + 1)
                });
            if wider == range {
                return range;
            }
            range = wider;
        }
    }

    /// Why one of these messages has to stay: its index, and what it is.
    pub fn objection(&self, messages: &BTreeSet<usize>) -> Option<(usize, &'static str)> {
        messages.iter().find_map(|index| {
            let role = self.view.messages.get(*index)?.role;
            let why = match role {
                Role::System | Role::Developer => "an instruction to the model",
                _ if *index >= self.newest_turn => "in the newest turn",
                _ if Some(*index) == self.first_user => {
                    "the user's first message, which states the task"
                }
                _ => return None,
            };
            Some((*index, why))
        })
    }

    /// Whether a request without these messages is one that vendors take and the model understands.
    pub fn may_leave(&self, messages: &BTreeSet<usize>) -> bool {
        !messages.is_empty()
            && self.objection(messages).is_none()
            && self.whole(messages) == *messages
    }

    /// Index before which a message stands that was added after another one. If that one is not there: before everything
    /// that came after it.
    pub fn place_after(&self, ids: &[u64], after: u64) -> usize {
        let at = match self.index_of(after) {
            Some(index) => index + 1,
            None => ids.iter().position(|id| *id > after).unwrap_or(ids.len()),
        };
        self.view.insertion_point(at)
    }
}
