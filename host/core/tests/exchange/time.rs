//! Time as the tests choose it: deadlines, holds, patience, waits before a retry. No test sleeps.

use std::collections::VecDeque;

use crate::world::{Asked, Outcome, Play, SECOND, World, drive};
use airlock_core::dialect::openai_chat::OpenAiChat;
use airlock_core::exchange::Ending;

const STREAM: &str = r#"{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const WHOLE: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
const HOLD: &str =
    "[[rule]]\nwhen = \"request.messages > 0\"\ndo = \"hold-for-person\"\ndeadline_ms = 60000\n";
const FIRST: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"well\"},\"finish_reason\":null}]}\n\n";

#[tokio::test]
async fn a_deadline_before_the_first_byte_is_a_timeout_of_its_own() {
    let world = World::new("");
    let deadline = world.start + 5 * SECOND;
    let asked = Asked {
        deadline: Some(deadline),
        ..Asked::default()
    };
    let mut exchange = world.begin(&OpenAiChat, asked, STREAM).await;
    let (mut plays, mut outcome) = (VecDeque::from([Play::Silent]), Outcome::default());
    let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    assert_eq!(until, Some(deadline));
    exchange.woke(deadline - 1);
    let until = drive(&mut exchange, &mut plays, deadline - 1, &mut outcome).await;
    assert_eq!(until, Some(deadline), "a moment too early changes nothing");
    exchange.woke(deadline);
    assert_eq!(
        drive(&mut exchange, &mut plays, deadline, &mut outcome).await,
        None
    );
    assert_eq!(outcome.refused(), (504, "airlock_deadline".to_owned()));
}

#[tokio::test]
async fn a_deadline_in_mid_stream_ends_it_as_a_part() {
    let world = World::new("");
    let deadline = world.start + 5 * SECOND;
    let asked = Asked {
        deadline: Some(deadline),
        ..Asked::default()
    };
    let mut exchange = world.begin(&OpenAiChat, asked, STREAM).await;
    let mut plays = VecDeque::from([Play::Answers(vec![FIRST, ""])]);
    let mut outcome = Outcome::default();
    let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    assert_eq!(until, Some(deadline));
    exchange.woke(deadline);
    drive(&mut exchange, &mut plays, deadline, &mut outcome).await;
    assert_eq!(outcome.ending, Some(Ending::Done));
    let text = outcome.text();
    assert!(text.starts_with(FIRST) && text.ends_with("data: [DONE]\n\n"));
    assert!(text.contains("deadline"), "{text}");
}

#[tokio::test]
async fn what_nobody_decides_has_its_default_at_its_deadline() {
    for (default, goes_on) in [("block", false), ("release", true)] {
        let world = World::new(&format!("{HOLD}on_timeout = \"{default}\"\n"));
        let mut exchange = world.begin(&OpenAiChat, Asked::default(), STREAM).await;
        let (mut plays, mut outcome) = (VecDeque::from([Play::Silent]), Outcome::default());
        let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
        let until = until.unwrap();
        assert!(exchange.waits() && until >= world.start + 60 * SECOND);
        exchange.woke(until - 1);
        assert!(exchange.waits());
        exchange.woke(until);
        assert!(!exchange.waits());
        drive(&mut exchange, &mut plays, until, &mut outcome).await;
        assert_eq!(outcome.legs.len(), usize::from(goes_on), "{default}");
        if !goes_on {
            assert_eq!(outcome.refused(), (400, "content_filter".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_told_is_answered_before_it_gives_up() {
    let world = World::new(HOLD);
    let patience = world.start + 20 * SECOND;
    let asked = Asked {
        patience: Some(patience),
        ..Asked::default()
    };
    let mut exchange = world.begin(&OpenAiChat, asked, WHOLE).await;
    let (mut plays, mut outcome) = (VecDeque::new(), Outcome::default());
    let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    assert_eq!(until, Some(patience));
    exchange.woke(patience);
    drive(&mut exchange, &mut plays, patience, &mut outcome).await;
    assert_eq!(outcome.refused(), (503, "airlock_held".to_owned()));
}

#[tokio::test]
async fn airlock_that_stops_tells_whoever_waits() {
    let world = World::new(HOLD);
    let mut exchange = world.begin(&OpenAiChat, Asked::default(), STREAM).await;
    let (mut plays, mut outcome) = (VecDeque::new(), Outcome::default());
    drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    exchange.stopping(world.start + 1);
    drive(&mut exchange, &mut plays, world.start + 1, &mut outcome).await;
    assert_eq!(outcome.refused(), (503, "airlock_held".to_owned()));
}

#[tokio::test]
async fn a_retry_waits_as_it_was_ordered_and_no_longer_than_the_deadline() {
    let rules = "[[rule]]\nwhen = \"failure.status == 503\"\ndo = \"retry\"\nafter_ms = 9000\n";
    for (deadline, due) in [(60, 9), (5, 5)] {
        let world = World::new(rules);
        let at = |seconds| world.start + seconds * SECOND;
        let asked = Asked {
            deadline: Some(at(deadline)),
            ..Asked::default()
        };
        let mut exchange = world.begin(&OpenAiChat, asked, STREAM).await;
        let mut plays = VecDeque::from([Play::Fails, Play::Silent]);
        let mut outcome = Outcome::default();
        let until = drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
        assert_eq!((until, outcome.legs.len()), (Some(at(due)), 1));
        exchange.woke(at(due));
        drive(&mut exchange, &mut plays, at(due), &mut outcome).await;
        match due < deadline {
            true => assert_eq!(outcome.legs.len(), 2),
            false => assert_eq!(outcome.refused(), (504, "airlock_deadline".to_owned())),
        }
    }
}

#[tokio::test]
async fn a_whole_answer_that_is_given_up_costs_what_was_taken_for_it() {
    let world = World::with_budget("", Some(10_000));
    let deadline = world.start + SECOND;
    let asked = Asked {
        deadline: Some(deadline),
        ..Asked::default()
    };
    let mut exchange = world.begin(&OpenAiChat, asked, WHOLE).await;
    let (mut plays, mut outcome) = (VecDeque::from([Play::Silent]), Outcome::default());
    drive(&mut exchange, &mut plays, world.start, &mut outcome).await;
    exchange.woke(deadline);
    drive(&mut exchange, &mut plays, deadline, &mut outcome).await;
    assert_eq!(outcome.refused(), (504, "airlock_deadline".to_owned()));
    // The upstream may generate it to its end, and bill it.
    let spent = exchange.facts().session.ledger.spent().tokens;
    assert!(spent > 4_000, "{spent}");
}
