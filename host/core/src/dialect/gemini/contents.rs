//! The conversation of a request: its contents as messages, and where the calls and results of each stand.
//!
//! A run of contents of the model is one message: SDKs keep a streamed turn as one content for each frame. Its texts join as
//! they were generated, without anything between them. The system instruction stands outside of the contents, and is message 0.

use std::borrow::Cow;
use std::ops::Range;

use crate::dialect::gemini::calls::Names;
use crate::dialect::gemini::fields::{Fields, list};
use crate::dialect::gemini::function;
use crate::dialect::gemini::part::one_of;
use crate::dialect::gemini::undecodable::undecodable;
use crate::dialect::json::{self, Raw};
use crate::dialect::tool_call::made_up;
use crate::dialect::{ToolCallView, Undecodable};
use crate::event::Role;

/// Contents of one request at most.
const MAX_CONTENTS: usize = 65_536;

/// Where a part stands: number of its content, and its place in it.
pub(super) type At = (usize, usize);

/// A request, taken apart.
pub(super) struct Layout<'a> {
    pub root: Fields<'a>,
    pub system: Option<Raw<'a>>,
    pub contents: Vec<Raw<'a>>,
    /// Messages, the system instruction first.
    pub messages: Vec<Message<'a>>,
}

/// A message.
pub(super) struct Message<'a> {
    pub role: Role,
    /// Contents that it consists of; none: it is the system instruction.
    pub run: Range<usize>,
    pub parts: Vec<(At, Part<'a>)>,
}

