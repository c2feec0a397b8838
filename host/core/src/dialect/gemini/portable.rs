//! Requests from and to those of other APIs.

mod fields;
mod said;
mod schema;
mod write;

pub(super) use fields::read;
pub(super) use write::write;
