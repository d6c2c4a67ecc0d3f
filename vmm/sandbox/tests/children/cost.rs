//! What a child costs, printed and not judged: machines differ.

use std::time::{Duration, Instant};

use faaslet_sandbox::spawn;

use crate::parts::spec;

const ROUNDS: usize = 50;

/// Median time from the call to a running program, to a jailed one, and to its end.
pub(crate) fn print() {
    let mut rows = [(); ROUNDS].map(|()| round());
    let mut median = |of: fn(&[Duration; 3]) -> Duration| {
        rows.sort_unstable_by_key(of);
        of(&rows[ROUNDS / 2])
    };
    println!(
        "a child, p50 of {ROUNDS}: started {:.2?}, jailed {:.2?}, killed and reaped {:.2?}",
        median(|row| row[0]),
        median(|row| row[1]),
        median(|row| row[2]),
    );
}

fn round() -> [Duration; 3] {
    let start = Instant::now();
    let child = spawn(&spec("__jailed", &[])).unwrap();
    let started = start.elapsed();
    child.socket().unwrap().recv().unwrap();
    let jailed = start.elapsed();
    let start = Instant::now();
    drop(child);
    [started, jailed, start.elapsed()]
}
