//! What a client says about its own call: which task it serves, how risky that is, how long it may take.
//!
//! A client is not trusted, so none of this loosens anything: a deadline and a budget tighten, a risk is something for
//! policies and rules to be stricter by. Where it is read from: `gateway/declared.rs`.

use std::fmt;
use std::time::Duration;

/// What one request declares. Everything is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The task that the call serves; 1 to 256 characters.
    pub task: Option<String>,
    /// The part of it; 1 to 256 characters.
    pub subtask: Option<String>,
    /// How much is at stake.
    pub risk: Option<Risk>,
    /// Longest time for the call, from its arrival to its last byte; 1 ms to a day.
    pub deadline: Option<Duration>,
    /// Most tokens that the whole session may use from its beginning, input and output; from 1.
    pub max_tokens: Option<u64>,
}

/// How much is at stake, in rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Risk {
    /// Nothing is lost if it goes wrong.
    Low,
    /// It can be mended.
    Medium,
    /// It is hard to mend.
    High,
    /// It must not go wrong.
    Critical,
}

impl Risk {
    /// All of them, in rising order.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its word in headers, facts and rules.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Risk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Declared {
    /// What was declared, by the names that policies know it under; empty if nothing was.
    pub fn facts(&self) -> Vec<(String, String)> {
        let deadline = self.deadline.map(|d| d.as_millis().to_string());
        [
            ("task", self.task.clone()),
            ("subtask", self.subtask.clone()),
            ("risk", self.risk.map(|risk| risk.to_string())),
            ("deadline_ms", deadline),
            ("max_tokens", self.max_tokens.map(|n| n.to_string())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}
