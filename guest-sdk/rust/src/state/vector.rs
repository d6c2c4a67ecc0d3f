//! Numbers of one type.

use std::marker::PhantomData;

use faaslet_abi::Status;
use faaslet_abi::state::{Lock, MapMode, Version};

use super::value::Value;
use super::{Element, Guard, Mapped, Options, StateError};

/// A value of `T`s.
#[derive(Debug)]
pub struct Vector<T> {
    value: Value,
    element: PhantomData<T>,
}

/// A version of a [`Vector`], which never changes while writers go on.
#[derive(Debug)]
pub struct Snapshot<T>(Vector<T>);

impl<T: Element> Vector<T> {
    /// Says what the value under `key` is like; [`Options::open`] opens it.
    pub fn named(key: impl Into<String>) -> Options<T> {
        Options::new(key)
    }

    /// Opens a value that must be there.
    ///
    /// # Errors
    /// [`Status::NotFound`], or [`Status::Changed`] when it is not one of `T`s.
    pub fn existing(key: &str) -> Result<Self, StateError> {
        let value = Value::open(key, None)?;
        if value.stat()?.spec.element != T::NUMBER {
            return Err(StateError::with(key, Status::Changed, "it has elements of another type"));
        }
        Ok(Self::of(value))
    }

    pub(super) fn of(value: Value) -> Self {
        Self { value, element: PhantomData }
    }

    pub(super) fn value(&self) -> &Value {
        &self.value
    }

    /// How many elements it has on this host.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn len(&self) -> Result<usize, StateError> {
        Ok((self.value.stat()?.len / size_of::<T>() as u64) as usize)
    }

    /// Whether it has none.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn is_empty(&self) -> Result<bool, StateError> {
        Ok(self.len()? == 0)
    }

    /// The newest version that this host has seen.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn version(&self) -> Result<Version, StateError> {
        Ok(self.value.stat()?.version)
    }

    /// Sets its length in elements; new ones are zeros.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn resize(&self, elements: usize) -> Result<(), StateError> {
        self.value.resize(byte::<T>(elements)?)
    }

    /// `count` elements from `at` on, fewer at the end; one step among reads and writes here.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn read(&self, at: usize, count: usize) -> Result<Vec<T>, StateError> {
        let count = count.min(self.len()?.saturating_sub(at));
        let mut bytes = vec![0; count * size_of::<T>()];
        let read = self.value.read(byte::<T>(at)?, &mut bytes)?;
        bytes.truncate(read);
        Ok(bytes.chunks_exact(size_of::<T>()).map(T::from_bytes).collect())
    }

    /// Stores elements from `at` on; one step among reads and writes here.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn write(&self, at: usize, elements: &[T]) -> Result<(), StateError> {
        self.value.write(byte::<T>(at)?, &encoded(elements))
    }

    /// Merges elements from `at` on by the value's rule, each in one step: with
    /// [`Rule::Sum`](super::Rule::Sum) they are added, and none is lost.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn merge(&self, at: usize, elements: &[T]) -> Result<(), StateError> {
        self.value.merge(byte::<T>(at)?, &encoded(elements))
    }

    /// Maps all of it, to load and store.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn map(&self) -> Result<Mapped<T>, StateError> {
        self.map_range(0, self.len()?)
    }

    /// Maps `count` elements from `at` on, to load and store.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn map_range(&self, at: usize, count: usize) -> Result<Mapped<T>, StateError> {
        self.value.map(byte::<T>(at)?, count, MapMode::Write)
    }

    /// Maps `count` elements from `at` on as a private copy: what is stored there is seen by this
    /// call alone.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn map_read(&self, at: usize, count: usize) -> Result<Mapped<T>, StateError> {
        self.value.map(byte::<T>(at)?, count, MapMode::Read)
    }

    /// Brings what is newer at the owner.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn pull(&self) -> Result<(), StateError> {
        self.value.pull(0, None)
    }

    /// Brings what is newer of `count` elements from `at` on.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn pull_range(&self, at: usize, count: usize) -> Result<(), StateError> {
        self.value.pull(byte::<T>(at)?, Some(byte::<T>(count)?))
    }

    /// Sends what changed on this host, whoever of its functions changed it.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn push(&self) -> Result<Version, StateError> {
        self.value.push(0, None, None)
    }

    /// Sends what changed in `count` elements from `at` on.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn push_range(&self, at: usize, count: usize) -> Result<Version, StateError> {
        self.value.push(byte::<T>(at)?, Some(byte::<T>(count)?), None)
    }

    /// Sends what changed if the owner's version is `expected`.
    ///
    /// # Errors
    /// [`Status::Conflict`] when it is another; see [`StateError`].
    pub fn push_if(&self, expected: Version) -> Result<Version, StateError> {
        self.value.push(0, None, Some(expected))
    }

    /// Takes a lock, waiting until the call's deadline.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn lock(&self, kind: Lock) -> Result<Guard<'_>, StateError> {
        self.value.lock(kind, -1)
    }

    /// Takes a lock, waiting so long.
    ///
    /// # Errors
    /// [`Status::TimedOut`], with the key and a holder; see [`StateError`].
    pub fn lock_timeout(
        &self,
        kind: Lock,
        timeout: std::time::Duration,
    ) -> Result<Guard<'_>, StateError> {
        self.value.lock(kind, i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX))
    }

    /// The versions that can be opened, oldest first.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn versions(&self) -> Result<Vec<Version>, StateError> {
        self.value.versions()
    }

    /// Opens a version; `None` is the newest.
    ///
    /// # Errors
    /// [`Status::Collected`] when it is not there any more; see [`StateError`].
    pub fn at(&self, version: Option<Version>) -> Result<Snapshot<T>, StateError> {
        self.value.at_version(version.unwrap_or_default()).map(Self::of).map(Snapshot)
    }
}

impl<T: Element> Snapshot<T> {
    /// Which version it is.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn version(&self) -> Result<Version, StateError> {
        self.0.version()
    }

    /// How many elements it has.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn len(&self) -> Result<usize, StateError> {
        self.0.len()
    }

    /// Whether it has none.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn is_empty(&self) -> Result<bool, StateError> {
        self.0.is_empty()
    }

    /// `count` elements from `at` on, fewer at the end.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn read(&self, at: usize, count: usize) -> Result<Vec<T>, StateError> {
        self.0.read(at, count)
    }

    /// Maps `count` elements from `at` on.
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn map(&self, at: usize, count: usize) -> Result<Mapped<T>, StateError> {
        self.0.map_read(at, count)
    }
}

/// Where an element begins, in bytes.
fn byte<T>(index: usize) -> Result<u64, StateError> {
    (index as u64)
        .checked_mul(size_of::<T>() as u64)
        .ok_or_else(|| StateError::with("", Status::TooLarge, "an index overflows"))
}

fn encoded<T: Element>(elements: &[T]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size_of_val(elements));
    for element in elements {
        element.to_bytes(&mut bytes);
    }
    bytes
}
