//! How the policies stand; bringing an earlier generation back.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde_json::{Value, json};

use super::{Admin, ApiError};
use crate::policy::PolicyStatus;

/// `GET /v1/policies`
pub async fn list(State(admin): State<Admin>) -> Json<Vec<PolicyStatus>> {
    Json(admin.app.policies.status())
}

/// `POST /v1/policies/{name}/rollback`
///
/// # Errors
/// 404 for a name that no policy has, 409 if there is no generation to return to.
pub async fn rollback(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    if !admin
        .app
        .policies
        .status()
        .iter()
        .any(|policy| policy.name == name)
    {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no policy {name}: `airlock policies` lists them"),
        ));
    }
    let policies = admin.app.policies.clone();
    let rolled_back = name.clone();
    let generation = tokio::task::spawn_blocking(move || policies.rollback(&rolled_back))
        .await?
        .map_err(|error| ApiError::new(StatusCode::CONFLICT, format!("{error:#}")))?;
    Ok(Json(json!({"name": name, "generation": generation})))
}
