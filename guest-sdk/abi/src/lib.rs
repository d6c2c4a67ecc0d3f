//! The contract between a guest module and the host, used by both so that they cannot differ.
//!
//! What it is: import names, status codes and `repr(C)` layouts. What it is not: any code that
//! calls or serves them (that is the SDK on one side, the cell's host interface on the other).
//!
//! All pointers and lengths are 32-bit guest addresses and byte counts. A host call returns a
//! value `>= 0` on success and a negative [`Status`] otherwise; no host call traps for a bad
//! argument.
#![no_std]

pub mod carrier;
pub mod state;

/// Version of this contract. It is part of [`IMPORT_MODULE`].
pub const ABI_VERSION: u32 = 1;

/// Import module that every host call is imported from.
pub const IMPORT_MODULE: &str = "faaslet_v1";

/// What the import module's name starts with, whatever the version.
pub const IMPORT_MODULE_PREFIX: &str = "faaslet_v";

/// Names of the host calls, with their signatures as a guest sees them.
pub mod import {
    /// `() -> i32`: length of the input, in bytes.
    pub const INPUT_LEN: &str = "input_len";
    /// `(offset: i32, ptr: i32, len: i32) -> i32`: copies input bytes, returns how many.
    pub const INPUT_READ: &str = "input_read";
    /// `(ptr: i32, len: i32) -> i32`: appends to the output.
    pub const OUTPUT_APPEND: &str = "output_append";
    /// `(ptr: i32, len: i32) -> i32`: replaces the output.
    pub const OUTPUT_SET: &str = "output_set";
    /// `(ptr: i32, len: i32) -> i32`: the message of this call's failure; used when the entry
    /// returns a value other than 0.
    pub const ERROR_SET: &str = "error_set";
    /// `(name: i32, name_len: i32, input: i32, input_len: i32) -> i32`: calls another function
    /// of the tenant, returns a call handle.
    pub const CALL: &str = "call";
    /// `(name: i32, name_len: i32, input: i32, input_len: i32) -> i32`: calls the exported
    /// function `name`, type `() -> ()` or `() -> i32`, of this module in a fork of its own.
    pub const CALL_EXPORT: &str = "call_export";
    /// `(index: i32, input: i32, input_len: i32) -> i32`: as [`CALL_EXPORT`], the function given
    /// by its index in the module's first table (a C function pointer).
    pub const CALL_TABLE: &str = "call_table";
    /// `(handle: i32, timeout_ms: i64) -> i32`: waits for a call; [`crate::Outcome`] or a
    /// negative status. A negative timeout waits as long as this call's own deadline allows.
    pub const AWAIT: &str = "await";
    /// `(handle: i32) -> i32`: length of an awaited call's output, or of its error message.
    pub const RESULT_LEN: &str = "result_len";
    /// `(handle: i32, offset: i32, ptr: i32, len: i32) -> i32`: copies from that output or
    /// message, returns how many bytes.
    pub const RESULT_READ: &str = "result_read";
    /// `(handle: i32) -> i32`: forgets a call; one that is still running goes on.
    pub const RELEASE: &str = "release";
    /// `(ptr: i32) -> i32`: fills a [`crate::Identity`].
    pub const IDENTITY: &str = "identity";
    /// `(ptr: i32, len: i32) -> i32`: copies the tenant's name, returns its whole length.
    pub const TENANT: &str = "tenant";
    /// `(ptr: i32, len: i32) -> i32`: copies the function's name, returns its whole length.
    pub const FUNCTION: &str = "function";
    /// `(level: i32, ptr: i32, len: i32) -> i32`: one log line, see [`crate::Level`].
    pub const LOG: &str = "log";
    /// `() -> i32`: length of the HTTP request head behind this call; 0 when there is none.
    pub const REQUEST_LEN: &str = "request_len";
    /// `(offset: i32, ptr: i32, len: i32) -> i32`: copies from the request head, in HTTP/1.1
    /// syntax: `METHOD path?query\r\n`, then `name: value\r\n` for each header.
    pub const REQUEST_READ: &str = "request_read";
    /// `(status: i32) -> i32`: HTTP status of the response, 200 to 599.
    pub const RESPONSE_STATUS: &str = "response_status";
    /// `(name: i32, name_len: i32, value: i32, value_len: i32) -> i32`: adds a response header.
    pub const RESPONSE_HEADER: &str = "response_header";

