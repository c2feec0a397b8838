//! What people read, and what they must never be led to believe.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use unicode_width::UnicodeWidthStr;

use super::*;
use airlock_core::event::key::SessionKey;
use airlock_core::event::{CallKind, Outcome, Role, Subject};

fn session(value: &str) -> SessionId {
    SessionKey {
        tenant: "t".into(),
        principal: "p".into(),
        source: "s".into(),
        value: value.into(),
    }
    .id()
}

fn event(at: Micros, exchange: u32, body: Body) -> Event {
    Event {
        seq: 1,
        at,
        exchange,
        body,
    }
}

fn text(exchange: u32, channel: Channel, text: &str) -> Event {
    let place = Place::new(channel, 0, 0);
    event(
        0,
        exchange,
        Body::Text {
            place,
            offset: 0,
            text: text.into(),
            bytes: 0,
            tokens: 0,
        },
    )
}

fn intervention(outcome: Outcome) -> Event {
    event(
        412_000,
        1,
        Body::Intervention {
            action: "block".into(),
            policy: "blocklist".into(),
            generation: 2,
            outcome,
            reason: "forbidden term".into(),
            arguments: serde_json::json!({"mode": "hard"}),
        },
    )
}

const NARROW: Style = Style {
    color: false,
    width: Some(60),
};

#[test]
fn chunks_of_one_place_become_lines_even_when_streams_interleave() {
    let mut renderer = EventRenderer::new(NARROW);
    let a = session("a");
    let mut out = String::new();
    for (one, two) in [
        ("The first stream ", "And "),
        ("tells a story that is ", "the "),
        ("longer than a line.", "other."),
    ] {
        out += &renderer.event(a, &text(1, Channel::Output, one));
        out += &renderer.event(a, &text(2, Channel::Output, two));
    }
    out += &renderer.flush();
    assert_eq!(
        out,
        "  +0.000 │ #1  output    The first stream tells a story that\n\
         \x20 +0.000 │ #1            is longer than a line.\n\
         \x20 +0.000 │ #2  output    And the other.\n"
    );
}

#[test]
fn another_kind_of_event_ends_the_text_of_its_exchange() {
    let mut renderer = EventRenderer::new(NARROW);
    let a = session("a");
    assert_eq!(renderer.event(a, &text(1, Channel::Output, "half")), "");
    let out = renderer.event(a, &event(5_000, 1, Body::FirstToken { after_us: 5_000 }));
    assert_eq!(
        out,
        "  +0.000 │ #1  output    half\n  +0.005 · #1  first     token after 5 ms\n"
    );
}

#[test]
fn calls_and_vitals_are_shown_on_demand_and_do_not_tear_text_apart() {
    let call = event(
        0,
        1,
        Body::PolicyCall {
            policy: "p".into(),
            generation: 1,
            role: "observe".into(),
            checkpoint: "stream".into(),
            events: (1, 2),
            took_us: 3,
            result: String::new(),
        },
    );
    let mut renderer = EventRenderer::new(NARROW);
    let a = session("a");
    let mut out = renderer.event(a, &text(1, Channel::Output, "one "));
    out += &renderer.event(a, &call);
    out += &renderer.event(a, &text(1, Channel::Output, "line"));
    out += &renderer.flush();
    assert!(
        out.ends_with("output    one line\n") && out.lines().count() == 1,
        "{out}"
    );
    assert!(
        EventRenderer::new(NARROW)
            .verbose(true)
            .event(a, &call)
            .contains("p g1 observe at stream")
    );
}

#[test]
fn reasoning_is_told_before_the_output_that_follows_it() {
    let mut renderer = EventRenderer::new(NARROW);
    let a = session("a");
    let mut out = String::new();
    for (channel, chunk) in [
        (Channel::Reasoning, "Hm."),
        (Channel::ToolArguments, "{\"to"),
        (Channel::Output, "Yes."),
    ] {
        out += &renderer.event(a, &text(1, channel, chunk));
    }
    out += &renderer.flush();
    assert_eq!(
        out,
        "  +0.000 │ #1  reasoning Hm.\n  +0.000 │ #1  output    Yes.\n"
    );
}

