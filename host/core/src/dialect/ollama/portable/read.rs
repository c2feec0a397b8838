//! Requests as other APIs can be asked the same.

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::ollama::conversation::{self, Answered, called, fields, of_tool, role};
use crate::dialect::ollama::portable::settings::{self, unreadable};
use crate::dialect::ollama::{prompt, request};
use crate::dialect::portable::{Part, Said, Tool};
use crate::dialect::{NotPortable, Portable, values};
use crate::event::Role;

/// How base64 of a picture begins, and what it is. None states its type.
const PICTURES: [(&str, &str); 4] = [
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("R0lGOD", "image/gif"),
    ("UklGR", "image/webp"),
];

/// A request of `/api/chat`.
pub(in crate::dialect::ollama) fn of_chat(body: &[u8]) -> Result<Portable, NotPortable> {
    let source = request::utf8(body).map_err(unreadable)?;
    let root = request::root(source, conversation::ROOT).map_err(unreadable)?;
    let mut portable = settings::read(&root, conversation::ROOT)?;
    let mut answered = Answered::default();
    let messages = conversation::messages(&root).map_err(unreadable)?;
    for (index, message) in messages.into_iter().enumerate() {
        portable.turns.push(turn(index, message, &mut answered)?);
    }
    if let Some(list) = root.get("tools") {
        let list = values::items(list, &|| "tools".to_owned()).map_err(unreadable)?;
        for (index, value) in list.into_iter().enumerate() {
            portable.tools.push(tool(index, value)?);
        }
    }
    Ok(portable)
}

fn turn(index: usize, value: Raw<'_>, answered: &mut Answered) -> Result<Said, NotPortable> {
    let place = format!("messages[{index}]");
    let message = fields(value, &place).map_err(unreadable)?;
    let role = role(&message, &place).map_err(unreadable)?;
    if role == Role::Other {
        return Err(NotPortable::field(
            format!("{place}.role"),
            "no other API has it",
        ));
    }
    known(&message, conversation::MESSAGE, &place)?;
    let text = |key: &str| {
        let path = format!("{place}.{key}");
        request::optional_string(&message, key, &path).map_err(unreadable)
    };
    let mut parts = Vec::new();
    let thought = text("thinking")?;
    if !thought.is_empty() {
        parts.push(Part::Reasoning(thought));
    }
    let said = text("content")?;
    if role == Role::Tool {
        let name = of_tool(&message).unwrap_or_default();
        let call = answered.answer(&text("tool_call_id")?, &name);
        let Some((id, called)) = call else {
            let why = "it is the result of no call before it";
            return Err(NotPortable::field(place, why));
        };
        parts.push(Part::Result {
            id,
            name: called,
            text: said,
            failed: false,
        });
    } else if !said.is_empty() {
        parts.push(Part::Text(said));
    }
    if let Some(images) = message.get("images") {
        parts.extend(pictures(images, &format!("{place}.images"))?);
    }
    let calls = called(&message, &place).map_err(unreadable)?;
    // Other APIs want an id that no other call of the conversation has, and the same again in the next request.
    let id = |number: usize, stated: &str| match stated {
        "" => format!("call_{index}_{number}"),
        stated => stated.to_owned(),
    };
    let ids = calls.iter().enumerate();
    let ids: Vec<String> = ids
        .map(|(number, (stated, ..))| id(number, stated))
        .collect();
    let names = calls.iter().map(|(id, name, _)| (id.clone(), name.clone()));
    answered.called(names.zip(ids.iter().cloned()));
    for (id, (_, name, arguments)) in ids.into_iter().zip(calls) {
        parts.push(Part::Call {
            id,
            name,
            arguments: match arguments.is_empty() {
                true => "{}".to_owned(),
                false => arguments,
            },
        });
    }
    Ok(Said { role, parts })
}

