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
pub mod inputs;
mod json;
mod pattern;
pub mod reaction;
pub mod row;
#[cfg(test)]
mod tests;
pub mod view;

use std::fmt;
use std::sync::Arc;

use cel::common::types::CelBool;
use cel::{Context, Env, ExecutionError, Value};

use self::compile::{Condition, Mistake};
use self::inputs::{Belongs, INPUTS, Input, Points, follows_the_clock};
use self::pattern::Pattern;
use self::view::{Moment, Subject, View};
use crate::event::Micros;
use crate::reason::order::{By, Order};
use crate::reason::rules::reaction::{Occasion, Reaction};
use crate::reason::rules::row::RuleConfig;
use airlock_policy::Mode;
use airlock_policy::contract::types::{
    Action, Block, BlockMode, Checkpoint, Item, ResultSubstitution, Scope, Severity, ToolDenial,
};
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

/// One compiled rule.
struct Rule {
    name: Arc<str>,
    summary: String,
    condition: Condition,
    reaction: Reaction,
    severity: Severity,
    mode: Mode,
    on_failure: OnFailure,
    at: Points,
    fires: Fires,
}

/// How often a rule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fires {
    ForEachEvent,
    ForFindings,
    OnceInExchange,
    OnceInSession,
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

/// Where the rules stand in one exchange.
#[derive(Debug, Default)]
pub struct Standing {
    held: Vec<bool>,
    failing: Vec<bool>,
    /// When they were last evaluated.
    pub last: Micros,
}

