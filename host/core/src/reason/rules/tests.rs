//! Conditions as people write them, right and wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod failing;
mod firing;
mod meaning;
mod mistakes;
mod stage;
