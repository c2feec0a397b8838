//! A component tried in throwaway instances: what it says of itself, golden cases, and what its predecessor was told.

use std::sync::Arc;

use crate::candidate::Candidate;
use crate::contract::types;
use crate::error::{LoadError, Stage};
use crate::fault::{Fault, FaultKind};
use crate::generation::{Generation, Told};
use crate::host::{Host, LogGate};
use crate::inspect::Inspection;
use crate::limits::Limits;
use crate::program::{Instance, Program};
use crate::services::Services;
use crate::spec::Grants;
use crate::{answers, golden};

/// A component in throwaway instances, under the limits that it will serve under.
pub(super) struct Trial<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) program: &'a Program,
    pub(super) grants: Arc<Grants>,
    pub(super) gate: &'a Arc<LogGate>,
    pub(super) limits: &'a Limits,
}

impl Trial<'_> {
    fn instance(&self, facts: &Arc<types::Facts>, services: Services) -> Result<Instance, Fault> {
        self.granted(&self.grants, facts, services)
    }

    fn granted(
        &self,
        grants: &Arc<Grants>,
        facts: &Arc<types::Facts>,
        services: Services,
    ) -> Result<Instance, Fault> {
        let host = Host::new(
            Arc::clone(&self.candidate.name),
            Arc::clone(facts),
            services,
            Arc::clone(grants),
            self.candidate.spec.ask_quota,
            Arc::clone(self.gate),
            self.limits,
        );
        self.program.instantiate(host, self.limits)
    }

    pub(super) fn describe(&self) -> Result<(Instance, types::Description), LoadError> {
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

    pub(super) fn configure(
        &self,
        instance: Instance,
        settings: &str,
    ) -> Result<types::Subscription, LoadError> {
        let (_, answer) = instance
            .configure(settings)
            .map_err(|fault| LoadError::new(Stage::Settings, fault.to_string()))?;
        answer.map_err(|e| LoadError::new(Stage::Settings, e))
    }

    /// Runs the golden cases. They show what the policy does when it is given what it asks for; what the operator grants is
    /// another matter. Nothing real is touched: content comes from the case, and nobody answers.
    pub(super) fn golden(
        &self,
        inspection: &Inspection,
        description: &types::Description,
    ) -> Result<(), LoadError> {
        let Some(cases) = &inspection.golden else {
            return Ok(());
        };
        let mut grants = (*self.grants).clone();
        grants.content = true;
        grants.asks.extend_from_slice(&description.asks);
        let grants = Arc::new(grants);
        let make = |facts: types::Facts, content: golden::Content| {
            let services = Services {
                content: Arc::new(content),
                asks: Arc::new(golden::Tickets::default()),
            };
            self.granted(&grants, &Arc::new(facts), services)
        };
        // What a policy says of made-up cases would read in the operator's log as if it had happened.
        let silence = tracing::subscriber::NoSubscriber::default();
        tracing::subscriber::with_default(silence, || {
            golden::run(&self.candidate.name, cases, &make)
        })
        .map_err(|e| LoadError::new(Stage::Golden, e))
    }

    /// Opens and saves a session, then repeats what the predecessor was told last. A verdict may differ; a failure may not.
    pub(super) fn rehearse(
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
        let memory = saved.map_err(|e| {
            LoadError::new(
                Stage::Rehearse,
                format!("it refused to save a new session: {e}"),
            )
        })?;
        let (bytes, most) = (memory.len(), self.limits.state_kib as usize * 1024);
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

fn trial_facts() -> types::Facts {
    types::Facts {
        tenant: "rehearsal".into(),
        principal: "rehearsal".into(),
        session: "rehearsal".into(),
        parent: String::new(),
        seed: 1,
        started: 0,
        extra: Vec::new(),
    }
}
