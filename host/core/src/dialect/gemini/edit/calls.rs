//! Parts of calls as they are written: left out, or with other arguments. One whose arguments come in parts is written whole
//! where it begins, and its other parts go.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::dialect::gemini::fact::{Call, Fact, Form, Shape};
use crate::dialect::gemini::fields::Fields;
use crate::dialect::gemini::undecodable::{impossible, undecodable};
use crate::dialect::gemini::walk::walk;
use crate::dialect::json::{self, Object, Raw, Splices};
use crate::dialect::list::{self, Old, Slot};
use crate::dialect::{CallEdit, EditError, Undecodable};
use crate::event::{Channel, Place};

/// All parts of calls of a frame or body, in the order of the walk.
pub(super) struct CallParts(Vec<CallPart>);

struct CallPart {
    said: Said,
    signed: bool,
    /// Of the list that it stands in.
    list: Range<usize>,
    span: Range<usize>,
}

/// What a part says of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    choice: u16,
    id: Option<String>,
    name: Option<String>,
    /// As they stand.
    arguments: Vec<String>,
    shape: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Whole,
    /// The first of several parts, and whether more follow.
    First(bool),
    /// A further one.
    Further(bool),
}

impl Said {
    fn of(call: &Call<'_>) -> Self {
        let text = |value: &Raw<'_>| value.get().to_owned();
        let (shape, arguments) = match &call.shape {
            Shape::Whole(arguments) => (Kind::Whole, arguments.iter().map(text).collect()),
            Shape::Partial { arguments, more } => {
                let kind = match call.name {
                    Some(_) => Kind::First(*more),
                    None => Kind::Further(*more),
                };
                (kind, arguments.iter().map(text).collect())
            }
        };
        Self {
            choice: call.choice,
            id: call.id.as_deref().map(str::to_owned),
            name: call.name.as_deref().map(str::to_owned),
            arguments,
            shape,
        }
    }
}

impl CallParts {
    pub fn read(source: &str, form: Form) -> Result<Self, Undecodable> {
        let mut parts = Vec::new();
        walk(source, form, &mut |fact| {
            if let Fact::Call(call) = fact {
                parts.push(CallPart {
                    said: Said::of(&call),
                    signed: call.signed,
                    list: json::span(source, call.list),
                    span: json::span(source, call.part),
                });
            }
        })?;
        Ok(Self(parts))
    }

    /// Choices of which a call changes or goes.
    pub fn changed(&self, edits: &[CallEdit]) -> impl Iterator<Item = u16> {
        let parts = self.0.iter().zip(edits);
        let changes = |edit: &CallEdit| match edit {
            CallEdit::Drop => true,
            CallEdit::Change { arguments, .. } => arguments.is_some(),
            CallEdit::Keep => false,
        };
        parts
            .filter(move |(_, edit)| changes(edit))
            .map(|(part, _)| part.said.choice)
    }

