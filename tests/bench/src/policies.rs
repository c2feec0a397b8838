//! What policies cost by themselves, through the real contract: a call, a session, a reload.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use airlock_policy::contract::types::{Batch, Channel, Checkpoint, EventKind, Facts, Place};
use airlock_policy::contract::{EVENT_WORDS, EventWords};
use airlock_policy::{Policies, PolicyEvent, PolicySettings, PolicySpec, Seat, Services};
use anyhow::{Context as _, bail};

use crate::report::{Stats, stats};
use crate::servers::fresh;

/// Sizes of the batches that are judged.
pub const BATCHES: [u32; 4] = [1, 16, 50, 64];
/// Policies of a session that is opened.
pub const SEATS: usize = 8;

/// Times in nanoseconds.
pub struct Costs {
    /// One call with each of [`BATCHES`].
    pub call: [Stats; BATCHES.len()],
    /// A session's [`SEATS`] instances, made and called once each.
    pub open: Stats,
    /// From a component replaced in the policy directory to the new generation serving, the wait for further changes
    /// included.
    pub reload: Stats,
}

/// Measures all of it. `asked` is the policy that is called, `reloaded` the one that is replaced.
///
/// # Errors
/// A policy does not load or fails.
pub fn measure(folder: &Path, asked: &Path, reloaded: &Path) -> anyhow::Result<Costs> {
    let component = fs::read(asked)
        .with_context(|| format!("cannot read {}: run `make bench`", asked.display()))?;
    let policies = start(&component)?;
    let names = names();
    let first = names.first().map_or("", String::as_str);
    let mut call = Vec::new();
    for events in BATCHES {
        let (mut seat, batch) = (seat(&policies, first)?, batch(events));
        call.push(sample(30, 2_000, || Ok(seat.observe(&batch).map(drop)?))?);
    }
    let batch = batch(1);
    let open = sample(200, 1, || {
        for name in &names {
            seat(&policies, name)?.observe(&batch)?;
        }
        Ok(())
    })?;
    Ok(Costs {
        call: call.try_into().unwrap_or_default(),
        open,
        reload: reload(folder, reloaded)?,
    })
}

fn names() -> Vec<String> {
    (0..SEATS).map(|n| format!("asked-{n}")).collect()
}

/// A registry with [`SEATS`] policies made of one component.
///
/// # Errors
/// The component does not load.
pub fn start(component: &[u8]) -> anyhow::Result<Arc<Policies>> {
    let names = names();
    Policies::start(PolicySettings {
        builtins: names
            .iter()
            .map(|name| (name.clone(), Cow::Owned(component.to_vec())))
            .collect(),
        specs: names.iter().map(|name| (name.clone(), asked())).collect(),
        ..PolicySettings::default()
    })
}

/// The entry of a copy of the policy `asked`.
fn asked() -> PolicySpec {
    PolicySpec {
        component: Some("asked".to_owned()),
        ..PolicySpec::default()
    }
}

fn reload(folder: &Path, component: &Path) -> anyhow::Result<Stats> {
    let folder = fresh(&folder.join("reload"))?;
    let bytes = fs::read(component)
        .with_context(|| format!("cannot read {}: run `make bench`", component.display()))?;
    let policies = Policies::start(PolicySettings {
        dir: Some(folder.clone()),
        ..PolicySettings::default()
    })?;
    let mut events = policies.events();
    let mut times = Vec::new();
    for number in 0..6_u8 {
        // A custom section makes it another component that does the same.
        let changed = [bytes.as_slice(), &[0, 3, 1, b'n', number]].concat();
        let draft = folder.join("reloaded.draft");
        fs::write(&draft, changed)?;
        let began = Instant::now();
        fs::rename(&draft, folder.join("blocklist.wasm"))?;
        loop {
            match events.blocking_recv()? {
                PolicyEvent::Loaded { .. } => break,
                PolicyEvent::Refused { reason, .. } => {
                    bail!("the reloaded policy is refused: {reason}")
                }
                _ => {}
            }
        }
        times.push(nanoseconds(began.elapsed()));
    }
    // The first one is no reload.
    times.remove(0);
    Ok(stats(times))
}

/// CPU time of one run of `work`, by `samples` averages over `runs` each. CPU time, because other programs take the
/// processor away in the middle of so short a thing.
fn sample(
    samples: usize,
    runs: u32,
    mut work: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Stats> {
    let mut times = Vec::new();
    for _ in 0..samples {
        let began = thread_time();
        for _ in 0..runs {
            work()?;
        }
        times.push(nanoseconds(thread_time().saturating_sub(began) / runs));
    }
    Ok(stats(times))
}

/// CPU time of this thread so far.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// A time as a number.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn seat(policies: &Policies, name: &str) -> anyhow::Result<Seat> {
    let generation = policies.current().get(name).map(Arc::clone);
    let generation =
        generation.with_context(|| format!("`{name}` does not serve: {:?}", policies.status()))?;
    let facts = Facts {
        tenant: "t".into(),
        principal: "p".into(),
        session: "bench".into(),
        parent: String::new(),
        seed: 7,
        started: 1,
        extra: Vec::new(),
    };
    Ok(Seat::new(generation, Arc::new(facts), Services::none()))
}

/// A batch of events with 20 bytes of text each.
pub fn batch(events: u32) -> Arc<Batch> {
    let text = "twenty bytes of text".repeat(events as usize);
    let mut words = Vec::new();
    for n in 0..events {
        let event = EventWords {
            kind: EventKind::Text,
            detail: 0,
            text_end: (n + 1) * 20,
            after: n,
            place: Place {
                channel: Channel::Output,
                choice: 0,
                item: 0,
                part: 0,
            },
            offset: n * 20,
            tokens: 5,
        };
        event.write(&mut words);
    }
    Arc::new(Batch {
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
