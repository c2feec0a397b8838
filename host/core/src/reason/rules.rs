//! Rules without Wasm: the operator's `[[rule]]` rows, compiled once for each configuration and evaluated at checkpoints.
//!
//! Guarantees: what compiles was checked whole (`check`), costs a bounded time to evaluate (no loop within a loop, patterns
//! compiled and bounded at load, JSON bounded), and cannot panic the process. An evaluation that fails is a fact on the
//! timeline. A rule that is closed then keeps from passing what it could not judge: that tool call, that result, else the
//! exchange. Rules that forbid are closed unless they say `on_failure = "open"`, since who writes the arguments of a call
//! (the model, or whoever steers it) could else choose to be judged by none; of the others it counts as not holding.
//!
//! When a rule fires: one that asks for a tool call, a tool result or a failure, for each of them; one that asks for
//! findings, at each checkpoint that has some; any other when its condition begins to hold, as thresholds of policies do. It
//! begins anew in each exchange, unless everything that it asks for belongs to the session and what it does outlasts the
//! exchange: then once in the session.

pub mod check;
pub mod compile;
mod evaluation;
pub mod inputs;
mod json;
mod judged;
pub mod kind;
pub mod moment;
mod pattern;
pub mod points;
pub mod reaction;
pub mod row;
mod rule;
mod sample;
#[cfg(test)]
mod tests;
mod value;
pub mod view;

use std::fmt;
use std::sync::Arc;

use cel::Env;

use self::compile::Mistake;
use self::evaluation::evaluate;
use self::inputs::{Input, follows_the_clock};
use self::judged::edge;
pub use self::judged::{Judged, Standing};
use self::moment::{Moment, Subject};
use self::pattern::Pattern;
use self::points::Points;
use self::row::RuleConfig;
use self::rule::{Fires, Rule};
use self::view::View;
use crate::event::Micros;
use airlock_policy::Mode;
use airlock_policy::contract::types::Checkpoint;
use airlock_policy::spec::OnFailure;

/// Most rules: all of them may be evaluated at every chunk of every stream.
pub const MAX_RULES: usize = 64;

/// While a generation runs, rules that follow the clock are looked at so often: a tenth of a second is as fine as a
/// person or a budget can tell, and costs a stream ten evaluations a second.
pub const TICK_US: Micros = 100_000;

/// The rules of one configuration.
pub struct Rules {
    rules: Vec<Rule>,
    patterns: Vec<Pattern>,
    env: Arc<Env>,
    /// Checkpoints at which some rule is evaluated without any finding.
    points: Points,
    follows_the_clock: bool,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Index of the row; for the table as a whole, of the first row that is too many.
    pub rule: usize,
    /// The key at fault.
    pub key: &'static str,
    /// Where in its text, in bytes.
    pub offset: usize,
    /// What is wrong and what to do.
    pub message: String,
}

