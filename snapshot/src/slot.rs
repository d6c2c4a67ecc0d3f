//! A slot: one reservation of addresses in which one Faaslet's memory lives, again and again.
//!
//! What it is: what is mapped where (see [`crate::layout`] for the picture), growth, the window.
//! What it is not: how it goes back to its image (`reset`), or the instance that runs in it (the
//! engine's; it gets a [`GuestMemory`]).
//!
//! ```text
//!            map, map_empty                    reset
//! reserved ─────────────────► clean ─► in use ───────► clean
//!                               ▲        │ poison, or any system call that failed half-way
//!                               │ remap  ▼
//!                               └──── poisoned
//! ```

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::SealFlag;
use nix::sys::stat::fstat;

use crate::board::Watch;
use crate::bytes::{Bytes, HOST_PAGE, HostPages, WASM_PAGE};
use crate::dirty::{Mark, PageList, Scanner, ScannerId};
use crate::guest::{GuestFault, GuestMemory, Shared};
use crate::layout::Layout;
use crate::memory::{MemoryImage, seals_of};
use crate::sys::{FileMapping, Reservation, ViewPage};
use crate::window::{Region, Window, WindowError};

/// Zeros at the end of an image, from this length on, are mapped without its file: a write to
/// them then costs one page and not two, a read none.
const MIN_ZERO_TAIL: Bytes = Bytes::kib(256);

/// Why a slot could not be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "reserving {len} of addresses failed: {error}; a process has room for about 32,000 slots, and \
     `ulimit -v` must be unlimited"
)]
pub struct SlotError {
    len: Bytes,
    error: io::Error,
}

/// Why a slot could not be mapped.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// More memory than the slot may have.
    #[error("memory of {len}: expected a multiple of 64 KiB, at most {limit}")]
    Length {
        /// The length asked for.
        len: Bytes,
        /// The most this slot may have.
        limit: Bytes,
    },
    /// The image is not whole, and the slot has no way to a pager.
    #[error(
        "an image that is not whole: expected it on a worker with a pager; wait until it is whole"
    )]
    NotWhole,
    /// The system refused; the slot is poisoned.
    #[error("mapping a slot failed: {error}; raise vm.max_map_count or run fewer slots")]
    System {
        /// The system's answer.
        error: io::Error,
    },
}

/// Why a slot did not grow.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// Beyond its limit.
    #[error("growing to {asked}: expected at most {limit}")]
    Limit {
        /// The size asked for.
        asked: Bytes,
        /// The most this slot may have.
        limit: Bytes,
    },
    /// Not whole pages, or less than it has.
    #[error("growing to {asked}: expected a multiple of 64 KiB, at least {size}")]
    Size {
        /// The size asked for.
        asked: Bytes,
        /// The size it has.
        size: Bytes,
    },
    /// The slot must be remapped first.
    #[error("slot is poisoned: remap it before it grows")]
    Poisoned,
    /// The system refused.
    #[error("growing failed: {error}; raise vm.max_map_count or run fewer slots")]
    System {
        /// The system's answer.
        error: io::Error,
    },
}

/// Why a region of the window could not be mapped or unmapped.
#[derive(Debug, thiserror::Error)]
pub enum MapWindowError {
    /// No place, or no such region.
    #[error(transparent)]
    Window(#[from] WindowError),
    /// The offset is inside a page.
    #[error("file offset {offset}: expected a multiple of {HOST_PAGE}")]
    Offset {
        /// The offset given.
        offset: Bytes,
    },
    /// The file could be cut short under the guest's feet.
    #[error("expected a memfd sealed against shrinking, found seals {found:?}: seal it first")]
    NotSealed {
        /// Its seals; none for a file that is not a memfd.
        found: SealFlag,
    },
    /// The file ends before the region.
    #[error("file holds {found}, expected at least {expected}: make it at its largest size")]
    Short {
        /// Where the region would end.
        expected: Bytes,
        /// The file's length.
        found: Bytes,
    },
    /// The slot must be remapped first.
    #[error("slot is poisoned: remap it before its window is used")]
    Poisoned,
    /// The system refused.
    #[error("mapping into the window failed: {error}; was the descriptor opened for writing?")]
    System {
        /// The system's answer.
        error: io::Error,
    },
}

/// Who sees what a guest stores into a region of its window.
///
/// There is no region that refuses stores: the guest's bulk operations run as host code, which a
/// page that cannot be written would kill. What may not be changed is mapped as a private copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Everyone who has the file mapped.
    Shared,
    /// This slot alone, until its next reset.
    PrivateCopy,
}