#[test]
fn a_verdict_never_looks_like_an_action() {
    let a = session("a");
    for outcome in [
        Outcome::Applied,
        Outcome::WouldApply,
        Outcome::Refused,
        Outcome::Superseded,
        Outcome::TooLate,
        Outcome::Failed,
    ] {
        let out = EventRenderer::new(Style::PLAIN)
            .since(0)
            .event(a, &intervention(outcome));
        assert_eq!(
            out.contains("■ #1  action"),
            outcome == Outcome::Applied,
            "{out}"
        );
        assert_eq!(
            out.contains("□ #1  verdict"),
            outcome != Outcome::Applied,
            "{out}"
        );
    }
    let out = EventRenderer::new(Style::PLAIN)
        .since(0)
        .event(a, &intervention(Outcome::Applied));
    assert_eq!(
        out,
        "  +0.412 ■ #1  action    applied block  by blocklist g2  forbidden term  {\"mode\":\"hard\"}\n"
    );
}

#[test]
fn nothing_is_wider_than_the_terminal_and_nothing_commands_it() {
    let long = "wörter und 日本語 ".repeat(200) + "\x1b[2J\x1b]0;owned\x07";
    let bodies = [
        Body::Message {
            id: 1,
            role: Role::User,
            index: 0,
            text: long.clone(),
            bytes: 9000,
        },
        Body::ToolResult {
            id: "1".into(),
            name: "search".into(),
            duration_us: 1,
            failed: true,
            message: 1,
            text: long.clone(),
            bytes: 1,
        },
        Body::ToolCall {
            id: "1".into(),
            name: "search".into(),
            call: CallKind::Function,
            choice: 0,
            item: 0,
            arguments: long.clone(),
            bytes: 1,
        },
        Body::Finding {
            policy: "p".into(),
            generation: 1,
            finding: "f".into(),
            severity: "high".into(),
            confidence: 1.0,
            summary: long.clone(),
            subject: Subject::Session,
            evidence: Vec::new(),
            data: String::new(),
        },
        Body::PolicyFault {
            policy: "p".into(),
            generation: 1,
            fault: "trap".into(),
            text: long.clone(),
            on_failure: "closed".into(),
        },
        Body::Annotation {
            policy: "p".into(),
            name: "n".into(),
            value: long.clone(),
        },
        Body::Text {
            place: Place::new(Channel::Reasoning, 1, 0),
            offset: 0,
            text: long,
            bytes: 0,
            tokens: 0,
        },
    ];
    let a = session("a");
    let mut renderer = EventRenderer::new(Style {
        color: false,
        width: Some(80),
    });
    for body in bodies {
        let out = renderer.event(a, &event(0, 1, body)) + &renderer.flush();
        assert!(
            !out.is_empty() && out.chars().all(|c| c == '\n' || !c.is_control()),
            "{out:?}"
        );
        for line in out.lines() {
            assert!(line.width() <= 80, "{} columns: {line}", line.width());
        }
    }
}

#[test]
fn sessions_are_named_and_colours_only_where_they_are_wanted() {
    let (a, b) = (session("a"), session("b"));
    let mut renderer = EventRenderer::new(Style {
        color: true,
        width: Some(100),
    })
    .with_sessions();
    renderer.name_session(a, "travel agent");
    let out = renderer.event(a, &intervention(Outcome::Applied))
        + &renderer.event(b, &intervention(Outcome::WouldApply));
    assert!(out.contains("travel agent") && out.contains(&b.short()) && out.contains('\x1b'));
    assert!(
        !EventRenderer::new(Style::PLAIN)
            .event(a, &intervention(Outcome::Applied))
            .contains('\x1b')
    );
}

