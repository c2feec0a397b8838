//! Every API into every other, and a request there and back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::json;

use super::*;
use crate::dialect::portable::{Part, Portable, Said, Tool, ToolChoice};
use crate::dialect::{CallKind, Received, registry};
use crate::event::{Place, Role};

/// Every API that a route may lead to or come from, once.
fn all() -> Vec<&'static dyn Dialect> {
    let mut all: Vec<&'static dyn Dialect> = Vec::new();
    for dialect in registry::NAMES.iter().flat_map(|named| named.dialects) {
        if !all.iter().any(|known| known.name() == dialect.name()) {
            all.push(*dialect);
        }
    }
    all
}

/// Those that take conversations with tools.
fn conversational() -> Vec<&'static dyn Dialect> {
    let takes = |dialect: &&'static dyn Dialect| dialect.outbound().of_portable(&request()).is_ok();
    all().into_iter().filter(takes).collect()
}

fn identity() -> Identity {
    Identity {
        id: "answer-1".to_owned(),
        model: "m-1".to_owned(),
        created: 1_700_000_000,
        reasoning_field: None,
    }
}

fn text(channel: Channel, text: &str) -> Piece {
    Piece::Text {
        place: Place::new(channel, 0, 0),
        text: text.to_owned(),
        generated: true,
    }
}

fn part(number: u16, id: Option<&str>, name: Option<&str>, arguments: &str) -> Piece {
    Piece::Call(CallPart {
        choice: 0,
        slot: Slot::Index(number),
        kind: CallKind::Function,
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        arguments: arguments.to_owned(),
    })
}

/// What an answer says, whatever the API: texts of each channel, calls, what its end means, tokens.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    output: String,
    reasoning: String,
    refusal: String,
    calls: Vec<(String, serde_json::Value)>,
    finish: Option<Finish>,
    usage: Option<(u32, u32)>,
    failed: bool,
}

impl Heard {
    fn of(dialect: &dyn Dialect, pieces: &[Piece]) -> Self {
        let mut heard = Self::default();
        let mut calls: Vec<(Slot, String, String)> = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text { place, text, .. } => match place.channel {
                    Channel::Output => heard.output.push_str(text),
                    Channel::Reasoning => heard.reasoning.push_str(text),
                    Channel::Refusal => heard.refusal.push_str(text),
                    // Messages of errors.
                    _ => {}
                },
                Piece::Call(part) => {
                    let known = calls.iter_mut().find(|(slot, ..)| {
                        *slot == part.slot && part.slot != Slot::Whole && part.name.is_none()
                    });
                    match known {
                        Some((_, _, arguments)) => arguments.push_str(&part.arguments),
                        None => calls.push((
                            part.slot,
                            part.name.clone().unwrap_or_default(),
                            part.arguments.clone(),
                        )),
                    }
                }
                Piece::Finish { reason, .. } => {
                    heard.finish = Some(dialect.outbound().meaning(reason));
                }
                Piece::Usage(usage) => heard.usage = Some((usage.input, usage.output)),
                Piece::Error(_) => heard.failed = true,
                Piece::Beside | Piece::End => {}
            }
        }
        // Some APIs have no word of their own for it.
        if !calls.is_empty() && heard.finish == Some(Finish::Stop) {
            heard.finish = Some(Finish::ToolCalls);
        }
        // None that is stated is none.
        heard.usage = heard.usage.filter(|usage| *usage != (0, 0));
        heard.calls = calls
            .into_iter()
            .map(|(_, name, arguments)| {
                let arguments = serde_json::from_str(&arguments);
                (name, arguments.expect("arguments are JSON"))
            })
            .collect();
        heard
    }
}

fn units(dialect: &dyn Dialect, bytes: Bytes) -> Vec<Frame> {
    let mut cutter = framing::Framing::new(dialect.outbound().wire());
    let mut decoded = Vec::new();
    cutter.push(bytes, &mut decoded).unwrap();
    cutter.finish(&mut decoded);
    decoded
        .into_iter()
        .filter_map(|part| match part {
            Decoded::Unit(frame) => Some(frame),
            _ => None,
        })
        .collect()
}

fn read(dialect: &dyn Dialect, frames: &[Frame]) -> Vec<Piece> {
    let (mut reader, mut pieces) = (dialect.reader(), Vec::new());
    for frame in frames {
        reader
            .frame(frame, &mut pieces)
            .unwrap_or_else(|error| panic!("{}: {error}: {frame:?}", dialect.name()));
    }
    pieces
}

