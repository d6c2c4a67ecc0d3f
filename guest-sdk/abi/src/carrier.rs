//! The carrier: one import through which every host call can be made, by number.
//!
//! It is for guests that were linked without knowing this host, such as the Python runtime, whose
//! scripts name the call. The import is `host.call(frame: i32, len: i32, i32, i32) -> i32`; the last
//! two arguments are not used. The frame lies in guest memory, little-endian:
//!
//! ```text
//!  0  u32     number of the call, see [`number`]
//!  4  u32     bit n: argument n is an offset in this frame, not an address
//!  8  i32     the call's result, written by the host
//! 12  u32     zero
//! 16  6 x i64 arguments, in the order of the call's signature
//! 64          what the arguments point to, as the guest likes
//! ```
//!
//! It returns [`CARRIED`] when the result was written, [`REFUSED`] for what is no frame. Calls within
//! one module (`call_export`, `call_table`) are not carried: they answer
//! [`NotFound`](crate::Status::NotFound).

use crate::{import, state};

/// The import's module.
pub const MODULE: &str = "host";
/// The import's name.
pub const CALL: &str = "call";
/// Shortest frame.
pub const HEAD_BYTES: usize = ARGUMENTS_AT + MAX_ARGUMENTS * 8;
/// Arguments of a frame.
pub const MAX_ARGUMENTS: usize = 6;
/// Where they begin.
pub const ARGUMENTS_AT: usize = 16;
/// Where the result is.
pub const RESULT_AT: u32 = 8;
/// The call was made, the result is in the frame.
pub const CARRIED: i32 = 0;
/// The frame is too short, lies outside of memory, or names no call.
pub const REFUSED: i32 = -2;
/// Number of the first call of [`state::import::ALL`]; those of [`import::ALL`] begin at 0.
pub const STATE_NUMBERS: u32 = 256;

/// The call with this number.
#[must_use]
pub fn name(number: u32) -> Option<&'static str> {
    match number.checked_sub(STATE_NUMBERS) {
        None => import::ALL.get(number as usize).copied(),
        Some(number) => state::import::ALL.get(number as usize).copied(),
    }
}

const _: () = assert!(HEAD_BYTES == 64);
const _: () = assert!(import::ALL.len() < STATE_NUMBERS as usize);
