//! One agent's run: its timeline, its conversation as the client tells it, its policies' seats, its ledger.

pub mod circuits;
pub mod content;
pub mod conversation;
pub mod facts;
pub mod feed;
pub mod ledger;
pub mod mailbox;
pub mod overlay;
mod quota;
pub mod recognition;
pub mod record;
pub mod sessions;
pub mod state;
pub mod timeline;
pub mod told;
