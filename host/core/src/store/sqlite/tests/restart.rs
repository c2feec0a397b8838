//! Opened again: after an orderly end, and after a process was killed.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

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
            "store::sqlite::tests::restart::child_that_appends",
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
