//! Reading the configuration and the policy directory again, on order.

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::error::{ApiError, ErrorBody};
use super::state::Admin;
use crate::gateway::reload::Reloaded;

/// `POST /v1/reload`: answers when what changed is in force.
///
/// # Errors
/// 422 with what is wrong; the old configuration goes on.
#[utoipa::path(
    post,
    path = "/v1/reload",
    operation_id = "reload",
    tag = "configuration",
    summary = "Reads the configuration and the policy directory again",
    description = "Answers when what changed is in force.",
    responses(
        (status = 200, description = "What changed", body = Reloaded),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 422, description = "What is wrong; the old configuration goes on", body = ErrorBody),
    )
)]
pub async fn reload(State(admin): State<Admin>) -> Result<Json<Reloaded>, ApiError> {
    let reloaded =
        admin.reloader.reload().await.map_err(|error| {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}"))
        })?;
    let policies = admin.app.policies.clone();
    tokio::task::spawn_blocking(move || policies.rescan()).await?;
    Ok(Json(reloaded))
}
