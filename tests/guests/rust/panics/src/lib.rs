//! Panics, three functions deep. The message goes to standard error, then the call traps, with a
//! backtrace that names `panics::bottom` and its line.

#[inline(never)]
fn bottom(numbers: &[u32], index: usize) -> u32 {
    numbers[index]
}

#[inline(never)]
fn middle(index: usize) -> u32 {
    bottom(&[1, 2, 3], index) + 1
}

/// Runs one call.
#[unsafe(no_mangle)]
pub extern "C" fn faaslet_main() -> i32 {
    let index = std::env::args().count() + 3;
    middle(index).cast_signed()
}
