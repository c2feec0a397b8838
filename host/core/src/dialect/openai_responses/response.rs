//! Where text stands in a response object, which is a whole body, and the `response` of a stream's first and last events.
//!
//! It repeats the request: `instructions`, `tools`, `metadata` and the others of [`ECHOED`] are what the client sent itself, and
//! bear no text of the model. They are inert there and nowhere else. Of the rest, numbers and words of the API are inert, each
//! checked for its type; every other string is text.

use std::borrow::Cow;

use crate::dialect::Undecodable;
use crate::dialect::inert::is_token;
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_responses::fact::{Event, Fact, Said};
use crate::dialect::openai_responses::item::{At, place};
use crate::dialect::openai_responses::leaves::{Inert, leaves};
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::values::{items, object};
use crate::event::Channel;

/// Fields that say again what the request said.
const ECHOED: &[&str] = &[
    "background",
    "context_management",
    "conversation",
    "include",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "store",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Fields whose strings are words of the API: results of filters, causes, names.
const WORDS: &[&str] = &[
    "access_programs",
    "content_filters",
    "image",
    "incomplete_details",
    "input_transformations",
    "moderation",
    "prompt_cache_diagnostics",
    "tool_usage",
];

/// The response of an event, or a body. `ends` says whether it is the last word.
pub(super) fn response<'a>(
    record: &mut Record,
    value: Raw<'a>,
    ends: bool,
    event: &mut Event<'a>,
) -> Result<(), Undecodable> {
    let fields = object(value, &|| "response".to_owned())?;
    event.response = Some(value);
    for (key, value) in &fields.0 {
        let (name, value) = (key.as_str(), *value);
        if json::is_null(value) || ECHOED.contains(&name) {
            continue;
        }
        let word = is_token(value);
        match name {
            "id" if word => event.facts.push(Fact::Id(value)),
            "model" if word => event.facts.push(Fact::Model(value)),
            "created_at" => event.facts.push(Fact::Created(value)),
            "object" | "status" | "service_tier" if word => {}
            "output" => output(record, value, ends, event)?,
            // Said of what is in the list beside it.
            "output_text" => {}
            "error" => error(record, value, &mut event.facts)?,
            "usage" => {
                event.facts.push(Fact::Usage(value));
                beside(
                    record,
                    value,
                    name,
                    &|_, value| is_token(value),
                    false,
                    event,
                )?;
            }
            _ if WORDS.contains(&name) => {
                beside(
                    record,
                    value,
                    name,
                    &|_, value| is_token(value),
                    true,
                    event,
                )?;
            }
            _ => beside(record, value, name, &|_, _| false, false, event)?,
        }
    }
    if let Some(all) = fields.get("output_text") {
        match json::string(all) {
            Some(said) if said.is_empty() || said == record.output() => {
                event.facts.push(Fact::All(all));
            }
            _ => beside(record, all, "output_text", &|_, _| false, false, event)?,
        }
    }
    if ends {
        finish(record, &fields, event)?;
    }
    Ok(())
}

/// The list of items. In the last event each is done.
fn output<'a>(
    record: &mut Record,
    list: Raw<'a>,
    ends: bool,
    event: &mut Event<'a>,
) -> Result<(), Undecodable> {
    let mut keys = Vec::new();
    let mut elements = Vec::new();
    for (at, value) in items(list, &|| "output".to_owned())?
        .into_iter()
        .enumerate()
    {
        let fields = object(value, &|| format!("output[{at}]"))?;
        let kind = fields.string("type").unwrap_or_default();
        let ids = ["id", "call_id"].map(|key| fields.string(key).unwrap_or_default());
        let key = record.find(at, &kind, &ids, &keys);
        // Clients join the texts in the order of the list, and those were judged in the order in which they came.
        if keys.last().is_some_and(|last| *last > key) {
            let what = "the item stands in another order than it was said in";
            return Err(undecodable(format!("output[{at}]"), what));
        }
        keys.push(key);
        At::of(record, event, key, ends).item(value)?;
        elements.push((key, value));
    }
    event.output = Some((list, elements));
    Ok(())
}

