//! Short ways to write what a policy returns: constructors for what must be said, methods for what may be.

use crate::{
    types::{
        Approval, Channel, ChannelRelease, Classification, Description, EventKind, Generation,
        Pattern, PatternSyntax, Question, ReleaseMode, Subscription, Threshold, Wake,
    },
    vital,
};

mod actions;
mod answers;
mod edits;

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
    pub fn wake_above(mut self, quantity: vital::Id, above: f64) -> Self {
        self.wakes
            .push(Wake::VitalAbove(Threshold { quantity, above }));
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

impl Question {
    /// Which of the labels fits a text.
    pub fn classify(text: impl Into<String>, labels: impl IntoIterator<Item = String>) -> Self {
        Self::Classify(Classification {
            text: text.into(),
            labels: labels.into_iter().collect(),
        })
    }

    /// Text by a model, of at most so many tokens; 0: the target's own limit.
    pub fn generate(system: impl Into<String>, prompt: impl Into<String>, max_tokens: u32) -> Self {
        Self::Generate(Generation {
            system: system.into(),
            prompt: prompt.into(),
            max_tokens,
        })
    }

    /// A person's yes or no.
    pub fn approve(title: impl Into<String>, body: impl Into<String>) -> Self {
        Self::Approve(Approval {
            title: title.into(),
            body: body.into(),
            choices: Vec::new(),
        })
    }
}