#[test]
fn what_waits_and_what_was_decided_is_told_whole() {
    let a = session("a");
    let held = Body::Held {
        approval: "1f2e3d4c5b6a7988".into(),
        policy: "tool-guard".into(),
        subject: "tool-call".into(),
        name: "send_email".into(),
        title: "Send this to 300 people?".into(),
        until: 600_000_000,
        on_timeout: airlock_core::event::OnTimeout::Block,
    };
    let decided = |verdict: &str, by: &str, note: &str| Body::Decided {
        approval: "1f2e3d4c5b6a7988".into(),
        verdict: verdict.into(),
        by: by.into(),
        note: note.into(),
    };
    let mut renderer = EventRenderer::new(Style::PLAIN);
    let mut out = renderer.event(a, &event(0, 1, held));
    out += &renderer.event(
        a,
        &event(2_000_000, 1, decided("denied", "ann", "too many")),
    );
    out += &renderer.event(
        a,
        &event(2_000_000, 1, decided("approved", "bob\x1b[2J", "")),
    );
    assert_eq!(
        out,
        "  +0.000 ⏸ #1  held      1f2e3d4c  tool-call send_email  by tool-guard  Send this to 300 people?  blocked in 10 min 0 s\n\
         \x20 +2.000 ✗ #1  decided   1f2e3d4c  denied  by ann  too many\n\
         \x20 +2.000 ✔ #1  decided   1f2e3d4c  approved  by bob␛[2J\n"
    );
}

/// Each kind of event, with text in every field that takes any.
fn events_that_say(hostile: &str) -> Vec<Event> {
    let samples = serde_json::json!([
        {"kind": "finding", "policy": "p", "generation": 1, "finding": "f", "severity": "high", "confidence": 0.5,
         "summary": "s", "evidence": {}, "detail": {}},
        {"kind": "intervention", "action": "block", "policy": "p", "generation": 1, "outcome": "applied", "reason": "r",
         "arguments": {"mode": "hard"}},
        {"kind": "annotation", "policy": "p", "name": "n", "value": "v"},
        {"kind": "policy-call", "policy": "p", "generation": 1, "role": "observe", "checkpoint": "request",
         "events": [1, 2], "took_us": 1, "result": "{}"},
        {"kind": "policy-fault", "policy": "p", "generation": 1, "fault": "trap", "text": "t", "on_failure": "closed"},
        {"kind": "policy-moved", "policy": "p", "from": 1, "to": 2, "how": "moved"},
        {"kind": "held", "approval": "a", "policy": "p", "subject": "tool-call", "name": "n", "title": "t", "until": 1,
         "on_timeout": "block"},
        {"kind": "decided", "approval": "a", "verdict": "denied", "by": "b", "note": "n"},
        {"kind": "failure", "failure": "upstream", "status": 500, "retryable": false, "text": "t"},
        {"kind": "unjudged", "path": "p", "reason": "r"},
        {"kind": "passage", "path": "p", "model": "m", "upstream": "u", "status": 200, "elapsed_us": 1, "usage": null,
         "cost": null},
    ]);
    let mut events = Vec::new();
    for sample in samples.as_array().unwrap() {
        for (field, value) in sample.as_object().unwrap() {
            if field == "kind" || !value.is_string() {
                continue;
            }
            let mut said = sample.clone();
            said[field] = hostile.into();
            // Fields of fixed words take no text.
            if let Ok(body) = serde_json::from_value(said) {
                events.push(event(0, 1, body));
            }
        }
    }
    assert!(events.len() > 20, "{}", events.len());
    events
}

#[test]
fn no_field_of_an_event_commands_the_terminal_or_forges_a_line() {
    let hostile = "x\x1b[2J\x1b[32mFORGED\u{202e}\u{9b}2J\0\r\n+0.000 FORGED";
    let style = Style {
        color: true,
        width: None,
    };
    let mut renderer = EventRenderer::new(style).verbose(true);
    for event in events_that_say(hostile) {
        let shown = renderer.event(session("a"), &event);
        for never in [
            "\x1b[2J",
            "\x1b[32mFORGED",
            "\u{202e}",
            "\u{9b}",
            "\0",
            "\r",
            "\n+0",
        ] {
            assert!(!shown.contains(never), "{never:?} of {event:?}: {shown:?}");
        }
    }
}
