//! What an event or body says, fact by fact, and where each stands in its bytes.

use std::borrow::Cow;

use crate::dialect::CallKind;
use crate::dialect::json::Raw;
use crate::dialect::openai_responses::event::Kind;
use crate::event::Place;

/// An event, or a body as the last event of a stream.
#[derive(Default)]
pub(super) struct Event<'a> {
    /// Its `type`.
    pub name: Cow<'a, str>,
    pub kind: Kind,
    /// Number of the item that it is about.
    pub item: Option<u32>,
    /// Value of `output_index`.
    pub index: Option<Raw<'a>>,
    /// Value of `sequence_number`.
    pub sequence: Option<Raw<'a>>,
    /// The item or part that begins or ends, and the path of the part in its item.
    pub object: Option<Raw<'a>>,
    pub path: String,
    /// The response object.
    pub response: Option<Raw<'a>>,
    /// The response's list of items, and each of them with its number.
    pub output: Option<(Raw<'a>, Vec<(u32, Raw<'a>)>)>,
    /// What it says, in its order.
    pub facts: Vec<Fact<'a>>,
}

/// A fact, and where it stands.
pub(super) enum Fact<'a> {
    Id(Raw<'a>),
    Model(Raw<'a>),
    Created(Raw<'a>),
    Text(Said<'a>),
    Call(Part<'a>),
    /// Probabilities of the tokens of a text.
    Tokens {
        item: u32,
        path: String,
        value: Raw<'a>,
    },
    /// All that was said to the user, once more.
    All(Raw<'a>),
    Usage(Raw<'a>),
    Error(Raw<'a>),
    Finish(String),
    End,
}

/// Text that is said, in part or whole. Whole it may be a repetition.
pub(super) struct Said<'a> {
    pub place: Place,
    /// Number of its item; `None`: it stands in none.
    pub item: Option<u32>,
    /// Where in the item, or in the response.
    pub path: String,
    /// `None`: it is not the value of a field of its own, and cannot be replaced.
    pub value: Option<Raw<'a>>,
    pub text: Cow<'a, str>,
    /// Offset in the text from which on it is new.
    pub new: usize,
    /// It is the whole text and not a further part.
    pub whole: bool,
    /// The model wrote it.
    pub generated: bool,
}

impl Said<'_> {
    /// What is new of it.
    pub fn news(&self) -> &str {
        self.text.get(self.new..).unwrap_or_default()
    }
}

/// What is said of a call.
pub(super) struct Part<'a> {
    pub item: u32,
    /// Number among the calls of the answer.
    pub number: u16,
    pub kind: CallKind,
    /// What of them is new.
    pub id: Option<String>,
    pub name: Option<String>,
    /// The arguments, in part or whole, and from where on they are new.
    pub text: Cow<'a, str>,
    pub new: usize,
    pub whole: bool,
    /// The value that bears them: a string, or what a tool that OpenAI describes is to do. `None`: none does.
    pub value: Option<Raw<'a>>,
    pub built: bool,
    /// Nobody has said so much of it before.
    pub says: bool,
}

impl Part<'_> {
    /// What is new of its arguments.
    pub fn news(&self) -> &str {
        self.text.get(self.new..).unwrap_or_default()
    }
}
