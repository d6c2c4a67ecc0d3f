//! What an owner is given back when it starts, and what it gives when it stops.

use std::time::Instant;

use super::Owner;
use super::config::MAX_SESSIONS_PER_VALUE;
use super::entry::{Kept, State};
use super::record::{Batch, Done, Id, Record};
use super::value::Value;
use crate::chunk::Chunk;
use crate::message::SessionId;

/// Why a record cannot be taken back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A chunk before the head of its value, or of one of which only the name is stored.
    #[error("expected chunks of a value behind its head; found chunk {} of {} of tenant {}", chunk.0, id.key, id.tenant)]
    NoHead {
        /// The value.
        id: Id,
        /// The chunk.
        chunk: Chunk,
    },
    /// A removal is nothing to restore.
    #[error("expected what is stored; found a removal of a record of {} of tenant {}", id.key, id.tenant)]
    Removal {
        /// The value.
        id: Id,
    },
}

impl Owner {
    /// Takes back a record that was stored: the head of a value before its chunks. A value in
    /// memory that was not saved is lost from then on, by name.
    ///
    /// # Errors
    /// See [`RestoreError`]; nothing has changed then.
    pub fn restore(&mut self, now: Instant, record: Record) -> Result<(), RestoreError> {
        match record {
            Record::Head(id, Some(head)) => {
                let state = if head.whole {
                    State::There(Box::new(Value::restored(&head, now)))
                } else {
                    State::Lost
                };
                self.tenants.update(&id, |entry| entry.state = state);
            }
            Record::Chunk(id, chunk, Some((version, bytes))) => {
                let there = self.tenants.get(&id).is_some_and(|entry| entry.value().is_ok());
                if !there {
                    return Err(RestoreError::NoHead { id, chunk });
                }
                self.tenants.update(&id, |entry| {
                    if let Ok(value) = entry.value_mut() {
                        value.restore_chunk(chunk, version, bytes);
                    }
                });
            }
            Record::Done(id, session, Some(done)) => self.restore_done(now, &id, session, done),
            Record::Head(id, None) | Record::Chunk(id, _, None) | Record::Done(id, _, None) => {
                return Err(RestoreError::Removal { id });
            }
        }
        Ok(())
    }

    fn restore_done(&mut self, now: Instant, id: &Id, session: SessionId, done: Done) {
        let entry = self.tenants.make(id);
        if entry.done.len() < MAX_SESSIONS_PER_VALUE && self.sessions.note(session, id).is_ok() {
            entry.done.insert(session, Kept { done, at: now });
        }
    }

    /// Everything is restored. What was saved of values in memory is not on disk any more from
    /// now on, as it will not be kept up to date: no answer about them goes before that is so.
    pub fn start(&mut self) {
        let mut batch = Batch::new();
        let mut saved = Vec::new();
        for (id, entry) in self.tenants.iter() {
            let Ok(value) = entry.value() else { continue };
            if value.is_durable() {
                continue;
            }
            batch.push(Record::Head(id.clone(), Some(value.head(false))));
            let chunks = value.put_from(Chunk(0)).map(|(chunk, _)| chunk);
            batch.extend(chunks.map(|chunk| Record::Chunk(id.clone(), chunk, None)));
            saved.push(id);
        }
        if batch.is_empty() {
            return;
        }
        let ticket = self.outbox.persist(batch);
        for id in saved {
            self.tenants.make(&id).after = Some(ticket);
        }
    }

    /// What must be stored before this host stops in good order: the values in memory, with what
    /// is kept for retries of their changes. Nothing may be asked of the owner afterwards.
    pub fn save(&self) -> impl Iterator<Item = Record> {
        self.tenants.iter().flat_map(|(id, entry)| {
            let value = entry.value().ok().filter(|value| !value.is_durable());
            let head = value.map(|value| Record::Head(id.clone(), Some(value.head(true))));
            let chunk_id = id.clone();
            let bodies = value.into_iter().flat_map(|value| value.put_from(Chunk(0)));
            let chunks = bodies.filter_map(move |(chunk, body)| {
                let stored = (body.version, body.bytes.clone()?);
                Some(Record::Chunk(chunk_id.clone(), chunk, Some(stored)))
            });
            let done = value.is_some().then_some(&entry.done).into_iter().flatten();
            let done = done.map(move |(session, kept)| {
                Record::Done(id.clone(), *session, Some(kept.done.clone()))
            });
            head.into_iter().chain(chunks).chain(done)
        })
    }
}
