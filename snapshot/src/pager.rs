//! The pager of one worker: answers the faults of its forks on pages that are not here.
//!
//! A thread that faults waits, so a worker has one fault at a time, and one thread that waits for
//! it is all that a pager is: it reads the fault, asks the image for the chunk, and wakes.
//!
//! ```text
//! fault ─► line of the board: which image, which slot ─► page ─┬─ here now ─► wake
//!                                                              ├─ zeros ────► zeros in the mapping
//!                                                              └─ cannot be had:
//!            the worker could store where others see it ─► its cell ends, the fault never does
//!            otherwise ─► the line says "lost", then zeros in the mapping
//! ```
//!
//! What the page cannot be had for is told before the fault ends, so that nothing of what is
//! computed from those zeros leaves the worker.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};

use crate::board::Board;
use crate::bytes::{HOST_PAGE, HostPages};
use crate::lazy::{FetchError, Found, LazyImage};
use crate::sys::Userfault;

/// How long a fault waits for its page, unless said otherwise.
pub const FAULT_LIMIT: Duration = Duration::from_secs(10);

/// What the pager of a cell has beside its threads.
pub trait Cell: Send + Sync {
    /// The image of this number.
    fn image(&self, number: u64) -> Option<Arc<LazyImage>>;
    /// A page cannot be had; the fork that needs it is told so.
    fn lost(&self, why: &Lost);
    /// The same, and the cell must end before the fault does: what it computes would be seen.
    fn end(&self, why: &Lost);
}

/// Why a page cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// No source gives it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The line of the board names no image, or another address.
    #[error("a fault at {address:#x} in no image of this cell")]
    Foreign {
        /// The address.
        address: u64,
    },
    /// The system refused.
    #[error("the pager failed: {0}")]
    System(#[from] io::Error),
}

/// The thread of a worker's pager; dropping it ends the thread.
#[derive(Debug)]
pub struct Pager {
    stop: Arc<EventFd>,
    thread: Option<JoinHandle<()>>,
}

impl Pager {
    /// Starts to answer the faults that `faults` tells, of the worker with this line.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        faults: OwnedFd,
        board: Arc<Board>,
        line: usize,
        cell: Arc<dyn Cell>,
        limit: Duration,
    ) -> io::Result<Self> {
        let stop = Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC)?);
        let userfault = Userfault::of_other(faults);
        let mut worker = Worker { userfault, board, line, cell, limit, lost: 0 };
        let ours = Arc::clone(&stop);
        let thread = thread::Builder::new().name(format!("pager {line}"));
        let thread = thread.spawn(move || worker.run(&ours))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        let _ = self.stop.write(1);
        if let Some(thread) =
            self.thread.take().filter(|t| t.thread().id() != thread::current().id())
        {
            let _ = thread.join();
        }
    }
}

struct Worker {
    userfault: Userfault,
    board: Arc<Board>,
    line: usize,
    cell: Arc<dyn Cell>,
    limit: Duration,
    /// Pages that could not be had so far.
    lost: u64,
}

impl Worker {
    fn run(&mut self, stop: &EventFd) {
        // Whatever ends this thread but its owner takes the cell along: a fault that nobody
        // answers would wait for ever.
        let guard = EndOnDrop { cell: Arc::clone(&self.cell), armed: true };
        match self.serve(stop) {
            Ok(()) => guard.disarm(),
            Err(error) => {
                self.cell.end(&error.into());
                guard.disarm();
            }
        }
    }

    fn serve(&mut self, stop: &EventFd) -> io::Result<()> {
        loop {
            let mut fds = [
                PollFd::new(self.userfault.fd(), PollFlags::POLLIN),
                PollFd::new(stop.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut fds, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                done => done?,
            };
            let set = |at: usize, flags: PollFlags| {
                fds[at].revents().is_some_and(|events| events.intersects(flags))
            };
            // The process whose faults they were has gone.
            let gone = set(0, PollFlags::POLLHUP | PollFlags::POLLERR);
            if set(1, PollFlags::POLLIN) || gone {
                return Ok(());
            }
            while let Some(address) = self.userfault.next()? {
                if let Err(lost) = self.answer(address) {
                    self.give_up(address, &lost);
                }
            }
        }
    }

    fn answer(&self, address: u64) -> Result<(), Lost> {
        let line = self.board.read(self.line)?;
        let foreign = Lost::Foreign { address };
        let Some(image) = self.cell.image(line.image) else { return Err(foreign) };
        let Some(offset) = address.checked_sub(line.base) else { return Err(foreign) };
        if offset >= image.head().memory_bytes() {
            return Err(foreign);
        }
        let page = offset / HOST_PAGE.0;
        let at = address - address % HOST_PAGE.0;
        match image.fault(page, Instant::now() + self.limit)? {
            Found::Here => done(self.userfault.wake(at, HOST_PAGE.0)),
            Found::Zeros(pages) => {
                let run = HostPages(u64::from(pages)).bytes().0;
                // A run may reach beyond what is mapped.
                let zeroed = self.userfault.zero(at, run);
                done(zeroed.or_else(|_| self.userfault.zero(at, HOST_PAGE.0)))
            }
        }
    }

    fn give_up(&mut self, address: u64, why: &Lost) {
        let at = address - address % HOST_PAGE.0;
        let seen_by_others = self.board.read(self.line).map_or(true, |line| line.writable > 0);
        self.lost += 1;
        let told = self.board.set_lost(self.line, self.lost);
        if seen_by_others || told.is_err() {
            return self.cell.end(why);
        }
        self.cell.lost(why);
        if done(self.userfault.zero(at, HOST_PAGE.0)).is_err() {
            self.cell.end(why);
        }
    }
}

/// A process that has gone needs no answer.
fn done(answered: Result<(), Errno>) -> Result<(), Lost> {
    match answered {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(Lost::System(error.into())),
    }
}

/// Ends the cell when its pager's thread ends in any other way than it should.
struct EndOnDrop {
    cell: Arc<dyn Cell>,
    armed: bool,
}

impl EndOnDrop {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        if self.armed {
            self.cell.end(&Lost::System(io::Error::other("its thread panicked")));
        }
    }
}
