//! The values that a condition asks for, at one moment. Each is made only when it is asked for.

use airlock_policy::contract::types::Failure;
use std::sync::OnceLock;

use cel::common::types::{CelDouble, CelInt, CelList, CelString};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::inputs::{INPUTS, Source};
use super::json;
pub use super::moment::{Moment, Subject, Told};
use super::pattern::Pattern;
use super::value::{map, number, split, text, truth, whole};
use crate::reason::order::{checkpoint_name, severity_name};

/// A moment as one rule sees it.
pub struct View<'a> {
    /// What there is.
    pub moment: &'a Moment<'a>,
    /// The event at hand.
    pub subject: Option<&'a Subject>,
    /// Compiled patterns of all rules.
    pub patterns: &'a [Pattern],
    /// Whether findings of policies that only observe are shown: only to rules that only observe.
    pub observing: bool,
    findings: OnceLock<CelList<'static>>,
    arguments: OnceLock<Option<Box<dyn Val>>>,
}

impl<'a> View<'a> {
    /// What a rule sees.
    pub fn new(
        moment: &'a Moment<'a>,
        subject: Option<&'a Subject>,
        patterns: &'a [Pattern],
        observing: bool,
    ) -> Self {
        Self {
            moment,
            subject,
            patterns,
            observing,
            findings: OnceLock::new(),
            arguments: OnceLock::new(),
        }
    }

    /// Findings that this rule may see.
    pub fn has_findings(&self) -> bool {
        self.told().next().is_some()
    }

    fn told(&self) -> impl Iterator<Item = &'a Told> {
        let observing = self.observing;
        self.moment
            .findings
            .iter()
            .filter(move |told| observing || !told.observed)
    }

    fn value(&self, source: Source) -> Option<CowVal<'_, '_>> {
        let m = self.moment;
        Some(match source {
            Source::Vital(id) => number(m.vitals.value(id, m.now)?),
            Source::Tenant => text(&m.facts.tenant),
            Source::Principal => text(&m.facts.principal),
            Source::SessionId => text(&m.facts.session),
            Source::Exchanges => whole(m.vitals.session.exchanges),
            Source::Task => text(m.declared.task.as_deref()?),
            Source::Subtask => text(m.declared.subtask.as_deref()?),
            Source::Risk => text(m.declared.risk?.as_str()),
            Source::RiskRank => whole(m.declared.risk? as u8),
            Source::DeadlineMs => number(m.declared.deadline?.as_secs_f64() * 1e3),
            Source::Model => text(m.model),
            Source::Upstream => text(m.upstream),
            Source::Streamed => truth(m.streamed),
            Source::Tools => CowVal::owned(CelList::from(
                m.tools
                    .iter()
                    .map(|name| Box::new(CelString::from(name.as_str())) as Box<dyn Val + '_>)
                    .collect::<Vec<_>>(),
            )),
            Source::Messages => whole(m.messages as u32),
            Source::InputTokens => whole(m.input_tokens),
            Source::Findings => CowVal::Borrowed(self.findings.get_or_init(|| {
                CelList::from(self.told().map(|told| finding(told)).collect::<Vec<_>>())
            })),
            Source::ToolName => match self.subject? {
                Subject::Call { name, .. } | Subject::Result { name, .. } => text(name),
                Subject::Failure(_) => return None,
            },
            Source::ToolArguments => match self.subject? {
                Subject::Call { arguments, .. } => CowVal::Borrowed(
                    self.arguments
                        .get_or_init(|| json::parse(arguments.as_deref()?))
                        .as_deref()?,
                ),
                _ => return None,
            },
            Source::ToolFailed => match self.subject? {
                Subject::Result { failed, .. } => truth(*failed),
                _ => return None,
            },
            Source::ToolDuration => match self.subject? {
                Subject::Result { duration, .. } => number(*duration as f64),
                _ => return None,
            },
            Source::FailureKind => text(failure_name(self.failure()?)),
            Source::FailureStatus => whole(self.failure()?.status),
            Source::FailureRetryable => truth(self.failure()?.retryable),
            Source::Checkpoint => text(checkpoint_name(m.checkpoint)),
        })
    }

    fn failure(&self) -> Option<&Failure> {
        match self.subject? {
            Subject::Failure(failure) => Some(failure),
            _ => None,
        }
    }
}

impl VariableResolver for View<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        match split(name)? {
            ('#', index) => self.value(INPUTS.get(index)?.source),
            ('?', index) => Some(truth(self.value(INPUTS.get(index)?.source).is_some())),
            ('~', index) => Some(CowVal::Borrowed(self.patterns.get(index)?)),
            _ => None,
        }
    }
}

fn finding(told: &Told) -> Box<dyn Val> {
    let text = |text: &str| Box::new(CelString::from(text.to_owned())) as Box<dyn Val>;
    let f = &told.finding;
    map([
        ("policy", text(&told.policy)),
        ("kind", text(&f.kind)),
        ("severity", text(severity_name(f.severity))),
        (
            "severity_rank",
            Box::new(CelInt::from(f.severity as i64)) as _,
        ),
        (
            "confidence",
            Box::new(CelDouble::from(f64::from(f.confidence))) as _,
        ),
        ("summary", text(&f.summary)),
    ])
}

fn failure_name(failure: &Failure) -> &'static str {
    use airlock_policy::contract::types::FailureKind as Kind;
    match failure.kind {
        Kind::Upstream => "upstream",
        Kind::Timeout => "timeout",
        Kind::RateLimit => "rate-limit",
        Kind::Overloaded => "overloaded",
        Kind::ContextLength => "context-length",
        Kind::Cancelled => "cancelled",
        Kind::Tool => "tool",
        Kind::Connection => "connection",
        Kind::Policy => "policy",
        Kind::Other => "other",
    }
}
