//! HTTP out: model calls to configured upstreams.
//!
//! Guarantees: bodies pass byte for byte; a call is repeated or moved to another upstream only before its first byte has
//! arrived; redirects are not followed (the key would follow too); dropping a response cancels the call at once.
//! What failed on the way is reported attempt by attempt. Not here: what the bytes mean.

pub mod attempt;
pub mod body;
pub mod client;
pub mod coding;
mod connect;
pub mod error;
pub mod gate;
pub mod headers;
pub mod key;
pub mod limits;
pub mod message;
pub mod route;
mod server;
pub mod settings;
#[cfg(test)]
mod tests;
mod tls;
pub mod webhook;

pub use attempt::{Attempt, Next};
pub use body::Body;
pub use client::{Unusable, Upstreams};
pub use error::UpstreamError;
pub use gate::{Charge, Full, Gates, Pass, Whose};
pub use message::{Draft, Outgoing, Response};
pub use route::Routes;
