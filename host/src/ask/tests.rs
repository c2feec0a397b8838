//! Questions from the import to the mailbox, with a real store, real upstreams, and the simulator or a stub behind them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod limits;
mod models;
mod people;
mod world;
