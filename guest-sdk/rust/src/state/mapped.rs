//! Elements of a value as memory.

use std::time::Duration;

use super::Element;
use crate::sys::element::Mapping;
use crate::sys::state as sys;

/// Elements of a value that are mapped into this function's memory; unmapped when it is dropped.
///
/// All functions of the host that map the value see each other's stores. Loads and stores are
/// never torn; there is no order between them. [`Mapped::set`] after [`Mapped::get`] is not one
/// step: two functions that add to one element at the same time may lose one of the two, which
/// some algorithms bear (HOGWILD) and others not (use `merge`, or a lock).
#[derive(Debug)]
pub struct Mapped<T: Element>(Mapping<T>);

impl<T: Element> Mapped<T> {
    pub(super) fn of(mapping: Mapping<T>) -> Self {
        Self(mapping)
    }

    /// How many elements are mapped.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Mapped::len`].
    #[inline]
    pub fn get(&self, index: usize) -> T {
        self.0.load(index)
    }

    /// Stores the element at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Mapped::len`].
    #[inline]
    pub fn set(&self, index: usize, value: T) {
        self.0.store(index, value);
    }

    /// The elements, one after the other, each as it is when its turn comes.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The elements as they are now.
    pub fn to_vec(&self) -> Vec<T> {
        self.iter().collect()
    }
}

impl Mapped<u32> {
    /// Waits until [`Mapped::notify`] is called on the element at `index`, if it holds `expected`,
    /// for at most `timeout`; false when it holds another value. Holds no thread.
    ///
    /// # Errors
    /// [`faaslet_abi::Status::TimedOut`] when nobody came.
    pub fn wait(
        &self,
        index: usize,
        expected: u32,
        timeout: Duration,
    ) -> Result<bool, faaslet_abi::Status> {
        let timeout_ms = i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX);
        sys::wait(self.word(index), expected, timeout_ms)
    }

    /// Wakes at most `count` functions of this host that wait on the element at `index`; returns
    /// how many there were.
    pub fn notify(&self, index: usize, count: u32) -> u32 {
        sys::notify(self.word(index), count).unwrap_or(0)
    }

    fn word(&self, index: usize) -> std::ptr::NonNull<u8> {
        assert!(index < self.len(), "element {index} of a mapping of {}", self.len());
        self.0.address(index)
    }
}
