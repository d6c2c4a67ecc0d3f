//! The host calls of a WebAssembly module.

use faaslet_abi::{Identity, Level, Outcome, Status};

use crate::entry::Entry;

pub(crate) mod state;

/// Names of tenants and functions are no longer than this as a rule; longer ones take two calls.
const NAME_GUESS_BYTES: usize = 128;

mod raw {
    #[link(wasm_import_module = "faaslet_v1")]
    unsafe extern "C" {
        pub(super) fn input_len() -> i32;
        pub(super) fn input_read(offset: u32, ptr: *mut u8, len: usize) -> i32;
        pub(super) fn output_set(ptr: *const u8, len: usize) -> i32;
        pub(super) fn error_set(ptr: *const u8, len: usize) -> i32;
        pub(super) fn call(name: *const u8, name_len: usize, ptr: *const u8, len: usize) -> i32;
        pub(super) fn call_export(
            name: *const u8,
            name_len: usize,
            ptr: *const u8,
            len: usize,
        ) -> i32;
        pub(super) fn call_table(index: u32, ptr: *const u8, len: usize) -> i32;
        #[link_name = "await"]
        pub(super) fn await_call(handle: i32, timeout_ms: i64) -> i32;
        pub(super) fn result_len(handle: i32) -> i32;
        pub(super) fn result_read(handle: i32, offset: u32, ptr: *mut u8, len: usize) -> i32;
        pub(super) fn release(handle: i32) -> i32;
        pub(super) fn identity(ptr: *mut faaslet_abi::Identity) -> i32;
        pub(super) fn tenant(ptr: *mut u8, len: usize) -> i32;
        pub(super) fn function(ptr: *mut u8, len: usize) -> i32;
        pub(super) fn log(level: i32, ptr: *const u8, len: usize) -> i32;
        pub(super) fn request_len() -> i32;
        pub(super) fn request_read(offset: u32, ptr: *mut u8, len: usize) -> i32;
        pub(super) fn response_status(status: i32) -> i32;
        pub(super) fn response_header(
            name: *const u8,
            name_len: usize,
            value: *const u8,
            value_len: usize,
        ) -> i32;
    }

    unsafe extern "C" {
        /// Made by the linker. A module that calls it does so once; in one that does not, the
        /// linker puts a call of it around every export.
        pub(super) fn __wasm_call_ctors();
    }
}

fn checked(code: i32) -> Result<u32, Status> {
    u32::try_from(code).map_err(|_| Status::from_i32(code).unwrap_or(Status::Invalid))
}

/// Fills a vector of `length` bytes by a host call that copies up to so many bytes to a pointer
/// and returns how many it copied.
fn read_all(length: i32, read: impl FnOnce(*mut u8, usize) -> i32) -> Result<Vec<u8>, Status> {
    let length = checked(length)? as usize;
    let mut bytes = Vec::with_capacity(length);
    let copied = checked(read(bytes.as_mut_ptr(), length))? as usize;
    // SAFETY: the host wrote the first `copied` bytes, and no more than the `length` that the
    // vector has room for.
    unsafe { bytes.set_len(copied.min(length)) };
    Ok(bytes)
}

pub(crate) fn call_constructors() {
    // SAFETY: it is called once, first, before anything that a constructor prepares.
    unsafe { raw::__wasm_call_ctors() }
}

pub(crate) fn input() -> Vec<u8> {
    // SAFETY: it takes nothing and writes nothing.
    let length = unsafe { raw::input_len() };
    // SAFETY: the vector behind the pointer has room for `len` bytes.
    read_all(length, |ptr, len| unsafe { raw::input_read(0, ptr, len) }).unwrap_or_default()
}

pub(crate) fn set_output(bytes: &[u8]) -> Result<(), Status> {
    // SAFETY: the pointer and the length are those of `bytes`.
    checked(unsafe { raw::output_set(bytes.as_ptr(), bytes.len()) }).map(drop)
}

pub(crate) fn set_error(message: &str) {
    // SAFETY: the pointer and the length are those of `message`.
    unsafe { raw::error_set(message.as_ptr(), message.len()) };
}

