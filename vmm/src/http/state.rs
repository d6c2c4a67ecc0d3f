//! State: values read and written from outside of functions.
//!
//! A value's `ETag` is its version. `Range` reads a part; `?offset=` writes one.

mod headers;

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use faaslet_state::{Durability, Element, Retention, Rule, Spec, Version};
use serde::Deserialize;

use super::App;
use super::auth::Acting;
use super::body;
use crate::api::{
    Problem, StateAppended, StateChange, StateDiff, StateInfo, StateList, StateVersion,
};
use crate::monitor::state::{Outside, WRITE_BYTES};
use headers::{precondition, range};

/// Longest value that is written by one request.
const MAX_PUT_BYTES: usize = 256 << 20;
/// Longest wait for a change.
const MAX_WAIT: Duration = Duration::from_secs(60);
/// Values in one list.
const MAX_LISTED: u32 = 256;
/// Most bytes of a value that does not say.
const QUOTA_BYTES: u64 = 1 << 30;

type Asked<T> = Result<Query<T>, QueryRejection>;

fn asked<T>(query: Asked<T>) -> Result<T, Problem> {
    query.map(|query| query.0).map_err(|error| Problem::bad_request(error.body_text()))
}

fn outside(app: &App, tenant: &Acting) -> Outside {
    app.monitor().states.outside(tenant.0.as_str())
}

/// Which values are wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ListQuery {
    prefix: String,
    after: String,
    limit: Option<u32>,
}

