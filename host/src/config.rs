//! What the operator decides: `airlock.toml`, or what the environment offers when there is none.
//!
//! A configuration is judged as a whole before anything uses it: either every part is sound, or all problems are told
//! at once, each with its place in the file and what to do. Keys of upstreams stand in it by reference only.
//! Not here: what a policy's settings mean (the policy says so itself), and the files beside the policies.

pub mod client_key;
pub mod data;
pub mod environment;
mod inside;
pub mod listen;
pub mod locate;
pub mod parse;
pub mod people;
pub mod place;
pub mod policies;
pub mod problem;
pub mod profile;
pub mod session;
pub mod template;
#[cfg(test)]
mod tests;
mod validate;
pub mod warnings;
pub mod watch;
mod whole;

pub use client_key::{ClientKey, KeyHash};
pub use data::DataConfig;
pub use listen::{AdminConfig, GatewayConfig};
pub use people::PeopleConfig;
pub use policies::PoliciesConfig;
pub use problem::{Problem, Problems};
pub use profile::ProfileConfig;
pub use session::SessionConfig;
pub use whole::{Config, Source};
