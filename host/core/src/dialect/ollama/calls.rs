//! A call in an answer: an element of `tool_calls`, which stands whole.

use std::borrow::Cow;

use crate::dialect::Undecodable;
use crate::dialect::inert::is_token;
use crate::dialect::json::{self, Object, Raw};
use crate::dialect::ollama::fact::{Call, Fact, Tell};
use crate::dialect::ollama::spelling;
use crate::dialect::ollama::text::leaves;
use crate::dialect::values::{object, text};

/// Fields of a call, and of the function in it.
pub(super) const CALL: &[&str] = &["id", "function"];
pub(super) const FUNCTION: &[&str] = &["index", "name", "arguments"];

pub(super) fn element<'a>(
    list: Raw<'a>,
    value: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let fields = object(value, path)?;
    spelling::exact(&fields, CALL, path)?;
    let function = fields.get("function");
    let (name, arguments) = match function {
        Some(function) => said(function, &|| format!("{}.function", path()))?,
        None => (None, Cow::Borrowed("")),
    };
    tell(Fact::Call(Call {
        name,
        arguments,
        list,
        value,
    }));
    for &(ref key, value) in &fields.0 {
        let path = || format!("{}.{}", path(), key.as_str());
        match key.as_str() {
            "function" if json::is_null(value) => {}
            "function" => beside(value, &path, tell)?,
            "id" | "type" if is_token(value) => {}
            _ => leaves(value, false, &path, tell)?,
        }
    }
    Ok(())
}

/// Name and arguments. Arguments are an object; a server that writes them as a string is read as it means it.
pub(super) fn said<'a>(
    function: Raw<'a>,
    path: &dyn Fn() -> String,
) -> Result<(Option<Cow<'a, str>>, Cow<'a, str>), Undecodable> {
    let fields = object(function, path)?;
    spelling::exact(&fields, FUNCTION, path)?;
    let name = fields
        .get("name")
        .map(|name| text(name, &|| format!("{}.name", path())))
        .transpose()?;
    let arguments = match fields.get("arguments") {
        None => Cow::Borrowed(""),
        Some(value) if json::first_byte(value) == b'{' => Cow::Borrowed(value.get()),
        Some(value) => json::string(value).ok_or_else(|| {
            Undecodable::at(format!("{}.arguments", path()), "they are no object")
        })?,
    };
    Ok((name.filter(|name| !name.is_empty()), arguments))
}

/// What stands beside name and arguments.
fn beside<'a>(
    function: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let fields: Object<'a> = object(function, path)?;
    for (key, value) in &fields.0 {
        if !matches!(key.as_str(), "name" | "arguments") {
            let path = || format!("{}.{}", path(), key.as_str());
            leaves(*value, true, &path, tell)?;
        }
    }
    Ok(())
}
