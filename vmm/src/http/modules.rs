//! Modules: uploaded, then deployed.

use std::io::{self, Read};
use std::sync::Arc;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use super::auth::{Acting, Function};
use super::body::Pace;
use super::uploads::Upload;
use super::{App, body, stream};
use crate::api::{DeployEvent, DeployRequest, ModuleInfo, Problem};
use crate::monitor::{Monitor, Turn};

/// Largest module.
pub(super) const MAX_MODULE_BYTES: usize = 256 << 20;
/// Longest request to deploy; warm-up inputs are in it.
const MAX_DEPLOY_BYTES: usize = 24 << 20;
/// Parts of an upload that wait for the disk.
const MAX_PARTS: usize = 16;
/// Lines of progress that wait for the client.
const MAX_EVENTS: usize = 1024;

/// POST `/v1/modules`: the module goes to the disk as it comes.
pub(super) async fn upload(
    State(app): State<App>,
    tenant: Acting,
    body: Body,
) -> Result<Json<ModuleInfo>, Problem> {
    let upload = app.0.uploads.begin(tenant.0.as_str())?;
    let monitor = Arc::clone(app.monitor());
    let put = move |parts: &mut dyn Read| monitor.put_module(&tenant.0, parts);
    let module = received(body, MAX_MODULE_BYTES, upload, put).await??;
    Ok(Json(ModuleInfo { module: module.to_string() }))
}

/// Hands a body to `put`, on a thread that may block, as it comes.
pub(super) async fn received<T: Send + 'static>(
    body: Body,
    limit: usize,
    upload: Upload,
    put: impl FnOnce(&mut dyn Read) -> T + Send + 'static,
) -> Result<T, Problem> {
    let (parts, receive) = mpsc::channel(MAX_PARTS);
    let put = tokio::task::spawn_blocking(move || {
        // Counted for as long as the thread is held.
        let _upload = upload;
        put(&mut Parts { receive, now: Bytes::new() })
    });
    let sent = send(body.into_data_stream(), limit, &parts).await;
    if sent.is_err() {
        // An upload that stops must not be taken for one that is whole.
        let broken = io::Error::from(io::ErrorKind::UnexpectedEof);
        let _ = parts.send(Err(broken)).await;
    }
    drop(parts);
    let put = put.await.map_err(|error| Problem::internal(error.to_string()))?;
    sent.map(|()| put)
}

async fn send(
    mut body: BodyDataStream,
    limit: usize,
    parts: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), Problem> {
    let mut length = 0;
    let mut pace = Pace::default();
    while let Some(part) = pace.part(&mut body).await? {
        length += part.len();
        if length > limit {
            body::read_on(body);
            return Err(Problem::too_large(format!(
                "expected a file of at most {limit} bytes; found more; leave out what is unused"
            )));
        }
        if parts.send(Ok(part)).await.is_err() {
            // The store has failed, and says why.
            body::read_on(body);
            return Ok(());
        }
    }
    Ok(())
}

/// What is sent in parts, as a reader.
struct Parts {
    receive: mpsc::Receiver<io::Result<Bytes>>,
    now: Bytes,
}

impl Read for Parts {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.receive.blocking_recv() {
                None => return Ok(0),
                Some(part) => self.now = part?,
            }
        }
        let length = buffer.len().min(self.now.len());
        self.now.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

/// PUT `/v1/functions/{name}`: bakes, and tells each step.
pub(super) async fn deploy(
    State(app): State<App>,
    function: Function,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if app.monitor().draining() {
        return Err(Problem::shutting_down("the monitor is about to stop"));
    }
    // Before the body is read, which may be long.
    let turn = app.monitor().turn(function.0.tenant.as_str())?;
    let (request, held) =
        body::held_json(body, &headers, MAX_DEPLOY_BYTES, &app.share(&function.0.tenant)).await?;
    let (events, receive) = mpsc::channel(MAX_EVENTS);
    let monitor = Arc::clone(app.monitor());
    // It goes on when the client has gone: what it makes serves the next attempt.
    tokio::spawn(async move {
        bake(&monitor, turn, function, request, &events).await;
        drop(held);
    });
    Ok(stream::respond(futures_util::stream::unfold(receive, |mut receive| async {
        let event = receive.recv().await?;
        Some((stream::line(&event), receive))
    })))
}

async fn bake(
    monitor: &Arc<Monitor>,
    turn: Turn,
    Function(function): Function,
    request: DeployRequest,
    events: &mpsc::Sender<DeployEvent>,
) {
    let name = function.to_string();
    let tell = |event| {
        // A client that reads slowly misses lines of progress, and never the end.
        let _ = events.try_send(event);
    };
    let last = match monitor.deploy(turn, function, request, &tell).await {
        Ok(info) => {
            tracing::info!(function = name, version = info.version, "deployed");
            DeployEvent::Deployed(info)
        }
        Err(error) => {
            tracing::info!(function = name, %error, "not deployed");
            DeployEvent::Failed(error.into())
        }
    };
    let _ = events.send(last).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_in_order_and_a_broken_upload_is_an_error() {
        let (send, receive) = mpsc::channel(4);
        for part in ["ab", "", "c"] {
            send.try_send(Ok(part.into())).unwrap();
        }
        send.try_send(Err(io::ErrorKind::UnexpectedEof.into())).unwrap();
        let mut parts = Parts { receive, now: Bytes::new() };
        let mut three = [0; 3];
        parts.read_exact(&mut three).unwrap();
        assert_eq!(&three, b"abc");
        assert!(parts.read(&mut three).is_err());
    }
}
