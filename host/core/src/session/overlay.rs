//! What policies changed for the rest of a session.
//!
//! Clients send their whole history with every request, so a change made once would be lost at the next: it is kept here,
//! by the identity of the messages it belongs to, and made again in every later request, with the same bytes. This knows
//! which changes there are; whether one can be made in a request is decided where requests are composed.
//!
//! A change whose message the client dropped waits, and is made again if the message comes back: agents branch. So that
//! a session cannot grow for ever, changes that wait are forgotten, oldest first, once there are too many.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::event::Role;

/// Changes kept for a session. An agent's longest runs have some thousand messages.
const MAX_EDITS: usize = 4096;

/// Bytes of text in them, which are saved after each exchange.
const MAX_BYTES: usize = 4 * 1024 * 1024;

/// A message that a policy added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Its identity, from the same numbers as those of the client's messages.
    pub id: u64,
    /// Who speaks.
    pub role: Role,
    /// What.
    pub text: String,
}

/// A tool call that the client never saw, because it was denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeniedCall {
    /// The vendor's id.
    pub id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments as the model wrote them.
    pub arguments: String,
    /// What the model was given as the result.
    pub result: String,
    /// The whole call as its server wrote it, as JSON, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<String>,
    /// Its place among the calls of its turn; `None`: after the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u32>,
}

/// Where denied calls belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In the assistant's message: its other calls were permitted.
    Within,
    /// Before it, as a step of their own: all calls of that step were denied, and the message says what came after.
    Before,
}

/// Denied calls and their results, which later requests must have again: the model is to see what it tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The assistant's message as the client has it: what
    /// [`Conversation::answered`](super::conversation::Conversation::answered) gave.
    pub message: u64,
    /// Where.
    pub place: Place,
    /// For [`Place::Before`]: what the model said before it called. The client has it at the beginning of the message;
    /// upstream it stands with the calls, as it was generated.
    pub said: String,
    /// For [`Place::Before`]: the model's message without its calls as its server wrote it, as JSON, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<String>,
    /// The calls, in order.
    pub calls: Vec<DeniedCall>,
}

/// A change to the conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// One message more.
    Inject {
        /// Message after which it stands; 0: before everything.
        after: u64,
        /// The message.
        message: Added,
    },
    /// Another text for a message.
    Rewrite {
        /// Which.
        message: u64,
        /// Its text.
        text: String,
    },
    /// Messages less: one, or a tool call with its results.
    Evict {
        /// Which.
        messages: Vec<u64>,
    },
    /// Others in the place of messages.
    Replace {
        /// Which; the new ones stand where the first of them that is there stood.
        messages: Vec<u64>,
        /// The new ones.
        with: Vec<Added>,
    },
    /// Another text for the result of a tool call.
    Substitute {
        /// Message that carries the result.
        message: u64,
        /// The vendor's id of the call.
        call: String,
        /// What the model is given instead.
        text: String,
    },
    /// Denied calls that the client does not know.
    Restore(Restored),
}

/// A change that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Names it in its session.
    pub number: u64,
    /// Policy that ordered it, until the others have judged it: they do at the next request, before it goes upstream.
    pub unjudged: Option<String>,
    /// The change.
    pub edit: Edit,
}

/// There is no room for another change, and none that could be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the session already keeps {MAX_EDITS} changes or {MAX_BYTES} bytes of changes to messages that are still there"
)]
pub struct Full;

/// The changes that stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// Upstream to go to; empty: by the routes.
    pub upstream: String,
    /// Model to ask for; empty: as requested.
    pub model: String,
    /// Parameters: name, and value as JSON.
    pub parameters: Vec<(String, String)>,
    /// Changes to the conversation, in the order in which they were made.
    #[serde(default)]
    edits: Vec<Kept>,
    #[serde(default)]
    next: u64,
    /// Answers that were put together of several legs: the id that the client has, and that of the last leg, which its server
    /// knows with all that came before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answers: Vec<(String, String)>,
}

/// Answers of several legs that are remembered, the newest. A client goes on from the last, or from one a few turns before.
const MAX_ANSWERS: usize = 64;

