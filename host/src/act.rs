//! What policies order: whether it may be done, which of several orders wins, and the words for it.

pub mod name;
pub mod record;
pub mod slots;
