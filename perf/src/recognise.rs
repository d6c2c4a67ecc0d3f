//! `recognise`: image recognition (MobileNet) forked, fresh and as a native program.

use std::path::PathBuf;
use std::process::Command;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use faaslet_vmm::cell::Mode;

use crate::book::Book;
use crate::guests;
use crate::measure::{self, Times};
use crate::ours::{Baked, Epochs, Ours};

/// Times that all ways take turns.
const TURNS: usize = 3;
/// Time of one way in one turn.
const TURN: Duration = Duration::from_secs(1);
/// Time that a rate is taken over.
const RATE: Duration = Duration::from_secs(3);
/// Runs of the native program in one turn.
const NATIVE_RUNS: usize = 100;
/// Slots of a worker.
const SLOTS: usize = 4;
/// What the network must say.
const LABEL: &[u8] = b"\"label\":\"person\"";

/// One way in: whole calls, the inference in them, and what is around it (queue, fork or
/// instantiation and initialisation, reset).
struct Way {
    ours: Ours,
    whole: Times,
    inference: Times,
    around: Times,
}

impl Way {
    fn new(function: &Baked, input: &[u8], mode: Mode) -> Self {
        let ours = Ours::answering(function, input.to_vec(), mode, SLOTS, right);
        let [whole, inference, around] = [Times::new(), Times::new(), Times::new()];
        Self { ours, whole, inference, around }
    }

    fn turn(&mut self) -> Result<()> {
        let Self { ours, whole, inference, around } = self;
        whole.merge(&measure::times(TURN, || {
            let begun = Instant::now();
            ours.call()?;
            let (took, ran) = (begun.elapsed(), ours.ran());
            inference.add(ran);
            around.add(took.saturating_sub(ran));
            Ok(())
        })?);
        Ok(())
    }

    /// What is around the inference, in per cent of it.
    fn overhead(&self) -> f64 {
        self.around.p50_us() / self.inference.p50_us() * 100.0
    }
}

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let function = epochs.bake(0, "recognise", &guests::compiled("recognise")?, SLOTS)?;
    let (picture, native) = files()?;
    let input = std::fs::read(&picture)?;
    let mut fork = Way::new(&function, &input, Mode::Fork);
    let mut fresh = Way::new(&function, &input, Mode::Fresh);
    let mut natives = Times::new();
    for _ in 0..TURNS {
        natives.merge(&native_times(&native, &picture)?);
        fork.turn()?;
        fresh.turn()?;
    }
    let peer = Some("recognise.native");
    book.put_times("recognise.native", &natives, None);
    book.put_times("recognise.inference", &fork.inference, peer);
    book.put_times("recognise.fork", &fork.whole, peer);
    book.put_times("recognise.fresh", &fresh.whole, peer);
    book.put_times("recognise.fork.around", &fork.around, None);
    book.put_times("recognise.fresh.around", &fresh.around, Some("recognise.fork.around"));
    book.put("recognise.fork.overhead", fork.overhead(), "%");
    book.put("recognise.fresh.overhead", fresh.overhead(), "%");
    let (rate, two) = ("recognise.rate", "recognise.rate.two_cores");
    book.put(rate, together(1, &function, &input)?, "1/s");
    book.put_against(two, together(2, &function, &input)?, "1/s", rate);
    Ok(())
}

/// Whether an answer is the right one.
fn right(answer: &[u8]) -> bool {
    answer.windows(LABEL.len()).any(|part| part == LABEL)
}

/// A picture, and the native program, which must know it too.
fn files() -> Result<(PathBuf, PathBuf)> {
    let home = guests::cache()?.join("recognise");
    let native = home.join("native/recognise-native");
    let make = "run `make -C guest-sdk/examples/recognise native`";
    ensure!(native.exists(), "no {}; {make}", native.display());
    let folders = std::fs::read_dir(&home)?.flatten();
    let picture = folders.map(|folder| folder.path().join("person.pgm")).find(|path| path.exists());
    let picture = picture.context("no person.pgm beside the native program; run `make guests`")?;
    let said = Command::new(&native).arg(&picture).output()?.stdout;
    ensure!(right(&said), "the native program said {}", String::from_utf8_lossy(&said));
    Ok((picture, native))
}

/// Runs the native program, which times itself.
fn native_times(native: &PathBuf, picture: &PathBuf) -> Result<Times> {
    let output = Command::new(native).arg(picture).arg(NATIVE_RUNS.to_string()).output()?;
    ensure!(output.status.success(), "the native program ended {}", output.status);
    let mut times = Times::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        times.add(Duration::from_nanos(line.trim().parse()?));
    }
    Ok(times)
}

/// Answers a second of workers that run at the same time.
fn together(workers: usize, function: &Baked, input: &[u8]) -> Result<f64> {
    let one = || -> Result<f64> {
        let mut ours = Ours::answering(function, input.to_vec(), Mode::Fork, SLOTS, right);
        let times = measure::times(RATE, || ours.call())?;
        Ok(times.len() as f64 / RATE.as_secs_f64())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(one)).collect();
        let rates = threads.into_iter().map(ScopedJoinHandle::join);
        rates.map(|rate| rate.map_err(|_| anyhow!("a worker panicked"))?).sum()
    })
}
