//! How a request to another host fails.

use faaslet_proto::CloseCode;
use faaslet_proto::peer::{Failure, HostId, NotAsked};
use std::net::SocketAddr;

/// Why a request has no response. [`PeerError::may_have_run`] says whether it may have been
/// executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// Not in the table of hosts.
    #[error("host {host} is not in this host's table of peers")]
    UnknownHost {
        /// Which.
        host: HostId,
    },
    /// As much is under way to this host as may be.
    #[error(
        "{requests} requests with {bytes} bytes are under way to host {host}, which is the limit; \
         try again when some have ended"
    )]
    Busy {
        /// Which.
        host: HostId,
        /// How many requests.
        requests: u64,
        /// With how many bytes.
        bytes: u64,
    },
    /// Head or payload is over a limit.
    #[error("expected a {what} of at most {limit_bytes} bytes, found {found_bytes}")]
    TooLarge {
        /// Head or payload.
        what: &'static str,
        /// The limit.
        limit_bytes: u64,
        /// Its length.
        found_bytes: u64,
    },
    /// The hosts do not agree to talk: certificates, names, tables or protocol versions.
    #[error("no connection to host {host} at {addr}: {reason}")]
    Denied {
        /// Which.
        host: HostId,
        /// Where.
        addr: SocketAddr,
        /// [`CloseCode::Version`], or [`CloseCode::Unauthorised`].
        code: CloseCode,
        /// What was expected and found.
        reason: String,
    },
    /// The connection was lost before the request was sent.
    #[error("the connection to host {host} was lost before the request was sent: {reason}")]
    NotSent {
        /// Which.
        host: HostId,
        /// How the connection ended.
        reason: String,
    },
    /// The connection was lost after the request was sent.
    #[error("the connection to host {host} was lost, the request may have been executed: {reason}")]
    Lost {
        /// Which.
        host: HostId,
        /// How the connection ended.
        reason: String,
    },
    /// The deadline passed.
    #[error("host {host} did not answer in time{}", after(*may_have_run, reason))]
    TimedOut {
        /// Which.
        host: HostId,
        /// False when it certainly was not executed.
        may_have_run: bool,
        /// Why there was no connection, if that is known.
        reason: String,
    },
    /// The other host did not execute it.
    #[error("host {host} refused: {reason}")]
    Refused {
        /// Which.
        host: HostId,
        /// What it said.
        reason: String,
    },
    /// The other host took it and has no response.
    #[error("host {host} has no response, the request may have been executed: {reason}")]
    NoResponse {
        /// Which.
        host: HostId,
        /// What it said.
        reason: String,
    },
    /// The one who asked took it back; it may have been sent.
    #[error("the request was cancelled")]
    Cancelled,
    /// This host's end was closed; the request may have been sent.
    #[error("this host's peers are closed")]
    Closed,
}

impl PeerError {
    /// False when the request certainly was not and will not be executed.
    #[must_use]
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::NoResponse { .. } | Self::Cancelled | Self::Closed => true,
            Self::TimedOut { may_have_run, .. } => *may_have_run,
            _ => false,
        }
    }

    pub(super) fn of_failure(host: HostId, failure: Failure) -> Self {
        match failure {
            Failure::Refused { reason } => Self::Refused { host, reason },
            Failure::NoResponse { reason } => Self::NoResponse { host, reason },
            Failure::TimedOut { may_have_run } => {
                Self::TimedOut { host, may_have_run, reason: String::new() }
            }
        }
    }

    pub(super) fn of_not_asked(host: HostId, error: NotAsked) -> Self {
        match error {
            NotAsked::TooLarge { what, limit_bytes, found_bytes } => {
                Self::TooLarge { what, limit_bytes, found_bytes }
            }
            NotAsked::Deadline => {
                Self::TimedOut { host, may_have_run: false, reason: String::new() }
            }
            other => Self::NotSent { host, reason: other.to_string() },
        }
    }
}

fn after(may_have_run: bool, reason: &str) -> String {
    match (may_have_run, reason) {
        (true, _) => ", the request may have been executed".to_owned(),
        (false, "") => String::new(),
        (false, reason) => format!(": no connection, {reason}"),
    }
}
