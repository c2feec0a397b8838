//! Short ways to write what a policy returns: constructors for what must be said, methods for what may be.

use serde::Serialize;

use crate::{
    types::{
        Action, Alert, Allocation, Annotation, Assessment, Block, BlockMode, Channel,
        ChannelRelease, Decision, Description, EventKind, Finding, Injection, MessageEdit,
        MessageEviction, MessageReplacement, Parameters, Pattern, PatternMatch, PatternSyntax,
        Pending, Position, ReleaseMark, ReleaseMode, Replacement, ResultSubstitution, Retry, Role,
        Route, Scope, Severity, Span, Steering, Stop, Subscription, Threshold, ToolDenial,
        ToolRewrite, Wake,
    },
    vital,
};

/// A description with the name, version, licence and summary of the policy's `Cargo.toml`.
#[macro_export]
macro_rules! description {
    () => {
        $crate::types::Description::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
            .licence(env!("CARGO_PKG_LICENSE"))
            .summary(env!("CARGO_PKG_DESCRIPTION"))
    };
}

impl Description {
    /// A policy without settings that orders nothing.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            licence: String::new(),
            summary: String::new(),
            actions: Vec::new(),
            asks: Vec::new(),
            settings_schema: r#"{"type":"object"}"#.into(),
            addresses: Vec::new(),
            state_schema: 0,
        }
    }

    /// SPDX expression.
    pub fn licence(mut self, spdx: impl Into<String>) -> Self {
        self.licence = spdx.into();
        self
    }

    /// One or two sentences for people.
    pub fn summary(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    /// An action that it may order, by the name of its case (`block`).
    pub fn action(mut self, name: impl Into<String>) -> Self {
        self.actions.push(name.into());
        self
    }

    /// A target that it may ask.
    pub fn asks(mut self, target: impl Into<String>) -> Self {
        self.asks.push(target.into());
        self
    }

    /// JSON Schema (2020-12) of its settings.
    pub fn settings_schema(mut self, schema: impl Into<String>) -> Self {
        self.settings_schema = schema.into();
        self
    }

    /// A risk that it addresses, such as `owasp-llm:2026/LLM06`.
    pub fn addresses(mut self, risk: impl Into<String>) -> Self {
        self.addresses.push(risk.into());
        self
    }
}

impl Default for Subscription {
    fn default() -> Self {
        Self::new()
    }
}

