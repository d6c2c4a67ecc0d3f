//! The host calls for state of a WebAssembly module.

use std::ptr::{NonNull, null};

use faaslet_abi::Status;
use faaslet_abi::state::{Lock, MapMode, Spec, Stat, Version};

use super::super::element::Mapping;
use super::checked;
use crate::state::Element;

/// Room for the names of one listing.
const LIST_BYTES: usize = 16 * 1024;
/// Longest text of an error that is read in one call.
const ERROR_GUESS_BYTES: usize = 256;

mod raw {
    use faaslet_abi::state::{Spec, Stat, Version};

    #[link(wasm_import_module = "faaslet_v1")]
    unsafe extern "C" {
        pub(super) fn state_open(key: *const u8, len: usize, spec: *const Spec) -> i32;
        pub(super) fn state_close(handle: i32) -> i32;
        pub(super) fn state_stat(handle: i32, out: *mut Stat) -> i32;
        pub(super) fn state_read(handle: i32, offset: i64, ptr: *mut u8, len: usize) -> i32;
        pub(super) fn state_write(handle: i32, offset: i64, ptr: *const u8, len: usize) -> i32;
        pub(super) fn state_merge(handle: i32, offset: i64, ptr: *const u8, len: usize) -> i32;
        pub(super) fn state_map(h: i32, offset: i64, len: u32, mode: i32, out: *mut u32) -> i32;
        pub(super) fn state_unmap(addr: *mut u8) -> i32;
        pub(super) fn state_pull(handle: i32, offset: i64, len: i64) -> i32;
        pub(super) fn state_push(
            handle: i32,
            offset: i64,
            len: i64,
            expected: *const Version,
            out: *mut Version,
        ) -> i32;
        pub(super) fn state_resize(handle: i32, len: i64) -> i32;
        pub(super) fn state_grow(handle: i32, len: i64) -> i32;
        pub(super) fn state_append(handle: i32, ptr: *const u8, len: usize, out: *mut u64) -> i32;
        pub(super) fn state_lock(handle: i32, kind: i32, timeout_ms: i64) -> i32;
        pub(super) fn state_unlock(handle: i32, kind: i32) -> i32;
        pub(super) fn state_delete(key: *const u8, len: usize) -> i32;
        pub(super) fn state_list(
            prefix: *const u8,
            prefix_len: usize,
            after: *const u8,
            after_len: usize,
            out: *mut u8,
            len: usize,
        ) -> i32;
        pub(super) fn state_open_version(handle: i32, version: *const Version) -> i32;
        pub(super) fn state_versions(handle: i32, out: *mut Version, len: usize) -> i32;
        pub(super) fn state_wait(addr: *mut u8, expected: u32, timeout_ms: i64) -> i32;
        pub(super) fn state_notify(addr: *mut u8, count: u32) -> i32;
        pub(super) fn state_error(ptr: *mut u8, len: usize) -> i32;
    }
}

fn handle_of(code: i32) -> Result<i32, Status> {
    checked(code).map(u32::cast_signed)
}

pub(crate) fn open(key: &str, spec: Option<&Spec>) -> Result<i32, Status> {
    let spec = spec.map_or(null(), std::ptr::from_ref);
    // SAFETY: pointer and length are those of `key`; `spec` is null or points to a spec.
    handle_of(unsafe { raw::state_open(key.as_ptr(), key.len(), spec) })
}

pub(crate) fn close(handle: i32) {
    // SAFETY: it takes no pointer.
    unsafe { raw::state_close(handle) };
}

pub(crate) fn stat(handle: i32) -> Result<Stat, Status> {
    let mut stat = Stat::default();
    // SAFETY: the pointer is that of a stat in the layout that both sides share.
    checked(unsafe { raw::state_stat(handle, &raw mut stat) })?;
    Ok(stat)
}

pub(crate) fn read(handle: i32, offset: u64, out: &mut [u8]) -> Result<usize, Status> {
    // SAFETY: pointer and length are those of `out`.
    let code =
        unsafe { raw::state_read(handle, offset.cast_signed(), out.as_mut_ptr(), out.len()) };
    checked(code).map(|read| read as usize)
}

pub(crate) fn write(handle: i32, offset: u64, bytes: &[u8]) -> Result<(), Status> {
    // SAFETY: pointer and length are those of `bytes`.
    let code =
        unsafe { raw::state_write(handle, offset.cast_signed(), bytes.as_ptr(), bytes.len()) };
    checked(code).map(drop)
}

pub(crate) fn merge(handle: i32, offset: u64, bytes: &[u8]) -> Result<(), Status> {
    // SAFETY: pointer and length are those of `bytes`.
    let code =
        unsafe { raw::state_merge(handle, offset.cast_signed(), bytes.as_ptr(), bytes.len()) };
    checked(code).map(drop)
}

pub(crate) fn map<T: Element>(
    handle: i32,
    offset: u64,
    len: usize,
    mode: MapMode,
) -> Result<Mapping<T>, Status> {
    let bytes = len.checked_mul(size_of::<T>()).and_then(|bytes| u32::try_from(bytes).ok());
    let bytes = bytes.ok_or(Status::TooLarge)?;
    let mut addr = 0_u32;
    // SAFETY: the address is written to `addr`.
    let code =
        unsafe { raw::state_map(handle, offset.cast_signed(), bytes, mode as i32, &raw mut addr) };
    checked(code)?;
    let start = NonNull::new(addr as *mut u8).ok_or(Status::Fault)?;
    // SAFETY: the host mapped `bytes` bytes there, until this module unmaps them, and gave the
    // address to nobody else.
    unsafe { Mapping::new(start, len) }.ok_or(Status::Invalid)
}

