//! Checkpoints: what wakes a policy, and how far text may be released.

pub mod patterns;
