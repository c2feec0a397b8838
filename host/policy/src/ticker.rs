//! Advances the clock by which running calls are interrupted. An operating-system thread: a task of an async runtime would
//! starve together with the threads that it is to interrupt.
//!
//! While no policy is called it sleeps: 200 idle wake-ups a second cost 3 % of a busy core's time (measured, 10,000 calls a
//! second without a policy), and a laptop its rest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use anyhow::{Context as _, Result};
use wasmtime::EngineWeak;

/// Between two looks at running calls. A call is cut at most two ticks after its budget ends. Shorter ticks would cost
/// idle wake-ups and gain nothing against budgets of tens of milliseconds.
pub(super) const TICK: Duration = Duration::from_millis(5);

/// Without a call for so long, it sleeps. Longer than the longest call that limits allow (`wall_ms`, 600 s): one that runs is
/// never left alone.
const REST: Duration = Duration::from_secs(660);

/// The thread, for as long as this lives.
pub(super) struct Ticker {
    state: Arc<State>,
    thread: Thread,
}

#[derive(Default)]
struct State {
    /// A call began since the last tick.
    busy: AtomicBool,
    sleeps: AtomicBool,
    closing: AtomicBool,
}

impl Ticker {
    /// Starts it, asleep.
    ///
    /// # Errors
    /// The system's.
    pub fn start(engines: Vec<EngineWeak>) -> Result<Self> {
        let state = Arc::<State>::default();
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name("airlock-ticker".into())
            .spawn(move || tick(&engines, &shared))
            .context("cannot start the thread that interrupts policies")?;
        Ok(Self {
            state,
            thread: thread.thread().clone(),
        })
    }

    /// A call begins: from now on the clock goes.
    pub fn call(&self) {
        // Written only when it changes, so that threads that call policies do not take the line from each other.
        if !self.state.busy.load(Ordering::Relaxed) {
            self.state.busy.store(true, Ordering::SeqCst);
            if self.state.sleeps.load(Ordering::SeqCst) {
                self.thread.unpark();
            }
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn tick(engines: &[EngineWeak], state: &State) {
    let mut idle = REST;
    loop {
        let closing = state.closing.load(Ordering::SeqCst);
        if idle >= REST && !closing {
            state.sleeps.store(true, Ordering::SeqCst);
            // Whoever calls after this line sees that it sleeps; whoever called before it is seen here.
            while !state.busy.load(Ordering::SeqCst) && !state.closing.load(Ordering::SeqCst) {
                thread::park();
            }
            state.sleeps.store(false, Ordering::SeqCst);
        }
        idle = match state.busy.swap(false, Ordering::SeqCst) {
            true => Duration::ZERO,
            false => idle + TICK,
        };
        thread::sleep(TICK);
        let mut alive = false;
        for engine in engines.iter().filter_map(EngineWeak::upgrade) {
            engine.increment_epoch();
            alive = true;
        }
        if !alive {
            return;
        }
    }
}
