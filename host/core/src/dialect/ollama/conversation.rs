//! The messages of `/api/chat`: read, and edited.

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::ollama::request::{self, optional_string, pictures};
use crate::dialect::ollama::{calls, spelling};
use crate::dialect::tool_call::made_id;
use crate::dialect::values;
use crate::dialect::{MessageView, RequestView, ToolCallView, ToolResultView, Undecodable};
use crate::event::Role;

mod answered;
mod edit;

pub(super) use answered::Answered;
pub(super) use edit::edit;

/// Fields that `/api/generate` does not have.
pub(super) const ROOT: &[&str] = &["messages", "tools"];
/// Fields of a message.
pub(super) const MESSAGE: &[&str] = &[
    "role",
    "content",
    "thinking",
    "images",
    "tool_calls",
    "tool_name",
    "tool_call_id",
    "name",
];
/// Messages of one request at most. Each costs a hash and 24 bytes a session.
const MAX_MESSAGES: usize = 65_536;

/// The view of a request.
pub(super) fn read(source: &str) -> Result<RequestView, Undecodable> {
    let root = request::root(source, ROOT)?;
    let views = views(source, &root)?;
    let mut view = request::view(&root, views)?;
    view.tools = tools(&root)?;
    Ok(view)
}

/// The messages as they stand; none where a model is loaded and asked nothing.
pub(super) fn messages<'a>(root: &Object<'a>) -> Result<Vec<Raw<'a>>, Undecodable> {
    let Some(value) = root.get("messages") else {
        return Ok(Vec::new());
    };
    let messages = values::items(value, &|| "messages".to_owned())?;
    if messages.len() > MAX_MESSAGES {
        let count = messages.len();
        return Err(Undecodable::at(
            "messages",
            format!(
                "the request has {count} messages, and at most {MAX_MESSAGES} are read: shorten its history"
            ),
        ));
    }
    Ok(messages)
}

/// The messages as whoever judges sees them.
pub(super) fn views(source: &str, root: &Object<'_>) -> Result<Vec<MessageView>, Undecodable> {
    let mut answered = Answered::default();
    let messages = messages(root)?.into_iter().enumerate();
    let views = messages.map(|(index, value)| message(source, index, value, &mut answered));
    views.collect()
}

fn message(
    source: &str,
    index: usize,
    value: Raw<'_>,
    answered: &mut Answered,
) -> Result<MessageView, Undecodable> {
    let place = format!("messages[{index}]");
    let fields = fields(value, &place)?;
    let role = role(&fields, &place)?;
    let mut text = optional_string(&fields, "content", &format!("{place}.content"))?;
    let (media, media_digest) = match fields.get("images") {
        Some(images) => pictures(images, &format!("{place}.images"))?,
        None => Default::default(),
    };
    let said = called(&fields, &place)?;
    let mut tool_calls = Vec::with_capacity(said.len());
    for (number, (_, name, arguments)) in said.iter().enumerate() {
        tool_calls.push(ToolCallView {
            id: made_id(0, number),
            name: name.clone(),
            arguments: arguments.clone(),
            ..ToolCallView::default()
        });
    }
    let stated = said.into_iter().map(|(id, name, _)| (id, name));
    answered.called(stated.zip(tool_calls.iter().map(|call| call.id.clone())));
    let name = of_tool(&fields);
    let mut tool_results = Vec::new();
    if role == Role::Tool {
        let call = fields.string("tool_call_id").unwrap_or_default();
        let known = answered.answer(&call, name.as_deref().unwrap_or_default());
        tool_results.push(ToolResultView {
            id: known.map(|(id, _)| id).unwrap_or_default(),
            text: std::mem::take(&mut text),
            failed: None,
        });
    }
    Ok(MessageView {
        role,
        text,
        tool_calls,
        tool_results,
        name,
        media,
        media_digest,
        span: json::span(source, value),
    })
}

/// The fields of a message.
pub(super) fn fields<'a>(value: Raw<'a>, place: &str) -> Result<Object<'a>, Undecodable> {
    let path = || place.to_owned();
    let fields = values::object(value, &path)?;
    spelling::exact(&fields, MESSAGE, &path)?;
    Ok(fields)
}

/// Who speaks. The server takes it in any case.
pub(super) fn role(fields: &Object<'_>, place: &str) -> Result<Role, Undecodable> {
    let place = format!("{place}.role");
    if fields.get("role").is_none() {
        return Err(Undecodable::at(place, "the message has no such field"));
    }
    let role = optional_string(fields, "role", &place)?;
    Ok(match role.to_lowercase().as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        _ => Role::Other,
    })
}

/// Name of the tool whose result a message is: as it is called now, and as old clients call it.
pub(super) fn of_tool(fields: &Object<'_>) -> Option<String> {
    let name = fields.string("tool_name").or_else(|| fields.string("name"));
    name.map(|name| name.into_owned())
}

/// Stated id, name and arguments of each call in a message.
pub(super) fn called(
    fields: &Object<'_>,
    place: &str,
) -> Result<Vec<(String, String, String)>, Undecodable> {
    let Some(list) = fields.get("tool_calls") else {
        return Ok(Vec::new());
    };
    let list = values::items(list, &|| format!("{place}.tool_calls"))?;
    let calls = list.into_iter().enumerate().map(|(number, call)| {
        let path = || format!("{place}.tool_calls[{number}]");
        let call = values::object(call, &path)?;
        spelling::exact(&call, calls::CALL, &path)?;
        let id = call.string("id").unwrap_or_default().into_owned();
        let (name, arguments) = match call.get("function") {
            Some(function) => calls::said(function, &|| format!("{}.function", path()))?,
            None => Default::default(),
        };
        let name = name.unwrap_or_default().into_owned();
        Ok((id, name, arguments.into_owned()))
    });
    calls.collect()
}

/// Names of the tools.
fn tools(root: &Object<'_>) -> Result<Vec<String>, Undecodable> {
    let Some(list) = root.get("tools") else {
        return Ok(Vec::new());
    };
    let list = values::items(list, &|| "tools".to_owned())?;
    let mut names = Vec::new();
    for (index, tool) in list.into_iter().enumerate() {
        let path = || format!("tools[{index}]");
        let tool = values::object(tool, &path)?;
        spelling::exact(&tool, &["function"], &path)?;
        if let Some(function) = tool.get("function") {
            let path = || format!("tools[{index}].function");
            let function = values::object(function, &path)?;
            spelling::exact(&function, &["name"], &path)?;
            names.extend(function.string("name").map(|name| name.into_owned()));
        }
    }
    Ok(names)
}
