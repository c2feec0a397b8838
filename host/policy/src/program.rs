//! A component, compiled and linked, and one instance of it.
//!
//! An [`Instance`] is consumed by each call and handed back only with the answer. After a trap, a timeout or an error of
//! the host the runtime refuses every later call of the same store; here such a store cannot be called, because nobody
//! holds it any more.

use std::sync::Arc;

use wasmtime::component::{Component, Instance as Linked, InstancePre, Linker, ResourceAny};
use wasmtime::{PoolConcurrencyLimitError, Store, Trap};

use super::engine::{Engine, Permit, REPLAY_FUEL};
use super::fault::{Fault, FaultKind};
use super::host::{self, Asked, Clock, Host};
use super::limits::Limits;
use super::services::SavedState;
use super::spec::Grants;
use crate::contract::{about, acting, reasoning, sessions, types};

/// Stands before what a guest logged last in a failed call.
const LAST_WORDS: &str = "; its last words: ";

/// A component that is ready to be instantiated. What it imports has been checked against the grants.
pub(super) struct Program {
    engine: Arc<Engine>,
    pre: InstancePre<Host>,
    about: about::GuestIndices,
    sessions: sessions::GuestIndices,
    reasoning: Option<reasoning::GuestIndices>,
    acting: Option<acting::GuestIndices>,
}

/// Why a component does not become a program.
pub(super) enum BuildError {
    /// It does not compile for this engine.
    Compile(String),
    /// Its imports are not granted, or its exports are not the contract's.
    Link(String),
}

impl Program {
    /// Compiles and links a component. Takes milliseconds to seconds; never on a request's path.
    pub(super) fn build(
        engine: &Arc<Engine>,
        bytes: &[u8],
        grants: &Grants,
        limits: &Limits,
    ) -> Result<Self, BuildError> {
        let component = compile(engine, bytes, limits)?;
        let link_error = |e: wasmtime::Error| BuildError::Link(format!("{e:#}"));
        // Only a cost of the first session otherwise, so a failure here is one there.
        component
            .initialize_copy_on_write_image()
            .map_err(|e| BuildError::Compile(format!("{e:#}")))?;
        let mut linker = Linker::new(component.engine());
        host::link(&mut linker, grants).map_err(link_error)?;
        let pre = linker.instantiate_pre(&component).map_err(link_error)?;
        let has = |interface: &str| component.get_export_index(None, interface).is_some();
        let package =
            |interface: &str| format!("airlock:policy/{interface}@{}", crate::contract::VERSION);
        let program = Self {
            engine: Arc::clone(engine),
            about: about::GuestIndices::new(&pre).map_err(link_error)?,
            sessions: sessions::GuestIndices::new(&pre).map_err(link_error)?,
            reasoning: has(&package("reasoning"))
                .then(|| reasoning::GuestIndices::new(&pre))
                .transpose()
                .map_err(link_error)?,
            acting: has(&package("acting"))
                .then(|| acting::GuestIndices::new(&pre))
                .transpose()
                .map_err(link_error)?,
            pre,
        };
        if !program.reasons() && !program.acts() {
            return Err(BuildError::Link(format!(
                "it exports neither `{}` nor `{}`: build it for a world of the contract, such as `policy`",
                package("reasoning"),
                package("acting")
            )));
        }
        Ok(program)
    }

    pub(super) fn reasons(&self) -> bool {
        self.reasoning.is_some()
    }

    pub(super) fn acts(&self) -> bool {
        self.acting.is_some()
    }

    /// A new instance, with no session open in it yet.
    pub(super) fn instantiate(&self, host: Host, limits: &Limits) -> Result<Instance, Fault> {
        let permit = self.engine.admit().ok_or_else(|| {
            let (live, capacity) = self.engine.occupancy();
            Fault::new(
                FaultKind::Pool,
                format!(
                    "{live} of {capacity} policy instances are in use: raise `limits.instances`"
                ),
            )
        })?;
        let bounds = Bounds {
            engine: Arc::clone(&self.engine),
            own_thread: host.grants.wasi,
        };
        let mut store = Store::new(self.pre.engine(), host);
        store.limiter(|host| &mut host.meter);
        store.set_hostcall_fuel(limits.hostcall_kib as usize * 1024);
        store.set_max_component_handles(limits.handles as usize);
        if self.engine.ticker().is_some() {
            store.epoch_deadline_callback(Clock::tick);
        }
        let guest = enter(&mut store, &bounds, None, |store| {
            let linked: Linked = self.pre.instantiate(&mut *store)?;
            Ok(Guest {
                about: self.about.load(&mut *store, &linked)?,
                sessions: self.sessions.load(&mut *store, &linked)?,
                reasoning: self
                    .reasoning
                    .as_ref()
                    .map(|i| i.load(&mut *store, &linked))
                    .transpose()?,
                acting: self
                    .acting
                    .as_ref()
                    .map(|i| i.load(&mut *store, &linked))
                    .transpose()?,
            })
        })?;
        Ok(Instance(Box::new(Parts {
            store,
            guest,
            bounds,
            session: None,
            _permit: permit,
        })))
    }
}

