//! The disk: what survives a restart and a kill, and what happens without it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;

use super::*;
use crate::people::Outcome;
use crate::people::book::Entry;
use crate::store::{
    ApprovalRow, Done, LedgerRow, SavedSession, Seat, SessionFilter, SessionHead, SessionRow, Stats,
};

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

/// A disk that fails, or does not answer.
#[derive(Default)]
struct Disk {
    fails: AtomicBool,
    rows: Mutex<Vec<ApprovalRow>>,
}

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
    let entry = |read: fn(&Entry) -> bool| read(desk.lock().book.get(approval.id).unwrap());
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
                "people::desk::tests::disk::child_that_decides",
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
