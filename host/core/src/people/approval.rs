//! An item that waits for a person's word, and the word.
//!
//! In JSON, as the admin API gives it and the store keeps it, names are stable: fields may be added, none is renamed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Micros;
pub use crate::event::OnTimeout;
use crate::event::digest::Digest;
use crate::event::key::SessionId;

/// One item before people.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Approval {
    /// Its name.
    #[schema(value_type = String)]
    pub id: ApprovalId,
    /// Session in which it waits.
    #[schema(value_type = String)]
    pub session: SessionId,
    /// Number of the exchange in its session.
    pub exchange: u32,
    /// Number of the last event of the session's timeline when it came: what led to it stands before. 0 if not known.
    #[serde(default)]
    pub seq: u64,
    /// Policy that holds it, or `rule`.
    pub policy: String,
    /// What waits.
    pub subject: Subject,
    /// Digest of the exact item: see [`super::digest`].
    #[serde(with = "hex")]
    #[schema(value_type = String)]
    pub digest: Digest,
    /// One line for the person.
    pub title: String,
    /// What the person must know to decide.
    pub body: String,
    /// More for the person, as JSON; null for nothing.
    #[serde(default)]
    pub context: Value,
    /// When it came.
    pub opened: Micros,
    /// When its default becomes the decision.
    pub deadline: Micros,
    /// The default.
    pub on_timeout: OnTimeout,
    /// What people said about it without deciding, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Whether it is decided. `state` and `decision` in JSON.
    #[serde(flatten)]
    pub state: State,
}

/// What waits. `kind` in JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[schema(as = ApprovalSubject)]
pub enum Subject {
    /// The request as a whole.
    Request,
    /// Held text of a generation.
    Text {
        /// The text.
        text: String,
    },
    /// A tool call, which the client has not seen.
    ToolCall {
        /// Name of the tool.
        name: String,
        /// Arguments as the model wrote them.
        arguments: String,
    },
    /// A tool's result, which the model has not seen.
    ToolResult {
        /// Name of the tool.
        name: String,
        /// The result.
        text: String,
    },
    /// A policy's question.
    Question {
        /// The target that was asked.
        target: String,
        /// The answers to choose from; empty: yes and no.
        choices: Vec<String>,
    },
}

impl Subject {
    /// The word that stands for its kind in JSON and on the timeline.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Text { .. } => "text",
            Self::ToolCall { .. } => "tool-call",
            Self::ToolResult { .. } => "tool-result",
            Self::Question { .. } => "question",
        }
    }

    /// Name of the tool or target that it is about; empty for requests and text.
    pub fn name(&self) -> &str {
        match self {
            Self::Request | Self::Text { .. } => "",
            Self::ToolCall { name, .. } | Self::ToolResult { name, .. } => name,
            Self::Question { target, .. } => target,
        }
    }
}

/// Whether an approval is decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "state", content = "decision", rename_all = "kebab-case")]
#[schema(as = ApprovalState)]
pub enum State {
    /// It waits.
    Open,
    /// It is decided for good.
    Decided(Decision),
}

/// Who decided what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Decision {
    /// What. `verdict` and `text` in JSON.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Who; `airlock` where nobody did.
    pub by: String,
    /// Why; may be empty.
    pub note: String,
    /// When.
    pub at: Micros,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "verdict", content = "text", rename_all = "kebab-case")]
pub enum Verdict {
    /// The item goes on as it is. To a question without choices: yes.
    Approved,
    /// The item is blocked. To a question: no.
    Denied,
    /// The item goes on changed: new arguments (a JSON object) of a tool call, else a new text.
    Edited(String),
    /// The answer to a question with choices.
    Chosen(String),
    /// Nobody decided in time: [`Approval::on_timeout`] counts.
    TimedOut,
}

impl Verdict {
    /// The word that stands for it in JSON and on the timeline.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Edited(_) => "edited",
            Self::Chosen(_) => "chosen",
            Self::TimedOut => "timed-out",
        }
    }
}

/// What is to become of the item, with the default of a timeout resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It goes on as it is.
    Release,
    /// It goes on with these arguments or this text, which is judged as if the model had written it.
    Change(&'a str),
    /// The question has this answer.
    Answer(&'a str),
    /// It is blocked; a tool call: denied; a question: answered with no.
    Block,
}

impl Approval {
    /// Whether it waits.
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Who decided what, once that is so.
    pub fn decision(&self) -> Option<&Decision> {
        match &self.state {
            State::Open => None,
            State::Decided(decision) => Some(decision),
        }
    }

    /// What is to become of the item; `None` while it waits.
    pub fn outcome(&self) -> Option<Outcome<'_>> {
        Some(match (&self.decision()?.verdict, self.on_timeout) {
            (Verdict::Approved, _) | (Verdict::TimedOut, OnTimeout::Release) => Outcome::Release,
            (Verdict::Denied, _) | (Verdict::TimedOut, OnTimeout::Block) => Outcome::Block,
            (Verdict::Edited(text), _) => Outcome::Change(text),
            (Verdict::Chosen(choice), _) => Outcome::Answer(choice),
        })
    }
}

