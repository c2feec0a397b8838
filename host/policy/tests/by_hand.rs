//! The contract without an SDK: the policies of `examples/by-hand`, written in C and in JavaScript against nothing but
//! `wit/`, load here and do what they say.
//!
//! They are built by `examples/by-hand/build.sh`. A language whose toolchain a machine does not have is skipped, and that is
//! said on the standard error output.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use airlock_policy::contract::types::{self, Channel, Checkpoint, Detail, EventKind, Subject};
use airlock_policy::contract::{EVENT_WORDS, EventWords, asking};
use airlock_policy::{
    Ask, Asker, FaultKind, Generation, Grants, Limits, Policies, PolicySettings, PolicySpec,
    SavedState, Seat, Services,
};

/// A language, and what was built of its policies.
struct Language {
    name: &'static str,
    folder: &'static str,
    /// Number of the format in which its `keeper` saves.
    format: u32,
    built: OnceLock<Option<Arc<Policies>>>,
}

static C: Language = Language::new("C", "c", 1);
static JAVASCRIPT: Language = Language::new("JavaScript", "js", 2);

/// Each of these, for each language.
macro_rules! in_each_language {
    ($($test:ident)*) => {
        mod c {
            $(#[test] fn $test() { super::C.run(super::$test); })*
        }
        mod javascript {
            $(#[test] fn $test() { super::JAVASCRIPT.run(super::$test); })*
        }
    };
}

in_each_language! {
    the_guard_loads_whatever_it_is_granted
    the_guard_reads_its_settings
    the_guard_blocks_what_it_finds
    the_keeper_says_what_it_is
    the_keeper_releases_what_it_has_read
    the_keeper_begins_anew_with_another_attempt
    the_keeper_paints_over_a_word_after_any_text
    the_keeper_denies_a_tool
    the_keeper_asks_and_lets_the_call_wait
    the_keeper_denies_only_what_waits_for_the_answer
    the_keeper_says_that_it_may_not_ask
    the_keeper_goes_on_counting_in_another_seat
    the_keeper_restores_nothing_that_it_does_not_know
    a_policy_acts_on_findings_of_its_own_only
    a_policy_fails_in_its_own_words
    a_later_version_may_add_words_to_events
    a_long_session_fits_into_its_memory
}

/// What a call costs. Not a test: `cargo test --release -p airlock-policy --test by_hand -- --ignored --nocapture`.
mod cost {
    #[test]
    #[ignore = "a measurement"]
    fn c() {
        super::C.run(super::a_call_costs);
    }

    #[test]
    #[ignore = "a measurement"]
    fn javascript() {
        super::JAVASCRIPT.run(super::a_call_costs);
    }
}

impl Language {
    const fn new(name: &'static str, folder: &'static str, format: u32) -> Self {
        Self {
            name,
            folder,
            format,
            built: OnceLock::new(),
        }
    }

    /// Runs a test with what was built, if it was.
    fn run(&self, test: fn(&Self, &Policies)) {
        match self.built.get_or_init(|| self.load()) {
            Some(policies) => test(self, policies),
            None => {
                // Not `eprintln!`: the test runner keeps what a passing test prints to itself.
                let name = self.name;
                let skipped = format!(
                    "SKIPPED: examples/by-hand in {name} was not built: run examples/by-hand/build.sh --install\n"
                );
                std::io::stderr().write_all(skipped.as_bytes()).unwrap();
            }
        }
    }

    fn component(&self, name: &str) -> Option<Vec<u8>> {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/by-hand");
        std::fs::read(target.join(self.folder).join(format!("{name}.wasm"))).ok()
    }

    /// One registry for all tests, in which each policy stands with several entries.
    fn load(&self) -> Option<Arc<Policies>> {
        let (guard, keeper) = (self.component("guard")?, self.component("keeper")?);
        let default = Some(Grants::directory());
        let trusting = Some(Grants {
            actions: vec!["replace-range".into(), "deny-tool-call".into()],
            asks: vec!["people".into()],
            ..Grants::directory()
        });
        let nothing = Some(Grants::default());
        let mut entries = vec![
            ("guard", "guard", &guard, default.clone(), "{}"),
            (
                "guard-bare",
                "guard",
                &guard,
                nothing,
                r#"{"word": "naïve"}"#,
            ),
            ("keeper", "keeper", &keeper, trusting, "{}"),
            // Their faults are not to put the others in quarantine.
            ("guard-fails", "guard", &guard, default.clone(), "{}"),
            ("keeper-fails", "keeper", &keeper, default.clone(), "{}"),
            ("keeper-unasked", "keeper", &keeper, default.clone(), "{}"),
        ];
        let pure = self.component("guard-pure");
        if let Some(pure) = &pure {
            entries.push(("guard-pure", "guard", pure, default, "{}"));
        }
        let builtins = entries
            .iter()
            .map(|(name, _, bytes, ..)| ((*name).to_owned(), Cow::Owned(bytes.to_vec())));
        let specs = entries
            .iter()
            .map(|(name, component, _, grants, settings)| {
                let spec = PolicySpec {
                    component: Some((*component).to_owned()),
                    grants: grants.clone(),
                    settings: serde_json::from_str(settings).unwrap(),
                    ..PolicySpec::default()
                };
                ((*name).to_owned(), spec)
            });
        let policies = Policies::start(PolicySettings {
            builtins: builtins.collect(),
            specs: specs.collect(),
            // A JavaScript engine takes seconds to compile, the same one in each of its components.
            cache_dir: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("by-hand")),
            limits: Limits {
                instances: 64,
                ..Limits::default()
            },
            ..PolicySettings::default()
        });
        Some(policies.unwrap())
    }
}

fn the_guard_loads_whatever_it_is_granted(language: &Language, policies: &Policies) {
    for name in ["guard", "guard-bare"] {
        let guard = serving(policies, name);
        let said = &guard.description;
        assert_eq!((&*said.name, &*said.version), ("guard", "1.0.0"));
        assert_eq!(said.actions, ["block"]);
        assert!(said.asks.is_empty());
        assert!(guard.ungranted.contains(&"block".to_owned()));
        assert!(guard.reasons && guard.acts);
    }
    if language.name == "JavaScript" {
        assert_eq!(serving(policies, "guard-pure").description.name, "guard");
    }
}

fn the_guard_reads_its_settings(_: &Language, policies: &Policies) {
    for (name, word) in [("guard", "swordfish"), ("guard-bare", "naïve")] {
        let wants = &serving(policies, name).subscription;
        let patterns: Vec<&str> = wants.patterns.iter().map(|p| &*p.text).collect();
        assert_eq!(patterns, [word]);
        assert_eq!(wants.findings, ["guard.word"]);
    }
}

fn the_guard_blocks_what_it_finds(_: &Language, policies: &Policies) {
    let guards = ["guard", "guard-bare", "guard-pure"];
    for name in guards
        .iter()
        .filter(|name| policies.current().get(name).is_some())
    {
        let mut seat = seat(policies, name, Services::none());
        let told = Told::new().text(0, "the swordfish");
        let nothing = seat.observe(&told.clone().batch()).unwrap();
        assert_eq!((nothing.findings, nothing.marks), (vec![], vec![]));

        let span = span(4, 9);
        let batch = told.matching(span).batch();
        let found = seat.observe(&batch).unwrap();
        let [finding] = &found.findings[..] else {
            panic!("{found:?}");
        };
        assert_eq!(finding.kind, "guard.word");
        assert_eq!(finding.severity, types::Severity::High);
        assert_eq!(finding.subject, Subject::Text(span));
        assert_eq!(finding.evidence, [span]);

        let decision = seat.decide(&situation(&batch, &found)).unwrap();
        let [types::Action::Block(block)] = &decision.actions[..] else {
            panic!("{decision:?}");
        };
        assert_eq!(block.mode, types::BlockMode::Hard);
        assert!(!block.reason.is_empty());
    }
}

fn the_keeper_says_what_it_is(language: &Language, policies: &Policies) {
    let keeper = serving(policies, "keeper");
    let said = &keeper.description;
    assert_eq!((&*said.name, &*said.version), ("keeper", "1.0.0"));
    assert_eq!(said.actions, ["replace-range", "deny-tool-call"]);
    assert_eq!(said.asks, ["people"]);
    assert_eq!(said.state_schema, language.format);
    assert!(said.settings_schema.contains("additionalProperties"));
    assert!(keeper.ungranted.is_empty());
    let [release] = &keeper.subscription.release[..] else {
        panic!("{:?}", keeper.subscription);
    };
    assert_eq!(release.channel, Channel::Output);
    assert_eq!(release.mode, types::ReleaseMode::HoldUntilJudged);
    let unasked = &serving(policies, "keeper-unasked").ungranted;
    assert!(unasked.contains(&"ask people".to_owned()), "{unasked:?}");
}

/// A word is split between batches as the model's tokens fall, and what may become one is kept back.
fn the_keeper_releases_what_it_has_read(_: &Language, policies: &Policies) {
    let mut seat = seat(policies, "keeper", Services::none());
    let mut read = |told: Told| {
        let answer = seat.observe(&told.batch()).unwrap();
        let marks: Vec<u32> = answer.marks.iter().map(|mark| mark.upto).collect();
        (answer.findings, marks)
    };
    assert_eq!(read(Told::new().text(0, "this is no")), (vec![], vec![10]));
    assert_eq!(read(Told::new().text(10, " ssec")), (vec![], vec![12]));
    let (found, marks) = read(Told::new().text(15, "ret, but this is: sec"));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].subject, Subject::Text(span(12, 6)));
    assert_eq!(marks, [33]);
    // Two texts of a batch do not mix.
    let other = Told::new().text(36, "re").choice(1).text(0, "t sec");
    assert_eq!(read(other), (vec![], vec![33, 2]));
    let (found, mut marks) = read(Told::new().end());
    marks.sort_unstable();
    assert_eq!((found, marks), (vec![], vec![5, 38]));
    // A generation that is repeated begins anew, and its text at 0.
    assert_eq!(read(Told::new().text(0, "abc sec")), (vec![], vec![4]));
    assert_eq!(read(Told::new().text(0, "ret as")), (vec![], vec![5]));
    // An empty batch is one, too.
    assert_eq!(read(Told::new()), (vec![], vec![]));
}

