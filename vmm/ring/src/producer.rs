//! The end of a ring that writes. It never waits: what finds no room goes to a bounded backlog.

use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Broken, PushError};
use crate::lane::{Lane, WORD_BYTES};
use crate::pack::{Packer, padded, pieces};
use crate::wake::{self, DATA, ROOM};
use crate::{MAX_BACKLOG_BYTES, MAX_MESSAGE_BYTES, MAX_SMALL_MESSAGE_BYTES, SMALL_BACKLOG_BYTES};

/// Bit of a record's header: the message goes on in the next record.
pub(crate) const MORE: u64 = 1 << 32;

/// Writes messages to the peer.
///
/// `push` writes without waking the peer and `flush` wakes it, if it sleeps: a batch costs one
/// wake. Several threads that send share it behind a mutex; nothing here blocks.
#[derive(Debug)]
pub struct Producer {
    lane: Lane,
    /// Where the next record goes. Ours alone; the shared copy is only ever written.
    tail: u64,
    /// Where the consumer was when last looked. Invariant: `tail - head <= capacity`.
    head: u64,
    /// What the peer was last told of.
    announced: u64,
    backlog: Backlog,
    broken: Option<Broken>,
    /// Invariant: set if the peer may believe that we wait for room.
    armed: bool,
    /// How often we asked to be woken for room, for the bell to compare with.
    room_waits: Arc<AtomicU64>,
}

/// Messages that found no room, oldest first.
#[derive(Debug, Default)]
struct Backlog {
    messages: VecDeque<Vec<u8>>,
    /// Bytes of the first one that the ring has taken.
    sent: usize,
    /// Bytes of all that the ring has not taken, and 8 for each message.
    waiting: usize,
}

impl Producer {
    pub(crate) fn new(lane: Lane) -> Self {
        Self {
            lane,
            tail: 0,
            head: 0,
            announced: 0,
            backlog: Backlog::default(),
            broken: None,
            armed: false,
            room_waits: Arc::default(),
        }
    }

    /// Takes a message, given in parts, without waking the peer.
    pub fn push(&mut self, parts: &[&[u8]]) -> Result<(), PushError> {
        self.take(parts, MAX_MESSAGE_BYTES, MAX_BACKLOG_BYTES)
    }

    /// Takes a message of at most [`MAX_SMALL_MESSAGE_BYTES`], for which room is kept beside all
    /// others.
    pub fn push_small(&mut self, parts: &[&[u8]]) -> Result<(), PushError> {
        self.take(parts, MAX_SMALL_MESSAGE_BYTES, MAX_BACKLOG_BYTES + SMALL_BACKLOG_BYTES)
    }

    fn take(&mut self, parts: &[&[u8]], longest: usize, backlog: usize) -> Result<(), PushError> {
        let total = parts.iter().map(|part| part.len()).sum();
        if total > longest {
            return Err(PushError::TooLong { bytes: total, max: longest });
        }
        self.pump()?;
        if !self.backlog.messages.is_empty() {
            return self.backlog.add(parts, 0, total, backlog);
        }
        if let Some(sent) = self.write(parts, 0, total)? {
            self.backlog.add(parts, sent, total, backlog)?;
            self.want_room()?;
        }
        Ok(())
    }

    /// Wakes the peer if it sleeps and something was written since the last flush.
    pub fn flush(&mut self) {
        if self.announced != self.tail {
            self.announced = self.tail;
            self.lane.announce(DATA);
        }
    }

    /// [`push`](Self::push) and [`flush`](Self::flush).
    pub fn send(&mut self, parts: &[&[u8]]) -> Result<(), PushError> {
        self.push(parts)?;
        self.flush();
        Ok(())
    }

    /// Moves backlog into the ring as far as there is room, and asks to be woken for more. Call it
    /// whenever woken.
    pub fn pump(&mut self) -> Result<(), Broken> {
        self.sound()?;
        if self.backlog.messages.is_empty() {
            return Ok(());
        }
        self.want_room()?;
        self.flush();
        Ok(())
    }

    /// Bytes that wait for the peer to make room.
    pub fn backlog_bytes(&self) -> usize {
        self.backlog.waiting
    }

    pub(crate) fn room_waits(&self) -> Arc<AtomicU64> {
        self.room_waits.clone()
    }

    #[cfg(test)]
    pub(crate) fn shared_head(&self) -> &AtomicU64 {
        self.lane.head()
    }

