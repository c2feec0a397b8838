//! The store as its users break it: killed, slow, full, read while it writes, opened again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod queue;
mod restart;

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
        let place = Place::new(Channel::Output, 0, 0);
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
