//! One model call from request to end.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use http::{Request, Response, StatusCode};

use super::app::App;
use super::reply;

/// Serves `POST /v1/chat/completions`.
pub async fn handle(State(_app): State<Arc<App>>, _request: Request<Body>) -> Response<Body> {
    reply::error(
        StatusCode::NOT_IMPLEMENTED,
        "api_error",
        "airlock_not_built",
        "this build cannot serve exchanges yet",
    )
}
