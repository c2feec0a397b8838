//! The only place where the Wasm runtime is configured.
//!
//! Two runtimes live here. The *pooled* one serves ordinary policies: memory for all instances is reserved once, so that
//! making and dropping an instance costs microseconds. The *roomy* one allocates on demand, for components that do not fit
//! a slot of the pool (whole language runtimes) and for machines whose address space is too small for one. Both are
//! interrupted by one ticker (`ticker`).
//!
//! Not here: what one call may use up (`host`), and which instances are given up when there is no place left
//! (`session::sessions`).

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use anyhow::{Context as _, Result, anyhow};
use wasmtime::{
    Cache, CacheConfig, Config, InstanceAllocationStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use super::limits::Limits;
use super::ticker::Ticker;

/// Fuel of one call on the replay engine: about 100 ms of simple code.
pub(super) const REPLAY_FUEL: u64 = 100_000_000;

/// Core instances, tables and memories that one pooled component may have. A guest in Rust, C or Zig has one module and two
/// small ones that the component encoder adds. Whoever needs more runs on the roomy engine.
const CORE_INSTANCES: u32 = 8;
const TABLES: u32 = 4;

/// Memory mappings of one pooled instance (measured: 8.05). Linux refuses more than `vm.max_map_count` in a process.
const MAPPINGS: u32 = 9;

/// The Wasm runtimes, their ticker and the count of live instances.
pub(super) struct Engine {
    pooled: Option<wasmtime::Engine>,
    roomy: wasmtime::Engine,
    pool_memory_mib: u32,
    live: Arc<AtomicU32>,
    capacity: u32,
    /// Bounds calls by time; without one, fuel does.
    ticker: Option<Ticker>,
    relief: OnceLock<Weak<dyn Relief>>,
    /// One caller at a time asks for relief; the others find the room that it got.
    relieving: Mutex<()>,
}

/// Who can give instances back when all places are taken.
pub trait Relief: Send + Sync {
    /// Gives back up to `wanted` instances that are not being called, those first that are needed last. Returns how many.
    /// Called while the caller's own seat is locked, so it must not wait for any seat.
    fn give_back(&self, wanted: usize) -> usize;
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Pooled { instances: u32 },
    Roomy,
    Replay,
}

impl Engine {
    /// The engine that serves sessions. Without enough address space for the pool it says so and goes on without.
    pub(super) fn new(limits: &Limits, cache_dir: Option<&Path>) -> Result<Arc<Self>> {
        limits.check().map_err(|e| anyhow!(e))?;
        let cache = cache_dir.map(open_cache).transpose()?;
        let capacity = clamp_instances(limits.instances);
        let roomy = wasmtime::Engine::new(&config(limits, Kind::Roomy, cache.clone()))
            .map_err(cannot_start)?;
        let pooled = match wasmtime::Engine::new(&config(
            limits,
            Kind::Pooled {
                instances: capacity,
            },
            cache,
        )) {
            Ok(engine) => Some(engine),
            Err(error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "no address space for a pool of {capacity} policy instances: allocating on demand, which is slower; \
                     lower `limits.instances` or `limits.memory_mib`, or raise the limit (`ulimit -v`)"
                );
                None
            }
        };
        let engines = pooled.iter().chain([&roomy]);
        let ticker = Ticker::start(engines.map(wasmtime::Engine::weak).collect())?;
        Ok(Arc::new(Self {
            pooled,
            roomy,
            pool_memory_mib: limits.memory_mib,
            live: Arc::default(),
            capacity,
            ticker: Some(ticker),
            relief: OnceLock::new(),
            relieving: Mutex::default(),
        }))
    }

    /// An engine for replay and conformance: the same calls end in the same way on every machine. Calls are bounded by
    /// fuel instead of time, and floating-point results do not depend on the processor.
    pub(super) fn replay(limits: &Limits) -> Result<Arc<Self>> {
        limits.check().map_err(|e| anyhow!(e))?;
        Ok(Arc::new(Self {
            pooled: None,
            roomy: wasmtime::Engine::new(&config(limits, Kind::Replay, None))
                .map_err(cannot_start)?,
            pool_memory_mib: 0,
            live: Arc::default(),
            capacity: limits.instances,
            ticker: None,
            relief: OnceLock::new(),
            relieving: Mutex::default(),
        }))
    }

    /// The runtimes on which a component with this memory limit may run, in the order to try them.
    pub(super) fn candidates(&self, limits: &Limits) -> impl Iterator<Item = &wasmtime::Engine> {
        self.pooled
            .iter()
            .filter(|_| limits.memory_mib <= self.pool_memory_mib)
            .chain([&self.roomy])
    }

    /// What bounds calls by time; `None` where fuel bounds them.
    pub(super) fn ticker(&self) -> Option<&Ticker> {
        self.ticker.as_ref()
    }

    /// Who is asked to give instances back when all places are taken. The first one stays.
    pub(super) fn relieve_by(&self, relief: Weak<dyn Relief>) {
        // A second one would be another set of sessions on the same engine, which nobody makes.
        let _ = self.relief.set(relief);
    }

    /// A place for one more instance, if there is one or somebody makes one. Asked before the pool, whose exhaustion is
    /// an error inside instantiation and would be blamed on the guest.
    pub(super) fn admit(&self) -> Option<Permit> {
        if let Some(permit) = self.free_place() {
            return Some(permit);
        }
        let relief = self.relief.get().and_then(Weak::upgrade)?;
        let _turn = self
            .relieving
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(permit) = self.free_place() {
            return Some(permit);
        }
        // Some at once, because looking for the longest idle costs a pass over all sessions.
        relief.give_back((self.capacity as usize / 32).max(1));
        self.free_place()
    }

    fn free_place(&self) -> Option<Permit> {
        self.live
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                (n < self.capacity).then_some(n + 1)
            })
            .ok()
            .map(|_| Permit(Arc::clone(&self.live)))
    }

    /// Live instances now, and how many there may be.
    pub(super) fn occupancy(&self) -> (u32, u32) {
        (self.live.load(Ordering::Relaxed), self.capacity)
    }
}

