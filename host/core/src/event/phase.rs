//! How far an exchange has come.

/// How far the exchange has come: decides what is still possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The request has not gone upstream.
    Request,
    /// The upstream was asked; nothing has come yet.
    Waiting,
    /// The generation runs.
    Generating,
    /// The upstream failed before it generated anything.
    Failed,
}
