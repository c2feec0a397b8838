//! What a reader of responses says: pieces, whose response they are of, and what cannot be read.

use crate::event::{FailureKind, Place, Usage};

/// What a response says.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// New text at a place, arguments of tool calls apart. Several in one frame at one place join.
    Text {
        /// Where.
        place: Place,
        /// Never empty.
        text: String,
        /// Whether the model wrote it: it counts as output. Sources, errors and the like do not.
        generated: bool,
    },
    /// A part of a tool call, one for each that a frame or body has, in its order:
    /// [`Edits::calls`](crate::dialect::Edits::calls) answers in the same.
    Call(CallPart),
    /// There are fields that a client of this form does not read (`message` in a stream, `delta` in a body). They were not
    /// read here either, and must not leave where somebody judges: see [`Edits::alone`](crate::dialect::Edits::alone).
    Beside,
    /// A choice ended, in the dialect's own word.
    Finish {
        /// Index of the choice.
        choice: u16,
        /// `stop`, `length`, `tool_calls`, `content_filter`, ...
        reason: String,
    },
    /// Tokens so far or in all; a later one replaces an earlier one.
    Usage(Usage),
    /// The upstream failed and says so in the stream or body.
    Error(Failure),
    /// The response is complete (`[DONE]`).
    End,
}

/// A part of a tool call: what one element of a frame or body says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallPart {
    /// Index of the choice.
    pub choice: u16,
    /// By what it is known which call it is a part of.
    pub slot: Slot,
    /// Shape of the call.
    pub kind: CallKind,
    /// The vendor's id; never empty.
    pub id: Option<String>,
    /// Name of the tool; never empty.
    pub name: Option<String>,
    /// Arguments, or a further part of them.
    pub arguments: String,
}

/// How an upstream numbers a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Slot {
    /// Not at all, in a stream.
    #[default]
    Unnumbered,
    /// With this index.
    Index(u16),
    /// It is the one call of a field that holds one.
    Single,
    /// It stands whole in a list: its place is its number.
    Whole,
}

/// Shape of a call. One call has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CallKind {
    /// Not said.
    #[default]
    Unsaid,
    /// Of a function: arguments are JSON.
    Function,
    /// Of a custom tool: arguments are text.
    Custom,
}

/// An upstream's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// HTTP status, or the one that the error states; 0 if none.
    pub status: u16,
    /// What failed.
    pub kind: FailureKind,
    /// Its message.
    pub message: String,
}

/// Ids that all frames of a stream carry. Synthesised frames must carry the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Id of the response. If nothing came from an upstream yet, the caller chooses one.
    pub id: String,
    /// Model that answers.
    pub model: String,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// Field in which the upstream writes reasoning, where servers of the dialect differ.
    pub reasoning_field: Option<&'static str>,
}

impl Identity {
    /// Takes what another one states, and keeps the rest. Nearly always it is the same again: that costs no allocation.
    pub fn meet(&mut self, stated: &Identity) {
        for (known, stated) in [(&mut self.id, &stated.id), (&mut self.model, &stated.model)] {
            if !stated.is_empty() && known != stated {
                known.clone_from(stated);
            }
        }
        if stated.created > 0 {
            self.created = stated.created;
        }
        self.reasoning_field = stated.reasoning_field.or(self.reasoning_field);
    }
}

/// Bytes that are not what the dialect says they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{dialect}{}cannot read {place}: {what}", if dialect.is_empty() { "" } else { ": " })]
pub struct Undecodable {
    /// Name of the dialect; empty where what is shared by all of them fails.
    pub dialect: &'static str,
    /// Field or part of the message, as a path (`choices[0].delta.content`).
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

impl Undecodable {
    /// Something at a place, in whatever dialect.
    pub fn at(place: impl Into<String>, what: impl ToString) -> Self {
        Self {
            dialect: "",
            place: place.into(),
            what: what.to_string(),
        }
    }

    /// The same, in this dialect.
    pub fn of(self, dialect: &'static str) -> Self {
        Self { dialect, ..self }
    }
}

/// What a finish reason means, in whatever word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model had said what it wanted to say, or met a stop sequence.
    Stop,
    /// A limit of tokens.
    Length,
    /// It calls tools.
    ToolCalls,
    /// A filter or a refusal.
    Filtered,
    /// Something that no other API has a word for (`pause_turn`, `RECITATION`, ...).
    Other,
}
