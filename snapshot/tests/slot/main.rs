//! Slots as the engine uses them: growth, window, reset, poison, and all of it at random.
#![allow(clippy::unwrap_used, clippy::large_stack_arrays, reason = "tests")]

mod misuse;
mod model;
mod reset;
mod window;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use faaslet_snapshot::bytes::{Bytes, HOST_PAGE_BYTES};
use faaslet_snapshot::dirty::{Pagemap, Scanner};
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::memory::MemoryImage;
use faaslet_snapshot::slot::Slot;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

fn scanner() -> Scanner {
    Scanner::new(Arc::new(Pagemap::open()))
}

/// `pages` pages of data, every third of them zeros.
fn image_bytes(pages: usize, tag: u8) -> Vec<u8> {
    let page = |n: usize| {
        let fill = if n % 3 == 2 { 0 } else { tag ^ (n as u8) | 1 };
        [fill; HOST_PAGE_BYTES]
    };
    (0..pages).flat_map(page).collect()
}

fn slot_of(bytes: &[u8]) -> Slot {
    let mut slot = Slot::reserve(&Layout::default()).unwrap();
    slot.map(&MemoryImage::from_bytes(bytes).unwrap()).unwrap();
    slot
}

/// A memfd of `len`, sealed against shrinking as the state tier makes them.
fn value_file(len: Bytes) -> File {
    let file = unsealed_file(len);
    fcntl(&file, FcntlArg::F_ADD_SEALS(SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)).unwrap();
    file
}

fn unsealed_file(len: Bytes) -> File {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let file = File::from(memfd_create(c"value", flags).unwrap());
    file.set_len(len.0).unwrap();
    file
}

fn byte_at(slot: &Slot, addr: u32) -> u8 {
    let mut byte = [0];
    slot.read(addr, &mut byte).unwrap();
    byte[0]
}

fn file_byte(file: &File, at: u64) -> u8 {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    byte[0]
}