/// What happens at a reset to memory that the call grew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrownMemory {
    /// It is given back: a load or store there traps again.
    #[default]
    GiveBack,
    /// It is zeroed and stays accessible beyond the size, so that growing again costs nothing; a
    /// load or store there does not trap. For functions that grow in most of their calls.
    Keep,
}

/// What a slot is mapped to.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// Nothing: no memory at all.
    Nothing,
    /// The memory of an image.
    Image(Arc<MemoryImage>),
    /// This many zeros.
    Zeros(Bytes),
}

impl Origin {
    pub(crate) fn len(&self) -> Bytes {
        match self {
            Self::Nothing => Bytes::ZERO,
            Self::Image(image) => image.len(),
            Self::Zeros(len) => *len,
        }
    }

    /// What page `page` was at the start; nothing if zeros.
    pub(crate) fn page(&self, page: u32) -> Option<ViewPage<'_>> {
        match self {
            Self::Image(image) => image.page(u64::from(page)),
            Self::Nothing | Self::Zeros(_) => None,
        }
    }
}

/// Who has used a slot since its last reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Not told, or several threads.
    Unknown,
    /// One thread, this scanner's.
    One(ScannerId),
}

/// One Faaslet's memory; see the module for its life.
#[derive(Debug)]
pub struct Slot {
    pub(crate) shared: Arc<Shared>,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
    /// Invariant: everything below is readable and writable, everything from here to the window
    /// is not; at least the size.
    pub(crate) accessible: Bytes,
    limit: Bytes,
    pub(crate) window: Window,
    pub(crate) grown: GrownMemory,
    pub(crate) poisoned: bool,
    /// Invariant: when `mark` is there, all private pages at that mark; never one that is not
    /// accessible.
    pub(crate) private: PageList,
    pub(crate) mark: Option<Mark>,
    pub(crate) user: User,
    /// Resets since the list was last checked for pages that calls have stopped writing.
    pub(crate) unchecked_resets: u32,
    pub(crate) drop_above: HostPages,
}

impl Slot {
    /// Reserves the addresses of a slot. No memory is used.
    pub fn reserve(layout: &Layout) -> Result<Self, SlotError> {
        let len = layout.reservation();
        let reservation =
            Reservation::reserve(len).map_err(|e| SlotError { len, error: e.into() })?;
        Ok(Self {
            shared: Arc::new(Shared::new(reservation, layout)),
            layout: *layout,
            origin: Origin::Nothing,
            accessible: Bytes::ZERO,
            limit: layout.heap_limit(),
            window: Window::new(layout.window_base(), layout.window_limit()),
            grown: GrownMemory::default(),
            poisoned: false,
            private: PageList::default(),
            mark: None,
            user: User::Unknown,
            unchecked_resets: 0,
            drop_above: crate::reset::DROP_ABOVE,
        })
    }

    /// Lets it be mapped to images that are not whole, whose faults `watch` tells to their pager.
    pub fn set_watch(&mut self, watch: &Arc<Watch>) {
        self.shared.set_watch(Arc::clone(watch));
    }

    /// Maps an image: from now on the slot is reset to it. What was there before is gone.
    pub fn map(&mut self, image: &Arc<MemoryImage>) -> Result<(), MapError> {
        self.map_origin(Origin::Image(Arc::clone(image)))
    }

    /// Maps `len` zeros, for a Faaslet without an image. What was there before is gone.
    pub fn map_empty(&mut self, len: Bytes) -> Result<(), MapError> {
        self.map_origin(Origin::Zeros(len))
    }

    /// Throws every page away and maps anew what was mapped: the way out of poison.
    pub fn remap(&mut self) -> Result<(), MapError> {
        self.map_origin(self.origin.clone())
    }

    /// The image that the slot is mapped to, if it is to one.
    pub fn image(&self) -> Option<&Arc<MemoryImage>> {
        match &self.origin {
            Origin::Image(image) => Some(image),
            Origin::Nothing | Origin::Zeros(_) => None,
        }
    }

    /// Address of guest address 0.
    pub fn base(&self) -> NonNull<u8> {
        self.shared.reservation.base()
    }

