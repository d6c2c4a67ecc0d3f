//! How many calls of one function run at the same time in a cell, over all of its workers.
//!
//! A call takes a turn when it begins and gives it back when it is answered. A worker whose queued
//! call finds none stands in line, and a turn that is given back goes to the first in line: no
//! worker can keep all turns to itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Turns {
    limit: usize,
    /// Invariant: at most `limit`.
    taken: AtomicUsize,
    /// How long `line` is, for who only looks.
    waiting: AtomicUsize,
    /// Workers that wait for a turn, first come first; each stands there once at most.
    line: Mutex<VecDeque<u32>>,
}

impl Turns {
    /// So many turns.
    pub(crate) fn new(limit: usize) -> Self {
        let (taken, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { limit, taken, waiting, line: Mutex::default() }
    }

    /// Takes a turn if there is one and nobody waits for it; otherwise `worker` stands in line.
    pub(crate) fn take_or_wait(&self, worker: u32) -> bool {
        if self.waiting.load(Ordering::SeqCst) == 0 && self.take() {
            return true;
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if !line.contains(&worker) {
            line.push_back(worker);
        }
        self.waiting.store(line.len(), Ordering::SeqCst);
        // Who gave one back just before saw nobody in line. Both orders are sequentially
        // consistent: either that one sees the line, or this sees the turn.
        let taken = line.front() == Some(&worker) && self.take();
        if taken {
            line.pop_front();
            self.waiting.store(line.len(), Ordering::SeqCst);
        }
        taken
    }

    /// Takes a turn if there is one, whoever waits.
    fn take(&self) -> bool {
        let more = |taken| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_ok()
    }

    /// Gives one back; says which worker has it now, if one waited.
    #[must_use]
    pub(crate) fn give_back(&self) -> Option<u32> {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.is_empty() || !self.take() {
            return None;
        }
        let first = line.pop_front();
        self.waiting.store(line.len(), Ordering::SeqCst);
        first
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    #[test]
    fn a_turn_goes_to_the_first_in_line() {
        let turns = Turns::new(1);
        assert!(turns.take_or_wait(0));
        assert!(!turns.take_or_wait(1) && !turns.take_or_wait(2) && !turns.take_or_wait(1));
        assert_eq!(turns.give_back(), Some(1));
        assert_eq!(turns.give_back(), Some(2));
        assert_eq!(turns.give_back(), None);
        assert!(turns.take_or_wait(2));
    }

    #[test]
    fn no_turn_is_lost_and_none_is_given_twice() {
        const WORKERS: u32 = 4;
        const CALLS: usize = 20_000;
        let (turns, running) = (Turns::new(2), AtomicUsize::new(0));
        let (senders, inboxes): (Vec<_>, Vec<_>) =
            (0..WORKERS).map(|_| mpsc::sync_channel(1)).unzip();
        thread::scope(|scope| {
            for (worker, inbox) in (0..WORKERS).zip(inboxes) {
                let (turns, running, senders) = (&turns, &running, senders.clone());
                scope.spawn(move || {
                    for _ in 0..CALLS {
                        if !turns.take_or_wait(worker) {
                            // A turn that is lost leaves this thread here for good.
                            inbox.recv().unwrap();
                        }
                        assert!(running.fetch_add(1, Ordering::SeqCst) < 2);
                        running.fetch_sub(1, Ordering::SeqCst);
                        if let Some(next) = turns.give_back() {
                            senders[next as usize].send(()).unwrap();
                        }
                    }
                });
            }
        });
        assert_eq!(turns.taken.load(Ordering::SeqCst), 0);
    }
}