/// After `retried` every place begins anew: nothing is known of those of the attempt before, wherever they ended.
fn the_keeper_begins_anew_with_another_attempt(_: &Language, policies: &Policies) {
    let mut seat = seat(policies, "keeper", Services::none());
    let mut read = |told: Told| {
        let answer = seat.observe(&told.batch()).unwrap();
        let mut marks: Vec<_> = answer
            .marks
            .iter()
            .map(|mark| (mark.place.choice, mark.upto))
            .collect();
        marks.sort_unstable();
        (answer.findings.len(), marks)
    };
    read(Told::new().request("").text(0, "a sec"));
    read(
        Told::new()
            .choice(1)
            .text(0, "and a long other answer, sec"),
    );
    // With a further leg the text goes on.
    let leg = Told::new().request("denied").text(5, "ret, and a sec");
    assert_eq!(read(leg), (1, vec![(0, 16)]));
    let again = Told::new().request("retried").text(0, "ret, sec");
    assert_eq!(read(again), (0, vec![(0, 5)]));
    // Of the other choice nothing was said this time.
    assert_eq!(read(Told::new().end()), (0, vec![(0, 8)]));
}

/// Spans count bytes of UTF-8, wherever the text stands in the batch and however the language counts.
fn the_keeper_paints_over_a_word_after_any_text(_: &Language, policies: &Policies) {
    let mut seat = seat(policies, "keeper", Services::none());
    let first = "naïve — secret";
    let second = "😀 and secret, Secret, secret";
    let offset = u32::try_from(first.len()).unwrap();
    let batch = Told::new()
        .text(0, first)
        .text(offset, second)
        .reasoning("no secret of ours")
        .batch();
    let found = seat.observe(&batch).unwrap();
    let expected: Vec<types::Span> = [
        first.find("secret"),
        second.find("secret").map(|at| at + first.len()),
        second.rfind("secret").map(|at| at + first.len()),
    ]
    .map(|at| span(u32::try_from(at.unwrap()).unwrap(), 6))
    .to_vec();
    let subjects: Vec<Subject> = expected.iter().copied().map(Subject::Text).collect();
    let said: Vec<Subject> = found.findings.iter().map(|f| f.subject.clone()).collect();
    assert_eq!(said, subjects);
    assert!(found.findings.iter().all(|f| f.kind == "keeper.secret"));
    let end = offset + u32::try_from(second.len()).unwrap();
    assert_eq!(found.marks.last().map(|mark| mark.upto), Some(end));

    let decision = seat.decide(&situation(&batch, &found)).unwrap();
    let painted = expected.into_iter().map(|span| {
        let text = "█████".to_owned();
        types::Action::ReplaceRange(types::Replacement { span, text })
    });
    assert_eq!(decision.actions, painted.collect::<Vec<_>>());
}

