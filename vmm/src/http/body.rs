//! Bodies of requests: bounded in bytes and in time.

#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use super::budget::{Held, Share};
use crate::api::Problem;

/// Time between two parts of a body.
const PART_LIMIT: Duration = Duration::from_secs(30);
/// Time for a body that is kept in memory.
const WHOLE_LIMIT: Duration = Duration::from_secs(300);
/// What is read and dropped of a body that was refused, so that its sender gets to the answer: one
/// that is cut off while it sends sees a broken connection and no reason.
const MAX_LINGER_BYTES: usize = 256 << 20;
/// Time for that, and between two parts of it.
const LINGER_LIMIT: Duration = Duration::from_secs(10);
const LINGER_PART_LIMIT: Duration = Duration::from_secs(1);
/// Least that an upload brings in so much time of waiting for it.
const MIN_PACE_BYTES: usize = 512 << 10;
const PACE_TIME: Duration = Duration::from_secs(30);
/// Longest JSON of most requests.
pub const MAX_JSON_BYTES: usize = 1 << 20;

/// The next part of a body that comes in time.
pub async fn part(
    body: &mut BodyDataStream,
    whole: Option<Instant>,
) -> Result<Option<Bytes>, Problem> {
    let limit = Instant::now() + PART_LIMIT;
    let limit = whole.map_or(limit, |whole| whole.min(limit));
    match timeout_at(limit, body.next()).await {
        Err(_) => Err(Problem::too_slow(format!(
            "expected the next part of the body within {PART_LIMIT:?}, and all of an input within \
             {WHOLE_LIMIT:?}; send it faster"
        ))),
        Ok(None) => Ok(None),
        Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
        Ok(Some(Err(error))) => {
            Err(Problem::bad_request(format!("the body cannot be read: {error}; send it again")))
        }
    }
}

/// How fast a body comes whose length and time have no other limit. What counts is the time in
/// which it was waited for, not that in which the disk was.
#[derive(Debug, Default)]
pub struct Pace {
    waited: Duration,
    came: usize,
}

impl Pace {
    /// The next part of a body that comes fast enough.
    pub async fn part(&mut self, body: &mut BodyDataStream) -> Result<Option<Bytes>, Problem> {
        let begun = Instant::now();
        let part = part(body, None).await?;
        self.waited += begun.elapsed();
        self.came += part.as_ref().map_or(0, Bytes::len);
        if self.waited < PACE_TIME || part.is_none() {
            return Ok(part);
        }
        if self.came < MIN_PACE_BYTES {
            return Err(Problem::too_slow(format!(
                "expected {MIN_PACE_BYTES} bytes of the body in {PACE_TIME:?}; found {}; send it \
                 faster",
                self.came
            )));
        }
        *self = Self::default();
        Ok(part)
    }
}

/// All of a body of at most `limit` bytes; what is held counts until the second value is dropped.
pub async fn whole(
    body: Body,
    headers: &HeaderMap,
    limit: usize,
    share: &Share,
) -> Result<(Bytes, Held), Problem> {
    let too_large = || {
        Problem::too_large(format!(
            "expected a body of at most {limit} bytes; found more; send less"
        ))
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if announced.and_then(|length| length.parse::<usize>().ok()).is_some_and(|len| len > limit) {
        linger(body.into_data_stream(), headers);
        return Err(too_large());
    }
    let mut held = share.begin();
    let mut body = body.into_data_stream();
    let until = Instant::now() + WHOLE_LIMIT;
    let Some(first) = part(&mut body, Some(until)).await? else { return Ok((Bytes::new(), held)) };
    held.take(first.len())?;
    let mut rest = BytesMut::new();
    let mut length = first.len();
    while length <= limit {
        let Some(bytes) = part(&mut body, Some(until)).await? else {
            return Ok((join(first, rest), held));
        };
        if rest.is_empty() && !bytes.is_empty() {
            rest.extend_from_slice(&first);
        }
        held.take(bytes.len())?;
        length += bytes.len();
        rest.extend_from_slice(&bytes);
    }
    linger(body, headers);
    Err(too_large())
}

/// Reads on while the answer goes out. A client that asked whether to send its body has sent
/// nothing, and is told no by the answer alone.
fn linger(body: BodyDataStream, headers: &HeaderMap) {
    if !headers.contains_key(header::EXPECT) {
        read_on(body);
    }
}

/// Reads on, for a bounded time, what nobody wants: a client that is still sending when its
/// connection is closed never sees the answer.
pub fn read_on(mut body: BodyDataStream) {
    tokio::spawn(async move {
        let until = Instant::now() + LINGER_LIMIT;
        let mut left = MAX_LINGER_BYTES;
        while left > 0 {
            let limit = until.min(Instant::now() + LINGER_PART_LIMIT);
            let Ok(Some(Ok(bytes))) = timeout_at(limit, body.next()).await else { return };
            left = left.saturating_sub(bytes.len());
        }
    });
}

/// What came in one part is not copied.
fn join(first: Bytes, rest: BytesMut) -> Bytes {
    if rest.is_empty() { first } else { rest.freeze() }
}

/// A body of JSON.
pub async fn json<T: DeserializeOwned>(
    body: Body,
    headers: &HeaderMap,
    limit: usize,
    share: &Share,
) -> Result<T, Problem> {
    Ok(held_json(body, headers, limit, share).await?.0)
}

/// A body of JSON that counts until the second value is dropped, as what was read from it is kept.
pub async fn held_json<T: DeserializeOwned>(
    body: Body,
    headers: &HeaderMap,
    limit: usize,
    share: &Share,
) -> Result<(T, Held), Problem> {
    let (bytes, held) = whole(body, headers, limit, share).await?;
    let value = serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(format!("expected the JSON of openapi.json; {error}"))
    })?;
    Ok((value, held))
}
