//! Facts of a chunk, body or error as pieces.

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai;
use crate::dialect::openai_chat::fact::{Fact, Form};
use crate::dialect::openai_chat::fields;
use crate::dialect::openai_chat::undecodable::NAME;
use crate::dialect::sse::Frame;
use crate::dialect::{CallPart, Identity, Piece, Undecodable};

/// Fields of a chunk that says nothing but usage.
const BESIDE_USAGE: &[&str] = &[
    "id",
    "object",
    "created",
    "model",
    "provider",
    "service_tier",
    "system_fingerprint",
    "obfuscation",
    "usage",
    "x_groq",
    "timings",
    "metrics",
];

/// The data of a frame as a chunk's JSON; `None` for comments, blank frames and the terminator, which have none.
pub(super) fn chunk(frame: &Frame) -> Result<Option<&str>, Undecodable> {
    openai::chunk(frame).map_err(|error| error.of(NAME))
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, Undecodable> {
    openai::utf8(bytes).map_err(|error| error.of(NAME))
}

pub(super) fn frame(
    frame: &Frame,
    identity: &mut Identity,
    out: &mut Vec<Piece>,
) -> Result<(), Undecodable> {
    match chunk(frame)? {
        Some(source) => pieces(source, Form::Frame, identity, out),
        None => {
            if openai::is_done(frame) {
                out.push(Piece::End);
            }
            Ok(())
        }
    }
}

pub(super) fn body(
    body: &[u8],
    identity: &mut Identity,
    out: &mut Vec<Piece>,
) -> Result<(), Undecodable> {
    pieces(utf8(body)?, Form::Body, identity, out)?;
    out.push(Piece::End);
    Ok(())
}

fn pieces(
    source: &str,
    form: Form,
    identity: &mut Identity,
    out: &mut Vec<Piece>,
) -> Result<(), Undecodable> {
    fields::walk(source, form, &mut |fact| match fact {
        Fact::Id(value) => learn(&mut identity.id, value),
        Fact::Model(value) => learn(&mut identity.model, value),
        Fact::Created(value) => identity.created = value.get().parse().unwrap_or(identity.created),
        Fact::ReasoningField(name) => identity.reasoning_field = Some(name),
        Fact::Text {
            place,
            text,
            generated,
            ..
        } => out.push(Piece::Text {
            place,
            text: text.into_owned(),
            generated,
        }),
        Fact::Call(part) => out.push(Piece::Call(CallPart {
            choice: part.choice,
            slot: part.slot,
            kind: part.kind,
            id: part.id.map(|id| id.into_owned()),
            name: part.name.map(|name| name.into_owned()),
            arguments: part.arguments.into_owned(),
        })),
        Fact::Beside(_) => out.push(Piece::Beside),
        Fact::Finish { choice, reason, .. } => out.push(Piece::Finish {
            choice,
            reason: reason.into_owned(),
        }),
        Fact::Usage(value) => out.extend(openai::stated_usage(value).map(Piece::Usage)),
        Fact::Error(value) => out.push(Piece::Error(openai::failure(0, value))),
        Fact::Repeat { .. } | Fact::Role(_) => {}
    })
}

/// Keeps what the stream says of itself. Nearly all chunks say the same again: no allocation for those. Some servers
/// leave it empty in chunks of another kind.
fn learn(known: &mut String, value: Raw<'_>) {
    if let Some(said) =
        json::string(value).filter(|said| !said.is_empty() && *said != known.as_str())
    {
        *known = said.into_owned();
    }
}

/// Whether the frame has usage, no choice and no text.
pub(super) fn is_usage_only(frame: &Frame) -> bool {
    let Ok(Some(source)) = chunk(frame) else {
        return false;
    };
    let Ok(root) = Object::parse(source) else {
        return false;
    };
    let says = |(key, value): &(json::Key<'_>, Raw<'_>)| match key.as_str() {
        "choices" => json::array(*value).map_or(true, |choices| !choices.is_empty()),
        name => !json::is_null(*value) && !BESIDE_USAGE.contains(&name),
    };
    let mut has_usage = false;
    let walked = fields::walk(source, Form::Frame, &mut |fact| {
        has_usage |= matches!(fact, Fact::Usage(_));
    });
    walked.is_ok() && has_usage && !root.0.iter().any(says)
}
