//! The conversation of a request as what was said in it.

use serde_json::Value;

use crate::dialect::gemini::contents::{At, Layout, Message, Part as Own};
use crate::dialect::gemini::fields::{Fields, list};
use crate::dialect::json::Raw;
use crate::dialect::portable::{Part, Said};
use crate::dialect::{NotPortable, Undecodable, is_made_up};
use crate::event::Role;

/// Fields of a part besides the one that it is: whose it is, and a signature that nobody else reads.
const BESIDE: [&str; 2] = ["thought", "thoughtSignature"];

/// Refuses fields of contents and parts that are not read.
pub(super) fn all_read(layout: &Layout<'_>) -> Result<(), NotPortable> {
    let contents = layout.contents.iter().enumerate();
    let contents = contents.map(|(n, content)| (format!("contents[{n}]"), *content));
    let system = layout
        .system
        .map(|system| ("systemInstruction".to_owned(), system));
    for (place, content) in system.into_iter().chain(contents) {
        let path = || place.clone();
        let fields = Fields::of(content, &path).map_err(unreadable)?;
        only_these(&fields, &place, &["role", "parts"])?;
        let parts = fields.get("parts").map(|parts| list(parts, &path));
        let parts = parts.transpose().map_err(unreadable)?.unwrap_or_default();
        for (n, part) in parts.into_iter().enumerate() {
            let place = format!("{place}.parts[{n}]");
            let part = Fields::of(part, &path).map_err(unreadable)?;
            let mut data = part.iter().filter(|(name, _)| !BESIDE.contains(name));
            let Some((kind, value)) = data.next() else {
                continue;
            };
            if let Some((name, _)) = data.next() {
                return Err(unheard_of(&place, name));
            }
            let known: &[&str] = match kind {
                "functionCall" => &["id", "name", "args"],
                "functionResponse" => &["id", "name", "response", "parts"],
                "inlineData" => &["mimeType", "data"],
                "fileData" => &["mimeType", "fileUri"],
                _ => continue,
            };
            let inner = Fields::of(value, &path).map_err(unreadable)?;
            only_these(&inner, &format!("{place}.{kind}"), known)?;
        }
    }
    Ok(())
}

fn only_these(fields: &Fields<'_>, place: &str, known: &[&str]) -> Result<(), NotPortable> {
    let other = fields.iter().find(|(name, _)| !known.contains(name));
    other.map_or(Ok(()), |(name, _)| Err(unheard_of(place, name)))
}

fn unheard_of(place: &str, name: &str) -> NotPortable {
    NotPortable::field(format!("{place}.{name}"), "no other API has it")
}

/// A request that cannot be read is none that can be carried.
pub(super) fn unreadable(error: Undecodable) -> NotPortable {
    NotPortable::field(error.place, error.what)
}

/// What was said, in order. A content that brings results and says more is the tools' and then the user's.
pub(super) fn turns(layout: &Layout<'_>) -> Result<Vec<Said>, NotPortable> {
    let mut ids = Ids::default();
    let mut turns: Vec<Said> = Vec::new();
    for message in &layout.messages {
        let mut said: Vec<Said> = Vec::new();
        for (at, part) in &message.parts {
            let (of_tool, part) = match portable(message, *at, part, &mut ids)? {
                Some(part) => (matches!(part, Part::Result { .. }), part),
                None => continue,
            };
            let role = match (message.role, of_tool) {
                (_, true) => Role::Tool,
                (Role::Tool, false) => Role::User,
                (Role::Other, false) => {
                    return Err(NotPortable::field(
                        path(message, *at, "role"),
                        "no other API has a speaker of this role",
                    ));
                }
                (role, false) => role,
            };
            match said.last_mut().filter(|said| said.role == role) {
                Some(said) => said.parts.push(part),
                None => said.push(Said {
                    role,
                    parts: vec![part],
                }),
            }
        }
        turns.extend(said);
    }
    Ok(turns)
}