impl Overlay {
    /// An answer of several legs: what the client calls it, and what its server does.
    pub fn put_together(&mut self, given: &str, own: &str) {
        if self.answers.len() >= MAX_ANSWERS {
            self.answers.remove(0);
        }
        self.answers.push((given.to_owned(), own.to_owned()));
    }

    /// The id by which its server knows an answer that the client knows by this one; `None` if it is the same.
    pub fn own_id(&self, given: &str) -> Option<String> {
        let known = self.answers.iter().rev().find(|(known, _)| known == given);
        known.map(|(_, own)| own.clone())
    }

    /// Sets parameters; the newest value of a name counts.
    pub fn set_parameters(&mut self, set: &[(String, String)]) {
        for (name, value) in set {
            self.parameters.retain(|(known, _)| known != name);
            self.parameters.push((name.clone(), value.clone()));
        }
    }

    /// Keeps a change; a newer text for the same thing takes the place of an older one. `ids` are the messages of the
    /// newest request: what concerns none of them waits, and goes first when there is no room.
    ///
    /// # Errors
    /// [`Full`]; nothing was changed.
    pub fn keep(&mut self, edit: Edit, unjudged: Option<String>, ids: &[u64]) -> Result<(), Full> {
        let forgotten = self.forgettable(&edit, ids).ok_or(Full)?;
        self.edits
            .retain(|kept| !forgotten.contains(&kept.number) && !edit.overrides(&kept.edit));
        self.next += 1;
        self.edits.push(Kept {
            number: self.next,
            unjudged,
            edit,
        });
        Ok(())
    }

    /// Whether [`Overlay::keep`] would keep it.
    pub fn has_room(&self, edit: &Edit, ids: &[u64]) -> bool {
        self.forgettable(edit, ids).is_some()
    }

    /// Puts denied calls back into all later requests. `ids` as for [`Overlay::keep`].
    ///
    /// # Errors
    /// [`Full`]; the model will not see that it was denied.
    pub fn restore(&mut self, restored: Restored, ids: &[u64]) -> Result<(), Full> {
        self.keep(Edit::Restore(restored), None, ids)
    }

    /// The changes that may concern a request with these messages, in the order in which they were made.
    pub fn concerning(&self, ids: &[u64]) -> Vec<Kept> {
        let concerned = self.concerned(ids);
        let edits = self.edits.iter().zip(concerned);
        edits
            .filter(|(_, concerned)| *concerned)
            .map(|(kept, _)| kept.clone())
            .collect()
    }

    /// The other policies had a change before them, and it went upstream.
    pub fn judged(&mut self, number: u64) {
        for kept in self.edits.iter_mut().filter(|kept| kept.number == number) {
            kept.unjudged = None;
        }
    }

    /// For each change, whether it concerns a request with these messages. A change to a message that another change adds
    /// concerns it if that one does.
    fn concerned(&self, ids: &[u64]) -> Vec<bool> {
        let mut present: HashSet<u64> = ids.iter().copied().collect();
        let mut concerned = Vec::with_capacity(self.edits.len());
        for kept in &self.edits {
            let concerns = kept.edit.concerns(&present);
            if concerns {
                present.extend(kept.edit.adds().iter().map(|added| added.id));
            }
            concerned.push(concerns);
        }
        concerned
    }

    /// Numbers of the changes that go to make room for this one; `None` if that does not suffice.
    fn forgettable(&self, edit: &Edit, ids: &[u64]) -> Option<Vec<u64>> {
        let stays = self.edits.iter().filter(|kept| !edit.overrides(&kept.edit));
        let (mut count, mut bytes) = stays.fold((1, edit.bytes()), |(count, bytes), kept| {
            (count + 1, bytes + kept.edit.bytes())
        });
        let mut forgotten = Vec::new();
        if count <= MAX_EDITS && bytes <= MAX_BYTES {
            return Some(forgotten);
        }
        for (kept, concerned) in self.edits.iter().zip(self.concerned(ids)) {
            if concerned || edit.overrides(&kept.edit) {
                continue;
            }
            forgotten.push(kept.number);
            (count, bytes) = (count - 1, bytes - kept.edit.bytes());
            if count <= MAX_EDITS && bytes <= MAX_BYTES {
                return Some(forgotten);
            }
        }
        None
    }
}

