//! Fork, call and reset inside a cell's worker, against Wasmtime's own ways.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_snapshot::dirty::Pagemap;
use faaslet_vmm::builder::{Recipe, baked_function};
use faaslet_vmm::cell::{Answer, Call, Departure, Function, LogLine, Origin, Outside, Parent, Worker};
use faaslet_wasi::Config;

#[derive(Default)]
struct Count(u64);

impl Outside for Count {
    fn answer(&mut self, _: u64, answer: Answer) {
        assert_eq!(answer.outcome, faaslet_abi::Outcome::Returned);
        self.0 += 1;
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

fn main() {
    let engine = faaslet_vmm::engine::engine().expect("an engine");
    let only = std::env::args().nth(1);
    for (name, pages) in [("noop", 0u32), ("dirty", 3), ("dirty", 16)] {
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        let path = format!("{}/../tests/guests/wat/{name}.wat", env!("CARGO_MANIFEST_DIR"));
        let module = wat::parse_file(&path).expect("a guest");
        let settings = Arc::new(Config::new(&[], &[], vec![]).expect("settings"));
        let function = baked_function(&engine, 0, name, &module, &Recipe::default(), settings);
        let mut worker = Worker::new(0, &Arc::new(Pagemap::open()), 64, Count::default());
        worker.add(function.expect("a function"));
        let deadline = Instant::now() + Duration::from_secs(1000);
        let input = pages.to_le_bytes().to_vec();
        let mut histogram = hdrhistogram::Histogram::<u64>::new(3).expect("bounds");
        for round in 0..1_100_000 {
            let call = Call { input: input.clone(), ..Call::making(deadline) };
            let started = Instant::now();
            worker.submit(0, call, Origin::Outside(1));
            while worker.turn() {}
            if round > 100_000 {
                histogram.record(started.elapsed().as_nanos() as u64).expect("in range");
            }
        }
        println!("{name} {pages}: p50 {} p99 {} min {}", histogram.value_at_quantile(0.5), histogram.value_at_quantile(0.99), histogram.min());
    }
}