    /// Where the parts of the slot lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// A handle to the memory, for the engine and the host interface.
    pub fn memory(&self) -> GuestMemory {
        GuestMemory::new(Arc::clone(&self.shared))
    }

    /// Copies guest bytes into `out`.
    pub fn read(&self, addr: u32, out: &mut [u8]) -> Result<(), GuestFault> {
        self.shared.read(addr, out)
    }

    /// Copies `bytes` into guest memory.
    pub fn write(&mut self, addr: u32, bytes: &[u8]) -> Result<(), GuestFault> {
        self.shared.write(addr, bytes)
    }

    /// Virtual size: what the guest's `memory.size` says, in bytes.
    pub fn size(&self) -> Bytes {
        self.shared.size()
    }

    /// The most that the slot may grow to.
    pub fn limit(&self) -> Bytes {
        self.limit
    }

    /// How much the slot may still grow.
    pub fn headroom(&self) -> Bytes {
        self.limit.saturating_sub(self.size())
    }

    /// Sets the most that the slot may grow to; never above what the layout has room for.
    pub fn set_limit(&mut self, limit: Bytes) {
        let whole = Bytes(limit.0 - limit.0 % WASM_PAGE.0);
        self.limit = whole.min(self.layout.heap_limit());
    }

    /// Sets what happens to grown memory at a reset.
    pub fn set_grown_memory(&mut self, grown: GrownMemory) {
        self.grown = grown;
    }

    /// Sets above how many private pages a reset throws them away instead of copying them back.
    pub fn set_drop_above(&mut self, pages: HostPages) {
        self.drop_above = pages;
    }

    /// Tells that the scanner's thread is about to use the slot: before a call, and before each
    /// time that a suspended one goes on. Costs a comparison.
    ///
    /// A reset reuses its list of private pages only if one thread, the scanner's, used the slot
    /// since the last one. A slot of which this is not told is scanned at every reset.
    pub fn enter(&mut self, scanner: &Scanner) {
        let id = scanner.id();
        if self.user != User::One(id) {
            // Another thread was here, so its counters count too: what is known is void.
            if self.mark.is_some_and(|mark| mark.scanner != id) || self.user != User::Unknown {
                self.mark = None;
            }
            self.user = User::One(id);
        }
    }

    /// Poisons the slot: after a trap, a deadline or a panic nothing in it is trusted, and only
    /// [`Slot::remap`] or a new image bring it back.
    pub fn poison(&mut self) {
        self.poisoned = true;
    }

