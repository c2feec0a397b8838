//! Reading the configuration and the policy directory again, on order.

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::{Admin, ApiError};
use crate::gateway::reload::Reloaded;

/// `POST /v1/reload`: answers when what changed is in force.
///
/// # Errors
/// 422 with what is wrong; the old configuration goes on.
pub async fn reload(State(admin): State<Admin>) -> Result<Json<Reloaded>, ApiError> {
    let reloaded =
        admin.reloader.reload().await.map_err(|error| {
            ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}"))
        })?;
    let policies = admin.app.policies.clone();
    tokio::task::spawn_blocking(move || policies.rescan()).await?;
    Ok(Json(reloaded))
}
