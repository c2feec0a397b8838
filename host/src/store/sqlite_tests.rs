//! The store as its users break it: killed, slow, full, read while it writes, opened again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::event::key::SessionKey;
use crate::event::{Body, Channel, Place, Role, Status, Usage};
use crate::session::feed::Feed;
use crate::session::timeline::{Recorder, Timeline};
use crate::store::capture::Capture;

fn key(value: &str) -> SessionKey {
    SessionKey {
        tenant: "default".into(),
        principal: "local".into(),
        source: "test".into(),
        value: value.into(),
    }
}

fn head(value: &str) -> SessionHead {
    SessionHead {
        key: key(value),
        opened: 1,
        parent: None,
        seed: 7,
        whole: true,
    }
}

fn note(value: &str) -> Body {
    Body::Annotation {
        policy: "test".into(),
        name: "note".into(),
        value: value.into(),
    }
}

fn options(dir: &Path) -> Options {
    // No retention: the events of these tests carry times of 1970.
    Options::in_directory(dir, 0)
}

fn recorder(store: &Arc<SqliteStore>, capture: Capture) -> Recorder {
    Recorder {
        store: store.clone(),
        feed: Feed::new(),
        capture,
    }
}

#[test]
fn a_session_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let session = key("a").id();
    let seat = Seat {
        policy: "blocklist".into(),
        digest: "ab".into(),
        schema: 2,
        state: vec![1, 2, 3],
        kv: vec![("k".into(), vec![255])],
    };
    {
        let store = Arc::new(SqliteStore::open(options(dir.path())).unwrap());
        store.open_session(session, head("a"));
        let timeline = Timeline::new(session, 1, recorder(&store, Capture::Full));
        for exchange in 1..=2 {
            timeline.append(exchange, note("x"));
            timeline.append(
                exchange,
                Body::ResponseEnd {
                    finish: "stop".into(),
                    model: "m".into(),
                    usage: Usage {
                        input: 10,
                        output: 5,
                        ..Usage::default()
                    },
                    cost: Some(3),
                    status: Status::Complete,
                    elapsed_us: 1,
                },
            );
        }
        store.save_state(session, b"old".to_vec());
        store.save_state(session, b"hashes".to_vec());
        store.save_seat(session, seat.clone());
    }
    let store = SqliteStore::open(options(dir.path())).unwrap();
    let saved = store.load_session(session).unwrap().unwrap();
    assert_eq!((saved.next_seq, saved.seed), (5, 7));
    assert_eq!(saved.state.as_deref(), Some(b"hashes".as_slice()));
    assert_eq!(saved.seats, [seat]);
    assert_eq!(saved.row.key, key("a"));
    let counters = saved.row.counters;
    assert_eq!((counters.events, counters.exchanges), (4, 2));
    assert_eq!(
        (counters.input_tokens, counters.output_tokens, counters.cost),
        (20, 10, 6)
    );
    assert!(saved.row.replayable);
    assert_eq!(store.load_session(key("b").id()).unwrap(), None);
}

#[test]
fn conversations_are_recognised_after_a_restart() {
    use crate::event::marks::{Given, KEPT_US, Meaning};
    let dir = tempfile::tempdir().unwrap();
    let now = crate::event::clock::now();
    let mark = |n: u8, at: Micros| Kept {
        mark: [n; 16],
        meaning: Meaning {
            key: Arc::new(key("a")),
            given: Given {
                whole: true,
                calls: vec!["call_1".into()],
                ..Given::default()
            },
            weak: Some([9; 16]),
            at,
            continued: n == 2,
        },
    };
    {
        let store = SqliteStore::open(options(dir.path())).unwrap();
        store.open_session(key("a").id(), head("a"));
        for kept in [mark(2, now), mark(1, now - 5), mark(3, now - KEPT_US - 9)] {
            store.keep_mark(key("a").id(), kept);
        }
        store.flush().unwrap();
    }
    let store = SqliteStore::open(options(dir.path())).unwrap();
    let since = now - KEPT_US;
    assert_eq!(
        store.marks(since, 9).unwrap(),
        [mark(1, now - 5), mark(2, now)]
    );
    assert_eq!(store.marks(since, 1).unwrap(), [mark(2, now)], "the newest");
}

