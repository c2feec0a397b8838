//! Parts of tool calls as they arrive, and what in a stream clients would read differently.

use super::conduct::Exchange;
use super::hold::{Said, Sealed};
use crate::dialect::{CallPart, Piece, Undecodable};

impl Exchange {
    /// A part of a tool call. One for a call that is sealed was never judged: where somebody judges, the exchange ends.
    pub(super) fn call_part(&mut self, part: &CallPart, said: &mut Said, at: u64) {
        let round = self.steps.len() as u32;
        let (patterns, counter) = (&self.plan.patterns, &self.tokens);
        let mut found = Vec::new();
        match self
            .hold
            .call_part(part, round, patterns, counter, &mut found)
        {
            Ok((borne, span, tokens)) => {
                said.tokens += tokens;
                said.calls.push(borne);
                let place = self.hold.stretches.get(borne.stretch).map(|s| s.place);
                if let Some(place) = place.filter(|_| !part.arguments.is_empty()) {
                    self.arrived_text(place, &span, &part.arguments, true, tokens, at);
                    self.matched(place, &found);
                }
                self.bound_call(borne.stretch);
            }
            Err(Sealed { name }) => {
                let what = format!(
                    "a further part of the call of `{name}` came after its choice had finished"
                );
                self.unreadable("tool_calls", what);
            }
        }
    }

    /// A client that looks at the first choice alone would join the text of several. Those that were asked for are its own
    /// affair.
    pub(super) fn check_choices(&mut self, pieces: &[Piece]) {
        let asked = self.view.choices.max(1);
        let beyond = pieces.iter().find_map(|piece| {
            let choice = match piece {
                Piece::Text { place, .. } => place.choice,
                Piece::Call(part) => part.choice,
                Piece::Finish { choice, .. } => *choice,
                Piece::Beside | Piece::Usage(_) | Piece::Error(_) | Piece::End => 0,
            };
            (choice >= asked).then_some(choice)
        });
        if let Some(choice) = beyond {
            let what = format!(
                "a part of choice {choice} came, counted from 0, and {asked} were asked for"
            );
            self.unreadable("choices", what);
        }
    }

    /// What came cannot be read for certain.
    pub(super) fn unreadable(&mut self, place: &str, what: String) {
        self.undecodable(&Undecodable {
            dialect: self.dialect.name(),
            place: place.to_owned(),
            what,
        });
    }
}
