//! The edits of an event, row by row: each text and call part that it has, as the client gets it.
//!
//! A further part of a text is replaced for itself. A whole text is what the client has of it and what is new, so that
//! whatever was replaced is replaced wherever the stream repeats it.

use std::collections::BTreeMap;

use crate::dialect::json;
use crate::dialect::openai_responses::fact::{Fact, Part, Said};
use crate::dialect::openai_responses::proof::{Called, Meant};
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::splice::Changes;
use crate::dialect::{CallEdit, EditError, Edits, TextEdit};
use crate::event::{Channel, Place};

const NO_TEXT: &str = "there is no text to replace";
const NO_FIELD: &str = "it is not the value of a field of its own";
const SEALED: &str = "the item bears encrypted content, which would not fit other text";

/// How the items of a leg stand to those that the client has.
#[derive(Clone, Debug, Default)]
pub(super) struct Links {
    /// By number: the client's number; `None`: the client does not have it.
    items: BTreeMap<u32, Option<u32>>,
    /// What tools that OpenAI describes are to do in place of what the model said, as JSON.
    rewritten: BTreeMap<u32, String>,
}

impl Links {
    /// The client's number of an item; `None` if it is not known yet.
    pub fn of(&self, key: u32) -> Option<u32> {
        self.items.get(&key).copied().flatten()
    }

    /// Whether it was left out.
    pub fn is_gone(&self, key: u32) -> bool {
        self.items.get(&key).is_some_and(Option::is_none)
    }

    /// The number after those that are known.
    pub fn next(&self) -> u32 {
        let last = self.items.values().flatten().max();
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// The client knows it by this number.
    pub fn link(&mut self, key: u32, client: u32) {
        self.items.entry(key).or_insert(Some(client));
    }

    fn drop(&mut self, key: u32) {
        self.items.insert(key, None);
    }
}

/// The rows of one event.
pub(super) struct Rows<'a, 'w> {
    /// What the upstream said.
    theirs: &'w Record,
    /// What the client has.
    ours: &'w Record,
    links: &'w mut Links,
    pub changes: Changes<'a>,
    pub meant: Meant,
    /// Texts of which the client gets something else than the upstream said.
    changed: Vec<(u32, String)>,
    /// Nothing of it may be said: it is a part of a call that is said otherwise.
    pub withheld: bool,
    /// What stands in no item is left out.
    pub items_alone: bool,
}

impl<'a, 'w> Rows<'a, 'w> {
    pub fn new(theirs: &'w Record, ours: &'w Record, links: &'w mut Links) -> Self {
        Self {
            theirs,
            ours,
            links,
            changes: Changes::default(),
            meant: Meant::default(),
            changed: Vec::new(),
            withheld: false,
            items_alone: false,
        }
    }

    /// The client's number of an item.
    pub fn of(&self, key: u32) -> Option<u32> {
        self.links.of(key)
    }

    /// Whether an item is left out.
    pub fn is_gone(&self, key: u32) -> bool {
        self.links.is_gone(key)
    }

    /// Makes the edits in what the facts say.
    pub fn make(&mut self, facts: &[Fact<'a>], edits: &Edits<'_>) -> Result<(), EditError> {
        // Calls first: of an item that is left out nothing is said.
        let mut calls = edits.calls.iter();
        for fact in facts {
            if let Fact::Call(part) = fact {
                let edit = match part.says {
                    true => calls.next().unwrap_or(&CallEdit::Keep),
                    false => &CallEdit::Keep,
                };
                self.call(part, edit)?;
            }
        }
        let said = facts
            .iter()
            .filter(|f| matches!(f, Fact::Call(part) if part.says));
        if !edits.calls.is_empty() && edits.calls.len() != said.clone().count() {
            return Err(EditError::Impossible {
                place: "tool calls".to_owned(),
                what: format!("{} edits for {} parts", edits.calls.len(), said.count()),
            });
        }
        let mut done: Vec<Place> = Vec::new();
        for fact in facts {
            match fact {
                Fact::Text(said) => self.text(said, &edits.texts, &mut done)?,
                Fact::Tokens { item, path, value }
                    if self.changed.iter().any(|(i, p)| i == item && p == path) =>
                {
                    self.changes.replace(*value, "[]".to_owned());
                }
                _ => {}
            }
        }
        let gone = |item: Option<u32>| item.is_some_and(|item| self.links.is_gone(item));
        for edit in &edits.texts {
            let has = |fact: &Fact<'_>| match fact {
                Fact::Text(said) => {
                    said.place == edit.place && (gone(said.item) || !said.news().is_empty())
                }
                _ => false,
            };
            if !facts.iter().any(has) {
                return Err(EditError::at(edit.place, NO_TEXT));
            }
        }
        Ok(())
    }

