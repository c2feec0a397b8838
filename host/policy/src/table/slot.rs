//! All that is known of one policy, and what a result of loading changes in it.

use std::sync::{Arc, Weak};

use crate::error::{LoadError, Stage};
use crate::generation::{Generation, Overseer};
use crate::health::State;
use crate::report::{PolicyEvent, PolicyStatus};
use crate::sources::Planned;
use crate::spec::PolicySpec;

/// All that is known of one policy.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) origin: String,
    pub(super) spec: PolicySpec,
    /// Whether the main configuration states the spec.
    pub(super) stated: bool,
    pub(super) serving: Option<Arc<Generation>>,
    /// Generations made so far.
    pub(super) count: u32,
    /// Content and settings that were tried last, with whatever result: not tried again until they change.
    pub(super) tried: Option<String>,
    /// Content that ended too early, once. The second time it is an error.
    pub(super) suspect: Option<String>,
    pub(super) error: Option<String>,
}

/// What came of one policy's plan.
pub(super) enum Found {
    Unchanged,
    /// What serves is there again, after something else was tried.
    Same(String),
    Good(Box<Generation>),
    /// Probably still being written: look again.
    Unfinished(String),
    Bad(LoadError, Option<String>),
    Gone,
    Disabled,
}

impl Slot {
    /// Takes the result of a look at its sources. `overseer`: who is told how a new generation fares.
    pub(super) fn settle(
        &mut self,
        name: &str,
        planned: Planned,
        found: Found,
        overseer: &Weak<dyn Overseer>,
    ) -> Option<PolicyEvent> {
        let name = name.to_owned();
        let before = std::mem::replace(&mut self.spec, planned.spec);
        let was_stated = std::mem::replace(&mut self.stated, planned.stated);
        if !matches!(found, Found::Gone) {
            self.origin = planned.origin;
        }
        match found {
            Found::Unchanged => None,
            Found::Same(key) => {
                self.tried = Some(key);
                self.error = None;
                None
            }
            Found::Unfinished(key) => {
                self.suspect = Some(key);
                None
            }
            Found::Good(generation) => {
                let _ = generation.overseer.set(Weak::clone(overseer));
                let generation = Arc::new(*generation);
                let replaced = self.serving.replace(Arc::clone(&generation));
                if let Some(old) = &replaced {
                    // Only one way back is kept, or every generation ever loaded would stay in memory.
                    old.previous.store(None);
                    generation.previous.store(replaced.clone().filter(is_good));
                }
                self.count = generation.number;
                self.tried = Some(generation.key.clone());
                self.suspect = None;
                self.error = None;
                Some(PolicyEvent::Loaded {
                    name,
                    generation: generation.number,
                    digest: generation.digest.clone(),
                    replaces: replaced.map(|g| g.number),
                    ungranted: generation.ungranted.clone(),
                })
            }
            Found::Bad(error, key) => {
                self.suspect = None;
                self.tried = key;
                let serving = self.serving.as_ref().map(|g| g.number);
                self.news(error.to_string()).then(|| PolicyEvent::Refused {
                    name,
                    stage: error.stage.as_str().into(),
                    reason: error.reason,
                    serving,
                })
            }
            // Removing the file of a required policy does not disarm it; removing the entry that requires it does.
            Found::Gone
                if self.serving.is_some()
                    && (self.spec.required || before.required && !was_stated) =>
            {
                if !self.stated {
                    self.spec = before;
                }
                self.tried = None;
                let generation = self.serving.as_ref().map_or(0, |g| g.number);
                self.news(nothing_there(&name))
                    .then_some(PolicyEvent::Kept { name, generation })
            }
            Found::Gone if self.stated => {
                self.tried = None;
                let retired = self.serving.take().inspect(|old| old.health.withdraw());
                let news = self.news(nothing_there(&name));
                match retired {
                    Some(old) => Some(PolicyEvent::Retired {
                        name,
                        generation: old.number,
                    }),
                    None => news.then(|| PolicyEvent::Refused {
                        stage: Stage::Read.as_str().into(),
                        reason: nothing_there(&name),
                        name,
                        serving: None,
                    }),
                }
            }
            Found::Gone | Found::Disabled => {
                self.tried = None;
                self.error = None;
                self.serving.take().map(|old| {
                    old.health.withdraw();
                    PolicyEvent::Retired {
                        name,
                        generation: old.number,
                    }
                })
            }
        }
    }

    /// Whether this error is not told yet: what cannot be read is looked at each time, and told once.
    fn news(&mut self, text: String) -> bool {
        let news = self.error.as_ref() != Some(&text);
        self.error = Some(text);
        news
    }

    /// How it stands.
    pub(super) fn status(&self, name: &str) -> PolicyStatus {
        let serving = self.serving.as_ref();
        let counts = serving.map(|g| g.counts()).unwrap_or_default();
        PolicyStatus {
            name: name.into(),
            origin: self.origin.clone(),
            generation: serving.map(|g| g.number),
            digest: serving.map(|g| g.digest.clone()),
            version: serving.map(|g| g.description.version.clone()),
            since: serving.map(|g| g.since),
            state: serving.map(|g| g.state()),
            mode: serving.map_or(self.spec.mode, |g| g.mode),
            on_failure: serving.map(|g| g.on_failure),
            required: self.spec.required,
            ungranted: serving.map(|g| g.ungranted.clone()).unwrap_or_default(),
            last_error: self
                .error
                .clone()
                .or_else(|| serving.and_then(|g| g.last_fault())),
            counts,
        }
    }
}

/// Whether to go back to it would help.
pub(super) fn is_good(generation: &Arc<Generation>) -> bool {
    matches!(generation.state(), State::Active | State::Probation)
}

/// Why a policy without a component does not serve.
pub(super) fn nothing_there(name: &str) -> String {
    format!(
        "there is no built-in policy `{name}` and no file `{name}.wasm` in the policy directory: add it, or state `file`"
    )
}
