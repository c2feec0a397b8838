#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;
use crate::contract::{LARGE, SMALL};

fn sound() -> types::Description {
    types::Description {
        name: "a".into(),
        version: "1.0.0".into(),
        licence: "MIT".into(),
        summary: "It does.".into(),
        actions: vec!["block".into()],
        asks: vec![],
        settings_schema: String::new(),
        addresses: vec![],
        state_schema: 1,
    }
}

#[test]
fn every_list_and_text_of_a_description_has_a_bound_that_is_named() {
    assert_eq!(description(&sound()), Ok(()));
    type Grow = fn(&mut types::Description);
    let grown: [(Grow, &str); 7] = [
        (
            |d| d.actions = vec!["block".into(); 20_000],
            "20000 actions",
        ),
        (|d| d.asks = vec!["a".into(); 20_000], "20000 targets"),
        (|d| d.addresses = vec!["a".into(); 20_000], "20000 risks"),
        (|d| d.addresses = vec!["a".repeat(900_000)], "a risk"),
        (|d| d.licence = "a".repeat(900_000), "licence"),
        (|d| d.summary = "a".repeat(900_000), "summary"),
        (|d| d.name = "a".repeat(900_000), "a name has"),
    ];
    for (grow, says) in grown {
        let mut long = sound();
        grow(&mut long);
        let refusal = description(&long).unwrap_err();
        assert!(refusal.contains(says) && refusal.len() < 500, "{refusal}");
    }
}

#[test]
fn a_reason_that_fills_a_screen_a_thousand_times_is_a_fault() {
    let block = |reason: String| types::Decision {
        elsewhere: vec![],
        actions: vec![types::Action::Block(types::Block {
            mode: types::BlockMode::Hard,
            reason,
            fallback: String::new(),
        })],
        pending: vec![],
    };
    let limits = Limits::default();
    assert_eq!(decision(&block("no".into()), &limits), Ok(()));
    let fault = decision(&block("a".repeat(900_000)), &limits).unwrap_err();
    assert!(
        fault.contains("a block's reason has 900000 bytes"),
        "{fault}"
    );
}

fn output(item: u32) -> types::Place {
    types::Place {
        channel: types::Channel::Output,
        choice: 0,
        item,
        part: 0,
    }
}

/// A batch with one byte of text for each of so many places.
fn batch(places: u32) -> types::Batch {
    let mut events = Vec::new();
    for item in 0..places {
        let event = crate::contract::EventWords {
            kind: types::EventKind::Text,
            detail: 0,
            text_end: item + 1,
            after: 0,
            place: output(item),
            offset: 0,
            tokens: 1,
        };
        event.write(&mut events);
    }
    types::Batch {
        checkpoint: types::Checkpoint::Stream,
        exchange: 1,
        first_seq: 1,
        time: 1,
        text: "x".repeat(places as usize),
        event_words: crate::contract::EVENT_WORDS,
        events,
        attached: None,
    }
}

fn finding(subject: types::Subject, evidence: Vec<types::Span>) -> types::Finding {
    types::Finding {
        kind: "guard.seen".into(),
        severity: types::Severity::Low,
        confidence: 1.0,
        subject,
        summary: String::new(),
        evidence,
        data: String::new(),
    }
}

fn found(findings: Vec<types::Finding>) -> types::Assessment {
    types::Assessment {
        findings,
        marks: vec![],
        pending: vec![],
    }
}

#[test]
fn evidence_costs_one_walk_over_the_batch() {
    let batch = batch(10_000);
    let shown = |item| types::Span {
        place: output(item),
        offset: 0,
        length: 1,
    };
    let evidence: Vec<types::Span> = (0..256).map(|n| shown(9_999 - n)).collect();
    let answer = found(vec![finding(types::Subject::Session, evidence); 64]);
    let started = std::time::Instant::now();
    assert_eq!(assessment(&answer, &batch, &Limits::default()), Ok(()));
    let took = started.elapsed();
    assert!(took.as_millis() < 500, "{took:?}");
}

const BEYOND: u32 = SMALL + 1;

/// What is wrong with a number, in words that name the bound.
fn names_the_bound(refusal: Result<(), String>, bound: &str) {
    let refusal = refusal.unwrap_err();
    assert!(refusal.contains(bound), "{refusal}");
}

