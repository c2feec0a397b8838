//! Edits of the fields that are messages to whoever judges.

use crate::dialect::json::{self, Object};
use crate::dialect::{EditError, MessageEdit, MessageView};
use crate::event::Role;

/// What stands between two texts that become one.
const GAP: &str = "\n\n";

/// A field with the texts that are put around it.
#[derive(Default)]
struct Field {
    before: Vec<String>,
    own: Option<String>,
    after: Vec<String>,
}

/// The fields that change, and their values. Instructions join the system text, at the side on which they are put in; where
/// the prompt goes to the model as it is, and no system text may be, they stand before it. What a user says joins the prompt.
pub(in crate::dialect::ollama) fn edit(
    root: &Object<'_>,
    raw: bool,
    messages: &[(&'static str, MessageView)],
    edits: &[MessageEdit],
) -> Result<Vec<(&'static str, String)>, EditError> {
    let place_of = |field: &str| messages.iter().position(|(name, _)| *name == field);
    let (mut system, mut prompt) = (Field::default(), Field::default());
    let mut others: Vec<(&'static str, String)> = Vec::new();
    for edit in edits {
        let index = edit.index();
        if index >= messages.len() + usize::from(edit.inserts()) {
            let what = format!("the request has {} of them", messages.len());
            return Err(impossible(index, &what));
        }
        let field = messages.get(index).map(|(field, _)| *field);
        let (field, text) = match edit {
            MessageEdit::Insert { at, role, text } => {
                let (field, target) = match role {
                    Role::System | Role::Developer if !raw => ("system", &mut system),
                    Role::System | Role::Developer | Role::User => ("prompt", &mut prompt),
                    _ => return Err(impossible(*at, "a prompt has no turns of the model")),
                };
                let instructs = *role != Role::User;
                let before = match place_of(field) {
                    Some(place) => *at <= place || (raw && instructs),
                    None => false,
                };
                match before {
                    true => target.before.push(text.clone()),
                    false => target.after.push(text.clone()),
                }
                continue;
            }
            MessageEdit::Rewrite { text, .. } => (field, text.as_str()),
            // A request without a prompt loads the model, and asks nothing.
            MessageEdit::Evict { .. } if field == Some("prompt") => {
                return Err(impossible(index, "there is no request without it"));
            }
            MessageEdit::Evict { .. } => (field, ""),
            MessageEdit::Result { .. }
            | MessageEdit::AddCalls { .. }
            | MessageEdit::InsertStep { .. } => {
                return Err(impossible(index, "a prompt has no calls and no results"));
            }
        };
        match field {
            Some("system") => system.own = Some(text.to_owned()),
            Some("prompt") => prompt.own = Some(text.to_owned()),
            Some(other) => others.push((other, text.to_owned())),
            None => {}
        }
    }
    for (name, field) in [("system", system), ("prompt", prompt)] {
        if let Some(text) = field.text(root, name) {
            others.push((name, text));
        }
    }
    let quoted = |(name, text): (&'static str, String)| (name, json::quote(&text));
    Ok(others.into_iter().map(quoted).collect())
}

impl Field {
    /// Its text, if it changes.
    fn text(self, root: &Object<'_>, name: &str) -> Option<String> {
        if self.before.is_empty() && self.own.is_none() && self.after.is_empty() {
            return None;
        }
        let stated = || root.string(name).unwrap_or_default().into_owned();
        let own = self.own.unwrap_or_else(stated);
        let own = Some(own).filter(|own| !own.is_empty());
        let all = self.before.into_iter().chain(own).chain(self.after);
        Some(all.collect::<Vec<_>>().join(GAP))
    }
}

fn impossible(index: usize, what: &str) -> EditError {
    EditError::Impossible {
        place: format!("message {index}"),
        what: what.to_owned(),
    }
}