impl Edit {
    /// Messages that it adds.
    pub fn adds(&self) -> &[Added] {
        match self {
            Edit::Inject { message, .. } => std::slice::from_ref(message),
            Edit::Replace { with, .. } => with,
            _ => &[],
        }
    }

    /// Whether it says anew what an earlier change said.
    fn overrides(&self, earlier: &Edit) -> bool {
        match (self, earlier) {
            (Edit::Rewrite { message, .. }, Edit::Rewrite { message: of, .. }) => message == of,
            (
                Edit::Substitute { message, call, .. },
                Edit::Substitute {
                    message: of,
                    call: other,
                    ..
                },
            ) => (message, call) == (of, other),
            _ => false,
        }
    }

    fn concerns(&self, present: &HashSet<u64>) -> bool {
        match self {
            // An instruction outlives the message after which it was given.
            Edit::Inject { after, message } => {
                *after == 0 || message.is_instruction() || present.contains(after)
            }
            Edit::Evict { messages } | Edit::Replace { messages, .. } => {
                messages.iter().any(|message| present.contains(message))
            }
            Edit::Rewrite { message, .. }
            | Edit::Substitute { message, .. }
            | Edit::Restore(Restored { message, .. }) => present.contains(message),
        }
    }

    /// Bytes of its text; what else it holds is small beside the fixed part of [`Kept`].
    fn bytes(&self) -> usize {
        match self {
            Edit::Inject { message, .. } => message.text.len(),
            Edit::Rewrite { text, .. } | Edit::Substitute { text, .. } => text.len(),
            Edit::Evict { messages } => messages.len() * size_of::<u64>(),
            Edit::Replace { messages, with } => {
                messages.len() * size_of::<u64>()
                    + with.iter().map(|added| added.text.len()).sum::<usize>()
            }
            Edit::Restore(restored) => {
                let calls = restored.calls.iter();
                let own = |own: &Option<String>| own.as_ref().map_or(0, String::len);
                restored.said.len()
                    + own(&restored.own)
                    + calls
                        .map(|call| call.arguments.len() + call.result.len() + own(&call.own))
                        .sum::<usize>()
            }
        }
    }
}

