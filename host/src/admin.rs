//! The admin API: what operators ask of a running Airlock, and order.
//!
//! JSON over HTTP on a listener of its own; every path but the probes needs the token in `Authorization: Bearer`. Guarantees: errors are
//! JSON (`{"error": {"message": ...}}`) and say what to do; nothing here delays a model call. The CLI uses this API alone, so whatever
//! it shows can be had by other programs.

pub mod approvals;
pub mod auth;
pub mod error;
pub mod events;
pub mod health;
pub mod openapi;
pub mod policies;
pub mod reload;
pub mod sessions;
pub mod state;
pub mod token;

use axum::Router;
use axum::middleware;
use axum::routing::{get, post};

pub use self::error::ApiError;
pub use self::state::Admin;
pub use self::token::Token;
use crate::gateway::server;

/// One line a path: what routes it, and what the test compares with the document.
macro_rules! routes {
    ($($method:ident $path:literal => $handler:path,)*) => {
        fn routes() -> Router<Admin> {
            Router::new()$(.route($path, $method($handler)))*
        }

        #[cfg(test)]
        const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];
    };
}

routes! {
    get "/v1/policies" => policies::list,
    post "/v1/policies/{name}/rollback" => policies::rollback,
    get "/v1/approvals" => approvals::list,
    get "/v1/approvals/{id}" => approvals::show,
    post "/v1/approvals/{id}/approve" => approvals::approve,
    post "/v1/approvals/{id}/deny" => approvals::deny,
    post "/v1/approvals/{id}/notes" => approvals::note,
    get "/v1/sessions" => sessions::list,
    get "/v1/sessions/{id}/timeline" => sessions::timeline,
    get "/v1/events" => events::feed,
    get "/v1/health" => health::report,
    get "/v1/openapi.json" => openapi::serve,
    post "/v1/reload" => reload::reload,
}

/// Its paths.
pub fn router(admin: Admin) -> Router {
    let token = admin.token.clone();
    let probes = server::probes(admin.app.clone());
    routes()
        .fallback(error::unknown)
        .layer(middleware::from_fn_with_state(token, auth::check))
        .with_state(admin)
        .merge(probes)
}
