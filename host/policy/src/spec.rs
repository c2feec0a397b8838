//! What the operator states for one policy: an entry `[policy.<name>]` in `airlock.toml`, or a file `<name>.toml` beside
//! `<name>.wasm` in the policy directory.
//!
//! Everything is denied unless it is granted here or by the directory's default grants. The name under which a policy is
//! configured is its identity; what the component calls itself must be the same, or be stated, and confers nothing.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::limits::LimitsPatch;
use crate::contract::types::EventKind;

/// The operator's word on one policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicySpec {
    /// What the component calls itself, where that is not the name of this entry or of its file. Findings are reported under
    /// the entry's name; their kinds are called after the component by convention.
    pub component: Option<String>,
    /// Component to load instead of the built-in policy, or of the directory's file, of this name. Relative to the
    /// configuration file that states it. Not allowed in `<name>.toml`: a file in the directory speaks for itself only.
    pub file: Option<PathBuf>,
    /// `false` keeps the policy from loading, and retires it if it serves.
    pub enabled: bool,
    /// Whether its word is law or only recorded.
    pub mode: Mode,
    /// What happens to the traffic when the policy fails. Default: `closed` for an enforcing policy that may block, else
    /// `open`.
    pub on_failure: Option<OnFailure>,
    /// Place among the policies: smaller first, then by name. Breaks ties between actions of equal strength.
    pub order: i32,
    /// Without a good generation of it Airlock is not ready; removing its file does not disarm it.
    pub required: bool,
    /// Passed to the policy as JSON, after a check against its own schema.
    pub settings: serde_json::Map<String, serde_json::Value>,
    /// What it may see and order. Absent: the directory's default grants; for a built-in policy, what it asks for.
    pub grants: Option<Grants>,
    /// SHA-256 of the component in hexadecimal. Any other content is refused.
    pub digest: Option<String>,
    /// What live sessions do when a new generation appears.
    pub on_reload: Move,
    /// Limits that differ from `[limits]`.
    pub limits: LimitsPatch,
    /// How often it may ask.
    pub ask_quota: AskQuota,
}

impl Default for PolicySpec {
    fn default() -> Self {
        Self {
            component: None,
            file: None,
            enabled: true,
            mode: Mode::default(),
            on_failure: None,
            order: 0,
            required: false,
            settings: serde_json::Map::new(),
            grants: None,
            digest: None,
            on_reload: Move::default(),
            limits: LimitsPatch::default(),
            ask_quota: AskQuota::default(),
        }
    }
}

/// How many questions one policy may ask in one session. 0: none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AskQuota {
    /// In any 60 seconds.
    pub per_minute: u32,
    /// In all.
    pub per_session: u32,
}

impl Default for AskQuota {
    fn default() -> Self {
        Self {
            per_minute: 30,
            per_session: 200,
        }
    }
}

/// Whether a policy's word is law.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Its release marks hold text, its actions are applied.
    #[default]
    Enforce,
    /// Its verdicts are recorded. It never delays a byte.
    Observe,
}

/// What a policy's failure means for what it was to judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// It goes on as if the policy had no objection.
    Open,
    /// It is blocked.
    Closed,
}

/// What live sessions do when a new generation of a policy appears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Move {
    /// They move to it, with their state.
    #[default]
    Migrate,
    /// They keep the generation they began with, unless it is withdrawn.
    Pin,
}

/// What one policy may see and order. Deny by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Grants {
    /// Kinds of events it is told, in the contract's words (`text`, `tool-call`, ...); `"*"` means all.
    pub sees: Vec<String>,
    /// Names of the actions it may order, in the contract's words (`annotate`, `block`, ...). There is no wildcard.
    pub actions: Vec<String>,
    /// Targets it may ask, as named in the configuration. Any other question is refused.
    pub asks: Vec<String>,
    /// Whether it may read long content. If not, each read is refused.
    pub content: bool,
    /// Whether a WASI with nothing behind it is linked (closed stdin, output to the policy's log, no environment, arguments, files or
    /// network), for languages whose runtime insists on one. Such a policy has clocks and true randomness, so its calls
    /// cannot be replayed; each of them also costs a thread.
    pub wasi: bool,
}

