//! What sessions cost that nobody uses: memory while their policies hibernate, and the time until they are awake.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;

use crate::policies::{SEATS, batch, nanoseconds, start};
use crate::report::{Stats, stats};
use crate::servers::{fresh, rss_kib};
use airlock_core::event::key::SessionKey;
use airlock_core::session::feed::Feed;
use airlock_core::session::ledger::Limits;
use airlock_core::session::sessions::Sessions;
use airlock_core::session::state::{Found, Session};
use airlock_core::session::timeline::Recorder;
use airlock_core::store::Store;
use airlock_core::store::capture::Capture;
use airlock_core::store::sqlite::{Options, SqliteStore};
use airlock_policy::contract::types::{Refusal, RefusalKind};
use airlock_policy::{Ask, Asker, Policies};

/// Numbers of idle sessions.
pub const SESSIONS: [usize; 2] = [1_000, 10_000];
/// Sessions that are woken, of each kind.
const WOKEN: usize = 200;

/// What idle sessions cost.
pub struct Idle {
    /// Memory that the process has more than before the first session, KiB, at each of [`SESSIONS`].
    pub rss_kib: [u64; SESSIONS.len()],
    /// One policy of a session that hibernates: from the call to its answer, with a new instance that knows the old state.
    pub waking: Stats,
    /// A session that left memory: read from the disk.
    pub loading: Stats,
}

/// Opens sessions with [`SEATS`] policies each, calls each policy once, and lets them hibernate.
///
/// # Errors
/// A policy does not load or fails, or the disk does.
pub async fn measure(folder: &Path, asked: &Path) -> anyhow::Result<Idle> {
    let folder = fresh(&folder.join("idle"))?;
    let component = fs::read(asked)
        .with_context(|| format!("cannot read {}: run `make bench`", asked.display()))?;
    let policies = tokio::task::spawn_blocking(move || start(&component)).await??;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(Options::in_directory(&folder, 0))?);
    let sessions = Arc::new(Sessions::new(
        Recorder {
            store: Arc::clone(&store),
            feed: Feed::new(),
            capture: Capture::Full,
        },
        Limits::default(),
    ));
    let weak = Arc::downgrade(&sessions);
    policies.relieve_by(weak);
    let before = own_rss_kib();
    let mut rss_kib = [0; SESSIONS.len()];
    let mut opened = 0;
    for (count, rss) in SESSIONS.into_iter().zip(&mut rss_kib) {
        for number in opened..count {
            let session = sessions.get(found(number)).await?;
            session.state().begin([0; 16], 0, 1);
            call_all(&session, &policies)?;
            session.settle(1, 0);
        }
        opened = count;
        sessions.hibernate(0);
        store.flush()?;
        *rss = own_rss_kib().saturating_sub(before);
    }
    Ok(Idle {
        rss_kib,
        waking: waking(&sessions, &policies).await?,
        loading: loading(&sessions).await?,
    })
}

fn call_all(session: &Session, policies: &Policies) -> anyhow::Result<()> {
    let asks: Arc<dyn Asker> = Arc::new(Nobody);
    for generation in &policies.current().entries {
        let seat = session.seat(generation, &asks);
        // The only thread that uses it.
        if let Ok(mut seat) = seat.lock() {
            seat.observe(&batch(1))?;
        }
    }
    Ok(())
}

async fn waking(sessions: &Sessions, policies: &Policies) -> anyhow::Result<Stats> {
    let mut times = Vec::new();
    for number in 0..WOKEN {
        let session = sessions.get(found(number)).await?;
        let began = Instant::now();
        call_all(&session, policies)?;
        times.push(nanoseconds(began.elapsed()) / SEATS as u64);
    }
    Ok(stats(times))
}

async fn loading(sessions: &Sessions) -> anyhow::Result<Stats> {
    sessions.sweep(0);
    let mut times = Vec::new();
    for number in 0..WOKEN {
        let began = Instant::now();
        sessions.get(found(number)).await?;
        times.push(nanoseconds(began.elapsed()));
    }
    Ok(stats(times))
}

fn found(number: usize) -> Found {
    Found {
        key: SessionKey {
            tenant: "default".to_owned(),
            principal: "anonymous".to_owned(),
            source: "bench".to_owned(),
            value: number.to_string(),
        },
        confidence: "explicit",
        parent: None,
        extra: Vec::new(),
    }
}

fn own_rss_kib() -> u64 {
    rss_kib(std::process::id()).unwrap_or_default()
}

/// The policies that are measured ask nothing.
struct Nobody;

impl Asker for Nobody {
    fn ask(&self, _: Ask<'_>) -> Result<u64, Refusal> {
        Err(Refusal {
            kind: RefusalKind::Unknown,
            message: "nobody answers in a benchmark".to_owned(),
        })
    }
}