/// A part of a content, as far as anybody judges it.
pub(super) enum Part<'a> {
    Text(Cow<'a, str>),
    /// A thought of the model, or the signature of one alone.
    Thought(Cow<'a, str>),
    Call(ToolCallView),
    Result {
        id: String,
        name: String,
        text: Cow<'a, str>,
        failed: Option<bool>,
        /// Pictures and the like in it.
        media: Vec<(&'static str, Raw<'a>)>,
    },
    /// Anything else: the name of the field that it is, and the part.
    Other(String, Raw<'a>),
}

impl<'a> Layout<'a> {
    pub fn of(source: &'a str) -> Result<Self, Undecodable> {
        let root = Fields::parse(source, "the request")?;
        let path = || "contents".to_owned();
        let contents = root
            .get("contents")
            .ok_or_else(|| undecodable(path(), "the request has no such field"))?;
        let contents = list(contents, &path)?;
        if contents.len() > MAX_CONTENTS {
            let count = contents.len();
            let what = format!(
                "the request has {count} contents, and at most {MAX_CONTENTS} are read: shorten its history"
            );
            return Err(undecodable(path(), what));
        }
        let system = root.get("systemInstruction");
        let mut layout = Self {
            root,
            system,
            contents,
            messages: Vec::new(),
        };
        layout.read()?;
        Ok(layout)
    }

    /// The number of the content before which a message begins, or what is put before it stands.
    pub fn content_at(&self, message: usize) -> usize {
        self.messages
            .get(message)
            .map_or(self.contents.len(), |message| message.run.start)
    }

    fn read(&mut self) -> Result<(), Undecodable> {
        let mut answers = Answers::default();
        if let Some(system) = self.system {
            let path = || "systemInstruction".to_owned();
            let (_, parts) = content(system, &path)?;
            let mut message = Message::new(Role::System, 0..0);
            for (at, part) in parts.into_iter().enumerate() {
                let part = read(part, Role::System, &mut answers, &|| {
                    format!("systemInstruction.parts[{at}]")
                })?;
                message.parts.push(((0, at), part));
            }
            self.messages.push(message);
        }
        for (n, value) in self.contents.iter().enumerate() {
            let path = || format!("contents[{n}]");
            let (role, parts) = content(*value, &path)?;
            let goes_on = self.messages.last().is_some_and(|last| {
                last.role == Role::Assistant && role == Role::Assistant && last.run.end == n
            });
            if !goes_on {
                if role == Role::Assistant {
                    answers = Answers::default();
                }
                self.messages.push(Message::new(role, n..n));
            }
            let Some(message) = self.messages.last_mut() else {
                continue;
            };
            message.run.end = n + 1;
            for (at, part) in parts.into_iter().enumerate() {
                let part = read(part, role, &mut answers, &|| {
                    format!("contents[{n}].parts[{at}]")
                })?;
                message.parts.push(((n, at), part));
            }
            // What only brings results is nobody's word.
            let results = |(_, part): &(At, Part<'_>)| matches!(part, Part::Result { .. });
            if role != Role::Assistant
                && !message.parts.is_empty()
                && message.parts.iter().all(results)
            {
                message.role = Role::Tool;
            }
        }
        Ok(())
    }
}

impl<'a> Message<'a> {
    fn new(role: Role, run: Range<usize>) -> Self {
        Self {
            role,
            run,
            parts: Vec::new(),
        }
    }

    /// Where its calls stand.
    pub fn calls(&self) -> Vec<At> {
        let calls = self
            .parts
            .iter()
            .filter(|(_, part)| matches!(part, Part::Call(_)));
        calls.map(|(at, _)| *at).collect()
    }

    /// Where its results stand, with their ids.
    pub fn results(&self) -> Vec<(At, &str)> {
        let results = self.parts.iter().filter_map(|(at, part)| match part {
            Part::Result { id, .. } => Some((*at, id.as_str())),
            _ => None,
        });
        results.collect()
    }
}

/// Role and parts of a content.
pub(super) fn content<'a>(
    value: Raw<'a>,
    path: &dyn Fn() -> String,
) -> Result<(Role, Vec<Raw<'a>>), Undecodable> {
    let fields = Fields::of(value, path)?;
    let role = match fields.text("role", path)?.as_deref() {
        Some("user" | "") | None => Role::User,
        Some("model") => Role::Assistant,
        Some("function") => Role::Tool,
        Some("system") => Role::System,
        Some(_) => Role::Other,
    };
    let parts = fields
        .get("parts")
        .map(|parts| list(parts, &|| format!("{}.parts", path())));
    Ok((role, parts.transpose()?.unwrap_or_default()))
}

/// The calls that wait for their results, and how many of each name were answered.
#[derive(Default)]
struct Answers {
    made: Names,
    calls: Vec<ToolCallView>,
    answered: Names,
}

impl Answers {
    /// The id of a call, or one that is made up of its place.
    fn call(&mut self, id: Option<Cow<'_, str>>, name: String, arguments: String) -> ToolCallView {
        let made = self.made.id(&name);
        let call = ToolCallView {
            id: id.map_or(made, Cow::into_owned),
            name,
            arguments,
            ..ToolCallView::default()
        };
        self.calls.push(call.clone());
        call
    }

    /// The id of the call that a result answers: what it states, or that of the call of its name at its place.
    fn result(&mut self, id: Option<Cow<'_, str>>, name: &str) -> String {
        let at = self.answered.next(name);
        let answers = self.calls.iter().filter(|call| call.name == name).nth(at);
        match (id, answers) {
            (Some(id), _) => id.into_owned(),
            (None, Some(call)) => call.id.clone(),
            (None, None) => made_up(name, at),
        }
    }
}

fn read<'a>(
    part: Raw<'a>,
    role: Role,
    answers: &mut Answers,
    path: &dyn Fn() -> String,
) -> Result<Part<'a>, Undecodable> {
    let fields = Fields::of(part, path)?;
    one_of(&fields, path)?;
    let thought = fields.flag("thought", path)? && role == Role::Assistant;
    let filled = |text: Option<Cow<'a, str>>| text.filter(|text| !text.is_empty());
    if let Some(call) = fields.inner("functionCall", path)? {
        let path = || format!("{}.functionCall", path());
        let arguments = call.get("args");
        if arguments.is_some_and(|arguments| json::first_byte(arguments) != b'{') {
            return Err(undecodable(
                format!("{}.args", path()),
                "they are no object",
            ));
        }
        let id = filled(call.text("id", &path)?);
        let name = call.text("name", &path)?.unwrap_or_default().into_owned();
        let arguments = arguments.map_or("{}", Raw::get).to_owned();
        return Ok(Part::Call(answers.call(id, name, arguments)));
    }
    if let Some(result) = fields.inner("functionResponse", path)? {
        let path = || format!("{}.functionResponse", path());
        let name = result.text("name", &path)?.unwrap_or_default().into_owned();
        let response = result.get("response");
        if response.is_some_and(|response| json::first_byte(response) != b'{') {
            return Err(undecodable(
                format!("{}.response", path()),
                "it is no object",
            ));
        }
        let (text, failed) = function::told(response);
        let mut media = Vec::new();
        if let Some(parts) = result.get("parts") {
            media.extend(
                list(parts, &|| format!("{}.parts", path()))?
                    .into_iter()
                    .map(|part| ("functionResponse", part)),
            );
        }
        let id = answers.result(filled(result.text("id", &path)?), &name);
        return Ok(Part::Result {
            id,
            name,
            text,
            failed,
            media,
        });
    }
    if let Some(text) = fields.text("text", path)? {
        return Ok(match thought {
            true => Part::Thought(text),
            false => Part::Text(text),
        });
    }
    let named = fields
        .iter()
        .map(|(name, _)| name)
        .find(|name| !matches!(*name, "thought" | "thoughtSignature"));
    Ok(match named {
        Some(name) => Part::Other(name.to_owned(), part),
        None => Part::Thought(Cow::Borrowed("")),
    })
}
