//! What a policy returns: assessments with findings, decisions, and what waits.

use serde::Serialize;

use crate::types::{
    Action, Assessment, Decision, Finding, OnTimeout, Pending, Place, ReleaseMark, RemoteAction,
    Severity, Span, Subject,
};

impl Finding {
    /// A certain finding (confidence 1) about the session, without evidence. `kind` is `<policy>.<word>` by convention.
    pub fn new(kind: impl Into<String>, severity: Severity, summary: impl Into<String>) -> Self {
        Self {
            kind: kind.into(),
            severity,
            confidence: 1.0,
            subject: Subject::default(),
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

    /// What it is about: a [`Subject`], or a tool call, the result of one, a message or a span. The operator's table acts on
    /// this.
    pub fn about(mut self, subject: impl Into<Subject>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Where it shows: in texts that this exchange has told so far.
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
            marks: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// With one finding more.
    pub fn find(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }

    /// With everything before this offset of a text let out, in a channel that the policy holds.
    pub fn release(mut self, place: Place, upto: u32) -> Self {
        self.marks.push(ReleaseMark::new(place, upto));
        self
    }

    /// With a subject parked until an answer arrives.
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
            elsewhere: Vec::new(),
            pending: Vec::new(),
        }
    }

    /// With one action more, in this exchange.
    pub fn order(mut self, action: impl Into<Action>) -> Self {
        self.actions.push(action.into());
        self
    }

    /// With an action in another exchange of this session, by its number; 0: in all that are under way.
    pub fn order_in(mut self, exchange: u32, action: impl Into<Action>) -> Self {
        self.elsewhere.push(RemoteAction {
            session: String::new(),
            exchange,
            action: action.into(),
        });
        self
    }

    /// With a subject parked until an answer arrives.
    pub fn park(mut self, pending: Pending) -> Self {
        self.pending.push(pending);
        self
    }
}

impl<A: Into<Action>> FromIterator<A> for Decision {
    fn from_iter<I: IntoIterator<Item = A>>(actions: I) -> Self {
        Self {
            actions: actions.into_iter().map(Into::into).collect(),
            ..Self::none()
        }
    }
}

impl Pending {
    /// Parks a subject (`Request`, `Response` or `Text`, `ToolCall`, `ToolResult`) until the question of this ticket is
    /// answered, for 1 to 86,400,000 ms. When nobody answers in time it is treated as blocked.
    pub fn new(ticket: u64, subject: impl Into<Subject>, deadline_ms: u32) -> Self {
        Self {
            ticket,
            subject: subject.into(),
            deadline_ms,
            on_timeout: OnTimeout::Block,
        }
    }

    /// When nobody answers in time, it goes on as if there were no objection.
    pub fn or_release(mut self) -> Self {
        self.on_timeout = OnTimeout::Release;
        self
    }
}
