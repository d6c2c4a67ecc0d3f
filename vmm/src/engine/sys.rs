//! The unsafe edge between Wasmtime's memories and our slots.
#![allow(unsafe_code)]

use std::fs::File;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use wasmtime::{Engine, LinearMemory, MemoryCreator, MemoryType, Module};

use super::memory::{FULL_MEMORY_BYTES, HEAP_MAX_BYTES, SlotMemories};

/// One slot's address range, seen as a linear memory of fixed size.
pub(super) struct SlotMemory {
    base: NonNull<u8>,
}

impl SlotMemory {
    pub(super) fn new(base: NonNull<u8>) -> Self {
        Self { base }
    }
}

// SAFETY: the pointer is only handed to Wasmtime, which uses it from the thread that runs the
// store; the range it names has no thread affinity.
unsafe impl Send for SlotMemory {}
// SAFETY: as above; a shared reference gives nothing but the address.
unsafe impl Sync for SlotMemory {}

// SAFETY: the slot reserves FULL_MEMORY_BYTES and the guard behind them, never moves, and outlives
// the instance: it lies in the store's data. Pages that are not accessible trap when Wasm touches
// them; host code inside Wasmtime never meets one, as the rewrite checks ranges before it.
unsafe impl LinearMemory for SlotMemory {
    fn byte_size(&self) -> usize {
        FULL_MEMORY_BYTES
    }
    fn byte_capacity(&self) -> usize {
        FULL_MEMORY_BYTES
    }
    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        Err(wasmtime::format_err!(
            "expected a memory of fixed size: growth goes through the slot; asked for {new_size} bytes"
        ))
    }
    fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }
}

/// The heap of Wasmtime's own, where exceptions lie while they are thrown. It grows from nothing and
/// never shrinks; a Faaslet whose heap has grown past [`super::HEAP_KEPT_BYTES`] is not kept.
#[derive(Default)]
pub(super) struct Heap {
    /// Atomic, as compiled code writes through the address while this is shared.
    words: Vec<AtomicU64>,
}

const WORD_BYTES: usize = size_of::<AtomicU64>();

// SAFETY: the vector owns the bytes it names, has no more and no fewer, and gives them another
// address only in `grow_to`, as a memory that may move may.
unsafe impl LinearMemory for Heap {
    fn byte_size(&self) -> usize {
        self.words.len() * WORD_BYTES
    }
    fn byte_capacity(&self) -> usize {
        self.byte_size()
    }
    fn grow_to(&mut self, new_size: usize) -> wasmtime::Result<()> {
        if new_size > HEAP_MAX_BYTES {
            return Err(wasmtime::format_err!(
                "expected at most {HEAP_MAX_BYTES} bytes of exceptions thrown in one call; asked \
                 for {new_size}"
            ));
        }
        self.words.resize_with(new_size.div_ceil(WORD_BYTES), AtomicU64::default);
        Ok(())
    }
    fn as_ptr(&self) -> *mut u8 {
        self.words.as_ptr().cast_mut().cast()
    }
}

// SAFETY: the memory returned has the reservation and guard of the engine's configuration, which
// is written from the same constants as the slot's layout.
unsafe impl MemoryCreator for SlotMemories {
    fn new_memory(
        &self,
        ty: MemoryType,
        _minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        _guard_size_in_bytes: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        Self::take(&ty, reserved)
    }
}

/// Loads compiled code from `file`, which holds what a builder of ours compiled: the monitor's
/// store checked its hash before it handed the descriptor out.
pub(super) fn load(engine: &Engine, file: File) -> wasmtime::Result<Module> {
    // SAFETY: artefacts come from our own builder alone and are checked by hash; a tenant can
    // name a module, never an artefact.
    unsafe { Module::deserialize_open_file(engine, file) }
}

/// As [`load`], from the bytes that this very process has just compiled.
pub(super) fn load_bytes(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Module> {
    // SAFETY: the only caller compiled them itself.
    unsafe { Module::deserialize(engine, bytes) }
}
