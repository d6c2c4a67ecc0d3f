//! What a cell and the pager say to each other about faults: a line of numbers for each worker
//! that runs forks of images which are not whole.
//!
//! What it is: which slot the worker's thread is in, so that the address of a fault has a meaning,
//! whether it could store into memory that others see, and how many pages could not be had. What
//! it is not: trusted by the pager; a line that lies shows its cell another image of its own
//! tenant.
//!
//! ```text
//! line 0 │ image │ base │ writable │ lost │ … 64 bytes
//! line 1 │ …           written by the cell ─┘ └─ written by the pager, read by the cell
//! ```
//!
//! The pager never maps it: it reads and writes by system calls.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::bytes::HOST_PAGE;
use crate::memory::seals_of;
use crate::sys::{Userfault, WORDS, Words};

/// Numbers of a line: what one processor's cache holds together.
const LINE_WORDS: usize = 8;
/// Workers that a board has lines for.
pub const MAX_LINES: usize = WORDS / LINE_WORDS;

const IMAGE: usize = 0;
const BASE: usize = 1;
const WRITABLE: usize = 2;
const LOST: usize = 3;

const WORD_BYTES: usize = size_of::<u64>();
const SEALS: SealFlag = SealFlag::F_SEAL_SHRINK.union(SealFlag::F_SEAL_GROW);

/// What a worker's line says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The cell's number for the image that the slot in use is mapped to.
    pub image: u64,
    /// Address of that slot.
    pub base: u64,
    /// Mappings of this worker through which others see what is stored.
    pub writable: u64,
}

/// The pager's side.
#[derive(Debug)]
pub struct Board {
    file: File,
}

impl Board {
    /// A board of which nothing is written yet.
    pub fn new() -> io::Result<Self> {
        let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
        let file = File::from(memfd_create(c"faaslet-faults", flags)?);
        file.set_len(HOST_PAGE.0)?;
        fcntl(&file, FcntlArg::F_ADD_SEALS(SEALS))?;
        Ok(Self { file })
    }

    /// The descriptor, for the cell.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What the line of worker `line` says.
    pub fn read(&self, line: usize) -> io::Result<Line> {
        let mut bytes = [0; 3 * WORD_BYTES];
        self.file.read_exact_at(&mut bytes, offset(line, IMAGE))?;
        let word = |at: usize| {
            bytes[at * WORD_BYTES..].first_chunk().copied().map_or(0, u64::from_ne_bytes)
        };
        Ok(Line { image: word(IMAGE), base: word(BASE), writable: word(WRITABLE) })
    }

    /// Tells the worker that so many pages could not be had so far. It must be told before the
    /// fault ends.
    pub fn set_lost(&self, line: usize, pages: u64) -> io::Result<()> {
        self.file.write_all_at(&pages.to_ne_bytes(), offset(line, LOST))
    }
}

fn offset(line: usize, word: usize) -> u64 {
    ((line % MAX_LINES * LINE_WORDS + word) * WORD_BYTES) as u64
}

/// The cell's side: a worker's line, and the descriptor that tells its faults.
#[derive(Debug)]
pub struct Watch {
    userfault: Arc<Userfault>,
    words: Arc<Words>,
    line: usize,
    /// Pages that were lost before the call at hand.
    before: AtomicU64,
}

/// The descriptors of some workers' faults, made before a sandbox forbids it.
#[derive(Debug, Default)]
pub struct Faults(Vec<Arc<Userfault>>);

impl Faults {
    /// One for each of so many workers.
    ///
    /// # Errors
    /// When this kernel, or this user, has no userfaultfd for faults of its own.
    pub fn open(workers: usize) -> io::Result<Self> {
        let all: Result<_, _> =
            (0..workers.min(MAX_LINES)).map(|_| Userfault::open().map(Arc::new)).collect();
        Ok(Self(all?))
    }

    /// The descriptors, to keep open and to hand to the pager.
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|userfault| userfault.fd())
    }

    /// With the board, what each worker needs.
    pub fn watches(&self, board: OwnedFd) -> io::Result<Vec<Arc<Watch>>> {
        let sealed = seals_of(board.as_fd())?.contains(SEALS);
        let file = File::from(board);
        if !sealed || file.metadata()?.len() < HOST_PAGE.0 {
            return Err(io::Error::other("expected a sealed page as the board of faults"));
        }
        let words = Arc::new(Words::map(file.as_fd())?);
        let watch = |(line, userfault): (usize, &Arc<Userfault>)| {
            let (userfault, words) = (Arc::clone(userfault), Arc::clone(&words));
            Arc::new(Watch { userfault, words, line, before: AtomicU64::new(0) })
        };
        Ok(self.0.iter().enumerate().map(watch).collect())
    }
}

impl Watch {
    // One thread writes its line and takes the faults, and the kernel orders those with what the
    // pager reads and writes: relaxed will do.

    /// The worker's thread is about to run in the slot at `base`, mapped to this image.
    pub fn enter(&self, image: u64, base: u64) {
        self.word(IMAGE).store(image, Ordering::Relaxed);
        self.word(BASE).store(base, Ordering::Relaxed);
    }

    /// Whether a page could not be had since [`Watch::settle`]: what is running computes with zeros
    /// that are not the image's.
    pub fn lost(&self) -> bool {
        self.word(LOST).load(Ordering::Relaxed) != self.before.load(Ordering::Relaxed)
    }

    /// The same, and whoever runs next begins anew.
    pub fn settle(&self) -> bool {
        let now = self.word(LOST).load(Ordering::Relaxed);
        self.before.swap(now, Ordering::Relaxed) != now
    }

    /// Counts a mapping whose stores others see, until it is dropped.
    pub fn writable(self: &Arc<Self>) -> Writable {
        self.word(WRITABLE).fetch_add(1, Ordering::Relaxed);
        Writable(Arc::clone(self))
    }

    /// Lets faults on a range that was just mapped wait for the pager.
    pub(crate) fn register(&self, start: u64, len: u64) -> io::Result<()> {
        Ok(self.userfault.register(start, len)?)
    }

    fn word(&self, word: usize) -> &AtomicU64 {
        self.words.word(self.line * LINE_WORDS + word)
    }
}

/// See [`Watch::writable`].
#[derive(Debug)]
pub struct Writable(Arc<Watch>);

impl Drop for Writable {
    fn drop(&mut self) {
        self.0.word(WRITABLE).fetch_sub(1, Ordering::Relaxed);
    }
}
