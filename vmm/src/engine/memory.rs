//! Linear memories that lie in slots: Wasmtime asks for a memory, and gets the address range of
//! the slot that the instance is being made over.

use std::cell::Cell;
use std::ptr::NonNull;

use wasmtime::{LinearMemory, MemoryType};

use super::sys::SlotMemory;

/// The size that every memory reports to Wasmtime: the whole 32-bit space, so that no access is
/// refused by length. What may be touched is decided by page protection and by the checks that
/// the rewrite put before bulk operations.
pub const FULL_MEMORY_BYTES: usize = 4 << 30;

thread_local! {
    /// Invariant: set exactly while [`with_slot`] runs on this thread.
    static SLOT: Cell<Option<NonNull<u8>>> = const { Cell::new(None) };
}

/// Runs `make`, in which one instance may be made over the slot at `base`.
///
/// The slot must outlive the instance; the cell keeps it in the store's own data, which is
/// dropped after the instance.
pub fn with_slot<T>(base: NonNull<u8>, make: impl FnOnce() -> T) -> T {
    let before = SLOT.replace(Some(base));
    let made = make();
    SLOT.set(before);
    made
}

/// Hands the slot of [`with_slot`] to Wasmtime.
pub(super) struct SlotMemories;

impl SlotMemories {
    pub(super) fn take(ty: &MemoryType) -> Result<Box<dyn LinearMemory>, String> {
        if ty.is_64() || ty.is_shared() {
            return Err("expected an unshared 32-bit memory: the rewrite refuses others".into());
        }
        let base = SLOT.take().ok_or(
            "expected one memory for each instance, made inside with_slot; found another",
        )?;
        Ok(Box::new(SlotMemory::new(base)))
    }
}
