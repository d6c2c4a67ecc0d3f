//! Functions of other hosts: found, fetched and run here; and this host's, given to others.
//!
//! ```text
//!  call, prewarm ──► copies ──► find ──────► Find ─────► serve (another host's) ──► its records
//!                      │          asks all
//!                      ├──► pull ──────────► Outline, Read ─► serve ──► its files
//!                      │     each piece checked, kept under `partial/`
//!                      └──► store (a copy's record) ──► functions ──► the call goes on
//! ```
//!
//! What it is: a function that is not deployed here is looked for on the other hosts of the list, and
//! becomes a *copy*: a record like any other that says whose it is. A copy follows its origin: before
//! a call that comes [`FRESH_FOR`] after the last look, the origin is asked again. What it is not: a
//! second way to deploy; what is deployed on this host is never replaced by another host's.
//!
//! What travels: module, plan, image, compiled code where engine and processor are the same, and
//! environment and secrets, over mutual TLS between hosts that the operator's own authority vouches
//! for, and only to a host that has a tenant of that name. Nothing of it is logged.

mod copies;
mod counts;
mod find;
mod progress;
mod pull;
mod serve;
mod warm;

use std::sync::Arc;
use std::time::Duration;

use faaslet_net::peer::{HostId, PeerError, PeerResponse, Peers};
use faaslet_net::ship::{Ask, Body, Failure, Reply, SERVICE};

use super::Monitor;
use super::once::Once;
pub(super) use copies::BringError;
use counts::Counts;
pub use counts::RemoteCounts;
pub(super) use progress::Progress;
pub(super) use warm::Warms;
pub use warm::{ListError, PrewarmError, Tell};

/// How long a copy is used before its origin is asked whether it is still the newest.
pub(super) const FRESH_FOR: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Remote {
    peers: Peers,
    absent: find::Absent,
    /// Functions that are being brought here.
    bringing: Once,
    /// Files that are on their way.
    pulling: Once,
    counts: Arc<Counts>,
}

/// Why another host did not answer what it was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// It was not reached.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// It refused.
    #[error("host {host}: {failure}")]
    Failed {
        /// Which.
        host: HostId,
        /// Why.
        failure: Failure,
    },
    /// It answered something else.
    #[error("host {host} answered another question; is it of another release?")]
    Other {
        /// Which.
        host: HostId,
    },
}

impl Remote {
    /// What asks other hosts; they are answered from [`Monitor::serve_others`] on.
    pub(super) fn new(peers: &Peers) -> Self {
        Self {
            peers: peers.of(SERVICE),
            absent: find::Absent::default(),
            bringing: Once::default(),
            pulling: Once::default(),
            counts: Arc::default(),
        }
    }

    /// This host's name.
    pub(super) fn host(&self) -> HostId {
        self.peers.host()
    }

    /// Asks a host, and gives its reply with the payload beside it.
    async fn ask(
        &self,
        host: HostId,
        tenant: &str,
        body: Body,
        within: Duration,
    ) -> Result<(Reply, bytes::Bytes), AskError> {
        let failed = |failure| AskError::Failed { host, failure };
        let head = Ask::new(tenant, body).to_bytes().map_err(failed)?;
        let deadline = std::time::Instant::now() + within;
        let answer = self.peers.ask(host, head, bytes::Bytes::new(), deadline).await?;
        let PeerResponse { head, payload } = answer;
        match Reply::from_bytes(&head).map_err(failed)? {
            Reply::Failed(failure) => Err(failed(failure)),
            reply => Ok((reply, payload)),
        }
    }
}

impl Monitor {
    /// Answers other hosts from now on.
    pub(super) fn serve_others(self: &Arc<Self>) {
        if let Some(remote) = &self.remote {
            let handler = serve::Serving::new(self, Arc::clone(&remote.counts));
            self.states.serve(Arc::new(handler));
        }
    }

    /// What was counted between this host and others; nothing where there are none.
    #[must_use]
    pub fn remote_counts(&self) -> Option<RemoteCounts> {
        self.remote.as_ref().map(|remote| remote.counts.now())
    }
}
