//! The memory of an image as slots map it: a sealed memfd in which offset equals guest address.
//!
//! What it is: the descriptor, its length in use, and which of its pages are data. What it is not:
//! the image's file format, or where its bytes come from ([`MemoryDraft`] takes them from anyone).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{Whence, lseek64};

use crate::bytes::{Bytes, HOST_PAGE, HOST_PAGE_BYTES, HostPages, WASM_PAGE};
use crate::sys::{ImageView, ViewPage};

/// The largest memory of a 32-bit guest.
pub const MAX_IMAGE_BYTES: Bytes = Bytes::gib(4);

/// The seals that a whole image carries: nobody can change a byte or its length.
const WHOLE: SealFlag = SIZED.union(SealFlag::F_SEAL_WRITE);
/// The seals of one that is still filled: nobody can change its length.
const SIZED: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);

/// Why a descriptor cannot be an image's memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryImageError {
    /// The length in use is not one of a guest's memory.
    #[error("memory of {found}: expected a multiple of 64 KiB, at most {MAX_IMAGE_BYTES}")]
    Length {
        /// The length given.
        found: Bytes,
    },
    /// The file ends before the length in use.
    #[error("memfd holds {found}, expected at least {expected}: it was cut short, make it anew")]
    Short {
        /// The length in use.
        expected: Bytes,
        /// The file's length.
        found: Bytes,
    },
    /// The file can still be changed.
    #[error("memfd has seals {found:?}, expected {expected:?}: seal it when it is whole")]
    NotSealed {
        /// The seals it should have.
        expected: SealFlag,
        /// The seals it has.
        found: SealFlag,
    },
    /// Bytes written outside the memory.
    #[error("write of {len} at {offset}: the memory has {size}")]
    Outside {
        /// Where.
        offset: Bytes,
        /// How many.
        len: Bytes,
        /// Length of the memory.
        size: Bytes,
    },
    /// The system refused.
    #[error("{what} the memory of an image failed: {error}; see `faaslet doctor` for limits")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        error: io::Error,
    },
}

impl MemoryImageError {
    pub(crate) fn duplicating(error: io::Error) -> Self {
        system("duplicating")(error)
    }

    pub(crate) fn writing(error: io::Error) -> Self {
        system("writing")(error)
    }
}

/// Memory of an image; shared by all slots that are mapped to it. It is whole and immutable, or the
/// pager fills it, and then only slots with a way to the pager map it.
#[derive(Debug)]
pub struct MemoryImage {
    /// Invariant: at least `len` long, and sealed with [`WHOLE`], or with [`SIZED`] while not whole.
    file: File,
    len: Bytes,
    /// Invariant: once true, for good.
    whole: AtomicBool,
    /// Where private pages are copied back from; none when `len` is 0.
    view: Option<ImageView>,
    data: PageSet,
}

impl MemoryImage {
    /// Takes a sealed memfd of which the first `len` bytes are guest memory.
    pub fn from_fd(fd: OwnedFd, len: Bytes) -> Result<Self, MemoryImageError> {
        let file = checked(fd, len, WHOLE)?;
        let data = data_pages(&file, len).map_err(|e| system("finding the holes of")(e.into()))?;
        Self::new(file, len, data, true)
    }

    /// Takes a memfd of a fixed length, of which the first `len` bytes are guest memory that the
    /// pager fills; `data` are the pages that are not zeros, as the image's head says.
    ///
    /// The view that private pages are copied back from is not watched for faults, and need not
    /// be: a page that holds data becomes private by a fault that has brought it.
    pub fn filling(
        fd: OwnedFd,
        len: Bytes,
        data: impl Iterator<Item = u64>,
    ) -> Result<Self, MemoryImageError> {
        let file = checked(fd, len, SIZED)?;
        let mut set = PageSet::new(len);
        data.filter(|page| HostPages(*page).bytes() < len).for_each(|page| set.insert(page));
        Self::new(file, len, set, false)
    }

