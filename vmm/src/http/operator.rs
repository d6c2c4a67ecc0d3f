//! What the operator asks: tenants, tokens, grants, collection.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use faaslet_store::Grant;
use serde::Deserialize;

use super::App;
use super::auth::Operator;
use super::body::{self, MAX_JSON_BYTES};
use crate::api::{GcInfo, GrantRequest, Problem, TenantInfo, TenantRequest, TokenInfo};

/// GET `/v1/tenants`.
pub(super) async fn tenants(
    _operator: Operator,
    State(app): State<App>,
) -> Result<Json<Vec<TenantInfo>>, Problem> {
    Ok(Json(app.monitor().tenants()?))
}

/// POST `/v1/tenants`.
pub(super) async fn add_tenant(
    _operator: Operator,
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<TokenInfo>), Problem> {
    let request: TenantRequest = body::json(body, &headers, MAX_JSON_BYTES, &app.0.bodies).await?;
    Ok((StatusCode::CREATED, Json(app.monitor().add_tenant(&request.name)?)))
}

/// DELETE `/v1/tenants/{name}`.
pub(super) async fn remove_tenant(
    _operator: Operator,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.monitor().remove_tenant(&name)?;
    Ok(StatusCode::NO_CONTENT)
}

/// POST `/v1/tenants/{name}/tokens`.
pub(super) async fn new_token(
    _operator: Operator,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<TokenInfo>), Problem> {
    Ok((StatusCode::CREATED, Json(app.monitor().new_token(&name)?)))
}

/// POST `/v1/tenants/{name}/grants`.
pub(super) async fn grant(
    _operator: Operator,
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let request: GrantRequest = body::json(body, &headers, MAX_JSON_BYTES, &app.0.bodies).await?;
    let grant: Grant = request.folder.parse()?;
    if !grant.host.is_dir() {
        let what = format!("expected a folder; {} is none on this host", grant.host.display());
        return Err(Problem::refused(what));
    }
    app.monitor().grant(&name, grant)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which folder is taken back.
#[derive(Debug, Deserialize)]
pub(super) struct RevokeQuery {
    guest: String,
}

/// DELETE `/v1/tenants/{name}/grants?guest=`.
pub(super) async fn revoke(
    _operator: Operator,
    State(app): State<App>,
    Path(name): Path<String>,
    query: Result<Query<RevokeQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<StatusCode, Problem> {
    let query = query.map_err(|error| Problem::bad_request(error.body_text()))?.0;
    app.monitor().revoke(&name, &query.guest)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether it is only a plan.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GcQuery {
    dry_run: bool,
}

/// POST `/v1/gc`.
pub(super) async fn gc(
    _operator: Operator,
    State(app): State<App>,
    query: Result<Query<GcQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<GcInfo>, Problem> {
    let query = query.map_err(|error| Problem::bad_request(error.body_text()))?.0;
    let monitor = std::sync::Arc::clone(app.monitor());
    let collected = tokio::task::spawn_blocking(move || monitor.gc(query.dry_run)).await;
    Ok(Json(collected.map_err(|error| Problem::internal(error.to_string()))??))
}
