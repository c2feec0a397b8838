//! Calls and results of functions as the API spells them, in requests and in answers.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::dialect::gemini::fields::Fields;
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::{ToolCallView, is_made_up};

/// Fields of a result that hold all of it as one text; the last says that it is a failure.
const TEXTS: [&str; 3] = ["output", "result", "error"];

/// A part that is the call: the model's own as its server wrote it, with the arguments that were judged. An id that Airlock
/// made up is told to no upstream.
pub(super) fn call(view: &ToolCallView) -> String {
    let arguments = arguments(&view.arguments);
    if let Some(own) = view
        .own
        .as_deref()
        .and_then(|own| with_arguments(own, &arguments))
    {
        return own;
    }
    let mut function = json!({"name": view.name, "args": arguments});
    if !view.id.is_empty() && !is_made_up(&view.id) {
        function["id"] = json!(view.id);
    }
    json!({"functionCall": function}).to_string()
}

/// A part that is a call, with these arguments. A signature goes with what it signs.
fn with_arguments(part: &str, arguments: &Value) -> Option<String> {
    let fields = Fields::parse(part, "part").ok()?;
    let value = fields.get("functionCall")?;
    let call = Fields::of(value, &String::new).ok()?;
    let own: Value = match call.get("args") {
        Some(own) => serde_json::from_str(own.get()).ok()?,
        None => json!({}),
    };
    if own == *arguments {
        return Some(part.to_owned());
    }
    let changed = call.set(value.get(), &[("args", arguments.to_string())]);
    Some(json!({"functionCall": Raw::of(&changed).ok().and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok())?}).to_string())
}

/// Arguments as the object that they must be.
pub(super) fn arguments(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) => Value::Object(fields),
        _ if text.trim().is_empty() => json!({}),
        Ok(other) => json!({ "value": other }),
        Err(_) => json!({ "value": text }),
    }
}

/// A part that is the result of a call.
pub(super) fn result(id: &str, name: &str, text: &str, failed: bool) -> String {
    let mut function = Map::new();
    if !id.is_empty() && !is_made_up(id) {
        function.insert("id".to_owned(), json!(id));
    }
    function.insert("name".to_owned(), json!(name));
    function.insert("response".to_owned(), response(text, failed));
    json!({"functionResponse": function}).to_string()
}

/// A result as the object that it must be.
pub(super) fn response(text: &str, failed: bool) -> Value {
    match serde_json::from_str(text) {
        Ok(Value::Object(fields)) if !failed => Value::Object(fields),
        _ if failed => json!({ "error": text }),
        _ => json!({ "output": text }),
    }
}

/// The text of a result, and whether it states a failure: of an object with one text alone that text, else its JSON.
pub(super) fn told<'a>(response: Option<Raw<'a>>) -> (Cow<'a, str>, Option<bool>) {
    let Some(value) = response else {
        return (Cow::Borrowed(""), None);
    };
    let object = Object::of(value).ok();
    let error = object.as_ref().and_then(|object| object.get("error"));
    let empty = |error: Raw<'_>| matches!(error.get(), "false" | "\"\"" | "{}" | "[]");
    let failed = error.is_some_and(|error| !empty(error)).then_some(true);
    match only_text(value) {
        Some((_, text)) => (text, failed),
        None => (Cow::Borrowed(value.get()), failed),
    }
}

/// The one field that a result has, if it is a text: its value as it stands, and what it says.
fn only_text(response: Raw<'_>) -> Option<(Raw<'_>, Cow<'_, str>)> {
    let object = Object::of(response).ok()?;
    let [(key, value)] = &object.0[..] else {
        return None;
    };
    let text = json::string(*value)?;
    TEXTS.contains(&key.as_str()).then_some((*value, text))
}

/// A result with another text, in the shape that it has.
pub(super) fn retold(response: Option<Raw<'_>>, text: &str) -> String {
    let Some(value) = response else {
        return self::response(text, false).to_string();
    };
    match only_text(value) {
        Some((own, _)) => {
            let mut splices = json::Splices::default();
            splices.replace(json::span(value.get(), own), json::quote(text));
            splices.apply(value.get())
        }
        None => self::response(text, false).to_string(),
    }
}
