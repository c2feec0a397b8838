//! How the policies stand; bringing an earlier generation back.

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, ErrorBody};
use super::state::Admin;
use airlock_policy::PolicyStatus;

/// `GET /v1/policies`
#[utoipa::path(
    get,
    path = "/v1/policies",
    operation_id = "listPolicies",
    tag = "policies",
    summary = "How every policy stands, by name",
    description = "",
    responses(
        (status = 200, description = "The policies", body = Vec<PolicyStatus>),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
    )
)]
pub async fn list(State(admin): State<Admin>) -> Json<Vec<PolicyStatus>> {
    Json(admin.app.policies.status())
}

/// What serves after a rollback.
#[derive(Debug, Serialize, ToSchema)]
pub struct RolledBack {
    /// The policy.
    name: String,
    /// Its serving generation.
    generation: u32,
}

/// `POST /v1/policies/{name}/rollback`
///
/// # Errors
/// 404 for a name that no policy has, 409 if there is no generation to return to.
#[utoipa::path(
    post,
    path = "/v1/policies/{name}/rollback",
    operation_id = "rollBackPolicy",
    tag = "policies",
    summary = "Brings the generation before the serving one back",
    description = "",
    params(("name" = String, Path, description = "Name of the policy")),
    responses(
        (status = 200, description = "The generation that serves now", body = RolledBack),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
        (status = 404, description = "No policy has this name", body = ErrorBody),
        (status = 409, description = "There is no generation to return to", body = ErrorBody),
    )
)]
pub async fn rollback(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<Json<RolledBack>, ApiError> {
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
    Ok(Json(RolledBack { name, generation }))
}
