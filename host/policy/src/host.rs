//! What a guest finds on the other side: its imports, and the meters that stop it.
//!
//! Every import returns at once and none of them traps: bad input, and what was not granted, is answered with a refusal.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtxView, WasiView};

use super::excerpt::{LOG_BYTES, beginning, ending};
use super::limits::Limits;
use super::services::{Ask, Services};
use super::spec::{AskQuota, Grants};
use super::wasi::Wasi;
use crate::contract::{
    actions, asking, content, events, findings, logging, refusals, state, subscriptions, types,
};
use types::{Refusal, RefusalKind};

/// Bytes of the last log message that a fault repeats.
const LAST_WORDS: usize = 512;
/// Bytes of one ranged read.
const READ_BYTES: u32 = 65_536;
/// Longest key of the interface `state`.
const KEY_BYTES: usize = 128;

/// What a call asked, and what it was told. Recorded, so that a call that is repeated after a crash asks nobody twice.
pub(super) type Asked = Vec<Result<u64, Refusal>>;

/// A store's data: one policy in one session.
pub(super) struct Host {
    pub(super) policy: Arc<str>,
    pub(super) facts: Arc<types::Facts>,
    pub(super) services: Services,
    pub(super) grants: Arc<Grants>,
    pub(super) ask_quota: AskQuota,
    pub(super) gate: Arc<LogGate>,
    pub(super) state_bytes: usize,
    /// The values of the interface `state`.
    pub(super) values: BTreeMap<String, Vec<u8>>,
    pub(super) clock: Clock,
    pub(super) meter: Meter,
    /// Exchange of the present call.
    pub(super) exchange: u32,
    /// Questions of the present call.
    pub(super) asked: Asked,
    /// While a call is repeated: what it was told the first time.
    pub(super) retold: Option<VecDeque<Result<u64, Refusal>>>,
    /// The newest log message of the present call: after a panic, the only explanation there is.
    pub(super) last_words: String,
    wasi: Option<Box<Wasi>>,
}

impl Host {
    pub(super) fn new(
        policy: Arc<str>,
        facts: Arc<types::Facts>,
        services: Services,
        grants: Arc<Grants>,
        ask_quota: AskQuota,
        gate: Arc<LogGate>,
        limits: &Limits,
    ) -> Self {
        let wasi = grants.wasi.then(|| Box::new(Wasi::new()));
        Self {
            policy,
            facts,
            services,
            grants,
            ask_quota,
            gate,
            state_bytes: limits.state_kib as usize * 1024,
            values: BTreeMap::new(),
            clock: Clock::new(limits),
            meter: Meter::new(limits),
            exchange: 0,
            asked: Vec::new(),
            retold: None,
            last_words: String::new(),
            wasi,
        }
    }

    /// Begins a call.
    pub(super) fn begin(&mut self, retold: Option<Asked>) {
        self.clock.begin();
        self.asked.clear();
        self.retold = retold.map(VecDeque::from);
        self.last_words.clear();
    }

    /// Ends a call: what it printed goes to its log.
    pub(super) fn end(&mut self) {
        let printed = self.wasi.as_ref().map(|wasi| wasi.take_printed());
        for (level, text) in printed.unwrap_or_default() {
            // What went wrong stands at the end of a traceback.
            let last_words = ending(&text, LAST_WORDS).to_owned();
            logging::Host::log(self, level, text);
            self.last_words = last_words;
        }
    }
}

/// Links the contract's interfaces: languages with a runtime import all of them, used or not, so a call without its grant is
/// refused as a value. WASI only where it is granted: a component that imports it is refused at load otherwise.
pub(super) fn link(linker: &mut Linker<Host>, grants: &Grants) -> wasmtime::Result<()> {
    findings::add_to_linker::<Host, HasSelf<Host>>(linker, |h| h)?;
    events::add_to_linker::<Host, HasSelf<Host>>(linker, |h| h)?;
    actions::add_to_linker::<Host, HasSelf<Host>>(linker, |h| h)?;
    subscriptions::add_to_linker::<Host, HasSelf<Host>>(linker, |h| h)?;
    refusals::add_to_linker::<Host, HasSelf<Host>>(linker, |h| h)?;
    logging::add_to_linker::<Host, HasSelf<Host>>(linker, |h| h)?;
    state::add_to_linker::<Host, HasSelf<Host>>(linker, |h| h)?;
    content::add_to_linker::<Host, HasSelf<Host>>(linker, |h| h)?;
    asking::add_to_linker::<Host, HasSelf<Host>>(linker, |h| h)?;
    if grants.wasi {
        wasmtime_wasi::p2::add_to_linker_sync(linker)?;
    }
    Ok(())
}