/// Ids of calls that have none, which other APIs must have: counted through the conversation, so that each request of it
/// has the same.
#[derive(Default)]
struct Ids {
    calls: usize,
    /// The ids of the present turn, by those that were made up for it.
    known: Vec<(String, String)>,
}

impl Ids {
    fn call(&mut self, id: &str) -> String {
        self.calls += 1;
        if !is_made_up(id) {
            return id.to_owned();
        }
        let given = format!("call_{}", self.calls);
        self.known.retain(|(made, _)| made != id);
        self.known.push((id.to_owned(), given.clone()));
        given
    }

    fn result(&self, id: &str) -> Option<String> {
        let known = self.known.iter().rev().find(|(made, _)| made == id);
        match known {
            Some((_, given)) => Some(given.clone()),
            None => (!is_made_up(id)).then(|| id.to_owned()),
        }
    }
}

fn portable(
    message: &Message<'_>,
    at: At,
    part: &Own<'_>,
    ids: &mut Ids,
) -> Result<Option<Part>, NotPortable> {
    let refused = |field: &str, why: &str| Err(NotPortable::field(path(message, at, field), why));
    Ok(Some(match part {
        Own::Text(text) | Own::Thought(text) if text.is_empty() => return Ok(None),
        Own::Text(text) => Part::Text(text.clone().into_owned()),
        Own::Thought(text) => Part::Reasoning(text.clone().into_owned()),
        Own::Call(call) => Part::Call {
            id: ids.call(&call.id),
            name: call.name.clone(),
            arguments: call.arguments.clone(),
        },
        Own::Result { media, .. } if !media.is_empty() => {
            return refused(
                "functionResponse.parts",
                "results of tools are text in other APIs",
            );
        }
        Own::Result {
            id,
            name,
            text,
            failed,
            ..
        } => match ids.result(id) {
            Some(id) => Part::Result {
                id,
                name: name.clone(),
                text: text.clone().into_owned(),
                failed: failed.unwrap_or(false),
            },
            None => {
                return refused(
                    "functionResponse",
                    "it answers no call that stands before it",
                );
            }
        },
        Own::Other(name, part) if name == "inlineData" => match picture(*part) {
            Some(part) => part,
            None => return refused("inlineData", "other APIs take pictures alone"),
        },
        Own::Other(name, part) if name == "fileData" => match linked(*part) {
            Some(part) => part,
            None => {
                return refused(
                    "fileData",
                    "it lies where Google alone can read it, or is no picture",
                );
            }
        },
        Own::Other(name, _) => return refused(name, "no other API has such a part"),
    }))
}

fn picture(part: Raw<'_>) -> Option<Part> {
    let fields = Fields::of(part, &String::new).ok()?;
    let data = fields.inner("inlineData", &String::new).ok()??;
    let media_type = data.string("mimeType")?.into_owned();
    media_type.starts_with("image/").then_some(())?;
    Some(Part::Image {
        media_type,
        data: data.string("data")?.into_owned(),
    })
}

/// A picture at an address that anybody can read. Google's own store is none.
fn linked(part: Raw<'_>) -> Option<Part> {
    let fields = Fields::of(part, &String::new).ok()?;
    let file = fields.inner("fileData", &String::new).ok()??;
    let uri = file.string("fileUri")?.into_owned();
    let is_google = uri.starts_with("https://generativelanguage.googleapis.com/");
    let kind = file.string("mimeType");
    let is_picture = kind.is_some_and(|kind| kind.starts_with("image/"));
    (is_picture && !is_google && uri.starts_with("https://")).then_some(Part::ImageUrl(uri))
}

fn path(message: &Message<'_>, (content, part): At, field: &str) -> String {
    match message.run.is_empty() {
        true => format!("systemInstruction.parts[{part}].{field}"),
        false => format!("contents[{content}].parts[{part}].{field}"),
    }
}

/// A value as it stands.
pub(super) fn value(raw: Raw<'_>) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}
