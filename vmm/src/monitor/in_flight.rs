//! Counts the calls under way, so that a shutdown can wait for them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct InFlight {
    calls: AtomicUsize,
    closed: AtomicBool,
    none: Notify,
}

impl InFlight {
    /// A call begins.
    pub fn begin(&self) {
        self.calls.fetch_add(1, Ordering::SeqCst);
    }

    /// A call has ended.
    pub fn end(&self) {
        if self.calls.fetch_sub(1, Ordering::SeqCst) == 1 && self.is_closed() {
            self.none.notify_waiters();
        }
    }

    /// How many are under way.
    pub fn count(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// No new ones from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether [`InFlight::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until none is under way; only after [`InFlight::close`].
    pub async fn empty(&self) {
        loop {
            let none = self.none.notified();
            if self.count() == 0 {
                return;
            }
            none.await;
        }
    }
}
