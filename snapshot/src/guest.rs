//! Guest memory as the host may touch it: checked ranges, copied in and out.
//!
//! What it is: a cheap handle to a slot's memory that always sees its current size and window.
//! What it is not: a slot (it cannot map, grow or reset), and never a slice: the guest, and other
//! processes through the window, may write at any moment.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::board::Watch;
use crate::bytes::Bytes;
use crate::layout::Layout;
use crate::sys::Reservation;

/// A guest gave a range that is not wholly its own, or runs over an image that cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "guest range of {len} bytes at {addr:#x}: expected below the memory's size {size:#x}, or in \
     its window {window_base:#x}..{window_end:#x}"
)]
pub struct GuestFault {
    /// Guest address of the range.
    pub addr: u32,
    /// Its length in bytes.
    pub len: usize,
    size: u64,
    window_base: u64,
    window_end: u64,
}

/// What a slot and the handles to its memory share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) reservation: Reservation,
    /// Invariant: everything below is readable and writable.
    size: AtomicU64,
    window_base: Bytes,
    /// Invariant: everything from `window_base` to here is readable and writable.
    window_end: AtomicU64,
    /// Tells of pages that could not be had, where an image may be mapped that is not whole.
    watch: OnceLock<Arc<Watch>>,
}

impl Shared {
    pub(crate) fn new(reservation: Reservation, layout: &Layout) -> Self {
        let window_base = layout.window_base();
        let window_end = AtomicU64::new(window_base.0);
        let (size, watch) = (AtomicU64::new(0), OnceLock::new());
        Self { reservation, size, window_base, window_end, watch }
    }

    /// The way to the pager.
    pub(crate) fn watch(&self) -> Option<&Arc<Watch>> {
        self.watch.get()
    }

    /// Gives the slot its way to the pager, once for all.
    pub(crate) fn set_watch(&self, watch: Arc<Watch>) {
        // The first stays: a slot stays on its worker.
        let _ = self.watch.set(watch);
    }

    /// Whether what runs here has met a page that could not be had.
    pub(crate) fn lost(&self) -> bool {
        self.watch.get().is_some_and(|watch| watch.lost())
    }

    // One thread uses a slot at a time and whatever hands it on orders these: relaxed will do.

    pub(crate) fn size(&self) -> Bytes {
        Bytes(self.size.load(Ordering::Relaxed))
    }

    pub(crate) fn set_size(&self, size: Bytes) {
        self.size.store(size.0, Ordering::Relaxed);
    }

    pub(crate) fn window_end(&self) -> Bytes {
        Bytes(self.window_end.load(Ordering::Relaxed))
    }

    pub(crate) fn set_window_end(&self, end: Bytes) {
        self.window_end.store(end.0, Ordering::Relaxed);
    }

    /// The address of a range, if all of it is accessible.
    fn range(&self, addr: u32, len: usize) -> Result<NonNull<u8>, GuestFault> {
        let start = u64::from(addr);
        let end = start.saturating_add(len as u64);
        let (size, window_end) = (self.size().0, self.window_end().0);
        let window_base = self.window_base.0;
        let inside = end <= size || (start >= window_base && end <= window_end);
        if inside && !self.lost() {
            return Ok(self.reservation.at(Bytes(start)));
        }
        Err(GuestFault { addr, len, size, window_base, window_end })
    }

    pub(crate) fn read(&self, addr: u32, out: &mut [u8]) -> Result<(), GuestFault> {
        self.range(addr, out.len())?;
        self.reservation.read(Bytes(u64::from(addr)), out);
        // The copy itself may have met a page that could not be had.
        if self.lost() { self.range(addr, out.len()).map(|_| ()) } else { Ok(()) }
    }

    pub(crate) fn write(&self, addr: u32, bytes: &[u8]) -> Result<(), GuestFault> {
        self.range(addr, bytes.len())?;
        self.reservation.write(Bytes(u64::from(addr)), bytes);
        Ok(())
    }
}

/// A handle to the memory of a slot.
///
/// It keeps the address range reserved, even when the slot is gone. It follows the slot's rule
/// that one thread uses it at a time: a range that another thread takes away during a copy ends
/// the process with a fault, as a wild load would.
#[derive(Clone, Debug)]
pub struct GuestMemory {
    shared: Arc<Shared>,
}

impl GuestMemory {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Address of guest address 0.
    pub fn base(&self) -> NonNull<u8> {
        self.shared.reservation.base()
    }

    /// Everything from `base` on that belongs to this memory, guard included.
    pub fn reserved(&self) -> Bytes {
        self.shared.reservation.len()
    }

    /// Virtual size: what the guest's `memory.size` says.
    pub fn size(&self) -> Bytes {
        self.shared.size()
    }

    /// Guest address at which the window starts.
    pub fn window_base(&self) -> Bytes {
        self.shared.window_base
    }

    /// Guest address after the used part of the window.
    pub fn window_end(&self) -> Bytes {
        self.shared.window_end()
    }

    /// The address of a range that lies wholly below the size or wholly in the used window.
    ///
    /// It stays good until the slot is reset, remapped or unmaps that part of its window.
    pub fn range(&self, addr: u32, len: u32) -> Result<NonNull<u8>, GuestFault> {
        self.shared.range(addr, len as usize)
    }

    /// Whether what runs here has met a page of its image that could not be had: what it computes
    /// from then on is of no use, and no range is good any more.
    pub fn lost(&self) -> bool {
        self.shared.lost()
    }

    /// The way to the pager, where an image may be mapped that is not whole.
    pub fn watch(&self) -> Option<&Arc<Watch>> {
        self.shared.watch()
    }

    /// Copies guest bytes into `out`.
    pub fn read(&self, addr: u32, out: &mut [u8]) -> Result<(), GuestFault> {
        self.shared.read(addr, out)
    }

    /// Copies `bytes` into guest memory.
    pub fn write(&self, addr: u32, bytes: &[u8]) -> Result<(), GuestFault> {
        self.shared.write(addr, bytes)
    }
}
