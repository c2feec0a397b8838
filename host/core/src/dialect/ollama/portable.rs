//! Requests from and to those of other APIs.

mod read;
mod settings;
mod write;

pub(super) use read::{of_chat, of_generate};
pub(super) use write::to_chat;
