//! The desk as people and processes break it: decided twice, too late, killed in between, without a disk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::super::{Filter, FindError, NOBODY, OnTimeout, Outcome, Subject};
use super::*;
use crate::event::Event;
use crate::event::key::SessionKey;
use crate::session::feed::Feed;
use crate::session::ledger;
use crate::session::state::Found;
use crate::session::timeline::Recorder;
use crate::store::capture::Capture;
use crate::store::sqlite::{Options, SqliteStore};
use crate::store::{
    Done, LedgerRow, SavedSession, Seat, SessionFilter, SessionHead, SessionRow, Stats,
};

const MINUTE: Micros = 60_000_000;
const PATIENCE: Duration = Duration::from_secs(20);

const LIMITS: Limits = Limits {
    remember: 60 * MINUTE,
    max_wait: 60 * MINUTE,
    max_open: 3,
};

fn key() -> SessionKey {
    SessionKey {
        tenant: "default".into(),
        principal: "local".into(),
        source: "test".into(),
        value: "v".into(),
    }
}

/// A desk on a real store, with a clock of its own.
struct Office {
    desk: Arc<Desk>,
    sessions: Arc<Sessions>,
    store: Arc<SqliteStore>,
    now: Arc<AtomicU64>,
}

impl Office {
    fn open(dir: &Path, at: Micros, capture: Capture) -> Self {
        let store = Arc::new(SqliteStore::open(Options::in_directory(dir, 0)).unwrap());
        let (desk, sessions, now) = desk(store.clone(), at, capture);
        Self {
            desk,
            sessions,
            store,
            now,
        }
    }

    async fn session(&self) -> SessionId {
        open_session(&self.sessions).await
    }

    /// Lets time pass, and what is due happen.
    async fn pass(&self, time: Micros) {
        self.now.fetch_add(time, Ordering::Relaxed);
        self.desk.settle();
        self.desk.tell().await;
    }

    async fn put(&self, arguments: &str) -> Approval {
        let approval = self.desk.put(call(arguments));
        self.shown(approval.id).await;
        approval
    }

    async fn shown(&self, id: ApprovalId) {
        until(|| {
            let inner = self.desk.lock();
            inner.book.get(id).unwrap().shown
        })
        .await;
    }

    fn events(&self) -> Vec<Event> {
        self.store.flush().unwrap();
        self.store.timeline(key().id(), 0, 1000).unwrap()
    }

    /// Kinds of the events about an approval, with verdict and author.
    fn told(&self, id: ApprovalId) -> Vec<String> {
        told(&self.events(), id)
    }
}

fn told(events: &[Event], id: ApprovalId) -> Vec<String> {
    let mut told = Vec::new();
    for event in events {
        match &event.body {
            Body::Held { approval, .. } if *approval == id.to_string() => told.push("held".into()),
            Body::Decided {
                approval,
                verdict,
                by,
                ..
            } if *approval == id.to_string() => told.push(format!("{verdict} by {by}")),
            _ => {}
        }
    }
    told
}

fn desk(
    store: Arc<dyn Store>,
    at: Micros,
    capture: Capture,
) -> (Arc<Desk>, Arc<Sessions>, Arc<AtomicU64>) {
    let sessions = Arc::new(Sessions::new(
        Recorder {
            store,
            feed: Feed::new(),
            capture,
        },
        ledger::Limits::default(),
    ));
    let now = Arc::new(AtomicU64::new(at));
    let clock = Arc::clone(&now);
    let desk = Desk::with_clock(
        sessions.clone(),
        LIMITS,
        Box::new(move || clock.load(Ordering::Relaxed)),
    );
    (desk.unwrap(), sessions, now)
}

async fn open_session(sessions: &Sessions) -> SessionId {
    let found = Found {
        key: key(),
        confidence: "explicit",
        parent: None,
        extra: Vec::new(),
    };
    sessions.get(found).await.unwrap().id
}

