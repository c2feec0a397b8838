//! The conversation of a request that is carried to another API.

use crate::dialect::Portable;
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai_responses::portable_field::{Ported, fields, list, only, refused};
use crate::dialect::openai_responses::request_item::{kind, part_text};
use crate::dialect::portable::{Part, Said};
use crate::event::Role;

/// `input`: a text, or items.
pub(super) fn input(value: Raw<'_>, asked: &mut Portable) -> Ported<()> {
    if let Some(said) = json::string(value) {
        asked.turns.push(Said {
            role: Role::User,
            parts: vec![Part::Text(said.into_owned())],
        });
        return Ok(());
    }
    for (at, item) in list("input", value)?.into_iter().enumerate() {
        let place = format!("input[{at}]");
        let of = fields(&place, item)?;
        asked.turns.extend(turn(&place, &of, &mut asked.left)?);
    }
    Ok(())
}

fn turn(place: &str, item: &Object<'_>, left: &mut Vec<String>) -> Ported<Option<Said>> {
    let string = |key: &str| item.string(key).unwrap_or_default().into_owned();
    let said = match kind(item).as_ref() {
        "message" => {
            only(
                place,
                item,
                &["type", "id", "role", "content", "status", "phase"],
            )?;
            let role = match item.string("role").as_deref() {
                Some("system") => Role::System,
                Some("developer") => Role::Developer,
                Some("user") => Role::User,
                Some("assistant") => Role::Assistant,
                _ => return refused(format!("{place}.role"), "no other API has this role"),
            };
            let parts = item.get("content");
            let parts = parts.map(|value| parts_of(&format!("{place}.content"), value, left));
            Said {
                role,
                parts: parts.transpose()?.unwrap_or_default(),
            }
        }
        "reasoning" => {
            // What its own server encrypted of it is for that one.
            let known = [
                "type",
                "id",
                "summary",
                "content",
                "encrypted_content",
                "status",
            ];
            only(place, item, &known)?;
            let lists = ["content", "summary"].map(|key| item.array(key));
            let lists = lists.into_iter().find(|list| !list.is_empty());
            let texts = lists.into_iter().flatten();
            let texts: Vec<String> = texts
                .filter_map(|part| part_text(part).map(|(_, text)| text.into_owned()))
                .filter(|text| !text.is_empty())
                .collect();
            if texts.is_empty() {
                return Ok(None);
            }
            Said {
                role: Role::Assistant,
                parts: vec![Part::Reasoning(texts.join("\n\n"))],
            }
        }
        "function_call" => {
            let known = ["type", "id", "call_id", "name", "arguments", "status"];
            only(place, item, &known)?;
            Said {
                role: Role::Assistant,
                parts: vec![Part::Call {
                    id: string("call_id"),
                    name: string("name"),
                    arguments: string("arguments"),
                }],
            }
        }
        "function_call_output" => {
            only(
                place,
                item,
                &["type", "id", "call_id", "output", "status", "name"],
            )?;
            let place = format!("{place}.output");
            let parts = item
                .get("output")
                .map(|value| parts_of(&place, value, left));
            let mut texts = Vec::new();
            for part in parts.transpose()?.unwrap_or_default() {
                match part {
                    Part::Text(text) => texts.push(text),
                    _ => return refused(place, "a result with a picture is not carried"),
                }
            }
            Said {
                role: Role::Tool,
                parts: vec![Part::Result {
                    id: string("call_id"),
                    name: String::new(),
                    text: texts.join("\n"),
                    failed: false,
                }],
            }
        }
        other => {
            let why = format!("no other API has items of type `{other}`");
            return refused(format!("{place}.type"), &why);
        }
    };
    Ok(Some(said))
}

/// A text, or a list of parts.
fn parts_of(place: &str, value: Raw<'_>, left: &mut Vec<String>) -> Ported<Vec<Part>> {
    if let Some(said) = json::string(value) {
        return Ok(vec![Part::Text(said.into_owned())]);
    }
    let mut parts = Vec::new();
    for (at, value) in list(place, value)?.into_iter().enumerate() {
        let place = format!("{place}[{at}]");
        let part = fields(&place, value)?;
        if let Some((field, said)) = part_text(value) {
            let known = [
                "type",
                field,
                "annotations",
                "logprobs",
                "prompt_cache_breakpoint",
            ];
            only(&place, &part, &known)?;
            parts.push(Part::Text(said.into_owned()));
            continue;
        }
        let kind = part.string("type").unwrap_or_default();
        if kind != "input_image" {
            let why = format!("parts of type `{kind}` are not carried");
            return refused(format!("{place}.type"), &why);
        }
        only(
            &place,
            &part,
            &["type", "image_url", "detail", "prompt_cache_breakpoint"],
        )?;
        let Some(url) = part.string("image_url") else {
            return refused(place, "the picture has no address");
        };
        if part.string("detail").is_some_and(|detail| detail != "auto") {
            left.push(format!("{place}.detail"));
        }
        parts.push(picture(&url));
    }
    Ok(parts)
}

fn picture(url: &str) -> Part {
    let data = url.strip_prefix("data:");
    match data.and_then(|data| data.split_once(";base64,")) {
        Some((media_type, data)) => Part::Image {
            media_type: media_type.to_owned(),
            data: data.to_owned(),
        },
        None => Part::ImageUrl(url.to_owned()),
    }
}
