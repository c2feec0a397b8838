//! A disk that is slow, full or fails: nobody waits for it, and what is lost is said.

use super::*;

#[test]
fn what_is_queued_is_loaded_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(options(dir.path())).unwrap());
    let session = key("a").id();
    store.open_session(session, head("a"));
    Timeline::new(session, 1, recorder(&store, Capture::Full)).append(0, note("x"));
    assert_eq!(store.load_session(session).unwrap().unwrap().next_seq, 2);
}

#[test]
fn a_slow_disk_delays_nobody_and_what_is_dropped_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(
        SqliteStore::open(Options {
            queue_events: 100,
            ..options(dir.path())
        })
        .unwrap(),
    );
    let session = key("a").id();
    store.open_session(session, head("a"));
    let timeline = Timeline::new(session, 1, recorder(&store, Capture::Full));
    timeline.append(0, note("before"));
    store.flush().unwrap();

    // Another connection holds the write lock: the writer stands still as it would on a disk that does.
    let blocker = rusqlite::Connection::open(store.path()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let total = 1000;
    for _ in 1..total {
        // Returns although nothing can be written, or this test never ends.
        timeline.append(1, note("during"));
    }
    let stats = store.stats();
    assert!(stats.dropped > 0 && stats.queued <= 100, "{stats:?}");
    blocker.execute_batch("COMMIT").unwrap();
    store.flush().unwrap();
    timeline.append(0, note("after"));
    store.flush().unwrap();

    let events = store.timeline(session, 0, 10_000).unwrap();
    let mut expected = 1;
    let mut missing = 0;
    for event in &events {
        assert_eq!(event.seq, expected, "a hole that nobody speaks of");
        expected += 1;
        if let Body::Dropped { count } = event.body {
            missing += count;
            expected = event.seq + count;
        }
    }
    assert_eq!(expected, total + 2, "the last event is there");
    assert_eq!(missing, store.stats().dropped);
    let saved = store.load_session(session).unwrap().unwrap();
    assert_eq!(saved.row.counters.dropped, missing);
    assert_eq!(saved.next_seq, total + 2);
    assert!(!saved.row.replayable);
}

#[test]
fn an_event_larger_than_the_queue_is_dropped_and_the_next_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(
        SqliteStore::open(Options {
            queue_bytes: 10_000,
            ..options(dir.path())
        })
        .unwrap(),
    );
    let session = key("a").id();
    store.open_session(session, head("a"));
    let timeline = Timeline::new(session, 1, recorder(&store, Capture::Full));
    timeline.append(0, note(&"x".repeat(20_000)));
    store.flush().unwrap();
    timeline.append(0, note("small"));
    store.flush().unwrap();
    let bodies: Vec<_> = store
        .timeline(session, 0, 10)
        .unwrap()
        .into_iter()
        .map(|event| event.body)
        .collect();
    assert_eq!(bodies, [Body::Dropped { count: 1 }, note("small")]);
}

#[test]
fn a_commit_that_fails_is_told_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(options(dir.path())).unwrap();
    let session = key("a").id();
    let blocker = rusqlite::Connection::open(store.path()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.open_session(session, head("a"));
    let (sender, told) = mpsc::channel();
    let row = LedgerRow {
        reserved_tokens: 5,
        ..LedgerRow::default()
    };
    store.commit_ledger(
        session,
        row,
        Box::new(move |result| sender.send(result.is_ok()).unwrap()),
    );
    assert!(!told.recv().unwrap(), "not durable, and said so");
    assert!(store.stats().failing);
    blocker.execute_batch("COMMIT").unwrap();
    while store.flush().is_err() {}
    assert!(!store.stats().failing);
    assert_eq!(
        store.load_session(session).unwrap().unwrap().ledger,
        Some(row)
    );
}

#[test]
fn a_batch_that_can_never_be_written_leaves_a_gap_and_not_a_stand_still() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(options(dir.path())).unwrap());
    let session = key("a").id();
    store.open_session(session, head("a"));
    store.flush().unwrap();
    rusqlite::Connection::open(store.path())
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER poison BEFORE INSERT ON events WHEN new.run LIKE '%poison%' BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    let timeline = Timeline::new(session, 1, recorder(&store, Capture::Full));
    timeline.append(0, note("poison"));
    timeline.append(0, note("innocent"));
    let _ = store.flush();
    timeline.append(0, note("after"));
    store.flush().unwrap();
    let bodies: Vec<_> = store
        .timeline(session, 0, 10)
        .unwrap()
        .into_iter()
        .map(|event| event.body)
        .collect();
    assert_eq!(bodies, [Body::Dropped { count: 2 }, note("after")]);
}
