//! Errors of the admin API.

use axum::body::Body;
use axum::response::IntoResponse;
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::gateway::reply::json_response;
use airlock_core::store::StoreError;

/// A status, and a message for people.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
}

impl ApiError {
    /// An error with a message that says what to do.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorMessage,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorMessage {
    /// What is wrong, and what to do.
    message: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response<Body> {
        let error = ErrorMessage {
            message: self.message,
        };
        json_response(self.status, json!(ErrorBody { error }).to_string())
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let status = match error {
            StoreError::Unknown(_) | StoreError::Absent { .. } => StatusCode::NOT_FOUND,
            StoreError::Ambiguous { .. } => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

impl From<tokio::task::JoinError> for ApiError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the work was interrupted: {error}"),
        )
    }
}

/// Any other path.
pub async fn unknown(request: axum::extract::Request) -> ApiError {
    ApiError::new(
        StatusCode::NOT_FOUND,
        format!(
            "the admin API has no {} {}",
            request.method(),
            request.uri().path()
        ),
    )
}