#[test]
fn what_a_killed_process_noted_counts_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (known, unknown) = (key("known").id(), key("unknown").id());
    let row = |reserved, limit| LedgerRow {
        max_tokens: limit,
        settled_tokens: 5,
        reserved_tokens: reserved,
        ..LedgerRow::default()
    };
    {
        let store = SqliteStore::open(options(dir.path())).unwrap();
        store.open_session(known, head("known"));
        store.commit_ledger(known, row(40, Some(900)), Box::new(|_| ()));
        store.flush().unwrap();
        // Never cleared, as by a process that was killed before its rows were written.
        std::mem::forget(store.note_ledger(known, &row(300, None)).unwrap());
        std::mem::forget(store.note_ledger(unknown, &row(256, Some(1000))).unwrap());
    }
    let store = SqliteStore::open(options(dir.path())).unwrap();
    let ledger = |session| {
        store
            .load_session(session)
            .unwrap()
            .unwrap()
            .ledger
            .unwrap()
    };
    assert_eq!(ledger(known), row(300, Some(900)));
    assert_eq!(ledger(unknown), row(256, Some(1000)));
    // The session of which only the note was left is a session like others once it comes back.
    store.open_session(unknown, head("unknown"));
    let saved = store.load_session(unknown).unwrap().unwrap();
    assert_eq!((saved.row.key, saved.next_seq), (key("unknown"), 1));
    drop(store);
    // It counts once.
    let store = SqliteStore::open(options(dir.path())).unwrap();
    let again = store.load_session(known).unwrap().unwrap();
    assert_eq!(again.ledger.unwrap().reserved_tokens, 300);
}

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
            "CREATE TRIGGER poison BEFORE INSERT ON events WHEN new.body LIKE '%poison%' BEGIN SELECT raise(ABORT, 'no'); END",
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

#[test]
fn a_prefix_names_a_session_if_it_is_the_only_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(options(dir.path())).unwrap();
    assert!(matches!(store.resolve("last"), Err(StoreError::Unknown(_))));
    // 17 sessions: two begin with the same digit.
    let ids: Vec<_> = (0..17)
        .map(|n| key(&n.to_string()))
        .map(|key| (key.id(), key))
        .collect();
    for (id, key) in &ids {
        store.open_session(
            *id,
            SessionHead {
                key: key.clone(),
                ..head("")
            },
        );
    }
    store.flush().unwrap();
    for (id, _) in &ids {
        assert_eq!(store.resolve(&id.to_string()).unwrap(), *id);
        assert_eq!(store.resolve(&id.short().to_uppercase()).unwrap(), *id);
    }
    assert!("0123456789abcdef".chars().any(|digit| matches!(
        store.resolve(&digit.to_string()),
        Err(StoreError::Ambiguous { .. })
    )));
    for wrong in ["", "xyz", "'; --", "%", &"f".repeat(33)] {
        assert!(
            matches!(store.resolve(wrong), Err(StoreError::Unknown(_))),
            "{wrong}"
        );
    }
}

