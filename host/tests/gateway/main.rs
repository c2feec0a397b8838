//! The gateway through its sockets: a real client in front, the simulated upstream behind, real components between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../policy/tests/policies/guests.rs"]
#[allow(dead_code, reason = "shared with the tests of policies")]
mod guests;

mod actions;
mod aims;
mod assembled;
mod budgets;
mod coverage;
mod declared;
mod endings;
mod failure;
mod forms;
mod hibernation;
mod holds;
mod hostile;
mod keys;
mod metering;
mod network;
mod operation;
mod outgoing;
mod overlay;
mod pending;
mod recognition;
mod recovery;
mod refusals;
mod rules;
mod sessions;
mod support;
mod thinking;
mod tools;
mod transport;
mod upstreams;
mod vitals;
