//! Checks that a slot is what its image says, byte by byte.
//!
//! What it is: the oracle of the tests and of the sampling mode; it trusts neither the list of
//! private pages nor the image's read-only view. What it is not: cheap.

use std::io;

use crate::bytes::{Bytes, HOST_PAGE, HOST_PAGE_BYTES, HostPages};
use crate::dirty::{Found, PageList, Scanner};
use crate::slot::{GrownMemory, Origin, Slot};
use crate::sys;

/// More pages than a slot has.
pub const WHOLE: HostPages = HostPages(u64::MAX);

/// What is wrong with a slot that should be as after a reset.
#[derive(Debug, thiserror::Error)]
pub enum Mismatch {
    /// Bytes differ from the image: a call left something behind.
    #[error(
        "{count} pages differ from the image, the first at guest address {first:#x}: a reset left \
         something of a call behind, report this"
    )]
    Contents {
        /// Guest address of the first such page.
        first: u32,
        /// How many there are.
        count: u64,
    },
    /// The size is not the image's, or the window is not empty.
    #[error("size {size} and window end {window_end:#x}: expected {expected} and an empty window")]
    Shape {
        /// Virtual size.
        size: Bytes,
        /// Size of the image.
        expected: Bytes,
        /// Guest address after the used window.
        window_end: u64,
    },
    /// Something can be read where nothing should be.
    #[error("guest address {addr:#x} can be read; expected it to be inaccessible, report this")]
    Accessible {
        /// The address.
        addr: u64,
    },
    /// Pages are in memory where nothing should be.
    #[error("{count} pages lie in {from:#x}..{to:#x}; expected none, report this")]
    Left {
        /// Start of the range.
        from: u64,
        /// End of the range.
        to: u64,
        /// How many there are.
        count: u64,
    },
    /// The slot must be remapped first.
    #[error("slot is poisoned: remap it before it is verified")]
    Poisoned,
    /// The check itself failed.
    #[error("checking a slot failed: {0}")]
    System(#[from] io::Error),
}

impl Slot {
    /// Checks the whole of a slot that was just mapped or reset.
    pub fn verify(&self, scanner: &mut Scanner) -> Result<(), Mismatch> {
        self.verify_part(scanner, HostPages(0), WHOLE).map(|_| ())
    }

    /// Checks `most` pages of such a slot, from page `from` on, and says with which page to go on.
    /// Nothing is left when the last page was among them: what lies behind it was checked as well.
    pub fn verify_part(
        &self,
        scanner: &mut Scanner,
        from: HostPages,
        most: HostPages,
    ) -> Result<Option<HostPages>, Mismatch> {
        if self.poisoned {
            return Err(Mismatch::Poisoned);
        }
        self.verify_shape()?;
        let end = self.accessible.host_pages();
        let to = end.min(HostPages(from.0.saturating_add(most.0)));
        self.verify_contents(from, to)?;
        if to < end {
            return Ok(Some(to));
        }
        self.verify_nothing(scanner, self.accessible, self.layout.window_base())?;
        self.verify_nothing(scanner, self.layout.window_base(), self.layout.reservation())?;
        Ok(None)
    }

    fn verify_shape(&self) -> Result<(), Mismatch> {
        let (size, window_end) = (self.size(), self.window_end());
        let expected = self.origin.len();
        let kept = self.grown == GrownMemory::Keep && self.accessible >= expected;
        let whole = size == expected && (kept || self.accessible == expected);
        if whole && window_end == self.layout.window_base() && self.window.end() == window_end {
            return Ok(());
        }
        Err(Mismatch::Shape { size, expected, window_end: window_end.0 })
    }

    fn verify_contents(&self, from: HostPages, to: HostPages) -> Result<(), Mismatch> {
        let (mut first, mut count) = (None, 0);
        let mut original = [0; HOST_PAGE_BYTES];
        for page in from.0..to.0 {
            let at = HostPages(page).bytes();
            original.fill(0);
            if let Origin::Image(image) = &self.origin
                && at < image.len()
            {
                image.read(at, &mut original)?;
            }
            if !self.shared.reservation.page_holds(at, &original) {
                first.get_or_insert(at.0 as u32);
                count += 1;
            }
        }
        first.map_or(Ok(()), |first| Err(Mismatch::Contents { first, count }))
    }

    /// Checks that nothing is accessible or in memory from `from` to `to`.
    fn verify_nothing(
        &self,
        scanner: &mut Scanner,
        from: Bytes,
        to: Bytes,
    ) -> Result<(), Mismatch> {
        if from == to {
            return Ok(());
        }
        for addr in [from, Bytes(to.0 - HOST_PAGE.0)] {
            if sys::is_readable(self.shared.reservation.at(addr)) {
                return Err(Mismatch::Accessible { addr: addr.0 });
            }
        }
        let mut left = PageList::default();
        let found = scanner.list(&self.shared.reservation, (from, to), u64::MAX, &mut left)?;
        match (found, left.len()) {
            (Found::All, 0) | (Found::Unknown, _) => Ok(()),
            (_, count) => Err(Mismatch::Left { from: from.0, to: to.0, count }),
        }
    }
}