    /// Whether the edits can be made, after those of the frames before: `whole` has the choices whose present call was
    /// written whole where it began.
    pub fn follow(&self, edits: &[CallEdit], whole: &mut BTreeSet<u16>) -> Result<(), EditError> {
        if !edits.is_empty() && edits.len() != self.0.len() {
            return Err(impossible(
                "functionCall",
                format!("{} edits for {} parts", edits.len(), self.0.len()),
            ));
        }
        for (at, part) in self.0.iter().enumerate() {
            let choice = part.said.choice;
            let cannot = |why| {
                Err(EditError::at(
                    Place::new(Channel::ToolArguments, choice, 0),
                    why,
                ))
            };
            let new = match edits.get(at) {
                Some(CallEdit::Change { arguments, .. }) => arguments.as_deref(),
                _ => None,
            };
            let gone = matches!(edits.get(at), Some(CallEdit::Drop)) || new == Some("");
            match part.said.shape {
                Kind::Further(more) => {
                    if whole.contains(&choice) && !gone {
                        return cannot("the call was written whole, and a part of it follows");
                    }
                    if !whole.contains(&choice) && new.is_some() {
                        return cannot("a part of the arguments alone cannot be written");
                    }
                    if !more {
                        whole.remove(&choice);
                    }
                    continue;
                }
                Kind::First(more) => {
                    whole.remove(&choice);
                    if more && new.is_some() {
                        whole.insert(choice);
                    }
                }
                Kind::Whole => {}
            }
            match new {
                Some(_) if part.signed => return cannot("the call is signed"),
                Some(text) if Object::parse(text).is_err() => {
                    return cannot("arguments are an object");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What must be read once the edits are made.
    pub fn meant(&self, edits: &[CallEdit]) -> Vec<Said> {
        let mut meant = Vec::new();
        for (at, part) in self.0.iter().enumerate() {
            let mut said = part.said.clone();
            match edits.get(at) {
                Some(CallEdit::Drop) => continue,
                Some(CallEdit::Change {
                    arguments: Some(text),
                    ..
                }) => {
                    if matches!(said.shape, Kind::Further(_)) {
                        continue;
                    }
                    said.arguments = vec![text.trim().to_owned()];
                    said.shape = Kind::Whole;
                }
                _ => {}
            }
            meant.push(said);
        }
        meant
    }

    /// Writes the edits.
    pub fn write(
        &self,
        source: &str,
        edits: &[CallEdit],
        splices: &mut Splices,
    ) -> Result<(), EditError> {
        let mut lists: Vec<(Range<usize>, Vec<Slot>)> = Vec::new();
        for (part, edit) in self.0.iter().zip(edits) {
            let (elements, list) = elements(source, &part.list)?;
            if lists.last().is_none_or(|(known, _)| *known != part.list) {
                let slots = (0..=elements.len()).map(|_| Slot::default());
                lists.push((json::span(source, list), slots.collect()));
            }
            let at = elements
                .iter()
                .position(|element| json::span(source, *element) == part.span);
            let slot = at.and_then(|at| lists.last_mut()?.1.get_mut(at));
            let slot =
                slot.ok_or_else(|| impossible("functionCall", "it does not stand in its list"))?;
            slot.old = match edit {
                CallEdit::Drop => Old::Gone,
                CallEdit::Change {
                    arguments: Some(arguments),
                    ..
                } => match part.said.shape {
                    Kind::Further(_) => Old::Gone,
                    _ => {
                        let own = source.get(part.span.clone()).unwrap_or_default();
                        Old::Becomes(with_arguments(own, arguments.trim())?)
                    }
                },
                _ => Old::Keep,
            };
        }
        for (span, slots) in lists {
            let (_, list) = elements(source, &span)?;
            let written = list::rewritten(source, list, slots);
            splices.replace(span, written.map_err(|error| undecodable("parts", error))?);
        }
        Ok(())
    }
}

/// A list and its elements.
fn elements<'s>(
    source: &'s str,
    span: &Range<usize>,
) -> Result<(Vec<Raw<'s>>, Raw<'s>), Undecodable> {
    let list = Raw::of(source.get(span.clone()).unwrap_or_default());
    let list = list.map_err(|error| undecodable("parts", error))?;
    let elements = json::array(list).map_err(|error| undecodable("parts", error))?;
    Ok((elements, list))
}

/// The part with these arguments.
fn with_arguments(part: &str, arguments: &str) -> Result<String, EditError> {
    let fields = Fields::parse(part, "part")?;
    let value = fields
        .get("functionCall")
        .ok_or_else(|| undecodable("functionCall", "it is not there"))?;
    let call = Fields::of(value, &|| "functionCall".to_owned())?;
    let mut set = vec![("args", arguments.to_owned())];
    for name in ["willContinue", "partialArgs"] {
        if call.get(name).is_some() {
            set.push((name, "null".to_owned()));
        }
    }
    let call = call.set(value.get(), &set);
    Ok(fields.set(part, &[("functionCall", call)]))
}
