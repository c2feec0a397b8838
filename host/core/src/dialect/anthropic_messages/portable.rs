//! Requests of Messages from and to those of other APIs.

mod from;
mod to;

pub(super) use from::read;
pub(super) use to::write;
