//! `churn`: cold calls at a rising rate, against the time that each waits for its answer, drawn
//! as a plot.
//!
//! Arrivals come at a fixed rate whether or not earlier calls have ended, and a call's time runs
//! from when it should have begun: a way that cannot keep up shows in its latency. One core serves.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use faaslet_vmm::cell::Mode;
use plotters::prelude::*;

use crate::book::{Book, home};
use crate::guests;
use crate::measure::Times;
use crate::native::Native;
use crate::ours::{Epochs, Ours};

/// Rates that are tried, a second; each way stops at the first that it cannot keep up with.
const RATES: &[u32] = &[
    10, 30, 100, 200, 400, 700, 1_000, 2_000, 4_000, 10_000, 20_000, 40_000, 70_000, 100_000,
    200_000, 400_000, 600_000, 800_000,
];
/// Time of one rate.
const TIME: Duration = Duration::from_millis(1_000);
/// A way that is so late has not kept up.
const LATE: Duration = Duration::from_millis(100);
/// Slots of the worker.
const SLOTS: usize = 64;

/// A way's name, and what it measured: rate and median in microseconds.
type Curve = (&'static str, Vec<(f64, f64)>);

pub(crate) fn run(book: &mut Book) -> Result<()> {
    let epochs = Epochs::start()?;
    let native = Native::build()?;
    let function = epochs.bake(0, "noop", &guests::text("noop")?, SLOTS)?;
    let mut fresh = Ours::new(&function, Vec::new(), Mode::Fresh, SLOTS);
    let mut fork = Ours::new(&function, Vec::new(), Mode::Fork, SLOTS);
    let mut process = || native.call(0);
    let curves: Vec<Curve> = vec![
        ("process", curve(book, "process", &mut process)?),
        (
            "fresh",
            curve(book, "fresh", &mut || {
                fresh.call();
                Ok(())
            })?,
        ),
        (
            "fork",
            curve(book, "fork", &mut || {
                fork.call();
                Ok(())
            })?,
        ),
    ];
    fresh.check()?;
    fork.check()?;
    draw(&curves)
}

/// One way at rising rates.
fn curve(
    book: &mut Book,
    name: &str,
    call: &mut impl FnMut() -> Result<()>,
) -> Result<Vec<(f64, f64)>> {
    let mut points = Vec::new();
    let mut most = 0;
    for rate in RATES {
        let Some(times) = arrivals(*rate, call)? else { break };
        book.put(&format!("churn.{name}.{rate}.p50"), times.p50_us(), "µs");
        book.put(&format!("churn.{name}.{rate}.p99"), times.p99_us(), "µs");
        points.push((f64::from(*rate), times.p50_us()));
        most = *rate;
    }
    book.put(&format!("churn.{name}.most"), f64::from(most), "1/s");
    Ok(points)
}

/// Calls at a fixed rate; `None` when the way cannot keep up with it.
fn arrivals(rate: u32, call: &mut impl FnMut() -> Result<()>) -> Result<Option<Times>> {
    let (every, mut times) = (TIME / rate, Times::new());
    let begun = Instant::now();
    let mut intended = begun;
    while intended - begun < TIME {
        while Instant::now() < intended {
            std::hint::spin_loop();
        }
        call()?;
        let took = intended.elapsed();
        if took > LATE {
            return Ok(None);
        }
        times.add(took);
        intended += every;
    }
    Ok(Some(times))
}

fn draw(curves: &[Curve]) -> Result<()> {
    let path: PathBuf = home().join("churn.svg");
    let root = SVGBackend::new(&path, (900, 540)).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("cannot draw {}: {error}", path.display());
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    let mut chart = ChartBuilder::on(&root)
        .caption("Cold calls: rate against latency, one core", ("sans-serif", 20))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d((10_f64..1_000_000.0).log_scale(), (0.5_f64..100_000.0).log_scale())
        .map_err(|error| failed(&error))?;
    let mesh = &mut chart.configure_mesh();
    mesh.x_desc("calls a second")
        .y_desc("p50 from intended start, µs")
        .draw()
        .map_err(|error| failed(&error))?;
    for (number, (name, points)) in curves.iter().enumerate() {
        let colour = Palette99::pick(number).to_rgba();
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
        let series = chart.draw_series(line).map_err(|error| failed(&error))?;
        series.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
    }
    let labels = &mut chart.configure_series_labels();
    labels
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .draw()
        .map_err(|error| failed(&error))?;
    root.present().map_err(|error| failed(&error))
}
