//! Sleeping and waking without a lost wake-up, and without a system call while the peer is awake.
//!
//! ```text
//! sleeper                              waker
//!   1 flag |= bit                        1 store the news (tail or head)
//!   2 fence                              2 fence
//!   3 look for news: none                3 flag has the bit? clear it
//!   4 sleep while the flag is unchanged  4 whoever cleared it wakes the sleeper
//! ```
//!
//! Of two threads that each store, fence and then load what the other stored, at least one sees
//! the other's store: so either the sleeper finds the news at 3, or the waker finds the flag.
//! The tests run this code under every interleaving of the C11 memory model that loom explores.

use std::sync::atomic::{AtomicU32, Ordering, fence};

/// The sleeper waits for something to read.
pub(crate) const DATA: u32 = 1;
/// The sleeper waits for room to write.
pub(crate) const ROOM: u32 = 2;

/// The word that says what a sleeper waits for; a trait so that the tests can model it.
pub(crate) trait Flag {
    fn get(&self) -> u32;
    /// Sets bits.
    fn set(&self, bits: u32);
    /// Clears bits and says which were set before.
    fn clear(&self, bits: u32) -> u32;
    /// Orders everything before it before everything after it, for all threads that do the same.
    fn fence();
}

impl Flag for AtomicU32 {
    #[inline]
    fn get(&self) -> u32 {
        self.load(Ordering::Relaxed)
    }

    #[inline]
    fn set(&self, bits: u32) {
        self.fetch_or(bits, Ordering::Relaxed);
    }

    #[inline]
    fn clear(&self, bits: u32) -> u32 {
        self.fetch_and(!bits, Ordering::Relaxed)
    }

    #[inline]
    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// Sleeper: says that it waits for `bits`, then looks once more. True: nothing came, sleep.
pub(crate) fn prepare<F: Flag, E>(
    flag: &F,
    bits: u32,
    news: impl FnOnce() -> Result<bool, E>,
) -> Result<bool, E> {
    flag.set(bits);
    F::fence();
    let news = news();
    if !matches!(news, Ok(false)) {
        flag.clear(bits);
    }
    news.map(|news| !news)
}

/// Sleeper on a futex, after `prepare`: the value to sleep on, unless one of `bits` was cleared
/// already. Other bits may be set, left over from an earlier wait.
pub(crate) fn asleep<F: Flag>(flag: &F, bits: u32) -> Option<u32> {
    let value = flag.get();
    (value & bits == bits).then_some(value)
}

/// Waker: after the news was stored. True: the sleeper waited for it and is to be woken, by us.
#[inline]
pub(crate) fn announce<F: Flag>(flag: &F, bit: u32) -> bool {
    F::fence();
    flag.get() & bit != 0 && flag.clear(bit) & bit != 0
}

#[cfg(test)]
mod tests;
