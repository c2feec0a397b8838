//! A model call as Airlock sees it in any dialect, and the edits it can make to one.

use std::ops::Range;

use super::tool_call::{ToolCallView, stated_id};
use super::turn::Turn;
use crate::event::Role;
use crate::event::digest::{Digest, Hasher};

/// What a request body says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestView {
    /// Model asked for; empty if the request leaves it to the server.
    pub model: String,
    /// Whether the response shall be streamed.
    pub streamed: bool,
    /// Choices asked for, 1 unless stated.
    pub choices: u16,
    /// The conversation, in order.
    pub messages: Vec<MessageView>,
    /// Names of the tools offered.
    pub tools: Vec<String>,
    /// The request's own limit of output tokens.
    pub max_output_tokens: Option<u32>,
    /// The answer must have a form (JSON mode, a schema, a grammar).
    pub structured_output: bool,
    /// What no policy can judge of the answer, in words that complete "Airlock cannot judge": `speech`, `an answer that is
    /// fetched later`, ...; the call is refused while an enforcing policy applies.
    pub unjudgeable: Option<&'static str>,
    /// The answer is generated after the response, where nobody can count it.
    pub later: bool,
    /// The server has the conversation up to this request: `messages` begins with what the request itself bears.
    pub continues: Option<Continued>,
    /// The client asked for usage in the stream.
    pub include_usage: bool,
    /// Identifies the end user, not the session.
    pub end_user: Option<String>,
    /// Values in the body that may name the session, best first: name of the field, value. Chosen by the client.
    pub session_hints: Vec<(&'static str, String)>,
}

/// A conversation that the server keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Continued {
    /// Field that names it: `previous_response_id`, `conversation`.
    pub field: &'static str,
    /// Its id.
    pub id: String,
    /// The request bears only what follows on it. Otherwise it stands before the whole conversation, and perhaps before
    /// others' too.
    pub chain: bool,
}

/// One message of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageView {
    /// Who speaks.
    pub role: Role,
    /// Its text: all text parts, joined by LF. Without tool results where the dialect has them as parts.
    pub text: String,
    /// Tool calls that the model made in it.
    pub tool_calls: Vec<ToolCallView>,
    /// Answers to tool calls that it carries.
    pub tool_results: Vec<ToolResultView>,
    /// Name of the speaker.
    pub name: Option<String>,
    /// Its parts that are not text (images, audio, files).
    pub media: Vec<MediaView>,
    /// Bytes of the message in the body.
    pub span: Range<usize>,
    /// Of the parts that are not text; zero if there are none.
    pub media_digest: Digest,
}

/// A part that is not text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MediaView {
    /// The dialect's word for it.
    pub name: String,
    /// Index among the parts of its message.
    pub index: u32,
    /// Media type; empty if none is stated.
    pub media_type: String,
    /// Where it lies, if not in the request; an address or a file's id.
    pub reference: String,
    /// Bytes of it that are in the request, decoded; of an unknown part, those of its JSON.
    pub bytes: u64,
}

/// The answer to a tool call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToolResultView {
    /// Id of the call that it answers; empty if the dialect gives none.
    pub id: String,
    /// The result.
    pub text: String,
    /// The dialect's own mark of failure; `None` if it has none.
    pub failed: Option<bool>,
}

/// Changes to a request body. All indices are those of the messages before any edit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestEdits {
    /// Another model.
    pub model: Option<String>,
    /// Parameters to set: name, and value as JSON.
    pub parameters: Vec<(String, String)>,
    /// Changes to the conversation.
    pub messages: Vec<MessageEdit>,
    /// The answer on which it follows, by the id that its server gave it.
    pub follows: Option<String>,
    /// Ask for usage in the stream, if the response is streamed.
    pub include_usage: bool,
    /// Ask for a stream, whatever the client asked for.
    pub streamed: bool,
    /// Lower the limit of output tokens (of each choice) to this, or set it.
    pub max_output_tokens: Option<u32>,
}

/// A change to the conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageEdit {
    /// A new message before the message with index `at`; the number of messages: after the last. Several at one index
    /// keep their order.
    Insert {
        /// Where; [`RequestView::insertion_point`] finds one that splits no tool call from its result.
        at: usize,
        /// Who speaks: system, developer, user or assistant.
        role: Role,
        /// What.
        text: String,
    },
    /// Other text for one message; parts that are not text stay.
    Rewrite {
        /// Which.
        index: usize,
        /// Its text.
        text: String,
    },
    /// Other text for the result of a tool call that a message carries.
    Result {
        /// Which message.
        index: usize,
        /// Id of the call.
        id: String,
        /// The result.
        text: String,
    },
    /// One message less.
    Evict {
        /// Which.
        index: usize,
    },
    /// Tool calls that the model made besides those of an assistant's message, each at its place among them, and their
    /// results, right after the message.
    AddCalls {
        /// Which message.
        index: usize,
        /// The calls and their results.
        calls: Vec<(ToolCallView, String)>,
    },
    /// A turn of the model before the message with index `at`, and the results of its calls. Stands as
    /// [`MessageEdit::Insert`] does.
    InsertStep {
        /// Index before which it stands.
        at: usize,
        /// The turn, with the results of its calls.
        turn: Turn,
    },
}

