//! A wire API that does everything otherwise than chat completions: model and streaming in the path, the system text outside
//! of the messages, lines instead of events, each with a number of its place, and turns that their server signs.
//!
//! A request: `{"charter": "...", "entries": [{"by": "human", "say": "..."}, {"by": "machine", "seal": "...", "say": "...",
//! "acts": [{"ref": "a1", "tool": "rm", "with": {}}]}, {"by": "tool", "ref": "a1", "out": "..."}]}`.
//! A stream: `{"no": 0, "open": "id"}`, `{"no": 1, "seal": "..."}`, `{"no": 2, "say": "..."}`, `{"no": 3, "act": {...}}`,
//! `{"no": 4, "close": "done"}`.

use bytes::Bytes;
use serde_json::{Value, json};

use airlock_core::dialect::framing::Wire;
use airlock_core::dialect::sse::Frame;
use airlock_core::dialect::{
    CallEdit, CallKind, CallPart, ClientError, Closing, Dialect, EditError, Edits, Ending, Failure,
    Finish, Identity, Inbound, MessageEdit, MessageView, NotPortable, Outbound, Piece, Portable,
    Reader, Received, RequestEdits, RequestView, Slot, ToolCallView, ToolResultView, Turn,
    Undecodable, Writer,
};
use airlock_core::event::digest::Digest;
use airlock_core::event::{Channel, FailureKind, Place, Role, Usage};

pub struct Parley;

#[derive(Default)]
pub struct ParleyReader {
    identity: Identity,
    seal: String,
    said: String,
    calls: Vec<Value>,
    lost: bool,
}

#[derive(Default)]
pub struct ParleyWriter {
    identity: Identity,
    /// Number of the next line.
    next: u64,
}

fn undecodable(place: &str, what: impl ToString) -> Undecodable {
    Undecodable {
        dialect: "parley",
        place: place.to_owned(),
        what: what.to_string(),
    }
}

fn parsed(bytes: &[u8]) -> Result<Value, Undecodable> {
    serde_json::from_slice(bytes).map_err(|error| undecodable("the line", error))
}

fn line(value: &Value) -> Bytes {
    format!("{value}\n").into()
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn output() -> Place {
    Place::new(Channel::Output, 0, 0)
}

impl Dialect for Parley {
    fn name(&self) -> &'static str {
        "parley"
    }

    fn inbound(&self) -> &dyn Inbound {
        self
    }

    fn outbound(&self) -> &dyn Outbound {
        self
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(ParleyReader::default())
    }

    fn writer(&self, identity: Identity) -> Box<dyn Writer> {
        Box::new(ParleyWriter { identity, next: 0 })
    }
}

impl Inbound for Parley {
    fn read_request(&self, received: Received<'_>) -> Result<RequestView, Undecodable> {
        let body = parsed(received.body)?;
        let mut path = received.path.trim_start_matches("/parley/").split('/');
        let (model, verb) = (path.next().unwrap_or_default(), path.next());
        let message = |role, said: String| MessageView {
            role,
            text: said,
            tool_calls: Vec::new(),
            tool_results: Vec::new(),
            name: None,
            media: Vec::new(),
            span: 0..0,
            media_digest: Digest::default(),
        };
        // What stands outside of the messages is the first of them to whoever judges.
        let mut messages = vec![message(Role::System, text(&body, "charter"))];
        for entry in body["entries"].as_array().into_iter().flatten() {
            let role = match entry["by"].as_str() {
                Some("human") => Role::User,
                Some("machine") => Role::Assistant,
                _ => Role::Tool,
            };
            let mut view = message(role, text(entry, "say"));
            for act in entry["acts"].as_array().into_iter().flatten() {
                view.tool_calls.push(ToolCallView {
                    id: text(act, "ref"),
                    name: text(act, "tool"),
                    arguments: act["with"].to_string(),
                    ..ToolCallView::default()
                });
            }
            if role == Role::Tool {
                view.tool_results.push(ToolResultView {
                    id: text(entry, "ref"),
                    text: text(entry, "out"),
                    failed: None,
                });
            }
            messages.push(view);
        }
        Ok(RequestView {
            model: model.to_owned(),
            streamed: verb == Some("stream"),
            choices: 1,
            messages,
            ..RequestView::default()
        })
    }

    fn error_body(&self, error: &ClientError) -> Vec<u8> {
        json!({"fault": error.code, "why": error.message})
            .to_string()
            .into()
    }

