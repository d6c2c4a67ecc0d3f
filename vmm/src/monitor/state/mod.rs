//! State in the monitor: the owner of this host's shards, and a session for each cell.
//!
//! What it is: the drive around the state machines of `faaslet-state`: clock, disk, and the ways to
//! other hosts. What it is not: it maps no tenant's memory (that is the cell's local tier), and it
//! never looks into a value but as its owner.
//!
//! ```text
//!  cell, http ──ask──► live (its Session) ──┬─ this host ──► owner (Owner) ──batch──► committer
//!                        ▲                  └─ another ────► peers                      │
//!                        └──────────────────── answers ◄────────────────────────────────┘
//! ```
//!
//! A request for a shard of this host goes into the owner on the thread that asks. What a step
//! leads to (an answer, a message, a callback) is a piece of `work`, done when no lock is held; so
//! a callback may ask again.
//!
//! Start at [`StateSession::ask`].

mod committer;
mod config;
mod counts;
mod disk;
mod list;
mod live;
mod open;
mod outside;
mod owner;
mod peers;
mod places;
mod timers;
mod work;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use bytes::Bytes;
use faaslet_state::HostId;
use faaslet_state::message::{Body, Failure, Reply, SessionId};
use faaslet_state::session::{Routes, SessionConfig, SessionError};

use super::lock::lock;
use committer::Committer;
use counts::Counts;
use live::Live;
use owner::OwnerCell;
use peers::Ways;
use timers::Timers;

pub use config::{PeersConfig, StateBounds, StatesConfig, StatesError};
pub use counts::{DiskCount, GROUP_SIZES, KINDS, TenantCount};
pub use disk::{Damage, DiskError, STATE_FILE, Salvage, Salvaged, salvage};
pub use outside::{Change, Outside, OutsideError, Precondition, Reading, WRITE_BYTES};

/// What is called with the end of a request, once, from whatever thread it comes to.
pub type Answered = Box<dyn FnOnce(Result<(Reply, Bytes), SessionError>) + Send>;

/// Most sessions of one host at once: of cells, and of the monitor itself.
pub const MAX_SESSIONS: usize = 16_384;

/// See the module's documentation.
#[derive(Debug)]
pub struct States {
    host: HostId,
    /// All hosts, this one among them.
    hosts: Vec<HostId>,
    /// What a session that begins knows of owners.
    routes: Routes,
    owner: OwnerCell,
    lives: Mutex<HashMap<SessionId, Arc<Live>>>,
    timers: Timers,
    counts: Counts,
    outsides: outside::Outsides,
    /// Where durable values rest; `None` where everything is in memory, for tests.
    committer: OnceLock<Committer>,
    /// `None` where there is no other host.
    ways: Option<Ways>,
    /// What was not as it was stored when the disk was read.
    damages: Vec<Damage>,
}

/// The session of one life of a local tier: of a cell, or of the monitor itself for requests from
/// outside. Cheap to clone; ended by [`StateSession::end`], or with the last clone.
#[derive(Clone, Debug)]
pub struct StateSession(Arc<Ends>);

/// Ends its session when it goes.
#[derive(Debug)]
struct Ends {
    states: Arc<States>,
    live: Arc<Live>,
}

impl States {
    /// A session that begins.
    pub fn begin(self: &Arc<Self>, tenant: &str) -> StateSession {
        self.resume(SessionId(rand::random()), tenant)
    }

    /// A session under a name that it had before. For tests of what is sent again.
    #[doc(hidden)]
    pub fn resume(self: &Arc<Self>, id: SessionId, tenant: &str) -> StateSession {
        let live = Live::new(
            id,
            tenant,
            self.routes.clone(),
            SessionConfig { owners_last: true, ..SessionConfig::default() },
            self.counts.tenant(tenant),
        );
        let live = Arc::new(live);
        let mut lives = self.lives();
        if lives.len() < MAX_SESSIONS {
            lives.insert(id, Arc::clone(&live));
        } else {
            live.close();
        }
        drop(lives);
        StateSession(Arc::new(Ends { states: Arc::clone(self), live }))
    }

    fn lives(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Live>>> {
        lock(&self.lives)
    }
}

impl Drop for States {
    fn drop(&mut self) {
        self.timers.stop();
    }
}

impl StateSession {
    /// Asks the owner of a key, for a `List` every owner. The session of stamps and of `Open` and
    /// `Close` is this one, whatever `body` says; the sequence numbers of stamps are the caller's.
    ///
    /// `answered` may be called before this returns.
    pub fn ask(
        &self,
        key: &str,
        body: Body,
        payload: Bytes,
        deadline: Instant,
        answered: Answered,
    ) {
        self.ask_as(false, key, body, payload, deadline, answered);
    }

    /// The same, with a number of the session's own for a stamp.
    fn ask_numbered(
        &self,
        key: &str,
        body: Body,
        payload: Bytes,
        deadline: Instant,
        answered: Answered,
    ) {
        self.ask_as(true, key, body, payload, deadline, answered);
    }

    fn ask_as(
        &self,
        numbered: bool,
        key: &str,
        body: Body,
        payload: Bytes,
        deadline: Instant,
        answered: Answered,
    ) {
        let Ends { states, live } = &*self.0;
        match body {
            Body::List { after, limit } => {
                list::ask(states, live, key, &after, limit, deadline, answered);
            }
            Body::Renew { .. } | Body::End { .. } => {
                let why = "found a request that a session makes by itself".to_owned();
                answered(Err(Failure::Malformed { why }.into()));
            }
            body => states.submit(live, numbered, (key, body, payload), deadline, answered),
        }
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.0.live.id()
    }

    /// Whose session it is.
    pub fn tenant(&self) -> &str {
        self.0.live.tenant()
    }

    /// The local tier has ended: its locks are given back as abandoned.
    pub fn end(&self) {
        self.0.end();
    }
}

impl Ends {
    fn end(&self) {
        self.states.end(&self.live);
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.end();
    }
}