/// GET `/v1/state`.
pub(super) async fn list(
    State(app): State<App>,
    tenant: Acting,
    query: Asked<ListQuery>,
) -> Result<Json<StateList>, Problem> {
    let ListQuery { prefix, after, limit } = asked(query)?;
    let outside = outside(&app, &tenant);
    let limit = limit.unwrap_or(MAX_LISTED).clamp(1, MAX_LISTED);
    let (names, more) = outside.list(&prefix, &after, limit).await?;
    let mut values = Vec::with_capacity(names.len());
    for name in names {
        match outside.stat(&name).await.map_err(Problem::from) {
            Ok(stat) => values.push(StateInfo::of(name, &stat)),
            Err(problem) if problem.status == StatusCode::GONE => values.push(lost(name)),
            // Deleted meanwhile.
            Err(problem) if problem.status == StatusCode::NOT_FOUND => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(Json(StateList { values, more }))
}

fn lost(key: String) -> StateInfo {
    StateInfo {
        key,
        lost: true,
        len: 0,
        version: String::new(),
        made: String::new(),
        element: String::new(),
        rule: String::new(),
        durable: false,
        quota_bytes: 0,
        keep_versions: 0,
        keep_age_s: 0,
    }
}

/// What is known of a value, and how long to wait for another version.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct InfoQuery {
    known: Option<String>,
    wait_ms: Option<u64>,
}

/// GET `/v1/state-info/{key}`: at once, or when it has another version than `known`.
pub(super) async fn info(
    State(app): State<App>,
    tenant: Acting,
    key: Path<String>,
    query: Asked<InfoQuery>,
) -> Result<Response, Problem> {
    let InfoQuery { known, wait_ms } = asked(query)?;
    let outside = outside(&app, &tenant);
    let stat = match known {
        None => outside.stat(&key.0).await?,
        Some(known) => {
            let wait = wait_ms.map_or(MAX_WAIT, Duration::from_millis).min(MAX_WAIT);
            outside.changed(&key.0, version(&known)?, wait).await?
        }
    };
    Ok(tagged(stat.version, Json(StateInfo::of(key.0, &stat))))
}

fn version(text: &str) -> Result<Version, Problem> {
    text.parse().map_err(|error: faaslet_state::version::VersionError| {
        Problem::bad_request(error.to_string())
    })
}

fn tagged(version: Version, response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Which version is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ReadQuery {
    version: Option<String>,
}

/// GET `/v1/state/{key}`: all of it, or a range; of the newest version, or of another.
pub(super) async fn read(
    State(app): State<App>,
    tenant: Acting,
    key: Path<String>,
    query: Asked<ReadQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let at = asked(query)?.version.as_deref().map(version).transpose()?;
    let reading = outside(&app, &tenant).open(&key.0, at).await?;
    let (version, len) = (reading.stat.version, reading.stat.len);
    if headers::names(&headers, &header::IF_NONE_MATCH, version)? {
        return Ok(tagged(version, StatusCode::NOT_MODIFIED));
    }
    let wanted = range(&headers, len)?;
    let reading = match &wanted {
        Some(wanted) => reading.within(wanted.clone())?,
        None => reading,
    };
    let bytes = reading.len();
    let parts = futures_util::stream::unfold(Some(reading), async |reading| {
        let mut reading = reading?;
        match reading.next().await {
            Ok(None) => None,
            Ok(Some(part)) => Some((Ok(part), Some(reading))),
            Err(error) => Some((Err(error), None)),
        }
    });
    let mut response = tagged(version, Body::from_stream(parts));
    let found = response.headers_mut();
    found.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    found.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let kind = HeaderValue::from_static("application/octet-stream");
    found.insert(header::CONTENT_TYPE, kind);
    if let Some(wanted) = wanted {
        let text = format!("bytes {}-{}/{len}", wanted.start, wanted.end - 1);
        if let Ok(text) = HeaderValue::try_from(text) {
            found.insert(header::CONTENT_RANGE, text);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Where bytes go, and what a value is made as that is not there.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PutQuery {
    offset: Option<u64>,
    element: Option<String>,
    rule: Option<String>,
    durable: bool,
    quota_bytes: Option<u64>,
    keep_versions: Option<u32>,
    keep_age_s: Option<u32>,
}

impl PutQuery {
    fn spec(&self) -> Result<Spec, Problem> {
        let named = |found: &Option<String>, kind: &str, all: Vec<String>| match found {
            None => Ok(0),
            Some(found) => all.iter().position(|name| name == found).ok_or_else(|| {
                let all = all.join(", ");
                Problem::bad_request(format!("expected {kind} of {all}; found {found:?}"))
            }),
        };
        let elements = Element::ALL.map(|element| format!("{element:?}").to_lowercase());
        let rules = Rule::ALL.map(|rule| format!("{rule:?}").to_lowercase());
        let element = Element::ALL[named(&self.element, "an element", elements.into())?];
        let rule = Rule::ALL[named(&self.rule, "a rule", rules.into())?];
        let durability = if self.durable { Durability::Durable } else { Durability::Memory };
        let quota = self.quota_bytes.unwrap_or(QUOTA_BYTES);
        let spec = Spec::new(element, rule, durability, quota);
        let known = Retention::default();
        let retention = Retention {
            versions: self.keep_versions.unwrap_or(known.versions),
            age_s: self.keep_age_s.unwrap_or(known.age_s),
        };
        Ok(spec.map_err(|error| Problem::bad_request(error.to_string()))?.retaining(retention))
    }
}

/// PUT `/v1/state/{key}`: the value becomes the body, or has it from `offset` on.
pub(super) async fn put(
    State(app): State<App>,
    tenant: Acting,
    key: Path<String>,
    query: Asked<PutQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query = asked(query)?;
    let spec = query.spec()?;
    let precondition = precondition(&headers)?;
    let (bytes, _held) = body::whole(body, &headers, MAX_PUT_BYTES, &app.share(&tenant.0)).await?;
    let place = (query.offset.unwrap_or(0), query.offset.is_none());
    let outside = outside(&app, &tenant);
    let stat = outside.put(&key.0, place, bytes, spec, precondition).await?;
    Ok(tagged(stat.version, Json(StateInfo::of(key.0, &stat))))
}

/// POST `/v1/state/{key}`: appends the body, to a value that is made if it is not there.
pub(super) async fn append(
    State(app): State<App>,
    tenant: Acting,
    key: Path<String>,
    query: Asked<PutQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let spec = asked(query)?.spec()?;
    let (bytes, _held) =
        body::whole(body, &headers, WRITE_BYTES as usize, &app.share(&tenant.0)).await?;
    let outside = outside(&app, &tenant);
    let (at, version, len) = outside.append_or_make(&key.0, bytes, Some(spec)).await?;
    let appended = StateAppended { at, len, version: version.to_string() };
    Ok(tagged(version, Json(appended)))
}

/// DELETE `/v1/state/{key}`.
pub(super) async fn remove(
    State(app): State<App>,
    tenant: Acting,
    key: Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let expected = headers::version(&headers, &header::IF_MATCH)?;
    outside(&app, &tenant).delete(&key.0, expected).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// GET `/v1/state-versions/{key}`.
pub(super) async fn versions(
    State(app): State<App>,
    tenant: Acting,
    key: Path<String>,
) -> Result<Json<Vec<StateVersion>>, Problem> {
    let versions = outside(&app, &tenant).versions(&key.0).await?;
    let told = versions.into_iter().map(|version| StateVersion {
        version: version.version.to_string(),
        len: version.len,
        age_ms: version.age_ms,
        changed_bytes: version.changed_bytes,
    });
    Ok(Json(told.collect()))
}

/// Which versions are compared.
#[derive(Debug, Deserialize)]
pub(super) struct DiffQuery {
    from: String,
    to: String,
}

/// GET `/v1/state-diff/{key}`.
pub(super) async fn diff(
    State(app): State<App>,
    tenant: Acting,
    key: Path<String>,
    query: Asked<DiffQuery>,
) -> Result<Json<StateDiff>, Problem> {
    let DiffQuery { from, to } = asked(query)?;
    let (from, to) = (version(&from)?, version(&to)?);
    let (changes, complete) = outside(&app, &tenant).diff(&key.0, from, to).await?;
    let changes = changes.into_iter().map(|change| StateChange { at: change.at, len: change.len });
    Ok(Json(StateDiff { changes: changes.collect(), complete }))
}
