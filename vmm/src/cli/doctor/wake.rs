//! What waking an idle thread costs on this machine: each answer of a cell pays for it twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::output::duration;
use super::Check;

/// Wake-ups that are measured.
const ROUNDS: usize = 65;
/// Time between two, in which the processor goes idle.
const PAUSE: Duration = Duration::from_millis(2);
/// Longest wait for one.
const PATIENCE: Duration = Duration::from_secs(1);
/// A cost from here on is worth doing something about.
const HIGH: Duration = Duration::from_micros(15);

pub fn check() -> Check {
    let cost = measured();
    let text = format!("{} to wake an idle thread (median of {ROUNDS})", duration(cost));
    let state = if cost < HIGH { Ok(text) } else { Err(text) };
    Check::new(
        "idle wake-up",
        state,
        "an idle monitor and an idle cell are woken for a call, and again for its answer",
        "faaslet up --low-latency, or a machine whose processor does not sleep deeply",
    )
}

/// The median of the time from waking a thread to its first instruction.
fn measured() -> Duration {
    let began = Instant::now();
    let woken = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicBool::new(false));
    let (theirs, end) = (Arc::clone(&woken), Arc::clone(&done));
    let sleeper = thread::spawn(move || {
        while !end.load(Ordering::SeqCst) {
            thread::park();
            theirs.store(began.elapsed().as_nanos() as u64, Ordering::SeqCst);
        }
    });
    let mut costs: Vec<u64> = (0..ROUNDS).map(|_| once(&sleeper, &woken, began)).collect();
    done.store(true, Ordering::SeqCst);
    sleeper.thread().unpark();
    // It does nothing that could panic.
    let _ = sleeper.join();
    costs.sort_unstable();
    Duration::from_nanos(costs[ROUNDS / 2])
}

fn once(sleeper: &thread::JoinHandle<()>, woken: &AtomicU64, began: Instant) -> u64 {
    thread::park_timeout(PAUSE);
    let before = began.elapsed();
    sleeper.thread().unpark();
    while woken.load(Ordering::SeqCst) < before.as_nanos() as u64 {
        if began.elapsed() > before + PATIENCE {
            return PATIENCE.as_nanos() as u64;
        }
        thread::yield_now();
    }
    woken.load(Ordering::SeqCst) - before.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_wake_up_is_measured_and_ends() {
        assert!(!super::measured().is_zero());
    }
}
