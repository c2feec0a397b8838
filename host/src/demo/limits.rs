//! What the demo's policies allow, and its scenes run into.

/// Time that a session may spend waiting for models, in milliseconds.
pub const LATENCY_BUDGET_MS: u64 = 4_000;

/// Tokens that a session may use.
pub const TOKEN_BUDGET: u64 = 200;

/// How long a model may say nothing, in milliseconds.
pub const SILENCE_MS: u64 = 1_000;

/// The window of the model of the long conversation, in tokens.
pub const WINDOW: u64 = 800;