/// A place for one instance.
pub(super) struct Permit(Arc<AtomicU32>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn config(limits: &Limits, kind: Kind, cache: Option<Cache>) -> Config {
    let mut config = Config::new();
    // The contract is synchronous: this alone makes a call 290 ns cheaper.
    config.concurrency_support(false);
    // What policies do not need is not there to be attacked. Threads, garbage collection and exceptions are not even compiled in.
    config.wasm_memory64(false);
    config.wasm_relaxed_simd(false);
    config.wasm_tail_call(false);
    config.max_wasm_stack(limits.stack_kib as usize * 1024);
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.cache(cache);
    let memory = u64::from(limits.memory_mib) << 20;
    match kind {
        Kind::Pooled { instances } => {
            config.epoch_interruption(true);
            config.memory_reservation(memory);
            config.memory_may_move(false);
            let mut pool = PoolingAllocationConfig::new();
            pool.max_memory_size(usize::try_from(memory).unwrap_or(usize::MAX));
            pool.total_component_instances(instances);
            pool.total_core_instances(instances.saturating_mul(4));
            pool.total_memories(instances);
            pool.total_tables(instances.saturating_mul(2));
            pool.total_stacks(0);
            pool.max_core_instances_per_component(CORE_INSTANCES);
            pool.max_memories_per_component(1);
            pool.max_tables_per_component(TABLES);
            pool.table_elements(limits.table_elements as usize);
            // Nothing stays in memory of a place that is given back. 64 KiB of each (the default's price for a policy that
            // wakes in 39 us and not in 49) would be 250 MiB once all places were used.
            pool.linear_memory_keep_resident(0);
            pool.max_unused_warm_slots(100);
            config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        }
        Kind::Roomy => {
            config.epoch_interruption(true);
        }
        Kind::Replay => {
            config.consume_fuel(true);
            config.cranelift_nan_canonicalization(true);
            config.relaxed_simd_deterministic(true);
        }
    }
    config
}

#[allow(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn cannot_start(error: wasmtime::Error) -> anyhow::Error {
    anyhow!("cannot start the Wasm runtime: {error:#}")
}

/// Compiled code is native code: whoever can write into the cache runs code here. Hence a directory of our own, closed to
/// others.
fn open_cache(dir: &Path) -> Result<Cache> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| {
            format!(
                "cannot create the cache of compiled policies `{}`",
                dir.display()
            )
        })?;
    let shown = dir.display();
    let open = crate::private::tighten(dir, 0o022).with_context(|| {
        format!(
            "the cache of compiled policies `{shown}` can be written by others, who could run code here, and its mode \
             cannot be changed: `chmod 700` it as its owner, or remove it"
        )
    })?;
    let dir = dir.canonicalize()?;
    if let Some(mode) = open {
        // Whatever lies in it may be somebody else's code.
        empty(&dir).with_context(|| format!("cannot empty the cache `{shown}`"))?;
        tracing::warn!(
            "the cache of compiled policies `{shown}` could be written by others (mode {mode:o}): it is closed to them now, \
             emptied, and filled again"
        );
    }
    let mut cache = CacheConfig::new();
    cache.with_directory(dir);
    Cache::new(cache).map_err(cannot_start)
}

fn empty(dir: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// As many instances as are asked for, or as the machine's limit on memory mappings allows.
fn clamp_instances(asked: u32) -> u32 {
    let Some(maps) = std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|s| s.trim().parse::<u32>().ok())
    else {
        return asked;
    };
    let room = (maps / MAPPINGS).max(1);
    if asked > room {
        tracing::warn!(
            "`limits.instances` is {asked}, but this machine allows a process {maps} memory mappings, enough for {room} \
             instances: using {room}; raise `vm.max_map_count` for more"
        );
    }
    asked.min(room)
}
