//! The one engine configuration. Builder and cells must agree on it to the letter: it is part of
//! what an artefact is keyed by.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, Engine, OptLevel, WasmBacktraceDetails};

use super::memory::SlotMemories;

/// Length of a time slice: the epoch advances once in this time while a worker runs something.
pub const EPOCH_TICK: Duration = Duration::from_millis(1);

/// Stack of one Faaslet: Wasm frames and the host functions that they call. Only what is touched
/// of it is memory.
pub const FIBER_STACK_BYTES: usize = WASM_STACK_BYTES + 256 * 1024;

/// The part of [`FIBER_STACK_BYTES`] that Wasm frames may use: as much as an interpreter needs to
/// find an endless recursion itself.
const WASM_STACK_BYTES: usize = 8 << 20;

/// Address space that a memory may index without a bounds check.
const RESERVATION_BYTES: u64 = 4 << 30;

/// Inaccessible bytes behind the reservation, for constant offsets.
const GUARD_BYTES: u64 = faaslet_snapshot::layout::GUARD.0;

/// The engine of a builder or cell.
///
/// # Errors
/// When this machine's processor lacks what Cranelift needs.
pub fn engine() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

fn config() -> Config {
    let mut config = Config::new();
    features(&mut config);
    memories(&mut config);
    config
        .cranelift_opt_level(OptLevel::Speed)
        .epoch_interruption(true)
        .async_stack_size(FIBER_STACK_BYTES)
        .max_wasm_stack(WASM_STACK_BYTES)
        .concurrency_support(false)
        // Frames are symbolised by us, against the module as its author built it.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .native_unwind_info(false);
    config
}

/// The proposals that the rewrite understands; it refuses modules that use others.
fn features(config: &mut Config) {
    config
        .wasm_threads(true)
        .wasm_tail_call(true)
        .wasm_relaxed_simd(true)
        .wasm_extended_const(true)
        .wasm_exceptions(true)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .shared_memory(false);
}

fn memories(config: &mut Config) {
    config
        .memory_reservation(RESERVATION_BYTES)
        .memory_guard_size(GUARD_BYTES)
        .memory_may_move(false)
        // The image is ours: data segments are passive when Wasmtime sees them.
        .memory_init_cow(false)
        .table_lazy_init(true)
        // See `Heap`: this size is what tells it from a slot.
        .gc_heap_reservation(0)
        .gc_heap_initial_size(0)
        .gc_heap_guard_size(0)
        .with_host_memory(Arc::new(SlotMemories));
}
