//! From bytes to a generation that may serve: every step that must succeed before anybody relies on it.
//!
//! Steps, each of which refuses with a reason: validate, version, trust, compile, link (the check of permissions), describe,
//! settings, golden cases, rehearsal of what its predecessor was told last. Nothing here changes what serves.

mod settings;
mod trial;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use sha2::{Digest as _, Sha256};

use super::candidate::{Candidate, hex};
use super::engine::Engine;
use super::error::{LoadError, Stage};
use super::generation::Generation;
use super::health::Health;
use super::host::LogGate;
use super::limits::Limits;
use super::program::{BuildError, Program};
use super::spec::{EVENT_KINDS, GUARDING, Grants, Mode, OnFailure, PolicySpec};
use super::{answers, inspect};
use crate::contract::types;
use settings::check_settings;
use trial::Trial;

/// Stack of the loading thread: the compiler recurses deeply over large functions.
pub(super) const STACK: usize = 8 << 20;

/// Makes generations.
pub(super) struct Loader {
    pub(super) engine: Arc<Engine>,
    pub(super) limits: Limits,
    pub(super) default_grants: Grants,
    pub(super) check: fn(&types::Subscription) -> Result<(), String>,
    /// Where compiled code is cached.
    pub(super) cache_dir: Option<PathBuf>,
}

impl Loader {
    /// Takes a candidate through all steps, in this process. `predecessor`: the generation that it would replace.
    pub(super) fn load(
        &self,
        candidate: &Candidate,
        number: u32,
        predecessor: Option<&Arc<Generation>>,
    ) -> Result<Generation, LoadError> {
        let spec = &candidate.spec;
        let limits = self.limits.patched(&spec.limits);
        limits
            .check()
            .map_err(|e| LoadError::new(Stage::Configure, e))?;
        let mut grants = self.grants(candidate)?;
        let inspection = inspect::inspect(&candidate.bytes)?;
        trust(candidate)?;
        inspect::check_imports(&inspection, &grants, &candidate.name)?;
        let program =
            Program::build(&self.engine, &candidate.bytes, &grants, &limits).map_err(|error| {
                match error {
                    BuildError::Compile(reason) => LoadError::new(Stage::Compile, reason),
                    BuildError::Link(reason) => LoadError::new(Stage::Link, reason),
                }
            })?;
        let gate = Arc::new(LogGate::new(limits.log_per_second));
        let stage = Trial {
            candidate,
            program: &program,
            grants: Arc::new(grants.clone()),
            gate: &gate,
            limits: &limits,
        };
        let (instance, description) = stage.describe()?;
        is_named(&description.name, candidate)?;
        if candidate.builtin && spec.grants.is_none() {
            // It ships inside the program that enforces the grants; asking outward is the operator's to allow.
            grants.actions.clone_from(&description.actions);
        }
        let settings = serde_json::Value::Object(spec.settings.clone());
        check_settings(&description.settings_schema, &settings)?;
        let settings: Arc<str> = settings.to_string().into();
        let subscription = stage.configure(instance, &settings)?;
        answers::subscription(&subscription)
            .and_then(|()| (self.check)(&subscription))
            .map_err(|e| LoadError::new(Stage::Settings, e))?;
        stage.golden(&inspection, &description)?;
        stage.rehearse(&settings, predecessor)?;

        let ungranted = ungranted(&description, &subscription, &grants);
        let on_failure = spec
            .on_failure
            .unwrap_or_else(|| default_on_failure(candidate, &grants, &subscription));
        Ok(Generation {
            name: Arc::clone(&candidate.name),
            number,
            digest: candidate.digest.clone(),
            since: now_us(),
            mode: spec.mode,
            on_failure,
            on_reload: spec.on_reload,
            order: spec.order,
            required: spec.required,
            ungranted,
            settings_digest: hex(&Sha256::digest(settings.as_bytes()))[..16].to_owned(),
            settings,
            reasons: program.reasons(),
            acts: program.acts(),
            grants: Arc::new(grants),
            ask_quota: spec.ask_quota,
            description,
            subscription,
            limits,
            program,
            health: Health::new(predecessor.is_some()),
            gate,
            recent: Mutex::default(),
            previous: ArcSwapOption::empty(),
            overseer: OnceLock::new(),
            key: candidate.key(),
        })
    }