/// Compiles for the pool if it fits there, else for the roomy engine.
fn compile(engine: &Engine, bytes: &[u8], limits: &Limits) -> Result<Component, BuildError> {
    let mut refused: Option<String> = None;
    for runtime in engine.candidates(limits) {
        match Component::new(runtime, bytes) {
            Ok(component) => {
                if let Some(why) = refused {
                    tracing::info!(
                        "a policy does not fit the instance pool and is allocated on demand: {why}"
                    );
                }
                return Ok(component);
            }
            Err(error) => refused = Some(format!("{error:#}")),
        }
    }
    Err(BuildError::Compile(
        refused.unwrap_or_else(|| "no engine takes it".into()),
    ))
}

/// The functions that a component exports.
struct Guest {
    about: about::Guest,
    sessions: sessions::Guest,
    reasoning: Option<reasoning::Guest>,
    acting: Option<acting::Guest>,
}

/// One instance of a program, with at most one session open in it. Handed over at each call, so it is only a pointer.
pub(super) struct Instance(Box<Parts>);

struct Parts {
    store: Store<Host>,
    guest: Guest,
    bounds: Bounds,
    session: Option<ResourceAny>,
    _permit: Permit,
}

impl Instance {
    /// Asks the component what it is.
    pub(super) fn describe(self) -> Result<(Self, types::Description), Fault> {
        let answered = self.call(None, |store, guest| guest.about.call_describe(store))?;
        succeeded(answered)
    }

    /// Has the component judge its settings.
    pub(super) fn configure(
        self,
        settings: &str,
    ) -> Result<(Self, Result<types::Subscription, String>), Fault> {
        let (instance, answer) = self.call(None, |store, guest| {
            guest.about.call_configure(store, settings)
        })?;
        Ok((instance, answer.map_err(|e| beginning(&e).to_owned())))
    }

    pub(super) fn reasons(&self) -> bool {
        self.0.guest.reasoning.is_some()
    }

    pub(super) fn acts(&self) -> bool {
        self.0.guest.acting.is_some()
    }

    /// Begins the session, from saved memory if there is some.
    pub(super) fn open(
        mut self,
        settings: &str,
        saved: Option<&SavedState>,
    ) -> Result<Self, Fault> {
        if let Some(saved) = saved {
            self.0.store.data_mut().values.clone_from(&saved.values);
        }
        let facts = Arc::clone(&self.0.store.data().facts);
        let (mut instance, session) = self.call(None, |store, guest| {
            let session = guest.sessions.session();
            match saved {
                Some(SavedState { schema, memory, .. }) if !memory.is_empty() => {
                    session.call_restore(store, &facts, settings, *schema, memory)
                }
                _ => session.call_start(store, &facts, settings),
            }
        })?;
        let session = session.map_err(|e| {
            let why = why(&e, instance.host());
            Fault::new(
                FaultKind::Session,
                format!("the policy refused to open the session: {why}"),
            )
        })?;
        instance.0.session = Some(session);
        Ok(instance)
    }

    /// Has it judge a batch. `retold`: the call is repeated, and these are the answers it got the first time.
    pub(super) fn observe(
        mut self,
        batch: &types::Batch,
        retold: Option<Asked>,
    ) -> Result<(Self, types::Assessment), Fault> {
        let session = self.0.session;
        self.0.store.data_mut().exchange = batch.exchange;
        let answered = self.call(retold, |store, guest| match (&guest.reasoning, session) {
            (Some(g), Some(session)) => g.call_observe(store, session, batch),
            _ => Err(wasmtime::Error::msg(
                "it is not a reasoner, or no session is open",
            )),
        })?;
        succeeded(answered)
    }

    /// Has it decide about findings.
    pub(super) fn decide(
        mut self,
        situation: &types::Situation,
        retold: Option<Asked>,
    ) -> Result<(Self, types::Decision), Fault> {
        let session = self.0.session;
        self.0.store.data_mut().exchange = situation.batch.exchange;
        let answered = self.call(retold, |store, guest| match (&guest.acting, session) {
            (Some(g), Some(session)) => g.call_decide(store, session, situation),
            _ => Err(wasmtime::Error::msg(
                "it is not an actuator, or no session is open",
            )),
        })?;
        succeeded(answered)
    }

    /// Has it write down its memory.
    pub(super) fn save(self) -> Result<(Self, Result<Vec<u8>, String>), Fault> {
        let session = self.0.session;
        let (instance, saved) = self.call(None, |store, guest| match session {
            Some(session) => guest.sessions.session().call_save(store, session),
            None => Ok(Ok(Vec::new())),
        })?;
        let saved = saved.map_err(|e| why(&e, instance.host()));
        Ok((instance, saved))
    }

    /// The questions of the last call and what it was told.
    pub(super) fn take_asked(&mut self) -> Asked {
        std::mem::take(&mut self.0.store.data_mut().asked)
    }

    /// What the interface `state` holds.
    pub(super) fn host(&self) -> &Host {
        self.0.store.data()
    }

