//! Bytes of a value as they are now: loads and stores without references.

use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

use nix::libc;

/// Some bytes of a value's memory, which others may change at any moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Invariant: `base..base + len` lies in a segment that outlives `'a`.
    base: NonNull<u8>,
    len: usize,
    memory: PhantomData<&'a super::Memory>,
}

/// An integer that is loaded and stored by one access.
pub(crate) trait Word: Copy + Eq {
    /// Loads it from an aligned address.
    ///
    /// # Safety
    /// `from` is aligned and its bytes are in a segment.
    unsafe fn load(from: *mut u8) -> Self;
    /// Stores it at an aligned address.
    ///
    /// # Safety
    /// As for `load`.
    unsafe fn store(to: *mut u8, word: Self);
    /// Replaces `old` by `new`, or says what is there.
    ///
    /// # Safety
    /// As for `load`.
    unsafe fn exchange(at: *mut u8, old: Self, new: Self) -> Result<Self, Self>;
    /// From bytes in the order of the machine.
    fn read(from: &[u8]) -> Self;
    /// To bytes in the order of the machine.
    fn write(self, to: &mut [u8]);
}

macro_rules! word {
    ($word:ty, $atomic:ty) => {
        impl Word for $word {
            #[inline]
            unsafe fn load(from: *mut u8) -> Self {
                // SAFETY: the caller's word; all accesses of this program there are atomic.
                unsafe { <$atomic>::from_ptr(from.cast()) }.load(Ordering::Relaxed)
            }
            #[inline]
            unsafe fn store(to: *mut u8, word: Self) {
                // SAFETY: as above.
                unsafe { <$atomic>::from_ptr(to.cast()) }.store(word, Ordering::Relaxed);
            }
            #[inline]
            unsafe fn exchange(at: *mut u8, old: Self, new: Self) -> Result<Self, Self> {
                // SAFETY: as above.
                let word = unsafe { <$atomic>::from_ptr(at.cast()) };
                word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire)
            }
            #[inline]
            fn read(from: &[u8]) -> Self {
                let mut bytes = [0; size_of::<Self>()];
                bytes.copy_from_slice(from);
                Self::from_ne_bytes(bytes)
            }
            #[inline]
            fn write(self, to: &mut [u8]) {
                to.copy_from_slice(&self.to_ne_bytes());
            }
        }
    };
}
word!(u8, AtomicU8);
word!(u16, AtomicU16);
word!(u32, AtomicU32);
word!(u64, AtomicU64);

/// Bytes of the widest access.
const WIDEST: usize = size_of::<u64>();

impl<'a> View<'a> {
    /// # Safety
    /// `base..base + len` lies in a segment that outlives `'a`.
    #[inline]
    pub(super) unsafe fn new(base: NonNull<u8>, len: usize) -> Self {
        Self { base, len, memory: PhantomData }
    }

    #[inline]
    pub(crate) fn len(self) -> usize {
        self.len
    }

    /// Where it lies.
    pub(crate) fn addresses(self) -> std::ops::Range<usize> {
        let start = self.base.addr().get();
        start..start + self.len
    }