    /// Whether the slot must be remapped before it is used again.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned
    }

    /// Grows the memory to `size`; the new part is zeros.
    pub fn grow_to(&mut self, size: Bytes) -> Result<(), GrowError> {
        if self.poisoned {
            return Err(GrowError::Poisoned);
        }
        if size < self.size() || !size.is_multiple_of(WASM_PAGE) {
            return Err(GrowError::Size { asked: size, size: self.size() });
        }
        if size > self.limit {
            return Err(GrowError::Limit { asked: size, limit: self.limit });
        }
        if size > self.accessible {
            let (at, more) = (self.accessible, size.saturating_sub(self.accessible));
            let allowed = self.shared.reservation.allow(at, more);
            allowed
                .map_err(|e| self.undo(|r| r.clear(at, more), e))
                .map_err(|error| GrowError::System { error })?;
            self.accessible = size;
        }
        self.shared.set_size(size);
        Ok(())
    }

    /// Maps `len` bytes of a sealed memfd into the window, at the guest address returned.
    pub fn map_window(
        &mut self,
        fd: BorrowedFd<'_>,
        offset: Bytes,
        len: Bytes,
        sharing: Sharing,
    ) -> Result<u32, MapWindowError> {
        if self.poisoned {
            return Err(MapWindowError::Poisoned);
        }
        let place = self.window.place(len)?;
        check_file(fd, offset, len)?;
        let mapping = match sharing {
            Sharing::Shared => FileMapping::Shared,
            Sharing::PrivateCopy => FileMapping::Private,
        };
        let reservation = &self.shared.reservation;
        if let Err(e) = reservation.map_file(place.start, place.len, fd, offset, mapping) {
            let reused = self.window.is_reused(place);
            let error = self.undo(|r| if reused { zeros(r, place) } else { none(r, place) }, e);
            return Err(MapWindowError::System { error });
        }
        self.window.take(place);
        self.shared.set_window_end(self.window.end());
        Ok(place.start.0 as u32)
    }

    /// Unmaps the region that starts at `addr`: it becomes zeros, which later maps reuse.
    pub fn unmap_window(&mut self, addr: u32) -> Result<(), MapWindowError> {
        if self.poisoned {
            return Err(MapWindowError::Poisoned);
        }
        let region = self.window.find(addr)?;
        if let Err(e) = zeros(&self.shared.reservation, region) {
            self.poisoned = true;
            return Err(MapWindowError::System { error: e.into() });
        }
        self.window.release(region);
        Ok(())
    }

    /// Guest address after the used part of the window.
    pub fn window_end(&self) -> Bytes {
        self.shared.window_end()
    }

    /// After a system call that failed: puts the range right again, or else poisons the slot.
    fn undo(
        &mut self,
        mend: impl FnOnce(&Reservation) -> Result<(), Errno>,
        error: Errno,
    ) -> io::Error {
        if mend(&self.shared.reservation).is_err() {
            self.poisoned = true;
        }
        error.into()
    }

    fn map_origin(&mut self, origin: Origin) -> Result<(), MapError> {
        let (len, limit) = (origin.len(), self.layout.heap_limit());
        if !len.is_multiple_of(WASM_PAGE) || len > limit {
            return Err(MapError::Length { len, limit });
        }
        if let Origin::Image(image) = &origin
            && !image.is_whole()
            && self.shared.watch().is_none()
        {
            return Err(MapError::NotWhole);
        }
        self.poisoned = true;
        self.shared.set_size(Bytes::ZERO);
        self.shared.set_window_end(self.layout.window_base());
        self.window.clear();
        self.private.clear();
        (self.mark, self.user) = (None, User::Unknown);
        self.map_pages(&origin).map_err(|error| MapError::System { error })?;
        self.shared.set_size(len);
        (self.origin, self.accessible, self.poisoned) = (origin, len, false);
        Ok(())
    }

    fn map_pages(&self, origin: &Origin) -> io::Result<()> {
        let reservation = &self.shared.reservation;
        reservation.clear(Bytes::ZERO, reservation.len())?;
        let mut zeros_from = Bytes::ZERO;
        if let Origin::Image(image) = origin {
            let tail = image.len().saturating_sub(image.data_end());
            let file = if tail < MIN_ZERO_TAIL { image.len() } else { image.data_end() };
            if file > Bytes::ZERO {
                let private = FileMapping::Private;
                reservation.map_file(Bytes::ZERO, file, image.fd(), Bytes::ZERO, private)?;
                self.watch_faults(image, file)?;
            }
            zeros_from = file;
        }
        match origin.len().saturating_sub(zeros_from) {
            Bytes::ZERO => Ok(()),
            rest => Ok(reservation.map_zeros(zeros_from, rest)?),
        }
    }

    /// Before anything touches it: a page that is not in the file yet is the pager's to bring. An
    /// image that is whole is not watched, and costs what it always does.
    fn watch_faults(&self, image: &MemoryImage, len: Bytes) -> io::Result<()> {
        match self.shared.watch() {
            Some(watch) if !image.is_whole() => {
                watch.register(self.base().addr().get() as u64, len.0)
            }
            _ => Ok(()),
        }
    }
}

fn zeros(reservation: &Reservation, region: Region) -> Result<(), Errno> {
    reservation.map_zeros(region.start, region.len)
}

fn none(reservation: &Reservation, region: Region) -> Result<(), Errno> {
    reservation.clear(region.start, region.len)
}

/// Whether a file can be mapped from `offset` on for `len` bytes, and stays as long as that.
fn check_file(fd: BorrowedFd<'_>, offset: Bytes, len: Bytes) -> Result<(), MapWindowError> {
    if !offset.is_multiple_of(HOST_PAGE) {
        return Err(MapWindowError::Offset { offset });
    }
    let found = seals_of(fd).unwrap_or(SealFlag::empty());
    if !found.contains(SealFlag::F_SEAL_SHRINK) {
        return Err(MapWindowError::NotSealed { found });
    }
    let stat = fstat(fd).map_err(|e| MapWindowError::System { error: e.into() })?;
    let found = Bytes(stat.st_size as u64);
    match offset.checked_add(len.host_pages().bytes()) {
        Some(end) if end <= found => Ok(()),
        end => Err(MapWindowError::Short { expected: end.unwrap_or(Bytes(u64::MAX)), found }),
    }
}
