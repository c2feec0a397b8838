//! The admin API: what operators ask of a running Airlock, and order.
//!
//! JSON over HTTP on a listener of its own; every path needs the token in `Authorization: Bearer`. Guarantees: errors are
//! JSON (`{"error": {"message": ...}}`) and say what to do; nothing here delays a model call. The CLI uses this API alone, so whatever
//! it shows can be had by other programs.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::gateway::App;
use crate::gateway::reload::Reloader;
use crate::session::feed::Feed;
use crate::store::Store;

pub mod approvals;
pub mod auth;
pub mod error;
pub mod events;
pub mod health;
pub mod policies;
pub mod reload;
pub mod sessions;
pub mod token;

pub use error::ApiError;
pub use token::Token;

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

/// Its paths.
pub fn router(admin: Admin) -> Router {
    let token = admin.token.clone();
    Router::new()
        .route("/v1/approvals", get(approvals::list))
        .route("/v1/approvals/{id}", get(approvals::show))
        .route("/v1/approvals/{id}/approve", post(approvals::approve))
        .route("/v1/approvals/{id}/deny", post(approvals::deny))
        .route("/v1/approvals/{id}/notes", post(approvals::note))
        .route("/v1/policies", get(policies::list))
        .route("/v1/policies/{name}/rollback", post(policies::rollback))
        .route("/v1/sessions", get(sessions::list))
        .route("/v1/sessions/{id}/timeline", get(sessions::timeline))
        .route("/v1/events", get(events::feed))
        .route("/v1/health", get(health::report))
        .route("/v1/reload", post(reload::reload))
        .fallback(error::unknown)
        .layer(middleware::from_fn_with_state(token, auth::check))
        .with_state(admin)
}
