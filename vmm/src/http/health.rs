//! Whether it is well, what it counts, what it can be asked.

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use super::auth::Operator;
use super::{App, OPENAPI};
use crate::api::Problem;

/// GET `/healthz`: the process answers.
pub(super) async fn healthy() -> &'static str {
    "ok\n"
}

/// GET `/readyz`: it takes calls.
pub(super) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    if app.monitor().draining() {
        return Err(Problem::shutting_down("the monitor is about to stop"));
    }
    Ok("ready\n")
}

/// GET `/metrics`, for Prometheus.
pub(super) async fn metrics(
    _operator: Operator,
    State(app): State<App>,
) -> Result<impl IntoResponse, Problem> {
    let text = app.blocking(|monitor| super::metrics::text(&monitor.measures())).await?;
    let text = text.map_err(|error| Problem::internal(error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

/// GET `/openapi.json`.
pub(super) async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}
