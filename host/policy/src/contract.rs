//! The policy contract (`wit/`) as Rust types, generated for the host.
//!
//! The types of `airlock:policy/types` are used as they are throughout the host: there is no second
//! set of the same records. They are owned; the host passes them to guests by reference.

#[allow(missing_docs, reason = "documented in wit/")]
mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "policy",
        additional_derives: [Clone, PartialEq, serde::Serialize, serde::Deserialize],
    });
}

pub use generated::airlock::policy::{asking, content, logging, state, types};
pub use generated::exports::airlock::policy::{about, acting, reasoning};

/// Version of the contract that this host speaks.
pub const VERSION: &str = "0.1.0";
