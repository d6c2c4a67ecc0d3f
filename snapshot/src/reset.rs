//! Takes a slot back to its image after a call.
//!
//! What it is: the way back on which nothing of a call is left: private pages put back, growth and
//! window given back. What it is not: globals and tables (the engine's), or the way out of a trap
//! ([`Slot::remap`]).

use std::io;

use crate::bytes::{Bytes, HostPages};
use crate::dirty::{Found, Scanner};
use crate::slot::{GrownMemory, Slot, User};

/// Above this many private pages a slot throws them away.
pub(crate) const DROP_ABOVE: HostPages = HostPages(4096);

/// Why a slot could not be reset; it is poisoned.
#[derive(Debug, thiserror::Error)]
pub enum ResetError {
    /// A poisoned slot is remapped, never reset.
    #[error("slot is poisoned: remap it, or map another image")]
    Poisoned,
    /// The system refused.
    #[error("{what} at a reset failed: {error}; the slot is poisoned, remap it")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        error: io::Error,
    },
}

/// How private pages were put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetMethod {
    /// Copied back by the list of the last reset, as nothing can have been added.
    Reused,
    /// Copied back by a new list.
    Listed,
    /// Thrown away.
    Dropped,
}

/// What a reset did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetReport {
    /// How private pages were put back.
    pub method: ResetMethod,
    /// How many were private; none are counted when they were thrown away.
    pub private: HostPages,
    /// How many of them differed from the image and were written.
    pub written: HostPages,
    /// Growth given back, or zeroed.
    pub grown: Bytes,
    /// Used part of the window given back.
    pub window: Bytes,
}

impl Slot {
    /// Takes the slot back to its image. Any error poisons it.
    pub fn reset(&mut self, scanner: &mut Scanner) -> Result<ResetReport, ResetError> {
        if self.poisoned {
            return Err(ResetError::Poisoned);
        }
        self.poisoned = true;
        let window = self.clear_window().map_err(system("unmapping the window"))?;
        let grown = self.give_back_grown().map_err(system("giving back grown memory"))?;
        let (method, written) = self.restore(scanner)?;
        self.user = User::Unknown;
        self.poisoned = false;
        Ok(ResetReport { method, private: HostPages(self.private.len()), written, grown, window })
    }

    fn clear_window(&mut self) -> io::Result<Bytes> {
        let base = self.layout.window_base();
        let used = self.window.end().saturating_sub(base);
        if used > Bytes::ZERO {
            self.shared.reservation.clear(base, used)?;
            self.window.clear();
            self.shared.set_window_end(base);
        }
        Ok(used)
    }

    fn give_back_grown(&mut self) -> io::Result<Bytes> {
        let len = self.origin.len();
        let grown = self.size().saturating_sub(len);
        let beyond = self.accessible.saturating_sub(len);
        if self.grown == GrownMemory::GiveBack && beyond > Bytes::ZERO {
            self.shared.reservation.clear(len, beyond)?;
            self.accessible = len;
        }
        self.shared.set_size(len);
        Ok(grown)
    }

    fn restore(&mut self, scanner: &mut Scanner) -> Result<(ResetMethod, HostPages), ResetError> {
        if self.accessible == Bytes::ZERO {
            return Ok((ResetMethod::Reused, HostPages::ZERO));
        }
        if self.list_is_current(scanner) {
            return Ok((ResetMethod::Reused, self.put_back()));
        }
        self.mark = None;
        let (limit, list) = (self.drop_above.0, &mut self.private);
        let range = (Bytes::ZERO, self.accessible);
        let found = scanner.list(&self.shared.reservation, range, limit, list);
        let done = if found.map_err(system("listing private pages"))? == Found::All {
            (ResetMethod::Listed, self.put_back())
        } else {
            self.private.clear();
            let discarded = self.shared.reservation.discard(Bytes::ZERO, self.accessible);
            discarded.map_err(|e| system("throwing private pages away")(e.into()))?;
            (ResetMethod::Dropped, HostPages::ZERO)
        };
        // Last, so that faults of the copying itself are before it.
        self.mark = scanner.mark();
        Ok(done)
    }

    /// Whether the list of the last reset holds all that is private now.
    fn list_is_current(&self, scanner: &Scanner) -> bool {
        self.user == User::One(scanner.id()) && self.mark.is_some() && self.mark == scanner.mark()
    }

    /// Makes every listed page what it was; how many had changed.
    fn put_back(&self) -> HostPages {
        let reservation = &self.shared.reservation;
        let mut written = 0;
        for page in self.private.pages() {
            let at = HostPages(u64::from(page)).bytes();
            match self.origin.page(page) {
                Some(original) if reservation.page_is(at, original) => continue,
                Some(original) => reservation.put_page(at, original),
                None if reservation.page_is_zero(at) => continue,
                None => reservation.zero_page(at),
            }
            written += 1;
        }
        HostPages(written)
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ResetError {
    move |error| ResetError::System { what, error }
}