    fn grants(&self, candidate: &Candidate) -> Result<Grants, LoadError> {
        let grants = match &candidate.spec.grants {
            Some(grants) => grants.clone(),
            None if candidate.builtin => Grants {
                actions: Vec::new(),
                ..Grants::directory()
            },
            None => self.default_grants.clone(),
        };
        grants
            .check()
            .map_err(|e| LoadError::new(Stage::Configure, e))?;
        Ok(grants)
    }
}

/// Loads one component outside any registry, on the engine for replay: the same calls give the same results and end at the
/// same instruction, on every machine. For replaying a recorded session, for golden cases and for judging a component
/// before it is installed; its calls are slower than those of a registry's generation.
///
/// # Errors
/// The step that refused the component, and why.
pub fn for_replay(
    name: &str,
    component: Vec<u8>,
    spec: PolicySpec,
    limits: &Limits,
) -> anyhow::Result<Arc<Generation>> {
    let loader = Loader {
        engine: Engine::replay(limits)?,
        limits: limits.clone(),
        default_grants: Grants::directory(),
        check: |_| Ok(()),
        cache_dir: None,
    };
    let candidate = Candidate::new(name, spec, false, component.into());
    Ok(Arc::new(loader.load(&candidate, 1, None)?))
}

/// A component is what its file or its entry says it is. Its kinds of findings are called after the component by convention
/// (`<policy>.<word>`), and an operator's tables and other policies know them so: a renamed file must not pass for another
/// policy.
fn is_named(own: &str, candidate: &Candidate) -> Result<(), LoadError> {
    let (entry, spec) = (&*candidate.name, &candidate.spec);
    let stem = spec.file.as_deref().and_then(Path::file_stem);
    let known = match &spec.component {
        Some(stated) => own == stated,
        None => own == entry || stem.is_some_and(|stem| stem == own),
    };
    if known {
        return Ok(());
    }
    let reason = match &spec.component {
        Some(stated) => format!(
            "it calls itself `{own}` where `component = \"{stated}\"` is stated for `{entry}`: correct the one or the other"
        ),
        None => format!(
            "it calls itself `{own}` and stands under the name `{entry}`: name its file `{own}.wasm`, or state \
             `component = \"{own}\"` for `{entry}`"
        ),
    };
    Err(LoadError::new(Stage::Describe, reason))
}

/// A pinned digest must match.
fn trust(candidate: &Candidate) -> Result<(), LoadError> {
    let Some(pin) = &candidate.spec.digest else {
        return Ok(());
    };
    let pin = pin.strip_prefix("sha256:").unwrap_or(pin);
    if pin.eq_ignore_ascii_case(&candidate.digest) {
        return Ok(());
    }
    Err(LoadError::new(
        Stage::Trust,
        format!(
            "its digest is {} where {pin} is pinned: grant the new content, or put the old back",
            candidate.digest
        ),
    ))
}

/// What it asks for and was not granted: it runs with what it has.
fn ungranted(
    description: &types::Description,
    subscription: &types::Subscription,
    grants: &Grants,
) -> Vec<String> {
    let actions = description
        .actions
        .iter()
        .filter(|a| !grants.actions.contains(a))
        .cloned();
    let asks = description
        .asks
        .iter()
        .filter(|a| !grants.asks.contains(a))
        .map(|a| format!("ask {a}"));
    let sees = EVENT_KINDS
        .iter()
        .filter(|(kind, _)| subscription.sees.contains(kind) && !grants.sees(*kind))
        .map(|(_, name)| format!("see {name}"));
    actions.chain(asks).chain(sees).collect()
}

/// Closed for an enforcing policy that may block: one that may order a guarding action, or that holds text and was
/// trusted with grants of its own. A file that somebody dropped into the directory cannot make Airlock block by failing.
fn default_on_failure(
    candidate: &Candidate,
    grants: &Grants,
    subscription: &types::Subscription,
) -> OnFailure {
    let trusted = candidate.builtin || candidate.spec.grants.is_some();
    let holds = subscription
        .release
        .iter()
        .any(|r| r.mode == types::ReleaseMode::HoldUntilJudged);
    let guards = grants
        .actions
        .iter()
        .any(|a| GUARDING.contains(&a.as_str()));
    if candidate.spec.mode == Mode::Enforce && (guards || trusted && holds) {
        OnFailure::Closed
    } else {
        OnFailure::Open
    }
}

fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| u64::try_from(d.as_micros()).ok())
        .unwrap_or(0)
}
