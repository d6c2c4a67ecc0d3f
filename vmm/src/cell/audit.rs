//! Counts resets and now and then compares a slot that should be clean with its image, byte by
//! byte, global by global.
//!
//! What it is: one worker's tally, shared by the slots on its thread. What it is not: what keeps
//! calls apart; that is the reset itself. A difference that an audit finds is a fault of ours: it
//! is logged, counted, and the slot is remapped before anybody runs in it.
//!
//! A check is made in slices. The slot counts as idle between them: a call may have it, and the
//! check goes on from where it was when the slot is put back again or nobody wants it. So no call
//! waits for more than a slice, however large the image is.

use std::cell::Cell;

use faaslet_snapshot::bytes::{Bytes, HostPages};
use faaslet_snapshot::verify::WHOLE;

/// One in this many resets is checked unless said otherwise. A check of a 2 MiB image took 385 µs
/// on a busy machine, which makes 94 ns a call; after one of a larger image the next waits longer.
pub const AUDIT_ONE_IN: u64 = 4096;

/// An image up to this size leaves the time to the next check as it is.
const SMALL: Bytes = Bytes::mib(2);

/// Pages that are compared at a time.
const SLICE: HostPages = HostPages(32);

/// See the module's documentation.
#[derive(Debug)]
pub struct Audit {
    one_in: Cell<u64>,
    /// Clean slots until the next check.
    left: Cell<u64>,
    resets: Cell<u64>,
    mismatches: Cell<u64>,
    #[cfg(test)]
    pub(super) tamper: Cell<Option<fn(&mut super::Faaslet)>>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            one_in: Cell::new(AUDIT_ONE_IN),
            left: Cell::new(AUDIT_ONE_IN),
            resets: Cell::new(0),
            mismatches: Cell::new(0),
            #[cfg(test)]
            tamper: Cell::new(None),
        }
    }
}

impl Audit {
    /// Checks one in `one_in` slots from now on; 1 checks every one, and whole before its next
    /// call, 0 none.
    pub fn set_one_in(&self, one_in: u64) {
        self.one_in.set(one_in);
        self.left.set(one_in);
    }

    /// Counts a slot that was put back, and tells whether it is one to check.
    pub(super) fn put_back(&self) -> bool {
        self.resets.set(self.resets.get() + 1);
        match self.left.get() {
            0 => false,
            1 => {
                self.left.set(self.one_in.get());
                true
            }
            left => {
                self.left.set(left - 1);
                false
            }
        }
    }

    /// Pages to compare at a time.
    pub(super) fn slice(&self) -> HostPages {
        if self.one_in.get() == 1 { WHOLE } else { SLICE }
    }

    /// Puts the next check off after one of a large slot, so that checks cost each call the same.
    pub(super) fn checked(&self, size: Bytes) {
        let more = (self.one_in.get().saturating_sub(1)).saturating_mul(size.0 / SMALL.0);
        self.left.set(self.left.get().saturating_add(more));
    }

    /// Counts a slot that was not what its image says.
    pub(super) fn mismatch(&self) {
        self.mismatches.set(self.mismatches.get() + 1);
    }

    /// Slots put back, and how many of those checked were not what their image says.
    pub fn counts(&self) -> (u64, u64) {
        (self.resets.get(), self.mismatches.get())
    }
}
