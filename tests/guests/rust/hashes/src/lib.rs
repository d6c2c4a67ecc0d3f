//! Answers two numbers in hex, the second of which shows what an author has to know.
//!
//! The first is drawn from the host in this call and differs from fork to fork. The second is the
//! hash of "key" under a `RandomState`, whose seed the standard library draws once for each thread:
//! here at initialisation, so it is part of the image and the same in every fork.

use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

#[link(wasm_import_module = "faaslet_v1")]
unsafe extern "C" {
    fn output_set(ptr: *const u8, len: usize) -> i32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(ptr: *mut u8, len: usize) -> i32;
}

static BAKED: OnceLock<RandomState> = OnceLock::new();

/// Runs once, at the bake.
#[unsafe(no_mangle)]
pub extern "C" fn faaslet_init() {
    BAKED.get_or_init(RandomState::new);
}

/// Runs one call.
#[unsafe(no_mangle)]
pub extern "C" fn faaslet_main() -> i32 {
    let mut drawn = [0_u8; 8];
    // SAFETY: the pointer and the length are those of `drawn`.
    let status = unsafe { random_get(drawn.as_mut_ptr(), drawn.len()) };
    let baked = BAKED.get_or_init(RandomState::new).hash_one("key");
    let text = format!("{:016x} {baked:016x}", u64::from_le_bytes(drawn));
    // SAFETY: the pointer and the length are those of `text`.
    status | unsafe { output_set(text.as_ptr(), text.len()) }
}
