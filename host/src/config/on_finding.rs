//! `[[on_finding]]`: the operator's own answer to findings, for reasoners that ship without an actuator.

use serde::Deserialize;

use crate::contract::types;

/// One row of the table: findings that match it are answered with its reaction.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Row")]
pub struct OnFinding {
    /// Kind of the finding; a trailing `*` stands for anything.
    pub kind: String,
    /// The least severity that counts.
    pub severity: Severity,
    /// What is done.
    pub reaction: Reaction,
}

/// What the table can order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Keep a note on the timeline.
    Annotate,
    /// Tell people; `webhook` is the name of a configured one, empty for all.
    Alert {
        /// Name of a webhook.
        webhook: String,
    },
    /// Refuse the exchange.
    Block {
        /// How the client learns of it.
        mode: BlockMode,
        /// Shown to the client; empty: the finding's summary.
        message: String,
        /// Answer in its place, for `soft`.
        fallback: String,
    },
    /// End the generation with a partial result.
    Stop {
        /// Shown to the client; empty: the finding's summary.
        message: String,
    },
    /// Answer in the model's place.
    AnswerLocally {
        /// The answer.
        message: String,
    },
    /// Add a system message to the conversation, for this exchange.
    Inject {
        /// The message.
        message: String,
    },
    /// Send the exchange elsewhere.
    Route {
        /// Name of a configured upstream; empty: the present one.
        upstream: String,
        /// Model; empty: as requested.
        model: String,
    },
}

/// How bad a finding is. The words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum Severity {
    #[default]
    Info,
    Low,
    Medium,
    High,
    Critical,
}

/// How a client learns that it was blocked. The words of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BlockMode {
    /// The dialect's error.
    #[default]
    Hard,
    /// The dialect's refusal, with the fallback as its text.
    Soft,
    /// The connection is cut.
    Abort,
}

impl OnFinding {
    /// Whether a finding is answered by this row.
    pub fn matches(&self, finding: &types::Finding) -> bool {
        let kind = match self.kind.strip_suffix('*') {
            Some(prefix) => finding.kind.starts_with(prefix),
            None => finding.kind == self.kind,
        };
        kind && Severity::from(finding.severity) >= self.severity
    }
}

impl Reaction {
    /// The action that answers `finding`.
    pub fn action(&self, finding: &types::Finding) -> types::Action {
        let or_summary = |text: &str| {
            if text.is_empty() {
                finding.summary.clone()
            } else {
                text.to_owned()
            }
        };
        match self {
            Self::Annotate => types::Action::Annotate(types::Annotation {
                name: finding.kind.clone(),
                value: finding.summary.clone(),
            }),
            Self::Alert { webhook } => types::Action::Alert(types::Alert {
                severity: finding.severity,
                title: finding.kind.clone(),
                body: finding.summary.clone(),
                webhook: webhook.clone(),
            }),
            Self::Block {
                mode,
                message,
                fallback,
            } => types::Action::Block(types::Block {
                mode: (*mode).into(),
                reason: or_summary(message),
                fallback: fallback.clone(),
            }),
            Self::Stop { message } => types::Action::Stop(types::Stop {
                reason: or_summary(message),
                confidence: -1.0,
                keep_held: false,
            }),
            Self::AnswerLocally { message } => types::Action::AnswerLocally(message.clone()),
            Self::Inject { message } => types::Action::Inject(types::Injection {
                role: types::Role::System,
                text: message.clone(),
                position: types::Position::End,
                scope: types::Scope::Exchange,
            }),
            Self::Route { upstream, model } => types::Action::Route(types::Route {
                upstream: upstream.clone(),
                model: model.clone(),
                scope: types::Scope::Exchange,
            }),
        }
    }
}

impl From<types::Severity> for Severity {
    fn from(severity: types::Severity) -> Self {
        match severity {
            types::Severity::Info => Self::Info,
            types::Severity::Low => Self::Low,
            types::Severity::Medium => Self::Medium,
            types::Severity::High => Self::High,
            types::Severity::Critical => Self::Critical,
        }
    }
}

impl From<BlockMode> for types::BlockMode {
    fn from(mode: BlockMode) -> Self {
        match mode {
            BlockMode::Hard => Self::Hard,
            BlockMode::Soft => Self::Soft,
            BlockMode::Abort => Self::Abort,
        }
    }
}

/// A row as it is written. A key that does not belong to the action is an error, not a silence.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    kind: String,
    #[serde(default)]
    severity: Severity,
    action: Name,
    mode: Option<BlockMode>,
    message: Option<String>,
    fallback: Option<String>,
    webhook: Option<String>,
    upstream: Option<String>,
    model: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Name {
    Annotate,
    Alert,
    Block,
    Stop,
    AnswerLocally,
    Inject,
    Route,
}

impl TryFrom<Row> for OnFinding {
    type Error = String;

    fn try_from(mut row: Row) -> Result<Self, String> {
        let (name, reaction) = match row.action {
            Name::Annotate => ("annotate", Reaction::Annotate),
            Name::Alert => (
                "alert",
                Reaction::Alert {
                    webhook: row.webhook.take().unwrap_or_default(),
                },
            ),
            Name::Block => (
                "block",
                Reaction::Block {
                    mode: row.mode.take().unwrap_or_default(),
                    message: row.message.take().unwrap_or_default(),
                    fallback: row.fallback.take().unwrap_or_default(),
                },
            ),
            Name::Stop => (
                "stop",
                Reaction::Stop {
                    message: row.message.take().unwrap_or_default(),
                },
            ),
            Name::AnswerLocally => (
                "answer-locally",
                Reaction::AnswerLocally {
                    message: required(&mut row.message)?,
                },
            ),
            Name::Inject => (
                "inject",
                Reaction::Inject {
                    message: required(&mut row.message)?,
                },
            ),
            Name::Route => (
                "route",
                Reaction::Route {
                    upstream: row.upstream.take().unwrap_or_default(),
                    model: row.model.take().unwrap_or_default(),
                },
            ),
        };
        let left = [
            ("mode", row.mode.is_some()),
            ("message", row.message.is_some()),
            ("fallback", row.fallback.is_some()),
            ("webhook", row.webhook.is_some()),
            ("upstream", row.upstream.is_some()),
            ("model", row.model.is_some()),
        ];
        if let Some((key, _)) = left.iter().find(|(_, set)| *set) {
            return Err(format!(
                "`{key}` means nothing for action = \"{name}\": remove it"
            ));
        }
        if row.kind.trim_end_matches('*').contains('*') {
            return Err(format!(
                "kind = \"{}\": only a trailing * is understood",
                row.kind
            ));
        }
        Ok(Self {
            kind: row.kind,
            severity: row.severity,
            reaction,
        })
    }
}

fn required(message: &mut Option<String>) -> Result<String, String> {
    message
        .take()
        .filter(|text| !text.is_empty())
        .ok_or_else(|| "this action needs a `message`: add message = \"...\"".to_owned())
}