/// A stream of this API that says this.
fn said(dialect: &dyn Dialect, script: &[(Piece, Finish)]) -> Bytes {
    let mut voice = dialect.voice(identity());
    let mut out = Vec::new();
    for (piece, finish) in script {
        let bytes = voice.say(piece, *finish);
        out.extend_from_slice(&bytes.unwrap_or_else(|e| panic!("{}: {e}", dialect.name())));
    }
    out.into()
}

fn finish(finish: Finish) -> (Piece, Finish) {
    let piece = Piece::Finish {
        choice: 0,
        reason: "whatever".to_owned(),
    };
    (piece, finish)
}

fn usage() -> Piece {
    Piece::Usage(Usage {
        input: 11,
        output: 7,
        exact: true,
        ..Usage::default()
    })
}

type Script = Vec<(Piece, Finish)>;

fn scripts() -> Vec<(&'static str, Script)> {
    let plain = |piece: Piece| (piece, Finish::Other);
    vec![
        (
            "text",
            vec![
                plain(text(Channel::Output, "It is ")),
                plain(text(Channel::Output, "\"quoted\"\n and ü")),
                finish(Finish::Stop),
                plain(usage()),
                plain(Piece::End),
            ],
        ),
        (
            "usage before the end, and a limit",
            vec![
                plain(usage()),
                plain(text(Channel::Output, "cut")),
                finish(Finish::Length),
                plain(usage()),
                plain(Piece::End),
            ],
        ),
        (
            "thoughts",
            vec![
                plain(text(Channel::Reasoning, "hm")),
                plain(text(Channel::Reasoning, "m")),
                plain(text(Channel::Output, "yes")),
                finish(Finish::Stop),
                plain(usage()),
                plain(Piece::End),
            ],
        ),
        (
            "two calls",
            vec![
                plain(text(Channel::Output, "I look.")),
                plain(part(0, Some("call_a"), Some("look"), "")),
                plain(part(0, None, None, "{\"a\":")),
                plain(part(0, None, None, "1}")),
                plain(part(1, Some("call_b"), Some("find"), "{}")),
                finish(Finish::ToolCalls),
                plain(usage()),
                plain(Piece::End),
            ],
        ),
        ("nothing", vec![finish(Finish::Stop), plain(Piece::End)]),
    ]
}

#[test]
fn every_api_is_said_in_every_other_streamed_and_whole() {
    for from in conversational() {
        for to in conversational() {
            for (name, script) in scripts() {
                let at = format!("{name}: {} to {}", from.name(), to.name());
                let stream = said(from, &script);
                let meant = Heard::of(from, &read(from, &units(from, stream.clone())));
                let mut translation = Translation::new(from, to, identity(), "call_x_".to_owned());
                let mut out = Vec::new();
                for unit in units(from, stream.clone()) {
                    let bytes = translation.part(Decoded::Unit(unit));
                    out.extend_from_slice(&bytes.unwrap_or_else(|e| panic!("{at}: {e}")));
                }
                out.extend_from_slice(&translation.end().unwrap());
                let frames = units(to, out.into());
                let heard = Heard::of(to, &read(to, &frames));
                assert_eq!(heard, meant, "{at}");
                // The same as a whole answer.
                let mut translation = Translation::new(from, to, identity(), "call_x_".to_owned());
                let whole = framing::whole(stream, from.outbound().wire());
                let body = translation
                    .whole(whole)
                    .unwrap_or_else(|e| panic!("{at}: {e}"));
                let mut pieces = Vec::new();
                to.reader().body(&body, &mut pieces).unwrap();
                assert_eq!(Heard::of(to, &pieces), meant, "{at}, whole");
            }
        }
    }
}

#[test]
fn an_error_in_a_stream_is_one_in_every_api() {
    let failure = crate::dialect::Failure {
        status: 529,
        kind: crate::event::FailureKind::Overloaded,
        message: "too busy".to_owned(),
    };
    for from in conversational() {
        for to in conversational() {
            let script = [
                (text(Channel::Output, "It "), Finish::Other),
                (Piece::Error(failure.clone()), Finish::Other),
            ];
            let mut translation = Translation::new(from, to, identity(), String::new());
            let mut out = Vec::new();
            for unit in units(from, said(from, &script)) {
                out.extend_from_slice(&translation.part(Decoded::Unit(unit)).unwrap());
            }
            out.extend_from_slice(&translation.end().unwrap());
            let heard = Heard::of(to, &read(to, &units(to, out.into())));
            assert!(heard.failed, "{} to {}", from.name(), to.name());
            assert_eq!(heard.finish, None, "{} to {}", from.name(), to.name());
        }
    }
}

