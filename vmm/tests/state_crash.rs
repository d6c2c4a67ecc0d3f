//! Durable state in a process that is killed at random moments, hundreds of times over one folder:
//! every acknowledged change is there, nothing is half applied, and a change that is sent again
//! after the restart is applied once.
//!
//! The test re-executes itself as the process that writes. Each of its threads changes three values
//! of its own, one change at a time, so that what is found is what was acknowledged or one more.
//! `FAASLET_SEED` repeats a run, `FAASLET_CRASH_ROUNDS` sets its length.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod state_crash {
    pub(crate) mod child;
}

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use state_crash::child;

const ROUNDS: usize = 200;
/// Acknowledgements after which a round ends in any case.
const MAX_ACKS: u32 = 60;

/// How often each value was changed, by name.
type Model = BTreeMap<String, u64>;

fn main() {
    if let Ok(folder) = env::var(child::FOLDER) {
        return child::run(Path::new(&folder));
    }
    let number = |name| env::var(name).ok().and_then(|value| value.parse().ok());
    let seed = number("FAASLET_SEED").unwrap_or_else(rand::random);
    let rounds = number("FAASLET_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds as usize);
    eprintln!("FAASLET_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::new();
    let mut more = 0;
    for _ in 0..rounds {
        more += live_and_die(folder.path(), rng.random_range(0..MAX_ACKS), &mut model);
    }
    let changes: u64 = model.values().sum();
    println!(
        "killed {rounds} times: {changes} changes, all there; {more} of them not acknowledged"
    );
    assert!(changes > rounds as u64 / 2, "hardly anything was done");
}

/// Runs the writing process until so many changes are acknowledged; how many more it found than
/// were acknowledged to the one before.
fn live_and_die(folder: &Path, acks: u32, model: &mut Model) -> u64 {
    let mut process = Command::new(env::current_exe().unwrap())
        .env(child::FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut more = 0;
    let mut left = acks + child::VALUES;
    let mut killed = false;
    // What was written before its death is read to the end.
    while let Some(Ok(line)) = lines.next() {
        let words: Vec<&str> = line.split(' ').collect();
        let [what, name, count] = words[..] else { panic!("{line}") };
        let count: u64 = count.parse().unwrap();
        let known = model.entry(name.to_owned()).or_default();
        match what {
            "found" => {
                assert!(count == *known || count == *known + 1, "{name}: {known}, found {count}");
                more += count - *known;
            }
            "done" => assert_eq!(count, *known + 1, "{name}"),
            _ => panic!("{line}"),
        }
        *known = count;
        left = left.saturating_sub(1);
        if left == 0 && !killed {
            kill(&mut process);
            killed = true;
        }
    }
    assert!(killed, "it ended by itself: {}", process.wait().unwrap());
    process.wait().unwrap();
    more
}

fn kill(process: &mut Child) {
    // SIGKILL.
    process.kill().unwrap();
}
