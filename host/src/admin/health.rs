//! How the machine, tools, models and upstreams have been doing.

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::Admin;
use crate::observe::health::Standing;
use crate::observe::machine::Sample;
use crate::session::timeline::now;

/// What was measured.
#[derive(Debug, Serialize)]
pub struct HealthReport {
    /// The machine and the agent, in the newest second. What cannot be measured is absent.
    machine: Sample,
    /// Tools, models and upstreams with calls in the last five minutes.
    standings: Vec<Standing>,
    /// Sessions in memory.
    sessions: usize,
}

/// `GET /v1/health`
pub async fn report(State(admin): State<Admin>) -> Json<HealthReport> {
    let app = &admin.app;
    Json(HealthReport {
        machine: app.machine.newest(),
        standings: app.health.report(now()),
        sessions: app.sessions.len(),
    })
}
