//! The other process of a pair: the same program, started again with the ends of the rings as its
//! standard streams. It answers each message with itself until an empty one comes.

use std::env;
use std::io;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use faaslet_ring::{Capacity, CellEnd, MonitorEnd, RingFds, Woken};

/// Set for the other process: microseconds that it spins before it sleeps.
const SPIN: &str = "FAASLET_RING_CELL";

/// Starts the other process.
pub(crate) fn start(spin_micros: u64, capacity: Capacity) -> (MonitorEnd, Child) {
    let (end, RingFds { memory, bell }) = MonitorEnd::create(capacity).unwrap();
    let child = Command::new(env::current_exe().unwrap())
        .env(SPIN, spin_micros.to_string())
        .stdin(Stdio::from(memory))
        .stdout(Stdio::from(bell))
        .spawn()
        .unwrap();
    (end, child)
}

/// Acts the other process's part, if this is one; a wake-up may take `patience` at the most.
pub(crate) fn acted(patience: Option<Duration>) -> bool {
    let Ok(spin) = env::var(SPIN) else { return false };
    let memory = io::stdin().as_fd().try_clone_to_owned().unwrap();
    let bell = io::stdout().as_fd().try_clone_to_owned().unwrap();
    let mut end = CellEnd::attach(RingFds { memory, bell }).unwrap();
    end.set_spin(Duration::from_micros(spin.parse().unwrap()));
    let mut message = Vec::new();
    loop {
        while end.try_recv(&mut message).unwrap() {
            if message.is_empty() {
                return true;
            }
            end.push(&[&message]).unwrap();
        }
        assert_ne!(end.wait(patience, || false).unwrap(), Woken::Timeout, "lost a wake-up");
    }
}
