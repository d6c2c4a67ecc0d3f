//! Takes a slot back to its image after a call.
//!
//! What it is: the way back on which nothing of a call is left: private pages put back, growth and
//! window given back. What it is not: globals and tables (the engine's), or the way out of a trap
//! ([`Slot::remap`]).
//!
//! What it costs, in nanoseconds for writing one byte to each of N pages and a reset (p50 of
//! `examples/reset_cost`, 2-core EPYC guest with other work on it, Linux 6.18, where the cheapest
//! system call is 220 and `getrusage` 350):
//!
//! | image | pages | list reused | scanned each time | entries read | thrown away |
//! | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 2 MiB | 0 | 390 | 1,460 | 2,810 | 850 |
//! | 2 MiB | 1 | 420 | 2,470 | 2,930 | 5,000 |
//! | 2 MiB | 3 | 540 | 2,770 | 3,190 | 9,050 |
//! | 2 MiB | 16 | 1,650 | 4,210 | 4,250 | 39,200 |
//! | 2 MiB | 64 | 5,460 | 9,650 | 9,000 | 132,000 |
//! | 24 MiB | 16 | 1,660 | 10,500 | 30,400 | 52,000 |
//! | 24 MiB | 256 | 28,700 | 46,400 | 60,000 | 589,000 |
//! | 24 MiB | 1,024 | 128,000 | 167,000 | 172,000 | 7,550,000 |
//! | 24 MiB | 4,096 | 1,670,000 | 2,100,000 | 2,150,000 | 31,700,000 |
//!
//! So pages that calls go on writing are copied back, however many; pages that they have stopped
//! writing are worth throwing away, and so is what would keep too much memory.

use std::io;

use crate::bytes::{Bytes, HostPages};
use crate::dirty::{Found, Scanner};
use crate::slot::{GrownMemory, Slot, User};

/// Above this many private pages a slot throws them away. Copying them back stays the faster way
/// (see the table), so this bounds the memory that an idle slot keeps: 64 MiB.
pub(crate) const DROP_ABOVE: HostPages = HostPages(16_384);
/// Every so many resets a long list is checked for being stale.
const CHECK_EVERY_RESETS: u32 = 64;
/// A list of fewer pages is never stale: copying it costs less than faulting on a page or two.
const MIN_STALE_PAGES: u64 = 64;
/// A list is stale when less than this share of it was written by the call at hand: a page that
/// was dropped and is written again costs as much as copying 20 to 25 back.
const STALE_ONE_IN: u64 = 24;

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
    /// How many were copied back.
    pub private: HostPages,
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
        let method = self.restore(scanner)?;
        self.user = User::Unknown;
        self.poisoned = false;
        Ok(ResetReport { method, private: HostPages(self.private.len()), grown, window })
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
            // Pages that were kept so far may be on the list; they are gone.
            self.private.truncate(len.host_pages().0 as u32);
        }
        self.shared.set_size(len);
        Ok(grown)
    }

    fn restore(&mut self, scanner: &mut Scanner) -> Result<ResetMethod, ResetError> {
        if self.accessible == Bytes::ZERO {
            return Ok(ResetMethod::Reused);
        }
        let current = self.list_is_current(scanner);
        if !current {
            self.mark = None;
            let (limit, list) = (self.drop_above.0, &mut self.private);
            let range = (Bytes::ZERO, self.accessible);
            let found = scanner.list(&self.shared.reservation, range, limit, list);
            if found.map_err(system("listing private pages"))? != Found::All {
                return self.drop_private(scanner);
            }
        }
        if self.is_stale() {
            return self.drop_private(scanner);
        }
        self.put_back();
        if current {
            return Ok(ResetMethod::Reused);
        }
        // After the copying, so that its own faults are not taken for a call's.
        self.mark = scanner.mark();
        Ok(ResetMethod::Listed)
    }

    /// Whether the list of the last reset holds all that is private now.
    fn list_is_current(&self, scanner: &Scanner) -> bool {
        self.user == User::One(scanner.id()) && self.mark.is_some() && self.mark == scanner.mark()
    }

    /// Makes every listed page what it was. Comparing first would save a write where a page was
    /// not touched, and costs up to half as much again where it was.
    fn put_back(&self) {
        let reservation = &self.shared.reservation;
        for page in self.private.pages() {
            let at = HostPages(u64::from(page)).bytes();
            match self.origin.page(page) {
                Some(original) => reservation.put_page(at, original),
                None => reservation.zero_page(at),
            }
        }
    }

    /// Now and then, whether a long list is mostly of pages that calls have stopped writing.
    fn is_stale(&mut self) -> bool {
        self.unchecked_resets += 1;
        if self.unchecked_resets < CHECK_EVERY_RESETS || self.private.len() < MIN_STALE_PAGES {
            return false;
        }
        self.unchecked_resets = 0;
        let changed = self.private.pages().filter(|&page| {
            let at = HostPages(u64::from(page)).bytes();
            !self.shared.reservation.page_is(at, self.origin.page(page))
        });
        (changed.count() as u64) < self.private.len() / STALE_ONE_IN
    }

    /// Throws all private pages away: none are left.
    fn drop_private(&mut self, scanner: &Scanner) -> Result<ResetMethod, ResetError> {
        self.private.clear();
        self.mark = None;
        let dropped = self.shared.reservation.discard(Bytes::ZERO, self.accessible);
        dropped.map_err(|e| system("throwing private pages away")(e.into()))?;
        self.mark = scanner.mark();
        Ok(ResetMethod::Dropped)
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> ResetError {
    move |error| ResetError::System { what, error }
}

#[cfg(test)]
mod tests;
