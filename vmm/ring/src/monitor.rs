//! The monitor's end of a pair.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use tokio::io::unix::AsyncFd;

use crate::consumer::Consumer;
use crate::error::{BellError, Broken, CreateError};
use crate::lane::{Capacity, End, Lane, PeerBell, RingFds};
use crate::producer::Producer;
use crate::sys::{self, Mapping};

/// Rings that may come before the news that explains them is seen.
const UNEXPLAINED_RINGS: u64 = 64;

/// Wake-ups by a bell in a runtime before its rings are counted.
const MAX_UNREAD_RINGS: u64 = 16;

/// The monitor's end: made here, taken apart by the caller.
#[derive(Debug)]
pub struct MonitorEnd {
    /// Messages to the cell.
    pub to_cell: Producer,
    /// Messages from the cell.
    pub from_cell: Consumer,
    /// Rings when there is something to read, or room again.
    pub bell: Bell,
}

/// The eventfd by which a cell wakes the monitor.
#[derive(Debug)]
pub struct Bell {
    event: OwnedFd,
    tally: Tally,
}

/// The bell in a tokio runtime.
#[derive(Debug)]
pub struct AsyncBell {
    event: AsyncFd<OwnedFd>,
    tally: Tally,
    /// Wake-ups since the eventfd was read.
    unread: AtomicU64,
}

/// How often the bell rang, and what explains it.
#[derive(Debug)]
struct Tally {
    rung: AtomicU64,
    records: Arc<AtomicU64>,
    room_waits: Arc<AtomicU64>,
}

impl MonitorEnd {
    /// Makes a pair, and what the cell needs to attach to it.
    pub fn create(capacity: Capacity) -> Result<(Self, RingFds), CreateError> {
        let os = |what| move |source| CreateError::Os { what, source };
        let memory = sys::sealed_memory(capacity.memory_bytes()).map_err(os("make memory"))?;
        let event = sys::event().map_err(os("make an eventfd"))?;
        let bell = event.try_clone().map_err(os("duplicate an eventfd"))?;
        let bytes = NonZeroUsize::new(capacity.memory_bytes()).unwrap_or(NonZeroUsize::MIN);
        let map = Mapping::new(memory.as_fd(), bytes).map_err(os("map memory"))?;
        Ok((Self::over(&Arc::new(map), capacity, event), RingFds { memory, bell }))
    }

    fn over(map: &Arc<Mapping>, capacity: Capacity, event: OwnedFd) -> Self {
        let (to, from) = Lane::both(map, capacity, End::Monitor, &PeerBell::Futex);
        let (to_cell, from_cell) = (Producer::new(to), Consumer::new(from));
        let tally = Tally {
            rung: AtomicU64::new(0),
            records: from_cell.records(),
            room_waits: to_cell.room_waits(),
        };
        let bell = Bell { event, tally };
        Self { to_cell, from_cell, bell }
    }
}

impl Bell {
    /// Silences the bell after it rang. It does not block, and an earlier call may have silenced it
    /// already.
    pub fn take(&self) -> Result<(), BellError> {
        self.tally.take(&self.event)
    }

    /// Registers the bell with the tokio runtime that this is called in.
    pub fn into_async(self) -> Result<AsyncBell, BellError> {
        let event = sys::register(self.event)?;
        Ok(AsyncBell { event, tally: self.tally, unread: AtomicU64::new(0) })
    }
}

impl AsyncBell {
    /// Waits until the bell rings. Dropping the future loses nothing.
    ///
    /// The runtime hears each ring by itself, so the eventfd is read now and then only, to count:
    /// that saves a system call a wake-up.
    pub async fn rung(&self) -> Result<(), BellError> {
        let mut ready = self.event.readable().await?;
        // Before the reading, or a ring between the two would be lost.
        ready.clear_ready();
        if self.unread.fetch_add(1, Ordering::Relaxed) + 1 >= MAX_UNREAD_RINGS {
            self.unread.store(0, Ordering::Relaxed);
            self.tally.take(self.event.get_ref())?;
        }
        Ok(())
    }
}

impl Tally {
    fn take(&self, event: &OwnedFd) -> Result<(), BellError> {
        let mut count = [0; 8];
        match nix::unistd::read(event, &mut count) {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(()),
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        let rung = self.rung.load(Ordering::Relaxed).saturating_add(u64::from_ne_bytes(count));
        self.rung.store(rung, Ordering::Relaxed);
        let news = self.records.load(Ordering::Relaxed) + self.room_waits.load(Ordering::Relaxed);
        let expected = news + UNEXPLAINED_RINGS;
        if rung > expected {
            return Err(Broken::Bell { rung, expected }.into());
        }
        Ok(())
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }
}
