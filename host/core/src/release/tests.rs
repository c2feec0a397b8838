#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{Duty, Payload, Said};
use super::hold::Hold;
use super::stretch::{Stretch, Unreplaced};
use crate::dialect::openai_chat::OpenAiChat;
use crate::dialect::sse::Framer;
use crate::dialect::{Dialect as _, Identity, Piece};
use crate::event::{Channel, Place};
use crate::observe::tokens::TokenCounter;
use crate::reason::patterns::{Match, PatternSet, PatternSpec, Syntax};

const OUT: Place = Place::new(Channel::Output, 0, 0);

fn patterns(text: &str) -> [Option<Arc<PatternSet>>; 5] {
    let spec = PatternSpec {
        owner: 0,
        index: 0,
        syntax: Syntax::Literal,
        text: text.to_owned(),
        ignore_case: false,
        holds: true,
    };
    let mut patterns = [const { None }; 5];
    patterns[Channel::Output as usize] = Some(Arc::new(PatternSet::compile(vec![spec]).unwrap()));
    patterns
}

/// Feeds chunks of output as frames; gives the hold and the raw bytes of all frames.
fn fed(chunks: &[&str], patterns: &[Option<Arc<PatternSet>>; 5]) -> (Hold, Vec<Match>, String) {
    let (mut hold, mut found, mut raw) = (Hold::default(), Vec::new(), String::new());
    let tokens = TokenCounter::for_model("gpt-4o");
    for chunk in chunks {
        let json = serde_json::json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": [{"index": 0, "delta": {"content": chunk}, "finish_reason": null}]});
        let line = format!("data: {json}\n\n");
        raw.push_str(&line);
        let mut frames = Vec::new();
        Framer::default()
            .push(Bytes::from(line), &mut frames)
            .unwrap();
        let frame = frames.remove(0);
        let mut pieces = Vec::new();
        OpenAiChat.reader().frame(&frame, &mut pieces).unwrap();
        let mut spans = Vec::new();
        for piece in pieces {
            if let Piece::Text { place, text, .. } = piece {
                spans.push(
                    hold.say(place, &text, true, patterns, &tokens, &mut found)
                        .0,
                );
            }
        }
        let said = Said {
            spans,
            tokens: 1,
            ..Said::default()
        };
        hold.push(Payload::Frame(frame), said, Duty::Pass, 0);
    }
    (hold, found, raw)
}

fn release(hold: &mut Hold) -> String {
    let mut ready = Vec::new();
    hold.release(
        &mut *OpenAiChat.writer(Identity::default()),
        Stretch::safe,
        true,
        &mut ready,
    )
    .unwrap();
    for frame in &ready {
        hold.delivered(frame);
    }
    ready
        .iter()
        .map(|r| String::from_utf8(r.bytes.to_vec()).unwrap())
        .collect()
}

fn text_of(frames: &str) -> String {
    let mut out = String::new();
    for data in frames.lines().filter_map(|l| l.strip_prefix("data: ")) {
        let v: serde_json::Value = serde_json::from_str(data).unwrap();
        out.push_str(
            v["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or_default(),
        );
    }
    out
}

#[test]
fn untouched_frames_leave_byte_for_byte() {
    let (mut hold, _, raw) = fed(&["Hel", "lo", " wörld"], &[const { None }; 5]);
    assert_eq!(release(&mut hold), raw);
    assert!(hold.begun && hold.bytes() == 0);
}

#[test]
fn what_may_begin_a_match_waits_and_leaves_when_it_was_none() {
    let set = patterns("secret");
    let (mut hold, found, _) = fed(&["my ", "sec"], &set);
    assert!(found.is_empty());
    assert_eq!(text_of(&release(&mut hold)), "my ");
    let (mut hold, _, raw) = fed(&["my ", "sec", "ond"], &set);
    assert_eq!(release(&mut hold), raw);
}

#[test]
fn a_replacement_over_several_frames_leaves_none_of_the_old_text() {
    let set = patterns("secret");
    let (mut hold, found, _) = fed(&["my s", "ecr", "et word"], &set);
    assert_eq!((found[0].offset, found[0].len), (3, 6));
    hold.replace(OUT, 3, 6, "[gone]".to_owned()).unwrap();
    let out = release(&mut hold);
    assert_eq!(text_of(&out), "my [gone] word");
    assert_eq!(hold.stretches[0].seen(), "my [gone] word");
}

#[test]
fn a_replacement_of_what_has_left_is_too_late_and_changes_nothing() {
    let (mut hold, _, raw) = fed(&["Hello"], &[const { None }; 5]);
    assert_eq!(release(&mut hold), raw);
    assert_eq!(
        hold.replace(OUT, 2, 2, String::new()),
        Err(Unreplaced::TooLate)
    );
    assert!(matches!(
        hold.replace(OUT, 3, 9, String::new()),
        Err(Unreplaced::TooLate)
    ));
    let (mut hold, _, _) = fed(&["é"], &[const { None }; 5]);
    assert!(matches!(
        hold.replace(OUT, 1, 1, String::new()),
        Err(Unreplaced::Impossible(_))
    ));
    assert!(matches!(
        hold.replace(OUT, 0, 3, String::new()),
        Err(Unreplaced::Impossible(_))
    ));
}

#[test]
fn new_patterns_search_what_has_not_left() {
    let (mut hold, _, _) = fed(&["a secret"], &[const { None }; 5]);
    let mut found = Vec::new();
    hold.rescan(&patterns("secret"), &mut found);
    assert_eq!(
        found
            .iter()
            .map(|(_, m)| (m.offset, m.len))
            .collect::<Vec<_>>(),
        [(2, 6)]
    );
}
