//! Where text stands in an item, whichever event or body has it:
//!
//! | item | field | channel |
//! |---|---|---|
//! | `message` | `content[]` of type `output_text` | output |
//! | | `content[]` of type `refusal` | refusal |
//! | `reasoning` | `summary[]`, `content[]` | reasoning |
//! | `function_call`, `custom_tool_call` | `arguments`, `input` | a call of the client's |
//! | `local_shell_call`, `shell_call` outside of a container, `apply_patch_call`, `computer_call` | `action`, `operation`, `actions` | the same: these tools run at the client |
//! | any | any other string, however deep: annotations, queries, code, what a tool gave back | other |
//!
//! Inert are numbers, booleans and what [`kinds::is_inert`] knows: ids and states that are words, encrypted content, signatures
//! and pictures in base64.

use std::borrow::Cow;

use crate::dialect::inert::is_token;
use crate::dialect::json::{self, Raw};
use crate::dialect::openai_responses::fact::{Event, Fact, Said};
use crate::dialect::openai_responses::kinds::{self, Calls};
use crate::dialect::openai_responses::leaves::{Leaf, leaves};
use crate::dialect::openai_responses::record::{Call, Record};
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::values::{items, object, text};
use crate::dialect::{Undecodable, logprobs};
use crate::event::{Channel, Place};

pub(super) fn place(channel: Channel) -> Place {
    Place::new(channel, 0, 0)
}

/// What is read into, and of which item.
pub(super) struct At<'r, 'f, 'a> {
    pub record: &'r mut Record,
    pub facts: &'f mut Vec<Fact<'a>>,
    pub key: u32,
    /// It is said to be done.
    pub done: bool,
}

impl<'r, 'f, 'a> At<'r, 'f, 'a> {
    /// An item of an event.
    pub fn of(record: &'r mut Record, event: &'f mut Event<'a>, key: u32, done: bool) -> Self {
        Self {
            record,
            facts: &mut event.facts,
            key,
            done,
        }
    }
}

impl<'a> At<'_, '_, 'a> {
    pub fn fault(&self, path: &str, what: impl ToString) -> Undecodable {
        undecodable(format!("output[{}].{path}", self.key), what)
    }

    /// The whole item.
    pub fn item(&mut self, value: Raw<'a>) -> Result<(), Undecodable> {
        let at = format!("output[{}]", self.key);
        let of = || at.clone();
        let fields = object(value, &of)?;
        let kind = fields.get("type").filter(|kind| is_token(*kind));
        let Some(kind) = kind.and_then(json::string) else {
            return Err(undecodable(at, "it has no type"));
        };
        let calls = kinds::calls(&kind, &fields);
        self.begin(&kind, calls)?;
        let id = fields.string("id").unwrap_or_default();
        if let Some(item) = self.record.items.get_mut(&self.key) {
            id.as_ref().clone_into(&mut item.id);
            let sealed = fields.string("encrypted_content");
            item.sealed |= kind == "reasoning" && sealed.is_some_and(|sealed| !sealed.is_empty());
        }
        let spoken = match calls {
            Some(calls) => self.call(&kind, calls, &fields)?,
            None => &[],
        };
        for (key, value) in &fields.0 {
            let (name, value) = (key.as_str(), *value);
            let listed = matches!(kind.as_ref(), "message" | "reasoning")
                && matches!(name, "content" | "summary")
                && json::first_byte(value) == b'[';
            if name == "type" || spoken.contains(&name) || kinds::is_inert(&kind, name, value) {
                continue;
            }
            if listed {
                for (n, part) in items(value, &|| format!("{at}.{name}"))?
                    .into_iter()
                    .enumerate()
                {
                    self.part(&kind, format!("{name}[{n}]"), part)?;
                }
                continue;
            }
            if !crate::dialect::inert::is_key(name) {
                self.other(
                    Leaf {
                        path: format!("{name}: key"),
                        value: None,
                        text: Cow::Owned(name.to_owned()),
                    },
                    false,
                )?;
            }
            self.others(&kind, name, value, name.to_owned())?;
        }
        if let Some(item) = self.record.items.get_mut(&self.key) {
            item.done |= self.done;
        }
        Ok(())
    }

