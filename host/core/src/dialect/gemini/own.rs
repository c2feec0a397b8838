//! The model's own turn as its server wrote it, kept so that it can be given back: signatures stand where they stood, beside
//! the very part that they came with.
//!
//! Texts that were cut by the frames of a stream join; a part that is signed joins with none. Where a call stood, its place is kept.

use serde_json::{Value, json};

use crate::dialect::gemini::calls::Calls;
use crate::dialect::gemini::fact::{Call, Fact, Form, Shape};
use crate::dialect::gemini::fields::Fields;
use crate::dialect::gemini::part::SIGNATURE;
use crate::dialect::gemini::undecodable::utf8;
use crate::dialect::gemini::walk::{index, walk};
use crate::dialect::json::{self, Raw};
use crate::dialect::values::items;
use crate::dialect::{CallPart, Undecodable};

/// Bytes of frames from which one turn is put together at most.
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// In the place of a call, its id. No part of the API has such a field.
pub(super) const PLACE: &str = "airlockCall";

/// The turn, as far as it has arrived. Only that of the first candidate: with several, no turn goes on.
#[derive(Debug, Default)]
pub(super) struct Own {
    parts: Vec<Part>,
    calls: Calls,
    bytes: usize,
    lost: bool,
}

#[derive(Debug)]
enum Part {
    /// Text that is not signed, and whether it is a thought.
    Text(String, bool),
    Call(OwnCall),
    /// Another part, as it stands.
    Other(String),
}

#[derive(Debug)]
struct OwnCall {
    id: String,
    /// The part that began it, as it stands.
    source: String,
    /// All its arguments, where they came in parts.
    arguments: Option<String>,
}

impl Own {
    /// Reads one frame's data, or a body, into the turn.
    pub fn gather(&mut self, payload: &[u8]) {
        self.bytes = self.bytes.saturating_add(payload.len());
        if self.bytes > MAX_BYTES {
            self.give_up();
        }
        if !self.lost && self.add(payload.trim_ascii()).is_err() {
            self.give_up();
        }
    }

    /// Some of it was not seen, or could not be read: what is left of it is not the model's turn.
    pub fn give_up(&mut self) {
        *self = Self {
            lost: true,
            ..Self::default()
        };
    }

    /// The content without its calls; `None` if it is not known whole.
    pub fn message(&self) -> Option<String> {
        let parts: Vec<String> = self.parts.iter().map(Part::written).collect();
        let whole = !self.lost && !parts.is_empty();
        whole.then(|| format!(r#"{{"role":"model","parts":[{}]}}"#, parts.join(",")))
    }

    /// The part that the call of this id is.
    pub fn call(&self, id: &str) -> Option<String> {
        let mut calls = self.parts.iter().filter_map(|part| match part {
            Part::Call(call) => Some(call),
            _ => None,
        });
        calls
            .find(|call| call.id == id && !id.is_empty())?
            .written()
    }

    fn add(&mut self, payload: &[u8]) -> Result<(), Undecodable> {
        let source = utf8(payload)?;
        if source.is_empty() {
            return Ok(());
        }
        // In a body, calls stand whole, as they may in a frame.
        let mut calls = Vec::new();
        walk(source, Form::Frame, &mut |fact| {
            if let Fact::Call(call) = fact {
                calls.push(call);
            }
        })?;
        let root = Fields::parse(source, "the response")?;
        let path = || "candidates".to_owned();
        let candidates = root
            .get("candidates")
            .map(|list| items(list, &path))
            .transpose()?;
        for (at, candidate) in candidates.into_iter().flatten().enumerate() {
            let candidate = Fields::of(candidate, &path)?;
            if index(Form::Frame, at, &candidate)? != 0 {
                continue;
            }
            let content = candidate.inner("content", &path)?;
            let parts = content.and_then(|content| content.get("parts"));
            let parts = parts.map(|list| items(list, &path)).transpose()?;
            for part in parts.into_iter().flatten() {
                let call = calls
                    .iter()
                    .find(|call| json::span(source, call.part) == json::span(source, part));
                match call {
                    Some(call) => self.add_call(call)?,
                    None => self.add_part(part)?,
                }
            }
        }
        Ok(())
    }

    fn add_part(&mut self, part: Raw<'_>) -> Result<(), Undecodable> {
        let path = || "parts".to_owned();
        let fields = Fields::of(part, &path)?;
        let thought = fields.flag("thought", &path)?;
        let mut names = fields.iter().map(|(name, _)| name);
        let joins = names.all(|name| matches!(name, "text" | "thought"));
        match (
            fields.string("text").filter(|_| joins),
            self.parts.last_mut(),
        ) {
            (Some(text), Some(Part::Text(known, of_thought))) if *of_thought == thought => {
                known.push_str(&text)
            }
            (Some(text), _) if text.is_empty() => {}
            (Some(text), _) => self.parts.push(Part::Text(text.into_owned(), thought)),
            (None, _) => self.parts.push(Part::Other(part.get().to_owned())),
        }
        Ok(())
    }

    fn add_call(&mut self, call: &Call<'_>) -> Result<(), Undecodable> {
        let CallPart { id, arguments, .. } = self.calls.part(Form::Frame, call)?;
        let whole = matches!(call.shape, Shape::Whole(_));
        let newest = self.parts.iter_mut().rev().find_map(|part| match part {
            Part::Call(call) => Some(call),
            _ => None,
        });
        match (id, newest) {
            (Some(id), _) => self.parts.push(Part::Call(OwnCall {
                id,
                source: call.part.get().to_owned(),
                arguments: (!whole).then_some(arguments),
            })),
            (None, Some(newest)) => newest
                .arguments
                .get_or_insert_default()
                .push_str(&arguments),
            (None, None) => {}
        }
        Ok(())
    }
}

impl Part {
    fn written(&self) -> String {
        match self {
            Self::Text(text, true) => json!({"text": text, "thought": true}).to_string(),
            Self::Text(text, false) => json!({"text": text}).to_string(),
            Self::Call(call) => json!({PLACE: call.id}).to_string(),
            Self::Other(source) => source.clone(),
        }
    }
}

impl OwnCall {
    fn written(&self) -> Option<String> {
        let Some(arguments) = &self.arguments else {
            return Some(self.source.clone());
        };
        // A call that came in parts is given back whole, with the signature of its first part.
        let arguments: Value = serde_json::from_str(arguments).ok()?;
        let part = Fields::parse(&self.source, "parts").ok()?;
        let call = part.inner("functionCall", &String::new).ok()??;
        let mut function =
            json!({"name": call.string("name").unwrap_or_default(), "args": arguments});
        if let Some(id) = call.string("id") {
            function["id"] = json!(id);
        }
        let mut whole = json!({"functionCall": function});
        if let Some(signature) = part.string(SIGNATURE) {
            whole[SIGNATURE] = json!(signature);
        }
        Some(whole.to_string())
    }
}
