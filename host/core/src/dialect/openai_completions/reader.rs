//! Reads the answer of one leg.

use crate::dialect::json::{self, Object, Raw};
use crate::dialect::openai;
use crate::dialect::openai_completions::NAME;
use crate::dialect::openai_completions::fact::{Fact, Form};
use crate::dialect::openai_completions::fields;
use crate::dialect::sse::Frame;
use crate::dialect::{Identity, Piece, Reader, Undecodable};

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
];

/// What one leg's answer has said of itself.
#[derive(Debug, Default)]
pub struct CompletionsReader {
    identity: Identity,
}

impl CompletionsReader {
    fn pieces(
        &mut self,
        source: &str,
        form: Form,
        out: &mut Vec<Piece>,
    ) -> Result<(), Undecodable> {
        let identity = &mut self.identity;
        fields::walk(source, form, &mut |fact| match fact {
            Fact::Id(value) => learn(&mut identity.id, value),
            Fact::Model(value) => learn(&mut identity.model, value),
            Fact::Created(value) => {
                identity.created = value.get().parse().unwrap_or(identity.created);
            }
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
            Fact::Beside(_) => out.push(Piece::Beside),
            Fact::Finish { choice, reason, .. } => out.push(Piece::Finish {
                choice,
                reason: reason.into_owned(),
            }),
            Fact::Usage(value) => out.extend(openai::stated_usage(value).map(Piece::Usage)),
            Fact::Error(value) => out.push(Piece::Error(openai::failure(0, value))),
            Fact::Tokens { .. } => {}
        })
    }
}

/// Keeps what the stream says of itself. Nearly all chunks say the same again.
fn learn(known: &mut String, value: Raw<'_>) {
    let said = json::string(value).filter(|said| !said.is_empty() && *said != known.as_str());
    if let Some(said) = said {
        *known = said.into_owned();
    }
}

impl Reader for CompletionsReader {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let read = match openai::chunk(frame) {
            Ok(Some(source)) => self.pieces(source, Form::Frame, out),
            Ok(None) => {
                out.extend(openai::is_done(frame).then_some(Piece::End));
                Ok(())
            }
            Err(error) => Err(error),
        };
        read.map_err(|error| error.of(NAME))
    }

    fn body(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let read = openai::utf8(body).and_then(|source| self.pieces(source, Form::Body, out));
        read.map_err(|error| error.of(NAME))?;
        out.push(Piece::End);
        Ok(())
    }

    fn is_usage_only(&self, frame: &Frame) -> bool {
        let Ok(Some(source)) = openai::chunk(frame) else {
            return false;
        };
        let Ok(root) = Object::parse(source) else {
            return false;
        };
        let says = |(key, value): &(json::Key<'_>, Raw<'_>)| match key.as_str() {
            "choices" => json::array(*value).map_or(true, |choices| !choices.is_empty()),
            name => !json::is_null(*value) && !BESIDE_USAGE.contains(&name),
        };
        root.get("usage").is_some() && !root.0.iter().any(says)
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    /// A turn without calls is never gone on with.
    fn gather(&mut self, _: &[u8]) {}

    fn give_up(&mut self) {}

    fn own_message(&self) -> Option<String> {
        None
    }

    fn own_call(&self, _: &str) -> Option<String> {
        None
    }
}
