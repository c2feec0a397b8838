//! Constructors of the actions that edit: messages, generated text, tool calls and their results.

use crate::types::{
    Injection, MessageEdit, MessageEviction, MessageReplacement, Position, Replacement,
    ResultSubstitution, Role, Scope, Span, ToolDenial, ToolRewrite,
};

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

impl Replacement {
    /// Puts a text in the place of a range of generated text, of which nothing may have been released. A range of length 0
    /// inserts.
    pub fn of(span: Span, text: impl Into<String>) -> Self {
        Self {
            span,
            text: text.into(),
        }
    }
}

impl ToolDenial {
    /// Keeps a call, by its id, from the client; the model is given the reason as its result.
    pub fn new(call: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            call: call.into(),
            reason: reason.into(),
        }
    }
}

impl ToolRewrite {
    /// Lets a call, by its id, out with other arguments: JSON, or free text for a [`Custom`](crate::types::CallKind) one.
    pub fn new(call: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            call: call.into(),
            content: content.into(),
        }
    }
}

impl ResultSubstitution {
    /// Gives the model another text as the result of a call, by its id, for this exchange.
    pub fn new(call: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            call: call.into(),
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
