//! State as it is used from outside of functions: by HTTP and the command line.
//!
//! What it is: whole values and ranges, read and written over a session of the monitor's own for
//! each tenant. What it is not: a local tier; nothing is kept here, every read asks the owner.
//!
//! A write of up to [`WRITE_BYTES`] is one version. A longer one, and one that makes a value
//! shorter, is several: a reader may see those between. `if_match` is checked with the first.

mod error;
mod read;
mod write;

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_state::message::{Body, MAX_LISTED, Reply, SessionId, Stamp, Stat, VersionStat};
use faaslet_state::owner::MAX_WATCH;
use faaslet_state::payload::names;
use faaslet_state::{CHUNK_BYTES, Version};
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::super::lock::lock;
use super::{StateSession, States};

pub use error::OutsideError;
pub use read::{Change, Reading};
pub use write::Precondition;

/// Most bytes that are written as one version.
pub const WRITE_BYTES: u64 = 96 * CHUNK_BYTES;
/// How long an owner may take to answer.
const WITHIN: Duration = Duration::from_secs(30);
/// Watches of one tenant on a host that wait at the same time.
const MAX_WATCHES: usize = 1024;

/// Answers of one tenant on a host that are gathered at the same time.
const MAX_READS: usize = 16;

/// Sessions of the monitor itself, by tenant.
pub(super) type Outsides = Mutex<HashMap<String, Outside>>;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Outside {
    session: StateSession,
    /// Turns of those who wait for a change.
    watches: Arc<Semaphore>,
    /// Turns of those who gather what they read.
    reads: Arc<Semaphore>,
    /// Versions that were opened so far.
    opened: Arc<AtomicU64>,
}

impl States {
    /// The way in for a tenant's requests from outside.
    pub fn outside(self: &Arc<Self>, tenant: &str) -> Outside {
        let mut outsides = lock(&self.outsides);
        if let Some(known) = outsides.get(tenant) {
            return known.clone();
        }
        let [watches, reads] =
            [MAX_WATCHES, MAX_READS].map(|turns| Arc::new(Semaphore::new(turns)));
        let (session, opened) = (self.begin(tenant), Arc::default());
        let outside = Outside { session, watches, reads, opened };
        outsides.insert(tenant.to_owned(), outside.clone());
        outside
    }
}

/// The stamp that the session puts its own in the place of.
fn any_stamp() -> Stamp {
    Stamp { session: SessionId(0), sequence: 0 }
}

impl Outside {
    async fn ask(
        &self,
        key: &str,
        body: Body,
        payload: Bytes,
    ) -> Result<(Reply, Bytes), OutsideError> {
        let (tell, told) = oneshot::channel();
        let answered = Box::new(move |result| {
            // Nobody waits any more: then it is for nobody.
            let _ = tell.send(result);
        });
        self.session.ask_numbered(key, body, payload, Instant::now() + WITHIN, answered);
        match told.await {
            Ok(result) => result.map_err(|error| OutsideError::of(key, error)),
            Err(_) => Err(OutsideError::Ended),
        }
    }

    /// Names with a prefix, behind `after`, in order; whether there are more.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn list(
        &self,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<(Vec<String>, bool), OutsideError> {
        let body = Body::List { after: after.to_owned(), limit: limit.clamp(1, MAX_LISTED) };
        let (reply, payload) = self.ask(prefix, body, Bytes::new()).await?;
        let Reply::Listed { more } = reply else { return Err(OutsideError::Protocol) };
        let names = names(&payload).map(|name| name.map(str::to_owned));
        Ok((names.collect::<Result<_, _>>().map_err(|_| OutsideError::Protocol)?, more))
    }

    /// A value as its owner knows it.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn stat(&self, key: &str) -> Result<Stat, OutsideError> {
        self.value_of(key, Body::Stat).await
    }

    async fn value_of(&self, key: &str, body: Body) -> Result<Stat, OutsideError> {
        match self.ask(key, body, Bytes::new()).await?.0 {
            Reply::Value(stat) => Ok(stat),
            _ => Err(OutsideError::Protocol),
        }
    }

    /// A value as soon as its version is another than `known`, or after `wait` as it is then. The
    /// owner tells; it is asked again every [`MAX_WATCH`], as it may be another one by then.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn changed(
        &self,
        key: &str,
        known: Version,
        wait: Duration,
    ) -> Result<Stat, OutsideError> {
        let full = OutsideError::TooManyWatches { limit: MAX_WATCHES };
        let _turn = self.watches.try_acquire().map_err(|_| full)?;
        let until = Instant::now() + wait;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let wait_us = left.min(MAX_WATCH).as_micros() as u64;
            let stat = self.value_of(key, Body::Watch { known, wait_us }).await?;
            if stat.version != known || left.is_zero() {
                return Ok(stat);
            }
        }
    }

    /// A turn to gather an answer in memory, which others wait for.
    ///
    /// # Errors
    /// `Ended`.
    pub async fn turn_to_read(&self) -> Result<SemaphorePermit<'_>, OutsideError> {
        self.reads.acquire().await.map_err(|_| OutsideError::Ended)
    }

    /// The versions that are there, newest first.
    ///
    /// # Errors
    /// See [`OutsideError`].
    pub async fn versions(&self, key: &str) -> Result<Vec<VersionStat>, OutsideError> {
        match self.ask(key, Body::Versions, Bytes::new()).await?.0 {
            Reply::Versions { versions } => Ok(versions),
            _ => Err(OutsideError::Protocol),
        }
    }
}
