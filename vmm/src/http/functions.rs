//! Functions of a tenant: lists, versions, settings, logs.

use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use faaslet_net::ship::Listing;
use faaslet_store::{Secret, Settings};
use futures_util::{Stream, StreamExt};
use serde::Deserialize;

use super::auth::{Acting, Function};
use super::body::{self, MAX_JSON_BYTES};
use super::host::AtHost;
use super::{App, stream};
use crate::api::{FunctionInfo, Problem, RollbackRequest, SettingsRequest, VersionInfo};
use crate::monitor::Follower;

/// GET `/v1/functions`.
pub(super) async fn list(
    State(app): State<App>,
    tenant: Acting,
    host: AtHost,
) -> Result<Json<Vec<FunctionInfo>>, Problem> {
    if let Some(rows) = host.list(&app, &tenant, Listing::Functions).await? {
        return Ok(Json(rows));
    }
    Ok(Json(app.blocking(move |monitor| monitor.functions(tenant.0.as_str())).await?))
}

/// DELETE `/v1/functions/{name}`.
pub(super) async fn remove(
    State(app): State<App>,
    Function(function): Function,
) -> Result<StatusCode, Problem> {
    app.blocking(move |monitor| monitor.remove_function(&function)).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// GET `/v1/functions/{name}/versions`.
pub(super) async fn versions(
    State(app): State<App>,
    Function(function): Function,
) -> Result<Json<Vec<VersionInfo>>, Problem> {
    Ok(Json(app.blocking(move |monitor| monitor.versions(&function)).await??))
}

/// POST `/v1/functions/{name}/rollback`.
pub(super) async fn rollback(
    State(app): State<App>,
    Function(function): Function,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let request: RollbackRequest =
        body::json(body, &headers, MAX_JSON_BYTES, &app.share(&function.tenant)).await?;
    app.blocking(move |monitor| monitor.rollback(function, request.version)).await??;
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
        body::json(body, &headers, MAX_JSON_BYTES, &app.share(&function.tenant)).await?;
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
    let Some(log) = app.monitor().log(&function) else {
        return Err(Problem::not_found(format!("no function {}; see `faaslet ps`", function.name)));
    };
    let past = log.last(query.lines, Instant::now());
    let follower = query.follow.then(|| log.follow(past.last().map_or(0, |last| last.sequence)));
    let past = futures_util::stream::iter(past.into_iter().map(|record| stream::line(&record)));
    Ok(match follower {
        None => stream::respond(past),
        Some(follower) => stream::respond(past.chain(follow(follower))),
    })
}

fn follow(follower: Follower) -> impl Stream<Item = Bytes> {
    futures_util::stream::unfold(follower, async |mut follower| {
        let records = follower.next().await?;
        let lines: Vec<u8> = records.iter().flat_map(stream::line).collect();
        Some((lines.into(), follower))
    })
}
