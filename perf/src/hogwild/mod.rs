//! `hogwild`: a classifier of real mails, trained by many calls on weights that they share; the
//! same arithmetic in processes that keep the weights in Redis; and one plain loop, for the right
//! answer.
//!
//! All ways learn from the same batches in the same epochs, and synchronise after each batch. Ours
//! runs as deployed functions through the monitor, driver and workers chained. Redis is reached by
//! a unix socket, pipelined, and keeps the weights as one string, of which each worker reads all
//! at the start of its part and writes what it changed after each batch.

mod mails;
mod ours;
mod plain;
mod server;
#[cfg(test)]
mod tests;
mod worker;

use anyhow::{Result, ensure};

use crate::book::Book;
use crate::plot::{Curve, Plot};

pub(crate) use worker::{ROLE as WORKER_ROLE, main as worker_main};

/// Times that every way sees all mails.
const EPOCHS: u32 = 5;
/// Workers that share the weights.
const WORKERS: [u32; 5] = [1, 2, 4, 8, 16];
/// Those whose loss is drawn against time.
const DRAWN: [u32; 2] = [1, 16];
/// By how much fewer mails may be told right than by the plain loop.
const MAX_WORSE: f64 = 0.01;

/// One training.
struct Training {
    /// How much of the mails that it has not seen it tells right.
    accuracy: f64,
    /// Mean loss of each epoch, and seconds from the start to its end.
    epochs: Vec<(f64, f64)>,
    /// Bytes that crossed a socket to synchronise.
    bytes: u64,
    /// Proportional set size of all that took part, in MiB.
    memory_mib: f64,
}

impl Training {
    /// Loss against milliseconds, epoch by epoch.
    fn curve(&self, name: &str) -> Curve {
        let points = self.epochs.iter().map(|(loss, at)| (at * 1000.0, *loss));
        Curve::new(name, points.collect())
    }

    fn seconds(&self) -> f64 {
        self.epochs.last().map_or(0.0, |(_, at)| *at)
    }
}

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let mails = mails::Mails::load()?;
    let plain = plain::train(&mails);
    book.put("hogwild.plain.accuracy", plain.accuracy * 100.0, "%");
    book.put("hogwild.plain.time", plain.seconds() * 1000.0, "ms");
    let redis = server::Trainer::start()?;
    let ours = ours::Host::start(&mails)?;
    let mut curves = vec![plain.curve("one plain loop")];
    for workers in WORKERS {
        for way in [server::Way::Whole, server::Way::Ranges] {
            let training = redis.train(&mails, workers, way)?;
            record(book, &format!("hogwild.redis.{}.{workers}", way.name()), &training, None);
            if DRAWN.contains(&workers) {
                curves.push(training.curve(&format!("Redis, {}, {workers}", way.name())));
            }
        }
        for rule in ["replace", "sum"] {
            let training = ours.train(&mails, workers, rule)?;
            let name = format!("hogwild.{rule}.{workers}");
            record(book, &name, &training, Some(&format!("hogwild.redis.ranges.{workers}")));
            if DRAWN.contains(&workers) {
                curves.push(training.curve(&format!("{rule}, {workers}")));
            }
            ensure!(
                training.accuracy + MAX_WORSE >= plain.accuracy,
                "{name} tells {:.2}% right, the plain loop {:.2}%",
                training.accuracy * 100.0,
                plain.accuracy * 100.0
            );
        }
    }
    draw(&curves)
}

fn draw(curves: &[Curve]) -> Result<()> {
    Plot {
        file: "hogwild.svg",
        title: "HOGWILD on one host: loss against time, by way and workers",
        x: "ms from the start",
        y: "mean loss of the epoch",
        from: (10.0, 0.001),
        to: (100_000.0, 1.0),
    }
    .draw(curves)
}

fn record(book: &mut Book, name: &str, training: &Training, against: Option<&str>) {
    let mut put = |what: &str, value: f64, unit: &str| {
        let name = format!("{name}.{what}");
        match against {
            Some(peer) if what != "accuracy" => {
                book.put_against(&name, value, unit, &format!("{peer}.{what}"));
            }
            _ => book.put(&name, value, unit),
        }
    };
    put("accuracy", training.accuracy * 100.0, "%");
    put("time", training.seconds() * 1000.0, "ms");
    put("bytes", training.bytes as f64 / f64::from(1 << 20), "MiB");
    put("memory", training.memory_mib * training.seconds(), "MiB s");
}
