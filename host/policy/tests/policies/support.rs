//! What the tests of policies share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use airlock_policy::contract::types::{self, Channel, Checkpoint, EventKind};
use airlock_policy::{
    Fault, Generation, Grants, Limits, Policies, PolicyEvent, PolicySettings, PolicySpec, Seat,
    Services,
};

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

/// A registry with these policies as built-ins, each with its entry.
pub fn with_policies(policies: &[(&str, &Guest, PolicySpec)]) -> Arc<Policies> {
    with_limits(policies, settings().limits)
}

/// The same under other limits.
pub fn with_limits(policies: &[(&str, &Guest, PolicySpec)], limits: Limits) -> Arc<Policies> {
    let builtins = policies
        .iter()
        .map(|(name, guest, _)| ((*name).to_owned(), Cow::Owned(guest.build())))
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
        seed: 7,
        started: 1,
        extra: vec![],
    })
}

pub fn seat(policies: &Policies, name: &str) -> Seat {
    Seat::new(serving(policies, name), facts("s1"), Services::none())
}

/// A batch of text events of 20 bytes each.
pub fn batch(events: u32) -> Arc<types::Batch> {
    let text = "twenty bytes of text".repeat(events as usize);
    Arc::new(types::Batch {
        checkpoint: Checkpoint::Stream,
        exchange: 1,
        first_seq: 1,
        time: 1,
        text_bytes: u32::try_from(text.len()).unwrap(),
        text,
        events: (0..events)
            .map(|i| types::Event {
                kind: EventKind::Text,
                channel: Channel::Output,
                choice: 0,
                block: 0,
                after: i,
                text_end: (i + 1) * 20,
                offset: i * 20,
                tokens: 5,
            })
            .collect(),
        details: vec![],
        matches: vec![],
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
