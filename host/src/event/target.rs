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
