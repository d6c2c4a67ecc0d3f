//! Linear memory as the host makes it, for tests.
#![allow(unsafe_code)]

use std::sync::Arc;

use faaslet_rewrite::reserved::{PAGE_BYTES, WINDOW_BASE};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// What every memory of a guest reports as its size.
pub const FIXED_BYTES: usize = 4 << 30;

/// A reservation whose pages are inaccessible until they are opened.
pub struct Reservation {
    base: *mut u8,
    length: usize,
    reported: usize,
}

// SAFETY: the mapping is owned by this value alone, and pointers into it are as good on one
// thread as on another.
unsafe impl Send for Reservation {}
// SAFETY: a shared reference only hands out the base pointer.
unsafe impl Sync for Reservation {}

impl Reservation {
    fn new(length: usize, reported: usize) -> Result<Self, String> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a fresh anonymous mapping touches no other memory.
        let base =
            unsafe { libc::mmap(std::ptr::null_mut(), length, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error().to_string());
        }
        Ok(Self { base: base.cast(), length, reported })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the range is this value's own mapping, and Wasmtime drops it last.
        unsafe { libc::munmap(self.base.cast(), self.length) };
    }
}

/// Makes bytes of a reservation accessible; the range is rounded out to pages by its callers.
pub fn open(base: *mut u8, offset: u64, length: u64) {
    if length == 0 {
        return;
    }
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: callers pass the base of a live reservation of `FIXED_BYTES` and a range in it.
    let done = unsafe { libc::mprotect(base.add(offset as usize).cast(), length as usize, access) };
    assert_eq!(done, 0, "mprotect: {}", std::io::Error::last_os_error());
}

/// Makes bytes of a reservation inaccessible again.
pub fn close(base: *mut u8, offset: u64, length: u64) {
    // SAFETY: as in `open`.
    let done = unsafe {
        libc::mprotect(base.add(offset as usize).cast(), length as usize, libc::PROT_NONE)
    };
    assert_eq!(done, 0, "mprotect: {}", std::io::Error::last_os_error());
}

/// Copies out bytes that are accessible.
pub fn read(base: *const u8, offset: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; length as usize];
    // SAFETY: callers pass a range that is open, in a live reservation.
    unsafe {
        std::ptr::copy_nonoverlapping(base.add(offset as usize), bytes.as_mut_ptr(), bytes.len());
    }
    bytes
}

/// Writes one byte that is accessible.
pub fn write(base: *mut u8, offset: u64, byte: u8) {
    // SAFETY: callers pass an address that is open, in a live reservation.
    unsafe { base.add(offset as usize).write(byte) };
}

// SAFETY: the base never moves, `FIXED_BYTES` and the guard lie in one reservation.
unsafe impl LinearMemory for Reservation {
    fn byte_size(&self) -> usize {
        self.reported
    }

    fn byte_capacity(&self) -> usize {
        self.reported
    }

    fn grow_to(&mut self, _: usize) -> wasmtime::Result<()> {
        Err(wasmtime::Error::msg("the size is fixed"))
    }

    fn as_ptr(&self) -> *mut u8 {
        self.base
    }
}

/// Makes reservations for guest memories, and plain memory for Wasmtime's own heap.
pub struct Fixed;

impl Fixed {
    pub fn shared() -> Arc<dyn MemoryCreator> {
        Arc::new(Self)
    }
}

// SAFETY: what is made has the sizes asked for and is zero, inaccessible or both.
unsafe impl MemoryCreator for Fixed {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        let reserved = reserved.ok_or("expected a reserved size")?;
        if reserved < FIXED_BYTES {
            let memory = Reservation::new(reserved + guard, reserved)?;
            open(memory.base, 0, reserved as u64);
            return Ok(Box::new(memory));
        }
        let memory = Reservation::new(reserved + guard, FIXED_BYTES)?;
        assert!(minimum as u64 <= WINDOW_BASE && (minimum as u64).is_multiple_of(PAGE_BYTES));
        open(memory.base, 0, minimum as u64);
        Ok(Box::new(memory))
    }
}
