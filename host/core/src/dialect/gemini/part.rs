//! One part of a candidate's content: text, a thought, a call, media, or something that a server ran itself. It bears one of
//! these alone; beside it may stand the signature of the thoughts before it.

use std::borrow::Cow;

use crate::dialect::Undecodable;
use crate::dialect::gemini::fact::{Call, Fact, Form, Shape, Tell};
use crate::dialect::gemini::fields::Fields;
use crate::dialect::gemini::quiet;
use crate::dialect::gemini::text::leaves;
use crate::dialect::gemini::undecodable::undecodable;
use crate::dialect::inert::{self, is_token};
use crate::dialect::json::{self, Raw};
use crate::dialect::values::items;
use crate::event::{Channel, Place};

/// Fields of which a part has one.
const DATA: [&str; 9] = [
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
    "executableCode",
    "codeExecutionResult",
    "toolCall",
    "toolResponse",
];

/// Of a part, the signature of the thoughts before it.
pub(super) const SIGNATURE: &str = "thoughtSignature";

/// Tells the facts of a part, which stands in a list.
pub(super) fn part<'a>(
    form: Form,
    choice: u16,
    list: Raw<'a>,
    element: Raw<'a>,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<(), Undecodable> {
    let fields = Fields::of(element, path)?;
    let other = Place::new(Channel::Other, choice, 0);
    let signed = is_signed(&fields).then_some(element);
    let thought = fields.flag("thought", path)?;
    one_of(&fields, path)?;
    for (name, value) in fields.iter() {
        let path = || format!("{}.{name}", path());
        match name {
            "text" => {
                let text =
                    json::string(value).ok_or_else(|| undecodable(path(), "it is not a string"))?;
                let channel = match thought {
                    true => Channel::Reasoning,
                    false => Channel::Output,
                };
                if !text.is_empty() {
                    tell(Fact::Text {
                        place: Place::new(channel, choice, 0),
                        value: Some(value),
                        text,
                        generated: true,
                        signed,
                    });
                }
            }
            "thought" => {}
            SIGNATURE if is_signature(value) => {}
            "functionCall" => {
                let (id, name, shape) = call(form, value, choice, &path, tell)?;
                tell(Fact::Call(Call {
                    choice,
                    list,
                    part: element,
                    signed: signed.is_some(),
                    id,
                    name,
                    shape,
                }));
            }
            "inlineData" if quiet::is_media(value) => tell(Fact::Media),
            "executableCode" | "codeExecutionResult" => {
                for (name, value) in Fields::of(value, &path)?.iter() {
                    let path = || format!("{}.{name}", path());
                    let inert = matches!(name, "language" | "outcome" | "id") && is_token(value);
                    if !inert {
                        leaves(value, other, true, signed, &path, tell)?;
                    }
                }
            }
            _ => leaves(value, other, true, signed, &path, tell)?,
        }
    }
    Ok(())
}

/// Whether the part bears a signature.
pub(super) fn is_signed(part: &Fields<'_>) -> bool {
    let signature = part.get(SIGNATURE);
    signature.is_some_and(|signature| json::string(signature).is_none_or(|text| !text.is_empty()))
}

fn is_signature(value: Raw<'_>) -> bool {
    json::string(value).is_some_and(|text| text.is_empty() || inert::is_opaque(&text))
}

/// Programs that look for one thing in a part and programs that look for the other would read two different answers.
pub(super) fn one_of(part: &Fields<'_>, path: &dyn Fn() -> String) -> Result<(), Undecodable> {
    let empty =
        |name: &str| name == "text" && part.string(name).is_some_and(|text| text.is_empty());
    let mut data = DATA
        .iter()
        .filter(|name| part.get(name).is_some() && !empty(name));
    match (data.next(), data.next()) {
        (Some(one), Some(other)) => {
            let what = format!("it has `{one}` and `{other}` at once");
            Err(undecodable(path(), what))
        }
        _ => Ok(()),
    }
}

type Said<'a> = (Option<Cow<'a, str>>, Option<Cow<'a, str>>, Shape<'a>);

/// What a call says of itself. In a stream its arguments may come in parts, each with the path at which it stands.
fn call<'a>(
    form: Form,
    value: Raw<'a>,
    choice: u16,
    path: &dyn Fn() -> String,
    tell: Tell<'_, 'a>,
) -> Result<Said<'a>, Undecodable> {
    let fields = Fields::of(value, path)?;
    let filled = |text: Option<Cow<'a, str>>| text.filter(|text| !text.is_empty());
    let (id, name) = (
        filled(fields.text("id", path)?),
        filled(fields.text("name", path)?),
    );
    let more = fields.flag("willContinue", path)?;
    let partial = fields.get("partialArgs");
    let arguments = fields.get("args");
    if arguments.is_some_and(|arguments| json::first_byte(arguments) != b'{') {
        return Err(undecodable(
            format!("{}.args", path()),
            "they are no object",
        ));
    }
    for (name, value) in fields.iter() {
        if !matches!(
            name,
            "id" | "name" | "args" | "partialArgs" | "willContinue"
        ) {
            let path = || format!("{}.{name}", path());
            let other = Place::new(Channel::Other, choice, 0);
            leaves(value, other, true, None, &path, tell)?;
        }
    }
    let is_part =
        more || partial.is_some() || (name.is_none() && id.is_none() && arguments.is_none());
    if !is_part {
        return Ok((id, name, Shape::Whole(arguments)));
    }
    if form == Form::Body || arguments.is_some() {
        let what = "a call is whole, or comes in parts of a stream";
        return Err(undecodable(path(), what));
    }
    let arguments = match partial {
        Some(partial) => items(partial, &|| format!("{}.partialArgs", path()))?,
        None => Vec::new(),
    };
    Ok((id, name, Shape::Partial { arguments, more }))
}