/// An error object, or what stands in its place. Its message is text, and is judged as such.
pub(super) fn error<'a>(
    record: &mut Record,
    value: Raw<'a>,
    facts: &mut Vec<Fact<'a>>,
) -> Result<(), Undecodable> {
    if !std::mem::replace(&mut record.failed, true) {
        facts.push(Fact::Error(value));
    }
    let inert = |key: &str, value: Raw<'_>| {
        matches!(key, "code" | "param" | "sequence_number" | "status") && is_token(value)
    };
    texts(record, value, "error", &inert, false, facts)
}

/// A field of an error that stands beside its object.
pub(super) fn error_field<'a>(
    record: &mut Record,
    value: Raw<'a>,
    key: &str,
    facts: &mut Vec<Fact<'a>>,
) -> Result<(), Undecodable> {
    match key != "message" && is_token(value) {
        true => Ok(()),
        false => texts(
            record,
            value,
            &format!("error.{key}"),
            &|_, _| false,
            false,
            facts,
        ),
    }
}

/// How it ended.
fn finish<'a>(
    record: &mut Record,
    fields: &Object<'a>,
    event: &mut Event<'a>,
) -> Result<(), Undecodable> {
    if let Some(item) = record.unsaid_call() {
        let what = format!("the item of type `{}` has no end", item.kind);
        return Err(undecodable("output", what));
    }
    let failed = event.name == "response.failed";
    let status = fields.string("status").filter(|_| !failed);
    let status = status.unwrap_or(match event.name.as_ref() {
        "response.incomplete" => Cow::Borrowed("incomplete"),
        "response.failed" => Cow::Borrowed("failed"),
        "response.cancelled" => Cow::Borrowed("cancelled"),
        _ => Cow::Borrowed("completed"),
    });
    let details = fields.object("incomplete_details");
    let why = details.and_then(|details| details.string("reason"));
    let calls = record.items.values().any(|item| item.call.is_some());
    let reason = match (status.as_ref(), why) {
        ("failed", _) => None,
        (_, Some(why)) => Some(why.into_owned()),
        // The API has no word for it.
        ("completed", None) if calls => Some("tool_calls".to_owned()),
        (status, None) => Some(status.to_owned()),
    };
    if let Some(reason) = reason {
        event.facts.push(Fact::Finish(reason));
    } else if !std::mem::replace(&mut record.failed, true) {
        // It failed, and does not say why.
        let said = fields.get("status").or(event.response);
        event.facts.extend(said.map(Fact::Error));
    }
    event.facts.push(Fact::End);
    record.ended = true;
    Ok(())
}

/// Text of the response that stands in no item.
fn beside<'a>(
    record: &mut Record,
    value: Raw<'a>,
    path: &str,
    inert: Inert<'_>,
    bare: bool,
    event: &mut Event<'a>,
) -> Result<(), Undecodable> {
    texts(record, value, path, inert, bare, &mut event.facts)
}

/// With `bare`, words that stand in lists are inert too.
fn texts<'a>(
    record: &mut Record,
    value: Raw<'a>,
    path: &str,
    inert: Inert<'_>,
    bare: bool,
    facts: &mut Vec<Fact<'a>>,
) -> Result<(), Undecodable> {
    let mut found = Vec::new();
    leaves(value, path.to_owned(), inert, &mut |leaf| {
        if !(bare && leaf.value.is_some_and(is_token)) {
            found.push(leaf);
        }
        Ok(())
    })?;
    for leaf in found {
        let new = record
            .state_beside(&leaf.path, &leaf.text)
            .map_err(|what| undecodable(leaf.path.clone(), what))?;
        facts.push(Fact::Text(Said {
            place: place(Channel::Other),
            item: None,
            path: leaf.path,
            value: leaf.value,
            text: leaf.text,
            new,
            whole: true,
            generated: false,
        }));
    }
    Ok(())
}
