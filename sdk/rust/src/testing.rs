//! Runs a policy natively, without Wasm and without a host.
//!
//! Two ways. Golden cases are data, which the host rehearses through Wasm too:
//!
//! ```ignore
//! #[test]
//! fn golden() {
//!     airlock_sdk::testing::golden_policy::<ToolWatch>(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
//! }
//! ```
//!
//! A [`Session`] is called step by step, with batches written as the calls of golden cases:
//!
//! ```ignore
//! let mut session = Session::<ToolWatch>::start(&json!({}))?;
//! let assessment = session.observe(&json!({
//!     "checkpoint": "tool-result",
//!     "events": [{ "kind": "tool-result", "detail": { "tool-result": { "name": "search", "failed": true } } }],
//! }))?;
//! ```
//!
//! What stands in for the host keeps state, serves content and numbers tickets from 1, for each thread. It knows no
//! grants and no limits; those are tested through Wasm.

use std::{collections::BTreeMap, fs, path::Path};

use airlock_golden::{Call, Case, wit_json};
use serde_json::{Value, json};

use crate::{
    Actuator, Batch, Policy, Reasoner, Situation, glue,
    types::{Assessment, Decision, Level, ReportedFinding},
};

pub(crate) mod host;
#[cfg(test)]
mod tests;

/// Runs every `*.json` of a directory as a golden case of a reasoner.
///
/// # Panics
/// If a case does not hold, or there is none.
pub fn golden_reasoner<T: Reasoner>(directory: impl AsRef<Path>) {
    golden::<T>(directory.as_ref(), Some(observe), None);
}

/// Runs every `*.json` of a directory as a golden case of an actuator.
///
/// # Panics
/// If a case does not hold, or there is none.
pub fn golden_actuator<T: Actuator>(directory: impl AsRef<Path>) {
    golden::<T>(directory.as_ref(), None, Some(decide));
}

/// Runs every `*.json` of a directory as a golden case of a policy that is both.
///
/// # Panics
/// If a case does not hold, or there is none.
pub fn golden_policy<T: Reasoner + Actuator>(directory: impl AsRef<Path>) {
    golden::<T>(directory.as_ref(), Some(observe), Some(decide));
}

/// One session of a policy.
pub struct Session<T> {
    policy: T,
    facts: Value,
    settings: String,
}

impl<T: Policy> Session<T> {
    /// Begins a session under settings, on a host that remembers nothing.
    ///
    /// # Errors
    /// What `configure` or `start` says.
    pub fn start(settings: &Value) -> Result<Self, String> {
        host::reset();
        let settings = settings.to_string();
        glue::configure::<T>(&settings)?;
        let facts = json!({});
        Ok(Self {
            policy: start(&facts, &settings, None)?,
            facts,
            settings,
        })
    }

    /// Saves and restores the session, as hibernation, a reload or a move does.
    ///
    /// # Errors
    /// What `migrate` or `start` says.
    pub fn restart(self) -> Result<Self, String> {
        let saved = glue::save(&self.policy)?;
        let policy = start(&self.facts, &self.settings, Some((T::STATE_SCHEMA, &saved)))?;
        Ok(Self { policy, ..self })
    }

    /// The policy itself.
    pub fn policy(&self) -> &T {
        &self.policy
    }
}

impl<T: Reasoner> Session<T> {
    /// Calls the reasoner with a batch, written as a call of a golden case.
    ///
    /// # Errors
    /// What is wrong with the JSON, or what `observe` says.
    pub fn observe(&mut self, call: &Value) -> Result<Assessment, String> {
        self.policy.observe(&batch(call)?)
    }
}

impl<T: Actuator> Session<T> {
    /// Calls the actuator with findings and the batch that they were drawn from.
    ///
    /// # Errors
    /// What is wrong with the JSON, or what `decide` says.
    pub fn decide(
        &mut self,
        findings: Vec<ReportedFinding>,
        call: &Value,
    ) -> Result<Decision, String> {
        self.policy.decide(&Situation {
            findings,
            batch: batch(call)?,
        })
    }
}

/// A batch from JSON in the form of a golden case's call.
///
/// # Errors
/// What is wrong with the JSON.
pub fn batch(call: &Value) -> Result<Batch, String> {
    let call: Call = serde_json::from_value(call.clone()).map_err(text)?;
    Ok(Batch::new(
        wit_json::from_value(&call.to_value()?).map_err(text)?,
    ))
}

/// What the policies of this thread logged since the last session was begun.
pub fn logged() -> Vec<(Level, String)> {
    host::logged()
}

fn golden<T: Policy>(directory: &Path, observe: Option<Half<T>>, decide: Option<Half<T>>) {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{}: {error}", directory.display()))
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    assert!(
        !files.is_empty(),
        "{}: no golden cases",
        directory.display()
    );
    for file in files {
        let text =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let case: Case = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut native = Native::<T> {
            policy: None,
            observe,
            decide,
        };
        airlock_golden::run(&case, &mut native)
            .unwrap_or_else(|failure| panic!("{}: {failure}", file.display()));
    }
}

/// Calls one half of a policy, in JSON.
type Half<T> = fn(&mut T, &Value) -> Result<Value, String>;

/// A policy as golden cases see it: one value for all that it is, as under the host.
struct Native<T> {
    policy: Option<T>,
    observe: Option<Half<T>>,
    decide: Option<Half<T>>,
}

impl<T: Policy> airlock_golden::Subject for Native<T> {
    fn name(&self) -> String {
        T::describe().name
    }

    fn configure(&mut self, settings: &str) -> Result<Vec<String>, String> {
        Ok(glue::configure::<T>(settings)?.findings)
    }

    fn open(
        &mut self,
        facts: &Value,
        settings: &str,
        content: &BTreeMap<u64, String>,
    ) -> Result<(), String> {
        host::reset();
        host::serve(content);
        self.policy = Some(start(facts, settings, None)?);
        Ok(())
    }

    fn observe(&mut self, batch: &Value) -> Result<Option<Value>, String> {
        self.call(self.observe, batch)
    }

    fn decide(&mut self, situation: &Value) -> Result<Option<Value>, String> {
        self.call(self.decide, situation)
    }
}

impl<T> Native<T> {
    fn call(&mut self, half: Option<Half<T>>, argument: &Value) -> Result<Option<Value>, String> {
        match (half, &mut self.policy) {
            (Some(half), Some(policy)) => half(policy, argument).map(Some),
            _ => Ok(None),
        }
    }
}

fn observe<T: Reasoner>(policy: &mut T, batch: &Value) -> Result<Value, String> {
    let batch = Batch::new(wit_json::from_value(batch).map_err(text)?);
    wit_json::to_value(&policy.observe(&batch)?).map_err(text)
}

fn decide<T: Actuator>(policy: &mut T, situation: &Value) -> Result<Value, String> {
    let situation = Situation::new(wit_json::from_value(situation).map_err(text)?);
    wit_json::to_value(&policy.decide(&situation)?).map_err(text)
}

fn start<T: Policy>(
    facts: &Value,
    settings: &str,
    saved: Option<(u32, &[u8])>,
) -> Result<T, String> {
    glue::start(wit_json::from_value(facts).map_err(text)?, settings, saved)
}

fn text(error: serde_json::Error) -> String {
    error.to_string()
}
