//! Names and addresses that the rewritten module and the host share.

/// What every reserved export name starts with; a guest may export none of them.
pub const PREFIX: &str = "faaslet:";
/// Function `() -> ()`: writes the data segments, then runs the module's start function.
/// Called once, right after a fresh instantiation; never after a fork.
pub const BOOT: &str = "faaslet:boot";
/// The memory. Always there; a module without one gets one of zero pages.
pub const MEMORY: &str = "faaslet:memory";
/// Global, mutable `i64`: the virtual size of the memory in bytes, a multiple of
/// [`PAGE_BYTES`] and at most [`WINDOW_BASE`]. The host's grow function updates it.
pub const SIZE: &str = "faaslet:size";
/// Global, mutable `i64`: the address where the used part of the state window ends, which
/// begins at [`WINDOW_BASE`]; 0 when nothing is mapped there.
pub const WINDOW: &str = "faaslet:window";
/// Table of one `funcref`, there when [`crate::MemoryPlan::grows`]: the host sets element 0 to
/// its grow function `(pages: i32) -> i32`, which returns the old size in pages or -1.
pub const CALLS: &str = "faaslet:calls";

/// Size of a page of linear memory.
pub const PAGE_BYTES: u64 = 65536;
/// Where the state window begins and the heap must end.
pub const WINDOW_BASE: u64 = 3 << 30;
/// The most pages that a heap can have.
pub const HEAP_MAX_PAGES: u32 = (WINDOW_BASE / PAGE_BYTES) as u32;

/// Export name of the mutable global `index`.
pub fn global(index: u32) -> String {
    format!("{PREFIX}g:{index}")
}

/// Export name of the table `index`.
pub fn table(index: u32) -> String {
    format!("{PREFIX}t:{index}")
}

/// Export name of the function `index`.
pub fn function(index: u32) -> String {
    format!("{PREFIX}f:{index}")
}
