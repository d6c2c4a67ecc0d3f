//! One direction of a pair: where its indices, flags and data lie, and how the other end is woken.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};

use crate::error::CreateError;
use crate::sys::{self, Mapping};
use crate::{MAX_FRAME_BYTES, wake};

/// Smallest ring, each way.
pub const MIN_CAPACITY_BYTES: usize = 4 << 10;
/// Ring used unless said otherwise, each way.
pub const DEFAULT_CAPACITY_BYTES: usize = 256 << 10;
/// Largest ring, each way.
pub const MAX_CAPACITY_BYTES: usize = 64 << 20;

/// Bytes before the data; see the picture in the crate's documentation.
pub(crate) const HEADER_BYTES: usize = 4096;
pub(crate) const WORD_BYTES: usize = 8;

const TO_CELL_TAIL: usize = 0;
const TO_CELL_HEAD: usize = 128;
const FROM_CELL_TAIL: usize = 256;
const FROM_CELL_HEAD: usize = 384;
const CELL_WAITS: usize = 512;
const MONITOR_WAITS: usize = 640;

/// The bytes that a ring holds each way: a power of two within the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity(usize);

impl Capacity {
    /// Checks a number of bytes.
    pub fn new(bytes: usize) -> Result<Self, CreateError> {
        let (min, max) = (MIN_CAPACITY_BYTES, MAX_CAPACITY_BYTES);
        if bytes.is_power_of_two() && (min..=max).contains(&bytes) {
            return Ok(Self(bytes));
        }
        Err(CreateError::Capacity { found: bytes, min, max })
    }

    /// The number of bytes.
    pub fn bytes(self) -> usize {
        self.0
    }

    /// Largest piece of a message in one record: a quarter of the ring, so that a ring that is
    /// half empty takes at least one.
    pub(crate) fn frame_bytes(self) -> usize {
        MAX_FRAME_BYTES.min(self.0 / 4)
    }

    /// Bytes of the memory that holds a pair.
    pub(crate) fn memory_bytes(self) -> usize {
        HEADER_BYTES + 2 * self.0
    }

    /// The capacity of a memory of that size, if it is one.
    pub(crate) fn of_memory(bytes: u64) -> Option<Self> {
        let data = usize::try_from(bytes).ok()?.checked_sub(HEADER_BYTES)?;
        if !data.is_multiple_of(2) {
            return None;
        }
        Self::new(data / 2).ok()
    }
}

impl Default for Capacity {
    fn default() -> Self {
        Self(DEFAULT_CAPACITY_BYTES)
    }
}

/// What the cell is handed, over the socket, to attach to a pair.
#[derive(Debug)]
pub struct RingFds {
    /// The memory with both rings.
    pub memory: OwnedFd,
    /// The eventfd that wakes the monitor.
    pub bell: OwnedFd,
}

/// Which end of the pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Monitor,
    Cell,
}

/// How the end on the other side is woken.
#[derive(Debug, Clone)]
pub(crate) enum PeerBell {
    /// The cell sleeps on the word that says what it waits for.
    Futex,
    /// The monitor sleeps on an eventfd.
    Event(Arc<OwnedFd>),
}

/// One direction, seen from one end.
#[derive(Debug, Clone)]
pub(crate) struct Lane {
    map: Arc<Mapping>,
    capacity: Capacity,
    to_cell: bool,
    end: End,
    bell: PeerBell,
}

impl Lane {
    /// The lanes to the cell and from it, as `end` sees them.
    pub(crate) fn both(
        map: &Arc<Mapping>,
        capacity: Capacity,
        end: End,
        bell: &PeerBell,
    ) -> (Self, Self) {
        let lane = |to_cell| Self { map: map.clone(), capacity, to_cell, end, bell: bell.clone() };
        (lane(true), lane(false))
    }

    pub(crate) fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// Where the producer has got to.
    pub(crate) fn tail(&self) -> &AtomicU64 {
        self.map.word(if self.to_cell { TO_CELL_TAIL } else { FROM_CELL_TAIL })
    }

    /// Where the consumer has got to.
    pub(crate) fn head(&self) -> &AtomicU64 {
        self.map.word(if self.to_cell { TO_CELL_HEAD } else { FROM_CELL_HEAD })
    }

    /// The data, as words. Its length is a power of two.
    pub(crate) fn data(&self) -> &[AtomicU64] {
        let bytes = self.capacity.bytes();
        let from = HEADER_BYTES + if self.to_cell { 0 } else { bytes };
        self.map.words(from, bytes / WORD_BYTES)
    }

    /// What this end waits for.
    pub(crate) fn own_waits(&self) -> &AtomicU32 {
        self.waits_of(self.end == End::Cell)
    }

    fn waits_of(&self, cell: bool) -> &AtomicU32 {
        self.map.flag(if cell { CELL_WAITS } else { MONITOR_WAITS })
    }

    /// Wakes the other end if it waits for `news`. Call it after the news is stored.
    pub(crate) fn announce(&self, news: u32) {
        let waits = self.waits_of(self.end != End::Cell);
        if wake::announce(waits, news) {
            match &self.bell {
                PeerBell::Futex => sys::futex_wake(waits),
                PeerBell::Event(fd) => ring(fd),
            }
        }
    }
}

/// Adds one to an eventfd. A full counter means that the peer has not looked at it for 2^64 rings,
/// so it is ringing already; no other error can come from an eventfd that we were handed, and one
/// that is none wakes nobody, which is the loss of the peer that handed it.
fn ring(fd: &OwnedFd) {
    let _full = nix::unistd::write(fd, &1u64.to_ne_bytes());
}
