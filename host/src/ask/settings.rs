//! `[ask.<name>]`: what policies may be granted to ask. Policies name these, never upstreams or models.

use std::time::Duration;

use serde::Deserialize;

/// A target of questions: a model, or people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AskConfig {
    /// Name of the upstream that is asked. It must not forward the client's credential: a question is nobody's request.
    pub upstream: Option<String>,
    /// Model that it is asked for.
    pub model: Option<String>,
    /// Whether people are asked, instead of a model.
    pub people: bool,
    /// Kinds of questions that the model answers.
    pub kinds: Vec<AskKind>,
    /// Longest answer in tokens, from 1.
    pub max_tokens: u32,
    /// Longest wait for an answer in milliseconds: 1 to 600,000 for a model, to 86,400,000 for people. Without it 30,000 for
    /// a model, and for people what `[people]` says.
    pub timeout_ms: Option<u64>,
    /// The operator's instruction, before Airlock's own.
    pub system: String,
}

/// A kind of question to a model. The words of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AskKind {
    /// Sort a text under labels.
    Classify,
    /// Write a text.
    Generate,
    /// Vectors for texts.
    Embed,
}

impl AskKind {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Generate => "generate",
            Self::Embed => "embed",
        }
    }
}

impl Default for AskConfig {
    fn default() -> Self {
        Self {
            upstream: None,
            model: None,
            people: false,
            kinds: vec![AskKind::Classify, AskKind::Generate],
            max_tokens: 512,
            timeout_ms: None,
            system: String::new(),
        }
    }
}

impl AskConfig {
    /// Longest wait for an answer; `None`: as long as people's desk allows.
    pub fn timeout(&self) -> Option<Duration> {
        match (self.timeout_ms, self.people) {
            (Some(ms), _) => Some(Duration::from_millis(ms)),
            (None, true) => None,
            (None, false) => Some(Duration::from_secs(30)),
        }
    }
}
