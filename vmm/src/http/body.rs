//! Bodies of requests: bounded in bytes and in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

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
/// Bytes of bodies held at once, over all requests.
const MAX_HELD_BYTES: usize = 512 << 20;
/// Longest JSON of most requests.
pub const MAX_JSON_BYTES: usize = 1 << 20;

/// Bytes of bodies that may be held, over all requests.
#[derive(Debug, Clone, Default)]
pub struct Budget(Arc<AtomicUsize>);

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub struct Held {
    budget: Budget,
    bytes: usize,
}

impl Held {
    /// Takes so much more, or says no.
    fn take(&mut self, bytes: usize) -> Result<(), Problem> {
        let before = self.budget.0.fetch_add(bytes, Ordering::Relaxed);
        self.bytes += bytes;
        if before + bytes > MAX_HELD_BYTES {
            return Err(Problem::overloaded(format!(
                "expected at most {MAX_HELD_BYTES} bytes of inputs at once; there are more; try \
                 again soon"
            )));
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Budget {
    /// Nothing held yet.
    fn begin(&self) -> Held {
        Held { budget: self.clone(), bytes: 0 }
    }
}

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

/// All of a body of at most `limit` bytes; what is held counts until the second value is dropped.
pub async fn whole(
    body: Body,
    headers: &HeaderMap,
    limit: usize,
    budget: &Budget,
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
    let mut held = budget.begin();
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
fn linger(mut body: BodyDataStream, headers: &HeaderMap) {
    if headers.contains_key(header::EXPECT) {
        return;
    }
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
    budget: &Budget,
) -> Result<T, Problem> {
    let (bytes, _held) = whole(body, headers, limit, budget).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(format!("expected the JSON of openapi.json; {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[&'static str]) -> Body {
        let parts: Vec<_> = parts.iter().map(|part| Ok::<_, std::io::Error>(*part)).collect();
        Body::from_stream(futures_util::stream::iter(parts))
    }

    #[tokio::test]
    async fn a_body_is_its_parts_and_ends_at_the_limit() {
        let budget = Budget::default();
        let headers = HeaderMap::new();
        for (given, expected) in
            [(&[][..], ""), (&["ab"], "ab"), (&["a", "", "b", "c"], "abc"), (&["", "abcd"], "abcd")]
        {
            let (bytes, held) = whole(parts(given), &headers, 4, &budget).await.unwrap();
            assert_eq!(bytes, expected);
            assert_eq!(held.bytes, expected.len());
        }
        let refused = whole(parts(&["abc", "de"]), &headers, 4, &budget).await.unwrap_err();
        assert_eq!(refused.status, 413);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0, "all is given back");
    }

    #[tokio::test]
    async fn an_announced_length_over_the_limit_is_refused_unread() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_LENGTH, 5.into());
        let endless = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
        let refused = whole(endless, &headers, 4, &Budget::default()).await.unwrap_err();
        assert_eq!(refused.status, 413);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_coming_is_given_up() {
        let endless = Body::from_stream(futures_util::stream::pending::<std::io::Result<Bytes>>());
        let slow = whole(endless, &HeaderMap::new(), 4, &Budget::default()).await.unwrap_err();
        assert_eq!(slow.status, 408);
    }

    #[tokio::test]
    async fn no_more_is_held_than_the_budget() {
        let budget = Budget::default();
        let mut held = budget.begin();
        held.take(MAX_HELD_BYTES).unwrap();
        let refused = whole(parts(&["a"]), &HeaderMap::new(), 4, &budget).await.unwrap_err();
        assert_eq!(refused.status, 429);
        drop(held);
        assert!(whole(parts(&["a"]), &HeaderMap::new(), 4, &budget).await.is_ok());
    }
}