/// What a person said without deciding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = ApprovalNote)]
pub struct Note {
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
    /// When.
    pub at: Micros,
}

/// An item on its way to the desk.
#[derive(Clone, Debug)]
pub struct New {
    /// Session in which it waits.
    pub session: SessionId,
    /// Number of the exchange.
    pub exchange: u32,
    /// Policy that holds it, or `rule`.
    pub policy: String,
    /// What waits.
    pub subject: Subject,
    /// Digest of the exact item: [`super::digest`], for a request the digest of its body.
    pub digest: Digest,
    /// One line for the person.
    pub title: String,
    /// What the person must know to decide.
    pub body: String,
    /// More for the person, as JSON; null for nothing.
    pub context: Value,
    /// How long it may wait, milliseconds. 0, or more than the operator allows: as long as the operator allows.
    pub deadline_ms: u32,
    /// What counts after that.
    pub on_timeout: OnTimeout,
}

/// Name of an approval: 16 hexadecimal digits. People give a prefix of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApprovalId(u64);

impl ApprovalId {
    pub(super) fn new(number: u64) -> Self {
        Self(number)
    }

    /// The first 8 digits, for narrow columns.
    pub fn short(&self) -> String {
        format!("{:08x}", self.0 >> 32)
    }
}

impl fmt::Display for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for ApprovalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApprovalId({self})")
    }
}

/// The text is not 16 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("an approval's id is 16 hexadecimal digits")]
pub struct InvalidApprovalId;

impl FromStr for ApprovalId {
    type Err = InvalidApprovalId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 16 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(InvalidApprovalId);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidApprovalId)
    }
}

impl Serialize for ApprovalId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ApprovalId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// A digest as 32 hexadecimal digits.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Digest;

    pub(super) fn serialize<S: Serializer>(
        digest: &Digest,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:032x}", u128::from_be_bytes(*digest)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Digest, D::Error> {
        u128::from_str_radix(&String::deserialize(deserializer)?, 16)
            .map(u128::to_be_bytes)
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use serde_json::json;

    fn approval() -> Approval {
        Approval {
            id: ApprovalId::new(0x1f),
            session: "00000000000000000000000000000001".parse().unwrap(),
            exchange: 2,
            seq: 7,
            policy: "tool-guard".into(),
            subject: Subject::ToolCall {
                name: "pay".into(),
                arguments: "{}".into(),
            },
            digest: [0xab; 16],
            title: "t".into(),
            body: "b".into(),
            context: json!({"risk": 0.5}),
            opened: 1,
            deadline: 2,
            on_timeout: OnTimeout::Block,
            notes: vec![],
            state: State::Open,
        }
    }

    #[test]
    fn json_keeps_its_names_and_reads_back() {
        let mut approval = approval();
        let open = json!({
            "id": "000000000000001f", "session": "00000000000000000000000000000001", "exchange": 2, "seq": 7,
            "policy": "tool-guard", "subject": {"kind": "tool-call", "name": "pay", "arguments": "{}"},
            "digest": "abababababababababababababababab", "title": "t", "body": "b", "context": {"risk": 0.5},
            "opened": 1, "deadline": 2, "on_timeout": "block", "state": "open",
        });
        assert_eq!(serde_json::to_value(&approval).unwrap(), open);
        assert_eq!(
            serde_json::from_value::<Approval>(open.clone()).unwrap(),
            approval
        );

        approval.state = State::Decided(Decision {
            verdict: Verdict::Edited("{\"a\":1}".into()),
            by: "ann".into(),
            note: String::new(),
            at: 3,
        });
        let decided = serde_json::to_value(&approval).unwrap();
        assert_eq!(decided["state"], "decided");
        assert_eq!(
            decided["decision"],
            json!({"verdict": "edited", "text": "{\"a\":1}", "by": "ann", "note": "", "at": 3})
        );
        assert_eq!(
            serde_json::from_value::<Approval>(decided).unwrap(),
            approval
        );
    }

    #[test]
    fn the_default_counts_only_when_nobody_decided() {
        let mut approval = approval();
        assert_eq!(approval.outcome(), None);
        for (verdict, on_timeout, outcome) in [
            (Verdict::Approved, OnTimeout::Block, Outcome::Release),
            (Verdict::Denied, OnTimeout::Release, Outcome::Block),
            (Verdict::TimedOut, OnTimeout::Release, Outcome::Release),
            (Verdict::TimedOut, OnTimeout::Block, Outcome::Block),
            (
                Verdict::Edited("x".into()),
                OnTimeout::Block,
                Outcome::Change("x"),
            ),
            (
                Verdict::Chosen("y".into()),
                OnTimeout::Block,
                Outcome::Answer("y"),
            ),
        ] {
            approval.on_timeout = on_timeout;
            approval.state = State::Decided(Decision {
                verdict,
                by: String::new(),
                note: String::new(),
                at: 0,
            });
            assert_eq!(approval.outcome(), Some(outcome));
        }
    }
}
