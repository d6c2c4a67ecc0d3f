//! The host, in safe functions: the only place with unsafe code.
//!
//! Two backends with the same functions: the host calls themselves in a WebAssembly module, and a
//! stand-in for tests on the author's machine. What the calls mean is written in `faaslet-abi`.
#![allow(unsafe_code)]

#[cfg(not(target_family = "wasm"))]
pub(crate) mod native;
#[cfg(target_family = "wasm")]
mod wasm;

use std::mem::size_of;
use std::ptr::NonNull;

use faaslet_abi::Status;

use crate::codec::{Decode, Encode};
use crate::entry::{Entry, Output, answer};

#[cfg(not(target_family = "wasm"))]
pub(crate) use native::calls::*;
#[cfg(target_family = "wasm")]
pub(crate) use wasm::*;

/// What a status means, in words.
pub(crate) fn text(status: Status) -> &'static str {
    match status {
        Status::Fault => "a pointer lies outside the module's memory",
        Status::Invalid => "a value is not one that the host takes",
        Status::BadHandle => "no call has this handle",
        Status::TooLarge => "it is larger than the host's limit",
        Status::NotFound => "no function has this name",
        Status::Denied => "it is not allowed now, as calls are not during initialisation",
        Status::TimedOut => "the time ran out",
        Status::Busy => "too many calls are in flight: wait for some, or drop them",
        Status::TooDeep => "the chain of calls is deeper than the host allows",
        Status::Pending => "the call was not awaited yet",
        Status::Locked => "another holds a global write lock on the value",
        Status::LockLost => "the lock is not held: what was written under it is taken back",
        Status::Lost => "the value was kept in memory alone, and its owner has lost it",
        Status::Conflict => "the value is at another version: pull and try again",
        Status::Changed => "the value was made with another spec, or made anew since it was opened",
        Status::Collected => "the version has been collected",
        Status::NoRoom => "this host has no room for more state",
        Status::Unavailable => "the owner of the value cannot be reached, or cannot store it",
        Status::Unknown => "no answer came in time: the change may have been applied",
    }
}

/// An entry that decodes the input, calls `function` and answers what it returns.
///
/// The entry carries no data, so `function` must be one that is wholly described by its type: a
/// function itself (not a pointer to one) or a closure without captures. Others do not compile.
pub(crate) fn entry_of<F, I, T>(_function: F) -> Entry
where
    F: Fn(I) -> T + Copy + 'static,
    I: Decode,
    T: Encode,
{
    entry::<F, I, T>
}

extern "C-unwind" fn entry<F, I, T>() -> i32
where
    F: Fn(I) -> T + Copy + 'static,
    I: Decode,
    T: Encode,
{
    const {
        assert!(
            size_of::<F>() == 0,
            "expected a function or a closure that captures nothing: it runs in a fork of its own, \
             where it sees its input and the image, but no variable of its caller"
        );
    }
    // SAFETY: `F` has no bytes, so any aligned pointer is good to read it from. It is `Copy`, and
    // `entry_of`, the only way to here, was given one: this is another copy of that.
    let function = unsafe { NonNull::<F>::dangling().read() };
    answer(|| {
        let input = I::decode(input()).map_err(|error| format!("bad input: {error}"))?;
        function(input).give()
    })
}
