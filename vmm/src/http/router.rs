//! What can be asked, and who answers.

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, delete, get, post, put};

use super::{App, accept, functions, health, images, invoke, modules, operator, prewarm, state};
use crate::api::Problem;

/// Every route, as `openapi.json` has it; a test compares them.
#[cfg(test)]
pub(super) const ROUTES: &[(&str, &[&str])] = &[
    ("/f/{name}", invoke::METHODS),
    ("/f/{name}/{rest}", invoke::METHODS),
    ("/v1/modules", &["post"]),
    ("/v1/functions", &["get"]),
    ("/v1/functions/{name}", &["put", "delete"]),
    ("/v1/functions/{name}/versions", &["get"]),
    ("/v1/functions/{name}/rollback", &["post"]),
    ("/v1/functions/{name}/prewarm", &["post"]),
    ("/v1/functions/{name}/settings", &["put"]),
    ("/v1/functions/{name}/logs", &["get"]),
    ("/v1/images", &["get", "post"]),
    ("/v1/images/{id}", &["get", "delete"]),
    ("/v1/state", &["get"]),
    ("/v1/state/{key}", &["get", "put", "post", "delete"]),
    ("/v1/state-info/{key}", &["get"]),
    ("/v1/state-versions/{key}", &["get"]),
    ("/v1/state-diff/{key}", &["get"]),
    ("/v1/gc", &["post"]),
    ("/v1/tenants", &["get", "post"]),
    ("/v1/tenants/{name}", &["patch", "delete"]),
    ("/v1/tenants/{name}/tokens", &["get", "post"]),
    ("/v1/tenants/{name}/tokens/{id}", &["delete"]),
    ("/v1/tenants/{name}/grants", &["post", "delete"]),
    ("/healthz", &["get"]),
    ("/readyz", &["get"]),
    ("/metrics", &["get"]),
    ("/openapi.json", &["get"]),
];

/// All of it.
pub(super) fn router(app: App) -> Router {
    Router::new()
        .route("/f/{name}", any(invoke::call))
        .route("/f/{name}/{*rest}", any(invoke::call))
        .route("/v1/modules", post(modules::upload))
        .route("/v1/functions", get(functions::list))
        .route("/v1/functions/{name}", put(modules::deploy).delete(functions::remove))
        .route("/v1/functions/{name}/versions", get(functions::versions))
        .route("/v1/functions/{name}/rollback", post(functions::rollback))
        .route("/v1/functions/{name}/prewarm", post(prewarm::prewarm))
        .route("/v1/functions/{name}/settings", put(functions::settings))
        .route("/v1/functions/{name}/logs", get(functions::logs))
        .route("/v1/images", get(images::list).post(images::import))
        .route("/v1/images/{id}", get(images::export).delete(images::remove))
        .route("/v1/state", get(state::list))
        .route(
            "/v1/state/{*key}",
            get(state::read).put(state::put).post(state::append).delete(state::remove),
        )
        .route("/v1/state-info/{*key}", get(state::info))
        .route("/v1/state-versions/{*key}", get(state::versions))
        .route("/v1/state-diff/{*key}", get(state::diff))
        .route("/v1/gc", post(operator::gc))
        .route("/v1/tenants", get(operator::tenants).post(operator::add_tenant))
        .route("/v1/tenants/{name}", delete(operator::remove_tenant).patch(operator::set_limits))
        .route("/v1/tenants/{name}/tokens", get(operator::tokens).post(operator::new_token))
        .route("/v1/tenants/{name}/tokens/{id}", delete(operator::remove_token))
        .route("/v1/tenants/{name}/grants", post(operator::grant).delete(operator::revoke))
        .route("/healthz", get(health::healthy))
        .route("/readyz", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/openapi.json", get(health::openapi))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(axum::middleware::from_fn(accept::watch))
        .with_state(app)
}

async fn unknown(uri: axum::http::Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    Problem::not_found(format!("expected a path of /openapi.json; found {path}")).into_response()
}

async fn not_allowed(method: axum::http::Method, uri: axum::http::Uri) -> Response {
    let path: String = uri.path().chars().take(200).collect();
    let what = format!("{method} is nothing that {path} knows; see /openapi.json");
    Problem::method(what).into_response()
}