    /// `len` bytes of it from `at` on.
    #[inline]
    pub(crate) fn part(self, at: usize, len: usize) -> View<'a> {
        // SAFETY: checked by `address` to lie inside.
        unsafe { View::new(NonNull::new_unchecked(self.address(at, len)), len) }
    }

    /// Fills `out`, which is as long as this.
    #[inline]
    pub(crate) fn read(self, out: &mut [u8]) {
        assert_eq!(out.len(), self.len);
        let mut at = self.edge(0, out.len().min(self.head()), |at, width| self.get(at, width, out));
        for to in out[at..].chunks_exact_mut(WIDEST) {
            // SAFETY: aligned after the head, and within the view, which is as long as `out`.
            unsafe { u64::load(self.base.as_ptr().add(at)) }.write(to);
            at += WIDEST;
        }
        self.edge(at, self.len, |at, width| self.get(at, width, out));
    }

    /// Stores `bytes`, which are as many as this.
    #[inline]
    pub(crate) fn write(self, bytes: &[u8]) {
        assert_eq!(bytes.len(), self.len);
        let head = bytes.len().min(self.head());
        let mut at = self.edge(0, head, |at, width| self.put(at, width, bytes));
        for from in bytes[at..].chunks_exact(WIDEST) {
            // SAFETY: aligned after the head, and within the view, which is as long as `bytes`.
            unsafe { u64::store(self.base.as_ptr().add(at), u64::read(from)) };
            at += WIDEST;
        }
        self.edge(at, self.len, |at, width| self.put(at, width, bytes));
    }

    /// Makes it zeros.
    pub(crate) fn zero(self) {
        const ZEROS: [u8; 512] = [0; 512];
        for at in (0..self.len).step_by(ZEROS.len()) {
            let len = ZEROS.len().min(self.len - at);
            self.part(at, len).write(&ZEROS[..len]);
        }
    }

    /// Whether it holds these bytes, as many as it is long. While somebody stores there the answer
    /// is that of no one moment.
    #[inline]
    pub(crate) fn holds(self, bytes: &[u8]) -> bool {
        assert_eq!(bytes.len(), self.len);
        // SAFETY: both are `len` readable bytes; `memcmp` takes plain addresses, so that no
        // reference is formed.
        unsafe { libc::memcmp(self.base.as_ptr().cast(), bytes.as_ptr().cast(), self.len) == 0 }
    }

    /// The word at `at`, a multiple of its width.
    #[inline]
    pub(crate) fn load<W: Word>(self, at: usize) -> W {
        // SAFETY: inside and aligned, which `word` checks.
        unsafe { W::load(self.word::<W>(at)) }
    }

    /// Stores a word at `at`, a multiple of its width.
    #[inline]
    pub(crate) fn store<W: Word>(self, at: usize, word: W) {
        // SAFETY: inside and aligned, which `word` checks.
        unsafe { W::store(self.word::<W>(at), word) }
    }

    /// Replaces the word at `at` if it is `old`; otherwise says what is there.
    #[inline]
    pub(crate) fn exchange<W: Word>(self, at: usize, old: W, new: W) -> Result<W, W> {
        // SAFETY: inside and aligned, which `word` checks.
        unsafe { W::exchange(self.word::<W>(at), old, new) }
    }

    #[inline]
    fn word<W>(self, at: usize) -> *mut u8 {
        let address = self.address(at, size_of::<W>());
        assert!(address.addr().is_multiple_of(size_of::<W>()), "a word at {at}, unaligned");
        address
    }

    #[inline]
    fn address(self, at: usize, len: usize) -> *mut u8 {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.len);
        assert!(inside, "{len} bytes at {at} of a view of {}", self.len);
        // SAFETY: inside, just checked.
        unsafe { self.base.as_ptr().add(at) }
    }

    /// Bytes before the first place for the widest access.
    #[inline]
    fn head(self) -> usize {
        self.base.as_ptr().addr().wrapping_neg() % WIDEST
    }

    /// Walks from `at` to `end` by the widest aligned steps below the widest; returns the end.
    #[inline]
    fn edge(self, mut at: usize, end: usize, mut step: impl FnMut(usize, usize)) -> usize {
        while at < end {
            let address = self.base.as_ptr().addr() + at;
            let fits = |width: &usize| address.is_multiple_of(*width) && at + width <= end;
            let width = [4, 2].into_iter().find(fits).unwrap_or(1);
            step(at, width);
            at += width;
        }
        at
    }

    #[inline]
    fn get(self, at: usize, width: usize, out: &mut [u8]) {
        match width {
            4 => self.load::<u32>(at).write(&mut out[at..at + 4]),
            2 => self.load::<u16>(at).write(&mut out[at..at + 2]),
            _ => out[at] = self.load::<u8>(at),
        }
    }

    #[inline]
    fn put(self, at: usize, width: usize, bytes: &[u8]) {
        match width {
            4 => self.store(at, u32::read(&bytes[at..at + 4])),
            2 => self.store(at, u16::read(&bytes[at..at + 2])),
            _ => self.store(at, bytes[at]),
        }
    }
}

impl faaslet_state::delta::Elements for View<'_> {
    fn load(&self, width: usize, at: usize) -> u64 {
        match width {
            1 => u64::from(View::load::<u8>(*self, at)),
            2 => u64::from(View::load::<u16>(*self, at)),
            4 => u64::from(View::load::<u32>(*self, at)),
            _ => View::load::<u64>(*self, at),
        }
    }

    fn compare_exchange(&self, width: usize, at: usize, current: u64, new: u64) -> Result<(), u64> {
        let there = match width {
            1 => self.exchange(at, current as u8, new as u8).map(u64::from).map_err(u64::from),
            2 => self.exchange(at, current as u16, new as u16).map(u64::from).map_err(u64::from),
            4 => self.exchange(at, current as u32, new as u32).map(u64::from).map_err(u64::from),
            _ => self.exchange(at, current, new),
        };
        there.map(|_| ())
    }
}
