//! Requests of other APIs as this one can be asked the same.

use serde_json::{Map, Value, json};

use crate::dialect::ollama::portable::settings;
use crate::dialect::ollama::shape::{CHAT, THINKING};
use crate::dialect::portable::{Part, Said, Tool, ToolChoice, result_text};
use crate::dialect::{NotPortable, Portable};
use crate::event::Role;

/// A request of `/api/chat`.
pub(in crate::dialect::ollama) fn to_chat(portable: &Portable) -> Result<Vec<u8>, NotPortable> {
    let mut body = Map::new();
    body.insert("model".to_owned(), json!(portable.model));
    let mut messages = Vec::new();
    for (index, said) in portable.turns.iter().enumerate() {
        turn(index, said, &mut messages)?;
    }
    body.insert("messages".to_owned(), Value::Array(messages));
    if portable.parallel_calls == Some(false) {
        return refuse("parallel_tool_calls", "a model calls as many as it likes");
    }
    match portable.tool_choice {
        None | Some(ToolChoice::Auto) => {}
        Some(ToolChoice::None) if portable.tools.is_empty() => {}
        _ => return refuse("tool_choice", "a model calls as it likes"),
    }
    if !portable.tools.is_empty() {
        let tools = portable.tools.iter().enumerate();
        let tools = tools.map(|(index, stated)| tool(index, stated));
        let tools = tools.collect::<Result<Vec<Value>, NotPortable>>()?;
        body.insert("tools".to_owned(), Value::Array(tools));
    }
    settings::write(CHAT.name, portable, &mut body)?;
    Ok(Value::Object(body).to_string().into_bytes())
}

/// A turn as messages: each result is one of its own, and what stands beside results another.
fn turn(index: usize, said: &Said, out: &mut Vec<Value>) -> Result<(), NotPortable> {
    let place = format!("messages[{index}]");
    let role = match said.role {
        // There is one role for instructions.
        Role::System | Role::Developer => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
        Role::Other => return refuse(place, "nobody of that role can speak"),
    };
    let mut message = Message::default();
    let mut results = 0;
    for (number, part) in said.parts.iter().enumerate() {
        let place = format!("{place}[{number}]");
        match part {
            Part::Text(text) => message.texts.push(text),
            Part::Image { data, .. } => message.images.push(data),
            Part::ImageUrl(_) => {
                return refuse(place, "it takes pictures in the request alone");
            }
            Part::Reasoning(text) if role == "assistant" => message.thoughts.push(text),
            Part::Reasoning(_) => return refuse(place, "only the model thinks"),
            Part::Call {
                id,
                name,
                arguments,
            } if role == "assistant" => {
                let arguments: Option<Value> = serde_json::from_str(arguments).ok();
                let Some(arguments) = arguments.filter(Value::is_object) else {
                    return refuse(place, "arguments must be an object");
                };
                let function = json!({ "name": name, "arguments": arguments });
                message
                    .calls
                    .push(json!({ "id": id, "function": function }));
            }
            Part::Call { .. } => return refuse(place, "only the model makes tool calls"),
            Part::Result {
                id,
                name,
                text,
                failed,
            } => {
                message.write(role, out);
                results += 1;
                out.push(json!({
                    "role": "tool",
                    "tool_name": name,
                    "tool_call_id": id,
                    "content": result_text(text, *failed),
                }));
            }
        }
    }
    let bare = role == "tool" && !message.is_empty();
    if bare {
        return refuse(place, "what a tool says is the result of a call");
    }
    if !message.is_empty() || results == 0 {
        message.put(role, out);
    }
    Ok(())
}

/// A message under way.
#[derive(Default)]
struct Message<'p> {
    texts: Vec<&'p str>,
    thoughts: Vec<&'p str>,
    images: Vec<&'p str>,
    calls: Vec<Value>,
}

impl Message<'_> {
    fn is_empty(&self) -> bool {
        let said = self.texts.is_empty() && self.thoughts.is_empty();
        said && self.images.is_empty() && self.calls.is_empty()
    }

    /// Puts down what there is before a result.
    fn write(&mut self, role: &str, out: &mut Vec<Value>) {
        if !self.is_empty() {
            std::mem::take(self).put(role, out);
        }
    }

    fn put(self, role: &str, out: &mut Vec<Value>) {
        let mut message = json!({ "role": role, "content": self.texts.join("\n") });
        if !self.thoughts.is_empty() {
            message[THINKING] = json!(self.thoughts.join("\n"));
        }
        if !self.images.is_empty() {
            message["images"] = json!(self.images);
        }
        if !self.calls.is_empty() {
            message["tool_calls"] = Value::Array(self.calls);
        }
        out.push(message);
    }
}

fn tool(index: usize, tool: &Tool) -> Result<Value, NotPortable> {
    if tool.strict == Some(true) {
        let why = "arguments need not fit their schema";
        return refuse(format!("tools[{index}].strict"), why);
    }
    let mut function = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        function["description"] = json!(description);
    }
    // The server takes no function without them.
    let nothing = || json!({ "type": "object", "properties": {} });
    function["parameters"] = tool.parameters.clone().unwrap_or_else(nothing);
    Ok(json!({ "type": "function", "function": function }))
}

fn refuse<T>(field: impl Into<String>, why: &str) -> Result<T, NotPortable> {
    Err(NotPortable::to(CHAT.name, field, why))
}
