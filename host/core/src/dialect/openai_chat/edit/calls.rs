//! Parts of calls as they are written: left out, renumbered, with other arguments, without what the client has.

use std::ops::Range;

use crate::dialect::json::{self, Object, Splices};
use crate::dialect::openai_chat::calls::target;
use crate::dialect::openai_chat::fact::{Fact, Form};
use crate::dialect::openai_chat::fields;
use crate::dialect::openai_chat::undecodable::undecodable;
use crate::dialect::{CallEdit, CallKind, CallPart, EditError, Slot, Undecodable};

/// All parts of calls of a frame or body, in the order of the walk.
pub(super) struct Calls(Vec<Part>);

struct Part {
    said: CallPart,
    /// Of the list that it stands in.
    list: Option<Range<usize>>,
    span: Range<usize>,
}

impl Calls {
    pub fn read(source: &str, form: Form) -> Result<Calls, Undecodable> {
        let mut parts = Vec::new();
        fields::walk(source, form, &mut |fact| {
            if let Fact::Call(part) = fact {
                parts.push(Part {
                    list: part.list.map(|list| json::span(source, list)),
                    span: json::span(source, part.value),
                    said: CallPart {
                        choice: part.choice,
                        slot: part.slot,
                        kind: part.kind,
                        id: part.id.map(|id| id.into_owned()),
                        name: part.name.map(|name| name.into_owned()),
                        arguments: part.arguments.into_owned(),
                    },
                });
            }
        })?;
        Ok(Calls(parts))
    }

    /// What must be read once `edits` are made.
    pub fn meant(&self, edits: &[CallEdit]) -> Vec<CallPart> {
        let mut meant = Vec::new();
        for (at, part) in self.0.iter().enumerate() {
            let mut said = part.said.clone();
            match edits.get(at) {
                Some(CallEdit::Drop) => continue,
                Some(CallEdit::Change {
                    index,
                    arguments,
                    id_said,
                    name_said,
                }) => {
                    if matches!(said.slot, Slot::Index(_) | Slot::Unnumbered) {
                        said.slot = Slot::Index(*index);
                    }
                    if let Some(arguments) = arguments {
                        said.arguments.clone_from(arguments);
                        if !arguments.is_empty() && said.kind == CallKind::Unsaid {
                            said.kind = CallKind::Function;
                        }
                    }
                    said.id = said.id.filter(|_| !id_said);
                    said.name = said.name.filter(|_| !name_said);
                }
                Some(CallEdit::Keep) | None => {}
            }
            // White space around JSON means nothing.
            said.arguments = said.arguments.trim_ascii().to_owned();
            meant.push(said);
        }
        meant
    }

    /// Writes the edits, and gives the choices that they change.
    pub fn write(
        &self,
        source: &str,
        edits: &[CallEdit],
        splices: &mut Splices,
    ) -> Result<Vec<u16>, EditError> {
        if !edits.is_empty() && edits.len() != self.0.len() {
            return Err(EditError::Impossible {
                place: "tool_calls".to_owned(),
                what: format!("{} edits for {} parts", edits.len(), self.0.len()),
            });
        }
        let mut choices = Vec::new();
        let mut lists: Vec<(Range<usize>, Vec<String>)> = Vec::new();
        for (part, edit) in self.0.iter().zip(edits) {
            let own = source.get(part.span.clone()).unwrap_or_default();
            let with = match edit {
                CallEdit::Keep => own.to_owned(),
                CallEdit::Drop => {
                    choices.push(part.said.choice);
                    String::new()
                }
                CallEdit::Change { arguments, .. } => {
                    if arguments.is_some() {
                        choices.push(part.said.choice);
                    }
                    part.changed(own, edit)?
                }
            };
            match &part.list {
                // A list is written anew, so that no comma is left of what is gone.
                Some(list) => {
                    if lists.last().is_none_or(|(known, _)| known != list) {
                        lists.push((list.clone(), Vec::new()));
                    }
                    if let Some((_, items)) = lists.last_mut() {
                        items.extend(Some(with).filter(|with| !with.is_empty()));
                    }
                }
                None if *edit == CallEdit::Keep => {}
                None if with.is_empty() => splices.replace(part.span.clone(), "null".to_owned()),
                None => splices.replace(part.span.clone(), with),
            }
        }
        for (list, items) in lists {
            let with = if items.is_empty() {
                "null".to_owned()
            } else {
                format!("[{}]", items.join(","))
            };
            splices.replace(list, with);
        }
        Ok(choices)
    }
}

impl Part {
    /// Its JSON with a change made.
    fn changed(&self, own: &str, edit: &CallEdit) -> Result<String, EditError> {
        let CallEdit::Change {
            index,
            arguments,
            id_said,
            name_said,
        } = edit
        else {
            return Ok(own.to_owned());
        };
        let unreadable = |error| undecodable("tool_calls", error);
        let entries = Object::parse(own).map_err(unreadable)?;
        let mut fields = Vec::new();
        if self.said.slot == Slot::Single {
            let fields = said(&entries, "arguments", arguments.as_deref(), *name_said);
            return Ok(json::set(own, &entries, &fields));
        }
        let states_index = entries.get("index").is_some();
        if self.said.slot != Slot::Whole || states_index {
            fields.push(("index", index.to_string()));
        }
        if *id_said && entries.get("id").is_some() {
            fields.push(("id", "null".to_owned()));
        }
        match target(&entries) {
            Some((_, key, field, value)) => {
                let inner = Object::parse(value.get()).map_err(unreadable)?;
                let said = said(&inner, field, arguments.as_deref(), *name_said);
                if !said.is_empty() {
                    fields.push((key, json::set(value.get(), &inner, &said)));
                }
            }
            None => {
                if let Some(arguments) = arguments.as_deref().filter(|text| !text.is_empty()) {
                    let function = serde_json::json!({ "arguments": arguments });
                    fields.push(("function", function.to_string()));
                }
            }
        }
        Ok(json::set(own, &entries, &fields))
    }
}

/// The fields that change in the object which says what is called.
fn said<'k>(
    inner: &Object<'_>,
    field: &'k str,
    arguments: Option<&str>,
    name_said: bool,
) -> Vec<(&'k str, String)> {
    let mut said = Vec::new();
    if name_said && inner.get("name").is_some() {
        said.push(("name", "null".to_owned()));
    }
    if let Some(arguments) = arguments {
        let own = inner.get(field);
        let is_object = own.is_some_and(|own| json::first_byte(own) == b'{');
        // Where an object stood, an object stands.
        let object = is_object && Object::parse(arguments).is_ok();
        if object {
            said.push((field, arguments.trim_ascii().to_owned()));
        } else if own.is_some() || !arguments.is_empty() {
            said.push((field, json::quote(arguments)));
        }
    }
    said
}
