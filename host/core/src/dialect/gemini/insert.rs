//! What is put into a request's conversation: contents of their own, and turns of the model with the results of their calls.

use serde_json::{Map, Value, json};

use crate::dialect::gemini::fields::Fields;
use crate::dialect::gemini::function;
use crate::dialect::gemini::own::PLACE;
use crate::dialect::gemini::undecodable::impossible;
use crate::dialect::{EditError, ToolCallView, Turn};
use crate::event::Role;

/// A part that is text.
pub(super) fn text(text: &str) -> String {
    json!({"text": text}).to_string()
}

/// A content of the user or of the model.
pub(super) fn content(role: Role, said: &str) -> Result<String, EditError> {
    let role = match role {
        Role::User => "user",
        Role::Assistant => "model",
        _ => {
            let what = format!("a content of role {role:?} cannot be inserted");
            return Err(impossible("contents", what));
        }
    };
    Ok(format!(r#"{{"parts":[{}],"role":"{role}"}}"#, text(said)))
}

/// A turn of the model as a content, and the results of its calls as the user's content after it.
pub(super) fn turn(turn: &Turn) -> Vec<String> {
    let calls = turn.calls();
    let mut said = vec![model(&turn.said(), turn.own(), &calls)];
    if !calls.is_empty() {
        said.push(results(&calls));
    }
    said
}

/// The results of calls as a content of the user.
pub(super) fn results(calls: &[(ToolCallView, String)]) -> String {
    let parts: Vec<String> = calls
        .iter()
        .map(|(call, text)| result(call, text))
        .collect();
    format!(r#"{{"parts":[{}],"role":"user"}}"#, parts.join(","))
}

/// The result of a call as a part.
pub(super) fn result(call: &ToolCallView, text: &str) -> String {
    function::result(&call.id, &call.name, text, false)
}

/// The turn as its server wrote it where that is known, with what was said of it.
fn model(said: &str, own: Option<&str>, calls: &[(ToolCallView, String)]) -> String {
    let own = own.and_then(|own| serde_json::from_str::<Map<String, Value>>(own).ok());
    let own = own.and_then(|own| own.get("parts").and_then(Value::as_array).cloned());
    let mut own: Vec<Value> = own.unwrap_or_default();
    if text_of(&own) != said {
        say(&mut own, said);
    }
    let mut left: Vec<&ToolCallView> = calls.iter().map(|(call, _)| call).collect();
    let mut parts: Vec<String> = Vec::new();
    for part in own {
        match part.get(PLACE).and_then(Value::as_str) {
            Some(id) => {
                if let Some(at) = left.iter().position(|call| call.id == id) {
                    parts.push(function::call(left.remove(at)));
                }
            }
            None => parts.push(part.to_string()),
        }
    }
    parts.extend(left.into_iter().map(function::call));
    format!(r#"{{"parts":[{}],"role":"model"}}"#, parts.join(","))
}

fn is_said(part: &Value) -> bool {
    part.get("text").is_some_and(Value::is_string)
        && part.get("thought") != Some(&Value::Bool(true))
}

fn text_of(parts: &[Value]) -> String {
    let said = parts.iter().filter(|part| is_said(part));
    said.filter_map(|part| part["text"].as_str()).collect()
}

/// Puts what was said in the place of the model's own words: a policy changed them. A signature goes with the words that it
/// signed.
fn say(parts: &mut Vec<Value>, said: &str) {
    let words = |part: &Value| is_said(part) && part["text"] != "";
    let at = parts.iter().position(words).unwrap_or(parts.len());
    parts.retain(|part| !words(part));
    if !said.is_empty() {
        parts.insert(at.min(parts.len()), json!({ "text": said }));
    }
}

/// Whether a list of parts is empty.
pub(super) fn says_nothing(parts: &str) -> bool {
    parts
        .trim_matches(['[', ']', ' ', '\n', '\r', '\t'])
        .is_empty()
}

/// The object of a content with other parts.
pub(super) fn with_parts(content: &str, parts: String) -> Result<String, EditError> {
    Ok(Fields::parse(content, "content")?.set(content, &[("parts", parts)]))
}

/// A request of Airlock's own.
pub(super) fn question(system: &str, user: &str, max_tokens: u64) -> Value {
    json!({
        "systemInstruction": {"parts": [{"text": system}]},
        "contents": [{"parts": [{"text": user}], "role": "user"}],
        "generationConfig": {"maxOutputTokens": max_tokens},
    })
}
