//! A stand-in for state: one host, which owns every value. What is pushed is a version; nothing
//! newer ever comes from elsewhere, so a pull changes nothing. Locks are granted unless this test
//! holds them already.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::rc::Rc;
use std::slice;

use faaslet_abi::Status;
use faaslet_abi::state::{Lock, MapMode, Spec, Stat, Version};

use super::super::element::Mapping;
use super::with;
use crate::state::Element;

/// Largest value of a test.
const MAX_QUOTA_BYTES: u64 = 1 << 32;
/// Alignment of a value, as a mapping has it.
const ALIGN: usize = 4096;
/// Longest key, as the host has it.
const MAX_KEY_BYTES: usize = 512;

/// Bytes that stay where they are.
#[derive(Debug)]
struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    fn new(bytes: usize) -> Result<Self, Status> {
        let layout = Layout::from_size_align(bytes.max(1), ALIGN).map_err(|_| Status::TooLarge)?;
        // SAFETY: the layout has at least one byte.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Ok(Self { start, layout })
    }

    fn bytes(&self, len: usize) -> &[u8] {
        // SAFETY: `len` is at most the quota that the layout was made for, and the bytes were
        // zeroed. Tests run on one thread, and nothing stores through a mapping meanwhile.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), len.min(self.layout.size())) }
    }

    fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        // SAFETY: as for `bytes`; access through mappings is by pointer, and never meanwhile.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), len.min(self.layout.size())) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

struct Value {
    spec: Spec,
    local: Memory,
    len: usize,
    /// What was pushed, oldest first; the last is the owner's.
    versions: Vec<(Version, Vec<u8>)>,
    locks: Vec<Lock>,
}

type Shared = Rc<RefCell<Value>>;

/// All values of a test, and what is open.
#[derive(Default)]
pub(crate) struct Values {
    by_key: BTreeMap<String, Shared>,
    open: BTreeMap<i32, Shared>,
    next: i32,
    clock: u64,
    /// Values that are deleted or copied, for whose mappings the memory must stay.
    kept: Vec<Shared>,
}

impl Values {
    fn handle(&mut self, value: Shared) -> i32 {
        self.next += 1;
        self.open.insert(self.next, value);
        self.next
    }

    fn tick(&mut self) -> Version {
        self.clock += 1;
        Version { epoch: 1, n: self.clock }
    }
}

fn values<T>(use_them: impl FnOnce(&mut Values) -> Result<T, Status>) -> Result<T, Status> {
    with(|call| {
        if call.identity.attempt == 0 {
            return Err(Status::Denied);
        }
        use_them(&mut call.world.borrow_mut().state)
    })
}

fn value<T>(
    handle: i32,
    use_it: impl FnOnce(&mut Value) -> Result<T, Status>,
) -> Result<T, Status> {
    let value = values(|all| all.open.get(&handle).cloned().ok_or(Status::BadHandle))?;
    let mut value = value.borrow_mut();
    use_it(&mut value)
}

impl Value {
    fn new(spec: Spec, version: Version) -> Result<Self, Status> {
        let valid = spec.quota_bytes > 0 && spec.element <= 10 && spec.rule <= 6;
        if !valid || (spec.rule >= 4 && spec.element >= 9) {
            return Err(Status::Invalid);
        }
        if spec.quota_bytes > MAX_QUOTA_BYTES {
            return Err(Status::TooLarge);
        }
        let local = Memory::new(spec.quota_bytes as usize)?;
        Ok(Self { spec, local, len: 0, versions: vec![(version, Vec::new())], locks: Vec::new() })
    }

    /// The end of a range, within the quota.
    fn end(&self, offset: u64, len: usize) -> Result<usize, Status> {
        let end = offset.checked_add(len as u64).filter(|end| *end <= self.spec.quota_bytes);
        end.map(|end| end as usize).ok_or(Status::TooLarge)
    }

    fn newest(&self) -> Version {
        self.versions.last().map_or(Version::default(), |(version, _)| *version)
    }

    fn resize(&mut self, len: usize) {
        let (from, to) = (self.len.min(len), self.len.max(len));
        self.local.bytes_mut(to)[from..].fill(0);
        self.len = len;
    }

    fn push(&mut self, version: Version) -> Version {
        let bytes = self.local.bytes(self.len).to_vec();
        self.versions.push((version, bytes));
        version
    }

    fn revert(&mut self) {
        let Some((_, bytes)) = self.versions.last().cloned() else { return };
        self.resize(bytes.len());
        self.local.bytes_mut(bytes.len()).copy_from_slice(&bytes);
    }
}

