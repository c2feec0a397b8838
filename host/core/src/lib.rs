//! Airlock's core: one model call without I/O, and what it stands on.
//!
//! Rooms import only rooms below them, in this order: `exchange`, `act`, `release`; `prompt`, `reason` and `people`;
//! `session`; `dialect`, `observe` and `store`; `event`. Nothing here names HTTP or reads a configuration file.

pub mod act;
pub mod dialect;
pub mod event;
pub mod exchange;
pub mod observe;
pub mod people;
pub mod prompt;
pub mod reason;
pub mod release;
pub mod session;
pub mod store;