#[test]
fn no_number_of_an_assessment_is_beyond_the_contract_s_bound() {
    use types::Subject as S;
    let judge = |answer| assessment(&answer, &batch(1), &Limits::default());
    let spans = |change: fn(&mut types::Span, u32)| {
        [SMALL - 1, BEYOND].map(|number| {
            let mut span = types::Span {
                place: output(7),
                offset: 0,
                length: 0,
            };
            change(&mut span, number);
            span
        })
    };
    for [within, beyond] in [
        spans(|s, n| s.place.choice = n),
        spans(|s, n| s.place.item = n),
        spans(|s, n| s.place.part = n),
        spans(|s, n| s.offset = n),
        spans(|s, n| s.length = n),
        spans(|s, n| (s.offset, s.length) = (SMALL - 10, n - SMALL + 10)),
    ] {
        for at in [
            |span| finding(S::Text(span), vec![]),
            |span| finding(S::Session, vec![span]),
        ] {
            assert_eq!(judge(found(vec![at(within)])), Ok(()));
            names_the_bound(judge(found(vec![at(beyond)])), "2^31 - 1 (2147483647)");
        }
    }
    for number in [BEYOND, u32::MAX] {
        let in_place = types::ReleaseMark {
            place: output(number),
            upto: 0,
        };
        let upto = types::ReleaseMark {
            place: output(0),
            upto: number,
        };
        for mark in [in_place, upto] {
            let marked = types::Assessment {
                marks: vec![mark],
                ..found(vec![])
            };
            names_the_bound(judge(marked), "2^31 - 1 (2147483647)");
        }
    }
    let message = |id| judge(found(vec![finding(S::Message(id), vec![])]));
    assert_eq!(message(LARGE), Ok(()));
    names_the_bound(message(LARGE + 1), "2^53 (9007199254740992)");
    let waits = |ticket| {
        judge(types::Assessment {
            pending: vec![types::Pending {
                ticket,
                subject: S::Request,
                deadline_ms: 1,
                on_timeout: types::OnTimeout::Block,
            }],
            ..found(vec![])
        })
    };
    assert_eq!(waits(LARGE), Ok(()));
    names_the_bound(waits(LARGE + 1), "2^53 (9007199254740992)");
}

#[test]
fn a_channel_without_text_is_no_evidence() {
    let place = types::Place {
        channel: types::Channel::Nowhere,
        ..output(0)
    };
    let nowhere = types::Span {
        place,
        offset: 0,
        length: 0,
    };
    let answer = found(vec![finding(types::Subject::Session, vec![nowhere])]);
    let refusal = assessment(&answer, &batch(1), &Limits::default()).unwrap_err();
    assert!(refusal.contains("`nowhere`"), "{refusal}");
}

fn ordered(actions: Vec<types::Action>, elsewhere: Vec<types::RemoteAction>) -> types::Decision {
    types::Decision {
        actions,
        elsewhere,
        pending: vec![],
    }
}

fn elsewhere(exchange: u32) -> types::RemoteAction {
    types::RemoteAction {
        session: String::new(),
        exchange,
        action: types::Action::Savepoint("here".into()),
    }
}

fn hold(deadline_ms: u32) -> types::Action {
    types::Action::HoldForPerson(types::Hold {
        subject: types::Subject::Request,
        title: String::new(),
        body: String::new(),
        deadline_ms,
        on_timeout: types::OnTimeout::Block,
    })
}

#[test]
fn no_number_of_a_decision_is_beyond_the_contract_s_bound() {
    use types::{Action as A, Scope};
    let judge = |action| decision(&ordered(vec![action], vec![]), &Limits::default());
    let range = |offset| {
        A::ReplaceRange(types::Replacement {
            span: types::Span {
                place: output(0),
                offset,
                length: 1,
            },
            text: String::new(),
        })
    };
    assert_eq!(judge(range(SMALL - 1)), Ok(()));
    names_the_bound(judge(range(SMALL)), "2^31 - 1 (2147483647)");
    let far = |exchange| {
        decision(
            &ordered(vec![], vec![elsewhere(exchange)]),
            &Limits::default(),
        )
    };
    assert_eq!(far(SMALL), Ok(()));
    names_the_bound(far(BEYOND), "2^31 - 1 (2147483647)");
    let evicted = |message| {
        A::EvictMessage(types::MessageEviction {
            message,
            scope: Scope::Session,
        })
    };
    assert_eq!(judge(evicted(LARGE)), Ok(()));
    names_the_bound(judge(evicted(LARGE + 1)), "2^53 (9007199254740992)");
}

#[test]
fn actions_here_and_elsewhere_are_one_count() {
    let limits = Limits::default();
    let many = |here, there| {
        let here = vec![types::Action::Savepoint("here".into()); here];
        decision(&ordered(here, vec![elsewhere(0); there]), &limits)
    };
    assert_eq!(many(16, 16), Ok(()));
    let refusal = many(16, 17).unwrap_err();
    assert!(
        refusal.contains("33 actions where `limits.actions` allows 32"),
        "{refusal}"
    );
}

#[test]
fn a_hold_has_a_deadline_of_a_day_at_most_and_not_of_nothing() {
    let judge = |ms| decision(&ordered(vec![hold(ms)], vec![]), &Limits::default());
    assert_eq!([judge(1), judge(DEADLINE_MS)], [Ok(()), Ok(())]);
    for ms in [0, DEADLINE_MS + 1] {
        let refusal = judge(ms).unwrap_err();
        assert!(
            refusal.contains(&format!("deadline is {ms} ms: it must be 1 to 86400000")),
            "{refusal}"
        );
    }
}
