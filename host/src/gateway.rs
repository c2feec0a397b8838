//! HTTP in: the listener for applications, and what the wire says.

pub mod admission;
pub mod app;
pub mod arrival;
mod cors;
pub mod declared;
mod drive;
mod front;
pub mod guard;
mod handoff;
pub mod identity;
mod intake;
mod known;
mod metering;
mod models;
mod multipart;
mod named;
pub mod passages;
pub mod passthrough;
mod query_key;
pub mod reload;
pub mod reply;
pub mod resolve;
mod respond;
pub mod server;
pub mod settings;
mod surroundings;

pub use app::App;
pub use settings::Settings;
