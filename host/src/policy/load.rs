//! From bytes to a generation that may serve: every step that must succeed before anybody relies on it.
//!
//! Steps, each of which refuses with a reason: validate, version, trust, compile, link (the check of permissions), describe,
//! settings, golden cases, rehearsal of what its predecessor was told last. Nothing here changes what serves.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use jsonschema::PatternOptions;
use jsonschema::error::ValidationErrorKind;
use sha2::{Digest as _, Sha256};

use super::engine::Engine;
use super::fault::{Fault, FaultKind};
use super::generation::{Generation, Told};
use super::health::Health;
use super::host::{Host, LogGate};
use super::inspect::{self, Inspection};
use super::limits::Limits;
use super::program::{BuildError, Instance, Program};
use super::services::Services;
use super::spec::{EVENT_KINDS, GUARDING, Grants, Mode, OnFailure, PolicySpec};
use super::{answers, apart, golden};
use crate::contract::types;
use crate::policy::advice;

/// Step of loading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Stage {
    Configure,
    Read,
    Validate,
    Version,
    Trust,
    Compile,
    Link,
    Describe,
    Settings,
    Golden,
    Rehearse,
}

impl Stage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Read => "read",
            Self::Validate => "validate",
            Self::Version => "version",
            Self::Trust => "trust",
            Self::Compile => "compile",
            Self::Link => "link",
            Self::Describe => "describe",
            Self::Settings => "settings",
            Self::Golden => "golden",
            Self::Rehearse => "rehearse",
        }
    }
}

/// Why a component does not serve.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {reason}", .stage.as_str())]
pub(super) struct LoadError {
    pub(super) stage: Stage,
    pub(super) reason: String,
    /// The file ends too early: it is probably still being written.
    pub(super) truncated: bool,
}

impl LoadError {
    pub(super) fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Self {
            stage,
            reason: reason.into(),
            truncated: false,
        }
    }
}

/// Something that may become a generation.
pub(super) struct Candidate {
    pub(super) name: Arc<str>,
    pub(super) spec: PolicySpec,
    pub(super) builtin: bool,
    pub(super) bytes: Cow<'static, [u8]>,
    pub(super) digest: String,
}

impl Candidate {
    pub(super) fn new(
        name: &str,
        spec: PolicySpec,
        builtin: bool,
        bytes: Cow<'static, [u8]>,
    ) -> Self {
        let digest = hex(&Sha256::digest(&bytes));
        Self {
            name: name.into(),
            spec,
            builtin,
            bytes,
            digest,
        }
    }

    /// The same for the same content under the same settings.
    pub(super) fn key(&self) -> String {
        let spec = serde_json::to_vec(&self.spec).unwrap_or_default();
        format!("{}:{}", self.digest, hex(&Sha256::digest(spec)))
    }
}

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
    /// Takes a candidate through all steps: what came from outside first in a process of its own, so that what it costs
    /// is bounded. `predecessor`: the generation that it would replace.
    pub(super) fn load(
        &self,
        candidate: &Candidate,
        number: u32,
        predecessor: Option<&Arc<Generation>>,
    ) -> Result<Generation, LoadError> {
        if !candidate.builtin {
            apart::judge(self, candidate)?;
        }
        self.load_here(candidate, number, predecessor)
    }

    /// All steps, in this process.
    pub(super) fn load_here(
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
        stage.golden(&inspection)?;
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
        let mut grants = match &candidate.spec.grants {
            Some(grants) => grants.clone(),
            None if candidate.builtin => Grants {
                actions: Vec::new(),
                ..Grants::directory()
            },
            None => self.default_grants.clone(),
        };
        grants.links_asking = candidate.builtin;
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
    Ok(Arc::new(loader.load_here(&candidate, 1, None)?))
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

/// Judges settings under the policy's own schema. Regular expressions in it run in linear time: the schema is the guest's.
fn check_settings(schema: &str, settings: &serde_json::Value) -> Result<(), LoadError> {
    if schema.is_empty() {
        return Ok(());
    }
    let schema: serde_json::Value = serde_json::from_str(schema).map_err(|e| {
        LoadError::new(
            Stage::Describe,
            format!("its settings schema is not JSON: {e}"),
        )
    })?;
    let validator = jsonschema::options()
        .with_pattern_options(PatternOptions::regex())
        .build(&schema)
        .map_err(|e| {
            LoadError::new(
                Stage::Describe,
                format!("its settings schema is not a JSON Schema: {e}"),
            )
        })?;
    let errors: Vec<String> = validator
        .iter_errors(settings)
        .take(5)
        .map(|error| setting(&schema, &error))
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(LoadError::new(Stage::Settings, errors.join("; ")))
    }
}

/// What is wrong with one setting: its path, then what, then which ones there are.
fn setting(schema: &serde_json::Value, error: &jsonschema::ValidationError<'_>) -> String {
    let path = error.instance_path().as_str().replace('/', ".");
    let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() else {
        return format!("`settings{path}`: {error}");
    };
    let keyword = error.schema_path().as_str();
    let known: Vec<&str> = keyword
        .rsplit_once('/')
        .and_then(|(object, _)| schema.pointer(object)?.get("properties")?.as_object())
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let name = unexpected.first().map_or("", String::as_str);
    let advice = advice::unknown("setting", name, known.iter().copied());
    let rest = if advice.ends_with('?') {
        format!(" There are {}.", known.join(", "))
    } else {
        String::new()
    };
    format!("`settings{path}.{name}`: {advice}{rest}")
}