impl Rules {
    /// Compiles the rows of a configuration.
    ///
    /// # Errors
    /// The first mistake of each row.
    pub fn compile(rows: &[RuleConfig]) -> Result<Self, Vec<RuleError>> {
        if rows.len() > MAX_RULES {
            return Err(vec![RuleError {
                rule: MAX_RULES,
                key: "",
                offset: 0,
                message: format!("there are {} rules: at most {MAX_RULES}", rows.len()),
            }]);
        }
        let env = pattern::environment().map(Arc::new).map_err(|error| {
            vec![RuleError {
                rule: 0,
                key: "",
                offset: 0,
                message: error.to_string(),
            }]
        })?;
        let (mut rules, mut patterns, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for (index, row) in rows.iter().enumerate() {
            let mut wrong = |key, Mistake { offset, message }| {
                errors.push(RuleError {
                    rule: index,
                    key,
                    offset,
                    message,
                });
            };
            match compile::compile(&row.when, &mut patterns, &env) {
                Err(mistake) => wrong("when", mistake),
                Ok(condition) => match Rule::new(row, condition) {
                    Ok(rule) => rules.push(rule),
                    Err((key, message)) => wrong(key, Mistake { offset: 0, message }),
                },
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let points = rules
            .iter()
            .filter(|rule| rule.fires != Fires::ForFindings)
            .fold(Points::default(), |points, rule| points.or(rule.at));
        let clock = |rule: &Rule| {
            rule.at.has(Checkpoint::Tick)
                && rule.fires != Fires::ForFindings
                && rule.inputs().any(follows_the_clock)
        };
        Ok(Self {
            follows_the_clock: rules.iter().any(clock),
            rules,
            patterns,
            env,
            points,
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The name of a rule, as it stands on the timeline.
    pub fn name(&self, index: usize) -> &str {
        self.rules
            .get(index)
            .map_or("rule:former", |rule| &*rule.name)
    }

    /// Whether a rule's word is law.
    pub fn enforces(&self, index: usize) -> bool {
        self.rules
            .get(index)
            .is_some_and(|rule| rule.mode == Mode::Enforce)
    }

    /// Name of a rule that may keep something from the client, if there is one: what cannot be judged must then not pass.
    pub fn enforcing(&self) -> Option<&str> {
        let forbids = |rule: &&Rule| {
            rule.mode == Mode::Enforce
                && (rule.reaction.forbids() || rule.on_failure == OnFailure::Closed)
        };
        self.rules.iter().find(forbids).map(|rule| &*rule.name)
    }

    /// Whether some rule judges tool calls, so that they wait until they are complete.
    pub fn holds_tool_calls(&self) -> bool {
        self.rules.iter().any(|rule| {
            let of_tools = |input: &Input| {
                input.at.has(Checkpoint::ToolCall) && !input.at.has(Checkpoint::Stream)
            };
            rule.mode == Mode::Enforce
                && rule.at.has(Checkpoint::ToolCall)
                && (rule.reaction.forbids() || rule.on_failure == OnFailure::Closed)
                && (rule.fires == Fires::ForEachEvent || rule.inputs().any(of_tools))
        })
    }

    /// Whether some rule is evaluated at a checkpoint though no policy has found anything.
    pub fn due(&self, checkpoint: Checkpoint) -> bool {
        self.points.has(checkpoint)
    }

    /// When they have to be looked at again though nothing happens, while a generation runs.
    pub fn next_due(&self, standing: &Standing) -> Option<Micros> {
        self.follows_the_clock
            .then(|| standing.last.saturating_add(TICK_US))
    }

    /// Evaluates every rule that is due. `subjects` are the events since the last time; `rises` is told of each rule
    /// that fires once in a session whether it holds, and says whether it did not before.
    pub fn judge(
        &self,
        standing: &mut Standing,
        moment: &Moment<'_>,
        subjects: &[Subject],
        mut rises: impl FnMut(&Arc<str>, bool) -> bool,
    ) -> Judged {
        standing.held.resize(self.rules.len(), false);
        standing.failing.resize(self.rules.len(), false);
        standing.last = moment.now;
        let mut judged = Judged::default();
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.fires == Fires::ForEachEvent {
                for subject in subjects.iter().filter(|s| rule.at.has(s.checkpoint())) {
                    let view = self.view(rule, moment, Some(subject));
                    match evaluate(&rule.condition.expr, &self.env, &view) {
                        Ok(true) => judged.order(index, rule, &view),
                        Ok(false) => {}
                        Err(why) => judged.fault(index, rule, &why, Some(subject)),
                    }
                }
                continue;
            }
            let view = self.view(rule, moment, None);
            if !rule.at.has(moment.checkpoint)
                || (rule.fires == Fires::ForFindings && !view.has_findings())
            {
                continue;
            }
            let (holds, fault) = match evaluate(&rule.condition.expr, &self.env, &view) {
                Ok(holds) => (holds, None),
                Err(why) => (false, Some(why)),
            };
            let fires = match rule.fires {
                Fires::OnceInSession => rises(&rule.name, holds),
                Fires::OnceInExchange => edge(&mut standing.held, index, holds),
                Fires::ForFindings | Fires::ForEachEvent => holds,
            };
            if fires {
                judged.order(index, rule, &view);
            }
            // A condition that fails goes on failing: once is enough to know.
            if edge(&mut standing.failing, index, fault.is_some())
                && let Some(why) = fault
            {
                judged.fault(index, rule, &why, None);
            }
        }
        judged
    }

    fn view<'a>(
        &'a self,
        rule: &Rule,
        moment: &'a Moment<'a>,
        subject: Option<&'a Subject>,
    ) -> View<'a> {
        View::new(moment, subject, &self.patterns, rule.mode == Mode::Observe)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            patterns: Vec::new(),
            env: Arc::new(Env::default()),
            points: Points::default(),
            follows_the_clock: false,
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.rules.iter().map(|rule| &rule.name))
            .finish()
    }
}
