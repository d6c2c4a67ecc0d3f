//! The thread that wakes sessions and the owner when their time has come.
//!
//! Invariant: it sleeps no longer than until the earliest time that it was told
//! ([`Timers::before`]); whoever changes a state machine tells its next time afterwards. What is
//! done at once changes nothing, so such requests never wake it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::{Duration, Instant};

use super::super::lock::lock;
use super::States;

/// Times closer than this are one.
const GRAIN: Duration = Duration::from_millis(1);
/// It looks again so long after a panic.
const AFTER_PANIC: Duration = Duration::from_secs(1);
/// It looks at least this often.
const LONGEST: Duration = Duration::from_secs(60);

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Timers(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    /// Until when the thread sleeps; `None` while it looks.
    until: Option<Instant>,
    /// What it was told while it looked.
    next: Option<Instant>,
    stopped: bool,
}

impl Timers {
    /// Something is to be woken at `at`.
    pub(super) fn before(&self, at: Option<Instant>) {
        let Some(at) = at else { return };
        let mut inner = lock(&self.0.inner);
        match inner.until {
            None => inner.next = Some(inner.next.map_or(at, |next| next.min(at))),
            Some(until) if at + GRAIN < until => {
                inner.until = Some(at);
                self.0.changed.notify_one();
            }
            Some(_) => {}
        }
    }

    /// Ends the thread.
    pub(super) fn stop(&self) {
        lock(&self.0.inner).stopped = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    /// Waits until the earliest time that was told, or `first`; whether to go on.
    fn wait(&self, first: Option<Instant>) -> bool {
        let mut inner = lock(&self.inner);
        let latest = Instant::now() + LONGEST;
        let next = inner.next.take();
        let until = first.into_iter().chain(next).min().unwrap_or(latest);
        inner.until = Some(until.min(latest).max(Instant::now() + GRAIN));
        while let Some(until) = inner.until
            && !inner.stopped
        {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(inner, left);
            inner = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        inner.until = None;
        !inner.stopped
    }
}

impl States {
    pub(super) fn start_timers(self: &Arc<Self>) -> std::io::Result<()> {
        let (shared, states) = (Arc::clone(&self.timers.0), Arc::downgrade(self));
        let run = move || {
            let mut first = None;
            while shared.wait(first) {
                let Some(states) = Weak::upgrade(&states) else { break };
                // Without it nothing is sent again or given up: it outlives a panic, which was
                // told, and looks again soon.
                let woken = catch_unwind(AssertUnwindSafe(|| states.wake()));
                first = woken.unwrap_or_else(|_| Some(Instant::now() + AFTER_PANIC));
            }
        };
        std::thread::Builder::new().name("faaslet-state-timers".to_owned()).spawn(run)?;
        Ok(())
    }

    /// Wakes what is due; when the next is.
    fn wake(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        self.run(self.owner.wake(now));
        let lives: Vec<_> = self.lives().values().cloned().collect();
        let mut next = None;
        for live in lives {
            if live.timeout().is_some_and(|at| at <= now) {
                self.run(live.step(|inner, _| inner.session.handle_timeout(now)));
            }
            next = next.into_iter().chain(live.timeout()).min();
        }
        next.into_iter().chain(self.owner.timeout()).min()
    }
}
