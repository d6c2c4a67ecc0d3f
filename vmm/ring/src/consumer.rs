//! The end of a ring that reads.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::MAX_MESSAGE_BYTES;
use crate::error::Broken;
use crate::lane::{Lane, WORD_BYTES};
use crate::pack::{load, padded, unpack};
use crate::producer::MORE;
use crate::wake::{self, DATA, ROOM};

/// A buffer that has grown larger is given back before it is used again.
const KEPT_BUFFER_BYTES: usize = 256 << 10;

/// Reads messages from the peer. Each is copied out whole before anybody looks at it.
#[derive(Debug)]
pub struct Consumer {
    lane: Lane,
    /// Where the next record starts. Ours alone; the shared copy is only ever written.
    head: u64,
    /// Where the producer was when last looked. Invariant: `head <= tail <= head + capacity`.
    tail: u64,
    /// What the producer was last told of.
    released: u64,
    /// Fragments of a message that is not whole yet.
    partial: Vec<u8>,
    /// Invariant: set only if the peer may believe that we sleep.
    armed: bool,
    broken: Option<Broken>,
    /// Records read so far, for the bell to compare with.
    records: Arc<AtomicU64>,
}

/// What a record's header says.
struct Record {
    length: usize,
    more: bool,
}

impl Consumer {
    pub(crate) fn new(lane: Lane) -> Self {
        Self {
            lane,
            head: 0,
            tail: 0,
            released: 0,
            partial: Vec::new(),
            armed: false,
            broken: None,
            records: Arc::default(),
        }
    }

    pub(crate) fn records(&self) -> Arc<AtomicU64> {
        self.records.clone()
    }

    /// Takes the next message into `message`, whose content is replaced. False: none is whole yet,
    /// and `message` is empty.
    ///
    /// One call reads no more than was there when it began.
    pub fn try_recv(&mut self, message: &mut Vec<u8>) -> Result<bool, Broken> {
        message.clear();
        if message.capacity() > KEPT_BUFFER_BYTES {
            *message = Vec::new();
        }
        self.broken.map_or(Ok(()), Err)?;
        let taken = self.take(message);
        if let Err(broken) = taken {
            self.broken = Some(broken);
            self.partial = Vec::new();
            message.clear();
        }
        taken
    }

    /// Says that the caller is about to sleep until the bell rings. False: something is there to
    /// read, do not sleep.
    pub fn arm(&mut self) -> Result<bool, Broken> {
        self.broken.map_or(Ok(()), Err)?;
        let lane = self.lane.clone();
        let sleep = wake::prepare(lane.own_waits(), DATA, || self.has_news());
        self.armed = matches!(sleep, Ok(true));
        sleep
    }

    /// Takes back what [`arm`](Self::arm) said, so that the peer does not ring in vain.
    pub(crate) fn disarm(&mut self) {
        if mem::take(&mut self.armed) {
            wake::Flag::clear(self.lane.own_waits(), DATA);
        }
    }

    /// Whether there is a record to read. A bell that is armed stays so.
    pub fn has_news(&mut self) -> Result<bool, Broken> {
        if self.head == self.tail {
            self.look()?;
        }
        Ok(self.head != self.tail)
    }

    fn take(&mut self, message: &mut Vec<u8>) -> Result<bool, Broken> {
        self.disarm();
        if !self.has_news()? {
            self.release();
            return Ok(false);
        }
        while self.head != self.tail {
            let more = self.take_record(message)?;
            if self.head - self.released >= self.lane.capacity().bytes() as u64 / 4 {
                self.release();
            }
            if !more {
                return Ok(true);
            }
        }
        self.release();
        Ok(false)
    }

    /// Reads one record; says whether its message goes on in the next.
    fn take_record(&mut self, message: &mut Vec<u8>) -> Result<bool, Broken> {
        let Record { length, more } = self.header()?;
        if self.partial.len() + length > MAX_MESSAGE_BYTES {
            return Err(Broken::TooLong { max: MAX_MESSAGE_BYTES });
        }
        let whole = !more && self.partial.is_empty();
        let out = if whole { &mut *message } else { &mut self.partial };
        unpack(self.lane.data(), self.head + WORD_BYTES as u64, length, out);
        if !more && !whole {
            *message = mem::take(&mut self.partial);
        }
        self.head += (WORD_BYTES + padded(length)) as u64;
        let seen = self.records.load(Ordering::Relaxed);
        self.records.store(seen + 1, Ordering::Relaxed);
        Ok(more)
    }

    /// Reads and checks the header of the record at the head. There is at least a word.
    fn header(&self) -> Result<Record, Broken> {
        let found = load(self.lane.data(), self.head);
        let length = found & u64::from(u32::MAX);
        let more = found & MORE != 0;
        if found & !(MORE | u64::from(u32::MAX)) != 0 {
            return Err(Broken::Header { found });
        }
        let frame = self.lane.capacity().frame_bytes() as u64;
        let available = (self.tail - self.head - WORD_BYTES as u64).min(frame);
        if length > available {
            return Err(Broken::Truncated { length, available });
        }
        if more && length != frame {
            return Err(Broken::Fragment { length, expected: frame });
        }
        Ok(Record { length: length as usize, more })
    }

    /// Looks where the producer is now.
    fn look(&mut self) -> Result<(), Broken> {
        let found = self.lane.tail().load(Ordering::Acquire);
        let (low, high) = (self.tail, self.head + self.lane.capacity().bytes() as u64);
        if !(low..=high).contains(&found) || !found.is_multiple_of(WORD_BYTES as u64) {
            let broken = Broken::Index { which: "tail", found, low, high };
            self.broken = Some(broken);
            return Err(broken);
        }
        self.tail = found;
        Ok(())
    }

    /// Gives what was read back to the producer as room.
    pub(crate) fn release(&mut self) {
        if self.released != self.head {
            self.released = self.head;
            self.lane.head().store(self.head, Ordering::Release);
            self.lane.announce(ROOM);
        }
    }
}