impl Added {
    /// Whether it instructs the model, rather than being a part of what was said.
    pub fn is_instruction(&self) -> bool {
        matches!(self.role, Role::System | Role::Developer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn added(id: u64, role: Role, text: &str) -> Added {
        Added {
            id,
            role,
            text: text.to_owned(),
        }
    }

    fn rewrite(message: u64, text: &str) -> Edit {
        Edit::Rewrite {
            message,
            text: text.to_owned(),
        }
    }

    fn numbers(overlay: &Overlay, ids: &[u64]) -> Vec<u64> {
        overlay.concerning(ids).iter().map(|k| k.number).collect()
    }

    #[test]
    fn the_newest_value_of_a_parameter_counts() {
        let mut overlay = Overlay::default();
        overlay.set_parameters(&[
            ("temperature".into(), "1".into()),
            ("seed".into(), "3".into()),
        ]);
        overlay.set_parameters(&[("temperature".into(), "0".into())]);
        assert_eq!(
            overlay.parameters,
            [
                ("seed".into(), "3".into()),
                ("temperature".into(), "0".into())
            ]
        );
    }

    #[test]
    fn a_newer_text_takes_the_place_of_an_older_one() {
        let mut overlay = Overlay::default();
        for (message, text) in [(1, "a"), (2, "b"), (1, "c")] {
            overlay.keep(rewrite(message, text), None, &[]).unwrap();
        }
        let kept: Vec<Edit> = overlay
            .concerning(&[1, 2])
            .into_iter()
            .map(|k| k.edit)
            .collect();
        assert_eq!(kept, [rewrite(2, "b"), rewrite(1, "c")]);
    }

    #[test]
    fn what_the_client_dropped_waits_and_what_instructs_does_not() {
        let mut overlay = Overlay::default();
        let note = |after, message| Edit::Inject { after, message };
        overlay
            .keep(note(5, added(10, Role::System, "rule")), None, &[])
            .unwrap();
        overlay
            .keep(note(5, added(11, Role::User, "remark")), None, &[])
            .unwrap();
        // A change to a message that was added goes where that one goes.
        overlay
            .keep(rewrite(11, "other remark"), None, &[])
            .unwrap();
        overlay.keep(rewrite(5, "text"), None, &[]).unwrap();
        assert_eq!(numbers(&overlay, &[1, 2]), [1]);
        assert_eq!(numbers(&overlay, &[1, 5]), [1, 2, 3, 4]);
    }

    #[test]
    fn what_waits_goes_first_and_the_oldest_of_it() {
        let mut overlay = Overlay::default();
        for message in 1..=MAX_EDITS as u64 {
            overlay.keep(rewrite(message, "x"), None, &[]).unwrap();
        }
        let all: Vec<u64> = (1..=MAX_EDITS as u64).collect();
        // All of them are there.
        let another = rewrite(0, "x");
        assert!(!overlay.has_room(&another, &all));
        assert_eq!(overlay.keep(another.clone(), None, &all), Err(Full));
        assert_eq!(overlay.edits.len(), MAX_EDITS);
        // A newer text for one of them needs no room.
        overlay.keep(rewrite(7, "y"), None, &all).unwrap();
        // Two messages are gone: the older goes.
        let but_two: Vec<u64> = all.iter().copied().filter(|n| *n != 3 && *n != 9).collect();
        overlay.keep(another, None, &but_two).unwrap();
        let left = |message| {
            overlay
                .edits
                .iter()
                .any(|k| k.edit == rewrite(message, "x"))
        };
        assert!(!left(3) && left(9) && left(0));
    }

    #[test]
    fn texts_are_bounded_too() {
        let mut overlay = Overlay::default();
        let long = "x".repeat(MAX_BYTES / 2);
        overlay.keep(rewrite(1, &long), None, &[1]).unwrap();
        overlay.keep(rewrite(2, &long), None, &[1, 2]).unwrap();
        assert!(!overlay.has_room(&rewrite(3, "x"), &[1, 2, 3]));
        overlay.keep(rewrite(3, "x"), None, &[2, 3]).unwrap();
        assert_eq!(numbers(&overlay, &[1, 2, 3]), [2, 3]);
    }

    #[test]
    fn it_survives_the_store_and_reads_what_an_older_version_saved() {
        let mut overlay = Overlay::default();
        overlay
            .keep(rewrite(1, "x"), Some("p".to_owned()), &[])
            .unwrap();
        let restored = Restored {
            message: 2,
            place: Place::Within,
            said: String::new(),
            own: Some(r#"{"reasoning":"because"}"#.to_owned()),
            calls: vec![DeniedCall {
                id: "c".to_owned(),
                name: "rm".to_owned(),
                arguments: "{}".to_owned(),
                result: "no".to_owned(),
                own: Some(r#"{"extra_content":{"signature":"s"}}"#.to_owned()),
                at: Some(0),
            }],
        };
        overlay.restore(restored, &[]).unwrap();
        let saved = serde_json::to_string(&overlay).unwrap();
        assert_eq!(serde_json::from_str::<Overlay>(&saved).unwrap(), overlay);
        let old: Restored = serde_json::from_str(
            r#"{"message": 2, "place": "within", "said": "", "calls": [{"id": "c", "name": "rm", "arguments": "{}", "result": "no"}]}"#,
        )
        .unwrap();
        assert_eq!((old.own, &old.calls[0].own), (None, &None));
        let old = r#"{"upstream": "u", "model": "", "parameters": [], "injected": []}"#;
        assert_eq!(serde_json::from_str::<Overlay>(old).unwrap().upstream, "u");
    }
}
