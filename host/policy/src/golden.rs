//! Golden cases: what a policy's author says that it must answer. They come inside the component, and a generation that
//! does not pass its own does not serve.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use airlock_golden::{Case, Subject, wit_json};
use serde_json::Value;

use super::fault::Fault;
use super::program::Instance;
use super::services::{Ask, Asker, ContentSource};
use crate::contract::types;

/// What `content.read` finds in a case.
pub(super) struct Content(BTreeMap<u64, String>);

impl ContentSource for Content {
    fn read(&self, id: u64, offset: u64, len: u32) -> Option<Vec<u8>> {
        let text = self.0.get(&id)?.as_bytes();
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(text.len());
        let end = start.saturating_add(len as usize).min(text.len());
        text.get(start..end).map(<[u8]>::to_vec)
    }
}

/// Takes every question and answers none: tickets 1, 2, ... of one session, as in the SDK's native tests.
#[derive(Default)]
pub(super) struct Tickets(AtomicU64);

impl Asker for Tickets {
    fn ask(&self, _: Ask<'_>) -> Result<u64, types::Refusal> {
        Ok(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// Makes an instance for a case's session.
pub(super) type Make<'a> = dyn Fn(types::Facts, Content) -> Result<Instance, Fault> + 'a;

/// Runs all cases of the section; the error names the first that does not hold.
pub(super) fn run(name: &Arc<str>, section: &[u8], make: &Make<'_>) -> Result<(), String> {
    let cases: Vec<Case> = serde_json::from_slice(section).map_err(|e| {
        format!(
            "the section `{}` does not decode: {e}",
            airlock_golden::SECTION
        )
    })?;
    for case in cases {
        let mut trial = Trial {
            name,
            make,
            instance: None,
        };
        airlock_golden::run(&case, &mut trial).map_err(|e| e.to_string())?;
    }
    Ok(())
}

struct Trial<'a> {
    name: &'a Arc<str>,
    make: &'a Make<'a>,
    instance: Option<Instance>,
}

impl Trial<'_> {
    fn take(&mut self) -> Result<Instance, String> {
        self.instance
            .take()
            .ok_or_else(|| "no session is open: an earlier call failed".into())
    }
}

impl Subject for Trial<'_> {
    fn name(&self) -> String {
        self.name.to_string()
    }

    fn configure(&mut self, settings: &str) -> Result<Vec<String>, String> {
        let facts = wit_json::from_value(&Value::Object(serde_json::Map::new()))
            .map_err(|e| e.to_string())?;
        let instance = (self.make)(facts, Content(BTreeMap::new())).map_err(|e| e.to_string())?;
        let (_, subscription) = instance.configure(settings).map_err(|e| e.to_string())?;
        Ok(subscription?.findings)
    }

    fn open(
        &mut self,
        facts: &Value,
        settings: &str,
        content: &BTreeMap<u64, String>,
    ) -> Result<(), String> {
        let facts = wit_json::from_value(facts).map_err(|e| format!("facts: {e}"))?;
        let instance = (self.make)(facts, Content(content.clone())).map_err(|e| e.to_string())?;
        self.instance = Some(instance.open(settings, None).map_err(|e| e.to_string())?);
        Ok(())
    }

    fn observe(&mut self, batch: &Value) -> Result<Option<Value>, String> {
        let instance = self.take()?;
        if !instance.reasons() {
            self.instance = Some(instance);
            return Ok(None);
        }
        let batch: types::Batch = wit_json::from_value(batch).map_err(|e| format!("batch: {e}"))?;
        let (instance, answer) = instance.observe(&batch, None).map_err(|e| e.to_string())?;
        self.instance = Some(instance);
        wit_json::to_value(&answer)
            .map(Some)
            .map_err(|e| e.to_string())
    }

    fn decide(&mut self, situation: &Value) -> Result<Option<Value>, String> {
        let instance = self.take()?;
        if !instance.acts() {
            self.instance = Some(instance);
            return Ok(None);
        }
        let situation: types::Situation =
            wit_json::from_value(situation).map_err(|e| format!("situation: {e}"))?;
        let (instance, answer) = instance
            .decide(&situation, None)
            .map_err(|e| e.to_string())?;
        self.instance = Some(instance);
        wit_json::to_value(&answer)
            .map(Some)
            .map_err(|e| e.to_string())
    }
}
