//! The model's own turn, as its server wrote it: the items of an answer in their order. Reasoning goes back before the item that it
//! led to, with its encrypted content, or is refused.
//!
//! Written as a JSON list of the items; in place of each call of the client's stands its id as a string, so that the calls can be
//! put back where they were.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::dialect::json::{Object, Raw};
use crate::dialect::openai_responses::event::{self, Kind};
use crate::dialect::openai_responses::kinds;

/// Bytes of items that are kept at most.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// The turn, as far as it has arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    items: BTreeMap<u64, String>,
    bytes: usize,
    lost: bool,
}

impl Own {
    /// Some of it was not seen, or could not be read.
    pub fn give_up(&mut self) {
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }

    /// Reads an event or a body.
    pub fn gather(&mut self, payload: &[u8]) {
        let payload = payload.trim_ascii();
        if self.lost || payload.is_empty() || payload == b"[DONE]" {
            return;
        }
        let source = std::str::from_utf8(payload).ok();
        let Some(root) = source.and_then(|source| Object::parse(source).ok()) else {
            return self.give_up();
        };
        let name = root.string("type").unwrap_or_default();
        match event::kind(&name) {
            Kind::Item { done: true } => {
                let at = root.value::<u64>("output_index");
                if let (Some(at), Some(item)) = (at, root.get("item")) {
                    self.keep(at, item);
                }
            }
            Kind::Ends => {
                let response = root.object("response");
                self.list(response.as_ref().map(|response| response.array("output")));
            }
            Kind::Other if name.is_empty() => self.list(Some(root.array("output"))),
            _ => {}
        }
    }

    /// The items of a whole answer. Of those that were said one by one, what was said then stands.
    fn list(&mut self, items: Option<Vec<Raw<'_>>>) {
        if self.items.is_empty() {
            for (at, item) in items.into_iter().flatten().enumerate() {
                self.keep(at as u64, item);
            }
        }
    }

    fn keep(&mut self, at: u64, item: Raw<'_>) {
        self.bytes = self.bytes.saturating_add(item.get().len());
        if self.bytes > MAX_BYTES {
            return self.give_up();
        }
        self.items.insert(at, item.get().to_owned());
    }

    /// The turn without its calls; `None` if it is not known whole, or has nothing but calls.
    pub fn message(&self) -> Option<String> {
        let mut list = Vec::with_capacity(self.items.len());
        let mut says = false;
        for item in self.items.values() {
            let fields = Object::parse(item).ok()?;
            let kind = fields.string("type")?;
            match kinds::calls(&kind, &fields) {
                Some(_) => list.push(Value::from(fields.string("call_id")?.as_ref()).to_string()),
                None => {
                    says = true;
                    list.push(item.clone());
                }
            }
        }
        (says && !self.lost).then(|| format!("[{}]", list.join(",")))
    }

    /// The call of this id.
    pub fn call(&self, id: &str) -> Option<String> {
        let is_it = |item: &&String| {
            let fields = Object::parse(item).ok();
            fields.is_some_and(|fields| {
                let kind = fields.string("type").unwrap_or_default();
                kinds::calls(&kind, &fields).is_some()
                    && fields.string("call_id").is_some_and(|own| own == id)
            })
        };
        self.items.values().find(is_it).cloned()
    }
}
