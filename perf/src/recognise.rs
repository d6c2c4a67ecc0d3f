//! `recognise`: image recognition (MobileNet) forked, fresh and as a native program.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
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
const LABEL: &str = "\"label\":\"person\"";

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let function = epochs.bake(0, "recognise", &guests::compiled("recognise")?, SLOTS)?;
    let (picture, native) = files()?;
    let input = std::fs::read(&picture)?;
    let mut fork = Ours::new(&function, input.clone(), Mode::Fork, SLOTS);
    let mut fresh = Ours::new(&function, input.clone(), Mode::Fresh, SLOTS);
    let (mut forked, mut ran, mut made) = (Times::new(), Times::new(), Times::new());
    let (mut natives, mut around) = (Times::new(), Times::new());
    for _ in 0..TURNS {
        natives.merge(&native_times(&native, &picture)?);
        forked.merge(&measure::times(TURN, || {
            let begun = Instant::now();
            fork.call();
            let inference = fork.worker.outside().ran;
            ran.add(inference);
            around.add(begun.elapsed().saturating_sub(inference));
        }));
        made.merge(&measure::times(TURN, || fresh.call()));
    }
    for way in [&mut fork, &mut fresh] {
        way.check()?;
        let body = String::from_utf8_lossy(&way.worker.outside().body).into_owned();
        ensure!(body.contains(LABEL), "the network said {body}");
    }
    book.put_times("recognise.native", &natives, None);
    book.put_times("recognise.inference", &ran, Some("recognise.native"));
    book.put_times("recognise.fork", &forked, Some("recognise.native"));
    book.put_times("recognise.fresh", &made, Some("recognise.native"));
    // What is around the inference of the same call: queue, fork, reset.
    book.put_times("recognise.fork.around", &around, None);
    book.put("recognise.fork.overhead", around.p50_us() / ran.p50_us() * 100.0, "%");
    book.put("recognise.rate", together(1, &function, &input)?, "1/s");
    book.put_against(
        "recognise.rate.two_cores",
        together(2, &function, &input)?,
        "1/s",
        "recognise.rate",
    );
    Ok(())
}

/// A picture, and the native program.
fn files() -> Result<(PathBuf, PathBuf)> {
    let home = guests::cache()?.join("recognise");
    let native = home.join("native/recognise-native");
    ensure!(
        native.exists(),
        "no {}; run `make -C guest-sdk/examples/recognise native`",
        native.display()
    );
    let folders = std::fs::read_dir(&home)?.flatten();
    let picture = folders.map(|folder| folder.path().join("person.pgm")).find(|path| path.exists());
    Ok((picture.context("no person.pgm beside the native program; run `make guests`")?, native))
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
        let mut ours = Ours::new(function, input.to_vec(), Mode::Fork, SLOTS);
        let times = measure::times(RATE, || ours.call());
        ours.check()?;
        Ok(times.len() as f64 / RATE.as_secs_f64())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(one)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
            .sum()
    })
}
