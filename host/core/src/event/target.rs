//! Where a call may go.

use std::sync::Arc;

/// One place where a call may go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Name of a configured upstream.
    pub upstream: Arc<str>,
    /// Model as that upstream is asked for it.
    pub model: Arc<str>,
}

/// What goes to an upstream of another wire API than the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Headers that every request of that API has.
    pub headers: &'static [(&'static str, &'static str)],
}

/// Whether an upstream's streams are asked for their usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamUsage {
    /// It is known to take that.
    Ask,
    /// It is not known: a refusal is to be cured by asking without it.
    Try,
    /// It refused once, or the operator says that it does.
    Leave,
}