pub(crate) fn open(key: &str, spec: Option<&Spec>) -> Result<i32, Status> {
    if key.is_empty() || key.chars().any(char::is_control) {
        return Err(Status::Invalid);
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(Status::TooLarge);
    }
    values(|all| {
        let value = match (all.by_key.get(key), spec) {
            (Some(value), None) => Rc::clone(value),
            (Some(value), Some(spec)) => {
                let made = value.borrow().spec;
                if (made.element, made.rule, made.quota_bytes)
                    != (spec.element, spec.rule, spec.quota_bytes)
                {
                    return Err(Status::Changed);
                }
                Rc::clone(value)
            }
            (None, None) => return Err(Status::NotFound),
            (None, Some(spec)) => {
                let value = Rc::new(RefCell::new(Value::new(*spec, all.tick())?));
                all.by_key.insert(key.to_owned(), Rc::clone(&value));
                value
            }
        };
        Ok(all.handle(value))
    })
}

pub(crate) fn close(handle: i32) {
    let _ = values(|all| {
        let closed = all.open.remove(&handle);
        all.kept.extend(closed);
        Ok(())
    });
}

pub(crate) fn stat(handle: i32) -> Result<Stat, Status> {
    value(handle, |value| {
        Ok(Stat { len: value.len as u64, version: value.newest(), spec: value.spec })
    })
}

