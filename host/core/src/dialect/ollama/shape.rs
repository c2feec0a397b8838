//! In what the two APIs differ where they answer.

/// Where an answer of one of the APIs says what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Name of the dialect.
    pub name: &'static str,
    /// Field that bears the message; `None`: its fields stand beside those of the line.
    pub message: Option<&'static str>,
    /// Field of the message that bears its text.
    pub text: &'static str,
}

/// Answers of `/api/chat`.
pub(super) static CHAT: Shape = Shape {
    name: "ollama-chat",
    message: Some("message"),
    text: "content",
};

/// Answers of `/api/generate`.
pub(super) static GENERATE: Shape = Shape {
    name: "ollama-generate",
    message: None,
    text: "response",
};

/// The field that bears what the model thought.
pub(super) const THINKING: &str = "thinking";
