//! What the tests of policies share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use airlock_policy::contract::types::{self, Channel, Checkpoint, EventKind, Place};
use airlock_policy::contract::{EVENT_WORDS, EventWords};
use airlock_policy::{
    Fault, Generation, Grants, Limits, Policies, PolicyEvent, PolicySettings, PolicySpec, Seat,
    Services,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::guests::Guest;

/// Settings of a registry that fits a test: few instances, so that the pool is small.
pub fn settings() -> PolicySettings {
    PolicySettings {
        limits: Limits {
            instances: 64,
            ..Limits::default()
        },
        builtins: Vec::new(),
        ..PolicySettings::default()
    }
}

/// An entry that grants everything that the contract's own imports need.
pub fn trusting() -> PolicySpec {
    PolicySpec {
        grants: Some(Grants {
            actions: vec!["annotate".into(), "block".into()],
            asks: vec!["judge".into()],
            ..Grants::directory()
        }),
        ..PolicySpec::default()
    }
}

/// An entry that grants nothing at all.
pub fn granting_nothing() -> PolicySpec {
    PolicySpec {
        grants: Some(Grants::default()),
        ..PolicySpec::default()
    }
}

/// A registry with these policies as built-ins, each with its entry and called like it.
pub fn with_policies(policies: &[(&'static str, &Guest, PolicySpec)]) -> Arc<Policies> {
    with_limits(policies, settings().limits)
}

/// The same under other limits.
pub fn with_limits(
    policies: &[(&'static str, &Guest, PolicySpec)],
    limits: Limits,
) -> Arc<Policies> {
    let builtins = policies
        .iter()
        .map(|(name, guest, _)| ((*name).to_owned(), Cow::Owned(guest.named(name).build())))
        .collect();
    let specs = policies
        .iter()
        .map(|(name, _, spec)| ((*name).to_owned(), spec.clone()))
        .collect();
    Policies::start(PolicySettings {
        builtins,
        specs,
        limits,
        ..settings()
    })
    .unwrap()
}

/// A registry that watches a directory.
pub fn watching(dir: &Path, specs: BTreeMap<String, PolicySpec>) -> Arc<Policies> {
    Policies::start(PolicySettings {
        dir: Some(dir.to_owned()),
        specs,
        ..settings()
    })
    .unwrap()
}

pub fn serving(policies: &Policies, name: &str) -> Arc<Generation> {
    let status = policies.status();
    Arc::clone(
        policies
            .current()
            .get(name)
            .unwrap_or_else(|| panic!("`{name}` does not serve: {status:#?}")),
    )
}

pub fn last_error(policies: &Policies, name: &str) -> String {
    policies
        .status()
        .into_iter()
        .find(|s| s.name == name)
        .and_then(|s| s.last_error)
        .unwrap_or_default()
}

pub fn facts(session: &str) -> Arc<types::Facts> {
    Arc::new(types::Facts {
        tenant: "t".into(),
        principal: "p".into(),
        session: session.into(),
        parent: String::new(),
        seed: 7,
        started: 1,
        extra: vec![],
    })
}

pub fn seat(policies: &Policies, name: &str) -> Seat {
    Seat::new(serving(policies, name), facts("s1"), Services::none())
}

/// What the model says to its user.
pub const ANSWER: Place = Place {
    channel: Channel::Output,
    choice: 0,
    item: 0,
    part: 0,
};

/// A batch of text events of 20 bytes each.
pub fn batch(events: u32) -> Arc<types::Batch> {
    let text = "twenty bytes of text".repeat(events as usize);
    let mut words = Vec::new();
    for i in 0..events {
        EventWords {
            kind: EventKind::Text,
            detail: 0,
            text_end: (i + 1) * 20,
            after: i,
            place: ANSWER,
            offset: i * 20,
            tokens: 5,
        }
        .write(&mut words);
    }
    Arc::new(types::Batch {
        checkpoint: Checkpoint::Stream,
        exchange: 1,
        first_seq: 1,
        time: 1,
        text,
        event_words: EVENT_WORDS,
        events: words,
        attached: None,
    })
}

pub fn situation() -> types::Situation {
    types::Situation {
        findings: vec![],
        batch: (*batch(1)).clone(),
    }
}

/// How many calls the well-behaved guest has seen, by its own count.
pub fn seen(answer: &types::Assessment) -> usize {
    answer.findings[0].summary.len()
}

/// One call; the count.
pub fn observe(seat: &mut Seat) -> Result<usize, Fault> {
    seat.observe(&batch(1)).map(|answer| seen(&answer))
}

/// Waits for a condition, for at most 20 seconds.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The events told so far.
pub fn told(events: &mut tokio::sync::broadcast::Receiver<PolicyEvent>) -> Vec<PolicyEvent> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

/// What policies log on this thread meanwhile, each with its level.
pub fn logged<R>(f: impl FnOnce() -> R) -> (R, Vec<String>) {
    let log = Log::default();
    let result = tracing::subscriber::with_default(log.clone(), f);
    let lines = std::mem::take(&mut *log.0.lock().unwrap());
    (result, lines)
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "policy"
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 += &format!(" {value:?}");
        }
    }
}
