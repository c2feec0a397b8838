//! Bad files, as people write them: each message has its place and says what to do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bad;
mod good;
mod mistakes;
mod written;