impl findings::Host for Host {}
impl events::Host for Host {}
impl actions::Host for Host {}
impl subscriptions::Host for Host {}
impl refusals::Host for Host {}

impl logging::Host for Host {
    fn log(&mut self, level: logging::Level, message: String) {
        let message = beginning(&message, LOG_BYTES);
        self.last_words.clear();
        self.last_words.push_str(beginning(message, LAST_WORDS));
        if self.retold.is_some() {
            return;
        }
        let (admitted, dropped) = self.gate.admit();
        if dropped > 0 {
            tracing::warn!(target: "policy", policy = &*self.policy, dropped, "log messages beyond `limits.log_per_second` were dropped");
        }
        if !admitted {
            return;
        }
        let (policy, session) = (&*self.policy, self.facts.session.as_str());
        match level {
            logging::Level::Trace => {
                tracing::trace!(target: "policy", policy, session, "{message}")
            }
            logging::Level::Debug => {
                tracing::debug!(target: "policy", policy, session, "{message}")
            }
            logging::Level::Info => tracing::info!(target: "policy", policy, session, "{message}"),
            logging::Level::Warn => tracing::warn!(target: "policy", policy, session, "{message}"),
            logging::Level::Error => {
                tracing::error!(target: "policy", policy, session, "{message}")
            }
        }
    }
}

impl state::Host for Host {
    fn recall(&mut self, key: String) -> Option<Vec<u8>> {
        self.values.get(&key).cloned()
    }

    fn keep(&mut self, key: String, value: Option<Vec<u8>>) -> Result<(), Refusal> {
        if key.is_empty() || key.len() > KEY_BYTES {
            return Err(refusal(
                RefusalKind::OverLimit,
                format!(
                    "the key has {} bytes: it must have 1 to {KEY_BYTES}",
                    key.len()
                ),
            ));
        }
        let Some(value) = value else {
            self.values.remove(&key);
            return Ok(());
        };
        let others: usize = self
            .values
            .iter()
            .filter(|(k, _)| **k != key)
            .map(|(k, v)| k.len() + v.len())
            .sum();
        let total = others + key.len() + value.len();
        if total > self.state_bytes {
            return Err(refusal(
                RefusalKind::OverLimit,
                format!(
                    "keys and values would have {total} bytes: at most {} are kept",
                    self.state_bytes
                ),
            ));
        }
        self.values.insert(key, value);
        Ok(())
    }
}

impl content::Host for Host {
    fn read(&mut self, id: u64, offset: u64, limit: u32) -> Result<Vec<u8>, Refusal> {
        if !self.grants.content {
            let message = format!(
                "reading content is not granted: set `grants.content = true` for `{}`",
                self.policy
            );
            return Err(refusal(RefusalKind::NotGranted, message));
        }
        let limit = limit.min(READ_BYTES);
        let read = self.services.content.read(id, offset, limit);
        read.ok_or_else(|| {
            let message = format!("content {id} is not of this session, or no longer kept");
            refusal(RefusalKind::Unknown, message)
        })
    }
}

impl asking::Host for Host {
    fn ask(
        &mut self,
        target: String,
        question: asking::Question,
        deadline_ms: u32,
    ) -> Result<u64, Refusal> {
        let told = match &mut self.retold {
            Some(retold) => retold.pop_front().unwrap_or_else(|| {
                let message = "not asked the first time".to_owned();
                Err(refusal(RefusalKind::Other, message))
            }),
            None if self.grants.asks.contains(&target) => self.services.asks.ask(Ask {
                policy: &self.policy,
                quota: self.ask_quota,
                exchange: self.exchange,
                target: &target,
                question,
                deadline_ms,
            }),
            None => Err(refusal(
                RefusalKind::NotGranted,
                format!(
                    "`{target}` is not granted: add it to `grants.asks` of `{}`",
                    self.policy
                ),
            )),
        };
        self.asked.push(told.clone());
        told
    }
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // Linked only with the grant; a store without it never comes here, and an empty context would do no harm.
        let wasi = self.wasi.get_or_insert_with(|| Box::new(Wasi::new()));
        wasi.view()
    }
}

