//! What the operator asks: tenants, tokens, grants, collection.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use faaslet_store::Grant;
use serde::Deserialize;

use super::App;
use super::auth::Operator;
use super::body::{self, MAX_JSON_BYTES};
use crate::api::{
    GcInfo, GrantRequest, LimitsRequest, Problem, TenantInfo, TenantRequest, TokenEntry, TokenInfo,
};
use crate::monitor::Monitor;

/// GET `/v1/tenants`.
pub(super) async fn tenants(
    _operator: Operator,
    State(app): State<App>,
) -> Result<Json<Vec<TenantInfo>>, Problem> {
    Ok(Json(app.blocking(|monitor| monitor.tenants()).await??))
}

/// POST `/v1/tenants`.
pub(super) async fn add_tenant(
    _operator: Operator,
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<TokenInfo>), Problem> {
    let request: TenantRequest =
        body::json(body, &headers, MAX_JSON_BYTES, &app.operators_share()).await?;
    let add = move |monitor: &Arc<Monitor>| monitor.add_tenant(&request.name, &request.limits);
    Ok((StatusCode::CREATED, Json(app.blocking(add).await??)))
}

/// PATCH `/v1/tenants/{name}`: what it may use.
pub(super) async fn set_limits(
    _operator: Operator,
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let request: LimitsRequest =
        body::json(body, &headers, MAX_JSON_BYTES, &app.operators_share()).await?;
    app.blocking(move |monitor| monitor.set_limits(&name, &request)).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// DELETE `/v1/tenants/{name}`.
pub(super) async fn remove_tenant(
    _operator: Operator,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    app.blocking(move |monitor| monitor.remove_tenant(&name)).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// POST `/v1/tenants/{name}/tokens`.
pub(super) async fn new_token(
    _operator: Operator,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<TokenInfo>), Problem> {
    let token = app.blocking(move |monitor| monitor.new_token(&name)).await??;
    Ok((StatusCode::CREATED, Json(token)))
}

/// GET `/v1/tenants/{name}/tokens`.
pub(super) async fn tokens(
    _operator: Operator,
    State(app): State<App>,
    Path(name): Path<String>,
) -> Result<Json<Vec<TokenEntry>>, Problem> {
    Ok(Json(app.blocking(move |monitor| monitor.tokens(&name)).await??))
}

/// DELETE `/v1/tenants/{name}/tokens/{id}`.
pub(super) async fn remove_token(
    _operator: Operator,
    State(app): State<App>,
    Path((name, id)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.blocking(move |monitor| monitor.remove_token(&name, &id)).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// POST `/v1/tenants/{name}/grants`.
pub(super) async fn grant(
    _operator: Operator,
    State(app): State<App>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Problem> {
    let request: GrantRequest =
        body::json(body, &headers, MAX_JSON_BYTES, &app.operators_share()).await?;
    let grant: Grant = request.folder.parse()?;
    if !grant.host.is_dir() {
        let what = format!("expected a folder; {} is none on this host", grant.host.display());
        return Err(Problem::refused(what));
    }
    app.blocking(move |monitor| monitor.grant(&name, grant)).await??;
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
    app.blocking(move |monitor| monitor.revoke(&name, &query.guest)).await??;
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
    Ok(Json(app.blocking(move |monitor| monitor.gc(query.dry_run)).await??))
}
