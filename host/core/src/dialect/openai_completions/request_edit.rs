//! Edits of requests: all bytes that no edit concerns stay as they are.

use std::collections::BTreeMap;

use serde_json::json;

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::list::{self, Old, Slot};
use crate::dialect::openai_completions::request::{
    LIMIT, Prompts, boolean, limit, prompts, root, suffix, utf8,
};
use crate::dialect::{EditError, MessageEdit, RequestEdits, Undecodable};
use crate::event::Role;

/// Parameters that have edits of their own.
const NOT_PARAMETERS: &[&str] = &["model", "prompt", "prompt_embeds", "suffix", "stream"];
/// What stands between two texts that become one.
const GAP: &str = "\n\n";
/// The limit where none is stated, at OpenAI and in vLLM.
const UNSTATED: u32 = 16;

pub(super) fn edit(body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
    let source = utf8(body)?;
    let root = root(source)?;
    let mut set: Vec<(&str, String)> = Vec::new();
    if edits.streamed {
        set.push(("stream", "true".to_owned()));
    }
    if let Some(model) = &edits.model {
        set.push(("model", json::quote(model)));
    }
    for (name, value) in &edits.parameters {
        if NOT_PARAMETERS.contains(&name.as_str()) {
            return Err(impossible(name, "it is not a parameter"));
        }
        Raw::of(value).map_err(|error| impossible(name, error))?;
        set.retain(|(other, _)| other != name);
        set.push((name, value.clone()));
    }
    if edits.include_usage && (edits.streamed || boolean(&root, "stream")?) {
        let options = root.get("stream_options").map_or("{}", Raw::get);
        let fields =
            Object::parse(options).map_err(|error| Undecodable::at("stream_options", error))?;
        let asked = json::set(options, &fields, &[("include_usage", "true".to_owned())]);
        set.push(("stream_options", asked));
    }
    if let Some(most) = edits.max_output_tokens {
        let ordered = set.iter().find(|(name, _)| *name == LIMIT);
        let stated = match ordered {
            Some((_, value)) => Some(value.parse().unwrap_or(u32::MAX)),
            None => limit(&root)?,
        };
        // To state what is higher than that would ask for more than the client does.
        if stated.unwrap_or(UNSTATED) > most {
            set.retain(|(name, _)| *name != LIMIT);
            set.push((LIMIT, most.to_string()));
        }
    }
    if !edits.messages.is_empty() {
        set.extend(texts(source, &root, &edits.messages)?);
    }
    Ok(json::set(source, &root, &set).into_bytes())
}

/// A text with those that are put around it.
#[derive(Default)]
struct Text {
    before: Vec<String>,
    own: Option<String>,
    after: Vec<String>,
}

/// The fields that change, and their values. A prompt has no roles: an instruction stands before every prompt, and what a user
/// says before the one at whose index it is put in, or after the last.
fn texts(
    source: &str,
    root: &Object<'_>,
    edits: &[MessageEdit],
) -> Result<Vec<(&'static str, String)>, EditError> {
    let Prompts::Texts(prompts) = prompts(root)? else {
        return Err(impossible("prompt", "it stands in tokens"));
    };
    let suffix = suffix(root)?;
    let count = prompts.len() + usize::from(suffix.is_some());
    let mut changed: BTreeMap<usize, Text> = BTreeMap::new();
    for edit in edits {
        let index = edit.index();
        let place = format!("text {index}");
        if index >= count + usize::from(edit.inserts()) {
            return Err(impossible(
                &place,
                format!("the request has {count} of them"),
            ));
        }
        match edit {
            MessageEdit::Insert { .. } if prompts.is_empty() => {
                return Err(impossible(
                    &place,
                    "there is no prompt to which it could be put",
                ));
            }
            MessageEdit::Insert {
                role: Role::System | Role::Developer,
                text,
                ..
            } => {
                for at in 0..prompts.len() {
                    changed.entry(at).or_default().before.push(text.clone());
                }
            }
            MessageEdit::Insert {
                role: Role::User,
                text,
                ..
            } => match index < prompts.len() {
                true => changed.entry(index).or_default().before.push(text.clone()),
                false => {
                    let last = changed.entry(prompts.len() - 1).or_default();
                    last.after.push(text.clone());
                }
            },
            MessageEdit::Insert { .. } => {
                return Err(impossible(&place, "a prompt has no turns of the model"));
            }
            MessageEdit::Rewrite { text, .. } => {
                changed.entry(index).or_default().own = Some(text.clone());
            }
            // Each prompt has its answer.
            MessageEdit::Evict { .. } if index < prompts.len() => {
                return Err(impossible(&place, "a prompt cannot be left out"));
            }
            MessageEdit::Evict { .. } => {
                changed.entry(index).or_default().own = Some(String::new());
            }
            MessageEdit::Result { .. }
            | MessageEdit::AddCalls { .. }
            | MessageEdit::InsertStep { .. } => {
                return Err(impossible(&place, "a prompt has no calls and no results"));
            }
        }
    }
    let mut set = Vec::new();
    if let (Some(text), Some(own)) = (changed.remove(&prompts.len()), suffix) {
        set.push(("suffix", json::quote(&text.joined(own))));
    }
    let Some(value) = root.get("prompt").filter(|_| !changed.is_empty()) else {
        return Ok(set);
    };
    let mut written = prompts.iter().enumerate().map(|(at, own)| {
        let text = changed.remove(&at);
        text.map(|text| json::quote(&text.joined(*own)))
    });
    if json::first_byte(value) == b'"' {
        set.extend(written.next().flatten().map(|text| ("prompt", text)));
        return Ok(set);
    }
    let slot = |text: Option<String>| Slot {
        old: text.map_or(Old::Keep, Old::Becomes),
        ..Slot::default()
    };
    let slots = written.map(slot).chain(std::iter::once(Slot::default()));
    let list = list::rewritten(source, value, slots.collect());
    let list = list.map_err(|error| Undecodable::at("prompt", error))?;
    set.push(("prompt", list));
    Ok(set)
}

impl Text {
    fn joined(self, own: Raw<'_>) -> String {
        let stated = || json::string(own).unwrap_or_default().into_owned();
        let own = self.own.unwrap_or_else(stated);
        let own = Some(own).filter(|own| !own.is_empty());
        let all = self.before.into_iter().chain(own).chain(self.after);
        all.collect::<Vec<_>>().join(GAP)
    }
}

/// A request of Airlock's own.
pub(super) fn ask(model: &str, system: &str, user: &str, max_tokens: u64) -> Vec<u8> {
    let prompt = format!("{system}{GAP}{user}");
    let body = json!({ "model": model, "prompt": prompt, LIMIT: max_tokens });
    body.to_string().into_bytes()
}

fn impossible(place: &str, what: impl ToString) -> EditError {
    EditError::Impossible {
        place: place.to_owned(),
        what: what.to_string(),
    }
}
