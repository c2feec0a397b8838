//! The instructions of a request, which stand outside of its messages: a string, or blocks of text.
//!
//! Claude Code begins them with a line `x-anthropic-billing-header: ...` that differs from conversation to conversation. It is
//! text like any other, and what is added stands behind all of them: the vendor knows its own client by their beginning.

use serde_json::json;

use super::content::{text_of, with_text};
use super::spread::spread;
use super::undecodable::undecodable;
use super::values::{items, object, text};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::list::{self, Old, Slot};
use crate::dialect::{EditError, Undecodable};

/// The field.
pub(super) const SYSTEM: &str = "system";

/// What stands between two instructions in one string.
const BETWEEN: &str = "\n\n";

/// Their text, if there are any.
pub(super) fn read(root: &Object<'_>) -> Result<Option<String>, Undecodable> {
    let path = || SYSTEM.to_owned();
    let Some(value) = root.get(SYSTEM) else {
        return Ok(None);
    };
    if json::first_byte(value) == b'"' {
        return Ok(Some(text(value, &path)?.into_owned()));
    }
    let mut texts = Vec::new();
    for (at, block) in items(value, &path)?.into_iter().enumerate() {
        let path = || format!("{SYSTEM}[{at}]");
        texts.extend(text_of(&object(block, &path)?, &path)?);
    }
    Ok(Some(texts.join("\n")))
}

/// What becomes of the field.
#[derive(Debug, Default)]
pub(super) struct Changes<'e> {
    /// What was there goes.
    pub evicted: bool,
    /// Its text becomes this.
    pub text: Option<&'e str>,
    /// Further instructions, in order.
    pub added: Vec<&'e str>,
}

impl Changes<'_> {
    /// The new value.
    pub fn value(&self, source: &str, root: &Object<'_>) -> Result<String, EditError> {
        let added = self.added.join(BETWEEN);
        match root.get(SYSTEM).filter(|_| !self.evicted) {
            None if added.is_empty() => Ok("[]".to_owned()),
            None => Ok(json::quote(&added)),
            Some(old) if json::first_byte(old) == b'"' => {
                let own = text(old, &|| SYSTEM.to_owned())?;
                let own = self.text.unwrap_or(&own);
                let all = [own, &added].into_iter().filter(|text| !text.is_empty());
                let all: Vec<&str> = all.collect();
                Ok(json::quote(&all.join(BETWEEN)))
            }
            Some(old) => blocks(source, old, self.text, &self.added),
        }
    }
}

/// Blocks with another text and further ones behind them.
fn blocks(
    source: &str,
    list: Raw<'_>,
    new: Option<&str>,
    added: &[&str],
) -> Result<String, EditError> {
    let path = || SYSTEM.to_owned();
    let mut slots = match new {
        Some(new) => rewritten(list, "\n", new, &path)?,
        None => kept(items(list, &path)?.len()),
    };
    let added = added.iter().filter(|text| !text.is_empty());
    let added = added.map(|text| json!({ "type": "text", "text": text }).to_string());
    if let Some(end) = slots.last_mut() {
        end.before.extend(added);
    }
    let list = list::rewritten(source, list, slots);
    Ok(list.map_err(|error| undecodable(SYSTEM, error))?)
}

/// The slots of a list of this length, and of its end, in which everything stays.
pub(super) fn kept(length: usize) -> Vec<Slot> {
    (0..=length).map(|_| Slot::default()).collect()
}

/// What becomes of each block of a list, and of its end, when their joined text becomes another one: those that bear the same keep their
/// bytes, those that bear nothing any more go, since the API refuses them. Of those that differ, one that marks the end of
/// what is cached bears the new text.
pub(super) fn rewritten(
    list: Raw<'_>,
    between: &str,
    new: &str,
    path: &dyn Fn() -> String,
) -> Result<Vec<Slot>, EditError> {
    let blocks = items(list, path)?;
    let mut slots = kept(blocks.len());
    let mut texts = Vec::new();
    for (at, value) in blocks.iter().enumerate() {
        let path = || format!("{}[{at}]", path());
        let block = object(*value, &path)?;
        if let Some(text) = text_of(&block, &path)? {
            texts.push((at, *value, block, text));
        }
    }
    if texts.is_empty() {
        if !new.is_empty() {
            let at = place_for_text(&blocks);
            let block = json!({ "type": "text", "text": new }).to_string();
            if let Some(slot) = slots.get_mut(at) {
                slot.before.push(block);
            }
        }
        return Ok(slots);
    }
    let parts: Vec<&str> = texts.iter().map(|(.., text)| &**text).collect();
    let cached = |part: &&usize| {
        let block = texts.get(**part);
        block.is_some_and(|(_, _, block, _)| block.get("cache_control").is_some())
    };
    let bearer = |middle: &[usize]| {
        let marked = middle.iter().rev().find(cached).or(middle.first());
        marked.copied().unwrap_or_default()
    };
    let alone = blocks.len() == 1;
    for ((at, value, block, _), new) in texts.iter().zip(spread(&parts, between, new, bearer)) {
        let Some(slot) = slots.get_mut(*at) else {
            continue;
        };
        match new {
            None => {}
            Some(new) if new.is_empty() && !alone => slot.old = Old::Gone,
            Some(new) => slot.old = Old::Becomes(with_text(*value, block, &new)),
        }
    }
    Ok(slots)
}

/// Behind thoughts and results, with which a message begins.
fn place_for_text(blocks: &[Raw<'_>]) -> usize {
    let leads = |value: &&Raw<'_>| {
        let name = Object::of(**value).ok();
        let name = name.and_then(|block| block.string("type").map(|name| name.into_owned()));
        matches!(
            name.as_deref(),
            Some("thinking" | "redacted_thinking" | "tool_result")
        )
    };
    blocks.iter().take_while(leads).count()
}
