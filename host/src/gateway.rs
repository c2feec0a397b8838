//! HTTP in: the listener for applications, and what the wire says.

pub mod admission;
pub mod app;
mod cors;
pub mod declared;
pub mod exchange;
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
pub mod settings;

pub use app::App;
pub use settings::Settings;