fn the_keeper_denies_a_tool(_: &Language, policies: &Policies) {
    let mut seat = seat(policies, "keeper", Services::none());
    let batch = Told::new()
        .call("call_0", "ls", r#"{"path": "secret"}"#)
        .call("call_1", "rm", r#"{"path": "ä"}"#)
        .batch();
    let found = seat.observe(&batch).unwrap();
    let [finding] = &found.findings[..] else {
        panic!("{found:?}");
    };
    assert_eq!(finding.kind, "keeper.tool");
    assert_eq!(finding.subject, Subject::ToolCall("call_1".into()));
    let decision = seat.decide(&situation(&batch, &found)).unwrap();
    let [types::Action::DenyToolCall(denial)] = &decision.actions[..] else {
        panic!("{decision:?}");
    };
    assert_eq!(
        (&*denial.call, &*denial.reason),
        ("call_1", "The tool `rm` may not be called.")
    );
}

fn the_keeper_asks_and_lets_the_call_wait(_: &Language, policies: &Policies) {
    let people = Arc::new(People::default());
    let services = Services {
        asks: Arc::clone(&people) as Arc<dyn Asker>,
        ..Services::none()
    };
    let mut seat = seat(policies, "keeper", services);
    let pay = r#"{"to": "Zoë"}"#;
    let two = Told::new()
        .call("call_ö", "pay", pay)
        .call("call_2", "pay", pay);
    let answer = seat.observe(&two.batch()).unwrap();
    assert_eq!(answer.findings, []);
    let waits = [(TICKET, "call_ö"), (TICKET + 1, "call_2")].map(|(ticket, call)| types::Pending {
        ticket,
        subject: Subject::ToolCall(call.into()),
        deadline_ms: 60_000,
        on_timeout: types::OnTimeout::Block,
    });
    assert_eq!(answer.pending, waits);
    assert_eq!(seat.last_tickets(), [TICKET, TICKET + 1]);
    let asked = people.asked.lock().unwrap().clone();
    assert_eq!(asked.len(), 2);
    let (target, asking::Question::Approve(approval)) = &asked[0] else {
        panic!("{asked:?}");
    };
    assert_eq!((&**target, &*approval.body), ("people", pay));
    assert!(!approval.title.is_empty());

    // The answer says which call waits for it, so nothing needs to be remembered.
    seat.hibernate().unwrap();
    let yes = types::AnswerValue::Text("yes".into());
    let told = Told::new().answer(TICKET, Subject::ToolCall("call_ö".into()), yes);
    let granted = seat.observe(&told.batch()).unwrap();
    assert_eq!((granted.findings, granted.pending), (vec![], vec![]));
    let no = types::AnswerValue::Denied("refused by Ada".into());
    let told = Told::new().answer(TICKET + 1, Subject::ToolCall("call_2".into()), no);
    let batch = told.batch();
    let refused = seat.observe(&batch).unwrap();
    let decision = seat.decide(&situation(&batch, &refused)).unwrap();
    let [types::Action::DenyToolCall(denial)] = &decision.actions[..] else {
        panic!("{refused:?} {decision:?}");
    };
    assert_eq!(denial.call, "call_2");
}

/// For an answer that came too late nothing waits any more.
fn the_keeper_denies_only_what_waits_for_the_answer(_: &Language, policies: &Policies) {
    let mut seat = seat(policies, "keeper", Services::none());
    let failed = types::AnswerValue::Failed("nobody was there".into());
    let told = Told::new().answer(TICKET, Subject::Session, failed.clone());
    assert_eq!(seat.observe(&told.batch()).unwrap().findings, []);
    // Whichever instance asked: this one never saw the ticket.
    let call = Subject::ToolCall("call_1".into());
    let told = Told::new().answer(TICKET, call.clone(), failed);
    let found = seat.observe(&told.batch()).unwrap().findings;
    assert_eq!((found.len(), &found[0].subject), (1, &call));
}

fn the_keeper_says_that_it_may_not_ask(_: &Language, policies: &Policies) {
    let people = Arc::new(People::default());
    let services = Services {
        asks: Arc::clone(&people) as Arc<dyn Asker>,
        ..Services::none()
    };
    let mut seat = seat(policies, "keeper-unasked", services);
    let batch = Told::new().call("call_1", "pay", "{}").batch();
    let answer = seat.observe(&batch).unwrap();
    let [finding] = &answer.findings[..] else {
        panic!("{answer:?}");
    };
    assert_eq!(finding.kind, "keeper.unasked");
    assert_eq!(finding.subject, Subject::ToolCall("call_1".into()));
    for word in ["`people`", "`grants.asks`", "`keeper-unasked`"] {
        assert!(finding.summary.contains(word), "{}", finding.summary);
    }
    assert_eq!(answer.pending, []);
    assert!(people.asked.lock().unwrap().is_empty());
    // The same instance goes on.
    assert!(seat.is_awake());
    assert_eq!(seat.observe(&batch).unwrap(), answer);
}

fn the_keeper_goes_on_counting_in_another_seat(language: &Language, policies: &Policies) {
    let tell = |seat: &mut Seat, told: Told| {
        let batch = told.batch();
        let found = seat.observe(&batch).unwrap();
        seat.decide(&situation(&batch, &found)).unwrap();
        found
    };
    let mut first = seat(policies, "keeper", Services::none());
    tell(&mut first, Told::new().text(0, "a secret, a sec"));
    tell(&mut first, Told::new().call("call_1", "rm", "{}"));
    first.settle().unwrap();
    let saved = first.saved().unwrap().clone();
    assert_eq!(saved.schema, language.format);
    assert_eq!(counts(language, &saved), [15, 1, 1]);

    let mut second = seat(policies, "keeper", Services::none());
    second.restore_from(saved);
    let found = tell(
        &mut second,
        Told::new().text(15, "ret").call("call_2", "rm", "{}"),
    );
    assert_eq!(found.findings[0].subject, Subject::Text(span(12, 6)));
    second.settle().unwrap();
    assert_eq!(counts(language, second.saved().unwrap()), [18, 2, 2]);
}

fn the_keeper_restores_nothing_that_it_does_not_know(language: &Language, policies: &Policies) {
    let mut seat = seat(policies, "keeper-fails", Services::none());
    seat.restore_from(SavedState {
        schema: 7,
        memory: b"{}".to_vec(),
        values: BTreeMap::new(),
    });
    let batch = Told::new().text(0, "a secret").batch();
    let fault = seat.observe(&batch).unwrap_err();
    assert_eq!(fault.kind, FaultKind::Session);
    let words = format!("restores format {} of its memory only", language.format);
    assert!(fault.message.contains(&words), "{fault}");
    // Memory that cannot be read is given up, and the next call finds a new session.
    assert_eq!(seat.observe(&batch).unwrap().findings.len(), 1);
}

/// Another policy may give its findings any kind, and be granted nothing but to find.
fn a_policy_acts_on_findings_of_its_own_only(_: &Language, policies: &Policies) {
    let told = Told::new().text(0, "a secret").call("call_1", "rm", "{}");
    let batch = told.matching(span(2, 6)).batch();
    for (name, actions) in [("guard", 1), ("keeper", 2)] {
        let mut seat = seat(policies, name, Services::none());
        let found = seat.observe(&batch).unwrap();
        let mut situation = situation(&batch, &found);
        let own = situation.findings.clone();
        for found in &mut situation.findings {
            found.policy = "forger".into();
            found.is_own = false;
        }
        assert_eq!(seat.decide(&situation).unwrap().actions, [], "{name}");
        situation.findings.extend(own);
        let decision = seat.decide(&situation).unwrap();
        assert_eq!(decision.actions.len(), actions, "{name}");
    }
}

fn a_policy_fails_in_its_own_words(_: &Language, policies: &Policies) {
    for name in ["guard-fails", "keeper-fails"] {
        let mut seat = seat(policies, name, Services::none());
        let told = Told::new().text(0, "now trap me please");
        let fault = seat.observe(&told.batch()).unwrap_err();
        assert_eq!(
            (fault.kind, &*fault.message),
            (FaultKind::Failed, "I was asked to fail"),
            "{name}"
        );
        assert!(!seat.is_awake());
        // The session goes on.
        seat.observe(&Told::new().text(0, "thank you").batch())
            .unwrap();
    }
}

fn a_later_version_may_add_words_to_events(_: &Language, policies: &Policies) {
    let told = Told::new().text(0, "ä secret").text(9, ", a secret").end();
    let batch = told.batch();
    let mut wider = (*batch).clone();
    wider.event_words += 3;
    wider.events = batch
        .events
        .chunks(EVENT_WORDS as usize)
        .flat_map(|event| [event, &[7, 8, 9]].concat())
        .collect();
    let tell = |batch| seat(policies, "keeper", Services::none()).observe(batch);
    let expected = tell(&batch).unwrap();
    assert_eq!(expected.findings.len(), 2);
    assert_eq!(tell(&Arc::new(wider)).unwrap(), expected);
}

/// What a policy in C is given is its own to free. The texts here are more than all the memory that it may have.
fn a_long_session_fits_into_its_memory(_: &Language, policies: &Policies) {
    let people = Arc::new(People::default());
    let services = Services {
        asks: Arc::clone(&people) as Arc<dyn Asker>,
        ..Services::none()
    };
    let mut seats = ["guard", "keeper"].map(|name| seat(policies, name, services.clone()));
    let long = format!("a secret{}", " and so on".repeat(400));
    let batch = Told::new()
        .text(0, &long)
        .matching(span(2, 6))
        .call("call_1", "rm", &long)
        .call("call_2", "pay", &long)
        .answer(
            TICKET,
            Subject::ToolCall("call_2".into()),
            types::AnswerValue::Failed(long.clone()),
        )
        .batch();
    for _ in 0..4_000 {
        for seat in &mut seats {
            let found = seat.observe(&batch).unwrap();
            seat.decide(&situation(&batch, &found)).unwrap();
        }
        people.asked.lock().unwrap().clear();
    }
    assert!(seats.iter().all(Seat::is_awake));
}

fn a_call_costs(language: &Language, policies: &Policies) {
    for name in ["guard", "keeper"] {
        for events in [1, 16] {
            let text = "twenty bytes of text";
            let told = (0..events).fold(Told::new(), |told, n| told.text(n * 20, text));
            let batch = told.batch();
            let mut seat = seat(policies, name, Services::none());
            let mut times: Vec<_> = (0..2_000)
                .map(|_| {
                    let began = std::time::Instant::now();
                    seat.observe(&batch).unwrap();
                    began.elapsed()
                })
                .collect();
            times.sort_unstable();
            let (median, most) = (times[1_000], times[1_980]);
            println!(
                "{} {name}, {events} events: p50 {median:?}, p99 {most:?}",
                language.name
            );
        }
    }
}

/// The counters in a keeper's memory: bytes, words, denied calls.
fn counts(language: &Language, saved: &SavedState) -> [u64; 3] {
    if language.name == "C" {
        let number = |at: usize| u64::from_le_bytes(saved.memory[at..at + 8].try_into().unwrap());
        return [0, 8, 16].map(number);
    }
    let memory: serde_json::Value = serde_json::from_slice(&saved.memory).unwrap();
    ["bytes", "words", "denied"].map(|name| memory["counts"][name].as_u64().unwrap())
}

/// First ticket that people give.
const TICKET: u64 = 1 << 40;

const SESSION: &str = "0123456789abcdef0123456789abcdef";

/// Takes every question.
#[derive(Default)]
struct People {
    asked: Mutex<Vec<(String, asking::Question)>>,
}

impl Asker for People {
    fn ask(&self, ask: Ask<'_>) -> Result<u64, types::Refusal> {
        let mut asked = self.asked.lock().unwrap();
        asked.push((ask.target.to_owned(), ask.question));
        Ok(TICKET + asked.len() as u64 - 1)
    }
}

fn serving(policies: &Policies, name: &str) -> Arc<Generation> {
    let set = policies.current();
    let generation = set.get(name);
    Arc::clone(generation.unwrap_or_else(|| panic!("{name}: {:#?}", policies.status())))
}

fn seat(policies: &Policies, name: &str, services: Services) -> Seat {
    let facts = types::Facts {
        tenant: "t".into(),
        principal: "p".into(),
        session: SESSION.into(),
        parent: String::new(),
        seed: 7,
        started: 1,
        extra: vec![("risk".into(), "high".into())],
    };
    Seat::new(serving(policies, name), Arc::new(facts), services)
}

/// A range of the answer.
fn span(offset: u32, length: u32) -> types::Span {
    let place = place(Channel::Output, 0);
    types::Span {
        place,
        offset,
        length,
    }
}

fn place(channel: Channel, choice: u32) -> types::Place {
    types::Place {
        channel,
        choice,
        item: 0,
        part: 0,
    }
}

/// The findings of an answer as its own policy is told them.
fn situation(batch: &types::Batch, found: &types::Assessment) -> types::Situation {
    let found = found.findings.iter().cloned();
    let findings = found.map(|finding| types::ReportedFinding {
        policy: "itself".into(),
        is_own: true,
        session: SESSION.into(),
        exchange: batch.exchange,
        finding,
    });
    types::Situation {
        findings: findings.collect(),
        batch: batch.clone(),
    }
}

/// A batch under construction.
#[derive(Clone)]
struct Told {
    text: String,
    events: Vec<u32>,
    attached: types::Attachments,
    choice: u32,
}

impl Told {
    fn new() -> Self {
        Self {
            text: String::new(),
            events: vec![],
            attached: types::Attachments {
                details: vec![],
                matches: vec![],
            },
            choice: 0,
        }
    }

    fn event(
        mut self,
        kind: EventKind,
        channel: Channel,
        offset: u32,
        text: &str,
        detail: Option<Detail>,
    ) -> Self {
        self.text.push_str(text);
        self.attached.details.extend(detail.clone());
        let number = u32::try_from(self.attached.details.len()).unwrap();
        EventWords {
            kind,
            detail: detail.map_or(0, |_| number),
            text_end: u32::try_from(self.text.len()).unwrap(),
            after: 0,
            place: place(channel, self.choice),
            offset,
            tokens: 1,
        }
        .write(&mut self.events);
        self
    }

    fn text(self, offset: u32, text: &str) -> Self {
        self.event(EventKind::Text, Channel::Output, offset, text, None)
    }

    fn reasoning(self, text: &str) -> Self {
        self.event(EventKind::Text, Channel::Reasoning, 0, text, None)
    }

    /// What follows is of another choice.
    fn choice(mut self, choice: u32) -> Self {
        self.choice = choice;
        self
    }

    fn call(self, id: &str, name: &str, arguments: &str) -> Self {
        let detail = Detail::ToolCall(types::ToolCall {
            call: id.into(),
            name: name.into(),
            kind: types::CallKind::Function,
            server: String::new(),
            content: types::ContentRef {
                content: 0,
                length: arguments.len() as u64,
            },
            extra: vec![],
        });
        let channel = Channel::ToolArguments;
        self.event(EventKind::ToolCall, channel, 0, arguments, Some(detail))
    }

    fn answer(self, ticket: u64, subject: Subject, value: types::AnswerValue) -> Self {
        let detail = Detail::Answer(types::Answer {
            ticket,
            subject,
            value,
        });
        self.event(EventKind::Answer, Channel::Nowhere, 0, "", Some(detail))
    }

    fn request(self, cause: &str) -> Self {
        let detail = Detail::Request(types::Request {
            model: "m".into(),
            upstream: "u".into(),
            dialect: "openai-chat".into(),
            streamed: true,
            messages: 1,
            conversation: types::Conversation::Whole,
            parent: 0,
            tools: vec![],
            input_tokens: 1,
            max_output_tokens: 0,
            retry: 0,
            attempt: 1,
            leg: 1,
            cause: cause.into(),
            extra: vec![],
        });
        let kind = EventKind::Request;
        self.event(kind, Channel::Nowhere, 0, "", Some(detail))
    }

    fn end(self) -> Self {
        let detail = Detail::Response(types::Response {
            finish: "stop".into(),
            model: "m".into(),
            input_tokens: 1,
            output_tokens: 1,
            cached_tokens: 0,
            reasoning_tokens: 0,
            exact: true,
            cost: 0,
            status: "complete".into(),
            extra: vec![],
        });
        self.event(
            EventKind::ResponseEnd,
            Channel::Nowhere,
            0,
            "",
            Some(detail),
        )
    }

    fn matching(mut self, span: types::Span) -> Self {
        self.attached
            .matches
            .push(types::PatternMatch { pattern: 0, span });
        self
    }

    fn batch(self) -> Arc<types::Batch> {
        let is_bare = self.attached.details.is_empty() && self.attached.matches.is_empty();
        Arc::new(types::Batch {
            checkpoint: Checkpoint::Stream,
            exchange: 1,
            first_seq: 1,
            time: 1,
            text: self.text,
            event_words: EVENT_WORDS,
            events: self.events,
            attached: (!is_bare).then_some(self.attached),
        })
    }
}