    /// One call. Consumes the instance, and gives it back only if the call succeeded.
    fn call<R: Send>(
        mut self,
        retold: Option<Asked>,
        f: impl FnOnce(&mut Store<Host>, &Guest) -> wasmtime::Result<R> + Send,
    ) -> Result<(Self, R), Fault> {
        let Parts {
            store,
            guest,
            bounds,
            ..
        } = &mut *self.0;
        let answer = enter(store, bounds, retold, |store| f(store, guest))?;
        Ok((self, answer))
    }
}

/// What a call brought, or the guest's own words for why it brought nothing. The instance is dropped then, like after a trap:
/// what it changed before it gave up is not known.
fn succeeded<R>((instance, answer): (Instance, Result<R, String>)) -> Result<(Instance, R), Fault> {
    match answer {
        Ok(answer) => Ok((instance, answer)),
        Err(error) => Err(Fault::new(FaultKind::Failed, why(&error, instance.host()))),
    }
}

/// Why a call failed: the guest's error, and what it logged last unless the error says that too.
fn why(error: &str, host: &Host) -> String {
    let error = beginning(error);
    match host.last_words.trim() {
        said if said.is_empty() || error.contains(said) => error.to_owned(),
        said => format!("{error}{LAST_WORDS}{said}"),
    }
}

/// As much of a guest's error as an operator reads. Never empty.
fn beginning(error: &str) -> &str {
    const MOST: usize = 2048;
    match error.get(..error.floor_char_boundary(MOST)) {
        Some("") | None => "it does not say why",
        Some(words) => words,
    }
}

/// How calls into a store are bounded and run.
struct Bounds {
    /// By time, or by fuel.
    engine: Arc<Engine>,
    /// On a thread of their own: the runtime's WASI may block on an async runtime, which panics on one of its threads.
    own_thread: bool,
}

/// Runs guest code with a deadline, and says what went wrong if it fails. The store must not be used after a failure.
fn enter<R: Send>(
    store: &mut Store<Host>,
    bounds: &Bounds,
    retold: Option<Asked>,
    f: impl FnOnce(&mut Store<Host>) -> wasmtime::Result<R> + Send,
) -> Result<R, Fault> {
    store.data_mut().begin(retold);
    let outcome = if let Some(ticker) = bounds.engine.ticker() {
        ticker.call();
        // One tick may be due at once; the second one is at least a whole period away.
        store.set_epoch_deadline(2);
        if bounds.own_thread {
            run_apart(store, f)
        } else {
            f(store)
        }
    } else {
        store.set_fuel(REPLAY_FUEL).and_then(|()| f(store))
    };
    store.data_mut().end();
    outcome.map_err(|error| fault(store.data(), &error))
}

fn run_apart<R: Send>(
    store: &mut Store<Host>,
    f: impl FnOnce(&mut Store<Host>) -> wasmtime::Result<R> + Send,
) -> wasmtime::Result<R> {
    // Whoever listens here listens there, and where nobody is to hear anything nobody does.
    let listener = tracing::dispatcher::get_default(Clone::clone);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("airlock-wasi".into())
            .spawn_scoped(scope, || {
                tracing::dispatcher::with_default(&listener, || f(store))
            })?;
        thread
            .join()
            .unwrap_or_else(|_| Err(wasmtime::Error::msg("the host failed in a WASI call")))
    })
}

/// Says what went wrong, in the words of the contract and with the guest's own last words.
fn fault(host: &Host, error: &wasmtime::Error) -> Fault {
    let cause = error.root_cause().to_string();
    let trap = error.downcast_ref::<Trap>();
    let (kind, mut message) = match trap {
        Some(Trap::Interrupt) => {
            let limit = host.clock.cut.unwrap_or("cpu_ms");
            (
                FaultKind::Timeout,
                format!("the call took longer than `limits.{limit}` allows"),
            )
        }
        Some(Trap::OutOfFuel) => (FaultKind::Timeout, "the call used up its fuel".into()),
        _ if host.meter.refused => (
            FaultKind::Memory,
            format!("it was refused memory beyond `limits.memory_mib` and gave up ({cause})"),
        ),
        Some(Trap::StackOverflow) => (
            FaultKind::Trap,
            "its stack is exhausted (`limits.stack_kib`)".into(),
        ),
        _ if cause.contains("fuel allocated for hostcalls") => (
            FaultKind::Flood,
            "it passed more data in one call than `limits.hostcall_kib` allows".into(),
        ),
        _ if cause.contains("handle limit exceeded") => (
            FaultKind::Flood,
            "it holds more handles than `limits.handles` allows".into(),
        ),
        _ if error.is::<PoolConcurrencyLimitError>() => (FaultKind::Pool, cause),
        Some(_) => (FaultKind::Trap, cause),
        // Answers that do not decode: a list out of bounds, text that is not UTF-8, an unknown case.
        None => (FaultKind::Malformed, cause),
    };
    if !host.last_words.is_empty() {
        message.push_str(LAST_WORDS);
        message.push_str(host.last_words.trim_end());
    }
    tracing::debug!(
        policy = &*host.policy,
        error = format!("{error:?}"),
        "a policy failed"
    );
    Fault::new(kind, message)
}
