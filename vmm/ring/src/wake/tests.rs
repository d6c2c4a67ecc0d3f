//! The wake protocol under the interleavings that loom explores: nobody sleeps through news.
//! One piece of news is explored exhaustively; more threads or news with two or three preemptions.
//!
//! The code run here is the code of the product, over loom's atomics; the futex and the eventfd
//! are modelled by a mutex and a condition variable, and a thread that would sleep for ever is a
//! deadlock, which loom reports. That the model can fail is shown by the tests at the end.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;

use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use super::{DATA, Flag, ROOM, announce, asleep, prepare};

/// A flag of loom; `FENCED` as in the product, or not, to see the model fail.
#[derive(Default)]
struct Modelled<const FENCED: bool>(AtomicU32);

impl<const FENCED: bool> Flag for Modelled<FENCED> {
    fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn set(&self, bits: u32) {
        self.0.fetch_or(bits, Ordering::Relaxed);
    }

    fn clear(&self, bits: u32) -> u32 {
        self.0.fetch_and(!bits, Ordering::Relaxed)
    }

    fn fence() {
        if FENCED {
            fence(Ordering::SeqCst);
        }
    }
}

/// Shared memory and the kernel's side of it.
#[derive(Default)]
struct World<const FENCED: bool> {
    flag: Modelled<FENCED>,
    data: AtomicU64,
    room: AtomicU64,
    /// The eventfd's counter; also the lock under which a futex is compared.
    kernel: Mutex<u64>,
    sleeper: Condvar,
}

impl<const FENCED: bool> World<FENCED> {
    fn futex_wait(&self, expected: u32) {
        let kernel = self.kernel.lock().unwrap();
        if self.flag.get() == expected {
            drop(self.sleeper.wait(kernel).unwrap());
        }
    }

    fn futex_wake(&self) {
        drop(self.kernel.lock().unwrap());
        self.sleeper.notify_one();
    }

    fn event_wait(&self) {
        let mut count = self.kernel.lock().unwrap();
        while *count == 0 {
            count = self.sleeper.wait(count).unwrap();
        }
        *count = 0;
    }

    fn event_ring(&self) {
        *self.kernel.lock().unwrap() += 1;
        self.sleeper.notify_one();
    }

    /// Stores a piece of news and wakes the sleeper if it must.
    fn tell(&self, word: &AtomicU64, value: u64, bit: u32, wake: impl Fn(&Self)) {
        word.store(value, Ordering::Release);
        if announce(&self.flag, bit) {
            wake(self);
        }
    }

    /// Sleeps as the cell does, on a futex, until `news`.
    fn sleep_in_cell(&self, bits: u32, news: impl Fn() -> bool) {
        while !news() {
            // Several bits are set one after the other, each with its own look, as in the product.
            let mut sleep = true;
            for bit in [ROOM, DATA] {
                if bits & bit != 0 {
                    sleep &= prepare(&self.flag, bit, || Ok::<_, Infallible>(news())).unwrap();
                }
            }
            if let (true, Some(value)) = (sleep, asleep(&self.flag, bits)) {
                self.futex_wait(value);
            }
        }
    }

    /// Sleeps as the monitor does, on an eventfd, until `news`.
    fn sleep_in_monitor(&self, news: impl Fn() -> bool) {
        while !news() {
            if prepare(&self.flag, DATA, || Ok::<_, Infallible>(news())).unwrap() {
                self.event_wait();
            }
        }
    }
}

/// Runs the threads under every interleaving, or all with at most so many preemptions.
fn model<const FENCED: bool>(
    preemptions: Option<usize>,
    threads: impl Fn(Arc<World<FENCED>>) + Sync + Send + 'static,
) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemptions;
    builder.check(move || threads(Arc::new(World::default())));
}

/// So many pieces of news for a cell, each of which may find it asleep, awake or on the way.
fn news_for_cell<const FENCED: bool>(count: u64, preemptions: Option<usize>) {
    model::<FENCED>(preemptions, move |world| {
        let waker = world.clone();
        let waker = thread::spawn(move || {
            for n in 1..=count {
                waker.tell(&waker.data, n, DATA, World::futex_wake);
            }
        });
        for n in 1..=count {
            world.sleep_in_cell(DATA, || world.data.load(Ordering::Acquire) >= n);
        }
        waker.join().unwrap();
    });
}

/// The same for the monitor.
fn news_for_monitor<const FENCED: bool>(count: u64, preemptions: Option<usize>) {
    model::<FENCED>(preemptions, move |world| {
        let waker = world.clone();
        let waker = thread::spawn(move || {
            for n in 1..=count {
                waker.tell(&waker.data, n, DATA, World::event_ring);
            }
        });
        for n in 1..=count {
            world.sleep_in_monitor(|| world.data.load(Ordering::Acquire) >= n);
        }
        waker.join().unwrap();
    });
}

#[test]
fn cell_sleeps_through_nothing() {
    news_for_cell::<true>(1, None);
    news_for_cell::<true>(2, Some(5));
}

#[test]
fn monitor_sleeps_through_nothing() {
    news_for_monitor::<true>(1, None);
    news_for_monitor::<true>(2, Some(5));
}

#[test]
fn cell_woken_by_monitor_and_by_a_thread_of_its_own() {
    model::<true>(Some(3), |world| {
        let wakers = [0, 1].map(|which| {
            let world = world.clone();
            thread::spawn(move || {
                let word = if which == 0 { &world.data } else { &world.room };
                world.tell(word, 1, DATA, World::futex_wake);
            })
        });
        let both =
            || world.data.load(Ordering::Acquire) == 1 && world.room.load(Ordering::Acquire) == 1;
        world.sleep_in_cell(DATA, both);
        for waker in wakers {
            waker.join().unwrap();
        }
    });
}

#[test]
fn cell_waits_for_data_and_room_at_once() {
    model::<true>(Some(3), |world| {
        let waker = world.clone();
        let waker = thread::spawn(move || {
            waker.tell(&waker.room, 1, ROOM, World::futex_wake);
            waker.tell(&waker.data, 1, DATA, World::futex_wake);
        });
        world.sleep_in_cell(DATA | ROOM, || world.room.load(Ordering::Acquire) == 1);
        world.sleep_in_cell(DATA, || world.data.load(Ordering::Acquire) == 1);
        waker.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_fence_the_cell_sleeps_for_ever() {
    news_for_cell::<false>(1, None);
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_fence_the_monitor_sleeps_for_ever() {
    news_for_monitor::<false>(1, None);
}
