//! Calls of the present leg that the client never sees, and what the model said around them.

use super::Release;
use super::stretch::Stretch;
use crate::dialect::{ToolCallView, Turn};
use crate::event::Channel;

impl Release {
    /// The denied calls of a leg, with the results that the model is given.
    pub fn denied(&self, leg: u32) -> Vec<(ToolCallView, String)> {
        let calls = |choice| {
            let of = move |s: &&Stretch| s.place.choice == choice;
            self.hold.stretches.iter().filter(of)
        };
        self.hold
            .stretches
            .iter()
            .filter_map(|s| {
                let call = s.call.as_ref().filter(|call| call.leg == leg)?;
                let before = calls(s.place.choice)
                    .take_while(|other| other.place != s.place)
                    .filter(|other| other.call.as_ref().is_some_and(|c| c.leg == leg));
                let reason = call.denial()?;
                let view = ToolCallView {
                    id: call.id.clone(),
                    name: call.name.clone(),
                    arguments: s.seen(),
                    own: self
                        .reader
                        .own_call(&call.id)
                        .filter(|_| s.place.choice == 0),
                    at: Some(before.count() as u32),
                };
                Some((view, reason.to_owned()))
            })
            .collect()
    }

    /// Whether a call of a leg goes to the client.
    pub fn has_call(&self, leg: u32) -> bool {
        let calls = self.hold.stretches.iter().filter_map(|s| s.call.as_ref());
        calls.filter(|c| c.leg == leg).any(|c| c.denial().is_none())
    }

    /// The present leg as a step of the answer, which the client never sees.
    pub fn step(&self, leg: u32) -> Turn {
        let said = self.output().map(|s| s.seen_from(self.said_from));
        let said = said.unwrap_or_default();
        Turn::of_step(said, self.own_message(), self.denied(leg))
    }

    /// The model's own message in this leg. Not known where a policy changed more than what is said to the user: a thought
    /// that was altered is not the one that was signed, and one that was redacted is not to be sent as it was.
    fn own_message(&self) -> Option<String> {
        let changed = |s: &Stretch| {
            let replaceable = matches!(s.place.channel, Channel::Output | Channel::ToolArguments);
            !replaceable && s.is_edited()
        };
        let changed = self.hold.stretches.iter().any(changed);
        self.reader.own_message().filter(|_| !changed)
    }
}