/// Fails at a field that is not known, and is not null.
fn known(fields: &Object<'_>, known: &[&str], place: &str) -> Result<(), NotPortable> {
    for (key, value) in &fields.0 {
        if !known.contains(&key.as_str()) && !json::is_null(*value) {
            let field = format!("{place}.{}", key.as_str());
            return Err(NotPortable::field(field, "leave it out"));
        }
    }
    Ok(())
}

fn pictures(images: Raw<'_>, place: &str) -> Result<Vec<Part>, NotPortable> {
    let images = values::items(images, &|| place.to_owned()).map_err(unreadable)?;
    let images = images.into_iter().enumerate().map(|(index, image)| {
        let refuse = |why: &str| NotPortable::field(format!("{place}[{index}]"), why);
        let data = json::string(image).ok_or_else(|| refuse("it is not a string"))?;
        let known = PICTURES.iter().find(|(head, _)| data.starts_with(head));
        let (_, media_type) =
            known.ok_or_else(|| refuse("it is neither PNG, JPEG, GIF nor WebP in base64"))?;
        Ok(Part::Image {
            media_type: (*media_type).to_owned(),
            data: data.into_owned(),
        })
    });
    images.collect()
}

fn tool(index: usize, value: Raw<'_>) -> Result<Tool, NotPortable> {
    let place = format!("tools[{index}]");
    let tool = values::object(value, &|| place.clone()).map_err(unreadable)?;
    known(&tool, &["type", "function"], &place)?;
    let stated = tool.string("type");
    if stated.is_some_and(|stated| !matches!(&*stated, "" | "function")) {
        let why = "no other API has such tools";
        return Err(NotPortable::field(format!("{place}.type"), why));
    }
    let place = format!("{place}.function");
    let Some(function) = tool.get("function") else {
        return Err(NotPortable::field(place, "there is none"));
    };
    let function = values::object(function, &|| place.clone()).map_err(unreadable)?;
    known(&function, &["name", "description", "parameters"], &place)?;
    let parameters = function
        .get("parameters")
        .map(|value| serde_json::from_str(value.get()))
        .transpose()
        .map_err(|error| NotPortable::field(format!("{place}.parameters"), error.to_string()))?;
    let Some(name) = function.string("name") else {
        return Err(NotPortable::field(format!("{place}.name"), "there is none"));
    };
    Ok(Tool {
        name: name.into_owned(),
        description: function.string("description").map(|text| text.into_owned()),
        parameters,
        strict: None,
    })
}

/// A request of `/api/generate`: its system text, and one turn of the user.
pub(in crate::dialect::ollama) fn of_generate(body: &[u8]) -> Result<Portable, NotPortable> {
    let source = request::utf8(body).map_err(unreadable)?;
    let root = request::root(source, prompt::ROOT).map_err(unreadable)?;
    let mut portable = settings::read(&root, prompt::ROOT)?;
    if prompt::has_context(&root).map_err(unreadable)? {
        let why = "no other API has a conversation in tokens: ask `/api/chat`";
        return Err(NotPortable::field("context", why));
    }
    if prompt::is_raw(&root).map_err(unreadable)? {
        let why = "other APIs have templates of their own";
        return Err(NotPortable::field("raw", why));
    }
    for field in ["width", "height", "steps"] {
        if root.get(field).is_some() {
            return Err(NotPortable::field(field, "other APIs draw elsewhere"));
        }
    }
    for (field, message) in prompt::messages(source, &root).map_err(unreadable)? {
        if !matches!(field, "system" | "prompt") {
            return Err(NotPortable::field(field, "no conversation has it"));
        }
        let mut parts = Vec::new();
        if !message.text.is_empty() {
            parts.push(Part::Text(message.text));
        }
        if let (Some(images), "prompt") = (root.get("images"), field) {
            parts.extend(pictures(images, "images")?);
        }
        portable.turns.push(Said {
            role: message.role,
            parts,
        });
    }
    Ok(portable)
}
