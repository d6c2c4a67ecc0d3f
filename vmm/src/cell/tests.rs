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

fn text(answer: &Answer) -> String {
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// Calls the guest a few times with an input; each must answer the same.
fn always(name: &str, input: &[u8], expected: &[u8]) {
    let engine = engine::engine().unwrap();
    let mut worker = worker(&engine, &[name]);
    for mode in [Mode::Fork, Mode::Fork, Mode::Fresh, Mode::Fork, Mode::Fresh] {
        let answer = run(&mut worker, 0, Call { mode, ..call(input) });
        assert_eq!(answer.outcome, Outcome::Returned, "{name} {mode:?}: {}", text(&answer));
        assert_eq!(answer.body, expected, "{name} {mode:?}");
    }
}

#[test]
fn guests_answer_the_same_in_every_fork_and_fresh() {
    always("noop", b"", b"");
    always("echo", b"what comes in goes out", b"what comes in goes out");
    always("counter", b"", b"11");
    always("segments", b"", b"active start late");
    always("init-heavy", b"", &[0x26, 0x78, 0xc1, 0x20, 0x8f, 0x82, 0xc1, 0x0a]);
    always("dirty", &200u32.to_le_bytes(), b"");
    always("grow", &17u32.to_le_bytes(), b"");
    always("table", b"", b"");
    always("command", b"through the standard streams", b"through the standard streams");
    always("init-chain", b"", b"6");
    always("spin", &100u32.to_le_bytes(), b"");
}

#[test]
fn entries_run_in_order_and_after_restore_in_forks_alone() {
    let engine = engine::engine().unwrap();
    let mut worker = worker(&engine, &["order"]);
    for _ in 0..3 {
        assert_eq!(text(&run(&mut worker, 0, call(b""))), "sifwrm");
    }
    assert_eq!(text(&run(&mut worker, 0, Call { mode: Mode::Fresh, ..call(b"") })), "sifm");
}

#[test]
fn chained_calls_by_name_export_and_index_answer_and_unknown_ones_are_refused() {
    let engine = engine::engine().unwrap();
    let mut worker = worker(&engine, &["chain", "echo"]);
    assert_eq!(text(&run(&mut worker, 0, call(b"ehi"))), "0child:hi");
    assert_eq!(text(&run(&mut worker, 0, call(b"thi"))), "0child:hi");
    let unknown = text(&run(&mut worker, 0, call(b"nx")));
    assert!(unknown.starts_with('4'), "{unknown}");
}

#[test]
fn a_trap_poisons_its_slot_and_the_next_call_finds_a_clean_one() {
    let engine = engine::engine().unwrap();
    let mut worker = worker(&engine, &["trap", "counter"]);
    for kind in *b"umdocnstrfbi" {
        let answer = run(&mut worker, 0, call(&[kind]));
        assert_eq!(answer.outcome, Outcome::Trapped, "{}: {}", kind as char, text(&answer));
        assert!(text(&answer).contains("  0: "), "no backtrace: {}", text(&answer));
        assert_eq!(text(&run(&mut worker, 1, call(b""))), "11");
    }
}

#[test]
fn an_endless_loop_ends_at_its_deadline_and_lets_others_run_meanwhile() {
    let engine = engine::engine().unwrap();
    let ticker = super::Ticker::start(&engine).unwrap();
    ticker.begin();
    let mut worker = worker(&engine, &["loop", "echo"]);
    let deadline = Instant::now() + Duration::from_millis(300);
    for number in [1, 2] {
        worker.submit(0, Call::making(deadline), Origin::Outside(number));
    }
    worker.submit(1, call(b"short"), Origin::Outside(3));
    let mut order = Vec::new();
    while order.len() < 3 {
        worker.fire(Instant::now());
        worker.turn();
        while let Some((number, answer)) = worker.outside().answers.pop_front() {
            order.push((number, answer.outcome));
        }
    }
    ticker.stop();
    assert_eq!(order[0], (3, Outcome::Returned));
    assert!(order[1..].iter().all(|(_, outcome)| *outcome == Outcome::TimedOut), "{order:?}");
}
