//! The owner of a host's shards: a state machine without sockets, disk or clock.
//!
//! ```text
//!   handle_request ──► shard? session? ──► dedup ──► value, locks ──► answer ─────────► poll_output
//!   handle_timeout                                       │                     ▲           Reply
//!                                                        └── batch ──► Persist │           Dropped
//!   persisted, storage_failed ─────────────────────────────────────────────────┘           Persist
//! ```
//!
//! Invariant: an answer that shows a change leaves only when the change's batch is stored, and
//! only while the owner's own lease has the margin left. What failed to be stored is taken back,
//! in the reverse order of the changes.
//!
//! All values are in memory, durable ones too, within [`OwnerConfig::bytes`]; beyond it there is
//! the typed failure `Limit`. Of durable values the newest version survives a restart, with the
//! answers that are kept for retries; older versions, open ones and locks do not.
//!
//! Start at [`Owner::handle_request`].

mod change;
mod config;
mod entry;
mod lock;
mod locks;
mod outbox;
mod read;
mod record;
mod restore;
mod sessions;
mod shards;
mod tenants;
mod undo;
mod value;
mod watch;

use std::time::Instant;

pub use config::*;
pub use outbox::Output;
pub use record::{Batch, Done, Head, Id, Record, Ticket};
pub use restore::RestoreError;
pub use tenants::Usage;

use crate::host::{HostId, Route};
use crate::key::Key;
use crate::message::{Asked, Body, Failure, MAX_RENEWED, Reply, SessionId};
use crate::payload::Payload;
use crate::version::Epoch;
use entry::Entry;
use outbox::Outbox;
use sessions::{Sessions, Timer};
use shards::Shards;
use tenants::Tenants;
use undo::Undo;

/// See the module's documentation.
#[derive(Debug)]
pub struct Owner {
    config: OwnerConfig,
    shards: Shards,
    tenants: Tenants,
    sessions: Sessions,
    outbox: Outbox,
    /// What takes back the changes that are not stored yet, oldest first.
    undo: Undo,
    /// Until when this host owns its shards; `None` for ever.
    lease_until: Option<Instant>,
}

/// An answer that is given at once, or one that comes later.
type Answer = Result<Option<(Reply, Payload)>, Failure>;

/// A reply without payload.
fn alone(reply: Reply) -> (Reply, Payload) {
    (reply, Payload::default())
}

impl Owner {
    /// An owner of nothing.
    pub fn new(config: OwnerConfig) -> Self {
        Self {
            config,
            shards: Shards::new(config.host),
            tenants: Tenants::default(),
            sessions: Sessions::default(),
            outbox: Outbox::default(),
            undo: Undo::default(),
            lease_until: None,
        }
    }

    /// This host owns the shard in `epoch`, which is later than every epoch that it has had.
    pub fn own(&mut self, shard: u16, epoch: Epoch) {
        self.shards.set(shard, Route { owner: self.config.host, epoch });
    }

    /// Another host owns the shard: who asks for it here is told.
    pub fn disown(&mut self, shard: u16, owner: HostId, epoch: Epoch) {
        self.shards.set(shard, Route { owner, epoch });
    }

    /// Until when this host owns its shards: without end where the list of hosts is static.
    pub fn set_lease(&mut self, until: Option<Instant>) {
        self.lease_until = until;
    }

    /// What a tenant has here.
    pub fn usage(&self, tenant: &str) -> Usage {
        self.tenants.usage(tenant)
    }

    /// Takes a request. `token` names it in its one answer, which [`Owner::poll_output`] gives:
    /// now, when something is stored, or when a lock is free.
    pub fn handle_request(&mut self, now: Instant, asked: &Asked<'_>, payload: &[u8], token: u64) {
        self.handle_timeout(now);
        if !self.may_answer(now) {
            return self.outbox.drop_request(token);
        }
        match self.answer(now, asked, payload, token) {
            Ok(None) => {}
            Ok(Some((reply, payload))) => {
                let after = self.shown(asked);
                self.outbox.reply(token, reply, payload, after);
            }
            Err(failure) => {
                let after = self.shown(asked);
                self.outbox.reply(token, Reply::Failed(failure), Payload::default(), after);
            }
        }
        self.forget_gone();
    }