impl Grants {
    /// Default of the policy directory: see everything, annotate only.
    #[must_use]
    pub fn directory() -> Self {
        Self {
            sees: vec!["*".into()],
            actions: vec!["annotate".into()],
            content: true,
            ..Self::default()
        }
    }

    /// Whether every word in it is one of the contract's. The error names the setting.
    pub fn check(&self) -> Result<(), String> {
        if let Some(unknown) = self.actions.iter().find(|a| !ACTIONS.contains(&a.as_str())) {
            return Err(format!(
                "`grants.actions` names `{unknown}`, which is no action: use {}",
                ACTIONS.join(", ")
            ));
        }
        if let Some(unknown) = self
            .sees
            .iter()
            .find(|s| *s != "*" && !EVENT_KINDS.iter().any(|(_, name)| name == s))
        {
            let kinds: Vec<&str> = EVENT_KINDS.iter().map(|(_, name)| *name).collect();
            return Err(format!(
                "`grants.sees` names `{unknown}`, which is no kind of event: use \"*\" or {}",
                kinds.join(", ")
            ));
        }
        Ok(())
    }

    /// Whether events of this kind may be told.
    #[must_use]
    pub fn sees(&self, kind: EventKind) -> bool {
        self.sees.iter().any(|s| s == "*" || s == kind_name(kind))
    }
}

/// Every kind of event with its name in the contract, in the order of its numbers.
pub const EVENT_KINDS: [(EventKind, &str); 16] = [
    (EventKind::SessionOpened, "session-opened"),
    (EventKind::HistoryRewritten, "history-rewritten"),
    (EventKind::Message, "message"),
    (EventKind::Part, "part"),
    (EventKind::ToolOffered, "tool-offered"),
    (EventKind::Request, "request"),
    (EventKind::Text, "text"),
    (EventKind::ToolCall, "tool-call"),
    (EventKind::ToolResult, "tool-result"),
    (EventKind::ResponseEnd, "response-end"),
    (EventKind::Failure, "failure"),
    (EventKind::Vitals, "vitals"),
    (EventKind::Answer, "answer"),
    (EventKind::Intervention, "intervention"),
    (EventKind::Finding, "finding"),
    (EventKind::Other, "other"),
];

/// Names of the actions of the contract, as used in grants and on the timeline. `other` is not grantable: the host
/// refuses what it does not know.
pub const ACTIONS: [&str; 24] = [
    "annotate",
    "alert",
    "inject",
    "edit-message",
    "evict-message",
    "replace-messages",
    "set-parameters",
    "route",
    "answer-locally",
    "block",
    "replace-range",
    "stop",
    "retry",
    "deny-tool-call",
    "rewrite-tool-call",
    "substitute-tool-result",
    "hold-for-person",
    "open-circuit",
    "steer",
    "switch-model",
    "fallback-agent",
    "savepoint",
    "rollback",
    "allocate",
];

/// Actions that keep something from passing. A policy that may order one of them fails closed unless told otherwise.
pub const GUARDING: [&str; 8] = [
    "block",
    "stop",
    "replace-range",
    "deny-tool-call",
    "rewrite-tool-call",
    "substitute-tool-result",
    "hold-for-person",
    "open-circuit",
];

/// A kind's name in the contract.
#[must_use]
pub fn kind_name(kind: EventKind) -> &'static str {
    EVENT_KINDS
        .iter()
        .find(|(k, _)| *k == kind)
        .map_or("other", |(_, name)| name)
}

/// Whether a name can be a policy's: 1 to 64 of `a-z 0-9 -`, not beginning or ending with `-`.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}
