//! The scenes: agents that misbehave, and what must happen to them.
//!
//! A scene says afterwards whether Airlock stepped in as it must. Against a real server the agents do the same; where a
//! model does not misbehave as the simulated ones do, the scene says what it changed.

mod asking;
pub mod budgets;
pub mod leak;
pub mod models;
pub mod rule;
pub mod search;
pub mod tools;