impl MessageEdit {
    /// Index of the message that it changes, or before which it puts others.
    pub fn index(&self) -> usize {
        match self {
            Self::Insert { at, .. } | Self::InsertStep { at, .. } => *at,
            Self::Rewrite { index, .. }
            | Self::Result { index, .. }
            | Self::Evict { index }
            | Self::AddCalls { index, .. } => *index,
        }
    }

    /// Whether it puts messages before the one at its index, so that the index may be the number of messages.
    pub fn inserts(&self) -> bool {
        matches!(self, Self::Insert { .. } | Self::InsertStep { .. })
    }
}

impl RequestView {
    /// The answer or conversation on which the request follows, and bears nothing of.
    pub fn follows(&self) -> Option<&Continued> {
        self.continues.as_ref().filter(|continued| continued.chain)
    }

    /// The index at or before `at` where a message can be inserted without coming between a tool call and its result:
    /// vendors refuse such a request.
    pub fn insertion_point(&self, at: usize) -> usize {
        let mut at = at.min(self.messages.len());
        while at > 0
            && self
                .messages
                .get(at)
                .is_some_and(|message| !message.tool_results.is_empty())
        {
            at -= 1;
        }
        at
    }
}

impl RequestView {
    /// Identity of a request by its messages' `digests` and all bytes of `body` beside them: a client that sends it again
    /// sends the same, and no byte is hashed twice.
    pub fn digest(&self, body: &[u8], digests: &[Digest]) -> Digest {
        let mut hash = Hasher::default();
        let mut spans: Vec<(&Range<usize>, &Digest)> = Vec::with_capacity(digests.len());
        spans.extend(self.messages.iter().map(|m| &m.span).zip(digests));
        // System text is the first message, and may stand behind all others in the body.
        spans.sort_by_key(|(span, _)| span.start);
        let mut from = 0;
        for (span, digest) in spans {
            hash.part(body.get(from..span.start).unwrap_or_default());
            hash.part(digest);
            from = from.max(span.end);
        }
        hash.part(body.get(from..).unwrap_or_default());
        hash.digest()
    }
}

impl MessageView {
    /// The same for two messages that mean the same, however a client spells them: a string or a list with one text part,
    /// arguments with other white space or another order of keys, `null` or a missing field, with or without cache marks
    /// and reasoning, calls without ids or with those that Airlock made for them. A turn that was just generated has the digest
    /// with which the client will send it back.
    pub fn digest(&self) -> Digest {
        let mut hash = Hasher::default();
        hash.part(word(self.role).as_bytes());
        hash.part(self.name.as_deref().unwrap_or_default().as_bytes());
        // As `str::lines` has them, found at the speed of memory.
        let mut rest = self.text.as_bytes();
        while !rest.is_empty() {
            let end = memchr::memchr(b'\n', rest);
            let (line, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            let line = line
                .strip_suffix(b"\n")
                .map_or(line, |line| line.strip_suffix(b"\r").unwrap_or(line));
            hash.part(line);
            rest = after;
        }
        hash.part(b"calls");
        for call in &self.tool_calls {
            hash.part(stated_id(&call.id).as_bytes());
            hash.part(call.name.as_bytes());
            // serde_json keeps keys in order, so arguments are compared by value only after sorting.
            match serde_json::from_str::<serde_json::Value>(&call.arguments) {
                Ok(mut value) => {
                    value.sort_all_objects();
                    hash.part(value.to_string().as_bytes());
                }
                Err(_) => hash.part(call.arguments.as_bytes()),
            }
        }
        hash.part(b"results");
        for result in &self.tool_results {
            hash.part(stated_id(&result.id).as_bytes());
            hash.part(result.text.as_bytes());
        }
        hash.part(&self.media_digest);
        hash.digest()
    }
}

/// Of a role, as digests have it since the first version: saved conversations are held against them.
fn word(role: Role) -> &'static str {
    match role {
        Role::System => "System",
        Role::Developer => "Developer",
        Role::User => "User",
        Role::Assistant => "Assistant",
        Role::Tool => "Tool",
        Role::Other => "Other",
    }
}
