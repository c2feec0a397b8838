//! Checkpoints: when policies are asked, what they are shown, how far their word lets text go.

pub mod on_finding;
pub mod order;
pub mod panel;
pub mod patterns;
pub mod plan;
pub mod plans;
pub mod round;
pub mod rules;
pub mod watch;