    fn sound(&self) -> Result<(), Broken> {
        self.broken.map_or(Ok(()), Err)
    }

    /// Empties the backlog as far as it goes; if some is left, the peer has been asked to tell of
    /// room. Each turn but the last moves a record, so the backlog bounds the turns.
    fn want_room(&mut self) -> Result<(), Broken> {
        loop {
            self.drain_backlog()?;
            let Some(record) = self.backlog.next_record_bytes(self.lane.capacity().frame_bytes())
            else {
                if mem::take(&mut self.armed) {
                    wake::Flag::clear(self.lane.own_waits(), ROOM);
                }
                return Ok(());
            };
            self.armed = true;
            self.room_waits.fetch_add(1, Ordering::Relaxed);
            let lane = self.lane.clone();
            // The peer may sleep: it makes room only once it knows what is there.
            self.flush();
            if wake::prepare(lane.own_waits(), ROOM, || self.has_room(record))? {
                return Ok(());
            }
        }
    }

    fn drain_backlog(&mut self) -> Result<(), Broken> {
        while let Some(message) = self.backlog.messages.pop_front() {
            let from = self.backlog.sent;
            let Some(sent) = self.write(&[&message], from, message.len())? else {
                self.backlog.waiting -= message.len() - from + WORD_BYTES;
                self.backlog.sent = 0;
                continue;
            };
            self.backlog.waiting -= sent - from;
            self.backlog.sent = sent;
            self.backlog.messages.push_front(message);
            return Ok(());
        }
        Ok(())
    }

    /// Writes a message from byte `sent` on, as far as there is room. `None`: all of it.
    fn write(
        &mut self,
        parts: &[&[u8]],
        mut sent: usize,
        total: usize,
    ) -> Result<Option<usize>, Broken> {
        let frame = self.lane.capacity().frame_bytes();
        loop {
            let length = frame.min(total - sent);
            let last = sent + length == total;
            if !self.has_room(WORD_BYTES + padded(length))? {
                return Ok(Some(sent));
            }
            self.record(parts, sent, length, last);
            sent += length;
            if last {
                return Ok(None);
            }
        }
    }

    /// Writes one record, for which there is room, and publishes it.
    fn record(&mut self, parts: &[&[u8]], from: usize, length: usize, last: bool) {
        let mut packer = Packer::new(self.lane.data(), self.tail);
        packer.word(length as u64 | if last { 0 } else { MORE });
        pieces(parts, from, length, |piece| packer.bytes(piece));
        packer.finish();
        self.tail += (WORD_BYTES + padded(length)) as u64;
        self.lane.tail().store(self.tail, Ordering::Release);
    }

    /// Whether a record of that size fits, by the consumer's newest index if need be.
    fn has_room(&mut self, bytes: usize) -> Result<bool, Broken> {
        let capacity = self.lane.capacity().bytes() as u64;
        let fits = |head| self.tail + bytes as u64 - head <= capacity;
        if fits(self.head) {
            return Ok(true);
        }
        let found = self.lane.head().load(Ordering::Acquire);
        if !(self.head..=self.tail).contains(&found) || !found.is_multiple_of(WORD_BYTES as u64) {
            let broken = Broken::Index { which: "head", found, low: self.head, high: self.tail };
            self.broken = Some(broken);
            return Err(broken);
        }
        self.head = found;
        Ok(fits(found))
    }
}

impl Backlog {
    /// Keeps a message of which the ring has taken `sent` bytes (0 unless it is the first here),
    /// if no more than `max` bytes wait then.
    fn add(
        &mut self,
        parts: &[&[u8]],
        sent: usize,
        total: usize,
        max: usize,
    ) -> Result<(), PushError> {
        let bytes = total - sent + WORD_BYTES;
        if !self.messages.is_empty() && self.waiting + bytes > max {
            let waiting = self.waiting;
            return Err(PushError::Full { waiting, bytes: total, max });
        }
        let mut message = Vec::with_capacity(total - sent);
        pieces(parts, sent, total - sent, |piece| message.extend_from_slice(piece));
        self.messages.push_back(message);
        self.waiting += bytes;
        Ok(())
    }

    /// Bytes of the next record in the ring, if there is a next one.
    fn next_record_bytes(&self, frame: usize) -> Option<usize> {
        let first = self.messages.front()?;
        Some(WORD_BYTES + padded(frame.min(first.len() - self.sent)))
    }
}