    fn stream_type(&self) -> &'static str {
        "application/x-ndjson"
    }

    fn keep_alive(&self) -> Bytes {
        Bytes::from_static(b"\n")
    }

    fn to_portable(&self, _: Received<'_>) -> Result<Portable, NotPortable> {
        Err(NotPortable::field("charter", "no other API has it"))
    }
}

impl Outbound for Parley {
    fn path(&self, model: &str, streamed: bool) -> String {
        let verb = if streamed { "stream" } else { "ask" };
        format!("/parley/{model}/{verb}")
    }

    fn edit_request(&self, body: &[u8], edits: &RequestEdits) -> Result<Vec<u8>, EditError> {
        let mut body = parsed(body)?;
        for edit in &edits.messages {
            match edit {
                MessageEdit::Insert { text: more, .. } => {
                    let charter = format!("{}\n{more}", text(&body, "charter"));
                    body["charter"] = charter.trim().into();
                }
                MessageEdit::Rewrite { index: 0, text } => body["charter"] = text.as_str().into(),
                other => {
                    return Err(EditError::Impossible {
                        place: "entries".to_owned(),
                        what: format!("{other:?}"),
                    });
                }
            }
        }
        Ok(body.to_string().into())
    }

    fn continue_request(&self, body: &[u8], turn: &Turn) -> Result<Vec<u8>, EditError> {
        let mut body = parsed(body)?;
        let own = turn.own().map(|own| parsed(own.as_bytes())).transpose()?;
        let mut entry = own.unwrap_or_else(|| json!({"by": "machine", "say": turn.said()}));
        let calls = turn.calls();
        entry["acts"] = calls
            .iter()
            .map(|(call, _)| {
                let with: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
                json!({"ref": call.id, "tool": call.name, "with": with})
            })
            .collect();
        let results = calls
            .iter()
            .map(|(call, result)| json!({"by": "tool", "ref": call.id, "out": result}));
        if let Some(entries) = body["entries"].as_array_mut() {
            entries.push(entry);
            entries.extend(results);
        }
        Ok(body.to_string().into())
    }

    fn of_portable(&self, _: &Portable) -> Result<Vec<u8>, NotPortable> {
        Err(NotPortable::to(
            "parley",
            "messages",
            "it takes none of others",
        ))
    }

    fn meaning(&self, reason: &str) -> Finish {
        match reason {
            "done" => Finish::Stop,
            _ => Finish::Other,
        }
    }

    fn ask(&self, _: &str, system: &str, user: &str, _: u64) -> Vec<u8> {
        let entries = json!([{"by": "human", "say": user}]);
        json!({"charter": system, "entries": entries})
            .to_string()
            .into()
    }

    fn wire(&self) -> Wire {
        Wire::Lines
    }

    fn read_error(&self, status: u16, body: &[u8]) -> Failure {
        Failure {
            status,
            kind: FailureKind::Upstream,
            message: String::from_utf8_lossy(body).into_owned(),
        }
    }
}

impl ParleyReader {
    fn act(&self, act: &Value, out: &mut Vec<Piece>) {
        out.push(Piece::Call(CallPart {
            choice: 0,
            slot: Slot::Unnumbered,
            kind: CallKind::Function,
            id: Some(text(act, "ref")),
            name: Some(text(act, "tool")),
            arguments: act["with"].to_string(),
        }));
    }

    fn value(&self, value: &Value, out: &mut Vec<Piece>) {
        if let Some(said) = value["say"].as_str() {
            out.push(Piece::Text {
                place: output(),
                text: said.to_owned(),
                generated: true,
            });
        }
        if value["act"].is_object() {
            self.act(&value["act"], out);
        }
        for act in value["acts"].as_array().into_iter().flatten() {
            self.act(act, out);
        }
        if let Some(reason) = value["close"].as_str() {
            out.push(Piece::Finish {
                choice: 0,
                reason: reason.to_owned(),
            });
            out.push(Piece::End);
        }
    }
}

impl Reader for ParleyReader {
    fn frame(&mut self, frame: &Frame, out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let value = parsed(frame.data.as_deref().unwrap_or_default())?;
        if let Some(id) = value["open"].as_str() {
            self.identity.id = id.to_owned();
        }
        self.value(&value, out);
        Ok(())
    }

    fn body(&mut self, body: &[u8], out: &mut Vec<Piece>) -> Result<(), Undecodable> {
        let value = parsed(body)?;
        self.identity.id = text(&value, "open");
        self.value(&value, out);
        Ok(())
    }

