//! The request as it goes upstream: the client's, with the changes of its session and of this exchange.
//!
//! Pure: the same messages and the same changes give the same edits, so that a provider's prompt cache sees the same bytes
//! in each request. Every request is looked at anew, because clients rewrite their history: a change that would leave an
//! invalid or a mutilated conversation, see [`Shape`], is not made in that request.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::shape::Shape;
use crate::dialect::{MessageEdit, MessageView, RequestView, ToolCallView, Turn, is_made_up};
use crate::session::overlay::{Added, Edit, Place, Restored};

/// What becomes of a request's messages.
#[derive(Debug, Default, PartialEq)]
pub struct Composed {
    /// The edits, for the dialect.
    pub edits: Vec<MessageEdit>,
    /// Indexes of the messages that are left out.
    pub gone: BTreeSet<usize>,
    /// Texts of the messages that are put in.
    pub added: Vec<Added>,
    /// For each change whether it is made.
    pub made: Vec<bool>,
}

/// Makes these changes, in their order, to a request whose messages have these identities.
pub fn compose(view: &RequestView, ids: &[u64], changes: &[&Edit]) -> Composed {
    if changes.is_empty() {
        return Composed::default();
    }
    let shape = Shape::of(view, ids);
    let mut out = Composed {
        made: vec![false; changes.len()],
        ..Composed::default()
    };
    let left_out = out.leave(&shape, changes);
    let mut texts: HashMap<u64, &str> = HashMap::new();
    for edit in changes {
        if let Edit::Rewrite { message, text } = edit {
            texts.insert(*message, text);
        }
    }
    let added = |message: &Added| {
        let text = texts.get(&message.id).copied().unwrap_or(&message.text);
        (!left_out.contains(&message.id)).then(|| Added {
            text: text.to_owned(),
            ..message.clone()
        })
    };
    let mut within = Within::default();
    let said = Said::of(view, &shape, changes, &texts);
    for (edit, made) in changes.iter().zip(&mut out.made) {
        let standing = |id: u64| shape.index_of(id).filter(|index| !out.gone.contains(index));
        let before = out.edits.len();
        match edit {
            Edit::Inject { after, message } => {
                let has_place =
                    *after == 0 || message.is_instruction() || shape.index_of(*after).is_some();
                if let Some(message) = added(message).filter(|_| has_place) {
                    let at = shape.place_after(ids, *after);
                    out.edits.push(insert(at, &message));
                    out.added.push(message);
                }
            }
            Edit::Replace { messages, with } if *made => {
                let at = messages.iter().filter_map(|id| shape.index_of(*id)).min();
                for message in with.iter().filter_map(added) {
                    out.edits.push(insert(at.unwrap_or_default(), &message));
                    out.added.push(message);
                }
            }
            Edit::Rewrite { message, text } => {
                *made |= out.added.iter().any(|added| added.id == *message);
                let text = text.clone();
                out.edits
                    .extend(standing(*message).map(|index| MessageEdit::Rewrite { index, text }));
            }
            Edit::Substitute {
                message,
                call,
                text,
            } => {
                out.edits
                    .extend(standing(*message).map(|index| MessageEdit::Result {
                        index,
                        id: call.clone(),
                        text: text.clone(),
                    }));
            }
            Edit::Restore(restored) => {
                let index = standing(restored.message);
                let edit = index.map(|index| said.restore(index, restored));
                out.edits
                    .extend(edit.and_then(|edit| within.without_known(view, edit)));
            }
            Edit::Evict { .. } | Edit::Replace { .. } => continue,
        }
        *made |= out.edits.len() > before;
    }
    out.edits.extend(
        said.rest
            .iter()
            .filter(|(index, _)| !out.gone.contains(index))
            .map(|(index, text)| MessageEdit::Rewrite {
                index: *index,
                text: text.clone(),
            }),
    );
    let gone = out.gone.iter();
    out.edits
        .extend(gone.map(|index| MessageEdit::Evict { index: *index }));
    out
}

