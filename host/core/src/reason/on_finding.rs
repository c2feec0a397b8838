//! `[[on_finding]]`: the operator's own answer to findings, for reasoners that ship without an actuator.

use serde::Deserialize;

use crate::reason::rules::reaction::{Name, Reaction, read, row};
use airlock_policy::contract::types;

/// One row of the table: findings that match it are answered with its reaction.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Row")]
pub struct OnFinding {
    /// Kind of the finding; a trailing `*` stands for anything.
    pub kind: String,
    /// The least severity that counts.
    pub severity: Severity,
    /// What is done.
    pub reaction: Reaction,
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

impl From<Severity> for types::Severity {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Info => Self::Info,
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

row! {
    mode,
    struct Row {
        kind: String,
        #[serde(default)]
        severity: Severity,
        action: Name,
    }
}

impl TryFrom<Row> for OnFinding {
    type Error = String;

    fn try_from(mut row: Row) -> Result<Self, String> {
        let reaction = read(row.action, row.words(), "mode")?;
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