    /// What the client has of a text.
    fn known(&self, item: Option<u32>, path: &str) -> &'w str {
        match item {
            None => self.ours.text_beside(path),
            Some(item) => {
                let client = self.links.of(item);
                client.map_or("", |client| self.ours.text(client, path))
            }
        }
    }

    fn text(
        &mut self,
        said: &Said<'a>,
        edits: &[TextEdit],
        done: &mut Vec<Place>,
    ) -> Result<(), EditError> {
        let gone = |item: u32| self.links.is_gone(item);
        if said.item.map_or(self.items_alone, gone) {
            return Ok(());
        }
        let rewritten = |item: &u32| self.links.rewritten.contains_key(item);
        if said.value.is_none() && said.item.as_ref().is_some_and(rewritten) {
            self.withheld = true;
            return Ok(());
        }
        let edit = edits.iter().find(|edit| edit.place == said.place);
        let news = match edit {
            _ if said.news().is_empty() => "",
            None => said.news(),
            // The first text of a place becomes all of it.
            Some(_) if done.contains(&said.place) => "",
            Some(edit) => {
                done.push(said.place);
                &edit.text
            }
        };
        if edit.is_some() && said.value.is_none() && !said.news().is_empty() {
            return Err(EditError::at(said.place, NO_FIELD));
        }
        self.meant.text(said.place, news);
        let whole = self.whole(said, news);
        if whole == said.text {
            return Ok(());
        }
        let item = said.item.and_then(|item| self.theirs.items.get(&item));
        if said.place.channel == Channel::Reasoning && item.is_some_and(|item| item.sealed) {
            return Err(EditError::at(said.place, SEALED));
        }
        let Some(value) = said.value else {
            return Err(EditError::at(said.place, NO_FIELD));
        };
        self.changes.replace(value, json::quote(&whole));
        self.changed
            .extend(said.item.map(|item| (item, said.path.clone())));
        Ok(())
    }

    /// The value of a text's field for the client.
    fn whole(&self, said: &Said<'_>, news: &str) -> String {
        // An empty one says nothing, and what takes the place of another text is no continuation of it.
        let replaces = said.place.channel == Channel::Other && said.new == 0;
        match said.whole && !said.text.is_empty() && !replaces {
            true => format!("{}{news}", self.known(said.item, &said.path)),
            false => news.to_owned(),
        }
    }

    fn call(&mut self, part: &Part<'a>, edit: &CallEdit) -> Result<(), EditError> {
        if *edit == CallEdit::Drop {
            self.links.drop(part.item);
        }
        if self.links.is_gone(part.item) {
            return Ok(());
        }
        let place = Place::new(Channel::ToolArguments, 0, part.number.into());
        let arguments = match edit {
            CallEdit::Change { arguments, .. } => arguments.as_deref(),
            _ => None,
        };
        let mut called = Called {
            kind: part.kind,
            id: part.id.clone(),
            name: part.name.clone(),
            arguments: String::new(),
        };
        if part.built {
            if let Some(arguments) = arguments.filter(|arguments| !arguments.is_empty()) {
                let fits = arguments.trim_start().starts_with(['{', '['])
                    && json::Raw::of(arguments).is_ok();
                if !fits {
                    return Err(EditError::at(
                        place,
                        "it is not what such a tool can be told",
                    ));
                }
                self.links.rewritten.insert(part.item, arguments.to_owned());
            }
            let rewritten = self.links.rewritten.get(&part.item);
            if let (Some(rewritten), Some(value)) = (rewritten, part.value) {
                let json = rewritten.trim().to_owned();
                if part.new == 0 {
                    called.arguments.clone_from(&json);
                }
                self.changes.replace(value, json);
            } else {
                part.news().clone_into(&mut called.arguments);
            }
            self.meant.call(called);
            return Ok(());
        }
        let path = match part.kind {
            crate::dialect::CallKind::Custom => "input",
            _ => "arguments",
        };
        let news = arguments.unwrap_or(part.news());
        news.clone_into(&mut called.arguments);
        self.meant.call(called);
        let whole = match part.whole {
            true => format!("{}{news}", self.known(Some(part.item), path)),
            false => news.to_owned(),
        };
        if whole == part.text {
            return Ok(());
        }
        let value = part.value.ok_or_else(|| EditError::at(place, NO_FIELD))?;
        self.changes.replace(value, json::quote(&whole));
        Ok(())
    }
}
