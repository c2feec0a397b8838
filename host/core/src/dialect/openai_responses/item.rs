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
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_responses::fact::{Fact, Part, Said};
use crate::dialect::openai_responses::kinds::{self, Calls};
use crate::dialect::openai_responses::leaves::{Leaf, leaves};
use crate::dialect::openai_responses::record::{Call, Record};
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::values::{items, object, text};
use crate::dialect::{CallKind, Undecodable, logprobs};
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

impl<'a> At<'_, '_, 'a> {
    fn fault(&self, path: &str, what: impl ToString) -> Undecodable {
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

    /// What the item says of the call that it is, and the names of the fields that were read.
    fn call(
        &mut self,
        kind: &str,
        calls: Calls,
        fields: &Object<'a>,
    ) -> Result<&'static [&'static str], Undecodable> {
        let field = |name: &str| -> Result<Option<Cow<'a, str>>, Undecodable> {
            let path = || format!("output[{}].{name}", self.key);
            let said = fields.get(name).map(|value| text(value, &path));
            Ok(said.transpose()?.filter(|said| !said.is_empty()))
        };
        let id = field("call_id")?;
        let (name, read): (_, &[&str]) = match calls {
            Calls::Named("input") => (field("name")?, &["call_id", "name", "input"]),
            Calls::Named(_) => (field("name")?, &["call_id", "name", "arguments"]),
            Calls::Built(name, [key]) => (
                Some(Cow::Borrowed(name)),
                if *key == "action" {
                    &["call_id", "action"]
                } else {
                    &["call_id", "operation"]
                },
            ),
            Calls::Built(name, _) => (Some(Cow::Borrowed(name)), &["call_id", "action", "actions"]),
        };
        let (id, name, first) = self.learn(id, name)?;
        let mut part = self.new_part(kind);
        (part.id, part.name) = (id, name);
        match calls {
            Calls::Named(key) => {
                if let Some(value) = fields.get(key) {
                    let said = text(value, &|| format!("output[{}].{key}", self.key))?;
                    let (key, done) = (self.key, self.done);
                    let path = if kind == "function_call" {
                        "arguments"
                    } else {
                        "input"
                    };
                    part.new = self
                        .record
                        .state(key, path, &said, Channel::ToolArguments, done)
                        .map_err(|what| self.fault(path, what))?;
                    (part.text, part.value) = (said, Some(value));
                }
            }
            Calls::Built(_, keys) => self.built(&mut part, keys, fields)?,
        }
        part.says = first || part.id.is_some() || part.name.is_some() || !part.news().is_empty();
        self.facts.push(Fact::Call(part));
        Ok(read)
    }

    /// What of a call's id and name is new, and whether nothing of it was said before.
    fn learn(
        &mut self,
        id: Option<Cow<'_, str>>,
        name: Option<Cow<'_, str>>,
    ) -> Result<(Option<String>, Option<String>, bool), Undecodable> {
        let at = self.key;
        let item = self.record.items.get_mut(&self.key);
        let Some(call) = item.and_then(|item| item.call.as_mut()) else {
            return Ok((None, None, false));
        };
        let first = call.id.is_none() && call.name.is_none();
        let new = |known: &mut Option<String>, said: Option<Cow<'_, str>>, field: &str| match (
            &known, said,
        ) {
            (_, None) => Ok(None),
            (Some(known), Some(said)) if *known == said => Ok(None),
            (Some(known), Some(said)) => Err(undecodable(
                format!("output[{at}].{field}"),
                format!("it is `{known}` and then `{said}`"),
            )),
            (None, Some(said)) => {
                *known = Some(said.clone().into_owned());
                Ok(Some(said.into_owned()))
            }
        };
        let id = new(&mut call.id, id, "call_id")?;
        let name = new(&mut call.name, name, "name")?;
        Ok((id, name, first))
    }

    /// Something that is said of the item's call.
    pub fn new_part(&self, kind: &str) -> Part<'a> {
        let item = self.record.items.get(&self.key);
        let call = item.and_then(|item| item.call.as_ref());
        Part {
            item: self.key,
            number: call.map_or(0, |call| call.number),
            kind: match kind {
                "custom_tool_call" => CallKind::Custom,
                _ => CallKind::Function,
            },
            id: None,
            name: None,
            text: Cow::Borrowed(""),
            new: 0,
            whole: true,
            value: None,
            built: !matches!(kind, "function_call" | "custom_tool_call"),
            says: false,
        }
    }

    /// What a tool that OpenAI describes is to do: certain when the item is done. What is said of it before is text of its own,
    /// and has to come true.
    fn built(
        &mut self,
        part: &mut Part<'a>,
        keys: &[&'static str],
        fields: &Object<'a>,
    ) -> Result<(), Undecodable> {
        let mut stated = keys.iter().filter_map(|key| Some((*key, fields.get(key)?)));
        let Some((key, value)) = stated.next() else {
            return Ok(());
        };
        if let Some((other, _)) = stated.next() {
            return Err(self.fault(other, format!("it stands beside `{key}`")));
        }
        if !self.done {
            let mut found = Vec::new();
            leaves(value, key.to_owned(), &|_, _| false, &mut |leaf| {
                found.push(leaf);
                Ok(())
            })?;
            return found
                .into_iter()
                .try_for_each(|leaf| self.foretold(leaf.path, leaf.text));
        }
        let at = self.key;
        let mut seen = Vec::new();
        let record = &mut *self.record;
        leaves(value, key.to_owned(), &|_, _| false, &mut |leaf| {
            record
                .state(at, &leaf.path, &leaf.text, Channel::ToolArguments, true)
                .map_err(|what| undecodable(format!("output[{at}].{}", leaf.path), what))?;
            seen.push(leaf.path);
            Ok(())
        })?;
        let Some(item) = self.record.items.get_mut(&at) else {
            return Ok(());
        };
        let missing = item.texts().find(|(path, text)| {
            let within = path
                .strip_prefix(key)
                .is_some_and(|rest| rest.starts_with(['.', '[']));
            within && !text.is_empty() && !seen.iter().any(|seen| seen == path)
        });
        if let Some((path, _)) = missing {
            let path = path.to_owned();
            return Err(self.fault(&path, "it was said, and is missing where the item is done"));
        }
        let json = value.get();
        if let Some(call) = item.call.as_mut() {
            let same = |known: &str| {
                let parsed = |text| serde_json::from_str::<serde_json::Value>(text).ok();
                known == json || parsed(known) == parsed(json)
            };
            match &call.built {
                None => call.built = Some(json.to_owned()),
                Some(known) if same(known) => part.new = json.len(),
                Some(_) => {
                    let what = "it says something else than was said before";
                    return Err(self.fault(key, what));
                }
            }
        }
        (part.text, part.value) = (Cow::Borrowed(json), Some(value));
        Ok(())
    }

    /// Text of a call that is not complete: it cannot be replaced apart from the call.
    pub fn foretold(&mut self, path: String, said: Cow<'a, str>) -> Result<(), Undecodable> {
        let new = self
            .record
            .state(self.key, &path, &said, Channel::ToolArguments, false)
            .map_err(|what| self.fault(&path, what))?;
        self.facts.push(Fact::Text(Said {
            place: place(Channel::Other),
            item: Some(self.key),
            path,
            value: None,
            text: said,
            new,
            whole: true,
            generated: false,
        }));
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
