//! What policies changed for the rest of a session.
//!
//! Clients send their whole history with every request, so a change made once would be lost at the next: it is kept here,
//! by the identity of the message it belongs to, and made again in every later request, with the same bytes.

use serde::{Deserialize, Serialize};

use super::event::Role;

/// A message that a policy added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Injected {
    /// Message after which it stands; 0: before everything.
    pub after: u64,
    /// Who speaks.
    pub role: Role,
    /// What.
    pub text: String,
}

/// The changes that stay.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// Upstream to go to; empty: by the routes.
    pub upstream: String,
    /// Model to ask for; empty: as requested.
    pub model: String,
    /// Parameters: name, and value as JSON.
    pub parameters: Vec<(String, String)>,
    /// Messages, in the order in which they were added.
    pub injected: Vec<Injected>,
}

impl Overlay {
    /// Sets parameters; the newest value of a name counts.
    pub fn set_parameters(&mut self, set: &[(String, String)]) {
        for (name, value) in set {
            self.parameters.retain(|(known, _)| known != name);
            self.parameters.push((name.clone(), value.clone()));
        }
    }

    /// Where each injected message goes in a request whose messages have these identities: index before which it stands.
    /// One whose anchor the client dropped goes where the anchor's successors begin: to the front.
    pub fn insertions<'a>(&'a self, ids: &'a [u64]) -> impl Iterator<Item = (usize, &'a Injected)> {
        self.injected.iter().map(|injected| {
            let at = ids
                .iter()
                .position(|id| *id == injected.after)
                .map_or(0, |index| index + 1);
            (at, injected)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_injected_message_keeps_its_place_while_the_history_grows() {
        let mut overlay = Overlay::default();
        overlay.injected.push(Injected {
            after: 2,
            role: Role::System,
            text: "note".into(),
        });
        overlay.injected.push(Injected {
            after: 0,
            role: Role::System,
            text: "first".into(),
        });
        let at = |ids: &[u64]| {
            overlay
                .insertions(ids)
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        };
        assert_eq!(at(&[1, 2]), [2, 0]);
        assert_eq!(at(&[1, 2, 3, 4]), [2, 0]);
        assert_eq!(at(&[3, 4]), [0, 0]);
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
}
