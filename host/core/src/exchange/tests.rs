//! Exchanges without I/O: what a driver would do is done here by hand, at moments that the tests choose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod awkward;
mod parley;
mod time;
mod world;
