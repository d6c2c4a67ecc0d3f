//! Functions of a tenant: lists, versions, settings, logs.

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use faaslet_store::{Secret, Settings};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::auth::{Acting, Function};
use super::body::{self, MAX_JSON_BYTES};
use super::{App, stream};
use crate::api::{FunctionInfo, LogRecord, Problem, RollbackRequest, SettingsRequest, VersionInfo};

/// GET `/v1/functions`.
pub(super) async fn list(State(app): State<App>, tenant: Acting) -> Json<Vec<FunctionInfo>> {
    Json(app.monitor().functions(tenant.0.as_str()))
}

/// DELETE `/v1/functions/{name}`.
pub(super) async fn remove(
    State(app): State<App>,
    Function(function): Function,
) -> Result<StatusCode, Problem> {
    app.monitor().remove_function(&function)?;
    Ok(StatusCode::NO_CONTENT)
}

/// GET `/v1/functions/{name}/versions`.
pub(super) async fn versions(
    State(app): State<App>,
    Function(function): Function,
) -> Result<Json<Vec<VersionInfo>>, Problem> {
    Ok(Json(app.monitor().versions(&function)?))
}

/// POST `/v1/functions/{name}/rollback`.
pub(super) async fn rollback(
    State(app): State<App>,
    Function(function): Function,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let request: RollbackRequest =
        body::json(body, &headers, MAX_JSON_BYTES, &app.0.bodies).await?;
    app.monitor().rollback(function, request.version)?;
    Ok(StatusCode::NO_CONTENT)
}

/// PUT `/v1/functions/{name}/settings`.
pub(super) async fn settings(
    State(app): State<App>,
    Function(function): Function,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let request: SettingsRequest =
        body::json(body, &headers, MAX_JSON_BYTES, &app.0.bodies).await?;
    let secrets = request.secrets.into_iter().map(|(name, value)| (name, Secret::new(value)));
    let settings = Settings { env: request.env, secrets: secrets.collect() };
    app.monitor().set_settings(&function, settings).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which lines are wanted.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub(super) struct LogQuery {
    lines: usize,
    follow: bool,
}

impl Default for LogQuery {
    fn default() -> Self {
        Self { lines: 100, follow: false }
    }
}

/// GET `/v1/functions/{name}/logs`.
pub(super) async fn logs(
    State(app): State<App>,
    Function(function): Function,
    query: Result<Query<LogQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let query = query.map_err(|error| Problem::bad_request(error.body_text()))?.0;
    let (tenant, name) = (function.tenant.as_str().to_owned(), function.name.as_str().to_owned());
    if !app.monitor().functions(&tenant).iter().any(|function| function.name == name) {
        return Err(Problem::not_found(format!("no function {name}; see `faaslet ps`")));
    }
    // First the ear, then the past: so no line falls between.
    let live = query.follow.then(|| app.monitor().logs.follow());
    let past = app.monitor().logs.last(&tenant, &name, query.lines);
    let seen = past.last().map_or(0, |record| record.sequence);
    let past = futures_util::stream::iter(past.into_iter().map(|record| stream::line(&record)));
    Ok(match live {
        None => stream::respond(past),
        Some(live) => stream::respond(past.chain(follow(live, tenant, name, seen))),
    })
}

fn follow(
    live: Receiver<(String, LogRecord)>,
    tenant: String,
    name: String,
    seen: u64,
) -> impl Stream<Item = Bytes> {
    futures_util::stream::unfold(
        (live, tenant, name, seen),
        async |(mut live, tenant, name, seen)| {
            loop {
                match live.recv().await {
                    Ok((whose, record))
                        if whose == tenant && record.function == name && record.sequence > seen =>
                    {
                        return Some((
                            stream::line(&record),
                            (live, tenant, name, record.sequence),
                        ));
                    }
                    // What a slow reader missed shows in the sequence numbers.
                    Ok(_) | Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        },
    )
}