#[test]
fn reduced_capture_keeps_content_off_the_disk_and_marks_the_session() {
    for (capture, expected) in [
        (Capture::Redacted, "write to [email] please"),
        (Capture::None, ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(options(dir.path())).unwrap());
        let session = key("a").id();
        store.open_session(
            session,
            SessionHead {
                whole: false,
                ..head("a")
            },
        );
        let recorder = recorder(&store, capture);
        let mut feed = recorder.feed.subscribe();
        let timeline = Timeline::new(session, 1, recorder);
        timeline.append(
            1,
            Body::Message {
                id: 1,
                role: Role::User,
                index: 0,
                text: "write to jane@example.com please".into(),
                bytes: 32,
            },
        );
        let place = Place {
            channel: Channel::Output,
            choice: 0,
            block: 0,
        };
        let mut offset = 0;
        // The address is cut in three, and the vitals between the chunks do not tear it apart.
        for chunk in ["write to ja", "ne@exam", "ple.com please"] {
            timeline.append(
                1,
                Body::Text {
                    place,
                    offset,
                    text: chunk.into(),
                    bytes: chunk.len() as u32,
                    tokens: 1,
                },
            );
            timeline.append(1, Body::Vitals { values: Vec::new() });
            offset += chunk.len() as u32;
        }
        timeline.append(
            1,
            Body::ResponseEnd {
                finish: "stop".into(),
                model: "m".into(),
                usage: Usage::default(),
                cost: None,
                status: Status::Complete,
                elapsed_us: 1,
            },
        );
        store.flush().unwrap();
        let (mut said, mut bytes) = (String::new(), 0);
        for event in store.timeline(session, 0, 100).unwrap() {
            match event.body {
                Body::Message { text, .. } => assert_eq!(text, expected),
                Body::Text { text, bytes: b, .. } => {
                    said.push_str(&text);
                    bytes += b;
                }
                _ => {}
            }
        }
        assert_eq!((said.as_str(), bytes), (expected, 32));
        assert!(!store.load_session(session).unwrap().unwrap().row.replayable);
        let everything = std::fs::read(store.path().with_extension("db-wal")).unwrap();
        assert!(
            !everything.windows(4).any(|bytes| bytes == b"jane"),
            "on the disk"
        );
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        drop(timeline);
        while let Some(update) = runtime.block_on(feed.next()) {
            assert!(!format!("{update:?}").contains("jane"), "on the live feed");
        }
    }
}

/// Not a test of its own: the process that the next test kills.
#[test]
#[ignore = "run by a_killed_process_leaves_a_whole_timeline"]
fn child_that_appends() {
    let dir = std::env::var_os("AIRLOCK_TEST_DIR").unwrap();
    let store = Arc::new(SqliteStore::open(options(Path::new(&dir))).unwrap());
    let session = key("killed").id();
    store.open_session(session, head("killed"));
    let timeline = Timeline::new(session, 1, recorder(&store, Capture::Full));
    loop {
        let mut last = 0;
        for _ in 0..50 {
            last = timeline.append(1, note("x"));
        }
        store.save_state(session, last.to_string().into_bytes());
        store.flush().unwrap();
        println!("\ncommitted {last}");
        // And some whose commit nobody waited for.
        for _ in 0..50 {
            timeline.append(1, note("y"));
        }
    }
}

#[test]
fn a_killed_process_leaves_a_whole_timeline() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::sqlite::tests::child_that_appends",
            "--ignored",
            "--nocapture",
        ])
        .env("AIRLOCK_TEST_DIR", dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let committed: u64 = lines
        .filter_map(|line| line.strip_prefix("committed ")?.parse().ok())
        .nth(5)
        .expect("the child commits");
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();

    let session = key("killed").id();
    let reader = Reader::open(&database(dir.path())).unwrap();
    assert!(
        reader
            .timeline(session, committed - 1, 1)
            .unwrap()
            .first()
            .is_some_and(|event| event.seq == committed)
    );
    drop(reader);
    let store = SqliteStore::open(options(dir.path())).unwrap();
    let events = store.timeline(session, 0, usize::MAX >> 1).unwrap();
    assert!(
        events
            .iter()
            .map(|event| event.seq)
            .eq(1..=events.len() as u64),
        "a hole"
    );
    let saved = store.load_session(session).unwrap().unwrap();
    assert_eq!(saved.next_seq, events.len() as u64 + 1);
    assert_eq!(saved.row.counters.events, events.len() as u64);
    let state: u64 = String::from_utf8(saved.state.unwrap())
        .unwrap()
        .parse()
        .unwrap();
    assert!(
        (committed..=events.len() as u64).contains(&state),
        "state and events are of the same batch"
    );
}
