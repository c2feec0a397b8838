//! Exchanges without I/O: what a driver would do is done here by hand, at moments that the tests choose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod awkward;
mod completions;
mod differential;
mod gemini;
mod messages;
mod ollama;
mod parley;
#[path = "../../../tests/gateway/support/readings.rs"]
mod readings;
mod responses;
mod steps;
mod time;
mod world;