/// Stops a call that takes too long. CPU time counts, because a descheduled guest is not to blame; wall time is the
/// ceiling.
///
/// Reading the CPU clock costs a system call, a third of a short policy call. So both clocks are first read at the first
/// tick: a call that ends before that pays nothing, one that runs on has up to two ticks more than its budget.
pub(super) struct Clock {
    cpu: Duration,
    wall: Duration,
    /// Wall time and CPU time at the first tick.
    from: Option<(Instant, Duration)>,
    /// Which limit cut the call.
    pub(super) cut: Option<&'static str>,
}

impl Clock {
    fn new(limits: &Limits) -> Self {
        Self {
            cpu: Duration::from_millis(limits.cpu_ms.into()),
            wall: Duration::from_millis(limits.wall_ms.into()),
            from: None,
            cut: None,
        }
    }

    fn begin(&mut self) {
        self.from = None;
        self.cut = None;
    }

    /// Called at each tick while a call runs, on the calling thread.
    #[allow(clippy::unnecessary_wraps, reason = "the runtime's signature")]
    pub(super) fn tick(mut store: StoreContextMut<'_, Host>) -> wasmtime::Result<UpdateDeadline> {
        let clock = &mut store.data_mut().clock;
        let (now, cpu) = (Instant::now(), thread_cpu_time());
        let (started, from) = *clock.from.get_or_insert((now, cpu));
        clock.cut = if cpu.saturating_sub(from) >= clock.cpu {
            Some("cpu_ms")
        } else if now.saturating_duration_since(started) >= clock.wall {
            Some("wall_ms")
        } else {
            None
        };
        Ok(if clock.cut.is_some() {
            UpdateDeadline::Interrupt
        } else {
            UpdateDeadline::Continue(1)
        })
    }
}

fn thread_cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    )
}

/// Bounds what one store may allocate.
pub(super) struct Meter {
    memory_max: usize,
    memory: usize,
    table_max: usize,
    /// Whether the guest asked for more memory than it may have. It is told no and may live with that; if it dies in the
    /// same call, this is why.
    pub(super) refused: bool,
}

impl Meter {
    fn new(limits: &Limits) -> Self {
        Self {
            memory_max: limits.memory_mib as usize * 1024 * 1024,
            memory: 0,
            table_max: limits.table_elements as usize,
            refused: false,
        }
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory.saturating_add(desired.saturating_sub(current));
        if total > self.memory_max {
            self.refused = true;
            return Ok(false);
        }
        self.memory = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let fits = desired <= self.table_max;
        self.refused |= !fits;
        Ok(fits)
    }

    // A whole language runtime takes a dozen core instances; none needs a hundred.
    fn instances(&self) -> usize {
        100
    }

    fn tables(&self) -> usize {
        100
    }

    fn memories(&self) -> usize {
        16
    }
}

/// Lets a stated number of log messages of one generation through in a second.
pub(super) struct LogGate {
    from: Instant,
    per_second: u32,
    second: AtomicU64,
    passed: AtomicU32,
    /// Messages dropped since the start.
    pub(super) dropped: AtomicU64,
    /// Of these, how many the operator was told of.
    told: AtomicU64,
}

impl LogGate {
    pub(super) fn new(per_second: u32) -> Self {
        Self {
            from: Instant::now(),
            per_second,
            second: AtomicU64::new(0),
            passed: AtomicU32::new(0),
            dropped: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    /// Whether a message passes; and how many were dropped, if that was not told yet: once in a second at most.
    fn admit(&self) -> (bool, u64) {
        let now = self.from.elapsed().as_secs();
        let mut untold = 0;
        if self.second.swap(now, Ordering::Relaxed) != now {
            self.passed.store(0, Ordering::Relaxed);
            let dropped = self.dropped.load(Ordering::Relaxed);
            untold = dropped - self.told.swap(dropped, Ordering::Relaxed).min(dropped);
        }
        if self.passed.fetch_add(1, Ordering::Relaxed) < self.per_second {
            return (true, untold);
        }
        self.dropped.fetch_add(1, Ordering::Relaxed);
        (false, untold)
    }
}

fn refusal(kind: RefusalKind, message: String) -> Refusal {
    Refusal { kind, message }
}
