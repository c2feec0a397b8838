//! Constructors of the actions that do not edit, and the actions that records become.

use crate::types::{
    Action, Alert, Allocation, Annotation, Block, BlockMode, Circuit, Handover, Hold, Injection,
    MessageEdit, MessageEviction, MessageReplacement, OnTimeout, Parameters, Replacement,
    ResultSubstitution, Retry, Rollback, Route, Scope, Severity, Steering, Stop, Subject,
    ToolDenial, ToolRewrite,
};

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
    Hold => HoldForPerson,
    Circuit => OpenCircuit,
    Steering => Steer,
    Handover => FallbackAgent,
    Rollback => Rollback,
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

impl Default for Retry {
    fn default() -> Self {
        Self::new()
    }
}

impl Retry {
    /// The same call again, at once.
    pub fn new() -> Self {
        Self {
            upstream: String::new(),
            model: String::new(),
            after_ms: 0,
        }
    }

    /// Of another model; empty: the same.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = model.into();
        self
    }

    /// At this configured upstream; empty: the same.
    pub fn upstream(mut self, name: impl Into<String>) -> Self {
        self.upstream = name.into();
        self
    }

    /// After a wait.
    pub fn after_ms(mut self, ms: u32) -> Self {
        self.after_ms = ms;
        self
    }
}

impl Hold {
    /// Lets a subject (as of [`Pending`](crate::types::Pending::new)) wait for a person, for 1 to 86,400,000 ms. When nobody
    /// decides in time it is treated as blocked.
    pub fn new(subject: impl Into<Subject>, title: impl Into<String>, deadline_ms: u32) -> Self {
        Self {
            subject: subject.into(),
            title: title.into(),
            body: String::new(),
            deadline_ms,
            on_timeout: OnTimeout::Block,
        }
    }

    /// What the person must know to decide.
    pub fn body(mut self, body: impl Into<String>) -> Self {
        self.body = body.into();
        self
    }

    /// When nobody decides in time, it goes on as if there were no objection.
    pub fn or_release(mut self) -> Self {
        self.on_timeout = OnTimeout::Release;
        self
    }
}

impl Circuit {
    /// Keeps a tool from being called for so many milliseconds; each call gets the answer as its result.
    pub fn open(tool: impl Into<String>, cooldown_ms: u32, answer: impl Into<String>) -> Self {
        Self {
            tool: tool.into(),
            cooldown_ms,
            answer: answer.into(),
        }
    }
}

impl Handover {
    /// To this configured agent. The reason is for people and for that agent.
    pub fn to(agent: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            agent: agent.into(),
            reason: reason.into(),
        }
    }
}

impl Rollback {
    /// To this savepoint. The model reads the note after it: what failed and why.
    pub fn to(savepoint: impl Into<String>, note: impl Into<String>) -> Self {
        Self {
            savepoint: savepoint.into(),
            note: note.into(),
        }
    }
}

impl Allocation {
    /// Limits of the session; those that are not named stay as before.
    pub fn for_session() -> Self {
        Self {
            scope: Scope::Session,
            limits: Vec::new(),
        }
    }

    /// Limits of this exchange; those that are not named stay as before.
    pub fn for_exchange() -> Self {
        Self {
            scope: Scope::Exchange,
            limits: Vec::new(),
        }
    }

    /// At most so many tokens in all.
    pub fn tokens(self, most: u64) -> Self {
        self.limit("tokens", most)
    }

    /// At most so many microdollars in all.
    pub fn cost(self, most: u64) -> Self {
        self.limit("cost", most)
    }

    /// A limit by its name in the contract.
    pub fn limit(mut self, name: impl Into<String>, most: u64) -> Self {
        self.limits.push((name.into(), most));
        self
    }
}
