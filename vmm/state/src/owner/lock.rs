//! Requests about locks, and what happens when sessions fall silent or end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::config::{Fault, MAX_WAIT};
use super::locks::{Answers, Asked, Held};
use super::outbox::Outbox;
use super::read::close;
use super::record::{Id, Record};
use super::sessions::too_many;
use super::{Answer, Entry, Owner, OwnerConfig, Payload, alone};
use crate::message::{Failure, LockMode, Reply, SessionId, Stamp};
use crate::version::Version;

impl Owner {
    pub(super) fn lock(
        &mut self,
        now: Instant,
        id: &Id,
        lock: (Stamp, u64, LockMode),
        wait_us: u64,
        token: u64,
    ) -> Answer {
        self.tenants.get(id).ok_or(Failure::NotFound)?.value()?;
        let session = lock.0.session;
        if !self.note(now, session, id) {
            return Err(too_many());
        }
        let room = self.tenants.room_to_wait(id);
        self.sessions.lease(session, now + self.config.lease);
        let shard = id.key.shard(&id.tenant);
        let entry = self.tenants.make(id);
        let wait = Duration::from_micros(wait_us).min(MAX_WAIT);
        let next = &mut || self.shards.next(shard);
        let asked = entry.locks.ask(now, lock, (wait, room), token, next);
        match asked {
            Asked::Granted(held) => Ok(Some(alone(granted(&self.config, entry, &held)))),
            Asked::Refused(failure) => Err(failure),
            Asked::Waits => {
                self.wake(id);
                Ok(None)
            }
        }
    }

    pub(super) fn unlock(
        &mut self,
        id: &Id,
        stamp: Stamp,
        fence: Version,
        abandoned: bool,
    ) -> Answer {
        let Some(entry) = self.tenants.get_mut(id) else {
            let unknown = fence == Version::NONE;
            return if unknown {
                Ok(Some(alone(Reply::Done)))
            } else {
                Err(Failure::LockLost { fence })
            };
        };
        let tokens = entry.locks.give_back(stamp, fence, abandoned)?;
        let answers = tokens.into_iter().map(|token| (token, Err(Failure::NotLocked)));
        self.tell(id, answers.collect());
        self.grant(id);
        Ok(Some(alone(Reply::Done)))
    }

    /// Grants what is free now.
    fn grant(&mut self, id: &Id) {
        let shard = id.key.shard(&id.tenant);
        if let Some(entry) = self.tenants.get_mut(id) {
            let answers = entry.locks.grant(&mut || self.shards.next(shard));
            self.tell(id, answers);
        }
        self.wake(id);
    }

    /// Sets the time at which the waits of a value are looked at next.
    pub(super) fn wake(&mut self, id: &Id) {
        self.tenants.count_waits(id);
        let Some(entry) = self.tenants.get_mut(id) else { return };
        let timeouts = [entry.locks.next_timeout(), entry.watches.next_timeout()];
        let next = timeouts.into_iter().flatten().min();
        if next != entry.wake {
            self.sessions.wake(id, entry.wake, next);
            entry.wake = next;
        }
    }

    fn tell(&mut self, id: &Id, answers: Answers) {
        let Some(entry) = self.tenants.get(id) else { return };
        for (token, answer) in answers {
            send(&mut self.outbox, &self.config, entry, token, answer);
        }
    }

    /// The value is gone, so nobody waits for its locks.
    pub(super) fn refuse_waiting(&mut self, id: &Id, why: &Failure) {
        if let Some(entry) = self.tenants.get_mut(id) {
            let answers = entry.locks.refuse_all(why);
            self.tell(id, answers);
        }
        self.wake(id);
    }

    /// Ends the waits of a value whose time is over.
    pub(super) fn end_waits(&mut self, now: Instant, id: &Id) {
        if let Some(entry) = self.tenants.get_mut(id) {
            entry.wake = None;
            let answers = entry.locks.expire(now);
            self.tell(id, answers);
        }
        self.expire_watches(now, id);
        self.grant(id);
    }

    /// The session was silent for a lease: its locks are lost, its versions are closed.
    pub(super) fn abandon(&mut self, session: SessionId) {
        let Some(known) = self.sessions.get_mut(session) else { return };
        known.until = None;
        let ids: Vec<Id> = known.at.iter().cloned().collect();
        for ((id, _), version) in std::mem::take(&mut known.open) {
            self.tenants.update(&id, |entry| close(entry, version));
        }
        for id in ids {
            self.abandon_locks(&id, session);
        }
    }

    fn abandon_locks(&mut self, id: &Id, session: SessionId) {
        let Some(entry) = self.tenants.get_mut(id) else { return };
        if !entry.locks.concerns(session) {
            return;
        }
        let answers = entry.locks.abandon(session);
        self.tell(id, answers);
        self.grant(id);
    }

    /// The session ends by its own word.
    pub(super) fn end(&mut self, session: SessionId) {
        self.abandon(session);
        let known = self.sessions.end(session);
        self.clear(session, known.at);
    }

    /// Notes that something is kept for the session at `id`, if need be in the place of sessions
    /// that were silent for long; whether there is room.
    pub(super) fn note(&mut self, now: Instant, session: SessionId, id: &Id) -> bool {
        if !self.sessions.has_room(session) {
            for silent in self.sessions.silent(now) {
                let known = self.sessions.forget(silent);
                self.clear(silent, known.at);
            }
        }
        self.sessions.note(now, session, id)
    }

    /// No answer is kept for the session at `id` any more; locks may be.
    pub(super) fn unnote(&mut self, session: SessionId, id: &Id) {
        if !self.tenants.get(id).is_some_and(|entry| entry.locks.concerns(session)) {
            self.sessions.unnote(session, id);
        }
    }

    /// Nothing is kept for the session any more.
    fn clear(&mut self, session: SessionId, ids: BTreeSet<Id>) {
        let mut batch = Vec::new();
        for id in ids {
            let Some(entry) = self.tenants.get_mut(&id) else { continue };
            entry.locks.forget(session);
            if entry.done.remove(&session).is_some() {
                batch.push(Record::Done(id, session, None));
            }
        }
        if !batch.is_empty() {
            self.outbox.persist(batch);
        }
    }

    /// Forgets the oldest keys without a value, where there are too many: what is kept for
    /// retries of their changes goes with them.
    pub(super) fn forget_gone(&mut self) {
        while let Some((id, entry)) = self.tenants.forget_gone(self.outbox.settled()) {
            let mut batch = Vec::new();
            for (session, _) in entry.done {
                self.sessions.unnote(session, &id);
                batch.push(Record::Done(id.clone(), session, None));
            }
            if !batch.is_empty() {
                self.outbox.persist(batch);
            }
        }
    }
}

fn granted(config: &OwnerConfig, entry: &Entry, held: &Held) -> Reply {
    Reply::Granted {
        fence: held.fence,
        abandoned: held.abandoned,
        lease_ms: config.lease.as_millis() as u64,
        version: entry.value().map_or(Version::NONE, super::value::Value::version),
    }
}

fn send(
    outbox: &mut Outbox,
    config: &OwnerConfig,
    entry: &Entry,
    token: u64,
    answer: Result<Held, Failure>,
) {
    let reply = match answer {
        Ok(held) => granted(config, entry, &held),
        Err(failure) => Reply::Failed(failure),
    };
    let after = entry.after.filter(|_| !config.leaves_out(Fault::IgnoreStorage));
    outbox.reply(token, reply, Payload::default(), after);
}
