//! What events say besides the model's own words: annotations, what a shell gave back, and fields that no page describes.

use std::borrow::Cow;

use crate::dialect::Undecodable;
use crate::dialect::inert::{self, is_token};
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_responses::fact::{Event, Fact, Said};
use crate::dialect::openai_responses::item::{At, place};
use crate::dialect::openai_responses::leaves::leaves;
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::undecodable::undecodable;
use crate::dialect::values::items;
use crate::event::Channel;

/// Fields of events that name or number things. Inert where they hold a word.
const NAMES: &[&str] = &[
    "item_id",
    "obfuscation",
    "event_id",
    "response_id",
    "stream_id",
];

/// Annotations, and what a shell gave back: said once by events of their own, and again in their items.
pub(super) fn others_of_item<'a>(
    record: &mut Record,
    event: &mut Event<'a>,
    root: &Object<'a>,
    read: &mut Vec<&str>,
) -> Result<(), Undecodable> {
    if root.get("output_index").is_some() {
        event.item = Some(index(root, "output_index")?);
    }
    let Some(key) = event.item else {
        return Ok(());
    };
    match event.name.as_ref() {
        "response.output_text.annotation.added" => {
            let content = position(root, "content_index")?;
            let path = format!(
                "content[{content}].annotations[{}]",
                position(root, "annotation_index")?
            );
            let mut at = At::of(record, event, key, false);
            at.begin("message", None)?;
            if let Some(value) = root.get("annotation") {
                at.others("message", "annotations", value, path)?;
            }
            read.push("annotation");
        }
        "response.shell_call_output_content.delta" => {
            let command = position(root, "command_index")?;
            let mut at = At::of(record, event, key, false);
            at.begin("shell_call_output", None)?;
            if let Some(value) = root.get("delta") {
                let mut found = Vec::new();
                let path = format!("output[{command}]");
                leaves(value, path, &|_, _| false, &mut |leaf| {
                    found.push(leaf);
                    Ok(())
                })?;
                for leaf in found {
                    at.record
                        .add(key, &leaf.path, &leaf.text, Channel::Other)
                        .map_err(|what| undecodable(leaf.path.clone(), what))?;
                    at.facts.push(Fact::Text(Said {
                        place: place(Channel::Other),
                        item: Some(key),
                        path: leaf.path,
                        value: leaf.value,
                        text: leaf.text,
                        new: 0,
                        whole: false,
                        generated: false,
                    }));
                }
            }
            read.push("delta");
        }
        "response.shell_call_output_content.done" => {
            let command = position(root, "command_index")? as usize;
            let mut at = At::of(record, event, key, false);
            at.begin("shell_call_output", None)?;
            if let Some(list) = root.get("output") {
                for (n, value) in items(list, &|| "output".to_owned())?
                    .into_iter()
                    .enumerate()
                {
                    let path = format!("output[{}]", command.saturating_add(n));
                    at.others("shell_call_output", "output", value, path)?;
                }
            }
            read.push("output");
        }
        _ => {}
    }
    Ok(())
}

/// All text in the other fields of an event.
pub(super) fn rest<'a>(
    root: &Object<'a>,
    read: &[&str],
    event: &mut Event<'a>,
) -> Result<(), Undecodable> {
    let picture = event.name.starts_with("response.image_generation_call.");
    let sound = event.name == "response.audio.delta";
    // The tool is named where its item begins; here the name is said again.
    let named = event.name == "response.function_call_arguments.done";
    let inert = |key: &str, value: Raw<'_>| {
        let opaque = || json::string(value).is_some_and(|text| inert::is_opaque(&text));
        match key {
            "partial_image_b64" => picture && opaque(),
            "size" | "quality" | "background" | "output_format" => picture && is_token(value),
            "delta" => sound && opaque(),
            "name" => named && is_token(value),
            _ => NAMES.contains(&key) && is_token(value),
        }
    };
    for (key, value) in &root.0 {
        let name = key.as_str();
        let known =
            (read.contains(&name) && (name != "type" || is_token(*value))) || inert(name, *value);
        let facts = &mut event.facts;
        if !inert::is_key(name) {
            facts.push(other(name.to_owned(), None, Cow::Owned(name.to_owned())));
        }
        if !known {
            leaves(*value, name.to_owned(), &|_, _| false, &mut |leaf| {
                facts.push(other(leaf.path, leaf.value, leaf.text));
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn other<'a>(path: String, value: Option<Raw<'a>>, text: Cow<'a, str>) -> Fact<'a> {
    Fact::Text(Said {
        place: place(Channel::Other),
        item: None,
        path,
        value,
        text,
        new: 0,
        whole: false,
        generated: true,
    })
}

/// A number that an event must have.
pub(super) fn index(root: &Object<'_>, field: &str) -> Result<u32, Undecodable> {
    let value = root
        .get(field)
        .ok_or_else(|| undecodable(field, "the event has no such field"))?;
    number(value, field)
}

/// A number that is 0 where an event does not have it.
pub(super) fn position(root: &Object<'_>, field: &str) -> Result<u32, Undecodable> {
    root.get(field).map_or(Ok(0), |value| number(value, field))
}

fn number(value: Raw<'_>, field: &str) -> Result<u32, Undecodable> {
    json::integer(value)
        .and_then(|number| u32::try_from(number).ok())
        .ok_or_else(|| undecodable(field, "it is not a number of an item"))
}