fn request() -> Portable {
    let text = |text: &str| Part::Text(text.to_owned());
    Portable {
        model: "m-1".to_owned(),
        streamed: true,
        turns: vec![
            Said {
                role: Role::System,
                parts: vec![text("Be brief.")],
            },
            Said {
                role: Role::User,
                parts: vec![text("Look.")],
            },
            Said {
                role: Role::Assistant,
                parts: vec![
                    text("I look."),
                    Part::Call {
                        id: "call_a".to_owned(),
                        name: "look".to_owned(),
                        arguments: "{\"a\":1}".to_owned(),
                    },
                ],
            },
            Said {
                role: Role::Tool,
                parts: vec![Part::Result {
                    id: "call_a".to_owned(),
                    name: "look".to_owned(),
                    text: "nothing there".to_owned(),
                    failed: false,
                }],
            },
            Said {
                role: Role::User,
                parts: vec![text("And now?")],
            },
        ],
        tools: vec![Tool {
            name: "look".to_owned(),
            description: Some("Looks.".to_owned()),
            parameters: Some(json!({"type": "object", "properties": {"a": {"type": "integer"}}})),
            strict: None,
        }],
        max_output_tokens: Some(500),
        choices: 1,
        ..Portable::default()
    }
}

/// Back out of an API, as it reads its own request.
fn back(dialect: &dyn Dialect, body: &[u8]) -> Portable {
    let path = dialect.outbound().path("m-1", true);
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (&*path, None),
    };
    let received = Received { path, query, body };
    let view = dialect.inbound().read_request(received);
    let view = view.unwrap_or_else(|error| panic!("{}: {error}", dialect.name()));
    assert_eq!(view.tools, ["look"], "{}", dialect.name());
    let portable = dialect.inbound().to_portable(received);
    let mut portable = portable.unwrap_or_else(|error| panic!("{}: {error}", dialect.name()));
    // Told by the path in some.
    portable.streamed = true;
    portable.left.clear();
    for tool in &mut portable.tools {
        // Stated where the API's own default is another.
        tool.strict = tool.strict.filter(|strict| *strict);
    }
    for turn in &mut portable.turns {
        // Results stand in a user's turn in some APIs.
        if turn
            .parts
            .iter()
            .all(|part| matches!(part, Part::Result { .. }))
        {
            turn.role = Role::Tool;
        }
        for part in &mut turn.parts {
            match part {
                // Some APIs give calls no ids, and arguments as objects.
                Part::Call { id, arguments, .. } => {
                    *id = String::new();
                    let value: serde_json::Value = serde_json::from_str(arguments).unwrap();
                    *arguments = value.to_string();
                }
                Part::Result { id, .. } => *id = String::new(),
                _ => {}
            }
        }
    }
    portable
}

#[test]
fn a_request_says_the_same_in_every_api() {
    for to in conversational() {
        let body = to.outbound().of_portable(&request()).unwrap();
        let mut portable = back(to, &body);
        portable.model = "m-1".to_owned();
        let mut meant = request();
        for part in meant.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
            match part {
                Part::Call { id, .. } | Part::Result { id, .. } => *id = String::new(),
                _ => {}
            }
        }
        // Neighbours of one role may have become one turn, or one turn two.
        let parts = |portable: &Portable| -> Vec<(Role, Part)> {
            let turns = portable.turns.iter();
            turns
                .flat_map(|turn| turn.parts.iter().map(|part| (turn.role, part.clone())))
                .collect()
        };
        assert_eq!(parts(&portable), parts(&meant), "{}", to.name());
        assert_eq!(portable.tools, meant.tools, "{}", to.name());
        assert_eq!(portable.max_output_tokens, Some(500), "{}", to.name());
    }
}

#[test]
fn what_tools_must_do_is_carried_or_refused() {
    for choice in [
        ToolChoice::Auto,
        ToolChoice::None,
        ToolChoice::Required,
        ToolChoice::Named("look".to_owned()),
    ] {
        for to in conversational() {
            let asked = Portable {
                tool_choice: Some(choice.clone()),
                ..request()
            };
            let Ok(body) = to.outbound().of_portable(&asked) else {
                continue;
            };
            let kept = back(to, &body).tool_choice;
            let same = kept == Some(choice.clone());
            let default = kept.is_none() && choice == ToolChoice::Auto;
            assert!(same || default, "{}: {choice:?} became {kept:?}", to.name());
        }
    }
}