impl Subscription {
    /// Never called.
    pub fn new() -> Self {
        Self {
            wakes: Vec::new(),
            patterns: Vec::new(),
            release: Vec::new(),
            sees: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Calls `observe` at an event of this kind.
    pub fn wake_on(mut self, kind: EventKind) -> Self {
        self.wakes.push(Wake::Event(kind));
        self
    }

    /// Calls `observe` after so many generated tokens; 1 at every chunk.
    pub fn wake_every_tokens(mut self, tokens: u32) -> Self {
        self.wakes.push(Wake::EveryTokens(tokens));
        self
    }

    /// Calls `observe` after so many milliseconds of a generation, 10 or more.
    pub fn wake_every_ms(mut self, ms: u32) -> Self {
        self.wakes.push(Wake::EveryMs(ms));
        self
    }

    /// Calls `observe` once when a vital rises above this, and again after it fell below.
    pub fn wake_above(mut self, vital: vital::Id, above: f64) -> Self {
        self.wakes
            .push(Wake::VitalAbove(Threshold { vital, above }));
        self
    }

    /// Calls `observe` when this matches.
    pub fn pattern(mut self, pattern: Pattern) -> Self {
        self.patterns.push(pattern);
        self
    }

    /// Releases nothing of a channel beyond the assessments' marks; text held for `max_ms` (0: the host's default) wakes.
    pub fn hold(mut self, channel: Channel, max_ms: u32) -> Self {
        self.release.push(ChannelRelease {
            channel,
            mode: ReleaseMode::HoldUntilJudged,
            max_hold_ms: max_ms,
        });
        self
    }

    /// Tells events of this kind too, without being called for them.
    pub fn sees(mut self, kind: EventKind) -> Self {
        self.sees.push(kind);
        self
    }

    /// Calls `decide` for findings of this kind; a trailing `*` matches any rest.
    pub fn finding(mut self, kind: impl Into<String>) -> Self {
        self.findings.push(kind.into());
        self
    }
}

impl Pattern {
    /// The text itself, in all channels of generated text.
    pub fn literal(text: impl Into<String>) -> Self {
        Self {
            channels: Vec::new(),
            syntax: PatternSyntax::Literal,
            text: text.into(),
            ignore_case: false,
        }
    }

    /// A regular expression, in all channels of generated text.
    pub fn regex(text: impl Into<String>) -> Self {
        Self {
            syntax: PatternSyntax::Regex,
            ..Self::literal(text)
        }
    }

    /// Only in these channels; all if there are none.
    pub fn channels(mut self, channels: impl IntoIterator<Item = Channel>) -> Self {
        self.channels = channels.into_iter().collect();
        self
    }

    /// Whether case is ignored.
    pub fn ignore_case(mut self, ignore: bool) -> Self {
        self.ignore_case = ignore;
        self
    }
}

impl Finding {
    /// A certain finding (confidence 1) without evidence. `kind` is `<policy>.<word>` by convention.
    pub fn new(kind: impl Into<String>, severity: Severity, summary: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            severity,
            confidence: 1.0,
            summary: summary.into(),
            evidence: Vec::new(),
            data: String::new(),
        }
    }

    /// How sure it is, 0..1.
    pub fn confidence(mut self, confidence: f32) -> Self {
        self.confidence = confidence;
        self
    }

    /// Where it shows.
    pub fn evidence(mut self, spans: impl IntoIterator<Item = Span>) -> Self {
        self.evidence.extend(spans);
        self
    }

    /// Anything else that actuators and people may want, as JSON. What cannot be written as JSON is left out.
    pub fn data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::to_string(data).unwrap_or_default();
        self
    }

    /// Reads what [`data`](Self::data) wrote.
    ///
    /// # Errors
    /// If it is something else.
    pub fn read_data<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.data)
    }
}

/// A span is a list of one, so that `.evidence(event.whole())` reads well.
impl IntoIterator for Span {
    type Item = Span;
    type IntoIter = std::iter::Once<Span>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self)
    }
}

impl Default for Assessment {
    fn default() -> Self {
        Self::none()
    }
}

impl Assessment {
    /// Nothing found, nothing new released.
    pub fn none() -> Self {
        Self {
            findings: Vec::new(),
            release: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// With one finding more.
    pub fn find(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }

    /// With a channel that it holds released further.
    pub fn release(mut self, mark: ReleaseMark) -> Self {
        self.release.push(mark);
        self
    }

    /// With an item parked until an answer arrives.
    pub fn park(mut self, pending: Pending) -> Self {
        self.pending.push(pending);
        self
    }
}

impl FromIterator<Finding> for Assessment {
    fn from_iter<I: IntoIterator<Item = Finding>>(findings: I) -> Self {
        Self {
            findings: findings.into_iter().collect(),
            ..Self::none()
        }
    }
}

impl From<Finding> for Assessment {
    fn from(finding: Finding) -> Self {
        Self::none().find(finding)
    }
}

impl Default for Decision {
    fn default() -> Self {
        Self::none()
    }
}

impl Decision {
    /// Nothing ordered.
    pub fn none() -> Self {
        Self {
            actions: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// With one action more.
    pub fn order(mut self, action: impl Into<Action>) -> Self {
        self.actions.push(action.into());
        self
    }

    /// With an item parked until an answer arrives.
    pub fn park(mut self, pending: Pending) -> Self {
        self.pending.push(pending);
        self
    }
}

impl<A: Into<Action>> FromIterator<A> for Decision {
    fn from_iter<I: IntoIterator<Item = A>>(actions: I) -> Self {
        Self {
            actions: actions.into_iter().map(Into::into).collect(),
            pending: Vec::new(),
        }
    }
}

/// Each record that stands for exactly one action becomes it.
macro_rules! actions {
    ($($record:ident => $case:ident),* $(,)?) => {
        $(impl From<$record> for Action {
            fn from(record: $record) -> Self {
                Self::$case(record)
            }
        })*
    };
}

actions! {
    Annotation => Annotate,
    Alert => Alert,
    Injection => Inject,
    MessageEdit => EditMessage,
    MessageEviction => EvictMessage,
    MessageReplacement => ReplaceMessages,
    Parameters => SetParameters,
    Route => Route,
    Block => Block,
    Replacement => ReplaceRange,
    Stop => Stop,
    Retry => Retry,
    ToolDenial => DenyToolCall,
    ToolRewrite => RewriteToolCall,
    ResultSubstitution => SubstituteToolResult,
    Steering => Steer,
    Allocation => Allocate,
}

impl Annotation {
    /// A note on the timeline.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            value: value.into(),
        }
    }
}

impl Alert {
    /// To the log and the default webhooks.
    pub fn new(severity: Severity, title: impl Into<String>) -> Self {
        Self {
            severity,
            title: title.into(),
            body: String::new(),
            webhook: String::new(),
        }
    }

    /// More than the title says.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// To this configured webhook; empty: the default ones.
    pub fn webhook(mut self, name: impl Into<String>) -> Self {
        self.webhook = name.into();
        self
    }
}

impl Injection {
    /// After everything, for this exchange.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            text: text.into(),
            position: Position::End,
            scope: Scope::Exchange,
        }
    }

