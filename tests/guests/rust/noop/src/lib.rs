//! The smallest Rust guest: a function that does nothing and succeeds.

/// Entry of one call: 0 is success.
#[unsafe(no_mangle)]
pub extern "C" fn faaslet_main() -> i32 {
    0
}
