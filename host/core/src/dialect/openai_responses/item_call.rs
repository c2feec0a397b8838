//! What an item says of the call that it is.

use std::borrow::Cow;

use crate::dialect::json::Object;
use crate::dialect::openai_responses::fact::{Fact, Part, Said};
use crate::dialect::openai_responses::item::{At, place};
use crate::dialect::openai_responses::kinds::Calls;
use crate::dialect::openai_responses::leaves::leaves;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::values::text;
use crate::dialect::{CallKind, Undecodable};
use crate::event::Channel;

impl<'a> At<'_, '_, 'a> {
    /// What the item says of the call that it is, and the names of the fields that were read.
    pub fn call(
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
}