    /// Every import name, for messages that suggest the nearest one.
    pub const ALL: &[&str] = &[
        INPUT_LEN,
        INPUT_READ,
        OUTPUT_APPEND,
        OUTPUT_SET,
        ERROR_SET,
        CALL,
        CALL_EXPORT,
        CALL_TABLE,
        AWAIT,
        RESULT_LEN,
        RESULT_READ,
        RELEASE,
        IDENTITY,
        TENANT,
        FUNCTION,
        LOG,
        REQUEST_LEN,
        REQUEST_READ,
        RESPONSE_STATUS,
        RESPONSE_HEADER,
    ];
}

/// Names that a module exports for the host.
pub mod export {
    /// `() -> i32` (0 is success) or `() -> ()`: runs one call.
    pub const MAIN: &str = "faaslet_main";
    /// `() -> ()`: runs once, at the bake, after the constructors.
    pub const INIT: &str = "faaslet_init";
    /// `() -> ()`: runs at the bake as a call of its own, before the image is taken.
    pub const WARM: &str = "faaslet_warm";
    /// `() -> i32` (0 is success): runs when an image is baked from another one, as a call of its
    /// own in a fork of that; its input is what the new one is to hold beside the old.
    pub const EXTEND: &str = "faaslet_extend";
    /// `() -> ()`: runs first in every fork.
    pub const AFTER_RESTORE: &str = "faaslet_after_restore";
    /// `() -> ()`: constructors of a WASI reactor.
    pub const INITIALIZE: &str = "_initialize";
    /// `() -> ()`: entry of a WASI command.
    pub const START: &str = "_start";
}

/// Why a host call was refused. The numbers are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Status {
    /// A pointer or range lies outside the guest's memory.
    Fault = -1,
    /// A value is not one that this call takes (a level, a status, a name that is not UTF-8).
    Invalid = -2,
    /// No call with this handle, or it was released.
    BadHandle = -3,
    /// Larger than the limit that the host sets.
    TooLarge = -4,
    /// No function of this name or index.
    NotFound = -5,
    /// Not allowed now, as chaining during initialisation.
    Denied = -6,
    /// The time given ran out.
    TimedOut = -7,
    /// Too many calls in flight from this call, or too many refused by the host.
    Busy = -8,
    /// The chain of calls is deeper than the host allows.
    TooDeep = -9,
    /// The call has not been awaited yet.
    Pending = -10,
    /// Another holds a global write lock on the value.
    Locked = -11,
    /// The lock was lost, or is not held: what was written under it is taken back.
    LockLost = -12,
    /// The value was kept in memory alone, and its owner has lost it.
    StateLost = -13,
    /// The value is not at the version expected.
    Conflict = -14,
    /// The value was made with another spec, or deleted and made anew since it was opened.
    Changed = -15,
    /// The version has been collected.
    Collected = -16,
    /// No room on this host: everything in its local tier is changed, mapped or locked.
    NoRoom = -17,
    /// The owner could not be reached, or could not store the change; it was not applied.
    Unavailable = -18,
    /// No answer came in time; the change may have been applied.
    Unknown = -19,
}

/// How a chained call ended, as `await` returns it. The numbers are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Outcome {
    /// It returned; the result is its output.
    Returned = 0,
    /// Its entry returned a failure; the result is its message.
    Failed = 1,
    /// It trapped; the result is the trap with its backtrace.
    Trapped = 2,
    /// Its deadline passed.
    TimedOut = 3,
    /// It was refused: no such function, no room, too deep.
    Refused = 4,
    /// Its cell died.
    Lost = 5,
}

/// Levels of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Level {
    /// Something failed.
    Error = 0,
    /// Something is wrong and was dealt with.
    Warn = 1,
    /// What a reader of the log wants to know.
    Info = 2,
    /// What a developer wants to know.
    Debug = 3,
}

/// Who this call is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Identity {
    /// Call id, unique over all hosts.
    pub call_id: [u8; 16],
    /// 1 for the first attempt.
    pub attempt: u32,
    /// How many calls lie between this one and the one from outside.
    pub depth: u32,
}

const _: () = assert!(core::mem::size_of::<Identity>() == 24);

macro_rules! from_i32 {
    ($name:ident: $($variant:ident)*) => {
        impl $name {
            /// The variant with this number, if there is one.
            #[must_use]
            pub const fn from_i32(number: i32) -> Option<Self> {
                $(if number == Self::$variant as i32 { return Some(Self::$variant); })*
                None
            }
        }
    };
}
from_i32!(Status: Fault Invalid BadHandle TooLarge NotFound Denied TimedOut Busy TooDeep Pending Locked LockLost
    StateLost Conflict Changed Collected NoRoom Unavailable Unknown);
from_i32!(Outcome: Returned Failed Trapped TimedOut Refused Lost);
from_i32!(Level: Error Warn Info Debug);