pub(crate) fn call(name: &str, input: &[u8]) -> Result<i32, Status> {
    // SAFETY: the pointers and lengths are those of `name` and `input`.
    let code = unsafe { raw::call(name.as_ptr(), name.len(), input.as_ptr(), input.len()) };
    checked(code).map(u32::cast_signed)
}

pub(crate) fn call_export(name: &str, input: &[u8]) -> Result<i32, Status> {
    // SAFETY: the pointers and lengths are those of `name` and `input`.
    let code = unsafe { raw::call_export(name.as_ptr(), name.len(), input.as_ptr(), input.len()) };
    checked(code).map(u32::cast_signed)
}

pub(crate) fn call_entry(entry: Entry, input: &[u8]) -> Result<i32, Status> {
    // In WebAssembly a pointer to a function is its index in the module's table.
    let index = entry as usize as u32;
    // SAFETY: the pointer and the length are those of `input`.
    checked(unsafe { raw::call_table(index, input.as_ptr(), input.len()) }).map(u32::cast_signed)
}

pub(crate) fn wait(handle: i32, timeout_ms: i64) -> Result<Outcome, Status> {
    // SAFETY: it takes no pointer.
    let code = checked(unsafe { raw::await_call(handle, timeout_ms) })?;
    Outcome::from_i32(code.cast_signed()).ok_or(Status::Invalid)
}

pub(crate) fn result(handle: i32) -> Result<Vec<u8>, Status> {
    // SAFETY: it takes no pointer.
    let length = unsafe { raw::result_len(handle) };
    // SAFETY: the vector behind the pointer has room for `len` bytes.
    read_all(length, |ptr, len| unsafe { raw::result_read(handle, 0, ptr, len) })
}

pub(crate) fn release(handle: i32) {
    // SAFETY: it takes no pointer.
    unsafe { raw::release(handle) };
}

pub(crate) fn identity() -> Identity {
    let mut identity = Identity::default();
    // SAFETY: the pointer is that of an identity in the layout that both sides share.
    unsafe { raw::identity(&raw mut identity) };
    identity
}

pub(crate) fn tenant() -> String {
    // SAFETY: `name` gives a pointer with room for `len` bytes.
    name(|ptr, len| unsafe { raw::tenant(ptr, len) })
}

pub(crate) fn function() -> String {
    // SAFETY: `name` gives a pointer with room for `len` bytes.
    name(|ptr, len| unsafe { raw::function(ptr, len) })
}

/// Reads a name by a host call that copies what fits and returns the whole length.
fn name(read: impl Fn(*mut u8, usize) -> i32) -> String {
    let mut bytes = vec![0; NAME_GUESS_BYTES];
    let length = checked(read(bytes.as_mut_ptr(), bytes.len())).unwrap_or(0) as usize;
    if length > bytes.len() {
        bytes.resize(length, 0);
        read(bytes.as_mut_ptr(), bytes.len());
    }
    bytes.truncate(length);
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(crate) fn log(level: Level, line: &str) {
    // SAFETY: the pointer and the length are those of `line`.
    unsafe { raw::log(level as i32, line.as_ptr(), line.len()) };
}

pub(crate) fn has_request() -> bool {
    // SAFETY: it takes nothing and writes nothing.
    unsafe { raw::request_len() > 0 }
}

pub(crate) fn request_head() -> Vec<u8> {
    // SAFETY: it takes nothing and writes nothing.
    let length = unsafe { raw::request_len() };
    // SAFETY: the vector behind the pointer has room for `len` bytes.
    read_all(length, |ptr, len| unsafe { raw::request_read(0, ptr, len) }).unwrap_or_default()
}

pub(crate) fn set_status(status: u16) -> Result<(), Status> {
    // SAFETY: it takes no pointer.
    checked(unsafe { raw::response_status(i32::from(status)) }).map(drop)
}

pub(crate) fn add_header(name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: the pointers and lengths are those of `name` and `value`.
    let code =
        unsafe { raw::response_header(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    checked(code).map(drop)
}