/// What an evaluation of all rules brought.
#[derive(Debug, Default)]
pub struct Judged {
    /// Actions, in the order of the rules.
    pub orders: Vec<Order>,
    /// Rules that could not be evaluated, by name, with the reason and whether they are closed.
    pub faults: Vec<(Arc<str>, String, bool)>,
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
                    match self.evaluate(rule, &view) {
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
            let (holds, fault) = match self.evaluate(rule, &view) {
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

    fn evaluate(&self, rule: &Rule, view: &View<'_>) -> Result<bool, String> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        context.set_variable_resolver(view);
        match Value::resolve_val(&rule.condition.expr, &context) {
            Ok(value) => value
                .downcast_ref::<CelBool>()
                .map(|truth| *truth.inner())
                .ok_or_else(|| "its condition is neither true nor false".to_owned()),
            Err(error) => Err(told(&error)),
        }
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

impl Rule {
    fn new(row: &RuleConfig, condition: Condition) -> Result<Self, (&'static str, String)> {
        let inputs = || {
            condition
                .inputs
                .iter()
                .filter_map(|input| INPUTS.get(*input))
        };
        let events = || inputs().filter(|input| input.belongs == Belongs::Event);
        let needs = event_of(&row.reaction);
        let of_event = events().next().is_some() || needs.is_some();
        let possible = events().fold(needs.unwrap_or(Points::ALL), |points, input| {
            points.and(input.at)
        });
        if of_event && possible.is_empty() {
            let names: Vec<&str> = events().map(|input| input.name).collect();
            let message = match needs {
                Some(_) => format!(
                    "what this row does is about another event than {}: ask for something else",
                    names.join(", ")
                ),
                None => format!("{} are never known together", names.join(" and ")),
            };
            return Err(("when", message));
        }
        let changes = match inputs().map(|input| input.at).reduce(Points::or) {
            Some(points) if !of_event => points,
            Some(_) => possible,
            None if of_event => possible,
            // A condition that asks for nothing holds, or not, from the beginning.
            None => Points::of(&[Checkpoint::Request]),
        };
        let at = match &row.at {
            None => changes,
            Some(at) => {
                let asked = at
                    .iter()
                    .map(|at| Points::of(&[Checkpoint::from(*at)]))
                    .fold(Points::default(), Points::or);
                if of_event && asked.and(possible) != asked {
                    let message =
                        "what this rule is about is not there at each of these: leave `at` out";
                    return Err(("at", message.to_owned()));
                }
                asked
            }
        };
        let fires = if of_event {
            Fires::ForEachEvent
        } else if inputs().any(|input| input.belongs == Belongs::Findings) {
            Fires::ForFindings
        } else if inputs().any(|input| input.belongs != Belongs::Session)
            || row.reaction.ends_with_the_exchange()
        {
            Fires::OnceInExchange
        } else {
            Fires::OnceInSession
        };
        Ok(Self {
            name: format!("rule:{}", row.name).into(),
            summary: format!("the rule `{}` holds", row.name),
            condition,
            reaction: row.reaction.clone(),
            severity: row.severity.into(),
            mode: row.mode,
            on_failure: row.on_failure,
            at,
            fires,
        })
    }

    /// What keeps from passing what the rule could not judge, and nothing else.
    fn keep_back(&self, why: &str, subject: Option<&Subject>) -> Action {
        let name = self.name.trim_start_matches("rule:");
        match subject {
            Some(Subject::Call { id, .. }) => Action::DenyToolCall(ToolDenial {
                id: id.clone(),
                reason: format!("the rule `{name}` cannot judge this call: {why}"),
            }),
            Some(Subject::Result { id, .. }) => Action::SubstituteToolResult(ResultSubstitution {
                id: id.clone(),
                text: format!("This result is withheld: the rule `{name}` cannot judge it: {why}"),
                scope: Scope::Session,
            }),
            Some(Subject::Failure(_)) | None => Action::Block(Block {
                mode: BlockMode::Hard,
                reason: format!("the rule `{name}` cannot be evaluated and fails closed: {why}"),
                fallback: String::new(),
            }),
        }
    }

    fn inputs(&self) -> impl Iterator<Item = &'static Input> {
        self.condition
            .inputs
            .iter()
            .filter_map(|input| INPUTS.get(*input))
    }
}

impl Judged {
    fn order(&mut self, index: usize, rule: &Rule, view: &View<'_>) {
        let (at_hand, tool) = match view.subject {
            Some(Subject::Call { id, name, .. }) => (Item::ToolCall(id.clone()), name.as_str()),
            Some(Subject::Result { id, name, .. }) => (Item::ToolResult(id.clone()), name.as_str()),
            Some(Subject::Failure(_)) | None => match view.moment.checkpoint {
                Checkpoint::Request | Checkpoint::ToolResult => (Item::Request, ""),
                _ => (Item::Text, ""),
            },
        };
        let occasion = Occasion {
            title: rule.name.trim_start_matches("rule:"),
            summary: &rule.summary,
            severity: rule.severity,
            at_hand,
            tool,
        };
        self.orders.push(Order {
            by: By::Rule(index),
            action: rule.reaction.action(&occasion),
        });
    }

    /// A rule that could not be evaluated; of `subject`, if it is one for each event.
    fn fault(&mut self, index: usize, rule: &Rule, why: &str, subject: Option<&Subject>) {
        let closed = rule.on_failure == OnFailure::Closed;
        self.faults
            .push((Arc::clone(&rule.name), why.to_owned(), closed));
        if closed {
            self.orders.push(Order {
                by: By::Rule(index),
                action: rule.keep_back(why, subject),
            });
        }
    }
}

impl Subject {
    /// The checkpoint at which such an event is judged.
    fn checkpoint(&self) -> Checkpoint {
        match self {
            Self::Call { .. } => Checkpoint::ToolCall,
            Self::Result { .. } => Checkpoint::ToolResult,
            Self::Failure(_) => Checkpoint::Response,
        }
    }
}

/// Checkpoints of the event without which an action means nothing.
fn event_of(reaction: &Reaction) -> Option<Points> {
    use Checkpoint::{Response, ToolCall, ToolResult};
    match reaction {
        Reaction::DenyToolCall { .. } => Some(Points::of(&[ToolCall])),
        Reaction::SubstituteToolResult { .. } => Some(Points::of(&[ToolResult])),
        Reaction::OpenCircuit { tool, .. } if tool.is_empty() => {
            Some(Points::of(&[ToolCall, ToolResult]))
        }
        Reaction::Retry { .. } => Some(Points::of(&[Response])),
        _ => None,
    }
}

/// Sets the flag; whether it rose.
fn edge(flags: &mut [bool], index: usize, now: bool) -> bool {
    match flags.get_mut(index) {
        Some(flag) => !std::mem::replace(flag, now) && now,
        None => now,
    }
}

/// What went wrong, for people, without the values: they may be personal.
fn told(error: &ExecutionError) -> String {
    let input = |name: &str| {
        let index = name.strip_prefix('#')?.parse::<usize>().ok()?;
        INPUTS.get(index).map(|input| input.name)
    };
    match error {
        ExecutionError::UndeclaredReference(name) => match input(name) {
            Some("tool.arguments") => {
                "tool.arguments are not JSON that every program reads alike (no key twice, no NaN, no half characters, \
                 numbers of 64 bits, 128 deep), or bigger than 256 KiB or 10,000 values: write them as plain JSON"
                    .to_owned()
            }
            Some(name) => format!("`{name}` is not known"),
            None => "something in its condition is not known".to_owned(),
        },
        ExecutionError::NoSuchKey(key) => {
            format!("there is no `{key}`: ask with has(...) before")
        }
        ExecutionError::NoSuchOverload(overload) => format!(
            "{} does not take {}",
            overload.function().trim_matches(['_', '@']),
            overload.argument_types().join(" and ")
        ),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => {
            "it divides by zero".to_owned()
        }
        ExecutionError::Overflow(..) => "a number becomes too big".to_owned(),
        ExecutionError::IndexOutOfBounds(_) => {
            "a list is shorter than the condition takes it to be".to_owned()
        }
        ExecutionError::FunctionError { function, .. } => {
            format!("`{function}` does not take such a value")
        }
        _ => "a value is of another type than its condition takes it to be".to_owned(),
    }
}