    /// The item begins, if it is new.
    pub fn begin(&mut self, kind: &str, calls: Option<Calls>) -> Result<(), Undecodable> {
        let new = !self.record.items.contains_key(&self.key);
        let at = self.key;
        let number = self.record.calls;
        let item = self
            .record
            .item(self.key, kind)
            .map_err(|what| undecodable(format!("output[{at}].type"), what))?;
        if new && calls.is_some() {
            item.call = Some(Call {
                number,
                ..Call::default()
            });
            let next = number.checked_add(1);
            self.record.calls =
                next.ok_or_else(|| undecodable("output", "there are too many calls"))?;
        } else if item.call.is_some() != calls.is_some() {
            let what = "it is run by the client and then by the server, or the reverse";
            return Err(self.fault("environment", what));
        }
        Ok(())
    }

    /// A part of a message's content, or of a thought.
    pub fn part(&mut self, kind: &str, path: String, value: Raw<'a>) -> Result<(), Undecodable> {
        if json::first_byte(value) != b'{' {
            return self.others(kind, "content", value, path);
        }
        let at = format!("output[{}].{path}", self.key);
        let fields = object(value, &|| at.clone())?;
        let shape = fields.string("type").unwrap_or_default();
        let mut said = Cow::Borrowed("");
        for (key, value) in &fields.0 {
            let (name, value) = (key.as_str(), *value);
            let channel = match (kind, name, shape.as_ref()) {
                ("reasoning", "text", _) => Channel::Reasoning,
                (_, "refusal", "refusal") => Channel::Refusal,
                (_, "text", "output_text" | "text") => Channel::Output,
                (_, "text", "reasoning_text" | "summary_text") => Channel::Reasoning,
                _ => continue,
            };
            if json::is_null(value) {
                continue;
            }
            said = text(value, &|| format!("{at}.{name}"))?;
            let path = format!("{path}.{name}");
            self.whole(path, Some(value), said.clone(), channel, true)?;
        }
        for (key, value) in &fields.0 {
            let (name, value) = (key.as_str(), *value);
            match (kind, name, shape.as_ref()) {
                (_, "type", _) if is_token(value) => {}
                ("reasoning", "text", _)
                | (_, "refusal", "refusal")
                | (_, "text", "output_text" | "text" | "reasoning_text" | "summary_text") => {}
                (_, "logprobs", _) => self.tokens(format!("{path}.text"), value, &said)?,
                _ => self.others(kind, name, value, format!("{path}.{name}"))?,
            }
        }
        Ok(())
    }

    /// Probabilities of the tokens of a text.
    pub fn tokens(&mut self, path: String, value: Raw<'a>, said: &str) -> Result<(), Undecodable> {
        if json::is_null(value) {
            return Ok(());
        }
        if let Some(text) = logprobs::beyond_list(value, &[said]) {
            let leaf = Leaf {
                path: format!("{path}: tokens"),
                value: None,
                text: Cow::Owned(text),
            };
            self.other(leaf, false)?;
        }
        self.facts.push(Fact::Tokens {
            item: self.key,
            path,
            value,
        });
        Ok(())
    }

    /// All text of a field that no page describes, or that is not the model's own word.
    pub fn others(
        &mut self,
        kind: &str,
        field: &str,
        value: Raw<'a>,
        path: String,
    ) -> Result<(), Undecodable> {
        let mut found = Vec::new();
        let inert = |key: &str, value: Raw<'_>| kinds::is_inert(kind, key, value);
        leaves(value, path, &inert, &mut |leaf| {
            found.push(leaf);
            Ok(())
        })?;
        let generated = kinds::is_generated(field);
        found
            .into_iter()
            .try_for_each(|leaf| self.other(leaf, generated))
    }

    /// Text that is neither the model's own word nor a call.
    pub fn other(&mut self, leaf: Leaf<'a>, generated: bool) -> Result<(), Undecodable> {
        self.whole(leaf.path, leaf.value, leaf.text, Channel::Other, generated)
    }

    fn whole(
        &mut self,
        path: String,
        value: Option<Raw<'a>>,
        said: Cow<'a, str>,
        channel: Channel,
        generated: bool,
    ) -> Result<(), Undecodable> {
        let new = self
            .record
            .state(self.key, &path, &said, channel, false)
            .map_err(|what| self.fault(&path, what))?;
        self.facts.push(Fact::Text(Said {
            place: place(channel),
            item: Some(self.key),
            path,
            value,
            text: said,
            new,
            whole: true,
            generated,
        }));
        Ok(())
    }
}