impl Composed {
    /// Decides what is left out, and gives the identities of added messages that are.
    fn leave(&mut self, shape: &Shape<'_>, changes: &[&Edit]) -> HashSet<u64> {
        let mut left_out = HashSet::new();
        // The newest first: a range that contains an earlier one takes its place.
        let mut replaced: Vec<&Vec<u64>> = Vec::new();
        for (edit, made) in changes.iter().zip(&mut self.made).rev() {
            let (Edit::Evict { messages } | Edit::Replace { messages, .. }) = edit else {
                continue;
            };
            let there = messages.iter().filter_map(|id| shape.index_of(*id));
            let there: BTreeSet<usize> = there.collect();
            match edit {
                Edit::Replace { .. } => {
                    let covered = replaced
                        .iter()
                        .any(|later| messages.iter().all(|id| later.contains(id)));
                    if !covered && shape.may_leave(&there) {
                        replaced.push(messages);
                        self.gone.extend(there);
                        *made = true;
                    }
                }
                // Of messages that were added, only single ones are evicted.
                _ if there.is_empty() => {
                    left_out.extend(messages.iter().copied());
                    *made = true;
                }
                _ => {
                    if shape.may_leave(&there) {
                        self.gone.extend(there);
                        *made = true;
                    }
                }
            }
        }
        left_out
    }
}

fn insert(at: usize, message: &Added) -> MessageEdit {
    MessageEdit::Insert {
        at,
        role: message.role,
        text: message.text.clone(),
    }
}

/// What the model said before calls that were denied. The client has it at the beginning of the message that followed:
/// upstream it moves to where it was said, so that the conversation reads as it went, and costs its tokens once.
struct Said {
    /// Messages whose beginning moves, and what remains of them.
    rest: BTreeMap<usize, String>,
}

impl Said {
    fn of(
        view: &RequestView,
        shape: &Shape<'_>,
        changes: &[&Edit],
        texts: &HashMap<u64, &str>,
    ) -> Self {
        let mut rest: BTreeMap<usize, Option<String>> = BTreeMap::new();
        for edit in changes {
            let Edit::Restore(restored) = edit else {
                continue;
            };
            let index = shape.index_of(restored.message);
            let Some((index, message)) = index.and_then(|i| Some((i, view.messages.get(i)?)))
            else {
                continue;
            };
            if restored.place == Place::Within || restored.said.is_empty() {
                continue;
            }
            let present = rest.entry(index).or_insert_with(|| {
                (!texts.contains_key(&restored.message)).then(|| message.text.clone())
            });
            *present = present
                .as_ref()
                .and_then(|text| Some(text.strip_prefix(&restored.said)?.to_owned()));
        }
        let stays = |index: &usize, text: &str| {
            let calls = view
                .messages
                .get(*index)
                .is_some_and(|m| !m.tool_calls.is_empty());
            // An empty message is refused by some vendors.
            !text.is_empty() || calls
        };
        let rest = rest
            .into_iter()
            .filter_map(|(index, text)| Some((index, text?)))
            .filter(|(index, text)| stays(index, text))
            .collect();
        Self { rest }
    }

    fn restore(&self, index: usize, restored: &Restored) -> MessageEdit {
        let calls = restored
            .calls
            .iter()
            .map(|call| {
                let view = ToolCallView {
                    id: call.id.clone(),
                    name: call.name.clone(),
                    arguments: call.arguments.clone(),
                    own: call.own.clone(),
                    at: call.at,
                };
                (view, call.result.clone())
            })
            .collect();
        match restored.place {
            Place::Within => MessageEdit::AddCalls { index, calls },
            Place::Before => {
                let said = match self.rest.contains_key(&index) {
                    true => restored.said.clone(),
                    false => String::new(),
                };
                MessageEdit::InsertStep {
                    at: index,
                    turn: Turn::of_step(said, restored.own.clone(), calls),
                }
            }
        }
    }
}

/// Calls that were put into messages of the client: none stands in one twice, as vendors refuse a second result.
#[derive(Default)]
struct Within(HashSet<(usize, String)>);

impl Within {
    /// The edit without the calls that its message has; `None` if nothing is left.
    fn without_known(&mut self, view: &RequestView, edit: MessageEdit) -> Option<MessageEdit> {
        let MessageEdit::AddCalls { index, mut calls } = edit else {
            return Some(edit);
        };
        let has = |id: &str| {
            let message = view.messages.get(index);
            // An id that Airlock made up counts the calls that the client has, not those that the model made.
            let known = |m: &MessageView| m.tool_calls.iter().any(|call| call.id == id);
            !is_made_up(id) && message.is_some_and(known)
        };
        calls.retain(|(call, _)| !has(&call.id) && self.0.insert((index, call.id.clone())));
        (!calls.is_empty()).then_some(MessageEdit::AddCalls { index, calls })
    }
}

#[cfg(test)]
mod tests;