    fn new(file: File, len: Bytes, data: PageSet, whole: bool) -> Result<Self, MemoryImageError> {
        let view = match len {
            Bytes::ZERO => None,
            _ => Some(ImageView::new(file.as_fd(), len).map_err(|e| system("mapping")(e.into()))?),
        };
        Ok(Self { file, len, view, data, whole: AtomicBool::new(whole) })
    }

    /// Whether every page is here, so that slots map it and nothing more.
    pub fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Acquire)
    }

    /// Asks the system whether the image has become whole: its seals say so, which nobody can take
    /// back.
    ///
    /// # Errors
    /// [`MemoryImageError::NotSealed`] when it has not.
    pub fn become_whole(&self) -> Result<(), MemoryImageError> {
        check_seals(&self.file, WHOLE)?;
        self.whole.store(true, Ordering::Release);
        Ok(())
    }

    /// An image of these bytes, filled up with zeros to a multiple of 64 KiB; for tests.
    pub fn from_bytes(bytes: &[u8]) -> Result<Arc<Self>, MemoryImageError> {
        let len = Bytes((bytes.len() as u64).next_multiple_of(WASM_PAGE.0));
        let draft = MemoryDraft::new(len)?;
        for (page, chunk) in bytes.chunks(HOST_PAGE_BYTES).enumerate() {
            if chunk.iter().any(|&byte| byte != 0) {
                draft.write(Bytes(page as u64 * HOST_PAGE.0), chunk)?;
            }
        }
        draft.seal().map(Arc::new)
    }

    /// Bytes of guest memory, a multiple of 64 KiB: the guest's size right after a fork.
    pub fn len(&self) -> Bytes {
        self.len
    }

    /// Whether it has no memory at all.
    pub fn is_empty(&self) -> bool {
        self.len == Bytes::ZERO
    }

    /// The descriptor, to map or to send to another process.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Guest address after the last page that holds data; from there on there are zeros only.
    pub fn data_end(&self) -> Bytes {
        let last = self.data.words.iter().rposition(|&word| word != 0);
        last.map_or(Bytes::ZERO, |word| {
            let bits = u64::from(u64::BITS - self.data.words[word].leading_zeros());
            HostPages(word as u64 * 64 + bits).bytes()
        })
    }

    /// How many pages hold data; the others are zeros that take no memory.
    pub fn data_pages(&self) -> HostPages {
        HostPages(self.data.words.iter().map(|w| u64::from(w.count_ones())).sum())
    }

    /// Fills `out` from the image at `offset`, without making pages of its holes.
    pub(crate) fn read(&self, offset: Bytes, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset.0)
    }

    /// Page number `page`; nothing if it is zeros.
    pub(crate) fn page(&self, page: u64) -> Option<ViewPage<'_>> {
        let view = self.view.as_ref()?;
        self.data.contains(page).then(|| view.page(HostPages(page).bytes()))
    }
}

/// Memory of an image while it is being filled; no slot can map it yet.
#[derive(Debug)]
pub struct MemoryDraft {
    file: File,
    len: Bytes,
}

impl MemoryDraft {
    /// Zeros, `len` bytes of them.
    pub fn new(len: Bytes) -> Result<Self, MemoryImageError> {
        check_len(len)?;
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let fd = memfd_create(c"faaslet-image", flags).map_err(|e| system("making")(e.into()))?;
        let file = File::from(fd);
        file.set_len(len.0).map_err(system("sizing"))?;
        Ok(Self { file, len })
    }

    /// Puts bytes at an offset. Pages that are never written stay holes: skip zeros.
    pub fn write(&self, offset: Bytes, bytes: &[u8]) -> Result<(), MemoryImageError> {
        let len = Bytes(bytes.len() as u64);
        if offset.checked_add(len).is_none_or(|end| end > self.len) {
            return Err(MemoryImageError::Outside { offset, len, size: self.len });
        }
        self.file.write_all_at(bytes, offset.0).map_err(system("writing"))
    }

