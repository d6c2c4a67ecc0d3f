//! Linear memories that lie in slots: Wasmtime asks for a memory, and gets the address range of
//! the slot that the instance is being made over.

use std::cell::Cell;
use std::ptr::NonNull;

use wasmtime::{LinearMemory, MemoryType};

use super::sys::{Heap, SlotMemory};

/// The size that every memory reports to Wasmtime: the whole 32-bit space, so that no access is
/// refused by length. What may be touched is decided by page protection and by the checks that
/// the rewrite put before bulk operations.
pub const FULL_MEMORY_BYTES: usize = 4 << 30;

/// Most bytes of exceptions of one Faaslet, thrown ones included: nothing of it is collected.
pub(super) const HEAP_MAX_BYTES: usize = 16 << 20;
/// A Faaslet is kept for another call while its exceptions took no more than this.
pub const HEAP_KEPT_BYTES: usize = 4 << 20;

thread_local! {
    /// Invariant: set exactly while [`with_slot`] runs on this thread.
    static SLOT: Cell<Option<NonNull<u8>>> = const { Cell::new(None) };
}

/// Runs `make`, in which one instance may be made over the slot at `base`.
///
/// The slot must outlive the instance; the cell keeps it in the store's own data, which is
/// dropped after the instance.
pub fn with_slot<T>(base: NonNull<u8>, make: impl FnOnce() -> T) -> T {
    let _before = Before(SLOT.replace(Some(base)));
    make()
}

/// Puts the outer slot back, also when a panic passes through.
struct Before(Option<NonNull<u8>>);

impl Drop for Before {
    fn drop(&mut self) {
        SLOT.set(self.0);
    }
}

/// Hands the slot of [`with_slot`] to Wasmtime.
pub(super) struct SlotMemories;

impl SlotMemories {
    /// A memory of `reserved` bytes of addresses; a heap of exceptions is one that reserves none.
    pub(super) fn take(
        ty: &MemoryType,
        reserved: Option<usize>,
    ) -> Result<Box<dyn LinearMemory>, String> {
        if reserved == Some(0) {
            return Ok(Box::new(Heap::default()));
        }
        if ty.is_64() || ty.is_shared() {
            return Err("expected an unshared 32-bit memory: the rewrite refuses others".into());
        }
        let base = SLOT
            .take()
            .ok_or("expected one memory for each instance, made inside with_slot; found another")?;
        Ok(Box::new(SlotMemory::new(base)))
    }
}