async fn until(mut holds: impl FnMut() -> bool) {
    let end = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < end, "waited in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn call(arguments: &str) -> New {
    item(
        Subject::ToolCall {
            name: "pay".into(),
            arguments: arguments.into(),
        },
        digest::of_tool_call("pay", arguments),
    )
}

fn item(subject: Subject, digest: crate::event::digest::Digest) -> New {
    New {
        session: key().id(),
        exchange: 1,
        policy: "tool-guard".into(),
        subject,
        digest,
        title: "pay jane@example.com?".into(),
        body: "to jane@example.com".into(),
        context: serde_json::Value::Null,
        deadline_ms: 0,
        on_timeout: OnTimeout::Block,
    }
}

#[tokio::test]
async fn a_repetition_re_attaches_and_anything_else_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(dir.path(), MINUTE, Capture::Full);
    office.session().await;
    let first = office.put(r#"{"to":"a","sum":1}"#).await;
    assert_eq!(first.deadline, MINUTE + LIMITS.max_wait);
    assert_eq!(
        office.desk.put(call(r#"{ "sum": 1, "to": "a" }"#)).id,
        first.id
    );
    assert_ne!(office.put(r#"{"to":"a","sum":2}"#).await.id, first.id);

    office
        .desk
        .decide(first.id, Verdict::Approved, "ann", "")
        .await
        .unwrap();
    office.pass(59 * MINUTE).await;
    let again = office.desk.put(call(r#"{"to":"a","sum":1}"#));
    assert_eq!(
        (again.id, again.outcome()),
        (first.id, Some(Outcome::Release)),
        "a decision outlives the client's connection"
    );
    office.pass(MINUTE).await;
    let later = office.desk.put(call(r#"{"to":"a","sum":1}"#));
    assert!(
        later.is_open() && later.id != first.id,
        "but not for ever: {later:?}"
    );
}

#[tokio::test]
async fn of_two_decisions_the_first_counts_and_rings_once() {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(dir.path(), MINUTE, Capture::Full);
    office.session().await;
    let approval = office.put("{}").await;
    let bell = Arc::new(Notify::new());
    office.desk.ring(approval.id, bell.clone());
    let (a, b) = tokio::join!(
        office
            .desk
            .decide(approval.id, Verdict::Approved, "ann", "fine"),
        office
            .desk
            .decide(approval.id, Verdict::Denied, "bob", "no"),
    );
    let (winner, loser) = if a.is_ok() { (a, b) } else { (b, a) };
    let decision = winner.unwrap().decision().unwrap().clone();
    match loser.unwrap_err() {
        DecideError::Decided { by, verdict, .. } => {
            assert_eq!(
                (by, verdict),
                (decision.by.clone(), decision.verdict.word())
            );
        }
        other => panic!("{other}"),
    }
    tokio::time::timeout(PATIENCE, bell.notified())
        .await
        .expect("rung");
    let late = Arc::new(Notify::new());
    office.desk.ring(approval.id, late.clone());
    tokio::time::timeout(PATIENCE, late.notified())
        .await
        .expect("rung at once");
    assert_eq!(
        office.told(approval.id),
        [
            "held".to_owned(),
            format!("{} by {}", decision.verdict.word(), decision.by)
        ]
    );
}

#[tokio::test]
async fn after_the_deadline_the_default_is_the_decision() {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(dir.path(), MINUTE, Capture::Full);
    office.session().await;
    let short = office.desk.put(New {
        deadline_ms: 1000,
        on_timeout: OnTimeout::Release,
        ..call("{}")
    });
    office.shown(short.id).await;
    let long = office.put(r#"{"a":1}"#).await;
    let bell = Arc::new(Notify::new());
    office.desk.ring(short.id, bell.clone());

    office.pass(999_999).await;
    assert!(office.desk.get(short.id).unwrap().is_open());
    // The deadline itself is too late, also before the background task has come by.
    office.now.fetch_add(1, Ordering::Relaxed);
    assert!(matches!(
        office
            .desk
            .decide(short.id, Verdict::Denied, "ann", "")
            .await,
        Err(DecideError::TooLate(_))
    ));
    office.pass(0).await;
    tokio::time::timeout(PATIENCE, bell.notified())
        .await
        .expect("rung");
    let timed_out = office.desk.get(short.id).unwrap();
    assert_eq!(timed_out.outcome(), Some(Outcome::Release));
    let decision = timed_out.decision().unwrap();
    assert_eq!(
        (&decision.verdict, decision.by.as_str()),
        (&Verdict::TimedOut, NOBODY)
    );
    assert!(decision.note.contains("released"), "{}", decision.note);
    assert!(office.desk.get(long.id).unwrap().is_open());
    assert_eq!(office.told(short.id), ["held", "timed-out by airlock"]);
}

#[tokio::test]
async fn the_background_task_lets_deadlines_pass_and_tells_arrivals() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(Options::in_directory(dir.path(), 0)).unwrap());
    let sessions = Arc::new(Sessions::new(
        Recorder {
            store,
            feed: Feed::new(),
            capture: Capture::Full,
        },
        ledger::Limits::default(),
    ));
    open_session(&sessions).await;
    let desk = Desk::open(sessions, LIMITS).unwrap();
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&arrived);
    let task = tokio::spawn(
        desk.clone()
            .run(move |approval| heard.lock().unwrap().push(approval.id)),
    );
    // Long enough to be seen before it is due, whatever the machine is doing.
    let waits = desk.put(call("{}"));
    let bell = Arc::new(Notify::new());
    let short = desk.put(New {
        deadline_ms: 1,
        ..call(r#"{"a":1}"#)
    });
    desk.ring(short.id, bell.clone());
    tokio::time::timeout(PATIENCE, bell.notified())
        .await
        .expect("due");
    until(|| arrived.lock().unwrap().contains(&waits.id)).await;
    assert_eq!(desk.get(short.id).unwrap().outcome(), Some(Outcome::Block));
    task.abort();
}

#[tokio::test]
async fn what_waits_and_what_was_decided_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (waits, due, approved);
    {
        let office = Office::open(dir.path(), MINUTE, Capture::Full);
        office.session().await;
        waits = office.put(r#"{"n":1}"#).await;
        due = office.desk.put(New {
            deadline_ms: 60_000,
            ..call(r#"{"n":2}"#)
        });
        office.shown(due.id).await;
        approved = office.put(r#"{"n":3}"#).await;
        let edit = Verdict::Edited(r#"{"n":4}"#.into());
        office
            .desk
            .decide(approved.id, edit, "ann", "less")
            .await
            .unwrap();
        office
            .desk
            .note(waits.id, "bob", "ask the customer")
            .await
            .unwrap();
    }
    let office = Office::open(dir.path(), 10 * MINUTE, Capture::Full);
    office.pass(0).await;
    // The client comes back: the same call finds its decision, its wait, its timeout.
    let again = office.desk.put(call(r#"{"n":3}"#));
    assert_eq!(again.id, approved.id);
    assert_eq!(again.outcome(), Some(Outcome::Change(r#"{"n":4}"#)));
    let again = office.desk.put(call(r#"{"n":1}"#));
    assert_eq!((again.id, again.is_open()), (waits.id, true));
    assert_eq!(again.notes[0].text, "ask the customer");
    let again = office.desk.put(call(r#"{"n":2}"#));
    assert_eq!((again.id, again.outcome()), (due.id, Some(Outcome::Block)));

    // Nobody woke the session, and its timeline goes on without a hole.
    assert!(office.sessions.is_empty());
    office
        .desk
        .decide(waits.id, Verdict::Denied, "ann", "")
        .await
        .unwrap();
    assert_eq!(office.told(waits.id), ["held", "denied by ann"]);
    assert_eq!(office.told(due.id), ["held", "timed-out by airlock"]);
    office.session().await;
    let session = office.sessions.live(key().id()).unwrap();
    session.timeline.append(2, Body::FirstToken { after_us: 1 });
    let seqs: Vec<_> = office.events().iter().map(|event| event.seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_forgotten_decision_leaves_on_the_disk_what_capture_allows() {
    for (capture, title, arguments) in [
        (
            Capture::Full,
            "pay jane@example.com?",
            r#"{"to":"jane@example.com"}"#,
        ),
        (Capture::None, "", ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let office = Office::open(dir.path(), MINUTE, capture);
        office.session().await;
        let approval = office.put(r#"{"to":"jane@example.com"}"#).await;
        // While it waits, people must see it whole, also after a restart.
        let listed = office.desk.list(Filter::default(), 10).unwrap();
        assert_eq!(listed[0].title, "pay jane@example.com?");
        office
            .desk
            .decide(approval.id, Verdict::Approved, "ann", "")
            .await
            .unwrap();
        office.pass(60 * MINUTE).await;
        assert_eq!(office.desk.get(approval.id), None);
        office.store.flush().unwrap();
        let listed = office.desk.list(Filter::default(), 10).unwrap();
        let Subject::ToolCall { arguments: a, .. } = &listed[0].subject else {
            panic!("{listed:?}")
        };
        assert_eq!((listed[0].title.as_str(), a.as_str()), (title, arguments));
        let held = office.events();
        let held = held.iter().find_map(|event| match &event.body {
            Body::Held { title, .. } => Some(title.clone()),
            _ => None,
        });
        assert_eq!(held.as_deref(), Some(title), "the timeline never had more");
    }
}

#[tokio::test]
async fn a_full_desk_takes_the_default_by_name_and_asks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(dir.path(), MINUTE, Capture::Full);
    office.session().await;
    for n in 0..LIMITS.max_open {
        office.put(&format!("[{n}]")).await;
    }
    let more = office.desk.put(call("[99]"));
    office.pass(0).await;
    let decision = more.decision().expect("decided at once");
    assert_eq!(
        (more.outcome(), &decision.verdict),
        (Some(Outcome::Block), &Verdict::TimedOut)
    );
    assert!(
        decision.note.contains("[people] max_open"),
        "{}",
        decision.note
    );
    assert_eq!(office.told(more.id), ["held", "timed-out by airlock"]);
    assert_eq!(office.desk.list(Filter::default(), 10).unwrap().len(), 3);
    // Room again.
    let first = office.desk.put(call("[0]"));
    office
        .desk
        .decide(first.id, Verdict::Denied, "ann", "")
        .await
        .unwrap();
    assert!(office.desk.put(call("[99]")).is_open());
}

#[tokio::test]
async fn a_decision_must_fit_what_waits() {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(dir.path(), MINUTE, Capture::Full);
    office.session().await;
    let call = office.put("{}").await.id;
    let request = office.desk.put(item(Subject::Request, [1; 16])).id;
    let question = Subject::Question {
        target: "people".into(),
        choices: vec!["red".into(), "blue".into()],
    };
    let question = office.desk.put(item(question, [2; 16])).id;
    office.shown(request).await;
    office.shown(question).await;
    for (id, verdict, says) in [
        (call, Verdict::Edited("rm".into()), "JSON object"),
        (call, Verdict::Edited("[1]".into()), "JSON object"),
        (call, Verdict::Chosen("red".into()), "only a question"),
        (call, Verdict::TimedOut, "only time"),
        (request, Verdict::Edited("{}".into()), "cannot be edited"),
        (question, Verdict::Approved, "`red`, `blue`"),
        (question, Verdict::Chosen("green".into()), "not offered"),
    ] {
        let error = office.desk.decide(id, verdict, "ann", "").await;
        let error = error.unwrap_err();
        assert!(
            matches!(&error, DecideError::Unfit(_)) && error.to_string().contains(says),
            "{error}"
        );
        assert!(office.desk.get(id).unwrap().is_open());
    }
    let answer = Verdict::Chosen("blue".into());
    let answered = office.desk.decide(question, answer, "ann", "").await;
    assert_eq!(answered.unwrap().outcome(), Some(Outcome::Answer("blue")));
    let unknown = ApprovalId::new(7);
    assert!(matches!(
        office
            .desk
            .decide(unknown, Verdict::Denied, "ann", "")
            .await,
        Err(DecideError::Unknown(_))
    ));
}

#[tokio::test]
async fn one_is_found_by_the_beginning_of_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let office = Office::open(dir.path(), MINUTE, Capture::Full);
    office.session().await;
    let first = office.put("[1]").await;
    office.pass(1).await;
    let second = office.put("[2]").await;
    assert_eq!(office.desk.find(&first.id.short()).unwrap().id, first.id);
    assert_eq!(office.desk.find("last").unwrap().id, second.id);
    for id in [first.id, second.id] {
        office
            .desk
            .decide(id, Verdict::Denied, "ann", "")
            .await
            .unwrap();
    }
    assert_eq!(
        office.desk.find("last").unwrap().id,
        second.id,
        "decided ones when none waits"
    );
    for none in ["", "zz", "' OR 1=1", "0000000000000000"] {
        assert!(
            matches!(office.desk.find(none), Err(FindError::Unknown(_))),
            "{none}"
        );
    }
}

/// A disk that fails, or does not answer.
#[derive(Default)]
struct Disk {
    fails: AtomicBool,
    rows: Mutex<Vec<ApprovalRow>>,
}

use crate::store::ApprovalRow;

struct FailingStore(Arc<Disk>);

impl Store for FailingStore {
    fn commit_approval(&self, row: ApprovalRow, done: Done) {
        let disk = Arc::clone(&self.0);
        std::thread::spawn(move || {
            if disk.fails.load(Ordering::Relaxed) {
                done(Err(StoreError::Commit("disk full".into())));
            } else {
                disk.rows.lock().unwrap().push(row);
                done(Ok(()));
            }
        });
    }
    fn approvals(&self, _: &ApprovalFilter, _: usize) -> Result<Vec<ApprovalRow>, StoreError> {
        Ok(Vec::new())
    }
    fn open_session(&self, _: SessionId, _: SessionHead) {}
    fn append(&self, _: SessionId, _: Arc<Event>) {}
    fn save_state(&self, _: SessionId, _: Vec<u8>) {}
    fn save_seat(&self, _: SessionId, _: Seat) {}
    fn commit_ledger(&self, _: SessionId, _: LedgerRow, done: Done) {
        std::thread::spawn(move || done(Ok(())));
    }
    fn load_session(&self, _: SessionId) -> Result<Option<SavedSession>, StoreError> {
        Ok(None)
    }
    fn sessions(&self, _: &SessionFilter, _: usize) -> Result<Vec<SessionRow>, StoreError> {
        Ok(Vec::new())
    }
    fn timeline(&self, _: SessionId, _: u64, _: usize) -> Result<Vec<Event>, StoreError> {
        Ok(Vec::new())
    }
    fn resolve(&self, prefix: &str) -> Result<SessionId, StoreError> {
        Err(StoreError::Unknown(prefix.into()))
    }
    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
    fn stats(&self) -> Stats {
        Stats::default()
    }
}

#[tokio::test]
async fn without_the_disk_nobody_is_asked_and_nothing_is_decided() {
    let disk = Arc::new(Disk::default());
    let (desk, sessions, now) = desk(Arc::new(FailingStore(disk.clone())), MINUTE, Capture::Full);
    open_session(&sessions).await;
    disk.fails.store(true, Ordering::Relaxed);
    let approval = desk.put(call("{}"));
    let entry = |read: fn(&super::super::book::Entry) -> bool| {
        read(desk.lock().book.get(approval.id).unwrap())
    };
    until(|| entry(|entry| entry.save_at.is_some())).await;
    assert!(!entry(|entry| entry.shown));
    let error = desk.decide(approval.id, Verdict::Approved, "ann", "").await;
    assert!(
        matches!(error, Err(DecideError::Unknown(_))),
        "nobody saw it: {error:?}"
    );

    // The disk is back: the row goes to it, and people see it.
    disk.fails.store(false, Ordering::Relaxed);
    now.fetch_add(SAVE_AGAIN, Ordering::Relaxed);
    desk.settle();
    until(|| entry(|entry| entry.shown)).await;

    disk.fails.store(true, Ordering::Relaxed);
    let bell = Arc::new(Notify::new());
    desk.ring(approval.id, bell.clone());
    let error = desk.decide(approval.id, Verdict::Approved, "ann", "").await;
    assert!(
        error
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("still waits"),
        "{error:?}"
    );
    assert!(desk.get(approval.id).unwrap().is_open());
    assert!(
        futures_util::FutureExt::now_or_never(bell.notified()).is_none(),
        "nobody acts on what is not on the disk"
    );
    // Whatever of the refused decision got through, the row that follows says that it waits.
    disk.fails.store(false, Ordering::Relaxed);
    desk.settle();
    until(|| {
        let rows = disk.rows.lock().unwrap();
        rows.len() > 1 && rows.last().is_some_and(|row| !row.decided)
    })
    .await;
    desk.decide(approval.id, Verdict::Denied, "bob", "")
        .await
        .unwrap();
    assert_eq!(
        desk.get(approval.id).unwrap().outcome(),
        Some(Outcome::Block)
    );
}

/// Not a test of its own: the process that the next test kills.
#[tokio::test]
#[ignore = "run by kill_9_takes_back_nothing_that_a_person_saw_or_did"]
async fn child_that_decides() {
    let dir = std::env::var_os("AIRLOCK_TEST_DIR").unwrap();
    let office = Office::open(Path::new(&dir), MINUTE, Capture::Full);
    office.session().await;
    for n in 0.. {
        let approval = office.put(&format!("[{n}]")).await;
        println!("\nshown {}", approval.id);
        let verdict = if n % 2 == 0 {
            Verdict::Approved
        } else {
            Verdict::Denied
        };
        let decided = office.desk.decide(approval.id, verdict, "ann", "").await;
        let decided = decided.unwrap();
        println!(
            "\ndecided {} {}",
            approval.id,
            decided.decision().unwrap().verdict.word()
        );
    }
}

#[tokio::test]
async fn kill_9_takes_back_nothing_that_a_person_saw_or_did() {
    // Each time killed at another line, so at other moments between them.
    for lines in [3, 8, 13] {
        let dir = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "people::desk::tests::child_that_decides",
                "--ignored",
                "--nocapture",
            ])
            .env("AIRLOCK_TEST_DIR", dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap)
            .filter(|line| line.starts_with("shown ") || line.starts_with("decided "));
        let mut seen: Vec<String> = said.by_ref().take(lines).collect();
        assert_eq!(seen.len(), lines, "the child works");
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        seen.extend(said);

        let office = Office::open(dir.path(), MINUTE, Capture::Full);
        let all = office.desk.list(Filter::default(), 10_000).unwrap();
        let events = office.events();
        for line in seen {
            let mut words = line.split(' ').skip(1);
            let id: ApprovalId = words.next().unwrap().parse().unwrap();
            let approval = all.iter().find(|approval| approval.id == id);
            let approval = approval.unwrap_or_else(|| panic!("{line}: gone"));
            let Some(verdict) = words.next() else {
                continue;
            };
            assert_eq!(approval.decision().unwrap().verdict.word(), verdict);
            assert_eq!(
                told(&events, id),
                ["held".to_owned(), format!("{verdict} by ann")]
            );
            // Once and for all.
            let again = office.desk.decide(id, Verdict::Denied, "bob", "").await;
            assert!(
                matches!(again, Err(DecideError::Decided { .. })),
                "{again:?}"
            );
        }
        // Whatever was not acknowledged can still be decided, or was decided by ann: nothing in between.
        for approval in all.iter().filter(|approval| approval.is_open()) {
            let word = office
                .desk
                .decide(approval.id, Verdict::Denied, "bob", "")
                .await;
            assert_eq!(word.unwrap().outcome(), Some(Outcome::Block));
        }
    }
}
