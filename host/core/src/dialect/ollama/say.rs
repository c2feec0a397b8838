//! What Airlock itself says to a client, and what the upstream of another API said.
//!
//! The API has no refusal and no word for one: a refusal is said like any answer and ends with `stop`, and the mark beside it
//! says what it is.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::dialect::mark::{MARK, mark};
use crate::dialect::ollama::failure;
use crate::dialect::ollama::line::{moment, one};
use crate::dialect::ollama::shape::{Shape, THINKING};
use crate::dialect::{
    CallKind, CallPart, ClientError, Closing, EditError, Ending, Finish, Identity, Piece, Slot,
};
use crate::event::{Channel, Place, Usage};

/// The line that bears a value.
pub(super) fn line(value: &Value) -> Bytes {
    one(&value.to_string()).into()
}

/// A line that says nothing, and that all clients read: they are given a part without text, as the server itself writes now
/// and then. A blank line breaks `ollama` 0.6.3 for Python, which parses every line; so would any that is none of the API.
pub(super) fn silence(shape: &Shape) -> Bytes {
    line(&answer_part(shape, &Identity::default(), json!({})))
}

/// A line that adds text.
pub(super) fn text(
    shape: &Shape,
    identity: &Identity,
    place: Place,
    text: &str,
) -> Result<Bytes, EditError> {
    let field = match place.channel {
        Channel::Output | Channel::Refusal => shape.text,
        Channel::Reasoning => THINKING,
        _ => {
            let what = "no one field bears the text of this channel";
            return Err(EditError::at(place, what));
        }
    };
    if place.choice != 0 {
        return Err(EditError::at(place, "the API has one choice"));
    }
    Ok(line(&answer_part(shape, identity, json!({ field: text }))))
}

/// Lines that bring a stream to its end. A client that has read the end waits for nothing.
pub(super) fn close(shape: &Shape, identity: &Identity, closing: &Closing<'_>) -> Bytes {
    if closing.open.is_empty() {
        return Bytes::new();
    }
    let mut out = String::new();
    if !closing.text.is_empty() {
        let said = answer_part(shape, identity, json!({ shape.text: closing.text }));
        out.push_str(&one(&said.to_string()));
    }
    let last = ended(
        answer_part(shape, identity, json!({})),
        reason(closing.ending),
        marked(closing.ending),
        closing.usage,
    );
    out.push_str(&one(&last.to_string()));
    out.into()
}

/// A whole body that answers with a text.
pub(super) fn answer(
    shape: &Shape,
    identity: &Identity,
    text: &str,
    ending: &Ending,
    usage: Usage,
) -> Vec<u8> {
    let said = answer_part(shape, identity, json!({ shape.text: text }));
    let body = ended(said, reason(ending), marked(ending), Some(usage));
    body.to_string().into_bytes()
}

/// The API's word for an ending.
pub(super) fn reason(ending: &Ending) -> &'static str {
    match ending {
        Ending::Complete | Ending::Refused => "stop",
        Ending::Partial(_) => "length",
    }
}

/// Value of the mark.
pub(super) fn marked(ending: &Ending) -> Option<Value> {
    match ending {
        Ending::Complete => None,
        Ending::Refused => Some(refused()),
        Ending::Partial(_) => mark(ending),
    }
}

fn refused() -> Value {
    json!({ "refused": true })
}

