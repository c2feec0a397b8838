#![allow(clippy::unwrap_used)]
use super::*;

const OWNER: &str = "default\nci";
const LONG: &str = "The first answer, which is long enough to be told from others.";

fn key(value: &str) -> Arc<SessionKey> {
    Arc::new(SessionKey {
        tenant: "default".into(),
        principal: "ci".into(),
        source: "prefix-hash".into(),
        value: value.into(),
    })
}

fn digest(text: &str) -> Digest {
    mark(&[text.as_bytes()])
}

fn user(text: &str) -> Line<'_> {
    Line {
        digest: digest(text),
        of_model: false,
        text,
        calls: Vec::new(),
    }
}

fn model(text: &str) -> Line<'_> {
    Line {
        of_model: true,
        ..user(text)
    }
}

fn calls<'a>(text: &'a str, ids: &[&'a str]) -> Line<'a> {
    Line {
        calls: ids.to_vec(),
        ..model(text)
    }
}

fn request<'a>(lines: &[Line<'a>]) -> Evidence<'a> {
    Evidence {
        lines: lines.to_vec(),
        ..Evidence::default()
    }
}

fn given(text: &str, whole: bool) -> Given {
    Given {
        words: Words::of(text),
        whole,
        calls: Vec::new(),
    }
}

/// An exchange of a session ended.
fn remember(
    memory: &mut Recognition,
    session: &str,
    digests: &[Digest],
    given: &Given,
    weak: Option<Digest>,
    at: Micros,
) -> Vec<Kept> {
    let kept = kept(OWNER, &key(session), digests, given, weak, at);
    memory.remember(&kept, at);
    kept
}

struct Memory(Recognition, Micros);

impl Memory {
    fn new() -> Self {
        Self(Recognition::default(), 1)
    }

