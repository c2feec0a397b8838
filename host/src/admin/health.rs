//! How the machine, tools, models and upstreams have been doing.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::error::ErrorBody;
use super::state::Admin;
use airlock_core::event::clock::now;
use airlock_core::observe::health::Standing;
use airlock_core::observe::machine::Sample;

/// What was measured.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct HealthReport {
    /// The machine and the agent, in the newest second. What cannot be measured is absent.
    machine: Sample,
    /// Tools, models and upstreams with calls in the last five minutes.
    standings: Vec<Standing>,
    /// Sessions in memory.
    sessions: usize,
}

/// `GET /v1/health`
#[utoipa::path(
    get,
    path = "/v1/health",
    operation_id = "getHealth",
    tag = "health",
    summary = "How the machine, tools, models and upstreams have been doing",
    description = "",
    responses(
        (status = 200, description = "What was measured", body = HealthReport),
        (status = 401, description = "No token, or a wrong one", body = ErrorBody),
    )
)]
pub async fn report(State(admin): State<Admin>) -> Json<HealthReport> {
    let app = &admin.app;
    Json(HealthReport {
        machine: app.machine.newest(),
        standings: app.health.report(now()),
        sessions: app.sessions.len(),
    })
}