    /// Seals its length alone, and gives it out to be filled while slots are mapped to it: the file
    /// to write, and a descriptor that can only be read.
    pub(crate) fn into_filling(self) -> Result<(File, OwnedFd), MemoryImageError> {
        fcntl(&self.file, FcntlArg::F_ADD_SEALS(SIZED)).map_err(|e| system("sealing")(e.into()))?;
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let reader = File::open(path).map_err(system("reopening"))?;
        Ok((self.file, reader.into()))
    }

    /// Seals a file that is whole now.
    pub(crate) fn seal_filled(file: &File) -> Result<(), MemoryImageError> {
        let seals = WHOLE | SealFlag::F_SEAL_SEAL;
        fcntl(file, FcntlArg::F_ADD_SEALS(seals)).map_err(|e| system("sealing")(e.into()))?;
        Ok(())
    }

    /// Seals it: from now on nobody can change it.
    pub fn seal(self) -> Result<MemoryImage, MemoryImageError> {
        Self::seal_filled(&self.file)?;
        MemoryImage::from_fd(self.file.into(), self.len)
    }
}

/// A bit per page.
#[derive(Debug)]
struct PageSet {
    words: Box<[u64]>,
}

impl PageSet {
    fn new(len: Bytes) -> Self {
        let words = vec![0; (len.host_pages().0 as usize).div_ceil(64)];
        Self { words: words.into_boxed_slice() }
    }

    /// Adds a page below the length.
    fn insert(&mut self, page: u64) {
        self.words[page as usize / 64] |= 1 << (page % 64);
    }

    fn contains(&self, page: u64) -> bool {
        self.words.get(page as usize / 64).is_some_and(|word| word >> (page % 64) & 1 == 1)
    }
}

/// The seals of a memfd; an error for any other file.
pub(crate) fn seals_of(fd: BorrowedFd<'_>) -> Result<SealFlag, Errno> {
    fcntl(fd, FcntlArg::F_GET_SEALS).map(SealFlag::from_bits_retain)
}

/// The file of a descriptor that is long enough and sealed.
fn checked(fd: OwnedFd, len: Bytes, seals: SealFlag) -> Result<File, MemoryImageError> {
    check_len(len)?;
    let file = File::from(fd);
    let found = Bytes(file.metadata().map_err(system("asking for the size of"))?.len());
    if found < len {
        return Err(MemoryImageError::Short { expected: len, found });
    }
    check_seals(&file, seals)?;
    Ok(file)
}

fn check_seals(file: &File, expected: SealFlag) -> Result<(), MemoryImageError> {
    let found = seals_of(file.as_fd()).map_err(|e| system("reading the seals of")(e.into()))?;
    if found.contains(expected) {
        return Ok(());
    }
    Err(MemoryImageError::NotSealed { expected, found })
}

fn check_len(len: Bytes) -> Result<(), MemoryImageError> {
    if len.is_multiple_of(WASM_PAGE) && len <= MAX_IMAGE_BYTES {
        return Ok(());
    }
    Err(MemoryImageError::Length { found: len })
}

/// Which pages of the first `len` bytes are not holes.
fn data_pages(file: &File, len: Bytes) -> Result<PageSet, Errno> {
    let mut pages = PageSet::new(len);
    let mut at = 0;
    while at < len.0 as i64 {
        let start = match lseek64(file, at, Whence::SeekData) {
            Err(Errno::ENXIO) => break,
            found => found?,
        };
        let end = lseek64(file, start, Whence::SeekHole)?.min(len.0 as i64);
        for page in start as u64 / HOST_PAGE.0..Bytes(end as u64).host_pages().0 {
            pages.insert(page);
        }
        at = end.max(start + HOST_PAGE.0 as i64);
    }
    Ok(pages)
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> MemoryImageError {
    move |error| MemoryImageError::System { what, error }
}
