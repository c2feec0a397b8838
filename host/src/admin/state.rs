//! What the admin API works on.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::token::Token;
use crate::gateway::App;
use crate::gateway::reload::Reloader;
use airlock_core::session::feed::Feed;
use airlock_core::store::Store;

/// What the admin API works on.
#[derive(Clone)]
pub struct Admin {
    /// Settings and policies.
    pub app: Arc<App>,
    /// Sessions and their timelines.
    pub store: Arc<dyn Store>,
    /// What happens now.
    pub feed: Feed,
    /// Reads the configuration again.
    pub reloader: Arc<Reloader>,
    /// What callers must show.
    pub token: Arc<Token>,
    /// Ends the live feeds, which would go on for ever.
    pub stop: CancellationToken,
}
