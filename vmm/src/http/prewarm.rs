//! Prewarm: a function is brought to hosts before its calls come.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use tokio::sync::mpsc;

use super::auth::Function;
use super::body::{self, MAX_JSON_BYTES};
use super::{App, stream};
use crate::api::{HostWarmth, PrewarmRequest, Problem};
use crate::monitor::{ListError, PrewarmError};

/// Lines of progress that wait for the client.
const MAX_LINES: usize = 1024;

/// POST `/v1/functions/{name}/prewarm`: a line whenever a host has got on, and how each ended last.
pub(super) async fn prewarm(
    State(app): State<App>,
    Function(function): Function,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if app.monitor().draining() {
        return Err(Problem::shutting_down("the monitor is about to stop"));
    }
    let request: PrewarmRequest =
        body::json(body, &headers, MAX_JSON_BYTES, &app.share(&function.tenant)).await?;
    app.monitor().check_prewarm(&request)?;
    let monitor = Arc::clone(app.monitor());
    let (lines, receive) = mpsc::channel::<HostWarmth>(MAX_LINES);
    tokio::spawn(async move {
        let tell = move |warmth: HostWarmth| {
            // A client that reads slowly misses progress, and never the end.
            let kept = if warmth.ended() { 0 } else { MAX_LINES / 2 };
            lines.capacity() > kept && lines.try_send(warmth).is_ok() || !lines.is_closed()
        };
        if let Err(error) = monitor.prewarm(&function, &request, &tell).await {
            tracing::error!(%function, %error, "an order that was checked");
        }
    });
    Ok(stream::respond(futures_util::stream::unfold(receive, async |mut receive| {
        let warmth = receive.recv().await?;
        Some((stream::line(&warmth), receive))
    })))
}

impl From<PrewarmError> for Problem {
    fn from(error: PrewarmError) -> Self {
        Self::bad_request(error.to_string())
    }
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Host(error) => error.into(),
            ListError::Silent(_) => Self::lost(error.to_string()),
        }
    }
}
