//! Prints what a call in a fork and the reset behind it cost on a worker as a cell drives it, with
//! fiber, epochs and limits: the median of single calls, and calls a second without a clock
//! between them. To look inside: `perf record target/release/examples/fork_cost 3 10`.
//!
//! `cargo run --release --workspace --example fork_cost [PAGES [SECONDS]]`

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_snapshot::dirty::Pagemap;
use faaslet_vmm::builder::{Recipe, baked_function};
use faaslet_vmm::cell::{
    Answer, Call, Departure, Function, LogLine, Origin, Outside, Parent, Ticker, Worker,
};

/// Deadline of every call; no run takes so long.
const DEADLINE: Duration = Duration::from_secs(3600);
/// Calls between two looks at the clock.
const BATCH: u32 = 1000;

#[derive(Default)]
struct Silent {
    failed: u64,
}

impl Outside for Silent {
    fn answer(&mut self, _: u64, answer: Answer) {
        self.failed += u64::from(answer.outcome != faaslet_abi::Outcome::Returned);
    }
    fn answer_peer(&mut self, _: Parent, _: Answer) {}
    fn depart(&mut self, departure: Departure, _: usize) -> Option<Departure> {
        Some(departure)
    }
    fn log(&mut self, _: &Function, _: &[u8; 16], _: LogLine) {}
    fn call_id(&mut self) -> [u8; 16] {
        [0; 16]
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let pages = words.next().map(|word| word.parse()).transpose()?;
    let seconds = words.next().map_or(Ok(1.0), |word| word.parse())?;
    let engine = faaslet_vmm::engine::engine()?;
    let ticker = Ticker::start(&engine)?;
    ticker.begin();
    let path = format!("{}/../tests/guests/wat/dirty.wat", env!("CARGO_MANIFEST_DIR"));
    let settings = Arc::new(faaslet_wasi::Config::new(&[], &[], vec![])?);
    let module = wat::parse_file(path)?;
    let function = baked_function(&engine, 0, "dirty", &module, &Recipe::default(), settings)?;
    for pages in pages.map_or(vec![0, 3, 16], |pages| vec![pages]) {
        measure(&function, pages, Duration::from_secs_f64(seconds));
    }
    ticker.stop();
    Ok(())
}

fn measure(function: &Arc<Function>, pages: u32, budget: Duration) {
    let mut worker = Worker::new(0, &Arc::new(Pagemap::open()), 64, Silent::default());
    worker.add(Arc::clone(function));
    let deadline = Instant::now() + DEADLINE;
    let mut call = || {
        let call = Call { input: pages.to_le_bytes().to_vec(), ..Call::making(deadline) };
        worker.submit(0, call, Origin::Outside(1));
        while worker.turn() {}
    };
    let begun = Instant::now();
    let mut calls = 0_u32;
    while begun.elapsed() < budget {
        (0..BATCH).for_each(|_| call());
        calls += BATCH;
    }
    let rate = f64::from(calls) / begun.elapsed().as_secs_f64();
    let mut times: Vec<u128> = Vec::new();
    for _ in 0..100 * BATCH {
        let begun = Instant::now();
        call();
        times.push(begun.elapsed().as_nanos());
    }
    times.sort_unstable();
    let failed = worker.outside().failed;
    println!(
        "{pages:>3} pages: p50 {} ns, {rate:.0} a second, {failed} failed",
        times[times.len() / 2]
    );
}