pub(crate) fn read(handle: i32, offset: u64, out: &mut [u8]) -> Result<usize, Status> {
    value(handle, |value| {
        let rest =
            usize::try_from(offset).ok().and_then(|at| value.local.bytes(value.len).get(at..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    })
}

pub(crate) fn write(handle: i32, offset: u64, bytes: &[u8]) -> Result<(), Status> {
    value(handle, |value| {
        let end = value.end(offset, bytes.len())?;
        value.len = value.len.max(end);
        value.local.bytes_mut(end)[offset as usize..].copy_from_slice(bytes);
        Ok(())
    })
}

pub(crate) fn merge(handle: i32, offset: u64, bytes: &[u8]) -> Result<(), Status> {
    value(handle, |value| {
        let end = value.end(offset, bytes.len())?;
        value.len = value.len.max(end);
        let Spec { element, rule, .. } = value.spec;
        let into = &mut value.local.bytes_mut(end)[offset as usize..];
        merge_elements(if element == 0 { 4 } else { element }, rule, into, bytes)
    })
}

/// Merges elements by a rule.
fn merge_elements(element: u8, rule: u8, into: &mut [u8], bytes: &[u8]) -> Result<(), Status> {
    match element {
        1 => merge_as::<u8>(rule, into, bytes),
        2 => merge_as::<u16>(rule, into, bytes),
        3 => merge_as::<u32>(rule, into, bytes),
        4 => merge_as::<u64>(rule, into, bytes),
        5 => merge_as::<i8>(rule, into, bytes),
        6 => merge_as::<i16>(rule, into, bytes),
        7 => merge_as::<i32>(rule, into, bytes),
        8 => merge_as::<i64>(rule, into, bytes),
        9 => merge_as::<f32>(rule, into, bytes),
        10 => merge_as::<f64>(rule, into, bytes),
        _ => Err(Status::Invalid),
    }
}

fn merge_as<T: Element>(rule: u8, into: &mut [u8], bytes: &[u8]) -> Result<(), Status> {
    let width = size_of::<T>();
    if !bytes.len().is_multiple_of(width) {
        return Err(Status::Invalid);
    }
    for (old, new) in into.chunks_exact_mut(width).zip(bytes.chunks_exact(width)) {
        let merged = T::from_bytes(old).merge(T::from_bytes(new), rule);
        let mut encoded = Vec::with_capacity(width);
        merged.to_bytes(&mut encoded);
        old.copy_from_slice(&encoded);
    }
    Ok(())
}

pub(crate) fn map<T: Element>(
    handle: i32,
    offset: u64,
    len: usize,
    mode: MapMode,
) -> Result<Mapping<T>, Status> {
    let bytes = len.checked_mul(size_of::<T>()).ok_or(Status::TooLarge)?;
    let value = values(|all| all.open.get(&handle).cloned().ok_or(Status::BadHandle))?;
    let mut held = value.borrow_mut();
    let end = held.end(offset, bytes)?;
    held.len = held.len.max(end);
    let mapped = match mode {
        MapMode::Write => held.local.start,
        MapMode::Read => {
            // A private copy: a value of its own that nobody finds.
            let mut copy = Value::new(held.spec, Version::default())?;
            copy.local.bytes_mut(end).copy_from_slice(held.local.bytes(end));
            let start = copy.local.start;
            values(|all| {
                all.kept.push(Rc::new(RefCell::new(copy)));
                Ok(())
            })?;
            start
        }
    };
    drop(held);
    values(|all| {
        all.kept.push(value);
        Ok(())
    })?;
    // SAFETY: the range is within the quota, by `end`.
    let start = unsafe { mapped.add(offset as usize) };
    // SAFETY: the memory is kept until the test ends.
    unsafe { Mapping::new(start, len) }.ok_or(Status::Invalid)
}

pub(crate) fn unmap(_start: NonNull<u8>) {}

pub(crate) fn pull(handle: i32, _offset: u64, _len: Option<u64>) -> Result<(), Status> {
    value(handle, |_| Ok(()))
}

pub(crate) fn push(
    handle: i32,
    _offset: u64,
    _len: Option<u64>,
    expected: Option<Version>,
) -> Result<Version, Status> {
    let next = values(|all| Ok(all.tick()))?;
    value(handle, |value| match expected {
        Some(expected) if expected != value.newest() => Err(Status::Conflict),
        _ => Ok(value.push(next)),
    })
}

pub(crate) fn resize(handle: i32, len: u64) -> Result<(), Status> {
    let next = values(|all| Ok(all.tick()))?;
    value(handle, |value| {
        let len = value.end(len, 0)?;
        value.resize(len);
        value.push(next);
        Ok(())
    })
}

pub(crate) fn grow(handle: i32, len: u64) -> Result<(), Status> {
    let here = value(handle, |value| Ok(value.len as u64))?;
    if len > here { resize(handle, len) } else { Ok(()) }
}

pub(crate) fn append(handle: i32, bytes: &[u8]) -> Result<u64, Status> {
    let next = values(|all| Ok(all.tick()))?;
    value(handle, |value| {
        let at = value.len;
        let end = value.end(at as u64, bytes.len())?;
        value.resize(end);
        value.local.bytes_mut(end)[at..].copy_from_slice(bytes);
        value.push(next);
        Ok(at as u64)
    })
}

pub(crate) fn lock(handle: i32, kind: Lock, _timeout_ms: i64) -> Result<bool, Status> {
    value(handle, |value| {
        if !value.locks.is_empty() {
            return Err(Status::Invalid);
        }
        value.locks.push(kind);
        Ok(false)
    })
}

pub(crate) fn unlock(handle: i32, kind: Lock) -> Result<(), Status> {
    value(handle, |value| {
        let held = value.locks.iter().position(|held| *held == kind).ok_or(Status::LockLost)?;
        value.locks.remove(held);
        if kind == Lock::GlobalWrite {
            value.revert();
        }
        Ok(())
    })
}

pub(crate) fn delete(key: &str) -> Result<(), Status> {
    values(|all| {
        let gone = all.by_key.remove(key).ok_or(Status::NotFound)?;
        all.kept.push(gone);
        Ok(())
    })
}

pub(crate) fn list(prefix: &str, after: &str) -> Result<Vec<u8>, Status> {
    values(|all| {
        let mut names = Vec::new();
        for key in all.by_key.keys().filter(|key| key.starts_with(prefix) && key.as_str() > after) {
            names.extend_from_slice(&(key.len() as u16).to_le_bytes());
            names.extend_from_slice(key.as_bytes());
        }
        Ok(names)
    })
}

pub(crate) fn open_version(handle: i32, version: Version) -> Result<i32, Status> {
    let copy = value(handle, |value| {
        let newest = version == Version::default();
        let found = value.versions.iter().rev().find(|(at, _)| newest || *at == version);
        let (at, bytes) = found.ok_or(Status::Collected)?;
        let mut copy = Value::new(value.spec, *at)?;
        copy.resize(bytes.len());
        copy.local.bytes_mut(bytes.len()).copy_from_slice(bytes);
        copy.versions = vec![(*at, bytes.clone())];
        Ok(copy)
    })?;
    values(|all| Ok(all.handle(Rc::new(RefCell::new(copy)))))
}

pub(crate) fn versions(handle: i32) -> Result<Vec<Version>, Status> {
    value(handle, |value| Ok(value.versions.iter().map(|(version, _)| *version).collect()))
}

pub(crate) fn wait(_word: NonNull<u8>, _expected: u32, _timeout_ms: i64) -> Result<bool, Status> {
    Err(Status::TimedOut)
}

#[allow(clippy::unnecessary_wraps, reason = "the host refuses an address outside of mappings")]
pub(crate) fn notify(_word: NonNull<u8>, _count: u32) -> Result<u32, Status> {
    Ok(0)
}

pub(crate) fn error() -> String {
    String::new()
}
