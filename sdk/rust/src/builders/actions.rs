//! Constructors of actions, and the actions that records become.

use crate::types::{
    Action, Alert, Allocation, Annotation, Block, BlockMode, Circuit, Hold, Injection, Item,
    MessageEdit, MessageEviction, MessageReplacement, OnTimeout, Parameters, PatternMatch,
    Position, Replacement, ResultSubstitution, Retry, Role, Route, Scope, Severity, Steering, Stop,
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

impl Injection {
    /// After everything, for this exchange.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            text: text.into(),
            position: Position::End,
            scope: Scope::Exchange,
        }
    }

    /// Elsewhere.
    pub fn at(mut self, position: Position) -> Self {
        self.position = position;
        self
    }

    /// For the rest of the session.
    pub fn for_session(mut self) -> Self {
        self.scope = Scope::Session;
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

impl Replacement {
    /// Puts a text in the place of a match.
    pub fn of(found: &PatternMatch, text: impl Into<String>) -> Self {
        Self {
            channel: found.channel,
            choice: found.choice,
            block: found.block,
            offset: found.offset,
            len: found.len,
            text: text.into(),
        }
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

impl Allocation {
    /// Limits of the session; 0 leaves one as before.
    pub fn for_session(max_tokens: u64, max_cost: u64) -> Self {
        Self {
            scope: Scope::Session,
            max_tokens,
            max_cost,
        }
    }

    /// Limits of this exchange; 0 leaves one as before.
    pub fn for_exchange(max_tokens: u64, max_cost: u64) -> Self {
        Self {
            scope: Scope::Exchange,
            max_tokens,
            max_cost,
        }
    }
}

impl MessageEdit {
    /// Gives a message another text, for this exchange.
    pub fn new(message: u64, text: impl Into<String>) -> Self {
        Self {
            message,
            text: text.into(),
            scope: Scope::Exchange,
        }
    }

    /// For the rest of the session.
    pub fn for_session(mut self) -> Self {
        self.scope = Scope::Session;
        self
    }
}

impl MessageEviction {
    /// Leaves a message out, for this exchange.
    pub fn new(message: u64) -> Self {
        Self {
            message,
            scope: Scope::Exchange,
        }
    }

    /// For the rest of the session.
    pub fn for_session(mut self) -> Self {
        self.scope = Scope::Session;
        self
    }
}

impl MessageReplacement {
    /// Takes out the messages from `first` to `last`, for this exchange. What is [said](Self::say) stands in their place.
    pub fn of(first: u64, last: u64) -> Self {
        Self {
            first,
            last,
            messages: Vec::new(),
            scope: Scope::Exchange,
        }
    }

    /// With one message more in their place.
    pub fn say(mut self, role: Role, text: impl Into<String>) -> Self {
        self.messages.push((role, text.into()));
        self
    }

    /// For the rest of the session.
    pub fn for_session(mut self) -> Self {
        self.scope = Scope::Session;
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

impl ToolDenial {
    /// Keeps the call with this id from the client; the model is given the reason as its result.
    pub fn new(id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            reason: reason.into(),
        }
    }
}

impl ToolRewrite {
    /// Lets the call with this id out with other arguments, as JSON.
    pub fn new(id: impl Into<String>, arguments: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            arguments: arguments.into(),
        }
    }
}

impl ResultSubstitution {
    /// Gives the model another text as the result of the call with this id, for this exchange.
    pub fn new(id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            text: text.into(),
            scope: Scope::Exchange,
        }
    }

    /// For the rest of the session.
    pub fn for_session(mut self) -> Self {
        self.scope = Scope::Session;
        self
    }
}

impl Hold {
    /// Lets an item wait for a person, for 1 to 86,400,000 ms. When nobody decides in time it is treated as blocked.
    pub fn new(item: Item, title: impl Into<String>, deadline_ms: u32) -> Self {
        Self {
            item,
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
