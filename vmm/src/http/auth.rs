//! Who asks: by the token, never by the request.

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Path};
use axum::http::header;
use axum::http::request::Parts;
use faaslet_store::{FunctionName, Name, Role};

use super::App;
use super::accept::Connection;
use crate::api::Problem;

/// The operator.
pub struct Operator;

/// The tenant that a request acts for: its own, or one that the operator names with `?tenant=`.
pub struct Acting(pub Name);

/// A function of the tenant, named in the path.
pub struct Function(pub FunctionName);

/// What the token of a request gives a right to.
pub fn role(app: &App, parts: &Parts) -> Result<Role, Problem> {
    let bearer = |value: &str| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    };
    let value = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = value.and_then(bearer).ok_or_else(|| {
        Problem::unauthorised("expected the header `authorization: Bearer TOKEN`; found none")
    })?;
    let role = app.monitor().store.authenticate(&token);
    let role = role.map_err(crate::monitor::StoreError::from)?.ok_or_else(|| {
        Problem::unauthorised("the token is not valid; the operator makes a new one with `faaslet tenant token add NAME`")
    })?;
    if let Some(connection) = parts.extensions.get::<Connection>() {
        connection.show();
    }
    Ok(role)
}

/// The tenant that is acted for: `named` counts for the operator alone.
pub fn tenant(role: Role, named: Option<&str>) -> Result<Name, Problem> {
    match (role, named) {
        (Role::Tenant(own), None) => Ok(own),
        (Role::Tenant(own), Some(name)) if own.as_str() == name => Ok(own),
        (Role::Tenant(_), Some(_)) => Err(Problem::forbidden(
            "the token is a tenant's; only the operator may name another tenant",
        )),
        (Role::Admin, named) => Ok(Name::new(named.unwrap_or(crate::monitor::DEFAULT_TENANT))?),
    }
}

/// A value of the query, percent-decoded.
pub fn query(parts: &Parts, key: &str) -> Option<String> {
    let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).ok()?;
    query.0.into_iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

impl FromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match role(app, parts)? {
            Role::Admin => Ok(Self),
            Role::Tenant(_) => Err(Problem::forbidden(
                "the token is a tenant's; this needs the operator's, in admin.token of the \
                 monitor's folder",
            )),
        }
    }
}

impl OptionalFromRequestParts<App> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, Problem> {
        Ok(matches!(role(app, parts)?, Role::Admin).then_some(Self))
    }
}

impl FromRequestParts<App> for Acting {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let named = query(parts, "tenant");
        Ok(Self(tenant(role(app, parts)?, named.as_deref())?))
    }
}

impl FromRequestParts<App> for Function {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Acting(tenant) = Acting::from_request_parts(parts, app).await?;
        let name = <Path<String> as FromRequestParts<App>>::from_request_parts(parts, app).await;
        let name = name.map_err(|error| Problem::bad_request(error.body_text()))?.0;
        Ok(Self(FunctionName { tenant, name: Name::new(&name)? }))
    }
}