/// A component in throwaway instances, under the limits that it will serve under.
struct Trial<'a> {
    candidate: &'a Candidate,
    program: &'a Program,
    grants: Arc<Grants>,
    gate: &'a Arc<LogGate>,
    limits: &'a Limits,
}

impl Trial<'_> {
    fn instance(&self, facts: &Arc<types::Facts>, services: Services) -> Result<Instance, Fault> {
        let host = Host::new(
            Arc::clone(&self.candidate.name),
            Arc::clone(facts),
            services,
            Arc::clone(&self.grants),
            self.candidate.spec.ask_quota,
            Arc::clone(self.gate),
            self.limits,
        );
        self.program.instantiate(host, self.limits)
    }

    fn describe(&self) -> Result<(Instance, types::Description), LoadError> {
        let instance = self
            .instance(&Arc::new(trial_facts()), Services::none())
            .map_err(|fault| {
                // Types are compared when the exports are looked up: what does not match is not this contract.
                let stage = if fault.kind == FaultKind::Malformed {
                    Stage::Link
                } else {
                    Stage::Describe
                };
                LoadError::new(stage, fault.to_string())
            })?;
        let (instance, description) = instance
            .describe()
            .map_err(|fault| LoadError::new(Stage::Describe, fault.to_string()))?;
        answers::description(&description).map_err(|e| LoadError::new(Stage::Describe, e))?;
        Ok((instance, description))
    }

    fn configure(
        &self,
        instance: Instance,
        settings: &str,
    ) -> Result<types::Subscription, LoadError> {
        let (_, answer) = instance
            .configure(settings)
            .map_err(|fault| LoadError::new(Stage::Settings, fault.to_string()))?;
        answer.map_err(|e| LoadError::new(Stage::Settings, e))
    }

    fn golden(&self, inspection: &Inspection) -> Result<(), LoadError> {
        let Some(cases) = &inspection.golden else {
            return Ok(());
        };
        let make = |facts: types::Facts, content: golden::Content| {
            self.instance(
                &Arc::new(facts),
                Services {
                    content: Arc::new(content),
                    ..Services::none()
                },
            )
        };
        // What a policy says of made-up cases would read in the operator's log as if it had happened.
        let silence = tracing::subscriber::NoSubscriber::default();
        tracing::subscriber::with_default(silence, || {
            golden::run(&self.candidate.name, cases, &make)
        })
        .map_err(|e| LoadError::new(Stage::Golden, e))
    }

    /// Opens and saves a session, then repeats what the predecessor was told last. A verdict may differ; a failure may not.
    fn rehearse(
        &self,
        settings: &str,
        predecessor: Option<&Arc<Generation>>,
    ) -> Result<(), LoadError> {
        let failed = |fault: Fault| LoadError::new(Stage::Rehearse, fault.to_string());
        let open = |facts: &Arc<types::Facts>| {
            self.instance(facts, Services::none())
                .and_then(|instance| instance.open(settings, None))
                .map_err(failed)
        };
        let (_, saved) = open(&Arc::new(trial_facts()))?.save().map_err(failed)?;
        let (reasoning, acting) = saved.map_err(|e| {
            LoadError::new(
                Stage::Rehearse,
                format!("it refused to save a new session: {e}"),
            )
        })?;
        let (bytes, most) = (
            reasoning.len().max(acting.len()),
            self.limits.state_kib as usize * 1024,
        );
        if bytes > most {
            return Err(LoadError::new(
                Stage::Rehearse,
                format!(
                    "a new session is saved in {bytes} bytes where `limits.state_kib` allows {most}"
                ),
            ));
        }
        let mut session: Option<(Arc<types::Facts>, Instance)> = None;
        for (facts, told) in predecessor.map(|p| p.recent()).unwrap_or_default() {
            let instance = match session.take() {
                Some((open, instance)) if Arc::ptr_eq(&open, &facts) => instance,
                _ => open(&facts)?,
            };
            let instance = self.repeat(instance, &told).map_err(failed)?;
            session = Some((facts, instance));
        }
        Ok(())
    }

    fn repeat(&self, instance: Instance, told: &Told) -> Result<Instance, Fault> {
        let malformed = |e| Fault::new(FaultKind::Malformed, e);
        match told {
            Told::Batch(batch) if self.program.reasons() => {
                let (instance, answer) = instance.observe(batch, Some(Vec::new()))?;
                answers::assessment(&answer, batch, self.limits).map_err(malformed)?;
                Ok(instance)
            }
            Told::Situation(situation) if self.program.acts() => {
                let (instance, answer) = instance.decide(situation, Some(Vec::new()))?;
                answers::decision(&answer, self.limits).map_err(malformed)?;
                Ok(instance)
            }
            _ => Ok(instance),
        }
    }
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

fn trial_facts() -> types::Facts {
    types::Facts {
        tenant: "rehearsal".into(),
        principal: "rehearsal".into(),
        session: "rehearsal".into(),
        seed: 1,
        started: 0,
        extra: Vec::new(),
    }
}

fn now_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|d| u64::try_from(d.as_micros()).ok())
        .unwrap_or(0)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
            let _ = write!(out, "{b:02x}");
            out
        })
}
