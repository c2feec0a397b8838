//! What one client has read of its stream: texts, items, parts, numbers. What is said again to it is written from here.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::dialect::Undecodable;
use crate::dialect::json;
use crate::dialect::openai_responses::event::Kind;
use crate::dialect::openai_responses::fact::Event;
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::walk;

/// What one client has.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub record: Record,
    /// The response object, as it was said last.
    pub response: Option<String>,
    /// Its items, by number.
    pub items: BTreeMap<u32, Shown>,
    /// Number of the next event.
    next: u64,
    /// Events were left out or put in: the upstream's numbers are not the client's.
    pub renumbers: bool,
}

/// An item as the client has it.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    /// As it began.
    pub head: Option<String>,
    /// Its parts, by path: as they were said last, and whether they go on.
    pub parts: BTreeMap<String, (String, bool)>,
    /// As it ended.
    pub done: Option<String>,
}

impl Client {
    /// The client reads an event.
    pub fn heard<'a>(&mut self, source: &'a str) -> Result<Event<'a>, Undecodable> {
        let event = walk::event(&mut self.record, source)?;
        if let Some(response) = event.response {
            self.response = Some(response.get().to_owned());
        }
        if let (Some(key), Some(object)) = (event.item, event.object) {
            let object = object.get().to_owned();
            let shown = self.items.entry(key).or_default();
            match event.kind {
                Kind::Item { done: false } => shown.head = Some(object),
                Kind::Item { done: true } => shown.done = Some(object),
                Kind::Part { done } => {
                    shown.parts.insert(event.path.clone(), (object, !done));
                }
                _ => {}
            }
        }
        for (key, item) in event.output.iter().flat_map(|(_, items)| items) {
            let shown = self.items.entry(*key).or_default();
            let known = shown.done.is_some();
            if event.kind == Kind::Ends && !known {
                shown.done = Some(item.get().to_owned());
            }
        }
        Ok(event)
    }

    /// An event that states this number is the next: the number that it must state instead.
    pub fn number(&mut self, stated: Option<json::Raw<'_>>) -> Option<u64> {
        let stated = stated.and_then(json::integer);
        let stated = stated.and_then(|number| u64::try_from(number).ok());
        if !self.renumbers {
            self.next = stated.unwrap_or(self.next).saturating_add(1);
            return None;
        }
        let number = self.next;
        self.next = self.next.saturating_add(1);
        stated.filter(|stated| *stated != number).map(|_| number)
    }

    /// An event that was read here did not leave: nothing is known any more but that the stream began, and the number of its next
    /// event. What Airlock says from now on repeats nothing.
    pub fn forget(&mut self, next: u64) {
        let began = self.record.began;
        *self = Self {
            next,
            renumbers: true,
            ..Self::default()
        };
        self.record.began = began;
    }

    /// The number of the next event.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// The number of an event that Airlock puts in.
    pub fn own_number(&mut self) -> u64 {
        self.renumbers = true;
        let number = self.next;
        self.next = self.next.saturating_add(1);
        number
    }

    /// The number of the next item.
    pub fn next_item(&self) -> u32 {
        let last = self.record.items.keys().chain(self.items.keys()).max();
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// Numbers of the items that have begun and not ended.
    pub fn open(&self) -> Vec<u32> {
        let open = |key: &u32| self.items.get(key).is_none_or(|shown| shown.done.is_none());
        self.record.items.keys().copied().filter(open).collect()
    }

    /// An item as it stands, with this state.
    pub fn item(&self, key: u32, status: &str) -> Value {
        let shown = self.items.get(&key);
        if let Some(done) = shown.and_then(|shown| shown.done.as_ref()) {
            return serde_json::from_str(done).unwrap_or_default();
        }
        let kind = self.record.items.get(&key).map_or("", |item| &item.kind);
        let head = shown.and_then(|shown| shown.head.as_ref());
        let head = head.and_then(|head| serde_json::from_str(head).ok());
        let mut item: Map<String, Value> = head.unwrap_or_default();
        item.entry("type").or_insert_with(|| kind.into());
        match kind {
            "message" => {
                item.insert("content".to_owned(), self.parts(key, "content").into());
            }
            "reasoning" => {
                item.insert("summary".to_owned(), self.parts(key, "summary").into());
                let content = self.parts(key, "content");
                if !content.is_empty() {
                    item.insert("content".to_owned(), content.into());
                }
            }
            "function_call" => {
                let arguments = self.record.text(key, "arguments");
                item.insert("arguments".to_owned(), arguments.into());
            }
            "custom_tool_call" => {
                item.insert("input".to_owned(), self.record.text(key, "input").into());
            }
            _ => {}
        }
        if kind == "message" || item.contains_key("status") {
            item.insert("status".to_owned(), status.into());
        }
        Value::Object(item)
    }

    /// The parts in a list of an item, as they stand.
    fn parts(&self, key: u32, list: &str) -> Vec<Value> {
        let mut parts = Vec::new();
        while let Some(part) = self.part(key, list, parts.len()) {
            parts.push(part);
        }
        parts
    }

    /// A part of an item as it stands; `None` if there is none of this number.
    pub fn part(&self, key: u32, list: &str, number: usize) -> Option<Value> {
        let path = format!("{list}[{number}]");
        let said = self
            .items
            .get(&key)
            .and_then(|shown| shown.parts.get(&path));
        let head = said.and_then(|(head, _)| serde_json::from_str(head).ok());
        let item = self.record.items.get(&key)?;
        let refuses = item.has(&format!("{path}.refusal"));
        if head.is_none() && !refuses && !item.has(&format!("{path}.text")) {
            return None;
        }
        let implied = match (item.kind.as_str(), list) {
            ("reasoning", "summary") => "summary_text",
            ("reasoning", _) => "reasoning_text",
            _ if refuses => "refusal",
            _ => "output_text",
        };
        let mut part: Map<String, Value> = head.unwrap_or_default();
        let shape = part.entry("type").or_insert_with(|| implied.into());
        let field = if *shape == "refusal" {
            "refusal"
        } else {
            "text"
        };
        if *shape == "output_text" {
            part.entry("annotations")
                .or_insert_with(|| Vec::<Value>::new().into());
        }
        let text = self.record.text(key, &format!("{path}.{field}"));
        part.insert(field.to_owned(), text.into());
        Some(Value::Object(part))
    }

    /// Whether a part goes on.
    pub fn is_open(&self, key: u32, path: &str) -> bool {
        let shown = self.items.get(&key);
        let part = shown.and_then(|shown| shown.parts.get(path));
        part.is_none_or(|(_, open)| *open)
    }
}
