//! `[[rule]]`: a condition over what is measured, and what is done while it holds.
//!
//! Here is what a row says. What its condition may ask, and whether it makes sense, is judged in `reason/rules`.

use airlock_policy::Mode;
use airlock_policy::contract::types::Checkpoint;
use airlock_policy::spec::OnFailure;
use serde::Deserialize;

use crate::reason::on_finding::Severity;
use crate::reason::rules::reaction::{Name, Reaction, read, row};

/// Names that begin so are given to the rules that `[profile]` becomes.
pub const PROFILE: &str = "profile-";

/// One row.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Row")]
pub struct RuleConfig {
    /// Its name, by the rules for names of policies; on the timeline `rule:<name>`. Empty until [`RuleConfig::number`].
    pub name: String,
    /// The condition, in CEL.
    pub when: String,
    /// What is done.
    pub reaction: Reaction,
    /// How bad it is, for alerts.
    pub severity: Severity,
    /// Whether its word is law or only recorded.
    pub mode: Mode,
    /// What a condition that cannot be evaluated means: nothing, or that what it was to judge does not pass. Unless the row
    /// says otherwise, a rule that forbids is closed: an agent could else write a call that no rule can read.
    pub on_failure: OnFailure,
    /// When it is evaluated; `None`: whenever what it asks for can have changed.
    pub at: Option<Vec<At>>,
}

/// A moment at which rules are evaluated. The contract's words for its checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words of the contract")]
pub enum At {
    Request,
    Stream,
    ToolCall,
    ToolResult,
    Response,
    Tick,
    Answer,
}

impl RuleConfig {
    /// Names a row that has no name after its place in the file, from 1.
    pub fn number(&mut self, place: usize) {
        if self.name.is_empty() {
            self.name = format!("rule-{place}");
        }
    }
}

impl From<At> for Checkpoint {
    fn from(at: At) -> Self {
        match at {
            At::Request => Self::Request,
            At::Stream => Self::Stream,
            At::ToolCall => Self::ToolCall,
            At::ToolResult => Self::ToolResult,
            At::Response => Self::Response,
            At::Tick => Self::Tick,
            At::Answer => Self::Answer,
        }
    }
}

row! {
    block_mode,
    struct Row {
        name: Option<String>,
        when: String,
        r#do: Name,
        severity: Option<Severity>,
        #[serde(default)]
        mode: Mode,
        on_failure: Option<OnFailure>,
        at: Option<Vec<At>>,
    }
}

impl TryFrom<Row> for RuleConfig {
    type Error = String;

    fn try_from(mut row: Row) -> Result<Self, String> {
        let reaction = read(row.r#do, row.words(), "block_mode")?;
        if row.severity.is_some() && !matches!(reaction, Reaction::Alert { .. }) {
            return Err("`severity` means nothing without an alert: remove it".to_owned());
        }
        if row.mode == Mode::Observe && row.on_failure == Some(OnFailure::Closed) {
            return Err(
                "a rule that only observes cannot fail closed: remove on_failure".to_owned(),
            );
        }
        if row.at.as_ref().is_some_and(Vec::is_empty) {
            return Err("with at = [] the rule would never be evaluated: remove `at`".to_owned());
        }
        let unstated = if row.mode == Mode::Enforce && reaction.forbids() {
            OnFailure::Closed
        } else {
            OnFailure::Open
        };
        Ok(Self {
            name: row.name.unwrap_or_default(),
            when: row.when,
            reaction,
            severity: row.severity.unwrap_or(Severity::Medium),
            mode: row.mode,
            on_failure: row.on_failure.unwrap_or(unstated),
            at: row.at,
        })
    }
}