pub(crate) fn unmap(start: NonNull<u8>) {
    // SAFETY: the mapping that ends is the caller's own.
    unsafe { raw::state_unmap(start.as_ptr()) };
}

pub(crate) fn pull(handle: i32, offset: u64, len: Option<u64>) -> Result<(), Status> {
    // SAFETY: it takes no pointer.
    checked(unsafe { raw::state_pull(handle, offset.cast_signed(), signed(len)) }).map(drop)
}

pub(crate) fn push(
    handle: i32,
    offset: u64,
    len: Option<u64>,
    expected: Option<Version>,
) -> Result<Version, Status> {
    let mut version = Version::default();
    let expected = expected.as_ref().map_or(null(), std::ptr::from_ref);
    // SAFETY: `expected` is null or points to a version, the other pointer to room for one.
    let code = unsafe {
        raw::state_push(handle, offset.cast_signed(), signed(len), expected, &raw mut version)
    };
    checked(code)?;
    Ok(version)
}

fn signed(len: Option<u64>) -> i64 {
    len.map_or(-1, |len| i64::try_from(len).unwrap_or(i64::MAX))
}

pub(crate) fn resize(handle: i32, len: u64) -> Result<(), Status> {
    // SAFETY: it takes no pointer.
    checked(unsafe { raw::state_resize(handle, len.cast_signed()) }).map(drop)
}

pub(crate) fn grow(handle: i32, len: u64) -> Result<(), Status> {
    // SAFETY: it takes no pointer.
    checked(unsafe { raw::state_grow(handle, len.cast_signed()) }).map(drop)
}

pub(crate) fn append(handle: i32, bytes: &[u8]) -> Result<u64, Status> {
    let mut at = 0_u64;
    // SAFETY: pointer and length are those of `bytes`; the position is written to `at`.
    checked(unsafe { raw::state_append(handle, bytes.as_ptr(), bytes.len(), &raw mut at) })?;
    Ok(at)
}

pub(crate) fn lock(handle: i32, kind: Lock, timeout_ms: i64) -> Result<bool, Status> {
    // SAFETY: it takes no pointer.
    checked(unsafe { raw::state_lock(handle, kind as i32, timeout_ms) }).map(|code| code == 1)
}

pub(crate) fn unlock(handle: i32, kind: Lock) -> Result<(), Status> {
    // SAFETY: it takes no pointer.
    checked(unsafe { raw::state_unlock(handle, kind as i32) }).map(drop)
}

pub(crate) fn delete(key: &str) -> Result<(), Status> {
    // SAFETY: pointer and length are those of `key`.
    checked(unsafe { raw::state_delete(key.as_ptr(), key.len()) }).map(drop)
}

/// The keys after `after`, each with its length before it.
pub(crate) fn list(prefix: &str, after: &str) -> Result<Vec<u8>, Status> {
    let mut names = vec![0; LIST_BYTES];
    // SAFETY: the pointers and lengths are those of the texts and of `names`.
    let code = unsafe {
        raw::state_list(
            prefix.as_ptr(),
            prefix.len(),
            after.as_ptr(),
            after.len(),
            names.as_mut_ptr(),
            names.len(),
        )
    };
    names.truncate(checked(code)? as usize);
    Ok(names)
}

pub(crate) fn open_version(handle: i32, version: Version) -> Result<i32, Status> {
    // SAFETY: the pointer is that of a version.
    handle_of(unsafe { raw::state_open_version(handle, &raw const version) })
}

pub(crate) fn versions(handle: i32) -> Result<Vec<Version>, Status> {
    let mut versions = Vec::new();
    loop {
        let bytes = size_of_val(versions.as_slice());
        // SAFETY: pointer and length are those of `versions`.
        let code = unsafe { raw::state_versions(handle, versions.as_mut_ptr(), bytes) };
        let count = checked(code)? as usize;
        if count <= versions.len() {
            versions.truncate(count);
            return Ok(versions);
        }
        versions.resize(count, Version::default());
    }
}

pub(crate) fn wait(word: NonNull<u8>, expected: u32, timeout_ms: i64) -> Result<bool, Status> {
    // SAFETY: the host checks the address.
    let code = unsafe { raw::state_wait(word.as_ptr(), expected, timeout_ms) };
    checked(code).map(|code| code == 0)
}

pub(crate) fn notify(word: NonNull<u8>, count: u32) -> Result<u32, Status> {
    // SAFETY: the host checks the address.
    checked(unsafe { raw::state_notify(word.as_ptr(), count) })
}

/// What the last refused state call of this call was about.
pub(crate) fn error() -> String {
    let mut text = vec![0; ERROR_GUESS_BYTES];
    // SAFETY: pointer and length are those of `text`.
    let length = checked(unsafe { raw::state_error(text.as_mut_ptr(), text.len()) });
    let length = length.unwrap_or(0) as usize;
    if length > text.len() {
        text.resize(length, 0);
        // SAFETY: as above.
        unsafe { raw::state_error(text.as_mut_ptr(), text.len()) };
    }
    text.truncate(length);
    String::from_utf8_lossy(&text).into_owned()
}
