//! Policies through the library's public face: real components, a real directory, real file events.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bench;
mod guests;
mod hostile;
mod reload;
mod sessions;
mod support;
mod wasi;