    fn is_usage_only(&self, _: &Frame) -> bool {
        false
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn gather(&mut self, payload: &[u8]) {
        let value = parsed(payload).unwrap_or_default();
        self.seal.push_str(&text(&value, "seal"));
        self.said.push_str(&text(&value, "say"));
        if value["act"].is_object() {
            self.calls.push(value["act"].clone());
        }
        self.calls
            .extend(value["acts"].as_array().cloned().unwrap_or_default());
    }

    fn give_up(&mut self) {
        self.lost = true;
    }

    fn own_message(&self) -> Option<String> {
        let own = json!({"by": "machine", "seal": self.seal, "say": self.said});
        (!self.lost && !self.seal.is_empty()).then(|| own.to_string())
    }

    fn own_call(&self, id: &str) -> Option<String> {
        let call = self.calls.iter().find(|call| call["ref"] == id)?;
        Some(call.to_string())
    }
}

impl ParleyWriter {
    fn numbered(&mut self, mut value: Value) -> Bytes {
        value["no"] = self.next.into();
        self.next += 1;
        line(&value)
    }
}

impl Writer for ParleyWriter {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn meet(&mut self, stated: &Identity) {
        self.identity.meet(stated);
    }

    fn speak_alone(&mut self) {
        self.identity = Identity::default();
    }

    fn frame(&mut self, frame: &Frame, edits: &Edits<'_>) -> Result<Option<Bytes>, EditError> {
        let mut value = parsed(frame.data.as_deref().unwrap_or_default())?;
        if *edits == Edits::default() && value["no"] == self.next {
            self.next += 1;
            return Ok(Some(frame.raw.clone()));
        }
        let foreign = edits.identity.is_some() && value["open"].is_string();
        let denied = edits.calls.contains(&CallEdit::Drop);
        // A thought whose call is kept back is not signed for what remains.
        let ends = edits.goes_on && (value["close"].is_string() || value["seal"].is_string());
        if foreign || denied || ends {
            return Ok(None);
        }
        if let Some(edit) = edits.texts.first() {
            value["say"] = edit.text.as_str().into();
        }
        Ok(Some(self.numbered(value)))
    }

    fn body(&mut self, body: &Bytes, edits: &Edits<'_>) -> Result<Bytes, EditError> {
        if *edits == Edits::default() {
            return Ok(body.clone());
        }
        let mut value = parsed(body)?;
        let before: String = edits.before.iter().map(|edit| edit.text.as_str()).collect();
        value["say"] = format!("{before}{}", text(&value, "say")).into();
        if let Some(acts) = value["acts"].as_array_mut() {
            let mut edits = edits.calls.iter();
            acts.retain(|_| edits.next() != Some(&CallEdit::Drop));
        }
        Ok(value.to_string().into())
    }

    fn stream_of_body(&self, body: &[u8]) -> Result<Bytes, Undecodable> {
        Ok(line(&parsed(body)?))
    }

    fn body_of_stream(&self, _: &[Frame]) -> Result<Vec<u8>, Undecodable> {
        Err(undecodable("the body", "it is a stream"))
    }

    fn text(&mut self, _: Place, text: &str) -> Result<Bytes, EditError> {
        Ok(self.numbered(json!({"say": text})))
    }

    fn close(&mut self, closing: &Closing<'_>) -> Bytes {
        let mut out = Vec::new();
        if !closing.begun {
            let open = self.identity.id.clone();
            out.extend_from_slice(&self.numbered(json!({"open": open})));
        }
        if !closing.text.is_empty() {
            out.extend_from_slice(&self.numbered(json!({"say": closing.text})));
        }
        let why = match closing.ending {
            Ending::Complete => "done",
            Ending::Refused => "refused",
            Ending::Partial(_) => "partial",
        };
        out.extend_from_slice(&self.numbered(json!({"close": why})));
        out.into()
    }

    fn answer(&mut self, text: &str, _: bool, _: &Ending, _: Usage) -> Vec<u8> {
        json!({"open": self.identity.id, "say": text, "close": "done"})
            .to_string()
            .into()
    }

    fn end_body(&mut self, body: &[u8], _: &Ending) -> Result<Vec<u8>, EditError> {
        let mut value = parsed(body)?;
        value["close"] = "partial".into();
        Ok(value.to_string().into())
    }

    fn error(&mut self, error: &ClientError) -> Bytes {
        self.numbered(json!({"fault": error.code, "why": error.message}))
    }

    fn say(&mut self, piece: &Piece, _: Finish) -> Result<Bytes, EditError> {
        Err(EditError::Impossible {
            place: "a line".to_owned(),
            what: format!("{piece:?}"),
        })
    }
}
