//! A value that is open: what all types over it share.

use faaslet_abi::Status;
use faaslet_abi::state::{Lock, MapMode, Spec, Stat, Version};

use super::{Element, Guard, Mapped, StateError, sys};

/// An open value; closed when it is dropped.
#[derive(Debug)]
pub(super) struct Value {
    key: String,
    handle: i32,
}

impl Value {
    pub(super) fn open(key: &str, spec: Option<&Spec>) -> Result<Self, StateError> {
        let handle = sys::open(key, spec).map_err(|status| StateError::new(key, status))?;
        Ok(Self { key: key.to_owned(), handle })
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn refused(&self, status: Status) -> StateError {
        StateError::new(&self.key, status)
    }

    pub(super) fn stat(&self) -> Result<Stat, StateError> {
        sys::stat(self.handle).map_err(|status| self.refused(status))
    }

    /// Makes the value at least `len` bytes long; it may be longer at its owner, and stays so. Whoever
    /// holds the global write lock may be the one who makes it so: it is waited for.
    pub(super) fn grow(&self, len: u64) -> Result<(), StateError> {
        match self.grow_now(len) {
            Err(error) if error.status() == Status::Locked => {
                let guard = self.lock(Lock::GlobalWrite, -1)?;
                self.grow_now(len)?;
                guard.unlock()
            }
            done => done,
        }
    }

    fn grow_now(&self, len: u64) -> Result<(), StateError> {
        sys::grow(self.handle, len).map_err(|status| self.refused(status))
    }

    pub(super) fn resize(&self, len: u64) -> Result<(), StateError> {
        sys::resize(self.handle, len).map_err(|status| self.refused(status))
    }

    /// Fills `out` from `offset` on; returns how many bytes there were.
    pub(super) fn read(&self, offset: u64, out: &mut [u8]) -> Result<usize, StateError> {
        let mut done = 0;
        while done < out.len() {
            let read = sys::read(self.handle, offset + done as u64, &mut out[done..])
                .map_err(|status| self.refused(status))?;
            if read == 0 {
                break;
            }
            done += read;
        }
        Ok(done)
    }

    /// All its bytes from `offset` on.
    pub(super) fn read_from(&self, offset: u64) -> Result<Vec<u8>, StateError> {
        let len = self.stat()?.len.saturating_sub(offset);
        let len = usize::try_from(len).map_err(|_| self.refused(Status::TooLarge))?;
        let mut bytes = vec![0; len];
        let read = self.read(offset, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), StateError> {
        sys::write(self.handle, offset, bytes).map_err(|status| self.refused(status))
    }

    pub(super) fn merge(&self, offset: u64, bytes: &[u8]) -> Result<(), StateError> {
        sys::merge(self.handle, offset, bytes).map_err(|status| self.refused(status))
    }

    pub(super) fn map<T: Element>(
        &self,
        offset: u64,
        len: usize,
        mode: MapMode,
    ) -> Result<Mapped<T>, StateError> {
        sys::map(self.handle, offset, len, mode)
            .map(Mapped::of)
            .map_err(|status| self.refused(status))
    }

    pub(super) fn pull(&self, offset: u64, len: Option<u64>) -> Result<(), StateError> {
        sys::pull(self.handle, offset, len).map_err(|status| self.refused(status))
    }

    pub(super) fn push(
        &self,
        offset: u64,
        len: Option<u64>,
        expected: Option<Version>,
    ) -> Result<Version, StateError> {
        sys::push(self.handle, offset, len, expected).map_err(|status| self.refused(status))
    }

    pub(super) fn append(&self, bytes: &[u8]) -> Result<u64, StateError> {
        sys::append(self.handle, bytes).map_err(|status| self.refused(status))
    }

    pub(super) fn lock(&self, kind: Lock, timeout_ms: i64) -> Result<Guard<'_>, StateError> {
        let abandoned =
            sys::lock(self.handle, kind, timeout_ms).map_err(|status| self.refused(status))?;
        Ok(Guard::of(self, kind, abandoned))
    }

    pub(super) fn unlock(&self, kind: Lock) -> Result<(), StateError> {
        sys::unlock(self.handle, kind).map_err(|status| self.refused(status))
    }

    pub(super) fn at_version(&self, version: Version) -> Result<Self, StateError> {
        let handle =
            sys::open_version(self.handle, version).map_err(|status| self.refused(status))?;
        Ok(Self { key: self.key.clone(), handle })
    }

    pub(super) fn versions(&self) -> Result<Vec<Version>, StateError> {
        sys::versions(self.handle).map_err(|status| self.refused(status))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        sys::close(self.handle);
    }
}
