//! A world in which rules are evaluated, and rows as they stand in a file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::super::moment::{Moment, Subject, Told};
use super::super::row::RuleConfig;
use super::super::{Judged, RuleError, Rules, Standing};
use crate::event::Micros;
use crate::event::declared::{Declared, Risk};
use crate::observe::vitals::{SessionVitals, Vitals};
use airlock_policy::contract::types::{self as wit, Checkpoint, Facts, Finding, Severity};

#[derive(Deserialize)]
struct File {
    rule: Vec<RuleConfig>,
}

/// Rules as they stand in a file.
pub fn rows(text: &str) -> Vec<RuleConfig> {
    let mut rows = toml::from_str::<File>(text).unwrap().rule;
    for (n, row) in rows.iter_mut().enumerate() {
        row.number(n + 1);
    }
    rows
}

pub fn row(when: &str, rest: &str) -> String {
    format!("[[rule]]\nwhen = {}\n{rest}\n", toml::Value::from(when))
}

pub fn rules(text: &str) -> Rules {
    Rules::compile(&rows(text)).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
}

pub fn mistake(when: &str) -> RuleError {
    match Rules::compile(&rows(&row(when, "do = \"annotate\""))) {
        Ok(_) => panic!("`{when}` was taken"),
        Err(errors) => errors.into_iter().next().unwrap(),
    }
}

/// A world in which rules are evaluated.
pub struct Stage {
    pub vitals: Vitals,
    pub facts: Facts,
    pub declared: Declared,
    pub findings: Vec<Told>,
    pub tools: Vec<String>,
    pub standing: Standing,
    pub session: HashMap<Arc<str>, bool>,
    pub now: Micros,
}

impl Stage {
    pub fn new() -> Self {
        let session = SessionVitals {
            exchanges: 2,
            tokens: 700,
            tools: (5, 3, 2),
            ..SessionVitals::default()
        };
        Self {
            vitals: Vitals::new(1_000_000, session),
            facts: Facts {
                parent: String::new(),
                tenant: "acme".into(),
                principal: "ci".into(),
                session: "00".repeat(16),
                seed: 7,
                started: 0,
                extra: vec![],
            },
            declared: Declared {
                subtask: Some("search".into()),
                risk: Some(Risk::High),
                deadline: Some(Duration::from_millis(1500)),
                ..Declared::default()
            },
            findings: vec![],
            tools: vec!["shell".into(), "web".into()],
            standing: Standing::default(),
            session: Default::default(),
            now: 3_000_000,
        }
    }

    pub fn judge(&mut self, rules: &Rules, checkpoint: Checkpoint, subjects: &[Subject]) -> Judged {
        let moment = Moment {
            checkpoint,
            now: self.now,
            vitals: &self.vitals,
            facts: &self.facts,
            declared: &self.declared,
            model: "sim-1",
            upstream: "sim",
            streamed: true,
            tools: &self.tools,
            messages: 4,
            input_tokens: 120,
            findings: &self.findings,
        };
        let session = &mut self.session;
        rules.judge(&mut self.standing, &moment, subjects, |name, holds| {
            let before = session.insert(Arc::clone(name), holds);
            holds && before != Some(true)
        })
    }

    /// Names of the actions that are ordered.
    pub fn ordered(
        &mut self,
        rules: &Rules,
        checkpoint: Checkpoint,
        subjects: &[Subject],
    ) -> Vec<String> {
        let judged = self.judge(rules, checkpoint, subjects);
        assert!(judged.faults.is_empty(), "{:?}", judged.faults);
        judged
            .orders
            .iter()
            .map(|order| crate::act::name::name(&order.action).to_owned())
            .collect()
    }
}

pub fn call(arguments: &str) -> Subject {
    Subject::Call {
        id: "c1".into(),
        name: "shell".into(),
        arguments: Some(arguments.into()),
    }
}

pub fn result(failed: bool) -> Subject {
    Subject::Result {
        id: "c1".into(),
        name: "shell".into(),
        failed,
        duration: 20_000,
    }
}

pub fn told(severity: Severity, observed: bool) -> Told {
    Told {
        policy: "pii".into(),
        observed,
        finding: Finding {
            kind: "pii.email".into(),
            severity,
            confidence: 0.9,
            summary: "an address".into(),
            subject: wit::Subject::Session,
            evidence: vec![],
            data: String::new(),
        },
    }
}
