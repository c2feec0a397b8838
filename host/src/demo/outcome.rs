//! What a scene came to.

/// What a scene came to.
pub struct Outcome {
    /// What went wrong without Airlock.
    pub problem: &'static str,
    /// Who stepped in.
    pub policy: &'static str,
    /// What Airlock did.
    pub done: String,
    /// What that saved.
    pub saved: String,
    /// Whether everything that must happen did.
    pub good: bool,
}
