//! Which part is of which call, what a call is called, and its arguments, as a leg has them so far.
//!
//! Servers before Gemini 3 give a call no id, and its result is known by the name and by its place. Airlock makes one up of just
//! these two: a request in which the call comes back makes the same.

use std::collections::BTreeMap;

use crate::dialect::gemini::fact::{Call, Form, Shape};
use crate::dialect::gemini::partial::Arguments;
use crate::dialect::gemini::undecodable::undecodable;
use crate::dialect::tool_call::made_up;
use crate::dialect::{CallKind, CallPart, Slot, Undecodable};

/// The calls of one leg.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls(BTreeMap<u16, OfChoice>);

#[derive(Clone, Debug, Default)]
struct OfChoice {
    /// Calls that have begun.
    count: u16,
    names: Names,
    /// Arguments of a call that comes in parts and is not whole.
    open: Option<Arguments>,
}

/// How often calls of each name were made in one turn.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<(String, usize)>);

impl Names {
    /// The id of the next call of this name that has none.
    pub fn id(&mut self, name: &str) -> String {
        made_up(name, self.next(name))
    }

    /// The place of the next call of this name among those of its name.
    pub fn next(&mut self, name: &str) -> usize {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => {
                *count += 1;
                *count - 1
            }
            None => {
                self.0.push((name.to_owned(), 1));
                0
            }
        }
    }
}

impl Calls {
    /// The part of a call that was read, as all dialects have it.
    pub fn part(&mut self, form: Form, call: &Call<'_>) -> Result<CallPart, Undecodable> {
        let wrong = |what: &str| Err(undecodable("functionCall", what));
        let of = self.of(call.choice);
        let mut part = CallPart {
            choice: call.choice,
            slot: Slot::Whole,
            kind: CallKind::Function,
            id: None,
            name: None,
            arguments: String::new(),
        };
        let begins = match &call.shape {
            Shape::Whole(_) => true,
            Shape::Partial { .. } => call.name.is_some(),
        };
        match (begins, of.open.is_some()) {
            (true, true) => return wrong("it begins before the one before it is whole"),
            (false, false) => return wrong("it goes on with a call, and none is open"),
            _ => {}
        }
        if begins {
            let name = call.name.as_deref().unwrap_or_default();
            let made = of.names.id(name);
            part.id = Some(call.id.as_deref().map_or(made, str::to_owned));
            part.name = call.name.as_deref().map(str::to_owned);
            of.count = of
                .count
                .checked_add(1)
                .ok_or_else(|| undecodable("functionCall", "there are too many"))?;
        } else if call.id.is_some() {
            return wrong("a further part of a call states an id");
        }
        if form == Form::Frame {
            part.slot = Slot::Index(of.count - 1);
        }
        match &call.shape {
            Shape::Whole(arguments) => {
                part.arguments = arguments
                    .map_or("{}", |arguments| arguments.get())
                    .to_owned();
            }
            Shape::Partial { arguments, more } => {
                let mut open = of.open.take().unwrap_or_default();
                for argument in arguments {
                    open.add(*argument, &mut part.arguments)?;
                }
                match more {
                    true => of.open = Some(open),
                    false => open.end(&mut part.arguments)?,
                }
            }
        }
        Ok(part)
    }

    /// A choice finished: none of its calls may be open.
    pub fn finish(&mut self, choice: u16) -> Result<(), Undecodable> {
        match self.of(choice).open {
            Some(_) => Err(undecodable(
                "functionCall",
                "its candidate finished in the middle of it",
            )),
            None => Ok(()),
        }
    }

    fn of(&mut self, choice: u16) -> &mut OfChoice {
        self.0.entry(choice).or_default()
    }
}