    /// The batch that an answer about what was asked shows.
    fn shown(&self, asked: &Asked<'_>) -> Option<Ticket> {
        if self.config.leaves_out(Fault::IgnoreStorage) {
            return None;
        }
        if let Body::List { .. } | Body::End { .. } = &*asked.body {
            return Some(Ticket(self.outbox.next_ticket().0 - 1));
        }
        let entry = self.tenants.entry(asked.tenant, asked.key)?;
        // A change that is sent again shows what it did, not what others did meanwhile.
        let stamp = asked.body.change();
        let kept = stamp.and_then(|stamp| Some((stamp.sequence, entry.done.get(&stamp.session)?)));
        match kept {
            Some((sequence, kept)) if kept.done.sequence == sequence => kept.after,
            _ => entry.after,
        }
    }

    fn may_answer(&self, now: Instant) -> bool {
        let margin = self.config.margin;
        self.config.leaves_out(Fault::IgnoreLease)
            || self.lease_until.is_none_or(|until| now + margin <= until)
    }

    fn answer(&mut self, now: Instant, asked: &Asked<'_>, payload: &[u8], token: u64) -> Answer {
        match &*asked.body {
            Body::Renew { sessions } => return self.renew(now, sessions),
            Body::End { session } => {
                self.end(*session);
                return Ok(Some(alone(Reply::Done)));
            }
            Body::List { after, limit } => {
                let shards = &self.shards;
                let listed = self.tenants.list(asked.tenant, asked.key, after, *limit, shards);
                return Ok(Some(listed));
            }
            _ => {}
        }
        let key = Key::new(asked.key.as_bytes()).map_err(|error| malformed(&error))?;
        let shard = key.shard(asked.tenant);
        self.shards.check(shard, asked.epoch)?;
        if let Some(session) = asked.body.session() {
            if self.sessions.has_ended(session) {
                return Err(Failure::Ended);
            }
            self.sessions.renew(session, now, self.config.lease);
        }
        let id = Id { tenant: self.tenants.name(asked.tenant), key };
        match &*asked.body {
            Body::Lock { stamp, holder, mode, wait_us } => {
                self.lock(now, &id, (*stamp, *holder, *mode), *wait_us, token)
            }
            Body::Unlock { stamp, fence, abandoned } => {
                self.unlock(&id, *stamp, *fence, *abandoned)
            }
            Body::Watch { known, wait_us } => self.watch(now, &id, *known, *wait_us, token),
            body if body.change().is_some() => self.change(now, &id, body, payload, token),
            body => self.read(now, &id, body).map(Some),
        }
    }

    fn renew(&mut self, now: Instant, sessions: &[SessionId]) -> Answer {
        if sessions.len() > MAX_RENEWED {
            let limit = MAX_RENEWED as u64;
            return Err(Failure::Limit { what: "sessions in one request".to_owned(), limit });
        }
        for session in sessions {
            self.sessions.renew(*session, now, self.config.lease);
        }
        Ok(Some(alone(Reply::Done)))
    }

    /// The next thing to do. At its time `now` an answer may go out: do not keep it.
    pub fn poll_output(&mut self, now: Instant) -> Option<Output> {
        match self.outbox.pop()? {
            Output::Reply { token, .. } if !self.may_answer(now) => Some(Output::Dropped { token }),
            output => Some(output),
        }
    }

    /// This batch and all before it are on disk.
    pub fn persisted(&mut self, ticket: Ticket) {
        self.outbox.persisted(ticket);
        self.undo.forget(self.outbox.settled());
    }

    /// This batch could not be stored, though all before it are; and neither will those after it
    /// that were handed out. Their changes are taken back. Changes made from now on come in new
    /// batches.
    pub fn storage_failed(&mut self, ticket: Ticket, why: &str) {
        self.take_back(ticket, why);
        self.outbox.failed(ticket);
    }

    /// When to call [`Owner::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.sessions.next_timeout()
    }

    /// Ends what is over: waits for locks, locks of silent sessions.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(timer) = self.sessions.due(now) {
            match timer {
                Timer::Waits(id) => self.end_waits(now, &id),
                Timer::Lease(session) => self.abandon(session),
            }
        }
    }
}

fn malformed(why: &impl std::fmt::Display) -> Failure {
    Failure::Malformed { why: why.to_string() }
}

#[cfg(test)]
mod tests;
