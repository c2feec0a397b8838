//! HTTP in: the listener for applications, and what the wire says.

pub mod admission;
pub mod app;
mod cors;
pub mod declared;
pub mod dialect;
pub mod exchange;
pub mod framing;
pub mod guard;
pub mod identity;
mod intake;
mod metering;
mod models;
mod multipart;
mod named;
pub mod passages;
pub mod passthrough;
pub mod reload;
pub mod reply;
pub mod resolve;
pub mod server;
pub mod sse;

pub use app::{App, Settings};
