//! What is known of one client's stream, and what Airlock puts into it.

use serde_json::{Value, json};

use crate::dialect::openai_responses::client::Client;
use crate::dialect::openai_responses::compose::Out;
use crate::dialect::openai_responses::event::Kind;
use crate::dialect::openai_responses::record::Record;
use crate::dialect::openai_responses::rows::Links;
use crate::dialect::openai_responses::{error, forms};
use crate::dialect::{ClientError, Edits, Ending, Identity};
use crate::event::Usage;

/// One client's stream. As long as nothing is edited, the client reads what the upstream says, and one record is kept. From the
/// first edit on there are two: what the upstream said, by which its repetitions are known, and what the client has, from which
/// they are written.
#[derive(Debug, Default)]
pub(super) struct State {
    pub identity: Identity,
    pub client: Client,
    /// What the upstream of the present leg said, where that is not what the client has.
    pub theirs: Option<Record>,
    pub links: Links,
    /// The present leg is not the first.
    pub foreign: bool,
}

impl State {
    /// What the upstream said is from now on another matter than what the client has.
    pub fn part_ways(&mut self) -> &mut Record {
        if self.theirs.is_none() {
            for key in self.client.record.items.keys() {
                self.links.link(*key, *key);
            }
        }
        let client = &self.client;
        self.theirs.get_or_insert_with(|| client.record.clone())
    }

    /// A leg that is not the first begins: what is open of the one before ends. Nothing is written if nothing is.
    pub fn next_leg(&mut self, out: &mut Out) {
        self.part_ways().begin_again();
        self.links = Links::default();
        self.foreign = true;
        self.client.renumbers = true;
        self.client.finish_items(out, "incomplete");
    }

    /// Whether an event is the first of a further leg.
    pub fn turns(&self, kind: Kind, name: &str, edits: &Edits<'_>) -> bool {
        let begins = kind == Kind::Begins && name == "response.created";
        edits.identity.is_some() && self.client.record.began && (begins || !self.foreign)
    }

    /// The response object as the client has it.
    pub fn response(&self) -> Value {
        let known = self.client.response.as_ref();
        let known = known.and_then(|known| serde_json::from_str::<Value>(known).ok());
        let known = known.filter(Value::is_object);
        known.unwrap_or_else(|| forms::response(&self.identity, "in_progress"))
    }

    /// Id of the next item that Airlock puts in.
    pub fn fresh_id(&self, prefix: &str) -> String {
        let number = self.client.next_item().to_string();
        forms::item_id(prefix, &self.identity.id, &number)
    }

    /// The last event, with this ending.
    pub fn end(&mut self, out: &mut Out, ending: &Ending, usage: Option<Usage>) {
        let mut response = self.response();
        response["output"] = self.client.output(forms::status(ending)).into();
        response["error"] = Value::Null;
        if let Some(usage) = usage {
            response["usage"] = forms::usage(usage);
        }
        if let Some(fields) = response.as_object_mut() {
            fields.extend(forms::ended(ending));
        }
        let fields = json!({ "response": response });
        self.client.emit(out, forms::last_event(ending), fields);
    }

    /// Two events, as OpenAI itself writes them. At the first one the `openai` package (3.52) raises `APIError`, since it has a
    /// field `error`; it reads no event after it. Its type declares `code` and `message` beside that, where others look.
    /// Clients that read neither (Codex) fail at the second; without it they take the end of the stream for a broken connection,
    /// and repeat the call.
    pub fn fail(&mut self, out: &mut Out, error: &ClientError) {
        let fields = json!({
            "code": error.code,
            "message": error.message,
            "param": null,
            "error": error::object(error),
        });
        self.client.emit(out, "error", fields);
        let mut response = self.response();
        response["status"] = "failed".into();
        response["error"] = json!({ "code": error.code, "message": error.message });
        // What is not finished is not repeated: agents mend a cut call, and run it.
        response["output"] = self.client.finished().into();
        let fields = json!({ "response": response });
        self.client.emit(out, "response.failed", fields);
    }
}
