//! Elements of values, and access to them in memory that other Faaslets write at the same time.
//!
//! Loads and stores are relaxed atomics of the element's width: never torn, in no order, and as
//! cheap as plain ones.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// A number that values are arrays of: the integers of 8 to 64 bits, `f32` and `f64`.
pub trait Element: Copy + Default + private::Sealed {
    /// The element's number in the contract with the host.
    #[doc(hidden)]
    const NUMBER: u8;
    /// Its bytes, as the value holds them.
    #[doc(hidden)]
    fn to_bytes(self, out: &mut Vec<u8>);
    /// The element of these bytes, which are as many as it has.
    #[doc(hidden)]
    fn from_bytes(bytes: &[u8]) -> Self;
    /// What the host makes of this and another by a rule's number, for tests.
    #[doc(hidden)]
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    fn merge(self, other: Self, rule: u8) -> Self;
}

mod private {
    use std::ptr::NonNull;

    pub trait Sealed: Sized {
        /// # Safety
        /// `at` points to an aligned element that stays mapped during the call.
        unsafe fn load(at: NonNull<u8>) -> Self;
        /// # Safety
        /// As [`Sealed::load`].
        unsafe fn store(self, at: NonNull<u8>);
    }
}

macro_rules! element {
    ($($number:literal $name:ty, $atomic:ty, $to:expr, $from:expr, $merge:ident;)*) => {$(
        impl Element for $name {
            const NUMBER: u8 = $number;
            fn to_bytes(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn from_bytes(bytes: &[u8]) -> Self {
                bytes.try_into().map_or_else(|_| Self::default(), Self::from_le_bytes)
            }
            #[cfg(not(target_family = "wasm"))]
            fn merge(self, other: Self, rule: u8) -> Self {
                match rule {
                    2 => if other < self { other } else { self },
                    3 => if other > self { other } else { self },
                    _ => $merge!(self, other, rule),
                }
            }
        }
        impl private::Sealed for $name {
            unsafe fn load(at: NonNull<u8>) -> Self {
                // SAFETY: aligned and mapped, by the caller; all access to it is atomic here.
                let cell = unsafe { <$atomic>::from_ptr(at.cast().as_ptr()) };
                $from(cell.load(Ordering::Relaxed))
            }
            unsafe fn store(self, at: NonNull<u8>) {
                // SAFETY: as above.
                let cell = unsafe { <$atomic>::from_ptr(at.cast().as_ptr()) };
                cell.store($to(self), Ordering::Relaxed);
            }
        }
    )*};
}

#[cfg(not(target_family = "wasm"))]
macro_rules! integer {
    ($a:ident, $b:ident, $rule:ident) => {
        match $rule {
            1 => $a.wrapping_add($b),
            4 => $a & $b,
            5 => $a | $b,
            6 => $a ^ $b,
            _ => $b,
        }
    };
}
#[cfg(not(target_family = "wasm"))]
macro_rules! float {
    ($a:ident, $b:ident, $rule:ident) => {
        if $rule == 1 { $a + $b } else { $b }
    };
}

element! {
    1 u8, AtomicU8, |v| v, |v| v, integer;
    2 u16, AtomicU16, |v| v, |v| v, integer;
    3 u32, AtomicU32, |v| v, |v| v, integer;
    4 u64, AtomicU64, |v| v, |v| v, integer;
    5 i8, AtomicU8, i8::cast_unsigned, u8::cast_signed, integer;
    6 i16, AtomicU16, i16::cast_unsigned, u16::cast_signed, integer;
    7 i32, AtomicU32, i32::cast_unsigned, u32::cast_signed, integer;
    8 i64, AtomicU64, i64::cast_unsigned, u64::cast_signed, integer;
    9 f32, AtomicU32, f32::to_bits, f32::from_bits, float;
    10 f64, AtomicU64, f64::to_bits, f64::from_bits, float;
}

/// Elements that are mapped; the owner of the mapping, and the one who ends it.
#[derive(Debug)]
pub(crate) struct Mapping<T> {
    /// Invariant: aligned for `T`, mapped for `len` elements until this is dropped.
    start: NonNull<T>,
    len: usize,
}

impl<T: Element> Mapping<T> {
    /// # Safety
    /// `len` elements are mapped from `start` on, and nobody else unmaps them. Nothing when
    /// `start` is not aligned for `T`.
    pub(super) unsafe fn new(start: NonNull<u8>, len: usize) -> Option<Self> {
        let start: NonNull<T> = start.cast();
        start.is_aligned().then_some(Self { start, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Where the element at `index` lies, for host calls that take an address.
    pub(crate) fn address(&self, index: usize) -> NonNull<u8> {
        self.at(index)
    }

    fn at(&self, index: usize) -> NonNull<u8> {
        assert!(index < self.len, "element {index} of a mapping of {}", self.len);
        // SAFETY: the index is within the mapping, by the line before.
        unsafe { self.start.add(index) }.cast()
    }

    #[inline]
    pub(crate) fn load(&self, index: usize) -> T {
        let at = self.at(index);
        // SAFETY: `at` is within the mapping and aligned, by the invariant.
        unsafe { T::load(at) }
    }

    #[inline]
    pub(crate) fn store(&self, index: usize, value: T) {
        let at = self.at(index);
        // SAFETY: as for `load`.
        unsafe { value.store(at) }
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        super::state::unmap(self.start.cast());
    }
}
