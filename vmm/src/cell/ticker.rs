//! Time slices: advances the engine's epoch while workers work, and sleeps while they do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, Thread};

use wasmtime::Engine;

use crate::engine::EPOCH_TICK;

/// Ticks without work after which the ticker sleeps.
const IDLE_TICKS: u32 = 100;

/// Handle of the ticker's thread, shared by the workers.
#[derive(Clone, Debug)]
pub struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    /// Counts what workers began; the ticker compares it with what it saw last.
    begun: AtomicU64,
    /// Workers that are not waiting.
    working: AtomicU64,
    asleep: AtomicBool,
    stopped: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(engine: &Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, ours) = (engine.clone(), Arc::clone(&shared));
        let thread =
            thread::Builder::new().name("ticker".into()).spawn(move || tick(&engine, &ours))?;
        Ok(Self { shared, thread: thread.thread().clone() })
    }

    /// A worker goes on working.
    pub fn begin(&self) {
        self.shared.working.fetch_add(1, Ordering::SeqCst);
        self.shared.begun.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
    }

    /// A worker begins to wait.
    pub fn end(&self) {
        self.shared.working.fetch_sub(1, Ordering::SeqCst);
    }

    /// Ends the thread.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn tick(engine: &Engine, shared: &Shared) {
    let (mut seen, mut idle) = (0, 0);
    while !shared.stopped.load(Ordering::SeqCst) {
        thread::park_timeout(EPOCH_TICK);
        engine.increment_epoch();
        let begun = shared.begun.load(Ordering::SeqCst);
        let quiet = begun == seen && shared.working.load(Ordering::SeqCst) == 0;
        (seen, idle) = (begun, if quiet { idle + 1 } else { 0 });
        if idle >= IDLE_TICKS {
            sleep(shared);
            idle = 0;
        }
    }
}

/// Sleeps until a worker begins.
fn sleep(shared: &Shared) {
    shared.asleep.store(true, Ordering::SeqCst);
    while shared.working.load(Ordering::SeqCst) == 0 && !shared.stopped.load(Ordering::SeqCst) {
        thread::park();
    }
    shared.asleep.store(false, Ordering::SeqCst);
}
