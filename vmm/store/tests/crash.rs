//! A monitor that is killed at each step of a write, and at random moments, hundreds of times over
//! one store: what was acknowledged is there with all its files whole, what was not is wholly
//! absent, and nothing is left in `tmp/`.
//!
//! The test re-executes itself as the process that writes. It says on standard output what it is
//! about to do and what has been acknowledged; the test follows in a model. `FAASLET_SEED` repeats
//! a run, `FAASLET_CRASH_ROUNDS` sets its length.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod crash {
    pub(crate) mod child;
    pub(crate) mod model;
}

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use faaslet_store::{Step, Store};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crash::child;
use crash::model::{Model, Op};

const ROUNDS: usize = 300;
/// Acknowledgements after which a round ends in any case.
const MAX_ACKS: u32 = 25;
const SIGKILL: i32 = 9;

/// How a round ends.
#[derive(Debug)]
enum Death {
    /// At the n-th time that a step is reached.
    AtStep(Step, u32),
    /// After so many acknowledgements and so many turns of a loop.
    After(u32, u32),
}

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
    let mut model = Model::default();
    let mut at_step = [0_u32; Step::ALL.len()];
    let mut at_random = 0;
    for round in 0..rounds {
        let death = death(round, &mut rng);
        let killed_in = live_and_die(folder.path(), &death, rng.random(), &mut model);
        check(folder.path(), &death, killed_in.as_ref(), &mut model);
        match death {
            Death::AtStep(step, _) => at_step[step as usize] += 1,
            Death::After(..) => at_random += 1,
        }
    }
    println!("killed at random moments: {at_random}");
    for (step, count) in Step::ALL.iter().zip(at_step) {
        println!("killed at {step:?}: {count}");
    }
    println!("{} acknowledged writes, all there: ok", model.acknowledged);
}

fn death(round: usize, rng: &mut StdRng) -> Death {
    match Step::ALL.get(round % (Step::ALL.len() + 3)) {
        Some(&step) => Death::AtStep(step, rng.random_range(1..6)),
        None => Death::After(rng.random_range(0..MAX_ACKS), rng.random_range(0..3_000_000)),
    }
}

/// Runs the writing process to its death; returns what it was about to do, if it was.
fn live_and_die(folder: &Path, death: &Death, seed: u64, model: &mut Model) -> Option<Op> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(child::FOLDER, folder).env(child::SEED, seed.to_string()).stdout(Stdio::piped());
    if let Death::AtStep(step, count) = death {
        command.env(child::STEP, format!("{step:?} {count}"));
    }
    let mut process = command.spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let (mut begun, mut acks) = (None, 0);
    let mut limit = MAX_ACKS * 40;
    if let Death::After(after, _) = death {
        limit = *after;
    }
    while acks < limit {
        let Some(line) = lines.next() else { break };
        let line = line.unwrap();
        if follow(&line, &mut begun, model) {
            acks += 1;
        }
    }
    end(&mut process, death);
    for line in lines {
        follow(&line.unwrap(), &mut begun, model);
    }
    begun
}

/// Follows a line; says whether it was an acknowledgement. A line that was cut is none.
fn follow(line: &str, begun: &mut Option<Op>, model: &mut Model) -> bool {
    if let Some(op) = line.strip_prefix("begin ") {
        *begun = Op::parse(op);
        return false;
    }
    if line != "done" {
        return false;
    }
    model.apply(&begun.take().expect("an acknowledgement of nothing"));
    model.acknowledged += 1;
    true
}

fn end(process: &mut Child, death: &Death) {
    if let Death::After(_, turns) = death {
        for _ in 0..*turns {
            std::hint::spin_loop();
        }
        process.kill().unwrap();
    }
    let status = process.wait().unwrap();
    assert_eq!(status.signal(), Some(SIGKILL), "{death:?}: {status}");
}

/// Compares the store with the model, and takes into it what turned out to be durable.
fn check(folder: &Path, death: &Death, killed_in: Option<&Op>, model: &mut Model) {
    let store = Store::open(folder).unwrap();
    assert_eq!(fs::read_dir(folder.join("tmp")).unwrap().count(), 0, "left in tmp");
    let found = Model::of(&store);
    let mut with = model.clone();
    if let Some(op) = killed_in {
        with.apply(op);
    }
    let (before, after) = (found.same(model), found.same(&with));
    let context =
        || format!("{death:?} in {killed_in:?}\nexpected {model:?}\nor {with:?}\nfound {found:?}");
    match death {
        Death::AtStep(
            Step::BlobCreated
            | Step::BlobWritten
            | Step::BlobSynced
            | Step::BlobRenamed
            | Step::BlobNamed
            | Step::RecordsWritten,
            _,
        ) => assert!(before, "{}", context()),
        Death::AtStep(Step::RecordsCommitted | Step::GcCommitted, _) => {
            assert!(after, "{}", context());
        }
        Death::AtStep(Step::GcRemoved, _) | Death::After(..) => {
            assert!(before || after, "{}", context());
        }
    }
    if after {
        *model = with;
    }
    found.check_files(&store);
}
