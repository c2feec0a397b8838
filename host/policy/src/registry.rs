//! The registry of policies: what serves, what failed to, and why.
//!
//! One thread of low priority does all loading, one policy at a time; requests only ever read a pointer. Whatever goes
//! wrong on the way, what served before goes on serving.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use tokio::sync::broadcast;

use super::directory;
use super::engine::{Engine, Relief};
use super::generation::PolicySet;
use super::limits::Limits;
use super::load::{Loader, STACK};
use super::report::{PolicyEvent, PolicyStatus};
use super::sources::Sources;
use super::spec::{Grants, PolicySpec};
use super::table::Core;
use super::watch::{Debounce, Watch};
use crate::contract::types;

/// What the registry is started with.
#[derive(Clone)]
pub struct PolicySettings {
    /// Directory whose `*.wasm` files are policies; created if missing. `None`: built-in policies and entries only.
    pub dir: Option<PathBuf>,
    /// Grants of files in the directory for which nothing else is stated.
    pub default_grants: Grants,
    /// The operator's entries, by name.
    pub specs: BTreeMap<String, PolicySpec>,
    /// Limits of all policies.
    pub limits: Limits,
    /// Where compiled code is cached between runs; private to the user. `None`: no cache.
    pub cache_dir: Option<PathBuf>,
    /// Refuses a generation whose subscription the caller cannot serve (a pattern that does not compile), with the reason.
    pub check: fn(&types::Subscription) -> Result<(), String>,
    /// Components by name, which an entry can name without a file.
    pub builtins: Vec<(String, Cow<'static, [u8]>)>,
}

impl Default for PolicySettings {
    /// No directory, no entries, no built-in policies; default limits.
    fn default() -> Self {
        Self {
            dir: None,
            default_grants: Grants::directory(),
            specs: BTreeMap::new(),
            limits: Limits::default(),
            cache_dir: None,
            check: |_| Ok(()),
            builtins: Vec::new(),
        }
    }
}

/// The registry of policies.
pub struct Policies {
    core: Arc<Core>,
    commands: mpsc::Sender<Command>,
}

enum Command {
    Hint,
    Rescan(mpsc::Sender<()>),
    Reconfigure(
        BTreeMap<String, PolicySpec>,
        mpsc::Sender<Result<(), String>>,
    ),
    Stop,
}

impl Policies {
    /// Builds the engine, loads what there is, and watches for changes. A policy that does not load is reported, not an
    /// error here; see [`Policies::ready`]. Blocks until all are loaded.
    pub fn start(settings: PolicySettings) -> anyhow::Result<Arc<Self>> {
        settings
            .default_grants
            .check()
            .map_err(|e| anyhow!("default grants of the policy directory: {e}"))?;
        if let Some(dir) = &settings.dir {
            std::fs::create_dir_all(dir).with_context(|| {
                format!("cannot create the policy directory `{}`", dir.display())
            })?;
        }
        let engine = Engine::new(&settings.limits, settings.cache_dir.as_deref())?;
        let loader = Loader {
            engine,
            limits: settings.limits,
            default_grants: settings.default_grants,
            check: settings.check,
            cache_dir: settings.cache_dir,
        };
        let sources = Sources {
            dir: settings.dir,
            builtins: settings.builtins.into_iter().collect(),
        };
        let core = Core::new(loader, sources, settings.specs);
        let (commands, inbox) = mpsc::channel();
        let hint = commands.clone();
        let weak = Arc::downgrade(&core);
        std::thread::Builder::new()
            .name("airlock-loader".into())
            .stack_size(STACK)
            .spawn(move || {
                // The processors belong to requests. Where priorities cannot be changed, loading is only less polite.
                let _ = rustix::process::setpriority_process(None, 10);
                let watch = Watch::new(move || {
                    // The receiver is gone only when nobody cares any more.
                    let _ = hint.send(Command::Hint);
                });
                serve(&weak, &inbox, watch);
            })
            .context("cannot start the thread that loads policies")?;
        let policies = Arc::new(Self { core, commands });
        policies.rescan();
        Ok(policies)
    }

    /// Who gives instances back when there is no place for another one.
    pub fn relieve_by(&self, relief: Weak<dyn Relief>) {
        self.core.relieve_by(relief);
    }

    /// The policies that serve now.
    #[must_use]
    pub fn current(&self) -> Arc<PolicySet> {
        self.core.current()
    }

    /// How every policy stands, by name.
    #[must_use]
    pub fn status(&self) -> Vec<PolicyStatus> {
        self.core.status()
    }

    /// What changes from now on. A slow reader misses the oldest.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<PolicyEvent> {
        self.core.subscribe()
    }

    /// Looks at the directory now; returns when what changed was loaded or refused. Blocks: never on an async thread.
    pub fn rescan(&self) {
        let (done, wait) = mpsc::channel();
        if self.commands.send(Command::Rescan(done)).is_ok() {
            // An error means that the loading thread ended, and with it all loading; the set that serves stays.
            let _ = wait.recv();
        }
    }

    /// Takes other entries, whole or not at all: if one of the changed ones does not load, nothing changes. Blocks.
    pub fn reconfigure(&self, specs: BTreeMap<String, PolicySpec>) -> anyhow::Result<()> {
        let (done, wait) = mpsc::channel();
        self.commands
            .send(Command::Reconfigure(specs, done))
            .ok()
            .and_then(|()| wait.recv().ok())
            .unwrap_or_else(|| Err("the thread that loads policies has ended".into()))
            .map_err(|e| anyhow!(e))
    }

    /// Whether every required policy has a good generation; if not, what is missing. A quarantined one counts as present:
    /// else a request that kills a policy would stop the whole server.
    pub fn ready(&self) -> Result<(), Vec<String>> {
        self.core.ready()
    }

    /// Brings a policy's last good generation back. Returns its number.
    pub fn rollback(&self, name: &str) -> anyhow::Result<u32> {
        self.core
            .roll_back(name, None, "the operator asked for it")
            .map_err(|e| anyhow!(e))
    }

    /// Live instances of all policies, and how many there may be.
    #[must_use]
    pub fn instances(&self) -> (u32, u32) {
        self.core.occupancy()
    }
}

impl Drop for Policies {
    fn drop(&mut self) {
        // It has ended already if this fails.
        let _ = self.commands.send(Command::Stop);
    }
}

/// The loading thread.
fn serve(core: &Weak<Core>, inbox: &mpsc::Receiver<Command>, mut watch: Watch) {
    let mut debounce = Debounce::default();
    let mut seen = 0;
    loop {
        let command = inbox.recv_timeout(debounce.wait(Instant::now()));
        let Some(core) = core.upgrade() else { return };
        let again = match command {
            Ok(Command::Hint) => {
                debounce.hint(Instant::now());
                continue;
            }
            Ok(Command::Rescan(done)) => {
                watch.set(core.directories());
                let again = core.rescan();
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
                again
            }
            Ok(Command::Reconfigure(specs, done)) => {
                let outcome = core.reconfigure(specs);
                watch.set(core.directories());
                let _ = done.send(outcome);
                false
            }
            Err(RecvTimeoutError::Timeout) => {
                // Taken before the look: a change during the look is found by the next one.
                let now = directory::fingerprint(watch.dirs());
                let changed = std::mem::replace(&mut seen, now) != now;
                if !debounce.take_due(Instant::now()) && !changed {
                    continue;
                }
                watch.set(core.directories());
                core.rescan()
            }
            Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        };
        if again {
            debounce.hint(Instant::now());
        }
    }
}
