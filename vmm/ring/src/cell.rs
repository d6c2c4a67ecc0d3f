//! The cell's end of a pair, owned by one worker thread.

use std::hint;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::consumer::Consumer;
use crate::error::{AttachError, Broken, PushError, WaitError};
use crate::lane::{Capacity, End, Lane, MAX_CAPACITY_BYTES, MIN_CAPACITY_BYTES, PeerBell, RingFds};
use crate::producer::Producer;
use crate::sys::{self, Mapping, SIZE_SEALS};
use crate::wake::{self, DATA, Flag, ROOM};

/// How long a worker looks before it sleeps, unless said otherwise.
pub const SPIN_MICROS: u64 = 5;

/// Looks between two readings of the clock.
const LOOKS_PER_CLOCK: u32 = 32;

/// The cell's end of a pair.
#[derive(Debug)]
pub struct CellEnd {
    lane: Lane,
    to_monitor: Producer,
    from_monitor: Consumer,
    spin: Duration,
}

/// Why [`CellEnd::wait`] came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// There is something to read from the monitor.
    Data,
    /// The caller's own condition holds.
    Ready,
    /// The backlog has got room to go on; it has been moved.
    Room,
    /// Nothing came in time.
    Timeout,
}

/// Wakes the worker from another thread of the cell.
#[derive(Debug, Clone)]
pub struct Waker {
    lane: Lane,
}

impl Waker {
    /// Wakes the worker if it sleeps. Make its condition true first.
    pub fn wake(&self) {
        let waits = self.lane.own_waits();
        if wake::announce(waits, DATA) {
            sys::futex_wake(waits);
        }
    }
}

impl CellEnd {
    /// Checks what came over the socket and maps it.
    pub fn attach(fds: RingFds) -> Result<Self, AttachError> {
        let RingFds { memory, bell } = fds;
        let (found, expected) = (sys::seals(&memory), SIZE_SEALS.bits());
        if found < 0 || found & expected != expected {
            return Err(AttachError::Seals { found, expected });
        }
        let os = |what| move |source| AttachError::Os { what, source };
        let found = sys::size(&memory).map_err(os("measure"))?;
        let (min, max) = (MIN_CAPACITY_BYTES, MAX_CAPACITY_BYTES);
        let capacity = Capacity::of_memory(found).ok_or(AttachError::Size { found, min, max })?;
        let bytes = NonZeroUsize::new(capacity.memory_bytes()).unwrap_or(NonZeroUsize::MIN);
        let map = Arc::new(Mapping::new(memory.as_fd(), bytes).map_err(os("map"))?);
        let bell = PeerBell::Event(Arc::new(bell));
        let (to_cell, from_cell) = Lane::both(&map, capacity, End::Cell, &bell);
        Ok(Self {
            lane: to_cell.clone(),
            to_monitor: Producer::new(from_cell),
            from_monitor: Consumer::new(to_cell),
            spin: Duration::from_micros(SPIN_MICROS),
        })
    }

    /// Sets how long [`wait`](Self::wait) looks before it sleeps; zero on a machine with one core.
    pub fn set_spin(&mut self, spin: Duration) {
        self.spin = spin;
    }

    /// Takes a message for the monitor without waking it; see [`Producer::push`].
    pub fn push(&mut self, parts: &[&[u8]]) -> Result<(), PushError> {
        self.to_monitor.push(parts)
    }

    /// Takes a small message for the monitor; see [`Producer::push_small`].
    pub fn push_small(&mut self, parts: &[&[u8]]) -> Result<(), PushError> {
        self.to_monitor.push_small(parts)
    }

    /// Wakes the monitor if it sleeps and something was pushed.
    pub fn flush(&mut self) {
        self.to_monitor.flush();
    }

    /// [`push`](Self::push) and [`flush`](Self::flush).
    pub fn send(&mut self, parts: &[&[u8]]) -> Result<(), PushError> {
        self.to_monitor.send(parts)
    }

    /// Moves backlog on; a worker that is busy for long calls it now and then.
    pub fn pump(&mut self) -> Result<(), Broken> {
        self.to_monitor.pump()
    }

    /// Bytes that wait for the monitor to make room.
    pub fn backlog_bytes(&self) -> usize {
        self.to_monitor.backlog_bytes()
    }

    /// Takes the next message from the monitor; see [`Consumer::try_recv`].
    pub fn try_recv(&mut self, message: &mut Vec<u8>) -> Result<bool, Broken> {
        self.from_monitor.try_recv(message)
    }

    /// A handle by which other threads of the cell wake this worker.
    pub fn waker(&self) -> Waker {
        Waker { lane: self.lane.clone() }
    }

    /// Sleeps until there is something to read, `ready` holds (whoever makes it true calls
    /// [`Waker::wake`]), the backlog can go on, or `timeout` has passed. What was pushed is
    /// flushed first.
    pub fn wait(
        &mut self,
        timeout: Option<Duration>,
        mut ready: impl FnMut() -> bool,
    ) -> Result<Woken, WaitError> {
        self.flush();
        self.from_monitor.release();
        let begin = Instant::now();
        let backlog = self.backlog_bytes();
        if let Some(woken) = self.spin(begin, timeout, &mut ready)? {
            return Ok(woken);
        }
        loop {
            self.to_monitor.pump()?;
            if self.backlog_bytes() < backlog {
                return Ok(Woken::Room);
            }
            let mut woken = None;
            let lane = self.lane.clone();
            wake::prepare(lane.own_waits(), DATA, || {
                woken = self.look(&mut ready)?;
                Ok::<_, Broken>(woken.is_some())
            })?;
            if let Some(woken) = woken {
                return Ok(woken);
            }
            let left = timeout.map(|timeout| timeout.saturating_sub(begin.elapsed()));
            if left == Some(Duration::ZERO) {
                lane.own_waits().clear(DATA);
                return Ok(Woken::Timeout);
            }
            let bits = DATA | if backlog > 0 { ROOM } else { 0 };
            if let Some(value) = wake::asleep(lane.own_waits(), bits) {
                sys::futex_wait(lane.own_waits(), value, left)?;
            }
        }
    }

    fn look(&mut self, ready: &mut impl FnMut() -> bool) -> Result<Option<Woken>, Broken> {
        if self.from_monitor.has_news()? {
            return Ok(Some(Woken::Data));
        }
        Ok(ready().then_some(Woken::Ready))
    }

    /// Looks for a while, which costs the peer no wake-up and us no system call.
    fn spin(
        &mut self,
        begin: Instant,
        timeout: Option<Duration>,
        ready: &mut impl FnMut() -> bool,
    ) -> Result<Option<Woken>, Broken> {
        let limit = timeout.map_or(self.spin, |timeout| timeout.min(self.spin));
        loop {
            for _ in 0..LOOKS_PER_CLOCK {
                if let Some(woken) = self.look(ready)? {
                    return Ok(Some(woken));
                }
                hint::spin_loop();
            }
            if begin.elapsed() >= limit {
                return Ok(None);
            }
        }
    }
}
