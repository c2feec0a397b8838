//! Decided twice, too late, by default, with a word that does not fit; and found again.

use super::*;
use crate::people::{FindError, NOBODY, Outcome};

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
