//! A part of an answer that the client never sees: a leg that ended in calls which were denied.

use crate::dialect::ToolCallView;

/// A leg that ended in calls which the client never sees.
#[derive(Clone, Debug)]
pub struct Step {
    /// What the model said before it called.
    pub said: String,
    /// The same turn as its upstream wrote it, without the calls, if that is known.
    pub own: Option<String>,
    /// The calls, and what the model is given as their results.
    pub calls: Vec<(ToolCallView, String)>,
}
