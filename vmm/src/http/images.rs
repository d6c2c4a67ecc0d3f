//! Images: listed, copied out, taken in.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use faaslet_net::ship::Listing;
use faaslet_snapshot::image::Head;
use serde::Deserialize;

use super::App;
use super::auth::{Acting, Operator};
use super::host::AtHost;
use super::modules::received;
use crate::api::{ImageInfo, Problem};
use crate::monitor::Monitor;

/// Bytes of an image that are read at once.
const PART_BYTES: usize = 256 << 10;
/// Largest image that is taken in.
const MAX_IMAGE_BYTES: usize = 5 << 30;

/// GET `/v1/images`; the operator sees those that nobody's version has too.
pub(super) async fn list(
    State(app): State<App>,
    tenant: Acting,
    operator: Option<Operator>,
    host: AtHost,
) -> Result<Json<Vec<ImageInfo>>, Problem> {
    if let Some(rows) = host.list(&app, &tenant, Listing::Images).await? {
        return Ok(Json(rows));
    }
    let all = operator.is_some();
    let images = app.blocking(move |monitor| -> Result<_, Problem> {
        let mut images = monitor.images(tenant.0.as_str())?;
        if all {
            images.extend(monitor.unnamed_images()?);
        }
        Ok(images)
    });
    Ok(Json(images.await??))
}

/// POST `/v1/images`: for deployments of the same recipe by the tenant that the operator names.
pub(super) async fn import(
    State(app): State<App>,
    _operator: Operator,
    tenant: Acting,
    body: Body,
) -> Result<Json<ImageInfo>, Problem> {
    let monitor = Arc::clone(app.monitor());
    let put = move |parts: &mut dyn std::io::Read| monitor.put_image(&tenant.0, parts);
    let upload = app.0.uploads.begin("")?;
    Ok(Json(received(body, MAX_IMAGE_BYTES, upload, put).await??))
}

/// DELETE `/v1/images/{id}`.
pub(super) async fn remove(
    State(app): State<App>,
    _operator: Operator,
    id: Path<String>,
) -> Result<StatusCode, Problem> {
    app.blocking(move |monitor| monitor.remove_image(&id.0)).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// How much of an image is wanted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ExportQuery {
    /// All but the stored pages.
    head: bool,
    /// What its calls touch first, if that is known.
    workingset: bool,
}

/// GET `/v1/images/{id}`: the image's file.
pub(super) async fn export(
    State(app): State<App>,
    tenant: Acting,
    id: Path<String>,
    query: Result<Query<ExportQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let query = query.map_err(|error| Problem::bad_request(error.body_text()))?.0;
    let absent =
        Problem::not_found(format!("no image {:?} of this tenant; see `faaslet images`", id.0));
    let find = move |monitor: &Arc<Monitor>| monitor.image_file(tenant.0.as_str(), &id.0);
    let file = app.blocking(find).await??.ok_or(absent)?;
    if query.workingset {
        let head = Head::read(&file).map_err(|error| Problem::internal(error.to_string()))?;
        let unknown = "nothing is known of what calls of this image touch first: none was called \
                       before it was whole";
        let find = move |monitor: &Arc<Monitor>| monitor.working_set_file(head.id());
        let set = app.blocking(find).await?.ok_or_else(|| Problem::not_found(unknown))?;
        return Ok(octets(Body::from(set)));
    }
    if query.head {
        let head = Head::read(&file).map_err(|error| Problem::internal(error.to_string()))?;
        return Ok(octets(Body::from(head.as_bytes().to_vec())));
    }
    let length = file.metadata().map_err(|error| Problem::internal(error.to_string()))?.len();
    let parts = futures_util::stream::unfold(tokio::fs::File::from_std(file), async |mut file| {
        use tokio::io::AsyncReadExt;
        let mut part = Vec::with_capacity(PART_BYTES);
        let read = (&mut file).take(PART_BYTES as u64).read_to_end(&mut part).await;
        match read {
            Ok(0) => None,
            read => Some((read.map(|_| Bytes::from(part)), file)),
        }
    });
    let mut response = octets(Body::from_stream(parts));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

fn octets(body: Body) -> Response {
    let mut response = Response::new(body);
    let kind = HeaderValue::from_static("application/octet-stream");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
