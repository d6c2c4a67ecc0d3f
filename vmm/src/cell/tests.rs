//! A worker with one function, without process, ring or jail.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_abi::Outcome;
use faaslet_snapshot::dirty::Pagemap;
use faaslet_snapshot::image::Image;
use faaslet_wasi::Config;
use wasmtime::Engine;

use super::worker::{Departure, Origin, Outside, Parent, Worker};
use super::{Answer, Call, Entry, Function, Limits, LogLine, Mode, Source, linker};
use crate::builder::{Recipe, bake};
use crate::engine;

/// What a worker under test said.
#[derive(Default)]
struct Said {
    answers: VecDeque<(u64, Answer)>,
    logs: Vec<String>,
}

impl Outside for Said {
    fn answer(&mut self, number: u64, answer: Answer) {
        self.answers.push_back((number, answer));
    }
    fn answer_peer(&mut self, _: Parent, _: Answer) {}
    fn depart(&mut self, departure: Departure, _: usize) -> Option<Departure> {
        Some(departure)
    }
    fn log(&mut self, _: &Function, _: &[u8; 16], line: LogLine) {
        self.logs.push(String::from_utf8_lossy(&line.text).into_owned());
    }
    fn call_id(&mut self) -> [u8; 16] {
        rand::random()
    }
}

fn guest(name: &str) -> Vec<u8> {
    let path = format!("{}/../tests/guests/wat/{name}.wat", env!("CARGO_MANIFEST_DIR"));
    wat::parse_file(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn function(engine: &Engine, number: u32, name: &str) -> Arc<Function> {
    let module = guest(name);
    let baked = bake(engine, &module, &Recipe::default(), true, |_| {}).unwrap();
    let image = Image::open(baked.image.as_deref().unwrap()).unwrap();
    let source = Source {
        number,
        tenant: "t".into(),
        name: name.into(),
        version: 1,
        plan: baked.plan,
        original: None,
        image: Some(Arc::new(image)),
        limits: Limits::default(),
        mode: Mode::Fork,
        settings: Arc::new(Config::new(&[], &[], vec![]).unwrap()),
    };
    let compiled = engine::load_bytes(engine, &baked.artefact).unwrap();
    Arc::new(Function::new(source, &compiled, &linker(engine).unwrap()).unwrap())
}

fn call(input: &[u8]) -> Call {
    let deadline = Instant::now() + Duration::from_secs(20);
    Call { input: input.to_vec(), entry: Entry::Main, attempt: 1, ..Call::making(deadline) }
}

fn worker(engine: &Engine, names: &[&str]) -> Worker<Said> {
    let mut worker = Worker::new(0, &Arc::new(Pagemap::open()), 64, Said::default());
    for (number, name) in names.iter().enumerate() {
        worker.add(function(engine, number as u32, name));
    }
    worker
}

fn run(worker: &mut Worker<Said>, function: u32, call: Call) -> Answer {
    worker.submit(function, call, Origin::Outside(1));
    loop {
        worker.fire(Instant::now());
        worker.turn();
        if let Some((_, answer)) = worker.outside().answers.pop_front() {
            return answer;
        }
    }
}

#[test]
fn a_noop_answers_again_and_again() {
    let engine = engine::engine().unwrap();
    let mut worker = worker(&engine, &["noop"]);
    for _ in 0..1000 {
        let answer = run(&mut worker, 0, call(b""));
        assert_eq!(answer.outcome, Outcome::Returned, "{}", String::from_utf8_lossy(&answer.body));
    }
    let n = 200_000;
    let deadline = Instant::now() + Duration::from_secs(100);
    let started = Instant::now();
    for _ in 0..n {
        worker.submit(0, Call::making(deadline), Origin::Outside(1));
        while worker.turn() {}
        worker.outside().answers.pop_front();
    }
    println!("noop: {} ns", started.elapsed().as_nanos() / n);
}