    fn tell(&mut self, session: &str, lines: &[Line<'_>], given: &Given) {
        self.1 += 1;
        let digests: Vec<Digest> = lines.iter().map(|line| line.digest).collect();
        remember(&mut self.0, session, &digests, given, None, self.1);
    }

    fn find(&mut self, evidence: &Evidence<'_>) -> Option<String> {
        self.1 += 1;
        let (key, _) = self.0.find(OWNER, evidence, self.1)?;
        Some(key.value.clone())
    }
}

#[test]
fn a_conversation_goes_on_however_its_client_sends_the_turn_back() {
    let ask = user("hello");
    for back in [
        LONG,
        &LONG.replace(' ', "\n  "),
        &format!("  {LONG}\n"),
        "The first answer, which is cut",
    ] {
        let mut memory = Memory::new();
        memory.tell("a", std::slice::from_ref(&ask), &given(LONG, true));
        let next = request(&[ask.clone(), model(back), user("more")]);
        assert_eq!(memory.find(&next).as_deref(), Some("a"), "{back:?}");
    }
    let mut memory = Memory::new();
    memory.tell("a", std::slice::from_ref(&ask), &given(LONG, true));
    let other = request(&[
        ask,
        model("Something that nobody said here, at some length."),
        user("more"),
    ]);
    assert_eq!(memory.find(&other), None);
}

#[test]
fn a_conversation_goes_on_whatever_became_of_the_call_before() {
    let (ask, more) = (user("hello"), user("more"));
    // Refused, failed, blocked: nothing was given, and the client repeats itself or goes on without a turn of the model.
    for next in [vec![ask.clone()], vec![ask.clone(), more.clone()]] {
        let mut memory = Memory::new();
        memory.tell("a", std::slice::from_ref(&ask), &Given::default());
        assert_eq!(memory.find(&request(&next)).as_deref(), Some("a"));
    }
    // Cut: it kept a part, or dropped it.
    for next in [
        vec![ask.clone(), model("Th"), more.clone()],
        vec![
            ask.clone(),
            model("The first answer, which is long"),
            more.clone(),
        ],
        vec![ask.clone(), more],
    ] {
        let mut memory = Memory::new();
        memory.tell("a", std::slice::from_ref(&ask), &given(LONG, false));
        assert_eq!(
            memory.find(&request(&next)).as_deref(),
            Some("a"),
            "{next:?}"
        );
    }
}

#[test]
fn each_try_of_a_first_call_that_fails_is_the_same_session() {
    let ask = [user("hello")];
    let mut memory = Memory::new();
    for _ in 0..3 {
        memory.tell("a", &ask, &Given::default());
        assert_eq!(memory.find(&request(&ask)).as_deref(), Some("a"));
    }
    // Somebody else who says the same meanwhile is somebody else.
    assert_eq!(memory.find(&request(&ask)), None);
}

#[test]
fn a_request_like_one_that_was_answered_is_new_unless_the_client_says_that_it_repeats_it() {
    let ask = [user("hello")];
    let mut memory = Memory::new();
    memory.tell("a", &ask, &given(LONG, true));
    assert_eq!(memory.find(&request(&ask)), None);
    let again = Evidence {
        again: true,
        ..request(&ask)
    };
    assert_eq!(memory.find(&again).as_deref(), Some("a"));
}

#[test]
fn two_that_begin_alike_and_are_told_the_same_stay_two() {
    let ask = user("hello");
    let mut memory = Memory::new();
    memory.tell("a", std::slice::from_ref(&ask), &given(LONG, true));
    memory.tell("b", std::slice::from_ref(&ask), &given(LONG, true));
    let first = [ask.clone(), model(LONG), user("of me")];
    let second = [ask, model(LONG), user("of you")];
    let one = memory.find(&request(&first)).unwrap();
    let two = memory.find(&request(&second)).unwrap();
    assert_ne!(one, two);
    memory.tell(
        &one,
        &first,
        &given("To the one, and at some length at that.", true),
    );
    memory.tell(
        &two,
        &second,
        &given("To the other, and at some length at that.", true),
    );
    let on = |lines: &[Line<'static>], said| {
        let mut lines = lines.to_vec();
        lines.extend([model(said), user("on")]);
        lines
    };
    let first = on(&first, "To the one, and at some length at that.");
    let second = on(&second, "To the other, and at some length at that.");
    assert_eq!(memory.find(&request(&second)), Some(two));
    assert_eq!(memory.find(&request(&first)), Some(one));
}

#[test]
fn two_that_begin_alike_are_told_apart_by_what_each_was_told() {
    let ask = user("hello");
    let mut memory = Memory::new();
    memory.tell("a", std::slice::from_ref(&ask), &given("Yes.", true));
    memory.tell("b", std::slice::from_ref(&ask), &given("No.", true));
    for (said, session) in [("No.", "b"), ("Yes.", "a")] {
        let next = request(&[ask.clone(), model(said), user("more")]);
        assert_eq!(memory.find(&next).as_deref(), Some(session));
    }
}

#[test]
fn calls_are_the_first_evidence_and_outlive_a_history_that_was_shortened() {
    let mut memory = Memory::new();
    let with = |ids: &[&str]| Given {
        calls: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..given("", true)
    };
    memory.tell("a", &[user("one")], &with(&["call_a1", "call_0"]));
    memory.tell("b", &[user("two")], &with(&["call_b1", "call_0"]));
    // Another system message, and the text beside the call is gone.
    let next = request(&[
        user("now it is noon"),
        calls("", &["call_b1"]),
        user("result"),
    ]);
    assert_eq!(memory.find(&next).as_deref(), Some("b"));
    // An id that both know is no evidence of its own; what it leaves open the beginning decides.
    let next = request(&[user("one"), calls("", &["call_0"]), user("result")]);
    assert_eq!(memory.find(&next).as_deref(), Some("a"));
    let next = request(&[user("three"), calls("", &["call_0"]), user("result")]);
    assert_eq!(memory.find(&next), None);
}

#[test]
fn words_and_the_message_before_outlive_a_history_that_was_shortened() {
    let mut memory = Memory::new();
    memory.tell("a", &[user("old"), user("question")], &given(LONG, true));
    let next = request(&[user("question"), model(LONG), user("more")]);
    assert_eq!(memory.find(&next).as_deref(), Some("a"));
    // Too little to go by.
    memory.tell("b", &[user("older"), user("ready?")], &given("Yes.", true));
    let next = request(&[user("ready?"), model("Yes."), user("more")]);
    assert_eq!(memory.find(&next), None);
}

#[test]
fn what_only_correlates_decides_between_equals_and_never_alone() {
    let ask = user("hello");
    let weak = |n: u8| Some([n; 16]);
    let mut memory = Memory::new();
    for (session, n) in [("a", 1), ("b", 2)] {
        remember(
            &mut memory.0,
            session,
            &[ask.digest],
            &given(LONG, true),
            weak(n),
            5,
        );
    }
    let next = |n| Evidence {
        weak: weak(n),
        ..request(&[ask.clone(), model(LONG), user("more")])
    };
    assert_eq!(memory.find(&next(2)).as_deref(), Some("b"));
    let new = Evidence {
        weak: weak(1),
        ..request(&[user("something else")])
    };
    assert_eq!(memory.find(&new), None);
}

#[test]
fn nobody_reaches_another_principals_session() {
    let ask = user("hello");
    let mut memory = Memory::new();
    let all = Given {
        calls: vec!["call_a1".into()],
        ..given(LONG, true)
    };
    memory.tell("a", std::slice::from_ref(&ask), &all);
    let copied = request(&[ask, calls(LONG, &["call_a1"]), user("more")]);
    assert_eq!(memory.0.find("default\nother", &copied, 9), None);
    assert_eq!(memory.find(&copied).as_deref(), Some("a"));
}

#[test]
fn what_was_kept_is_known_after_a_restart() {
    let ask = user("hello");
    let mut before = Recognition::default();
    let mut kept = remember(
        &mut before,
        "a",
        &[ask.digest],
        &given(LONG, false),
        None,
        1,
    );
    let again = request(std::slice::from_ref(&ask));
    kept.extend(before.find(OWNER, &again, 2).unwrap().1);
    let mut after = Memory(Recognition::restore(kept), 3);
    // Somebody goes on from there already.
    assert_eq!(after.find(&again), None);
    let next = request(&[ask, model(LONG), user("more")]);
    assert_eq!(after.find(&next).as_deref(), Some("a"));
}

#[test]
fn marks_are_bounded() {
    let mut memory = Recognition::default();
    for n in 0..(MAX_MARKS as u32 + 10) {
        let digest = mark(&[&n.to_le_bytes()]);
        remember(
            &mut memory,
            "a",
            &[digest],
            &Given::default(),
            None,
            n.into(),
        );
    }
    assert!(memory.count <= MAX_MARKS);
    assert_eq!(
        memory.count,
        memory.marks.values().map(Vec::len).sum::<usize>()
    );
    // A greeting that a thousand conversations share costs no more than a few.
    let common = [[7; 16]];
    for n in 0..1000 {
        remember(
            &mut memory,
            &n.to_string(),
            &common,
            &Given::default(),
            None,
            1 << 40,
        );
    }
    let last = beginnings(OWNER, common.into_iter()).pop().unwrap();
    assert_eq!(memory.marks[&last].len(), MAX_MEANINGS);
}