/// A part of an answer that says this in its message. The text is stated even where it is empty: clients add it up.
fn answer_part(shape: &Shape, identity: &Identity, said: Value) -> Value {
    let mut part = json!({ "model": identity.model, "created_at": moment(identity.created) });
    let mut message = json!({ shape.text: "" });
    if let (Value::Object(message), Value::Object(said)) = (&mut message, said) {
        message.extend(said);
    }
    match shape.message {
        Some(field) => {
            part[field] = json!({ "role": "assistant" });
            merge(&mut part[field], message);
        }
        None => merge(&mut part, message),
    }
    part["done"] = json!(false);
    part
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

fn ended(mut part: Value, reason: &str, mark: Option<Value>, usage: Option<Usage>) -> Value {
    part["done"] = json!(true);
    part["done_reason"] = json!(reason);
    if let Some(usage) = usage {
        part["prompt_eval_count"] = json!(usage.input);
        part["eval_count"] = json!(usage.output);
    }
    if let Some(mark) = mark {
        part[MARK] = mark;
    }
    part
}

/// What was said of another API's answer and cannot go out yet: a call goes out whole, and the last line bears all that is
/// said at the end.
#[derive(Debug, Default)]
pub(super) struct Said {
    calls: Vec<(u16, CallPart)>,
    finish: Option<(Finish, String)>,
    usage: Option<Usage>,
    failed: bool,
}

impl Said {
    /// Lines that say a piece, if any.
    pub fn hear(
        &mut self,
        shape: &Shape,
        identity: &Identity,
        piece: &Piece,
        finish: Finish,
    ) -> Result<Bytes, EditError> {
        match piece {
            Piece::Text {
                place, text: said, ..
            } => text(shape, identity, *place, said),
            Piece::Call(part) => self.call(part).map(|()| Bytes::new()),
            Piece::Finish { choice: 0, reason } => {
                self.finish = Some((finish, reason.clone()));
                self.calls(shape, identity)
            }
            Piece::Finish { choice, .. } => {
                let place = Place::new(Channel::Output, *choice, 0);
                Err(EditError::at(place, "the API has one choice"))
            }
            Piece::Usage(usage) => {
                self.usage = Some(self.usage.map_or(*usage, |known| known.with(*usage)));
                Ok(Bytes::new())
            }
            Piece::Error(failure) => {
                self.failed = true;
                let error = ClientError {
                    status: failure.status,
                    kind: failure.kind,
                    message: failure.message.clone(),
                    code: "airlock_upstream".to_owned(),
                    origin: None,
                };
                Ok(line(&failure::stated(&error)))
            }
            Piece::Beside => Ok(Bytes::new()),
            Piece::End => self.end(shape, identity),
        }
    }

    fn call(&mut self, part: &CallPart) -> Result<(), EditError> {
        let place = Place::new(Channel::ToolArguments, part.choice, 0);
        let Slot::Index(index) = part.slot else {
            return Err(EditError::at(place, "the call has no number"));
        };
        if part.choice != 0 {
            return Err(EditError::at(place, "the API has one choice"));
        }
        if part.kind == CallKind::Custom {
            return Err(EditError::at(place, "the API has no custom tools"));
        }
        match self.calls.iter_mut().find(|(known, _)| *known == index) {
            Some((_, call)) => {
                call.arguments.push_str(&part.arguments);
                if call.name.is_none() {
                    call.name.clone_from(&part.name);
                }
                if call.id.is_none() {
                    call.id.clone_from(&part.id);
                }
            }
            None => self.calls.push((index, part.clone())),
        }
        Ok(())
    }

    /// The calls that came, which are whole now.
    fn calls(&mut self, shape: &Shape, identity: &Identity) -> Result<Bytes, EditError> {
        let calls = std::mem::take(&mut self.calls);
        if calls.is_empty() {
            return Ok(Bytes::new());
        }
        let calls = calls.into_iter().map(|(_, call)| whole(call));
        let calls = calls.collect::<Result<Vec<Value>, EditError>>()?;
        let said = json!({ "tool_calls": calls });
        Ok(line(&answer_part(shape, identity, said)))
    }

    /// The last line, after which another leg may begin.
    fn end(&mut self, shape: &Shape, identity: &Identity) -> Result<Bytes, EditError> {
        let calls = self.calls(shape, identity)?;
        let Self {
            finish,
            usage,
            failed,
            ..
        } = std::mem::take(self);
        if failed {
            return Ok(calls);
        }
        let (finish, stated) = finish.unwrap_or((Finish::Stop, String::new()));
        // It says `stop` after calls too.
        let (reason, mark) = match finish {
            Finish::Stop | Finish::ToolCalls => ("stop", None),
            Finish::Filtered => ("stop", Some(refused())),
            Finish::Length => ("length", None),
            Finish::Other => (&*stated, None),
        };
        let last = ended(answer_part(shape, identity, json!({})), reason, mark, usage);
        Ok([calls, line(&last)].concat().into())
    }
}

/// A call of another API as this one has it.
fn whole(call: CallPart) -> Result<Value, EditError> {
    let place = Place::new(Channel::ToolArguments, call.choice, 0);
    let arguments = match call.arguments.trim() {
        "" => json!({}),
        stated => serde_json::from_str(stated)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| EditError::at(place, "arguments must be an object"))?,
    };
    let name = call
        .name
        .ok_or_else(|| EditError::at(place, "the call names no tool"))?;
    let mut said = json!({ "function": { "name": name, "arguments": arguments } });
    if let Some(id) = call.id {
        said["id"] = json!(id);
    }
    Ok(said)
}
