//! The values that a condition asks for, at one moment. Each is made only when it is asked for.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;

use super::inputs::{FINDING, INPUTS, Kind, Source};
use super::json;
use super::pattern::Pattern;
use crate::event::Micros;
use crate::event::declared::Declared;
use crate::observe::vitals::Vitals;
use crate::reason::order::{checkpoint_name, severity_name};
use airlock_policy::contract::types::{Checkpoint, Facts, Failure, Finding};

/// What there is to ask for, but for the event.
#[derive(Debug)]
pub struct Moment<'a> {
    /// Why rules are evaluated.
    pub checkpoint: Checkpoint,
    /// When.
    pub now: Micros,
    /// What is measured.
    pub vitals: &'a Vitals,
    /// The session.
    pub facts: &'a Facts,
    /// What the request declares.
    pub declared: &'a Declared,
    /// Model, as it goes upstream.
    pub model: &'a str,
    /// Name of the upstream; empty before it is chosen.
    pub upstream: &'a str,
    /// Whether the client asked for a stream.
    pub streamed: bool,
    /// Names of the tools offered.
    pub tools: &'a [String],
    /// Messages in the request.
    pub messages: usize,
    /// Prompt tokens, estimated.
    pub input_tokens: u32,
    /// What policies found at this checkpoint.
    pub findings: &'a [Told],
}

/// A finding as rules are told it.
#[derive(Clone, Debug)]
pub struct Told {
    /// Policy that found it.
    pub policy: String,
    /// Whether that policy only observes.
    pub observed: bool,
    /// What it found.
    pub finding: Finding,
}

/// The one event that a rule is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A complete tool call.
    Call {
        /// The vendor's id.
        id: String,
        /// Name of the tool.
        name: String,
        /// Arguments, whole; `None`: too much to have been kept, and so nothing that a rule can judge.
        arguments: Option<Arc<str>>,
    },
    /// The result of a tool call.
    Result {
        /// The vendor's id of the call.
        id: String,
        /// Name of the tool.
        name: String,
        /// Whether it states a failure.
        failed: bool,
        /// From the release of the call, us.
        duration: u64,
    },
    /// A failed call.
    Failure(Failure),
}

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

/// Values of the right kinds, to try a condition with.
pub struct Sample<'a> {
    /// Whether everything is known, or as little as possible.
    pub full: bool,
    /// Compiled patterns.
    pub patterns: &'a [Pattern],
}

impl VariableResolver for Sample<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        match split(name)? {
            ('#', index) => {
                let input = INPUTS.get(index)?;
                (self.full || !input.maybe)
                    .then(|| CowVal::Owned(sample(&(input.kind)(), self.full)))
            }
            ('?', index) => Some(truth(self.full || !INPUTS.get(index)?.maybe)),
            ('~', index) => Some(CowVal::Borrowed(self.patterns.get(index)?)),
            _ => None,
        }
    }
}

fn sample(kind: &Kind, full: bool) -> Box<dyn Val> {
    match kind {
        Kind::Bool => Box::new(CelBool::from(true)),
        Kind::Int => Box::new(CelInt::from(1)),
        Kind::Double => Box::new(CelDouble::from(1.0)),
        Kind::Text => Box::new(CelString::from("sample".to_owned())),
        Kind::List(kind) if full => Box::new(CelList::from(vec![sample(kind, full)])),
        Kind::List(_) => Box::new(CelList::from(Vec::new())),
        Kind::Finding => map(FINDING
            .iter()
            .map(|(name, kind)| (*name, sample(&kind(), full)))),
        Kind::Json => map(std::iter::empty()),
        Kind::Null => Box::new(CelNull),
    }
}

/// The names that `compile` makes: a mark and an index.
fn split(name: &str) -> Option<(char, usize)> {
    let mark = name.chars().next().filter(char::is_ascii)?;
    Some((mark, name.get(1..)?.parse().ok()?))
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

fn map<'k>(entries: impl IntoIterator<Item = (&'k str, Box<dyn Val>)>) -> Box<dyn Val> {
    let entries: HashMap<CelMapKey<'static>, Box<dyn Val>> = entries
        .into_iter()
        .map(|(name, value)| (CelMapKey::from(name.to_owned()), value))
        .collect();
    Box::new(CelMap::from(entries))
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

fn number<'b, 'v>(value: f64) -> CowVal<'b, 'v> {
    CowVal::owned(CelDouble::from(value))
}

fn whole<'b, 'v>(value: impl Into<i64>) -> CowVal<'b, 'v> {
    CowVal::owned(CelInt::from(value.into()))
}

fn text<'b, 'v>(value: &'v str) -> CowVal<'b, 'v> {
    CowVal::owned(CelString::from(value))
}

fn truth<'b, 'v>(value: bool) -> CowVal<'b, 'v> {
    CowVal::owned(CelBool::from(value))
}
