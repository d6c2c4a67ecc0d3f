//! Posts from any thread to the one task that owns a driver.

use futures_util::task::AtomicWaker;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// Its length is bounded by those who post: a reply for each call in flight, a submission for each
/// permit of the client, and a few commands.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    posts: Mutex<Posts<T>>,
    /// Invariant: false only while the driver sleeps or is about to, after which it looks again.
    awake: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Debug)]
struct Posts<T> {
    waiting: Vec<T>,
    closed: bool,
}

impl<T> Mailbox<T> {
    pub(crate) fn new() -> Self {
        Self {
            posts: Mutex::new(Posts { waiting: Vec::new(), closed: false }),
            awake: AtomicBool::new(true),
            waker: AtomicWaker::new(),
        }
    }

    /// Leaves a post and wakes the driver if it sleeps. Gives it back if the driver has ended.
    pub(crate) fn post(&self, post: T) -> Result<(), T> {
        {
            let mut posts = self.lock();
            if posts.closed {
                return Err(post);
            }
            posts.waiting.push(post);
        }
        if !self.awake.swap(true, Ordering::SeqCst) {
            self.waker.wake();
        }
        Ok(())
    }

    /// For the driver: it is awake and is woken by `waker` next time.
    pub(crate) fn wake_up(&self, waker: &Waker) {
        self.waker.register(waker);
        self.awake.store(true, Ordering::SeqCst);
    }

    /// For the driver: swaps what waits with `taken`, which must be empty.
    pub(crate) fn take(&self, taken: &mut Vec<T>) {
        debug_assert!(taken.is_empty(), "the last posts were not handled");
        std::mem::swap(&mut self.lock().waiting, taken);
    }

    /// For the driver: true if it may sleep now, because nothing waits.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.awake.store(false, Ordering::SeqCst);
        if self.lock().waiting.is_empty() {
            return true;
        }
        self.awake.store(true, Ordering::SeqCst);
        false
    }

    /// For the driver: takes no more posts, and gives what still waits.
    pub(crate) fn close(&self) -> Vec<T> {
        let mut posts = self.lock();
        posts.closed = true;
        std::mem::take(&mut posts.waiting)
    }

    fn lock(&self) -> MutexGuard<'_, Posts<T>> {
        // A panic while posting leaves a whole vector behind.
        self.posts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