    /// Elsewhere.
    pub fn at(mut self, position: Position) -> Self {
        self.position = position;
        self
    }

    /// For the rest of the session.
    pub fn for_session(mut self) -> Self {
        self.scope = Scope::Session;
        self
    }
}

impl Route {
    /// To another model, at the present upstream, for this exchange.
    pub fn model(model: impl Into<String>) -> Self {
        Self {
            upstream: String::new(),
            model: model.into(),
            scope: Scope::Exchange,
        }
    }

    /// At this configured upstream; empty: the present one.
    pub fn upstream(mut self, name: impl Into<String>) -> Self {
        self.upstream = name.into();
        self
    }

    /// For the rest of the session.
    pub fn for_session(mut self) -> Self {
        self.scope = Scope::Session;
        self
    }
}

impl Block {
    /// Blocks, and says why.
    pub fn new(mode: BlockMode, reason: impl Into<String>) -> Self {
        Self {
            mode,
            reason: reason.into(),
            fallback: String::new(),
        }
    }

    /// What the client is given instead, for [`BlockMode::Soft`].
    pub fn fallback(mut self, text: impl Into<String>) -> Self {
        self.fallback = text.into();
        self
    }
}

impl Replacement {
    /// Puts a text in the place of a match.
    pub fn of(found: &PatternMatch, text: impl Into<String>) -> Self {
        Self {
            channel: found.channel,
            choice: found.choice,
            block: found.block,
            offset: found.offset,
            len: found.len,
            text: text.into(),
        }
    }
}

impl Stop {
    /// Ends the generation; held text is discarded, and nothing is said of the confidence.
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            confidence: -1.0,
            keep_held: false,
        }
    }

    /// How far the partial result can be relied on, 0..1.
    pub fn confidence(mut self, confidence: f32) -> Self {
        self.confidence = confidence;
        self
    }

    /// Lets held text go out first.
    pub fn keep_held(mut self) -> Self {
        self.keep_held = true;
        self
    }
}

impl Allocation {
    /// Limits of the session; 0 leaves one as before.
    pub fn for_session(max_tokens: u64, max_cost: u64) -> Self {
        Self {
            scope: Scope::Session,
            max_tokens,
            max_cost,
        }
    }

    /// Limits of this exchange; 0 leaves one as before.
    pub fn for_exchange(max_tokens: u64, max_cost: u64) -> Self {
        Self {
            scope: Scope::Exchange,
            max_tokens,
            max_cost,
        }
    }
}
