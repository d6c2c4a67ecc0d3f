//! Lists of another host, asked by this one.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use faaslet_net::ship::Listing;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::App;
use super::auth::Acting;
use crate::api::Problem;

/// Which host is meant: the `host` of a query, or the one that is asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AtHost {
    host: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for AtHost {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<Self>::from_request_parts(parts, state).await;
        Ok(query.map_err(|error| Problem::bad_request(error.body_text()))?.0)
    }
}

impl AtHost {
    /// What another host lists; nothing if this one is meant.
    pub(super) async fn list<T: DeserializeOwned>(
        &self,
        app: &App,
        tenant: &Acting,
        listing: Listing,
    ) -> Result<Option<Vec<T>>, Problem> {
        let Some(host) = &self.host else { return Ok(None) };
        let Some(rows) = app.monitor().list_of(host, tenant.0.as_str(), listing).await? else {
            return Ok(None);
        };
        let other = |error| Problem::internal(format!("the rows of host {host}: {error}"));
        serde_json::from_slice(&rows).map(Some).map_err(other)
    }
}
